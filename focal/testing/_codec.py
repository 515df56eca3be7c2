"""What holds for every codec, as checks that a codec's tests inherit.

The law of this module: what it decodes may come from anybody, so every check of damage asks for a
clip or a ``CodecError``, soon, and for nothing better.
"""

from __future__ import annotations

import gc
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import TypeVar

import numpy as np

from ..core.audio import Clip
from ..core.codec import BlockCodec, Codec, CodecSpec
from ..core.errors import CodecError
from ._checks import nothing_left_open, one_line, skip, traced

T = TypeVar("T")

EDGES = (0, 1, 127, 128, 255)
"""Bytes that lengths and counts break at."""


class CodecContract(ABC):
    """Subclass it, give your spec, and every method ``test_...`` is a check of your codec.

    ::

        class TestMine(CodecContract):
            def spec(self) -> CodecSpec:
                (spec,) = focal_codecs()
                return spec
    """

    header = 8
    """Bytes of a payload that do not count as coded sound."""
    damaged = 150
    """Damaged payloads that are decoded."""
    work = 2.0
    """Seconds of the processor that one of them may take, beside one for each second it sounds."""
    stretch = 2.0
    """How many times the sound that a payload's bytes are for may come out of damaged ones."""
    rounds = 5
    """Times that it is loaded and closed, to see what stays."""
    growth = 100_000
    """Bytes that may stay."""

    @abstractmethod
    def spec(self) -> CodecSpec:
        """Return the codec that is tested."""

    def clip(self, seconds: float, rate: int, seed: int = 1) -> Clip:
        """Return something to encode: like speech, another one for each ``seed``."""
        return humming(seconds, rate, seed)

    def assert_alike(self, one: Clip, other: Clip) -> None:
        """Assert that two clips decoded from one payload agree; override it where noise is drawn.

        Their lengths are compared already.
        """
        assert np.array_equal(one.samples, other.samples), "decoding twice gives other samples"

    # what is said before anything is loaded

    def test_the_spec_makes_sense(self) -> None:
        with self._loaded() as (spec, codec):
            named = spec.name and spec.name.isprintable() and not set(spec.name) & set(" /:,")
            assert named, f"a quality called {spec.name!r} cannot be written after --quality"
            assert 1 <= spec.wire_id <= 255, f"wire id {spec.wire_id}: it is a byte, and not 0"
            assert 0 < spec.bits_per_second < 1e6, f"{spec.bits_per_second} bits a second"
            assert 0 < spec.step <= 60, f"a step of {spec.step} seconds"
            assert "\n" not in spec.summary, "the summary is one line"
            assert spec.instead != spec.name, "it cannot stand in for itself"
            assert codec.rate > 0, f"a rate of {codec.rate} samples a second"

    def test_the_length_is_known_without_loading(self) -> None:
        payloads: dict[bytes, float] = {}
        with self._loaded() as (spec, codec):
            for seconds in (0.1, 1.0, 2.5):
                payload = codec.encode(self.clip(seconds, codec.rate))
                payloads[payload] = codec.decode(payload).seconds
        spec = self.spec()
        for payload, seconds in payloads.items():
            self._near(spec.seconds(payload), seconds, spec, "seconds(payload) and decoding")

    # what passes

    def test_a_clip_comes_back_as_long_as_it_went(self) -> None:
        with self._loaded() as (spec, codec):
            for seconds in (0.1, 0.5, 1.0, 3.3):
                sound = self._there_and_back(spec, codec, self.clip(seconds, codec.rate))
                assert sound.samples.any(), "a loud clip came back silent"

    def test_silence_passes(self) -> None:
        self._passes(lambda rate: np.zeros(rate))

    def test_one_sample_passes(self) -> None:
        self._passes(lambda rate: np.ones(1))

    def test_a_square_wave_of_full_scale_passes(self) -> None:
        self._passes(lambda rate: np.sign(np.sin(2 * np.pi * 150 * np.arange(rate) / rate + 0.1)))

    def test_twenty_seconds_pass(self) -> None:
        with self._loaded() as (spec, codec):
            self._there_and_back(spec, codec, self.clip(20.0, codec.rate))

    def test_a_payload_is_no_larger_than_promised(self) -> None:
        with self._loaded() as (spec, codec):
            for seconds in (1.0, 20.0):
                size = len(codec.encode(self.clip(seconds, codec.rate)))
                most = spec.bits_per_second * (seconds + spec.step) / 8 + self.header
                assert size <= most, f"{seconds:g} s make {size} bytes; promised are {most:.0f}"

    def test_blocks_give_what_one_clip_gives(self) -> None:
        with self._loaded() as (_, codec):
            if not isinstance(codec, BlockCodec):
                return
            for seconds in (0.1, 3.3, 25.0):
                clip = self.clip(seconds, codec.rate)
                payload = codec.encode(clip)
                for size in (1 + codec.rate // 3, codec.rate, len(clip.samples)):
                    same = codec.encode_blocks(_cut(clip, size)) == payload
                    assert same, f"{seconds:g} s in blocks of {size} samples give other bytes"

    # what does not

    def test_blocks_without_sound_or_of_another_rate_are_refused(self) -> None:
        with self._loaded() as (_, codec):
            if not isinstance(codec, BlockCodec):
                return
            nothing = Clip(np.zeros(0, np.float32), codec.rate)
            other = self.clip(0.5, codec.rate - 1)
            for blocks in ([], [nothing], [self.clip(0.5, codec.rate), other]):
                _refuses(partial(codec.encode_blocks, blocks), f"{len(blocks)} bad blocks")

    def test_an_empty_clip_is_refused(self) -> None:
        with self._loaded() as (_, codec):
            self._refused(codec, Clip(np.zeros(0, np.float32), codec.rate))

    def test_another_rate_is_refused(self) -> None:
        with self._loaded() as (_, codec):
            for rate in (codec.rate * 2, codec.rate - 1):
                self._refused(codec, self.clip(0.5, rate))

    def test_damaged_payloads_give_a_clip_or_an_error(self) -> None:
        with self._loaded() as (spec, codec):
            payload = codec.encode(self.clip(1.0, codec.rate))
            most = self.stretch * 8 / spec.bits_per_second
            for data in mutated(payload, self.damaged):
                sounds = _told(spec.seconds, data)
                started = time.thread_time()
                sound = _told(codec.decode, data)
                took = time.thread_time() - started
                shown = f"{len(data)} bytes {data[:24].hex()}..."
                length = sound.seconds if sound else 0.0
                assert took < self.work + length, f"{shown}: decoding took {took:.1f} s"
                assert length <= most * len(data) + spec.step, f"{shown} sound {length:.1f} s"
                if sound is None:
                    continue
                _in_range(sound)
                assert sounds is not None, f"{shown}: seconds(payload) refuses what decodes"
                self._near(sounds, length, spec, shown)

    # what comes again

    def test_nothing_is_left_over_from_the_last_clip(self) -> None:
        with self._loaded() as (_, codec):
            one, other = (self.clip(0.7, codec.rate, seed) for seed in (1, 2))
            first, between, again = (codec.encode(clip) for clip in (one, other, one))
            assert first == again, "the same clip, encoded again, gives other bytes"
            assert first != between, "two clips give the same bytes"

    def test_two_loads_encode_alike(self) -> None:
        with self._loaded() as (_, one), self._loaded() as (_, other):
            assert one is not other, "two loads give one codec: closing one would close both"
            for seed in (1, 2):
                clip = self.clip(0.7, one.rate, seed)
                assert one.encode(clip) == other.encode(clip), "two loads encode differently"

    def test_two_loads_decode_alike(self) -> None:
        with self._loaded() as (_, one), self._loaded() as (_, other):
            payload = one.encode(self.clip(0.7, one.rate))
            self._alike(one.decode(payload), other.decode(payload))

    def test_threads_may_take_turns(self) -> None:
        with self._loaded() as (_, codec):
            clip = self.clip(0.5, codec.rate)
            payload = codec.encode(clip)
            sound = codec.decode(payload)
            for _ in range(2):
                with ThreadPoolExecutor(1) as thread:
                    again = thread.submit(codec.encode, clip).result()
                    assert again == payload, "another thread gets other bytes"
                    self._alike(thread.submit(codec.decode, payload).result(), sound)

    # what ends

    def test_closing_one_leaves_the_other(self) -> None:
        with self._loaded() as (_, one):
            clip = self.clip(0.3, one.rate)
            with self._loaded() as (_, other):
                payload = other.encode(clip)
            assert one.encode(clip) == payload, "closing another one changed this one"
        with self._loaded() as (_, again):
            assert again.encode(clip) == payload, "loaded again, it encodes differently"

    def test_an_error_inside_closes_and_passes(self) -> None:
        class Boom(Exception):
            pass

        try:
            with self._loaded():
                raise Boom
        except Boom:
            return
        raise AssertionError("the error did not come out of load()")

    def test_closing_frees_what_loading_took(self) -> None:
        with nothing_left_open():
            self._use()  # what is imported and cached at first use may stay
        with traced() as grown:
            codecs = [self._use() for _ in range(self.rounds)]
            assert grown() < self.growth, f"{grown()} bytes stay after {self.rounds} loads"
        gc.collect()
        alive = sum(1 for codec in codecs if codec is not None and codec() is not None)
        assert not alive, f"{alive} closed codecs are still held by something"

    # how checks are run

    @contextmanager
    def _loaded(self) -> Generator[tuple[CodecSpec, Codec]]:
        spec = self.spec()
        if reason := spec.why_not() or spec.why_silent():
            skip(reason)
        with spec.load() as codec:
            yield spec, codec

    def _use(self) -> weakref.ref[Codec] | None:
        """Load, use and close the codec; return what tells whether it is still there."""
        with self._loaded() as (_, codec):
            codec.decode(codec.encode(self.clip(0.5, codec.rate)))
            try:
                return weakref.ref(codec)
            except TypeError:  # it has slots: only its memory tells
                return None

    def _passes(self, make: Callable[[int], np.ndarray[tuple[int], np.dtype[np.float64]]]) -> None:
        with self._loaded() as (spec, codec):
            self._there_and_back(spec, codec, Clip(make(codec.rate).astype(np.float32), codec.rate))

    def _there_and_back(self, spec: CodecSpec, codec: Codec, clip: Clip) -> Clip:
        payload = codec.encode(clip)
        assert payload, "a clip became no bytes at all"
        sound = codec.decode(payload)
        assert sound.rate == codec.rate, f"decoded at {sound.rate}, the codec says {codec.rate}"
        self._near(sound.seconds, clip.seconds, spec, "decode(encode(clip)) and clip")
        _in_range(sound)
        return sound

    def _near(self, one: float, other: float, spec: CodecSpec, what: str) -> None:
        near = abs(one - other) <= spec.step + 1e-6
        assert near, f"{what}: {one:.3f} s and {other:.3f} s are more than a step apart"

    def _alike(self, one: Clip, other: Clip) -> None:
        assert (one.rate, len(one.samples)) == (other.rate, len(other.samples)), "other lengths"
        self.assert_alike(one, other)

    def _refused(self, codec: Codec, clip: Clip) -> None:
        _refuses(partial(codec.encode, clip), f"{len(clip.samples)} samples at {clip.rate} Hz")


def humming(seconds: float, rate: int, seed: int = 1) -> Clip:
    """Return a gliding pulse train with some breath in it, at half of full scale."""
    t = np.arange(max(1, round(seconds * rate))) / rate
    phase = 2 * np.pi * ((90 + 20 * seed) * t + 8 * np.sin(2 * np.pi * 0.7 * t))
    tones = [np.sin(k * phase) / k for k in range(1, 20)]
    breath = np.random.default_rng(seed).standard_normal(len(t))
    sound = np.sum(tones, axis=0) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)) + 0.1 * breath
    return Clip((0.5 * sound / np.abs(sound).max()).astype(np.float32), rate)


