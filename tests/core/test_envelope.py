"""Envelopes against any bytes: a value or FrameError, and what is unknown is kept."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.envelope import MAX_DEPTH, MAX_ENVELOPE, Envelope, is_envelope
from focal.core.errors import FrameError
from focal.core.message import Kind, Message, MessageId

from .outside import anything, calls_of, envelopes, refuses_or_reads

MESSAGE = Message(MessageId(1, 2), Kind.TEXT, b"hello").to_bytes()
BIN = b"\xc4" + bytes((len(MESSAGE),)) + MESSAGE
valid = envelopes.map(Envelope.to_bytes)


def packed(**fields: bytes) -> bytes:
    """Return a map of these keys and packed values over those of a good envelope."""
    whole = {"v": b"\x01", "m": BIN, "h": b"\x00", "r": b"\x90", **fields}
    pairs = [bytes((0xA0 | len(key),)) + key.encode() + whole[key] for key in whole if whole[key]]
    return bytes((0x80 | len(pairs),)) + b"".join(pairs)


@given(envelopes)
def test_an_envelope_comes_back_from_its_bytes(envelope: Envelope) -> None:
    data = envelope.to_bytes()
    assert is_envelope(data)
    assert Envelope.from_bytes(data) == envelope
    assert Envelope.from_bytes(data).to_bytes() == data


@given(anything(valid))
def test_what_is_read_can_be_passed_on(data: bytes) -> None:
    envelope = refuses_or_reads(Envelope.from_bytes, data)
    if isinstance(envelope, Envelope):  # maps can be spelled in many ways: ours is the last
        written = envelope.to_bytes()
        assert Envelope.from_bytes(written).to_bytes() == written


def test_the_keys_stand_in_any_order() -> None:
    shuffled = b"\x84\xa1r\x90\xa1h\x05\xa1m" + BIN + b"\xa1v\x01"
    assert Envelope.from_bytes(shuffled) == Envelope(MESSAGE, 5)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "does not begin like a map"),
        (b"\x90", "does not begin like a map"),
        (bytes(MAX_ENVELOPE + 1), "at most"),
        (b"\x84", "damaged"),
        (packed() + b"\0", "damaged.*extra"),
        (b"\xdf\xff\xff\xff\xff", "damaged.*max_map_len"),
        (b"\x81\x01\x02", "damaged"),
        (b"\x81\xc4\x01v\x01", "text keys"),
        (packed(v=b""), "no version"),
        (packed(v=b"\xc3"), "no version"),
        (packed(v=b"\x91" * 1000 + b"\x01"), "no version"),
        (packed(v=b"\x02"), "of version 2"),
        (packed(m=b""), "no whole message"),
        (packed(m=b"\xc4\x01\xf1"), "no whole message"),
        (packed(h=b""), "0 to 7"),
        (packed(h=b"\x08"), "0 to 7"),
        (packed(h=b"\xff"), "0 to 7"),
        (packed(h=b"\xc2"), "0 to 7"),
        (packed(h=b"\x91" * 1000 + b"\x01"), "0 to 7"),
        (packed(r=b""), "no short list"),
        (packed(r=b"\xdc\x00\x41" + bytes(65)), "no short list"),
        (packed(r=b"\x91\xff"), "else than origins"),
        (packed(r=b"\x91\xcf\x00\x00\x00\x01\x00\x00\x00\x00"), "else than origins"),
        (packed(x=b"\xc7\x00\x05"), "no plain data"),
        (packed(x=b"\xd4\x05\x01"), "damaged.*max_ext_len"),
        (packed(x=b"\xdd\x00\x01\x00\x00"), "damaged.*max_array_len"),
        (packed(x=b"\xa1\xff"), "damaged"),
        (packed(x=b"\x91" * 1100 + b"\x01"), "damaged"),
    ],
)
def test_what_is_no_envelope_is_said_in_a_line(data: bytes, said: str) -> None:
    with pytest.raises(FrameError, match=said):
        Envelope.from_bytes(data)


@pytest.mark.parametrize(("depth", "good"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
@pytest.mark.parametrize("nest", [b"\x91", b"\x81\xa1x"])
def test_values_are_nested_only_so_deep_that_who_passes_them_on_can(
    nest: bytes, depth: int, good: bool
) -> None:
    data = packed(x=nest * depth + b"\x01")
    if good:
        assert Envelope.from_bytes(data).to_bytes() == data
    else:
        with pytest.raises(FrameError, match="nested too deep"):
            Envelope.from_bytes(data)


@given(st.integers(0, 255), st.binary(max_size=3))
def test_an_envelope_is_told_by_its_first_byte(first: int, rest: bytes) -> None:
    assert is_envelope(bytes((first,)) + rest) == (0x80 <= first <= 0x8F or first in (0xDE, 0xDF))


def test_reading_the_widest_envelope_takes_few_steps() -> None:
    rows = struct.pack(">BH", 0xDC, 256) + (struct.pack(">BH", 0xDC, 256) + bytes(256)) * 256
    data = packed(x=rows)
    assert 65_000 < len(data) <= MAX_ENVELOPE
    assert calls_of(lambda: Envelope.from_bytes(data)) < 10 * len(data)
