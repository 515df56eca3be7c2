"""Frames come out of a stream however it is cut, and anything else is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import FrameError
from focal.lab.stream import MOST, STRAY, Frames, frame

BODIES = st.lists(st.binary(max_size=64), max_size=8)


@given(BODIES, st.lists(st.integers(1, 32), min_size=1))
def test_what_was_framed_comes_out_again_in_whatever_pieces(
    bodies: list[bytes], pieces: list[int]
) -> None:
    data, frames, found = b"\xc3" * 32 + b"".join(map(frame, bodies)), Frames(), list[bytes]()
    while data:
        for size in pieces:
            found += frames.feed(data[:size])
            data = data[size:]
    assert found == bodies


@given(st.lists(st.binary(max_size=2048), max_size=8))
def test_any_bytes_are_frames_or_an_error(pieces: list[bytes]) -> None:
    frames = Frames()
    try:
        assert all(len(body) <= MOST for piece in pieces for body in frames.feed(piece))
    except FrameError:
        pass


def test_a_mark_that_is_cut_in_two_is_a_mark() -> None:
    frames = Frames()
    assert frames.feed(b"log line\n\x94") == []
    assert frames.feed(b"\xc3\0\2ok") == [b"ok"]


def test_what_is_longer_than_a_message_is_refused() -> None:
    assert Frames().feed(frame(bytes(MOST))) == [bytes(MOST)]
    with pytest.raises(FrameError, match="a message of 513 bytes"):
        Frames().feed(b"\x94\xc3\x02\x01")
    with pytest.raises(FrameError, match="a message of 513 bytes"):
        frame(bytes(MOST + 1))


def test_so_much_between_frames_is_borne_and_no_more() -> None:
    frames = Frames()
    for _ in range(3):
        assert frames.feed(bytes(STRAY) + frame(b"x")) == [b"x"]
    with pytest.raises(FrameError, match="that are no messages"):
        frames.feed(bytes(STRAY + 1))
