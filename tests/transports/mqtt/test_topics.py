"""Rooms as topics: whatever a room is called, no topic has a wildcard, and each is read back."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.transports.mqtt.topics import MAX_ROOM, Room, Topic

ORIGINS = st.integers(0, 2**32 - 1)
NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)


def test_topics_are_those_of_the_documentation() -> None:
    room = Room("lobby")
    assert room.topic(0x1A2B3C4D) == "focal/lobby/1a2b3c4d"
    assert room.topic(0x1A2B3C4D, "receipt") == "focal/lobby/1a2b3c4d/receipt"
    assert room.topic(0x1A2B3C4D, "status") == "focal/lobby/1a2b3c4d/status"
    assert room.filter("message") == "focal/lobby/+"
    assert room.filter("receipt") == "focal/lobby/+/receipt"


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("hill-top_2", "hill-top_2"),
        ("a b", "a%20b"),
        ("+", "%2B"),
        ("#", "%23"),
        ("a/b", "a%2Fb"),
        ("v1.0~", "v1%2E0%7E"),
        ("café", "caf%C3%A9"),
        ("cafe\u0301", "caf%C3%A9"),  # one name, however its accent was typed
        ("山", "%E5%B1%B1"),
    ],
)
def test_a_room_is_encoded(name: str, level: str) -> None:
    assert Room(name).level == level
    assert Room.from_path(f"/{quote(name, safe='')}").level == level


@given(NAMES, ORIGINS, st.sampled_from(["message", "receipt", "status"]))
def test_a_topic_is_read_back(name: str, origin: int, what: str) -> None:
    room = Room(name, "site/7")
    topic = room.topic(origin, what)  # type: ignore[arg-type]
    assert not set(topic) & set("+#") and topic.isascii()
    assert room.read(topic) == Topic(origin, what)  # type: ignore[arg-type]
    assert Room(name).read(topic) is None


@given(st.text(max_size=60))
def test_any_topic_is_read_or_is_nobodys(topic: str) -> None:
    for text in (topic, f"focal/lobby/{topic}"):
        read = Room("lobby").read(text)
        assert read is None or Room("lobby").topic(read.origin, read.what) == text


def test_a_path_may_have_a_prefix() -> None:
    assert Room.from_path("/lobby") == Room("lobby")
    assert Room.from_path("/site/7/lobby").root == "site/7/lobby"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "room is missing"),
        ("/", "room is missing"),
        ("/site/", "room is missing"),
        ("//lobby", "empty level"),
        ("/site//lobby", "empty level"),
        ("/%2B/lobby", "wildcard"),
        ("/a%23/lobby", "wildcard"),
        ("/$SYS/lobby", "begins with"),
        ("/a%00b", "nobody sees"),
        ("/%20", "nobody sees"),
        ("/a%0A/lobby", "nobody sees"),
        ("/%FF", "UTF-8"),
        (f"/{'x' * (MAX_ROOM + 1)}", f"{MAX_ROOM} bytes"),
        (f"/{'p' * 300}/lobby", "256 bytes"),
        ("/\udc80", "nobody sees"),
    ],
)
def test_what_is_no_room_is_told(path: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Room.from_path(path)
