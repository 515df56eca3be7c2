"""Options of link URLs: typed, bounded, and told by name when wrong."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.url import Options, authority

KNOWN = ("listen", "loss", "kind", "replies")


def options(query: str) -> Options:
    return Options(urlsplit(f"x://host?{query}"), *KNOWN)


def test_what_is_not_given_has_its_default() -> None:
    read = options("")
    assert not read
    assert read.integer("listen", None) is None
    assert read.number("loss", 0.5) == 0.5
    assert read.text("kind", "datagram") == "datagram"
    assert read.flag("replies", True) is True


def test_what_is_given_has_its_type() -> None:
    read = options("listen=5000&loss=0.25&kind=message&replies=no")
    assert read
    assert read.integer("listen", None, least=1, most=65535) == 5000
    assert read.number("loss", 0.0, least=0, most=1) == 0.25
    assert read.text("kind", "", choices=("datagram", "message")) == "message"
    assert read.flag("replies", True) is False


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("los=0.1", ["'los'", "'loss'"]),
        ("zzz=1", ["'zzz'", "kind, listen, loss, replies"]),
        ("loss=1&loss=2", ["'loss'", "twice"]),
        ("loss=", ["'loss'", "value"]),
        ("loss", ["'loss'", "value"]),
    ],
)
def test_an_option_that_cannot_be_is_named(query: str, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        options(query)
    assert all(word in str(caught.value) for word in words)


def test_a_link_without_options_says_so() -> None:
    with pytest.raises(ValueError, match="has none"):
        Options(urlsplit("x://host?a=1"))


WRONG: list[tuple[str, Callable[[Options], object], str]] = [
    ("listen=x", lambda o: o.integer("listen", 0), "listen=x: expected a whole number"),
    ("listen=0", lambda o: o.integer("listen", 0, least=1, most=9), "from 1 to 9"),
    ("listen=0", lambda o: o.integer("listen", 0, least=1), "1 at least"),
    ("listen=9", lambda o: o.integer("listen", 0, most=8), "8 at most"),
    ("loss=2", lambda o: o.number("loss", 0.0, least=0, most=1), "a number from 0 to 1"),
    ("loss=nan", lambda o: o.number("loss", 0.0), "a number"),
    ("loss=inf", lambda o: o.number("loss", 0.0), "a number"),
    ("kind=x", lambda o: o.text("kind", "", choices=("a", "b")), "expected a or b"),
    ("replies=maybe", lambda o: o.flag("replies", True), "expected 1 or 0"),
]


@pytest.mark.parametrize(("query", "read", "words"), WRONG)
def test_a_value_that_cannot_be_says_what_is_expected(
    query: str, read: Callable[[Options], object], words: str
) -> None:
    with pytest.raises(ValueError) as caught:
        read(options(query))
    assert words in str(caught.value)


def test_host_and_port() -> None:
    assert authority(urlsplit("udp://Host:5")) == ("host", 5)
    assert authority(urlsplit("udp://[::1]:5")) == ("::1", 5)
    assert authority(urlsplit("mqtt://host"), 1883) == ("host", 1883)


@pytest.mark.parametrize("url", ["udp://:5", "udp:x", "udp://h", "udp://h:0", "udp://h:99999"])
def test_a_host_or_port_that_is_missing_is_told(url: str) -> None:
    with pytest.raises(ValueError, match=r"the (host|port) is"):
        authority(urlsplit(url))


@given(st.text())
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        Options(urlsplit("x://h")._replace(query=query), *KNOWN).number("loss", 0.0)
    except ValueError as error:
        assert str(error)
