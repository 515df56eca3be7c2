"""The message: what is said, by whom, when; its bytes, and the check at their end.

The law of this module: a message's bytes are made once, by its origin, and never change after.
``docs/wire.md`` (Message) is the specification; where the two differ, this file is wrong.

==========  =====  ==========================================================
offset      bytes  field
==========  =====  ==========================================================
0           1      magic and version, 0xF1
1           1      flags: 1 destination, 2 sealed, 4 the clock is not trusted
2           4      origin
6           4      sequence
10          4      destination (with flag 1)
then        1      kind (low 4 bits), 16 series, 32 sender name
            1      codec id, or the subtype of what is not voice
            4      time, Unix seconds, 0 unknown
            1      lifetime code
            2      series: index from 0, count (with 16)
            1+n    sender name: length, UTF-8 (with 32)
            …      payload
last 4      4      CRC-32 of all before
==========  =====  ==========================================================

All numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from .errors import FrameError, TooLong

MAGIC = 0xF1
MAX_PAYLOAD = 65_535
MAX_NAME = 128  # bytes of UTF-8: 32 characters of any script, as TinyVoice allows
MAX_SEALED = 7 + 2 + 1 + MAX_NAME + MAX_PAYLOAD + 16  # the longest inner part, encrypted
MIN_MESSAGE = 10 + 4  # a head and a check
MAX_MESSAGE = MIN_MESSAGE + 4 + MAX_SEALED
MAX_LIFETIME = 7 * 86_400

_DESTINATION, _SEALED, _CLOCK = 1, 2, 4
_KIND, _SERIES, _NAME = 15, 16, 32
_HEAD = struct.Struct(">BBII")
_INNER = struct.Struct(">BBIB")
_U32 = struct.Struct(">I")

LIFETIMES: Final[list[int]] = [
    *range(1, 61),
    *range(120, 3601, 60),
    *range(7200, 48 * 3600 + 1, 3600),
    *range(3 * 86_400, 7 * 86_400 + 1, 86_400),
]
"""Seconds of each lifetime code: 1 to 60 s, 2 to 60 min, 2 to 48 h, 3 to 7 days."""


class Kind(IntEnum):
    """What a message is. SEALED stands for any: only who has the key can tell."""

    VOICE = 0
    TEXT = 1
    DATA = 2
    RECEIPT = 3
    SEALED = 255


@dataclass(frozen=True, slots=True, order=True)
class MessageId:
    """Who made a message, and which of theirs it is: two numbers of 32 bits."""

    origin: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.origin:08x}{self.sequence:08x}"

    @classmethod
    def parse(cls, text: str) -> MessageId:
        """Read 16 hex digits.

        Raises:
            FrameError: it is something else.
        """
        if len(text) != 16 or not all(c in "0123456789abcdef" for c in text.lower()):
            raise FrameError(f"{text!r} is no message id: one is 16 hex digits")
        return cls(int(text[:8], 16), int(text[8:], 16))


def origin_text(origin: int) -> str:
    """Write an origin as people see it: ``~1a2b3c4d``."""
    return f"~{origin:08x}"


def lifetime_for(seconds: float) -> int:
    """Return the shortest lifetime of the wire that is at least ``seconds``, 7 days at most."""
    return LIFETIMES[min(bisect_left(LIFETIMES, seconds), len(LIFETIMES) - 1)]


@dataclass(frozen=True, slots=True)
class Series:
    """The place of a message in a long recording: ``index`` of ``count``, from 0."""

    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its author meant it.

    Args:
        id: origin and sequence.
        kind: what the payload is.
        payload: voice: the codec's bytes, its header included; text: UTF-8; sealed: ciphertext.
        codec: the codec id of voice; 0 for the others.
        sent_at: Unix seconds by the author's clock, 0 if unknown.
        lifetime: seconds, one of ``LIFETIMES``.
        destination: the origin it is for; None is everyone.
        sender: the author's display name, at most 128 bytes of UTF-8.
        series: its place in a long recording.
        clock_trusted: False: ``lifetime`` counts from reception.

    Raises:
        ValueError: a field that the wire cannot carry (a bug of the caller's).
        TooLong: more than 65,535 bytes of payload (65,689 sealed).
    """

    id: MessageId
    kind: Kind
    payload: bytes = field(repr=False)
    codec: int = 0
    sent_at: int = 0
    lifetime: int = 86_400
    destination: int | None = None
    sender: str | None = None
    series: Series | None = None
    clock_trusted: bool = True

    def __post_init__(self) -> None:
        most = MAX_SEALED if self.kind is Kind.SEALED else MAX_PAYLOAD
        if len(self.payload) > most:
            raise TooLong(f"{len(self.payload)} bytes of payload; a message holds {most}")
        if self.lifetime not in _LIFETIME_CODE:
            raise ValueError(f"{self.lifetime} s is no lifetime of the wire: see lifetime_for")
        if self.series and not 0 <= self.series.index < self.series.count <= 255:
            raise ValueError(f"no such place in a series: {self.series}")
        if self.sender is not None and not 0 < len(self.sender.encode()) <= MAX_NAME:
            raise ValueError(f"a sender name has 1 to {MAX_NAME} bytes")
        numbers = (self.id.origin, self.id.sequence, self.sent_at, self.destination or 0)
        if not 0 <= self.codec <= 255 or not all(0 <= n < 1 << 32 for n in numbers):
            raise ValueError("codec, origin, sequence, destination or time out of range")

    def to_bytes(self) -> bytes:
        """Return the message's bytes, check included."""
        flags = (
            (_DESTINATION if self.destination is not None else 0)
            | (_SEALED if self.kind is Kind.SEALED else 0)
            | (0 if self.clock_trusted else _CLOCK)
        )
        head = _HEAD.pack(MAGIC, flags, self.id.origin, self.id.sequence)
        if self.destination is not None:
            head += _U32.pack(self.destination)
        body = head + self._inner() + self.payload
        return body + _U32.pack(zlib.crc32(body))

    def _inner(self) -> bytes:
        if self.kind is Kind.SEALED:
            return b""
        first = self.kind | (_SERIES if self.series else 0) | (_NAME if self.sender else 0)
        out = _INNER.pack(first, self.codec, self.sent_at, _LIFETIME_CODE[self.lifetime])
        if self.series:
            out += bytes((self.series.index, self.series.count))
        if self.sender:
            name = self.sender.encode()
            out += bytes((len(name),)) + name
        return out

    def addressed_to(self, origin: int) -> Message:
        """Return the same message for one node; only before it was first sent."""
        return replace(self, destination=origin)

    def expires_at(self, received_at: float) -> float:
        """Return the Unix time after which nobody waits for it; sealed ones after 7 days."""
        if self.kind is Kind.SEALED:
            return received_at + MAX_LIFETIME
        trusted = self.clock_trusted and self.sent_at
        start = min(self.sent_at, received_at) if trusted else received_at
        return start + self.lifetime

    @classmethod
    def from_bytes(cls, data: bytes) -> Message:
        """Read a message; its ``to_bytes`` gives the same bytes again.

        Raises:
            FrameError: these are not the bytes of one whole message of version 1.
        """
        if not is_message(data):
            raise FrameError(_blame(data))
        _, flags, origin, sequence = _HEAD.unpack_from(data)
        if flags & ~(_DESTINATION | _SEALED | _CLOCK):
            raise FrameError(f"message flags {flags:#04x} are of a later version")
        at = _HEAD.size
        destination = None
        if flags & _DESTINATION:
            destination, at = _U32.unpack_from(data, at)[0], at + 4
        if len(data) < at + 4:
            raise FrameError("message ends within its head")
        body = data[at:-4]
        id = MessageId(origin, sequence)
        trusted = not flags & _CLOCK
        if flags & _SEALED:
            if len(body) > MAX_SEALED:
                raise FrameError(f"a sealed part of {len(body)} bytes; there are {MAX_SEALED}")
            return cls(
                id, Kind.SEALED, body, lifetime=MAX_LIFETIME,
                destination=destination, clock_trusted=trusted,
            )  # fmt: skip
        return _open(id, destination, trusted, body)


