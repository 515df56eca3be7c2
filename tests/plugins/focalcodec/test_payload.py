"""Any bytes are segments that sound, or a CodecError in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import CodecError
from focal.core.tokens import Segment, pack_segments
from focal.plugins.codecs.focalcodec import Quality
from focal.plugins.codecs.focalcodec.payload import mark_of, read, seconds, sounding, write

NONE = Path("none.onnx")


def quality(wire_id: int = 1, frames: int = 1, bits: int = 13) -> Quality:
    return Quality("a", wire_id, frames, NONE, NONE, NONE, bits)


qualities = st.builds(quality, st.sampled_from([1, 240]), st.integers(1, 16), st.integers(1, 16))


@st.composite
def written(draw: st.DrawFn) -> tuple[Quality, list[Segment]]:
    """Return a quality and segments of it that each have some sound."""
    made = draw(qualities)
    tokens = st.lists(st.integers(0, (1 << made.bits) - 1), min_size=1, max_size=40)
    rows = draw(st.lists(tokens, min_size=1, max_size=4))
    if made.bits < 8:  # else the bytes of the last segment could be one more token
        rows[-1] = (rows[-1] * 8)[: len(rows[-1]) // 8 * 8 or 8]
    trims = [draw(st.integers(0, min(15, len(row) * made.frames - 1))) for row in rows]
    return made, [Segment(tuple(row), trim) for row, trim in zip(rows, trims, strict=True)]


@given(written(), st.binary(min_size=4, max_size=4))
def test_what_is_written_is_read(made: tuple[Quality, list[Segment]], digest: bytes) -> None:
    quality, segments = made
    mark = digest if quality.local else b""
    payload = write(segments, quality, mark)
    assert mark_of(payload, quality) == mark
    assert read(payload, quality) == segments
    frames = sum(len(one.tokens) * quality.frames - one.trim for one in segments)
    assert seconds(quality, payload) == pytest.approx(frames * 0.02)


@given(qualities, st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(quality: Quality, payload: bytes) -> None:
    try:
        segments = read(payload, quality)
    except CodecError as error:
        assert "\n" not in str(error)
        return
    assert write(segments, quality, mark_of(payload, quality)) == payload
    assert all(sounding(segment, quality) >= 1 for segment in segments)
    assert seconds(quality, payload) >= 0.02 * len(segments)


@pytest.mark.parametrize(
    ("made", "segments"),
    [
        (quality(), [Segment((1,), 1)]),
        (quality(), [Segment((1,), 15), Segment((1, 2))]),
        (quality(frames=4), [Segment((1,), 4)]),
        (quality(frames=2), [Segment((1,)), Segment((1, 2, 3), 6)]),
    ],
)
def test_a_segment_of_filling_alone_is_refused(made: Quality, segments: list[Segment]) -> None:
    payload = pack_segments(segments, made.bits)
    with pytest.raises(CodecError, match="nothing but filling"):
        read(payload, made)


def test_a_damaged_payload_is_said_to_be_one() -> None:
    with pytest.raises(CodecError, match="a damaged 50hz payload: a token payload without"):
        read(b"", Quality("50hz", 1, 1, NONE, NONE, NONE))


@pytest.mark.parametrize("payload", [b"", b"\x12", b"\x12\x34\x56\x78"])
def test_a_local_payload_needs_more_than_its_mark(payload: bytes) -> None:
    with pytest.raises(CodecError, match="damaged"):
        seconds(quality(240), payload)
