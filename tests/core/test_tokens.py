"""Token payloads against any bytes, at each number of bits that a model has."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import FrameError
from focal.core.message import MAX_PAYLOAD
from focal.core.tokens import (
    MAX_TOKENS,
    Segment,
    pack_bits,
    pack_segments,
    unpack_bits,
    unpack_segments,
)

from .outside import anything, calls_of, refuses_or_reads, segments

BITS = pytest.mark.parametrize("bits", [11, 12, 13, 16])


@BITS
@given(data=st.data())
def test_segments_come_back_from_their_bytes(bits: int, data: st.DataObject) -> None:
    row = data.draw(segments(bits))
    assert unpack_segments(pack_segments(row, bits), bits) == row


@BITS
@given(data=st.data())
def test_bytes_that_are_read_are_written_again(bits: int, data: st.DataObject) -> None:
    valid = segments(bits).map(lambda row: pack_segments(row, bits))
    payload = data.draw(anything(valid))
    row = refuses_or_reads(lambda payload: unpack_segments(payload, bits), payload)
    if row is not None:
        assert pack_segments(cast("list[Segment]", row), bits) == payload


@BITS
def test_the_longest_segments_come_back(bits: int) -> None:
    long = tuple((7919 * i) % (1 << bits) for i in range(MAX_TOKENS))
    row = [Segment(long, 15), Segment(long), Segment((0,) * MAX_TOKENS, 3)]
    payload = pack_segments(row, bits)
    assert unpack_segments(payload, bits) == row
    assert len(payload) == 3 + 3 + 1 + 3 * -(-MAX_TOKENS * bits // 8)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "without its last"),
        (b"\x80", "last segment of 0"),
        (b"\x80\x00", "last segment of 0"),
        (b"\x80\x00\x00\x00", "are not 1 tokens"),
        (b"\x80\x00\x01", "are not 1 tokens"),
        (b"\x40\x00\x01\x00\x00", "later version"),
        (b"\x00\x00", "does not fit"),
        (b"\x00\x00\x00\x80\x00\x00", "does not fit"),
        (b"\x00\x03\xe9" + bytes(4000), "does not fit"),
        (b"\x00\x00\x01\x00\x00", "without its last"),
        (b"\x00\x00\x01\x00\x07\x80\x00\x00", "are not 1 tokens"),
        (b"\x80" + bytes(1627), "last segment of 1001"),
    ],
)
def test_what_is_no_payload_is_said_in_a_line(payload: bytes, said: str) -> None:
    with pytest.raises(FrameError, match=said):
        unpack_segments(payload, 13)


@pytest.mark.parametrize(
    "row",
    [
        [],
        [Segment(())],
        [Segment((0,) * (MAX_TOKENS + 1))],
        [Segment((0,), 16)],
        [Segment((1 << 13,))],
        [Segment((-1,))],
    ],
)
def test_what_the_wire_cannot_carry_is_a_value_error(row: list[Segment]) -> None:
    with pytest.raises(ValueError):
        pack_segments(row, 13)


@given(st.integers(1, 16), st.binary(max_size=40), st.integers(0, 60))
def test_bits_are_read_exactly_or_refused(bits: int, data: bytes, count: int) -> None:
    try:
        tokens = unpack_bits(data, bits, count)
    except FrameError:
        return
    assert len(tokens) == count and pack_bits(tokens, bits) == data


@pytest.mark.parametrize("segment", [b"\x00\x00\x01\x00\x00", b"\x00\x03\xe8" + bytes(1625)])
def test_reading_the_longest_payload_takes_few_steps(segment: bytes) -> None:
    payload = segment * (MAX_PAYLOAD // len(segment))
    assert calls_of(lambda: unpack_segments(payload, 13)) < 4 * len(payload)