def _open(id: MessageId, destination: int | None, trusted: bool, body: bytes) -> Message:
    """Read the inner part of a message that is not sealed."""
    if len(body) < _INNER.size:
        raise FrameError("message ends within its inner head")
    fields: tuple[int, int, int, int] = _INNER.unpack_from(body)
    first, codec, sent_at, code = fields
    if first & ~(_KIND | _SERIES | _NAME) or first & _KIND > Kind.RECEIPT:
        raise FrameError(f"message kind {first:#04x} is of a later version")
    if code >= len(LIFETIMES):
        raise FrameError(f"lifetime code {code} is of a later version")
    rest = body[_INNER.size :]
    series = sender = None
    if first & _SERIES:
        if len(rest) < 2 or not rest[0] < rest[1]:
            raise FrameError("message with a broken series field")
        series, rest = Series(rest[0], rest[1]), rest[2:]
    if first & _NAME:
        sender, rest = _name(rest)
    if len(rest) > MAX_PAYLOAD:
        raise FrameError(f"{len(rest)} bytes of payload; a message holds {MAX_PAYLOAD}")
    kind = Kind(first & _KIND)
    return Message(
        id, kind, rest, codec, sent_at, LIFETIMES[code], destination, sender, series, trusted
    )


def _name(rest: bytes) -> tuple[str, bytes]:
    length = rest[0] if rest else 0
    if not 0 < length <= min(MAX_NAME, len(rest) - 1):
        raise FrameError("message with a broken sender name")
    try:
        return rest[1 : 1 + length].decode(), rest[1 + length :]
    except UnicodeDecodeError as error:
        raise FrameError("message whose sender name is not UTF-8") from error


