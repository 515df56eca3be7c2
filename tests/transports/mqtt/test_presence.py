"""Who is there: what is published is read back, and any bytes are a status or an error."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.transports.mqtt.presence import MAX_MEMBERS, MAX_STATUS, Members, Status

NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=32)


def test_a_status_is_the_documented_json() -> None:
    said = json.loads(Status(True, "Ada", 1_800_000_000).to_bytes(0x1A2B3C4D))
    wanted = {"online": True, "origin": "1a2b3c4d", "name": "Ada", "since": 1_800_000_000}
    assert said == wanted
    assert json.loads(Status(False).to_bytes(1)) == {"online": False, "origin": "00000001"}


@given(st.booleans(), st.none() | NAMES, st.none() | st.integers(0, 2**40))
def test_a_status_is_read_back(online: bool, name: str | None, since: int | None) -> None:
    status = Status(online, name, since)
    assert Status.from_bytes(status.to_bytes(7)) == status


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_status_or_an_error(data: bytes) -> None:
    with suppress(ValueError):
        Status.from_bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"online",
        b"[]",
        b"{}",
        b'{"online": 1}',
        b"[" * MAX_STATUS,
        b'{"online": true, "x": "' + b"x" * MAX_STATUS + b'"}',
        b"\xff",
    ],
)
def test_what_is_no_status_is_told(data: bytes) -> None:
    with pytest.raises(ValueError):
        Status.from_bytes(data)


@pytest.mark.parametrize("name", ["", 7, "a\nb", "x" * 200, None])
def test_a_strange_name_is_none(name: object) -> None:
    assert Status.from_bytes(json.dumps({"online": True, "name": name}).encode()).name is None


def test_nothing_at_all_is_a_status_that_was_cleared() -> None:
    assert not Status.from_bytes(b"").online


def test_members_are_those_online_by_name_or_origin() -> None:
    members = Members()
    assert members.take(2, Status(True, "Bo"))
    assert members.take(1, Status(True))
    assert not members.take(1, Status(True))
    assert not members.take(3, Status(False))
    assert list(members.names) == ["~00000001", "Bo"]
    assert members.take(1, Status(True, "Ada"))
    assert members.take(2, Status(False))
    assert list(members.names) == ["Ada"]


def test_members_are_bounded() -> None:
    members = Members()
    for origin in range(MAX_MEMBERS + 5):
        members.take(origin, Status(True))
    assert len(members.names) == MAX_MEMBERS and "~00000000" not in members.names
