"""A node that relays for others sends by itself; its hour stays within the law all the same."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from focal.lab.run import run
from focal.lab.scenario import Scenario

CHAIN = """
region = "EU_868"
hop_limit = 3
duration = 7200
[bursts]
share = 0.2
seconds = 4
[nodes.a]
hears = ["r"]
[nodes.r]
hears = ["a", "b"]
role = "ROUTER"
[nodes.b]
hears = ["r"]
[[traffic]]
from = "a"
to = "b"
bytes = 400
every = 60
[[traffic]]
from = "b"
bytes = 100
every = 60
"""


@pytest.mark.parametrize("seed", [2, 3])
def test_what_a_node_relays_is_left_room_for(seed: int) -> None:
    scenario = replace(Scenario.of(tomllib.loads(CHAIN), "chain"), seed=seed)
    stations, _ = run(scenario, lambda _: None)
    assert 300 < max(station.airtime_hour for station in stations) <= 360
