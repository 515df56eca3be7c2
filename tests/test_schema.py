"""The schema for editors says what settings.py says, and its file is the one that is made."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from typing import Any

import pytest

from focal.core.errors import SettingsError
from focal.schema import explained, schema
from focal.settings import (
    BridgeSettings,
    Defaults,
    LinkSettings,
    Settings,
    SpoolSettings,
    key_of,
)
from tests.deadline import ROOT

FILE = ROOT / "docs" / "focal.schema.json"


def test_the_file_is_current() -> None:
    assert json.loads(FILE.read_text()) == schema(), "python -m docs.generate writes it again"


@pytest.mark.parametrize("section", [BridgeSettings, Defaults, SpoolSettings, LinkSettings])
def test_every_setting_is_explained(section: type) -> None:
    told = explained(section)
    assert list(told) == [field.name for field in fields(section)]
    assert all(told.values())


def test_every_table_and_key_is_there_and_no_other() -> None:
    tables = schema()["properties"]
    assert set(tables) == {field.name for field in fields(Settings)}
    for name, section in {"defaults": Defaults, "spool": SpoolSettings}.items():
        assert set(tables[name]["properties"]) == {field.name for field in fields(section)}
        assert tables[name]["additionalProperties"] is False


def test_a_table_of_bridges_has_every_key_and_no_other() -> None:
    table = schema()["properties"]["bridge"]["items"]
    assert set(table["properties"]) == {key_of(field) for field in fields(BridgeSettings)}
    assert table["additionalProperties"] is False


def test_defaults_are_what_is_there_without_a_file() -> None:
    for name, section in {"defaults": Defaults(), "spool": SpoolSettings()}.items():
        for key, told in schema()["properties"][name]["properties"].items():
            assert json.dumps(told.get("default")) == json.dumps(getattr(section, key))


def refused(table: dict[str, Any]) -> bool:
    try:
        Settings.merge(table, {}, "focal.toml")
    except SettingsError:
        return True
    return False


@pytest.mark.parametrize("kind", ["kinds", "full"])
def test_what_the_schema_lists_for_a_bridge_is_taken(kind: str) -> None:
    told = schema()["properties"]["bridge"]["items"]["properties"][kind]
    values = told["anyOf"][0]["enum"] if kind == "kinds" else told["enum"]
    assert not any(refused({"bridge": [{kind: value}]}) for value in values)
    assert refused({"bridge": [{kind: "other"}]})


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("size", "minimum", -1),
        ("queue", "minimum", -1),
        ("priority", "minimum", -1),
        ("priority", "maximum", 1),
        ("lifetime", "maximum", 1),
    ],
)
def test_the_bounds_of_a_bridge_are_those_of_the_schema(key: str, good: str, bad: int) -> None:
    bound = schema()["properties"]["bridge"]["items"]["properties"][key][good]
    assert not refused({"bridge": [{key: bound}]}) and refused({"bridge": [{key: bound + bad}]})


@pytest.mark.parametrize("value", schema()["properties"]["defaults"]["properties"]["wait"]["enum"])
def test_what_the_schema_lists_is_taken(value: str) -> None:
    assert not refused({"defaults": {"wait": value}})


def test_where_the_schema_has_a_limit_the_settings_have_it() -> None:
    told = schema()["properties"]["defaults"]["properties"]
    most = told["lifetime"]["maximum"]
    assert not refused({"defaults": {"lifetime": most}})
    assert refused({"defaults": {"lifetime": most + 1}}) and refused({"defaults": {"lifetime": 0}})
    longest = "x" * told["name"]["maxLength"]
    assert not refused({"defaults": {"name": longest}})
    assert refused({"defaults": {"name": longest + "x"}}) and refused({"defaults": {"name": ""}})


def test_the_example_of_the_page_is_right() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    example = tomllib.loads(page.split("```toml\n")[1].split("```")[0])
    settings = Settings.merge(example, {}, "focal.toml")
    assert set(example) == {field.name for field in fields(Settings)}
    assert set(example["defaults"]) == {field.name for field in fields(Defaults)}
    assert settings.spool == SpoolSettings()
