"""What any file is: ours, TinyVoice's, damaged or neither; one clear line each."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.envelope import Envelope
from focal.core.errors import FrameError
from focal.core.framing import frame as frames
from focal.core.framing.split import frames_for
from focal.core.message import Kind, Message, MessageId
from focal.core.packets import NEITHER, Opened, open_packet

from .outside import any_frame, anything, checked, damaged, envelopes, messages, refuses_or_reads

VOICE = Message(MessageId(0x1A2B3C4D, 7), Kind.VOICE, bytes(range(60)), codec=1, sender="Ada")
LONG = Message(MessageId(0x1A2B3C4D, 8), Kind.VOICE, bytes(range(250)) * 2, codec=1)
UNCHECKED = b"\xa1h\x01\xa1r\x91\xce\xde\xad\xbe\xef"
FOCAL = Envelope(VOICE.to_bytes(), 1, (0xDEADBEEF,)).to_bytes()

valid = (
    envelopes.map(Envelope.to_bytes)
    | messages.map(Message.to_bytes)
    | any_frame.map(frames.pack)
    | st.integers(1, 3).map(lambda magic: bytes((magic, 1, 2, 3, 4)))
    | st.lists(st.integers(0, 31), min_size=2, max_size=20).map(lambda t: bytes(t + t))
)


def said(data: bytes) -> str:
    with pytest.raises(FrameError) as caught:
        open_packet(data)
    return str(caught.value)


@given(anything(valid))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    refuses_or_reads(open_packet, data)


@given(messages, st.integers(0, 7))
def test_our_own_forms_are_known(message: Message, hops: int) -> None:
    data = message.to_bytes()
    assert open_packet(data) == Opened("message", message)
    assert open_packet(Envelope(data, hops).to_bytes()) == Opened("envelope", message, hops)
    assert open_packet(frames.pack(frames.Whole(data, hops))) == Opened("frame", message, hops)


@given(messages, st.integers(1, 255))
def test_a_padded_frame_is_known(message: Message, more: int) -> None:
    frame = frames.pack(frames.Whole(message.to_bytes()))
    assert open_packet(frames.pad(frame, len(frame) + more)) == Opened("frame", message)


def test_tinyvoice_is_known_by_its_magic_and_odd_length() -> None:
    opened = open_packet(b"\x02" + bytes(20))
    assert (opened.form, opened.message.codec, opened.guessed) == ("tinyvoice", 2, False)


@pytest.mark.parametrize(("tokens", "codec"), [(1, 3), (100, 3), (101, 2), (200, 2), (201, 1)])
def test_a_headerless_packet_is_guessed_and_says_so(tokens: int, codec: int) -> None:
    guess = open_packet(b"\x05\x1f" * tokens)
    assert (guess.form, guess.message.codec, guess.guessed) == ("tinyvoice-headerless", codec, True)
    told = open_packet(b"\x05\x1f" * tokens, codec=1)
    assert (told.message.codec, told.guessed) == (1, False)


@pytest.mark.parametrize("first", [0x01, 0x03, 0x81, 0x8F, 0xA1, 0xA7, 0xDE, 0xF1, 0xF7])
def test_a_headerless_packet_may_begin_with_any_of_our_first_bytes(first: int) -> None:
    assert open_packet(bytes((first, 3)) * 20).form == "tinyvoice-headerless"


@pytest.mark.parametrize("at", range(len(FOCAL)))
def test_a_packet_file_with_any_byte_damaged_is_called_damaged(at: int) -> None:
    for bit in range(8):
        data = FOCAL[:at] + bytes((FOCAL[at] ^ 1 << bit,)) + FOCAL[at + 1 :]
        if len(FOCAL) - at <= len(UNCHECKED):  # hops and route: who changes them makes others
            opened = refuses_or_reads(open_packet, data)
            assert opened is None or cast("Opened", opened).message == VOICE
        else:
            assert "TinyVoice" not in said(data) and "envelope" in said(data)


@pytest.mark.parametrize("end", range(4, len(FOCAL)))
def test_a_packet_file_that_breaks_off_is_called_damaged(end: int) -> None:
    assert "damaged envelope" in said(FOCAL[:end])


@given(damaged(st.just(FOCAL)).filter(lambda data: data[:4] == FOCAL[:4]))
def test_a_packet_file_after_any_accident_is_never_taken_for_another_s(data: bytes) -> None:
    opened = refuses_or_reads(open_packet, data)
    if opened is None:
        assert "TinyVoice" not in said(data)
    else:
        assert isinstance(opened, Opened) and opened.message == VOICE


@pytest.mark.parametrize("whole", [VOICE.to_bytes(), frames.pack(frames.Whole(VOICE.to_bytes()))])
def test_a_bare_message_or_frame_that_is_damaged_is_called_that(whole: bytes) -> None:
    for at in range(2, len(whole)):
        broken = whole[:at] + bytes((whole[at] ^ 64,)) + whole[at + 1 :]
        assert said(broken).startswith("a damaged ")
    for end in range(6, len(whole)):  # shorter ones may be a token or two
        assert said(whole[:end]).startswith("a damaged ")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "it is empty"),
        (b"\0", NEITHER),
        (b"Hello, world", NEITHER),
        (b"Hello, world!", NEITHER),
        ("Grüße vom Berg\n".encode(), NEITHER),
        ("\U0001f600 hello\n".encode(), NEITHER),
        (b"\xef\xbb\xbfwith a byte order mark", NEITHER),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), NEITHER),
        (b"RIFF\x24\x08\x00\x00WAVEfmt ", NEITHER),
        (b"\xff" * 1000, NEITHER),
        (b"\xfd\x01\x02", NEITHER),
        (b"\x01\xff\xff", "tokens above 8191"),
        (b"\xf2" + bytes(range(100, 140)), "a message of version 2"),
        (b"\xa3" + bytes(range(100, 140)), "a frame of version 3"),
        (checked(VOICE.to_bytes()[:10] + b"\x04" + VOICE.to_bytes()[11:]), "of a later version"),
        (frames_for(LONG.to_bytes(), 231)[0], "one frame of a message that is cut in 3"),
        (frames.pack(frames.Poll(1, 2, 3)), "a frame that carries no message"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_cannot_be_opened_is_said_in_a_line(data: bytes, line: str) -> None:
    assert line in said(data)


def test_an_envelope_of_a_later_message_says_what_is_later() -> None:
    later = checked(VOICE.to_bytes()[:10] + b"\x04" + VOICE.to_bytes()[11:])
    assert "kind 0x04 is of a later version" in said(Envelope(later).to_bytes())