def is_message(data: bytes) -> bool:
    """Tell whether these are the bytes of a message: magic, room for a head, and a right check."""
    return (
        MIN_MESSAGE <= len(data) <= MAX_MESSAGE
        and data[0] == MAGIC
        and zlib.crc32(data[:-4]) == _U32.unpack_from(data, len(data) - 4)[0]
    )


def check_of(message: bytes) -> int:
    """Return the check at the end of a message's bytes: its tag in frames."""
    return int(_U32.unpack_from(message, len(message) - 4)[0])


def id_of(message: bytes) -> MessageId:
    """Return the id of a message's bytes, which ``is_message`` holds of."""
    _, _, origin, sequence = _HEAD.unpack_from(message)
    return MessageId(origin, sequence)


def destination_of(head: bytes) -> tuple[bool, int | None]:
    """Read the destination off a message's first bytes, as its first symbol has them.

    Returns:
        Whether it can be told, and the destination (None: everyone).
    """
    if len(head) < _HEAD.size or head[0] != MAGIC:
        return False, None
    if not head[1] & _DESTINATION:
        return True, None
    if len(head) < _HEAD.size + 4:
        return False, None
    return True, int(_U32.unpack_from(head, _HEAD.size)[0])


def _blame(data: bytes) -> str:
    if not data:
        return "no bytes at all, so no message"
    if MAGIC < data[0] <= MAGIC | 7:
        return f"a message of version {data[0] & 7}; this focal reads version 1"
    if data[0] != MAGIC:
        return f"first byte {data[0]:#04x} is not a message's"
    if not MIN_MESSAGE <= len(data) <= MAX_MESSAGE:
        return f"a damaged message: {len(data)} bytes, and one has {MIN_MESSAGE} to {MAX_MESSAGE}"
    return "a damaged message: its check (CRC-32) is wrong"


_LIFETIME_CODE = {seconds: code for code, seconds in enumerate(LIFETIMES)}


class Event(IntEnum):
    """What a receipt says has happened to a message."""

    CUSTODY = 1
    DELIVERED = 2
    PLAYED = 3
    REFUSED = 4
    EXPIRED = 5


_RECEIPT = struct.Struct(">BI")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the origin of a receipt says of a message: its id and what happened."""

    of: MessageId
    event: Event

    def payload(self) -> bytes:
        """Return the receipt message's payload; its destination says the origin of ``of``."""
        return _RECEIPT.pack(self.event, self.of.sequence)

    @classmethod
    def read(cls, message: Message) -> Receipt:
        """Read a receipt message.

        Raises:
            FrameError: it is none, or says nothing that version 1 knows.
        """
        if message.kind is not Kind.RECEIPT or message.destination is None:
            raise FrameError("not a receipt, or one without a destination")
        if len(message.payload) != _RECEIPT.size:
            raise FrameError(f"a receipt of {len(message.payload)} bytes")
        event, sequence = _RECEIPT.unpack(message.payload)
        try:
            return cls(MessageId(message.destination, sequence), Event(event))
        except ValueError as error:
            raise FrameError(f"receipt event {event} is of a later version") from error


@dataclass(frozen=True, slots=True)
class Speech:
    """Encoded sound, before it is a message.

    Args:
        codec: the codec id on the wire.
        payload: the codec's bytes.
        seconds: how long it sounds.
    """

    codec: int
    payload: bytes = field(repr=False)
    seconds: float
