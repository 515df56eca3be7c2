"""Long sound is cut where it is quiet, into whole blocks, the same however it comes in."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.audio import Samples
from focal.plugins.codecs.focalcodec.cutting import LEAST, LIMIT, RATE, SEARCH, pieces

BLOCK = 1280
NOISE = np.random.default_rng(3).uniform(-0.5, 0.5, 90 * RATE).astype(np.float32)

blocks = st.sampled_from([1280, 1920, 2560, 4160, 5120])


def cut(sound: Iterable[Samples], block: int = BLOCK) -> list[Samples]:
    """Return copies of the pieces: each is a view of one buffer."""
    return [piece.copy() for piece in pieces(sound, block)]


def loud_but(seconds: float, *quiet: tuple[float, float]) -> Samples:
    """Return noise with silence in some places, each from second to second."""
    sound = NOISE[: round(seconds * RATE)].copy()
    for start, end in quiet:
        sound[round(start * RATE) : round(end * RATE)] = 0
    return sound


@given(length=st.integers(0, len(NOISE)), block=blocks)
def test_pieces_are_whole_blocks_of_at_most_20_s_and_make_the_whole(
    length: int, block: int
) -> None:
    parts = cut([NOISE[:length]], block)
    assert np.array_equal(np.concatenate([NOISE[:0], *parts]), NOISE[:length])
    assert all(0 < len(part) <= LIMIT for part in parts)
    assert all(len(part) % block == 0 for part in parts[:-1])
    assert all(len(part) > LIMIT - SEARCH - LEAST - block for part in parts[:-1])
    assert len(parts) < 2 or len(parts[-1]) >= LEAST


@pytest.mark.parametrize(
    ("length", "count"),
    [(0, 0), (1, 1), (LIMIT - 1, 1), (LIMIT, 1), (LIMIT + 1, 2), (LIMIT + LEAST, 2)],
)
def test_what_fits_is_not_cut(length: int, count: int) -> None:
    assert len(cut([NOISE[:length]])) == count


@given(
    length=st.integers(0, len(NOISE)),
    cuts=st.lists(st.integers(0, len(NOISE)), max_size=12),
    block=blocks,
)
def test_how_it_comes_in_changes_nothing(length: int, cuts: list[int], block: int) -> None:
    ends = [*sorted(min(cut, length) for cut in cuts), length]
    starts = [0, *ends]
    stream = [NOISE[start:end] for start, end in zip(starts, ends, strict=False)]
    whole = cut([NOISE[:length]], block)
    parts = cut(stream, block)
    assert [len(part) for part in parts] == [len(part) for part in whole]
    assert all(np.array_equal(one, other) for one, other in zip(parts, whole, strict=True))


@pytest.mark.parametrize(
    ("quiet", "at"),
    [
        ((17.0, 17.4), 17.2),
        ((15.1, 15.5), 15.3),
        ((19.7, 20.5), 20.0),  # no later than that
        ((14.0, 14.9), None),  # too early
        ((20.5, 21.0), None),  # too late
    ],
)
def test_it_is_cut_where_it_is_quiet(quiet: tuple[float, float], at: float | None) -> None:
    first = len(cut([loud_but(40, quiet)])[0]) / RATE
    assert 15 <= first <= 20
    if at is not None:
        assert abs(first - at) <= BLOCK / RATE


def test_of_two_pauses_the_quieter_one_is_taken_and_a_click_is_none() -> None:
    sound = loud_but(30, (16.0, 16.5), (18.0, 18.02))
    assert 16 < len(cut([sound])[0]) / RATE < 16.5
    sound[round(16.0 * RATE) : round(16.5 * RATE)] = 0.1
    sound[round(19.0 * RATE) : round(19.4 * RATE)] = 0.05
    assert 19 < len(cut([sound])[0]) / RATE < 19.4


def test_silence_is_cut_as_late_as_can_be() -> None:
    lengths = [len(part) for part in cut([np.zeros(45 * RATE, np.float32)])]
    assert lengths == [LIMIT, LIMIT, 5 * RATE]


def test_the_last_piece_is_no_scrap() -> None:
    sound = loud_but(20.3, (19.6, 20.3))
    first, last = cut([sound])
    assert len(first) + len(last) == len(sound)
    assert len(last) >= LEAST


def test_what_is_held_does_not_grow() -> None:
    def stream(seconds: int) -> Iterator[Samples]:
        for _ in range(seconds):
            yield np.ones(RATE, np.float32)

    def peak(seconds: int) -> int:
        tracemalloc.start()
        try:
            for _ in pieces(stream(seconds), BLOCK):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(600) < 1.1 * peak(60) < 6_000_000
