"""Frames: what a datagram link carries. Pack, unpack, nothing else.

The law of this module: any bytes give a frame or ``FrameError``; a frame gives its bytes again.
``docs/wire.md`` (Frames) is the specification.

=======  =====  ===================================================================
offset   bytes  field
=======  =====  ===================================================================
0        1      magic and version, 0xA1
1        1      type (high 3 bits), 16 padded, 8 zero, hops (low 3 bits)
=======  =====  ===================================================================

then, by type:

=========  ====  ==================================================================
0 whole          the message
1 symbol         tag 4, k 1, index 1, the symbol
2 need     12    tag 4, speaker 4, k 1, count 1 (0: all of it)
3 confirm  12    tag 4, speaker 4, verdict 1, symbols missed 1
4 poll     14    tag 4, speaker 4, destination 4 (0: everyone)
5 hello    11    nonce 4, speaker 4, 1 question or 0 answer
5 hello    14    nonce 4, speaker 4, asked 4: a question that asks one
=========  ====  ==================================================================

A padded frame ends in filling whose last byte counts it, itself included.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from ..errors import FrameError
from ..message import MAX_MESSAGE, check_of, is_message

MAGIC = 0xA1
WHOLE_HEAD = 2
SYMBOL_HEAD = 8
MAX_CONTROL = 14
MAX_HOPS = 7
MAX_K = 127
_PADDED, _ZERO, _HOPS = 16, 8, 7
_WHOLE, _SYMBOL, _NEED, _CONFIRM, _POLL, _HELLO = range(6)
_SYMBOL_FIELDS = struct.Struct(">IBB")
_NEED_FIELDS = struct.Struct(">IIBB")
_POLL_FIELDS = struct.Struct(">III")
_HELLO_FIELDS = struct.Struct(">IIB")
_ASKING_FIELDS = struct.Struct(">III")


class Verdict(IntEnum):
    """What who confirms has done with the message."""

    CUSTODY = 1
    DELIVERED = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class Whole:
    """A frame that is a whole message."""

    message: bytes = field(repr=False)
    hops: int = 0

    @property
    def tag(self) -> int:
        """The message's check."""
        return check_of(self.message)


@dataclass(frozen=True, slots=True)
class Symbol:
    """One of the symbols of a message that is cut in ``k``; from ``k`` on they are parity."""

    tag: int
    k: int
    index: int
    data: bytes = field(repr=False)
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Need:
    """``speaker`` asks for ``count`` more symbols of a message cut in ``k``; 0, 0 is all of it."""

    tag: int
    speaker: int
    k: int
    count: int
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Confirm:
    """``speaker`` has it; below the last symbol it heard it ``missed`` so many (at most 255)."""

    tag: int
    speaker: int
    verdict: Verdict
    missed: int
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Poll:
    """``speaker`` asks who it is for whether the message is there; 0 is everyone."""

    tag: int
    speaker: int
    destination: int
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Hello:
    """``speaker`` asks who is there, or answers; an answer repeats the question's nonce.

    Where others hear what is for one address, ``asked`` is the number of the one that is asked.

    Raises:
        ValueError: an answer that asks somebody.
    """

    nonce: int
    speaker: int
    question: bool
    asked: int | None = None
    hops: int = 0

    def __post_init__(self) -> None:
        if self.asked is not None and not self.question:
            raise ValueError("an answer asks nobody")


Frame: TypeAlias = Whole | Symbol | Need | Confirm | Poll | Hello


def _head(type: int, hops: int) -> bytes:
    return bytes((MAGIC, type << 5 | hops))


def pack(frame: Frame) -> bytes:
    """Return the bytes of a frame, unpadded."""
    match frame:
        case Whole(message, hops):
            return _head(_WHOLE, hops) + message
        case Symbol(tag, k, index, data, hops):
            return _head(_SYMBOL, hops) + _SYMBOL_FIELDS.pack(tag, k, index) + data
        case Need(tag, speaker, k, count, hops):
            return _head(_NEED, hops) + _NEED_FIELDS.pack(tag, speaker, k, count)
        case Confirm(tag, speaker, verdict, missed, hops):
            return _head(_CONFIRM, hops) + _NEED_FIELDS.pack(tag, speaker, verdict, missed)
        case Poll(tag, speaker, destination, hops):
            return _head(_POLL, hops) + _POLL_FIELDS.pack(tag, speaker, destination)
        case Hello(nonce, speaker, question, None, hops):
            return _head(_HELLO, hops) + _HELLO_FIELDS.pack(nonce, speaker, question)
        case Hello(nonce, speaker, _, asked, hops):
            return _head(_HELLO, hops) + _ASKING_FIELDS.pack(nonce, speaker, asked)