def mutated(payload: bytes, count: int) -> Iterator[bytes]:
    """Yield ``count`` payloads and some more that nobody encoded; the same ones each time."""
    yield from (b"", b"\0", b"\xff", b"\0" * 300, b"\xff" * 300, payload * 2)
    yield from (payload[:n] for n in range(1, min(len(payload), 20)))
    for at in range(min(len(payload), 8)):  # where a header would be
        yield from (payload[:at] + bytes((edge,)) + payload[at + 1 :] for edge in EDGES)
    draw = Random(f"mutated {len(payload)}")
    yield from (_mutant(payload, draw) for _ in range(count))
    yield draw.randbytes(2000)


def _mutant(payload: bytes, draw: Random) -> bytes:
    data = bytearray(payload)
    for _ in range(draw.choice((1, 1, 2, 8))):
        data[draw.randrange(len(data))] = draw.choice((*EDGES, draw.randrange(256)))
    cut = draw.randrange(len(data))
    return bytes(draw.choice((data, data[:cut], data + draw.randbytes(3))))


def _cut(clip: Clip, size: int) -> Iterator[Clip]:
    """Yield a clip in blocks, after an empty one and a single sample."""
    yield clip.part(0, 0)
    yield clip.part(0, 1)
    for start in range(1, len(clip.samples), size):
        yield clip.part(start, start + size)


def _refuses(encode: Callable[[], bytes], what: str) -> None:
    try:
        encode()
    except CodecError as error:
        one_line(error)
        return
    raise AssertionError(f"{what} were encoded")


def _told(work: Callable[[bytes], T], data: bytes) -> T | None:
    """Return what a payload gives; None where it is refused in one line."""
    try:
        return work(data)
    except CodecError as error:
        one_line(error)
        return None


def _in_range(clip: Clip) -> None:
    loudest = float(np.abs(clip.samples).max(initial=0.0))
    assert loudest <= 1.0, f"a decoded sample of {loudest:.3f}: full scale is 1"
