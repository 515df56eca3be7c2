"""TinyVoice's packets against any bytes and any names, and back."""

from __future__ import annotations

import struct
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import FrameError
from focal.core.message import MAX_NAME, Kind, Message, MessageId
from focal.core.tinyvoice import (
    BITS,
    LIFETIME,
    MAX_PACKET,
    Packet,
    guess_codec,
    is_tinyvoice,
    packet_of,
    parse,
    read_packet,
    seconds_of,
    tokens_of,
)
from focal.core.tokens import Segment, pack_segments

from .outside import anything, calls_of, refuses_or_reads

tokens = st.lists(st.integers(0, (1 << BITS) - 1), min_size=1, max_size=60)
any_text = st.text(st.characters(), max_size=200)  # with halves of surrogate pairs, as from JSON


def words(tokens: list[int]) -> bytes:
    return struct.pack(f"<{len(tokens)}H", *tokens)


packets = st.builds(bytes.__add__, st.sampled_from([b"\1", b"\2", b"\3"]), tokens.map(words))
bare_packets = tokens.map(words).filter(lambda data: data[0] not in (0xFD, 0xFE))


@given(anything(packets | bare_packets))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    packet = refuses_or_reads(parse, data)
    assert (packet is not None) == is_tinyvoice(data)
    if packet is not None:
        read = cast("Packet", packet)
        magic = b"" if read.headerless else bytes((read.codec,))
        assert magic + words(list(read.tokens)) == data


@given(anything(packets | bare_packets), any_text, any_text, st.integers(0, (1 << 32) - 1))
def test_any_packet_from_anywhere_is_a_message_or_refused(
    data: bytes, room: str, name: str, occurrence: int
) -> None:
    def read(data: bytes) -> Message:
        return read_packet(data, room=room, name=name, occurrence=occurrence)

    message = refuses_or_reads(read, data)
    if isinstance(message, Message):
        assert Message.from_bytes(message.to_bytes()) == message
        assert packet_of(message)[-2 * len(parse(data).tokens) :] == data[len(data) % 2 :]
    else:
        assert not is_tinyvoice(data) or max(parse(data).tokens) >= 1 << BITS


@given(packets)
def test_a_packet_comes_back_from_its_message(data: bytes) -> None:
    message = read_packet(data, room="lobby", name="Ada")
    assert packet_of(message) == data
    assert (message.lifetime, message.sent_at, message.clock_trusted) == (LIFETIME, 0, False)


@given(packets, bare_packets)
def test_a_headerless_packet_is_another_one_than_the_same_with_its_magic(
    magic: bytes, bare: bytes
) -> None:
    assert read_packet(bare, codec=1).id != read_packet(b"\x01" + bare).id
    assert read_packet(magic).id.origin == read_packet(bare).id.origin


@pytest.mark.parametrize(
    ("name", "sender"),
    [
        ("", None),
        ("Ada", "Ada"),
        ("é" * 70, "é" * 64),
        ("." + "é" * 70, "." + "é" * 63),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ud83d", "\ufffd"),
        ("a\udc00b", "a\ufffdb"),
    ],
)
def test_a_name_is_kept_as_far_as_a_message_has_room_for_it(name: str, sender: str | None) -> None:
    message = read_packet(b"\x01\x02\x03", name=name)
    assert message.sender == sender
    assert len((message.sender or "").encode()) <= MAX_NAME


def test_long_names_that_begin_alike_are_two_origins() -> None:
    one, other = (read_packet(b"\x01\x02\x03", name="x" * 128 + end) for end in "ab")
    assert one.sender == other.sender and one.id.origin != other.id.origin


@pytest.mark.parametrize(
    ("count", "codec"), [(1, 3), (100, 3), (101, 2), (200, 2), (201, 1), (32_768, 1)]
)
def test_a_headerless_packet_is_guessed_by_its_length(count: int, codec: int) -> None:
    assert guess_codec(count) == codec
    assert parse(bytes(2 * count)).codec == codec
    assert parse(bytes(2 * count), codec=1).codec == 1


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x04\0\0", b"\xfd\0", b"\xfe\0\0\0", bytes(MAX_PACKET + 2)], ids=len
)
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError, match="not a TinyVoice packet"):
        parse(data)


def test_the_longest_packet_goes_there_and_back() -> None:
    data = b"\x02" + words([8191] * 32_767)
    message = read_packet(data, room="r", name="n")
    assert packet_of(Message.from_bytes(message.to_bytes())) == data
    assert seconds_of(message) == 32_767 / 25
    bare = read_packet(words([8191] * 32_768))
    with pytest.raises(FrameError, match="65537 bytes"):
        packet_of(bare)


def test_tokens_that_nothing_decodes_are_refused() -> None:
    with pytest.raises(FrameError, match="above 8191"):
        read_packet(b"\x01\x00\x20")


@given(st.sampled_from([0, 1, 4, 16]), st.sampled_from(list(Kind)), st.binary(max_size=40))
def test_any_message_has_a_form_or_is_refused(codec: int, kind: Kind, payload: bytes) -> None:
    message = Message(MessageId(1, 1), kind, payload, codec=codec)
    data = refuses_or_reads(lambda _: packet_of(message), b"")
    assert data is None or (codec, kind) == (1, Kind.VOICE)


def test_segments_are_joined_and_what_they_trim_is_forgotten() -> None:
    payload = pack_segments([Segment((1, 2), 3), Segment((4,), 5)], BITS)
    message = Message(MessageId(1, 1), Kind.VOICE, payload, codec=2)
    assert tokens_of(message) == [1, 2, 4]
    assert packet_of(message) == b"\x02" + words([1, 2, 4])


def test_reading_the_longest_packet_takes_few_steps() -> None:
    data = words([8191] * 32_768)
    assert calls_of(lambda: read_packet(data)) < 4 * len(data)
