"""The page on plugins tells the truth: its code runs, its names are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from focal.plugins import CONTRACT
from focal.plugins.asking import TRACE
from focal.plugins.builtins import KINDS
from focal.plugins.examine import examine
from focal.plugins.installed import GROUP, single_files
from focal.plugins.loading import LIMIT
from focal.plugins.manager import Plugins
from focal.plugins.models import Models
from focal.plugins.roster import DISABLED
from focal.plugins.rules import CONTRACT_NAME
from tests.deadline import ROOT

PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_transport_is_one(tmp_path: Path) -> None:
    (tmp_path / "transport.hum.py").write_text(block("python"))
    (one,) = single_files(tmp_path)
    report = examine(one, Models(tmp_path))
    (added,) = report.adds
    (option,) = added.options
    assert (report.state, added.name) == ("good", "hum")
    assert (option.name, option.default, option.help) == ("pitch", "440.0", "in Hz.")
    spec = Plugins([one]).transport("hum")
    made = spec.from_url(urlsplit("hum://there:7?pitch=220"))
    assert (getattr(made, "port", 0), getattr(made, "pitch", 0)) == (7, 220.0)


def test_the_entry_point_is_of_our_group() -> None:
    points = tomllib.loads(block("toml"))["project"]["entry-points"]
    assert list(points) == [GROUP] and set(points[GROUP]) == {"transport.hum"}


def test_the_names_are_those_of_the_code() -> None:
    said = re.search(r"The kinds are ([^;]+?) and\s+`(\w+)`; the name", PAGE)
    assert said
    assert (*re.findall(r"`(\w+)`", said[1]), said[2]) == KINDS
    assert f"| `{DISABLED}=" in PAGE and f"| `{TRACE}=1` |" in PAGE
    assert f"`focal.plugins.CONTRACT`, now {CONTRACT}," in PAGE
    assert f"`{CONTRACT_NAME} = {CONTRACT + 1}`" in PAGE
    assert f"An import may take {LIMIT:g} seconds" in PAGE