def pad(frame: bytes, length: int) -> bytes:
    """Fill a packed frame up to ``length`` bytes (1 to 255 more than it has)."""
    count = length - len(frame)
    if not 0 < count < 256 or frame[1] & _PADDED:
        raise ValueError(f"a frame of {len(frame)} bytes cannot be padded to {length}")
    return bytes((frame[0], frame[1] | _PADDED)) + frame[2:] + bytes(count - 1) + bytes((count,))


def _unpadded(data: bytes) -> bytes:
    if not data[1] & _PADDED:
        return data
    count = data[-1]
    if not 0 < count <= len(data) - 2:
        raise FrameError("a frame whose filling does not fit in it")
    return bytes((data[0], data[1] & ~_PADDED)) + data[2:-count]


def unpack(data: bytes) -> Frame:
    """Read a frame.

    Raises:
        FrameError: these bytes are no frame of version 1.
    """
    if len(data) < 2 or len(data) > MAX_MESSAGE + 300:
        raise FrameError(f"{len(data)} bytes are no frame")
    if data[0] != MAGIC:
        raise FrameError(_blame(data[0]))
    if data[1] & _ZERO:
        raise FrameError("a frame of a later version")
    data = _unpadded(data)
    type, hops, body = data[1] >> 5, data[1] & _HOPS, data[2:]
    if type == _WHOLE:
        return _whole(body, hops)
    if type == _SYMBOL:
        return _symbol(body, hops)
    return _control(type, body, hops)


def _whole(body: bytes, hops: int) -> Whole:
    if not is_message(body):
        raise FrameError("a damaged frame: there is no whole message in it")
    return Whole(body, hops)


def _symbol(body: bytes, hops: int) -> Symbol:
    if len(body) <= _SYMBOL_FIELDS.size:
        raise FrameError("a symbol frame without a symbol")
    tag, k, index = _SYMBOL_FIELDS.unpack_from(body)
    if not 0 < k <= MAX_K or index == 255:
        raise FrameError(f"no such symbol: {index} of {k}")
    return Symbol(tag, k, index, body[_SYMBOL_FIELDS.size :], hops)


def _control(type: int, body: bytes, hops: int) -> Frame:
    try:
        if type == _NEED:
            tag, speaker, k, count = _NEED_FIELDS.unpack(body)
            if k > MAX_K:
                raise FrameError(f"a need frame for a message cut in {k}")
            return Need(tag, speaker, k, count, hops)
        if type == _CONFIRM:
            tag, speaker, verdict, missed = _NEED_FIELDS.unpack(body)
            return Confirm(tag, speaker, Verdict(verdict), missed, hops)
        if type == _POLL:
            tag, speaker, destination = _POLL_FIELDS.unpack(body)
            return Poll(tag, speaker, destination, hops)
        if type == _HELLO:
            return _hello(body, hops)
    except (struct.error, ValueError) as error:
        raise FrameError(f"a broken control frame of type {type}") from error
    raise FrameError(f"a frame of unknown type {type}")


def _hello(body: bytes, hops: int) -> Hello:
    if len(body) == _ASKING_FIELDS.size:
        nonce, speaker, asked = _ASKING_FIELDS.unpack(body)
        return Hello(nonce, speaker, True, asked, hops)
    nonce, speaker, question = _HELLO_FIELDS.unpack(body)
    if question > 1:
        raise FrameError("a hello frame of a later version")
    return Hello(nonce, speaker, bool(question), hops=hops)


def _blame(first: int) -> str:
    if MAGIC < first <= MAGIC | 7:
        return f"a frame of version {first & 7}; this focal reads version 1"
    return f"first byte {first:#04x} is not a frame's"
