"""``focal lab run``: whole nodes on a simulated mesh, told in figures that add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from focal.core.errors import FocalError
from focal.core.hour import Sent
from focal.core.outbox import OutboxBounds
from focal.lab.figures import most_in_an_hour, rank
from focal.lab.run import run, simulate
from focal.lab.scenario import Scenario
from focal.results import Lab, Station
from focal.transports.lora.plan import air
from tests.deadline import ROOT

LONG_FAST = air("EU_868", "LONG_FAST")


def scenario(
    *traffic: dict[str, Any], nodes: dict[str, Any] | None = None, **more: Any
) -> Scenario:
    """Return a scenario with nodes a and b; without relays, loss and, unless said, a limit."""
    usual = {"region": "US", "hop_limit": 0, "seed": 1, "duration": 1800}
    table = {**usual, "nodes": nodes or {"a": {}, "b": {}}, "traffic": list(traffic), **more}
    return Scenario.of(table, "test")


def plain(names: str) -> dict[str, Any]:
    """Return nodes with nothing special."""
    return {name: {} for name in names}


def fared(scenario: Scenario) -> tuple[dict[str, Station], Lab]:
    stations, lab = run(scenario, lambda text: None)
    return {station.name: station for station in stations}, lab


def says(
    sender: str, to: str = "everyone", *, bytes: int = 577, every: float = 120
) -> dict[str, Any]:
    return {"from": sender, "to": to, "bytes": bytes, "every": every}


# what becomes of messages


def test_what_is_sent_arrives_and_costs_what_it_must() -> None:
    stations, lab = fared(scenario(says("a", "b", bytes=117)))
    a, b = stations["a"], stations["b"]
    assert (a.messages, a.delivered, a.received) == (15, 15, 0)
    assert (b.messages, b.packets, b.received) == (0, 15, 15)
    whole = LONG_FAST.airtime(117 + 26)  # head, destination, check and the frame's own head
    assert abs(a.airtime - 15 * whole) < 1e-6
    assert a.duty == a.airtime / 1800
    assert (a.airtime_hour, a.limit, a.share) == (a.airtime, 3600, a.airtime / 3600)
    assert a.latency_median is not None
    assert whole <= a.latency_median <= whole + 0.3
    assert (lab.messages, lab.delivered, lab.received, lab.packets) == (15, 15, 15, 30)
    assert lab.airtime == a.airtime + b.airtime
    assert (lab.collided, lab.lost, lab.unknown, lab.waiting) == (0, 0, 0, 0)
    assert lab.confirmed_median is not None
    assert lab.confirmed_median > a.latency_median


def test_what_is_lost_is_repaired() -> None:
    stations, lab = fared(scenario(says("a", "b"), loss=0.2))
    assert (lab.messages, lab.delivered) == (15, 15)
    assert lab.lost == stations["a"].lost + stations["b"].lost > 0
    assert lab.latency_max is not None and lab.latency_median is not None
    assert lab.latency_max > lab.latency_median


def test_what_is_for_everyone_comes_to_all_who_listen() -> None:
    nodes = plain("abcd")
    stations, lab = fared(scenario(says("a"), nodes=nodes, loss=0.1))
    assert lab.delivered == 15
    assert [stations[name].received for name in ("b", "c", "d")] == [15, 15, 15]


def test_two_that_do_not_hear_each_other_collide_at_a_third() -> None:
    nodes: dict[str, Any] = {"a": {"hears": ["b"]}, "b": {}, "c": {"hears": ["b"]}}
    stations, _ = fared(scenario(says("a", "b"), says("c", "b", every=60), nodes=nodes))
    assert stations["b"].collided > 0
    assert stations["b"].received >= stations["a"].delivered + stations["c"].delivered > 40


def test_a_router_only_relays() -> None:
    nodes: dict[str, Any] = {
        "a": {"hears": ["hill"]},
        "hill": {"role": "ROUTER"},
        "b": {"hears": ["hill"]},
    }
    stations, lab = fared(scenario(says("a", "b", every=180), nodes=nodes, hop_limit=1))
    assert lab.delivered == lab.messages == 10
    hill = stations["hill"]
    assert (hill.messages, hill.received) == (0, 0)
    assert hill.packets >= stations["a"].delivered * 3


def test_without_relays_it_is_not_heard_there() -> None:
    nodes: dict[str, Any] = {
        "a": {"hears": ["hill"]},
        "hill": {"role": "ROUTER"},
        "b": {"hears": ["hill"]},
    }
    stations, lab = fared(scenario(says("a", "b", every=600), nodes=nodes))
    assert (stations["b"].received, lab.delivered) == (0, 0)
    assert lab.unknown == 3


# what happens to nodes


def test_a_node_that_restarts_loses_no_message() -> None:
    event = {"at": 123, "node": "a", "does": "reboot"}  # in the middle of the second burst
    _, lab = fared(scenario(says("a", "b"), events=[event]))
    assert lab.delivered == lab.messages == 15


def test_a_message_waits_for_a_node_that_says_nothing() -> None:
    events = [{"at": 100, "node": "a", "does": "silence"}, {"at": 700, "node": "a", "does": "wake"}]
    _, lab = fared(scenario(says("a", "b"), events=events))
    assert lab.delivered == lab.messages == 15
    assert lab.latency_max is not None
    assert lab.latency_max > 570


def test_what_nobody_confirms_is_unknown() -> None:
    events = [
        {"at": 100, "node": "b", "does": "silence"},
        {"at": 1000, "node": "b", "does": "wake"},
    ]
    stations, lab = fared(scenario(says("a", "b"), events=events))
    assert lab.unknown > 0
    assert lab.delivered == stations["b"].received == lab.messages - lab.unknown


# what the law allows


def test_what_the_law_does_not_allow_waits() -> None:
    stations, lab = fared(scenario(says("a", "b", every=20), region="EU_868", duration=5400))
    a = stations["a"]
    assert a.limit == 360
    assert 0.97 < a.share <= 1
    assert lab.waiting > 0
    assert lab.delivered + lab.waiting == lab.messages


def test_no_hour_is_exceeded_on_a_channel_where_everybody_speaks() -> None:
    nodes = plain("abcdef")
    crowd = [says("a", every=60, bytes=408), says("b", "c", every=60), says("d", "e", every=90)]
    more: dict[str, Any] = {"region": "EU_868", "duration": 4500, "loss": 0.1, "seed": 5}
    stations, lab = fared(scenario(*crowd, nodes=nodes, **more))
    assert max(station.share for station in stations.values()) <= 1
    assert lab.collided > 50
    assert lab.delivered > lab.messages / 2


def test_a_message_that_is_too_long_is_refused() -> None:
    _, lab = fared(scenario(says("a", "b", bytes=25_908, every=600)))
    assert (lab.messages, lab.refused, lab.packets) == (3, 3, 0)


# that it can be run again


def test_the_same_seed_gives_the_same_figures() -> None:
    nodes = plain("abc")

    def once(seed: int) -> tuple[dict[str, Station], Lab]:
        return fared(
            scenario(says("a"), says("b", "c"), nodes=nodes, loss=0.3, seed=seed, duration=600)
        )

    assert once(1) == once(1)
    assert once(1)[1].packets != once(2)[1].packets


def test_it_is_told_how_far_it_is() -> None:
    told: list[str] = []
    run(scenario(says("a", "b")), told.append)
    assert len(told) == 100
    assert told[0] == "18 of 1800 s: 1 of 1 messages have ended"
    assert told[-1] == "1800 of 1800 s: 15 of 15 messages have ended"


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "lab").glob("*.toml")), ids=str)
def test_the_examples_run(path: Path) -> None:
    stations, lab = fared(Scenario.read(path))
    assert lab.delivered > lab.messages / 2
    assert all(station.share <= 1 for station in stations.values())


# figures


def test_ranks_are_values_that_there_are() -> None:
    assert rank([], 0.5) is None
    assert [rank([3.0, 1.0, 2.0], share) for share in (0.1, 0.5, 0.9, 1.0)] == [1, 2, 3, 3]
    assert rank([float(n) for n in range(1, 11)], 0.9) == 9


def test_an_hour_may_begin_at_any_moment() -> None:
    sent = [Sent(at, 10.0) for at in (0.0, 1800.0, 3599.0, 3601.0, 9000.0)]
    assert most_in_an_hour(sent) == 30
    assert most_in_an_hour([]) == 0


def test_more_than_an_outbox_holds_is_said_of_the_scenario() -> None:
    much = scenario(says("a", "b", every=1.0))
    with pytest.raises(ExceptionGroup) as raised:
        simulate(much, lambda text: None, outbox=OutboxBounds(messages=10))
    said = r"the scenario wants more .* that of a is full after 1\d s"
    assert raised.group_contains(FocalError, match=said)
