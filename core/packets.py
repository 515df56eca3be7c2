"""Telling what a packet file, or any bytes from outside, are.

The law of this module: the order of trial is the wire's (docs/wire.md, Detection): our own forms
by magic and check, TinyVoice's magic, TinyVoice without a magic.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from . import tinyvoice
from .envelope import Envelope, is_envelope
from .errors import FrameError
from .framing import frame as frames
from .message import MAGIC, Message

NEITHER = "neither a focal packet nor a TinyVoice packet"

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
    own = _own(data)
    if own is None:
        return _tinyvoice(data, codec)
    try:
        return own(data)
    except FrameError:
        with suppress(FrameError):  # a headerless packet may begin with anything
            return _tinyvoice(data, codec)
        raise


def _own(data: bytes) -> Callable[[bytes], Opened] | None:
    """Return how to read what begins like one of our forms, of this version or a later one."""
    first = data[0] if data else 0
    if first == MAGIC:
        return _message
    if first == frames.MAGIC:
        return _frame
    if _like_envelope(data):
        return _envelope
    later = {0xF0: _message, 0xA0: _frame}
    return later.get(first & 0xF8) if first & 7 else None


def _like_envelope(data: bytes) -> bool:
    """Tell whether these are, or were, a map with text keys; many other files begin like maps."""
    ours = any(key in data[:8] for key in (b"\xa1v\x01", b"\xa1m\xc4", b"\xa1m\xc5"))
    return ours or (is_envelope(data) and b"\xa0" <= data[1:2] <= b"\xbf")


def _envelope(data: bytes) -> Opened:
    envelope = Envelope.from_bytes(data)
    return Opened("envelope", Message.from_bytes(envelope.message), envelope.hops)


def _message(data: bytes) -> Opened:
    return Opened("message", Message.from_bytes(data))


def _frame(data: bytes) -> Opened:
    frame = frames.unpack(data)
    if isinstance(frame, frames.Symbol):
        raise FrameError(f"one frame of a message that is cut in {frame.k}: that many make it")
    if not isinstance(frame, frames.Whole):
        raise FrameError("a frame that carries no message")
    return Opened("frame", Message.from_bytes(frame.message), frame.hops)


def _tinyvoice(data: bytes, codec: int | None) -> Opened:
    if not data:
        raise FrameError("it is empty")
    if not tinyvoice.is_tinyvoice(data):
        raise FrameError(NEITHER)
    headerless = tinyvoice.parse(data, codec).headerless
    try:
        message = tinyvoice.read_packet(data, codec=codec)
    except FrameError as error:  # an even length is all that headerless packets have to show
        raise FrameError(NEITHER if headerless else str(error)) from error
    if headerless:
        return Opened("tinyvoice-headerless", message, guessed=codec is None)
    return Opened("tinyvoice", message)
