"""A scenario file says which nodes there are; what it says wrong is told in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import SettingsError
from focal.lab.scenario import Bursts, Happens, Scenario, Traffic
from focal.transports.lora.channel import Delivered, MeshPacket, Role
from tests.deadline import ROOT

KEYS = "region preset hop_limit seed loss bursts channels nodes traffic events duration".split()
EXAMPLES = sorted((ROOT / "examples" / "lab").glob("*.toml"))


def scenario(text: str) -> Scenario:
    return Scenario.of(tomllib.loads(text), "x.toml")


def test_the_least_that_can_be_said() -> None:
    (node,) = scenario("[nodes.hill]").nodes
    found = scenario("[nodes.hill]")
    assert (node.name, node.role, node.key, node.signs) == ("hill", Role.CLIENT, True, False)
    assert found.air.region.name == "EU_868" and found.air.preset == "LONG_FAST"
    assert (found.hop_limit, found.seed, found.loss, found.bursts) == (3, 0, 0.0, None)


def test_everything_that_can_be_said() -> None:
    found = scenario(
        """
        region = "TR"
        preset = "SHORT_FAST"
        hop_limit = 1
        seed = 7
        loss = 0.1
        channels = ["", "focal"]
        duration = 600
        bursts = { share = 0.2, seconds = 5 }
        [nodes.a]
        number = "!0000a001"
        hears = ["b"]
        knows = []
        role = "CLIENT_MUTE"
        key = false
        signs = true
        [nodes.b]
        number = 45057
        [[traffic]]
        from = "a"
        to = "b"
        bytes = 577
        every = 120
        begin = 2.5
        until = 300
        [[traffic]]
        from = "b"
        bytes = 1
        every = 1
        [[events]]
        at = 60
        node = "a"
        does = "wake"
        [[events]]
        at = 30
        node = "a"
        does = "silence"
        """
    )
    a, b = found.nodes
    assert (a.number, b.number) == (0xA001, 0xB001)
    seen = [sorted(names) for names in (a.hears, a.knows, b.hears, b.knows)]
    assert seen == [["b"], [], ["a"], ["a"]]
    assert a.role is Role.CLIENT_MUTE and a.signs and a.public_key == b""
    assert len(b.public_key) == 32
    assert found.air.region.name == "EU_868" and found.bursts == Bursts(0.2, 5.0)
    assert found.channels == ("", "focal") and found.duration == 600
    assert found.traffic == (
        Traffic("a", "b", 577, 120.0, 2.5, 300.0),
        Traffic("b", None, 1, 1.0),
    )
    assert found.events == (Happens(30.0, "a", "silence"), Happens(60.0, "a", "wake"))
    assert found.by_name["b"] is found.by_number[0xB001] is b


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there are no nodes: write [nodes.NAME]"),
        ("nodes = 3", "there are no nodes"),
        ("[nodes.A]", "'A' is no name of a node"),
        ("[nodes.everyone]", "'everyone' is no name"),
        ("los = 0.1\n[nodes.a]", "there is no 'los'; did you mean 'loss'?"),
        ("[nodes.a]\nhear = []", "[nodes.a]: there is no 'hear'; did you mean 'hears'?"),
        ("[nodes.anna]\nhears = ['bertha']", "hears: there is no 'bertha'"),
        ("[nodes.a]\nhears = 'b'", 'hears is "everyone", or a list of names'),
        ("[nodes.a]\nhears = [1]", 'hears is "everyone", or a list of names'),
        ("[nodes.a]\nrole = 'ROUTR'", "did you mean 'ROUTER'?"),
        ("[nodes.a]\nrole = 1", "role is one of CLIENT, CLIENT_MUTE, ROUTER, not 1"),
        ("[nodes.a]\nkey = 'yes'", "key is true or false, not 'yes'"),
        ("[nodes.a]\nnumber = 3", "number is"),
        ("[nodes.a]\nnumber = true", "number is"),
        ("[nodes.a]\nnumber = '!ffffffff'", "number is"),
        ("[nodes.a]\nnumber = 9\n[nodes.b]\nnumber = 9", "a and b have one number"),
        ("region = 'EU_868x'\n[nodes.a]", "there is no 'EU_868x'"),
        ("preset = 'SHORT_TURBO'\n[nodes.a]", "SHORT_TURBO is no preset of region EU_868"),
        ("hop_limit = 8\n[nodes.a]", "hop_limit is a whole number from 0 to 7, not 8"),
        ("seed = 1.5\n[nodes.a]", "seed is a whole number"),
        ("loss = 1\n[nodes.a]", "loss is a share, 0 to below 1, not 1"),
        ("loss = nan\n[nodes.a]", "loss is a number from 0 to 1, not nan"),
        ("loss = '1'\n[nodes.a]", "loss is a number, not '1'"),
        ("bursts = 0.1\n[nodes.a]", "[bursts]: a table is wanted here"),
        ("bursts = {share = 0.1}\n[nodes.a]", "[bursts]: seconds is missing"),
        (
            "bursts = {share = 0.1, seconds = 0}\n[nodes.a]",
            "seconds is a number of seconds above 0",
        ),
        ("duration = 0\n[nodes.a]", "duration is a number of seconds above 0"),
        ("channels = []\n[nodes.a]", "channels is a list of 1 to 8"),
        ("channels = ['x', 'x']\n[nodes.a]", "channels is a list of 1 to 8"),
        ("channels = ['more than eleven']\n[nodes.a]", "channels is a list of 1 to 8"),
        ("traffic = 1\n[nodes.a]", "write [[traffic]]"),
        ("traffic = [1]\n[nodes.a]", "[[traffic]] 1: a table is wanted here"),
        ("[nodes.a]\n[[traffic]]\nfrom = 'a'\nevery = 1", "[[traffic]] 1: bytes is missing"),
        ("[nodes.a]\n[[traffic]]\nfrom='a'\nto='a'\nbytes=1\nevery=1", "to: there is no 'a'"),
        ("[nodes.a]\n[[events]]\nat=1\nnode='a'\ndoes='rebot'", "did you mean 'reboot'?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        scenario(text)
    line = str(wrong.value)
    assert says in line and line.startswith("x.toml") and "\n" not in line


def test_there_is_a_most_of_everything() -> None:
    many = "\n".join(f"[nodes.n{number}]" for number in range(101))
    with pytest.raises(SettingsError, match="101 nodes are more than 100"):
        scenario(many)


def test_a_file_that_is_not_there_or_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Scenario.read(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_text("[")
    with pytest.raises(SettingsError, match="is not TOML"):
        Scenario.read(tmp_path / "x.toml")


def test_nodes_without_a_number_have_one_of_their_own_each_time_the_same() -> None:
    text = "\n".join(f"[nodes.n{number}]" for number in range(100))
    numbers = [node.number for node in scenario(text).nodes]
    assert len(set(numbers)) == 100
    assert numbers == [node.number for node in scenario(text).nodes]


def test_a_region_without_the_usual_preset_has_one_of_its_own() -> None:
    assert scenario("region = 'EU_866'\n[nodes.a]").air.preset == "LITE_FAST"


def test_the_page_shows_a_scenario_with_every_key() -> None:
    page = (ROOT / "docs" / "lab.md").read_text()
    text = page.partition("```toml\n")[2].partition("```")[0]
    shown = tomllib.loads(text)
    assert Scenario.of(shown, "lab.md").by_name["hill"].hears == {"valley"}
    assert sorted(shown) == sorted(KEYS)
    keys = ("number hears knows role key signs", "from to bytes every begin until", "at node does")
    tables = (shown["nodes"]["hill"], shown["traffic"][0], shown["events"][0])
    assert [sorted(table) for table in tables] == [sorted(each.split()) for each in keys]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_scenarios(path: Path) -> None:
    assert Scenario.read(path).nodes


def heard(found: Scenario, sender: str) -> set[str]:
    """Return the nodes that hear what one of them says."""
    channel = found.channel()
    channel.hand(found.by_name[sender].number, MeshPacket(found.by_name[sender].number, 1, b"x"), 0)
    happened = channel.run(60.0)
    return {found.by_number[one.node].name for one in happened if isinstance(one, Delivered)}


def test_who_hears_whom_is_as_the_scenario_says() -> None:
    found = Scenario.read(ROOT / "examples" / "lab" / "hidden-node.toml")
    assert heard(found, "left") == heard(found, "right") == {"middle"}
    assert heard(found, "middle") == {"left", "right"}


def test_bad_times_come_on_top_of_the_loss() -> None:
    bad = scenario("loss = 0.5\nbursts = {share = 0.999, seconds = 1000}\n[nodes.a]\n[nodes.b]")
    assert heard(bad, "a") == set()
    assert heard(scenario("[nodes.a]\n[nodes.b]"), "a") == {"b"}


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4))
def test_any_table_is_a_scenario_or_an_error(table: dict[str, Any]) -> None:
    try:
        Scenario.of({"nodes": {"a": {}}, **table}, "x.toml")
    except SettingsError:
        pass
