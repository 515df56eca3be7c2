"""Telling what a packet file, or any bytes from outside, are.

The law of this module: the order of trial is the wire's (docs/wire.md, Detection): our own forms
by magic and check, TinyVoice's magic, TinyVoice without a magic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from . import tinyvoice
from .envelope import Envelope, is_envelope
from .errors import FrameError
from .framing import frame as frames
from .message import MAGIC, Message

Form: TypeAlias = Literal["envelope", "message", "frame", "tinyvoice", "tinyvoice-headerless"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A message and the form it was found in.

    Args:
        form: what the bytes were.
        message: the message.
        hops: bridges passed, where the form says so.
        guessed: its codec is a guess from its length (headerless TinyVoice).
    """

    form: Form
    message: Message
    hops: int = 0
    guessed: bool = False


def open_packet(data: bytes, codec: int | None = None) -> Opened:
    """Read a message in any form.

    Args:
        data: all bytes of the packet.
        codec: what a headerless TinyVoice packet is taken for; None guesses.

    Raises:
        FrameError: it is none, or it is damaged.
    """
    if is_envelope(data) and (found := _own_envelope(data)):
        return found
    if data[:1] == bytes((MAGIC,)) and (found := _own_message(data)):
        return found
    if data[:1] == bytes((frames.MAGIC,)) and (found := _own_frame(data)):
        return found
    if not tinyvoice.is_tinyvoice(data):
        raise FrameError(_blame(data) or "neither a focal packet nor a TinyVoice packet")
    try:
        return _tinyvoice(data, codec)
    except FrameError as error:  # an even length is all that headerless packets have to show
        raise FrameError(_blame(data) or str(error)) from error


def _tinyvoice(data: bytes, codec: int | None) -> Opened:
    message = tinyvoice.read_packet(data, codec=codec)
    if tinyvoice.parse(data, codec).headerless:
        return Opened("tinyvoice-headerless", message, guessed=codec is None)
    return Opened("tinyvoice", message)


def _own_envelope(data: bytes) -> Opened | None:
    try:
        envelope = Envelope.from_bytes(data)
    except FrameError:
        return None
    return Opened("envelope", Message.from_bytes(envelope.message), envelope.hops)


def _own_message(data: bytes) -> Opened | None:
    try:
        return Opened("message", Message.from_bytes(data))
    except FrameError:
        return None


def _own_frame(data: bytes) -> Opened | None:
    try:
        frame = frames.unpack(data)
    except FrameError:
        return None
    if not isinstance(frame, frames.Whole):
        return None
    return Opened("frame", Message.from_bytes(frame.message), frame.hops)


def _blame(data: bytes) -> str | None:
    """Say what is wrong with bytes that begin like one of our forms."""
    if not data:
        return "it is empty"
    for read, begins in (
        (Envelope.from_bytes, is_envelope(data)),
        (Message.from_bytes, data[0] & 0xF8 == 0xF0),
        (frames.unpack, data[0] & 0xF8 == 0xA0),
    ):
        if begins:
            try:
                read(data)
            except FrameError as error:
                return str(error)
    return None
