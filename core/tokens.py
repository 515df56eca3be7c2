"""Token payloads: what FocalCodec messages carry, packed to the bit.

The law of this module: tokens come back as they went in, and the length of the clip within 20 ms.
docs/wire.md (Token payload) is the specification. A payload is a row of segments; all but the last
say how many tokens they have, the last one reaches to the end of the payload::

    1 byte   128 last segment, low 4 bits: how many 20 ms of its sound are filling at the end
    2 bytes  number of tokens, 1 to 1000 (not in the last segment)
    …        the tokens, most significant bit first; zero bits fill the last byte
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import FrameError

MAX_TOKENS = 1000
"""Tokens of one segment: 20 s at 50 a second."""

TRIM_SECONDS = 0.02
MAX_TRIM = 15
_LAST = 128


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of sound as tokens.

    Args:
        tokens: 1 to 1000 of them.
        trim: how many times 20 ms of its decoded sound are filling, 0 to 15.
    """

    tokens: tuple[int, ...]
    trim: int = 0


def pack_bits(tokens: Sequence[int], bits: int) -> bytes:
    """Pack tokens of ``bits`` bits each, most significant first.

    Raises:
        ValueError: a token has more bits.
    """
    if not all(0 <= token < 1 << bits for token in tokens):
        raise ValueError(f"a token that has no {bits} bits")
    value = 0
    for token in tokens:
        value = value << bits | token
    length = -(-len(tokens) * bits // 8)
    return (value << (8 * length - len(tokens) * bits)).to_bytes(length, "big")


def unpack_bits(data: bytes, bits: int, count: int) -> tuple[int, ...]:
    """Return ``count`` tokens.

    Raises:
        FrameError: the bytes are not exactly those of ``count`` tokens.
    """
    spare = 8 * len(data) - count * bits
    value = int.from_bytes(data, "big")
    if not 0 <= spare < 8 or value & (1 << spare) - 1:
        raise FrameError(f"{len(data)} bytes are not {count} tokens of {bits} bits")
    value >>= spare
    mask = (1 << bits) - 1
    return tuple(value >> shift & mask for shift in range((count - 1) * bits, -1, -bits))


def pack_segments(segments: Sequence[Segment], bits: int) -> bytes:
    """Return the payload of these segments.

    Raises:
        ValueError: no segments, or one that the wire cannot carry.
    """
    if not segments:
        raise ValueError("a token payload has at least one segment")
    out = bytearray()
    for place, segment in enumerate(segments, start=1):
        if not 0 < len(segment.tokens) <= MAX_TOKENS or not 0 <= segment.trim <= MAX_TRIM:
            raise ValueError(f"a segment has 1 to {MAX_TOKENS} tokens and a trim of 0 to 15")
        if place == len(segments):
            out.append(_LAST | segment.trim)
        else:
            out.append(segment.trim)
            out += len(segment.tokens).to_bytes(2, "big")
        out += pack_bits(segment.tokens, bits)
    return bytes(out)


def unpack_segments(payload: bytes, bits: int) -> list[Segment]:
    """Return the segments of a payload.

    Raises:
        FrameError: these bytes are no token payload.
    """
    segments: list[Segment] = []
    at = 0
    while at < len(payload):
        first = payload[at]
        if first & ~(_LAST | MAX_TRIM):
            raise FrameError("a token segment of a later version")
        if first & _LAST:
            segments.append(_last(payload[at + 1 :], first & MAX_TRIM, bits))
            return segments
        count = int.from_bytes(payload[at + 1 : at + 3], "big")
        end = at + 3 + -(-count * bits // 8)
        if not 0 < count <= MAX_TOKENS or end > len(payload):
            raise FrameError("a token segment that does not fit in its message")
        tokens = unpack_bits(payload[at + 3 : end], bits, count)
        segments.append(Segment(tokens, first & MAX_TRIM))
        at = end
    raise FrameError("a token payload without its last segment")


def _last(data: bytes, trim: int, bits: int) -> Segment:
    count = 8 * len(data) // bits
    if not 0 < count <= MAX_TOKENS:
        raise FrameError(f"a last segment of {count} tokens; there are 1 to {MAX_TOKENS}")
    return Segment(unpack_bits(data, bits, count), trim)
