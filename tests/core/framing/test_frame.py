"""Frames against any bytes: a value or FrameError, and the same bytes again."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import FrameError
from focal.core.framing.frame import (
    MAX_CONTROL,
    Frame,
    Hello,
    Symbol,
    Whole,
    pack,
    pad,
    unpack,
)
from focal.core.message import MAX_MESSAGE, Kind, Message, MessageId

from ..outside import any_frame, anything, calls_of, controls, refuses_or_reads

PADDED = 16
valid = any_frame.map(pack)
WHOLE = pack(Whole(Message(MessageId(1, 1), Kind.TEXT, b"hi").to_bytes()))


@given(any_frame)
def test_a_frame_comes_back_from_its_bytes(frame: Frame) -> None:
    assert unpack(pack(frame)) == frame


@given(anything(valid))
def test_bytes_that_are_read_are_written_again_but_for_their_filling(data: bytes) -> None:
    frame = refuses_or_reads(unpack, data)
    if frame is not None:
        plain = pack(cast("Frame", frame))
        if data[1] & PADDED:
            assert plain == bytes((data[0], data[1] & ~PADDED)) + data[2 : -data[-1]]
        else:
            assert plain == data


@given(any_frame, st.integers(1, 255))
def test_a_padded_frame_is_the_same_frame(frame: Frame, more: int) -> None:
    plain = pack(frame)
    padded = pad(plain, len(plain) + more)
    assert len(padded) == len(plain) + more
    assert unpack(padded) == frame


@given(any_frame, st.binary(max_size=254))
def test_what_fills_a_frame_is_not_read(frame: Frame, filling: bytes) -> None:
    plain = pack(frame)
    filled = bytes((plain[0], plain[1] | PADDED)) + plain[2:] + filling
    assert unpack(filled + bytes((len(filling) + 1,))) == frame


@pytest.mark.parametrize("length", [0, len(WHOLE), len(WHOLE) + 256])
def test_a_frame_is_not_padded_to_its_own_length_or_too_far(length: int) -> None:
    with pytest.raises(ValueError, match="cannot be padded"):
        pad(WHOLE, length)
    with pytest.raises(ValueError, match="cannot be padded"):
        pad(pad(WHOLE, 60), 70)


@given(controls)
def test_control_frames_are_short(frame: Frame) -> None:
    assert len(pack(frame)) <= MAX_CONTROL


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes are no frame"),
        (b"\xa1", "1 bytes are no frame"),
        (b"\xa1" + bytes(MAX_MESSAGE + 400), "are no frame"),
        (b"\xa0\x00", "first byte 0xa0"),
        (b"\xa2\x00", "version 2"),
        (b"\xf1\x00", "first byte 0xf1"),
        (b"\xa1\x08", "later version"),
        (b"\xa1\x00", "no whole message"),
        (b"\xa1\x10", "filling"),
        (b"\xa1\x10\x00", "filling"),
        (b"\xa1\x10\x02", "filling"),
        (b"\xa1\x20\0\0\0\1\1\0", "without a symbol"),
        (b"\xa1\x20\0\0\0\1\0\0x", "no such symbol: 0 of 0"),
        (b"\xa1\x20\0\0\0\1\x80\0x", "no such symbol: 0 of 128"),
        (b"\xa1\x20\0\0\0\1\1\xffx", "no such symbol: 255 of 1"),
        (b"\xa1\x40" + bytes(8) + b"\x80\0", "cut in 128"),
        (b"\xa1\x60" + bytes(8) + b"\x00\0", "type 3"),
        (b"\xa1\x60" + bytes(8) + b"\x04\0", "type 3"),
        (b"\xa1\x80" + bytes(11), "type 4"),
        (b"\xa1\xa0" + bytes(8) + b"\x02", "hello"),
        (b"\xa1\xa0" + bytes(10), "type 5"),
        (b"\xa1\xa0" + bytes(13), "type 5"),
        (b"\xa1\xc0" + bytes(10), "unknown type 6"),
        (b"\xa1\xe0" + bytes(10), "unknown type 7"),
    ],
)
def test_what_is_no_frame_is_said_in_a_line(data: bytes, said: str) -> None:
    with pytest.raises(FrameError, match=said):
        unpack(data)


def test_an_answer_asks_nobody() -> None:
    with pytest.raises(ValueError, match="asks nobody"):
        Hello(1, 2, False, 3)


@given(st.binary(max_size=300))
def test_a_symbol_may_be_any_bytes(data: bytes) -> None:
    frame = refuses_or_reads(unpack, b"\xa1\x20\0\0\0\1\x7f\xfe" + data)
    assert frame == (Symbol(1, 127, 254, data) if data else None)


def test_reading_the_longest_frame_takes_few_steps() -> None:
    assert calls_of(lambda: unpack(pad(WHOLE, 255) + bytes(MAX_MESSAGE))) < 100
