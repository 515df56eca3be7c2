"""``focal lab run`` on the command line."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Focal
from tests.deadline import ROOT

SVG = "{http://www.w3.org/2000/svg}"
TWO_NODES = ROOT / "examples" / "lab" / "two-nodes.toml"


def test_each_node_is_an_object_and_all_together_are_one(focal: Focal) -> None:
    done = focal("--json", "lab", "run", TWO_NODES)
    assert done.code == 0
    *stations, lab = done.objects
    assert [(one["event"], one["name"]) for one in stations] == [("station", "b"), ("station", "a")]
    assert (lab["event"], lab["seed"], lab["messages"]) == ("lab", 1, 30)
    assert abs(lab["airtime"] - sum(one["airtime"] for one in stations)) < 0.002


def test_the_seed_may_be_another_one(focal: Focal) -> None:
    done = focal("--json", "lab", "run", TWO_NODES, "--seed", 7)
    assert done.objects[-1]["seed"] == 7


def test_people_get_a_line_a_node_and_a_table(focal: Focal, tmp_path: Path) -> None:
    file = tmp_path / "quiet.toml"
    file.write_text("duration = 60\nhop_limit = 0\n[nodes.a]\n[nodes.b]\n")
    done = focal("lab", "run", file)
    assert done.out.splitlines() == [
        "a            nothing on the air",
        "b            nothing on the air",
        "simulated   60 s of LONG_FAST in EU_868, seed 0",
        "messages    none",
        "received    0",
        "on the air  0 packets, 0.0 s",
        "missed      nothing",
    ]


def test_a_scenario_that_is_none_is_told(focal: Focal, tmp_path: Path) -> None:
    file = tmp_path / "empty.toml"
    file.write_text("")
    done = focal("lab", "run", file)
    assert (done.code, done.out) == (2, "")
    assert "there are no nodes" in done.line


def test_a_run_is_drawn(focal: Focal, tmp_path: Path) -> None:
    out = tmp_path / "two.svg"
    done = focal("--json", "lab", "run", TWO_NODES, "--plot", out)
    assert (done.code, len(done.objects)) == (0, 3)
    assert done.err.endswith(f"drawn: {out}\n")
    picture = ElementTree.parse(out).getroot()
    said = [one.text for one in picture.iter(f"{SVG}text")]
    assert {"a", "b", "the limit", "arrived", "seconds from the outbox to an inbox"} <= {*said}
    circles = list(picture.iter(f"{SVG}circle"))
    assert len(circles) == done.objects[-1]["received"] == 30
    assert len(list(picture.iter(f"{SVG}path"))) == 3


def test_a_run_without_anything_is_drawn(focal: Focal, tmp_path: Path) -> None:
    file, out = tmp_path / "quiet.toml", tmp_path / "quiet.svg"
    file.write_text("duration = 60\nhop_limit = 0\n[nodes.a]\n[nodes.b]\n")
    assert focal("lab", "run", file, "--plot", out).code == 0
    assert not list(ElementTree.parse(out).getroot().iter(f"{SVG}circle"))


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("out.png", 2, "--plot draws an SVG image: call it out.svg"),
        ("none/out.svg", 2, "there is no folder"),
        (".svg", 1, "cannot be written: Is a directory"),
    ],
)
def test_where_it_cannot_be_drawn_that_is_told(
    focal: Focal, tmp_path: Path, name: str, code: int, said: str
) -> None:
    (tmp_path / ".svg").mkdir()
    file = tmp_path / "quiet.toml"
    file.write_text("duration = 60\nhop_limit = 0\n[nodes.a]\n[nodes.b]\n")
    done = focal("lab", "run", file, "--plot", tmp_path / name)
    assert (done.code, said in done.line) == (code, True)
