"""What a FocalCodec message carries: for local wire ids the mark of the decoder, then the tokens.

The law of this module: bytes from anybody become segments that make sound, or a CodecError.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....core.errors import CodecError, FrameError
from ....core.tokens import Segment, pack_segments, unpack_segments
from .quality import HOP, RATE, Quality

MARK = 4
"""Bytes of a decoder's SHA-256 that a local payload begins with."""


def write(segments: Sequence[Segment], quality: Quality, mark: bytes) -> bytes:
    """Return the payload of these segments, behind the mark of the decoder (empty if not local)."""
    return mark + pack_segments(segments, quality.bits)


def mark_of(payload: bytes, quality: Quality) -> bytes:
    """Return the mark that a payload begins with; empty where the quality has none."""
    return payload[:MARK] if quality.local else b""


def read(payload: bytes, quality: Quality) -> list[Segment]:
    """Return the segments of a payload, each with some sound left after its trim.

    Raises:
        CodecError: it is damaged.
    """
    try:
        segments = unpack_segments(payload[len(mark_of(payload, quality)) :], quality.bits)
    except FrameError as error:
        raise CodecError(f"a damaged {quality.name} payload: {error}") from error
    if any(sounding(segment, quality) < 1 for segment in segments):
        raise CodecError(f"a damaged {quality.name} payload: a segment that is nothing but filling")
    return segments


def sounding(segment: Segment, quality: Quality) -> int:
    """Return how many frames of a segment are sound and not filling."""
    return len(segment.tokens) * quality.frames - segment.trim


def seconds(quality: Quality, payload: bytes) -> float:
    """Return how long a payload sounds.

    Raises:
        CodecError: it is damaged.
    """
    frames = sum(sounding(segment, quality) for segment in read(payload, quality))
    return frames * HOP / RATE
