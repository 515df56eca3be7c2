"""What is configured and who said so; what is secret is not shown."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.config import HIDDEN, Config, Setting, file, hidden, lines, show, toml
from focal.core.errors import SettingsError

TEXT = """\
# mine
[defaults]
via = [
  "hill",   # first
  "stick",
]
quality = "c2-1300"

[links."on the hill"]
url = "udp://hill:1"
loss = 0.1
[links]
stick = {scheme = "file", path = '''
in'''}
spool.durability = "process"
"""


def settings(folder: Path, text: str, **environment: str) -> dict[str, Setting]:
    (folder / "focal.toml").write_text(text, encoding="utf-8")
    return {one.key: one for one in show(folder, environment)}


def origins(found: dict[str, Setting], folder: Path) -> dict[str, str]:
    """Return the origins without the folder, those by default left out."""
    told = {key: one.origin.replace(f"{folder}/", "") for key, one in found.items()}
    return {key: origin for key, origin in told.items() if origin != "default"}


def test_every_setting_of_a_text_has_its_line() -> None:
    assert lines(TEXT) == {
        ("defaults", "via"): 3,
        ("defaults", "quality"): 7,
        ("links", "on the hill", "url"): 10,
        ("links", "on the hill", "loss"): 11,
        ("links", "stick", "scheme"): 13,
        ("links", "stick", "path"): 13,
        ("links", "spool", "durability"): 15,
    }


def test_tables_of_one_name_begin_where_the_first_does() -> None:
    text = "[[bridge]]\nto = 'a'\n\n[[bridge]]\nto = 'b'"
    assert lines(text)["bridge",] == 1


def test_a_bridge_is_shown_as_toml_reads_it(tmp_path: Path) -> None:
    text = (
        "[defaults]\n[[bridge]]\nfrom = 'mqtt://me:pw@h/r'\ncodecs = [3, 'x']\n[[bridge]]\nsize = 9"
    )
    shown = settings(tmp_path, text)["bridge"]
    assert shown.origin == f"{tmp_path / 'focal.toml'}:2"
    assert tomllib.loads(f"bridge = {toml(shown.value)}") == {
        "bridge": [{"from": ["mqtt://me:***@h/r"], "codecs": [3, "x"]}, {"size": 9}]
    }


def test_windows_lines_and_dotted_keys_are_lines_too() -> None:
    assert lines("a.b = 1\r\n\r\n[c.'d.e']\r\nf = 2") == {("a", "b"): 1, ("c", "d.e", "f"): 4}


@given(st.text())
def test_any_text_has_its_lines_or_none(text: str) -> None:
    found = lines(text)
    assert all(0 < line <= text.count("\n") + 1 for line in found.values())


def test_the_last_word_is_named(tmp_path: Path) -> None:
    text = "[defaults]\nquality = 'c2-1300'\nname = 'Ada'\n[links.my-hill]\nurl = 'udp://a:1'"
    environment = {
        "FOCAL_DEFAULTS__NAME": "Bo",
        "FOCAL_LINKS__MY_HILL__LISTEN": "2",
        "FOCAL_HOME": "elsewhere",
    }
    found = settings(tmp_path, text, **environment)
    assert origins(found, tmp_path) == {
        "home": "--home",
        "defaults.quality": "focal.toml:2",
        "defaults.name": "FOCAL_DEFAULTS__NAME",
        "links.my-hill.url": "focal.toml:5",
        "links.my-hill.listen": "FOCAL_LINKS__MY_HILL__LISTEN",
    }
    assert found["defaults.name"].value == "Bo"


def test_a_flag_has_the_very_last_word(tmp_path: Path) -> None:
    environment = {"FOCAL_DEFAULTS__VIA": "hill", "FOCAL_HOME": str(tmp_path)}
    told = {one.key: one for one in show(None, environment, via=("udp",), quality=None, play=True)}
    assert told["defaults.via"] == Setting("defaults.via", ["udp"], "--via")
    assert told["defaults.play"] == Setting("defaults.play", True, "--play")
    assert told["defaults.quality"].origin == "default"
    assert told["home"] == Setting("home", str(tmp_path), "FOCAL_HOME")


def test_what_is_wrong_is_told_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'quality'"):
        settings(tmp_path, "defaults.qualty = 'x'")


def test_the_file_is_named_also_where_there_is_none_and_where_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "focal.toml"
    assert file(tmp_path, {}) == Config(str(path), exists=False)
    path.write_text("this is no TOML")
    assert file(tmp_path, {}) == Config(str(path), exists=True)


@pytest.mark.parametrize(
    "name", ["password", "mqtt_password", "passwd", "TOKEN", "api-key", "psk", "secret", "pass"]
)
def test_what_is_called_like_a_secret_is_hidden(name: str) -> None:
    assert hidden(name, "abc") == HIDDEN
    assert hidden(name, 1234) == HIDDEN


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("mqtt://me:pw@host/room", "mqtt://me:***@host/room"),
        ("mqtt://me:p@w/x@host/room", "mqtt://me:***@host/room"),
        ("mqtt://:pw@host", "mqtt://:***@host"),
        ("mqtt://me:p w@host/room", "mqtt://me:***@host/room"),
        ("mqtt://me@host:1883/room", "mqtt://me@host:1883/room"),
        ("ws://h/r?token=abc&x=1&api_key=d", "ws://h/r?token=***&x=1&api_key=***"),
        ("udp://h:1?listen=2", "udp://h:1?listen=2"),
        (["a", "mqtt://me:pw@host"], ["a", "mqtt://me:***@host"]),
        (True, True),
        (5, 5),
        (None, None),
    ],
)
def test_a_url_shows_all_but_its_secrets(value: str | list[str] | None, shown: object) -> None:
    assert hidden("url", value) == shown


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_written_as_toml_reads_it(text: str) -> None:
    assert tomllib.loads(f"x = {toml(text)}") == {"x": text}
