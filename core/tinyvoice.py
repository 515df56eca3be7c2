"""TinyVoice's packets, both ways: as messages, and messages as its packets.

The law of this module: every node makes the same message of the same packet, and gives the same
tokens back. docs/wire.md (TinyVoice) is the specification. A packet is ``[1|2|3]`` and N tokens
of two bytes, little-endian; its older form has no first byte, so its length is even.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from .errors import FrameError
from .message import MAX_NAME, Kind, Message, MessageId
from .tokens import MAX_TOKENS, Segment, pack_segments, unpack_segments

BITS = 13
CODECS = {1: "50hz", 2: "25hz", 3: "12.5hz"}
"""Its magic bytes are the codec ids of these qualities."""

TOKENS_PER_SECOND = {1: 50.0, 2: 25.0, 3: 12.5}
LIFETIME = 3600
MAX_PACKET = 65_536
"""Bytes of a packet that a TinyVoice relay takes."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What a TinyVoice packet says.

    Args:
        codec: 1, 2 or 3.
        tokens: each 0 to 65,535 as they came; only those up to 8,191 can be decoded.
        headerless: it had no magic byte, so ``codec`` follows from where it was.
    """

    codec: int
    tokens: tuple[int, ...]
    headerless: bool


def is_tinyvoice(data: bytes) -> bool:
    """Tell whether these bytes can be a packet: its magic and odd length, or an even length."""
    if not 2 <= len(data) <= MAX_PACKET or data[0] in (0xFD, 0xFE):
        return False
    return len(data) % 2 == 0 or data[0] in CODECS


def guess_codec(tokens: int) -> int:
    """Return the codec of a headerless packet outside a room, as TinyVoice first guessed it."""
    return 3 if tokens <= 100 else 2 if tokens <= 200 else 1


def parse(data: bytes, codec: int | None = None) -> Packet:
    """Read a packet.

    Args:
        data: the packet, not wrapped.
        codec: what a headerless packet is taken for; None guesses from the number of tokens.

    Raises:
        FrameError: these bytes are no TinyVoice packet.
    """
    if not is_tinyvoice(data):
        raise FrameError("not a TinyVoice packet")
    headerless = len(data) % 2 == 0
    body = data if headerless else data[1:]
    tokens = struct.unpack(f"<{len(body) // 2}H", body)
    found = (codec or guess_codec(len(tokens))) if headerless else data[0]
    return Packet(found, tokens, headerless)


def _hashed(*fields: bytes) -> int:
    said = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return int.from_bytes(blake2b(said).digest()[:4], "big")


def read_packet(
    data: bytes, *, room: str = "", name: str = "", occurrence: int = 0, codec: int | None = None
) -> Message:
    """Return a packet as a message.

    Args:
        data: the packet, not wrapped.
        room: the room it was said in; empty for files and links.
        name: who said it, as spoken; empty for files and links.
        occurrence: how often the same was said before in the room's last hour.
        codec: what a headerless packet is taken for; None guesses.

    Raises:
        FrameError: no packet, or tokens that no published model has (above 8,191).
    """
    packet = parse(data, codec)
    if max(packet.tokens) >= 1 << BITS:
        raise FrameError("a TinyVoice packet with tokens above 8191, which nothing can decode")
    where, who = _utf8(room), _utf8(name)
    origin = _hashed(where, who)
    sequence = _hashed(where, who, data, occurrence.to_bytes(4, "big"))
    return Message(
        MessageId(origin, sequence),
        Kind.VOICE,
        pack_segments(_segments(packet.tokens), BITS),
        codec=packet.codec,
        lifetime=LIFETIME,
        sender=who[:MAX_NAME].decode(errors="ignore") or None,
        clock_trusted=False,
    )


def _utf8(text: str) -> bytes:
    """Return a name as UTF-8; halves of surrogate pairs (from JSON) become U+FFFD."""
    utf16 = text.encode("utf-16-le", "surrogatepass")
    return utf16.decode("utf-16-le", "replace").encode()


def _segments(tokens: Sequence[int]) -> list[Segment]:
    return [Segment(tuple(tokens[i : i + MAX_TOKENS])) for i in range(0, len(tokens), MAX_TOKENS)]


def tokens_of(message: Message) -> list[int]:
    """Return the tokens of a FocalCodec message, its segments joined.

    Raises:
        FrameError: it is none, or its payload is damaged.
    """
    if message.kind is not Kind.VOICE or message.codec not in CODECS:
        names = ", ".join(CODECS.values())
        raise FrameError(f"TinyVoice has no form for this message: it knows {names} only")
    segments = unpack_segments(message.payload, BITS)
    return [token for segment in segments for token in segment.tokens]


def packet_of(message: Message) -> bytes:
    """Return a message as a TinyVoice packet: its codec and tokens, and nothing else of it.

    Raises:
        FrameError: its codec is not TinyVoice's, or it is longer than a relay takes.
    """
    tokens = tokens_of(message)
    data = bytes((message.codec,)) + struct.pack(f"<{len(tokens)}H", *tokens)
    if len(data) > MAX_PACKET:
        raise FrameError(f"{len(data)} bytes; a TinyVoice packet has at most {MAX_PACKET}")
    return data


def seconds_of(message: Message) -> float:
    """Return how long a FocalCodec message sounds. Raises FrameError as ``tokens_of`` does."""
    return len(tokens_of(message)) / TOKENS_PER_SECOND[message.codec]
