"""``focal doctor``: a line each, exit code 1 if anything is bad."""

from __future__ import annotations

from pathlib import Path

from focal.plugins.sources.microphone import examined
from tests.cli.conftest import Focal
from tests.needs import needs


def test_where_nothing_is_bad_the_exit_code_is_0(focal: Focal, home: Path) -> None:
    needs("PortAudio", examined().state != "bad")
    done = focal("--home", home, "doctor")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("good    python            3.")
    assert {line[:6].strip() for line in lines} <= {"good", "absent", ""}
    assert "-> nothing to do" in done.out


def test_what_is_bad_is_named_and_the_exit_code_is_1(focal: Focal, home: Path) -> None:
    home.mkdir()
    (home / "focal.toml").write_text("this is no TOML")
    (home / "spool.db").write_text("this is no database" * 100)
    done = focal("--home", home, "doctor", "--json")
    assert done.code == 1
    assert " bad: spool, configuration" in done.line
    bad = [each["name"] for each in done.objects if each["state"] == "bad"]
    assert bad[:2] == ["spool", "configuration"]
    for each in done.objects:
        assert list(each) == ["event", "name", "state", "detail", "advice"]
        assert each["event"] == "finding"
