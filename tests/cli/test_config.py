"""``focal config``: lines that are TOML, and objects that are JSON."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Focal


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with a configuration."""
    text = "[defaults]\nvia = 'hill'\n[links.hill]\nurl = 'mqtt://me:pw@h/r'\n"
    (tmp_path / "focal.toml").write_text(text)
    return tmp_path


def test_what_is_shown_can_be_a_file_again(focal: Focal, home: Path) -> None:
    done = focal("--home", home, "config", "show", "--quality", "c2-700c")
    table = tomllib.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert table["defaults"]["via"] == ["hill"]
    assert table["defaults"]["quality"] == "c2-700c"
    assert table["links"] == {"hill": {"url": "mqtt://me:***@h/r"}}
    assert f'defaults.via = ["hill"]  # {home / "focal.toml"}:2\n' in done.out
    assert 'defaults.quality = "c2-700c"  # --quality\n' in done.out
    assert "# defaults.save is not set (default)\n" in done.out


def test_every_setting_is_an_object(focal: Focal, home: Path) -> None:
    objects = focal("--home", home, "--json", "config", "show").objects
    assert objects[0] == {
        "event": "setting",
        "key": "home",
        "value": str(home),
        "origin": "--home",
    }
    assert {each["event"] for each in objects} == {"setting"}


def test_the_path_is_told(focal: Focal, home: Path) -> None:
    path = home / "focal.toml"
    assert focal("--home", home, "config", "path").out == f"{path}\n"
    path.unlink()
    done = focal("--home", home, "config", "path", "--json")
    assert done.objects == [{"event": "config", "path": str(path), "exists": False}]
    assert "none yet" in done.err


def test_the_schema_is_printed(focal: Focal) -> None:
    done = focal("config", "schema")
    assert json.loads(done.out)["title"] == "focal.toml"
    assert focal("config", "schema", "--json").objects == [json.loads(done.out)]


def test_what_is_wrong_is_one_line(focal: Focal, home: Path) -> None:
    (home / "focal.toml").write_text("[default]\n")
    done = focal("--home", home, "config", "show")
    assert (done.code, "did you mean 'defaults'?" in done.line) == (2, True)
    assert focal("--home", home, "config", "path").code == 0
