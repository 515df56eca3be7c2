"""The contract of codecs is tested with broken ones: each check catches what it is there for."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import pytest

from focal.core.audio import Clip
from focal.core.codec import Codec, CodecSpec
from focal.core.errors import CodecError
from focal.testing import CodecContract

STEP = 160


class Sound:
    """Eight bits a sample in steps of 20 ms, with no fault; the mutants below have one each."""

    name = "plain"
    wire_id = 200
    bits_per_second = 64_000.0
    step = 0.02
    rate = 8000
    instead: str | None = None

    def encode(self, clip: Clip, /) -> bytes:
        if clip.rate != self.rate or not len(clip.samples):
            raise CodecError("an empty clip, or another rate")
        padded = np.zeros(-(-len(clip.samples) // STEP) * STEP)
        padded[: len(clip.samples)] = np.clip(clip.samples, -1, 1)
        return np.rint(padded * 127).astype(np.int8).tobytes()

    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        clips = list(blocks)
        if {clip.rate for clip in clips} != {self.rate}:
            raise CodecError("no blocks, or another rate")
        return self.encode(Clip(np.concatenate([clip.samples for clip in clips]), self.rate))

    def decode(self, data: bytes, /) -> Clip:
        self.seconds(data)
        samples = np.maximum(np.frombuffer(data, np.int8), -127) / np.float32(127)
        return Clip(samples.astype(np.float32), self.rate)

    @staticmethod
    def seconds(data: bytes) -> float:
        if not data or len(data) % STEP:
            raise CodecError(f"{len(data)} bytes are no whole number of steps")
        return len(data) / 8000

    @classmethod
    @contextmanager
    def load(cls) -> Generator[Codec]:
        yield cls()

    @classmethod
    def spec(cls) -> CodecSpec:
        return CodecSpec(
            cls.name,
            cls.wire_id,
            cls.bits_per_second,
            cls.load,
            cls.seconds,
            cls.step,
            instead=cls.instead,
        )


class Broken(CodecContract):
    work = 0.2

    def __init__(self, codec: type[Sound]) -> None:
        self.codec = codec

    def spec(self) -> CodecSpec:
        return self.codec.spec()


# what is said


class NoId(Sound):
    wire_id = 0


class LateId(Sound):
    wire_id = 256


class TwoWords(Sound):
    name = "very plain"


class Kilobits(Sound):
    bits_per_second = 0


class NoStep(Sound):
    step = 0.0


class InsteadOfItself(Sound):
    instead = "plain"


class GuessesSeconds(Sound):
    @staticmethod
    def seconds(data: bytes) -> float:
        return 1.0


class NeedsLoadingToTell(Sound):
    loaded: ClassVar[int] = 0

    @classmethod
    @contextmanager
    def load(cls) -> Generator[Codec]:
        cls.loaded += 1
        yield cls()
        cls.loaded -= 1

    @staticmethod
    def seconds(data: bytes) -> float:
        assert NeedsLoadingToTell.loaded, "the model knows"
        return len(data) / 8000


# what passes


class Twice(Sound):
    def decode(self, data: bytes, /) -> Clip:
        return super().decode(data * 2)


class Loud(Sound):
    def decode(self, data: bytes, /) -> Clip:
        return Clip(super().decode(data).samples * np.float32(2.5), self.rate)


class Mute(Sound):
    def decode(self, data: bytes, /) -> Clip:
        return Clip(super().decode(data).samples * np.float32(0), self.rate)


class OtherRate(Sound):
    def decode(self, data: bytes, /) -> Clip:
        return Clip(super().decode(data).samples, 16_000)


class Normalizes(Sound):
    """Divides by the loudest sample."""

    def encode(self, clip: Clip, /) -> bytes:
        loudest = float(np.abs(clip.samples).max())
        scaled = clip.samples.astype(np.float64) / loudest
        return super().encode(Clip(scaled.astype(np.float32), clip.rate))


class WholeStepsOnly(Sound):
    def encode(self, clip: Clip, /) -> bytes:
        return super().encode(clip.part(0, len(clip.samples) // STEP * STEP))


class Overshoots(Sound):
    def decode(self, data: bytes, /) -> Clip:
        samples = super().decode(data).samples
        return Clip((samples + 0.3 * samples**9).astype(np.float32), self.rate)


class CountsInAByte(Sound):
    def encode(self, clip: Clip, /) -> bytes:
        payload = super().encode(clip)
        return bytes((len(payload) // STEP,)) + payload

    def decode(self, data: bytes, /) -> Clip:
        return super().decode(data[1:])

    @staticmethod
    def seconds(data: bytes) -> float:
        return Sound.seconds(data[1:])


class SaysHalf(Sound):
    bits_per_second = 32_000.0


class FillsEachBlock(Sound):
    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        return b"".join(self.encode(block) for block in blocks if len(block.samples))


class LosesShortBlocks(Sound):
    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        return super().encode_blocks(block for block in blocks if len(block.samples) >= STEP)


class ForgetsLaterBlocks(Sound):
    """Takes so much of what comes, and no more."""

    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        return super().encode_blocks(islice(blocks, 20))


# what does not


class MakesNothingOfNothing(Sound):
    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        clips = [block for block in blocks if len(block.samples)]
        return super().encode_blocks(clips) if clips else b""


class LooksAtOneRate(Sound):
    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        clips = list(blocks)
        return super().encode_blocks([Clip(clip.samples, clips[0].rate) for clip in clips])


class TakesNothing(Sound):
    def encode(self, clip: Clip, /) -> bytes:
        return super().encode(clip) if len(clip.samples) else b""


class RaisesOnNothing(Sound):
    def encode(self, clip: Clip, /) -> bytes:
        assert len(clip.samples)
        return super().encode(clip)


class AnyRate(Sound):
    def encode(self, clip: Clip, /) -> bytes:
        return super().encode(Clip(clip.samples, self.rate))


class TrustsLengths(Sound):
    def decode(self, data: bytes, /) -> Clip:
        samples = np.frombuffer(data, np.int8).reshape(-1, STEP).reshape(-1) / 128
        return Clip(samples.astype(np.float32), self.rate)


class TellsAStory(Sound):
    def decode(self, data: bytes, /) -> Clip:
        if len(data) % STEP:
            raise CodecError("it all began\nlong ago")
        return super().decode(data)


class SecondsRaises(Sound):
    @staticmethod
    def seconds(data: bytes) -> float:
        if len(data) % STEP:
            raise ValueError("no whole number of steps")
        return Sound.seconds(data)

    def decode(self, data: bytes, /) -> Clip:
        Sound.seconds(data)
        return super().decode(data)


class WorksForNothing(Sound):
    def decode(self, data: bytes, /) -> Clip:
        if len(data) % STEP:
            sum(range(20_000_000))
        return super().decode(data)


class Bomb(Sound):
    """Lets a byte say how often the rest sounds."""

    def decode(self, data: bytes, /) -> Clip:
        return super().decode(data * (1 + 8 * (b"\x80" in data)))

    @staticmethod
    def seconds(data: bytes) -> float:
        return Sound.seconds(data) * (1 + 8 * (b"\x80" in data))


# what comes again


class Remembers(Sound):
    def __init__(self) -> None:
        self.last = 0

    def encode(self, clip: Clip, /) -> bytes:
        payload = super().encode(clip)
        before, self.last = self.last, payload[10]
        return payload[:-1] + bytes((before,))


class SaysTheSame(Sound):
    def encode(self, clip: Clip, /) -> bytes:
        return bytes(len(super().encode(clip)))


class SeedsEachLoad(Sound):
    loads: ClassVar[int] = 0

    def __init__(self) -> None:
        type(self).loads += 1
        self.seed = self.loads

    def encode(self, clip: Clip, /) -> bytes:
        return super().encode(clip)[:-1] + bytes((self.seed,))


class NoisyLoads(SeedsEachLoad):
    def encode(self, clip: Clip, /) -> bytes:
        return Sound.encode(self, clip)

    def decode(self, data: bytes, /) -> Clip:
        return super().decode(data[:-1] + bytes((self.seed,)))


class OneForAll(Sound):
    one: ClassVar[Any] = None

    @classmethod
    @contextmanager
    def load(cls) -> Generator[Codec]:
        cls.one = cls.one or cls()
        yield cls.one


class OneThread(Sound):
    """As models are whose session belongs to the thread that made it."""

    def __init__(self) -> None:
        self.here = threading.local()
        self.here.session = True

    def decode(self, data: bytes, /) -> Clip:
        assert self.here.session
        return super().decode(data)


# what ends


class ClosesAll(Sound):
    library: ClassVar[bool] = False

    @classmethod
    @contextmanager
    def load(cls) -> Generator[Codec]:
        cls.library = True
        yield cls()
        cls.library = False

    def encode(self, clip: Clip, /) -> bytes:
        assert self.library, "the library is closed"
        return super().encode(clip)


class Swallows(Sound):
    @classmethod
    @contextmanager
    def load(cls) -> Generator[Codec]:
        try:
            yield cls()
        except Exception:
            return


class Hoards(Sound):
    loaded: ClassVar[list[Codec]] = []

    def __init__(self) -> None:
        self.loaded.append(self)


class HoardsMemory(Sound):
    models: ClassVar[list[bytes]] = []

    def __init__(self) -> None:
        self.models.append(bytes(100_000))


class LeavesAFile(Sound):
    def __init__(self) -> None:
        self.model = open(__file__, "rb")


MUTANTS: dict[str, list[type[Sound]]] = {
    "test_the_spec_makes_sense": [NoId, LateId, TwoWords, Kilobits, NoStep, InsteadOfItself],
    "test_the_length_is_known_without_loading": [GuessesSeconds, NeedsLoadingToTell],
    "test_a_clip_comes_back_as_long_as_it_went": [Twice, Loud, Mute, OtherRate],
    "test_silence_passes": [Normalizes],
    "test_one_sample_passes": [WholeStepsOnly],
    "test_a_square_wave_of_full_scale_passes": [Overshoots],
    "test_twenty_seconds_pass": [CountsInAByte],
    "test_a_payload_is_no_larger_than_promised": [SaysHalf],
    "test_blocks_give_what_one_clip_gives": [FillsEachBlock, LosesShortBlocks, ForgetsLaterBlocks],
    "test_blocks_without_sound_or_of_another_rate_are_refused": [
        MakesNothingOfNothing,
        LooksAtOneRate,
    ],
    "test_an_empty_clip_is_refused": [TakesNothing, RaisesOnNothing],
    "test_another_rate_is_refused": [AnyRate],
    "test_damaged_payloads_give_a_clip_or_an_error": [
        TrustsLengths,
        TellsAStory,
        SecondsRaises,
        WorksForNothing,
        Bomb,
    ],
    "test_nothing_is_left_over_from_the_last_clip": [Remembers, SaysTheSame],
    "test_two_loads_encode_alike": [SeedsEachLoad, OneForAll],
    "test_two_loads_decode_alike": [NoisyLoads],
    "test_threads_may_take_turns": [OneThread],
    "test_closing_one_leaves_the_other": [ClosesAll],
    "test_an_error_inside_closes_and_passes": [Swallows],
    "test_closing_frees_what_loading_took": [Hoards, HoardsMemory, LeavesAFile],
}
"""For each check, the faults that it is there for."""


def checks() -> set[str]:
    return {name for name in dir(CodecContract) if name.startswith("test_")}


@pytest.mark.parametrize(
    ("check", "mutant"),
    [(check, mutant) for check, mutants in MUTANTS.items() for mutant in mutants],
)
@pytest.mark.filterwarnings("ignore")  # a fault may divide by zero before it is caught
def test_a_check_catches_its_mutants(check: str, mutant: type[Sound]) -> None:
    with pytest.raises(Exception):  # noqa: B017 - assertion, or the fault's own
        getattr(Broken(mutant), check)()


@pytest.mark.parametrize("check", sorted(checks()))
def test_a_check_passes_what_is_sound(check: str) -> None:
    getattr(Broken(Sound), check)()


def test_every_check_has_a_mutant() -> None:
    assert set(MUTANTS) == checks()
