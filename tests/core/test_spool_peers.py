"""The peer table: whom we heard, and where."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from focal.core.bridge import Sight
from focal.core.peers import Peer
from focal.core.spool import Spool
from tests.core.spooling import Clock, small


@pytest.fixture
def spool(tmp_path: Path) -> Generator[Spool]:
    with small(tmp_path / "spool.db", Clock()) as spool:
        yield spool


def test_an_origin_is_found_by_address_and_by_name(spool: Spool) -> None:
    spool.peers.learn(5, "lora:x", "!0000abcd", "Anna", 100.0)
    spool.peers.learn(5, "mqtt:x", None, "Anna", 100.0)
    assert spool.peers.address_of(5, "lora:x") == "!0000abcd"
    assert spool.peers.origin_of("lora:x", "!0000abcd") == 5
    assert spool.peers.origins_named("anna") == [5]
    assert spool.peers.address_of(5, "mqtt:x") is None is spool.peers.address_of(6, "lora:x")
    assert spool.peers.origin_of("mqtt:x", "!0000abcd") is None
    assert spool.peers.origins_named("Otto") == []


def test_what_is_not_said_again_is_not_forgotten(spool: Spool) -> None:
    spool.peers.learn(5, "lora:x", "!1", "Anna", 100.0)
    spool.peers.learn(5, "lora:x", None, None, 200.0)
    assert spool.peers.peers() == [Peer(5, "lora:x", "!1", "Anna", 200.0)]
    spool.peers.learn(5, "lora:x", "!2", "Ann", 150.0)
    assert spool.peers.peers() == [Peer(5, "lora:x", "!2", "Ann", 200.0)]


def test_hearing_the_same_again_at_once_writes_nothing(spool: Spool, tmp_path: Path) -> None:
    spool.peers.learn(5, "lora:x", "!1", "Anna", 100.0)
    with small(tmp_path / "spool.db", Clock()) as other:
        before = other.changes()
        spool.peers.learn(5, "lora:x", "!1", "Anna", 150.0)
        assert other.changes() == before
        spool.peers.learn(5, "lora:x", "!1", "Anna", 161.0)
        assert other.changes() != before


def test_the_last_to_use_an_address_or_a_name_comes_first(spool: Spool) -> None:
    spool.peers.learn(5, "lora:x", "!1", "Anna", 100.0)
    spool.peers.learn(6, "lora:x", "!1", "ANNA", 200.0)
    assert spool.peers.origin_of("lora:x", "!1") == 6
    assert spool.peers.origins_named("anna") == [6, 5]


def test_who_was_not_heard_for_longest_is_forgotten(spool: Spool) -> None:
    for origin, at in ((1, 300.0), (2, 100.0), (3, 200.0), (4, 400.0)):
        spool.peers.learn(origin, "lora:x", None, None, at)
    assert [peer.origin for peer in spool.peers.peers()] == [4, 1, 3]


def test_where_a_node_was_heard_itself_and_where_bridges_spoke_for_it(spool: Spool) -> None:
    spool.peers.learn(5, "lora:x", "!1", None, 100.0)
    spool.peers.learn(5, "lora:x", None, None, 5000.0)
    spool.peers.learn(5, "mqtt:x", None, None, 5000.0)
    spool.peers.learn(5, "file:x", None, None, 5000.0, near=True)  # which has no addresses
    assert spool.peers.heard(5) == {
        "lora:x": Sight(5000.0, 100.0),
        "mqtt:x": Sight(5000.0, None),
        "file:x": Sight(5000.0, 5000.0),
    }
    spool.peers.learn(5, "mqtt:x", "5", None, 5001.0)
    assert spool.peers.heard(5)["mqtt:x"].near == 5001.0
