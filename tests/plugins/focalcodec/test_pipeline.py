"""The pipeline on small models in which sound survives: every length, every rate, every joint."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from focal.core.audio import Clip, Samples
from focal.core.codec import BlockCodec, CodecSpec
from focal.core.errors import CodecError
from focal.core.runtime import Cancelled
from focal.core.tokens import Segment, pack_segments, unpack_segments
from focal.plugins.codecs.focalcodec import Quality
from focal.plugins.codecs.focalcodec.files import Files
from focal.plugins.codecs.focalcodec.pipeline import FocalCodec
from focal.plugins.models import Models, Sessions
from focal.plugins.models.catalogue import QUALITIES
from focal.plugins.models.graph import Model
from focal.testing import LOUDEST, TONES, heard, tone
from tests.giving_up import GivenUp

from .stock import spec_named
from .test_istft import formula

bare: Any = onnxruntime

RATE = 16_000
STEP = 320
SECOND = 50
"""Steps of 20 ms in a second."""
STEADY = [tone for tone in TONES if tone % 16 == 0]
"""Tones that nobody hears being joined: any number of frames is whole turns of them."""

LENGTHS = [
    *(1, 79, 80, 319, 320, 321, 399, 400, 401, 719, 720, 721, 1279, 1280, 1281, 1359, 1360, 1361),
    *(2559, 2560, 2561, 16000, 48000, 92159, 92160, 92161, 92240, 92559, 92560),
    *(319_999, 320_000, 320_001, 321_279, 321_280, 336_000, 336_001, 640_001, 45 * RATE),
]


@dataclass(frozen=True)
class Case:
    """A published quality, loaded."""

    name: str
    frames: int
    spec: CodecSpec
    codec: BlockCodec

    def segments(self, payload: bytes) -> list[Segment]:
        return unpack_segments(payload, 13)

    def there_and_back(self, clip: Clip) -> Clip:
        return self.codec.decode(self.codec.encode(clip))


@pytest.fixture(scope="module", params=QUALITIES, ids=lambda quality: quality.name)
def case(request: pytest.FixtureRequest, stocked: Models) -> Iterator[Case]:
    quality = request.param
    spec = spec_named(quality.name, stocked)
    loading = cast("AbstractContextManager[BlockCodec]", spec.load())
    with loading as codec:
        yield Case(quality.name, quality.frames, spec, codec)


def joined(*clips: Clip) -> Clip:
    return Clip(np.concatenate([clip.samples for clip in clips]), RATE)


# lengths


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_has_its_tokens_and_comes_back_within_20_ms(case: Case, length: int) -> None:
    clip = tone(80, 0.3, length / RATE)
    assert len(clip.samples) == length
    payload = case.codec.encode(clip)
    segments = case.segments(payload)
    blocks = -(-length // 1280)
    assert sum(len(segment.tokens) for segment in segments) == 4 * blocks // case.frames
    assert all(len(segment.tokens) * case.frames <= 1000 for segment in segments)
    assert all(segment.trim == 0 for segment in segments[:-1])
    sound = case.codec.decode(payload)
    assert len(sound.samples) == -(-length // STEP) * STEP
    assert 0 <= len(sound.samples) - length < STEP
    assert case.spec.seconds(payload) == pytest.approx(sound.seconds)


def test_5_76_seconds_are_as_small_on_the_wire_as_promised(case: Case) -> None:
    payload = case.codec.encode(tone(80, 0.3, 5.76))
    tokens = 288 // case.frames
    assert len(payload) - 1 == {288: 468, 144: 234, 72: 117}[tokens]
    assert case.spec.bits_per_second == {288: 650, 144: 325, 72: 162.5}[tokens]


# sound


@pytest.mark.parametrize("seconds", [0.32, 5.76, 20.0, 20.08, 44.96])
@pytest.mark.parametrize("bin", STEADY)
def test_a_tone_comes_back_sample_for_sample(case: Case, bin: int, seconds: float) -> None:
    # To the last sample, across the joints, in phase: also what is one sample late would differ.
    sent = tone(bin, 0.3, seconds)
    sound = case.there_and_back(sent)
    level = np.abs(sound.samples).max()
    assert level == pytest.approx(0.3, rel=0.04)
    ours = sent.samples * (level / 0.3)
    inside = slice(0, len(ours) - 1280)
    assert np.abs(sound.samples[inside] - ours[inside]).max() < 0.02 * level
    last = slice(len(ours) - 1280, None)  # here the encoder hears the filling, too
    assert np.abs(sound.samples[last] - ours[last]).max() < 0.15 * level


@pytest.mark.parametrize("bin", [TONES[0], TONES[31], TONES[-1]])
def test_a_tone_is_heard_all_the_time(case: Case, bin: int) -> None:
    steps = heard(case.there_and_back(tone(bin, 0.2, 45)))
    assert {found for found, _ in steps} == {bin}
    assert len(steps) == 45 * SECOND


def test_loudness_comes_back_from_very_soft_to_the_loudest(case: Case) -> None:
    for level in (LOUDEST, 0.1, 0.03, 0.001):
        steps = heard(case.there_and_back(tone(80, level, 1.0)))
        assert [found for _, found in steps[2:-4]] == pytest.approx([level] * 44, rel=0.05)


def test_a_joint_does_not_click(case: Case) -> None:
    payload = case.codec.encode(tone(80, 0.3, 45))
    sound = case.codec.decode(payload).samples
    step = np.abs(np.diff(sound))
    usual = step[RATE : 2 * RATE].max()
    ends = np.cumsum([len(one.tokens) * case.frames * STEP for one in case.segments(payload)])
    assert len(ends) == 3
    for end in ends[:-1]:
        assert step[end - 1024 : end + 1024].max() < 1.02 * usual


def test_every_token_stands_where_its_sound_was(case: Case) -> None:
    # Each 80 ms another tone, over two joints, another one also at the very end.
    order = [TONES[(37 * place) % len(TONES)] for place in range(round(41.6 / 0.08))]
    tones = [tone(bin, 0.3, 0.08) for bin in order]
    found = [bin for bin, _ in heard(case.there_and_back(joined(*tones)))]
    assert len(found) == 4 * len(order)
    middle = [found[4 * place + 1 : 4 * place + 3] for place in range(len(order))]
    assert middle == [[bin, bin] for bin in order]


def test_one_segment_is_the_formula(case: Case, stocked: Models) -> None:
    payload = case.codec.encode(tone(87, 0.3, 5.76))
    (segment,) = case.segments(payload)
    exact = formula(*spectrum(stocked, case, segment))
    assert np.abs(case.codec.decode(payload).samples - exact).max() < 1e-6


def test_segments_are_one_overlap_add_without_the_filling_between(
    case: Case, stocked: Models
) -> None:
    rows = [Segment(tuple(range(100, 130)), 3), Segment((7, 8, 9, 10)), Segment((5, 6, 7, 8), 2)]
    parts = [spectrum(stocked, case, row) for row in rows]
    kept = [len(parts[0][0]) - 3, len(parts[1][0]), len(parts[2][0])]
    magnitude, phase = (
        np.concatenate([part[which][:count] for part, count in zip(parts, kept, strict=True)])
        for which in (0, 1)
    )
    exact = np.clip(formula(magnitude, phase), -1, 1)[: -2 * STEP]
    sound = case.codec.decode(pack_segments(rows, 13)).samples
    assert sound.shape == exact.shape
    assert np.abs(sound - exact).max() < 1e-6


def spectrum(models: Models, case: Case, segment: Segment) -> tuple[Samples, Samples]:
    """Return what the decoder itself gives of a segment."""
    path = models.store.path(f"decoder_{case.name.replace('.', '_')}.onnx")
    session = bare.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {"tokens": np.array([segment.tokens], np.int64)}
    magnitude, phase = session.run(["magnitude", "phase"], given)
    return magnitude[0], phase[0]


# in blocks

SPEECH = joined(
    *(
        tone(TONES[(11 * place) % len(TONES)], 0.02 + 0.3 * (place * 7 % 11) / 11, 0.21)
        for place in range(215)
    )
)


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, len(SPEECH.samples)), max_size=6))
def test_blocks_give_the_bytes_of_the_whole(case: Case, cuts: list[int]) -> None:
    ends = [*sorted(cuts), len(SPEECH.samples)]
    blocks = [SPEECH.part(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    assert case.codec.encode_blocks(iter(blocks)) == case.codec.encode(SPEECH)


def test_many_small_blocks_give_them_too(case: Case) -> None:
    blocks = (SPEECH.part(start, start + 1001) for start in range(0, len(SPEECH.samples), 1001))
    assert case.codec.encode_blocks(blocks) == case.codec.encode(SPEECH)


def test_of_minutes_only_the_tokens_are_held(case: Case) -> None:
    def stream(seconds: int) -> Iterator[Clip]:
        second = tone(80, 0.3, 1)
        return (second for _ in range(seconds))

    def encoding(seconds: int) -> int:
        return peak(lambda: case.codec.encode_blocks(stream(seconds)))

    encoding(30)  # what is cached at first use may stay
    one, five = encoding(60), encoding(300)
    assert five < one + 240 * 50 * 50  # no more than 50 bytes a token
    assert one < 20_000_000


def test_decoding_holds_little_beside_the_sound(case: Case) -> None:
    second = tone(80, 0.3, 1)
    payload = case.codec.encode_blocks(second for _ in range(300))
    # The sound, 19 MB, is in memory of its own, which is not counted here; a copy of it would be.
    assert peak(lambda: case.codec.decode(payload)) < 10_000_000


# given up


def quality_named(name: str, models: Models) -> Quality:
    """Return a published quality whose files are in a store."""
    one = next(quality for quality in QUALITIES if quality.name == name)
    encoder, compressor, decoder = map(models.store.path, one.files)
    return Quality(name, one.wire_id, one.frames, encoder, compressor, decoder)


class Piecewise(Sessions):
    """Sessions that tell of a model's first run."""

    def __init__(self, models: Models, part: str, told: Callable[[], None]) -> None:
        super().__init__(models.settings)
        self._part = part
        self._told = told
        self.runs = 0

    def run(self, model: Model, given: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        if self._part in model.path.name:
            self.runs += 1
            self._told()
        return super().run(model, given)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_what_nobody_waits_for_ends_after_the_piece_that_it_is_at(
    case: Case, stocked: Models, part: str
) -> None:
    moment, long = GivenUp(), tone(80, 0.3, 65.0)
    payload = case.codec.encode(long)
    sessions = Piecewise(stocked, part, moment.here)
    quality = quality_named(case.name, stocked)
    codec = FocalCodec(quality, Files(quality, stocked), sessions)
    work = partial(codec.encode, long) if part == "encoder" else partial(codec.decode, payload)
    with sessions.hold():
        assert isinstance(moment.end_of(work), Cancelled)
    assert sessions.runs == 1


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that Python and numpy held during some work."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("blocks", [[], [0], [0, 0]])
def test_blocks_without_sound_are_refused(case: Case, blocks: list[int]) -> None:
    clips = [Clip(np.zeros(size, np.float32), RATE) for size in blocks]
    with pytest.raises(CodecError, match="there is nothing to encode: the clip is empty"):
        case.codec.encode_blocks(clips)


def test_a_block_at_another_rate_is_refused(case: Case) -> None:
    with pytest.raises(CodecError, match="16000 samples a second, not 8000: resample it"):
        case.codec.encode_blocks([tone(80, 0.3, 1), tone(80, 0.3, 1, 8000)])


# any payload


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.lists(st.integers(0, 8191), min_size=1, max_size=30), st.integers(0, 15)),
        min_size=1,
        max_size=5,
    )
)
def test_any_tokens_give_their_length_of_finite_sound(
    case: Case, rows: list[tuple[list[int], int]]
) -> None:
    segments = [
        Segment(tuple(tokens), min(trim, len(tokens) * case.frames - 1)) for tokens, trim in rows
    ]
    payload = pack_segments(segments, 13)
    sound = case.codec.decode(payload)
    frames = sum(len(one.tokens) * case.frames - one.trim for one in segments)
    assert len(sound.samples) == frames * STEP
    assert np.abs(sound.samples).max() <= 1
    assert case.spec.seconds(payload) == pytest.approx(sound.seconds)


@settings(max_examples=60)
@given(payload=st.binary(max_size=80))
def test_any_bytes_give_a_clip_or_an_error(case: Case, payload: bytes) -> None:
    told = outcome(lambda: case.spec.seconds(payload))
    sound = outcome(lambda: case.codec.decode(payload).seconds)
    assert told == pytest.approx(sound) if told is not None else sound is None


def outcome(work: Callable[[], float]) -> float | None:
    try:
        return work()
    except CodecError as error:
        assert "\n" not in str(error)
        return None


def test_a_segment_as_long_as_there_are_decodes(case: Case) -> None:
    segments = [Segment(tuple(range(1000))), Segment(tuple(range(8191, 7191, -1)))]
    sound = case.codec.decode(pack_segments(segments, 13))
    assert sound.seconds == 2000 * 0.02 * case.frames
