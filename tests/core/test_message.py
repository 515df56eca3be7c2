"""Messages against any bytes: a value or FrameError, and the same bytes again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import FrameError, TooLong
from focal.core.message import (
    LIFETIMES,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_PAYLOAD,
    MAX_SEALED,
    Kind,
    Message,
    MessageId,
    Series,
    check_of,
    destination_of,
    id_of,
    is_message,
    lifetime_for,
)

from .outside import (
    anything,
    calls_of,
    checked,
    damaged,
    forged,
    ids,
    messages,
    open_messages,
    refuses_or_reads,
)

ID = MessageId(0x1A2B3C4D, 7)
valid = messages.map(Message.to_bytes)


@given(messages)
def test_a_message_comes_back_from_its_bytes(message: Message) -> None:
    data = message.to_bytes()
    assert is_message(data)
    assert Message.from_bytes(data) == message
    assert (id_of(data), check_of(data)) == (message.id, int.from_bytes(data[-4:], "big"))
    assert destination_of(data) == (True, message.destination)


@given(anything(valid) | damaged(valid).map(checked))
def test_bytes_that_are_read_are_written_again(data: bytes) -> None:
    message = refuses_or_reads(Message.from_bytes, data)
    if isinstance(message, Message):
        assert message.to_bytes() == data


@given(valid, st.data())
def test_one_flipped_bit_is_always_noticed(data: bytes, draw: st.DataObject) -> None:
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    broken = (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")
    assert not is_message(broken)
    with pytest.raises(FrameError):
        Message.from_bytes(broken)


@given(st.binary(max_size=20))
def test_a_destination_is_told_from_a_start_only_where_it_can_be(start: bytes) -> None:
    known, destination = destination_of(start)
    assert known or destination is None


@given(open_messages)
def test_a_start_of_a_message_tells_its_destination(message: Message) -> None:
    data = message.to_bytes()
    assert [destination_of(data[:n])[0] for n in (0, 1, 9)] == [False] * 3
    assert destination_of(data[:14]) == (True, message.destination)


def test_the_longest_message_is_read_and_a_longer_one_is_not() -> None:
    most = Message(
        ID, Kind.SEALED, bytes(MAX_SEALED), lifetime=LIFETIMES[-1], destination=1
    ).to_bytes()
    assert len(most) == MAX_MESSAGE
    assert Message.from_bytes(most).to_bytes() == most
    with pytest.raises(FrameError, match="has 14 to 65707"):
        Message.from_bytes(checked(most[:-4] + b"\0" + most[-4:]))


def test_a_sealed_part_that_no_open_one_could_give_is_refused() -> None:
    most = Message(ID, Kind.SEALED, bytes(MAX_SEALED), lifetime=LIFETIMES[-1]).to_bytes()
    with pytest.raises(FrameError, match="a sealed part of 65690 bytes"):
        Message.from_bytes(checked(most[:-4] + b"\0" + most[-4:]))


def test_a_payload_that_is_too_long_is_refused_both_ways() -> None:
    most = Message(ID, Kind.DATA, bytes(MAX_PAYLOAD)).to_bytes()
    assert len(Message.from_bytes(most).payload) == MAX_PAYLOAD
    with pytest.raises(FrameError, match="a message holds 65535"):
        Message.from_bytes(checked(most[:-4] + b"\0" + most[-4:]))
    with pytest.raises(TooLong):
        Message(ID, Kind.DATA, bytes(MAX_PAYLOAD + 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": MessageId(-1, 0)},
        {"id": MessageId(0, 1 << 32)},
        {"destination": 1 << 32},
        {"sent_at": -1},
        {"codec": 256},
        {"lifetime": 61},
        {"series": Series(3, 3)},
        {"sender": ""},
        {"sender": "é" * (MAX_NAME // 2) + "."},
        {"sender": "\ud800"},
    ],
    ids=str,
)
def test_a_value_that_the_wire_cannot_carry_is_a_value_error(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"id": ID, "kind": Kind.VOICE, "payload": b""}
    with pytest.raises(ValueError):
        Message(**{**fields, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no bytes at all"),
        (b"\xf1", "a damaged message: 1 bytes"),
        (b"\xf1" + bytes(40), "a damaged message: its check"),
        (b"\xf0" + bytes(40), "first byte 0xf0 is not a message's"),
        (b"\xf7" + bytes(40), "a message of version 7"),
        (checked(b"\xf1\x01" + bytes(12)), "ends within its head"),
        (checked(b"\xf1\x00" + bytes(18)), "ends within its inner head"),
        (checked(b"\xf1\x00" + bytes(8) + b"\x10" + bytes(6) + b"\x03" + bytes(4)), "series"),
        (checked(b"\xf1\x00" + bytes(8) + b"\x20" + bytes(6) + b"\x02a" + bytes(4)), "sender name"),
        (checked(b"\xf1\x00" + bytes(8) + b"\x20" + bytes(6) + b"\x01\xff" + bytes(4)), "UTF-8"),
    ],
)
def test_what_is_wrong_with_bytes_is_said_in_a_line(data: bytes, said: str) -> None:
    with pytest.raises(FrameError, match=said):
        Message.from_bytes(data)


@given(ids)
def test_an_id_is_written_and_read(id: MessageId) -> None:
    assert MessageId.parse(str(id)) == MessageId.parse(str(id).upper()) == id


@given(st.text(max_size=18))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    try:
        assert str(MessageId.parse(text)) == text.lower()
    except FrameError as error:
        assert "16 hex digits" in str(error)


@given(st.floats(0, 2 * LIFETIMES[-1]))
def test_a_lifetime_is_rounded_up_and_no_further(seconds: float) -> None:
    lifetime = lifetime_for(seconds)
    shorter = [s for s in LIFETIMES if s < lifetime]
    assert lifetime >= min(seconds, LIFETIMES[-1])
    assert not shorter or shorter[-1] < seconds


@given(open_messages.filter(lambda message: len(message.payload) > 8), st.binary(min_size=1))
def test_a_check_is_easy_to_forge(message: Message, new: bytes) -> None:
    data = message.to_bytes()
    other = forged(data, len(data) - len(message.payload) - 4, new[: len(message.payload) - 4])
    assert is_message(other) and check_of(other) == check_of(data)


def test_reading_the_longest_message_takes_few_steps() -> None:
    data = Message(ID, Kind.DATA, bytes(MAX_PAYLOAD)).to_bytes()
    assert calls_of(lambda: Message.from_bytes(data)) < 100
