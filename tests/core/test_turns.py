"""The sinks' turns: what is told of a message when some of its sinks had it before a crash."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from focal.core.audio import Clip, Samples
from focal.core.codec import CodecSpec
from focal.core.draft import Draft
from focal.core.message import Speech
from focal.core.ports import Delivery
from focal.core.runtime import Cancelled, check_cancelled, real_runtime, run_virtual
from focal.transports.memory import Mesh
from tests.deadline import Deadline

from .world import Shelf, World, lossy, received


class PulledOut(Exception):
    """The end of the process, as a sink can bring it about."""


def die(delivery: Delivery) -> None:
    raise PulledOut


def test_a_message_is_told_of_when_the_last_sink_had_it_with_the_first_ones_file(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        world, mesh = World(tmp_path), lossy()
        before = [Shelf("shelf:1"), Shelf("shelf:2", refuse=die)]
        after = [Shelf("shelf:1"), Shelf("shelf:2")]
        async with world.node("a", mesh) as a:
            with pytest.raises(BaseExceptionGroup):
                async with world.node("b", mesh, sinks=before):
                    await a.send(Draft.text("once"))
                    await asyncio.sleep(60)
            assert len(before[0].taken) == 1
            async with world.node("b", mesh, sinks=after) as b:
                [event] = await received(b.events(), 1)
        assert event.file == f"{event.message.id}.shelf:1"
        assert [len(shelf.taken) for shelf in after] == [0, 1]

    run_virtual(main())


def test_of_several_files_the_first_sinks_is_told(tmp_path: Path) -> None:
    class Slow(Shelf):
        async def accept(self, delivery: Delivery, /) -> str | None:
            await asyncio.sleep(1)
            return await super().accept(delivery)

    async def main() -> None:
        world, mesh = World(tmp_path), lossy()
        sinks = [Slow("shelf:slow"), Shelf("shelf:quick")]
        async with world.node("a", mesh) as a, world.node("b", mesh, sinks=sinks) as b:
            at_b = b.events()
            await a.send(Draft.text("hello"))
            [event] = await received(at_b, 1)
        assert event.file == f"{event.message.id}.shelf:slow"

    run_virtual(main())


# Sound


@dataclass
class Hours:
    """A codec whose payloads are their length in seconds; it keeps an eye on what it decoded."""

    work: Callable[[], object] = lambda: None
    sounds: list[weakref.ref[Samples]] = field(default_factory=lambda: [])
    rate: int = 10

    def encode(self, clip: Clip, /) -> bytes:
        return round(clip.seconds).to_bytes(2, "big")

    def decode(self, data: bytes, /) -> Clip:
        self.work()
        samples = np.zeros(int.from_bytes(data, "big") * self.rate, np.float32)
        self.sounds.append(weakref.ref(samples))
        return Clip(samples, self.rate)

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        return CodecSpec(
            "hours", 7, 16.0, lambda: nullcontext(self), lambda data: int.from_bytes(data, "big")
        )

    @property
    def held(self) -> float:
        """Seconds of sound that are in memory."""
        gc.collect()
        alive = [sound for ref in self.sounds if (sound := ref()) is not None]
        return sum(len(sound) for sound in alive) / self.rate


def lasting(seconds: int) -> Draft:
    return Draft.voice([Speech(7, seconds.to_bytes(2, "big"), seconds)])


class Forgetful(Shelf):
    async def accept(self, delivery: Delivery, /) -> str | None:
        return None


@pytest.mark.parametrize(
    ("lengths", "left"),
    [([10] * 20, 70.0), ([300] * 4, 300.0), ([3000, 3000, 10], 10.0), ([1] * 100, 32.0)],
)
def test_of_what_was_decoded_little_is_held(
    tmp_path: Path, lengths: Sequence[int], left: float
) -> None:
    async def main() -> float:
        codec, mesh = Hours(), Mesh("air")
        world = World(tmp_path, codecs=codec)
        async with world.node("a", mesh) as a, world.node("b", mesh, sinks=[Forgetful()]) as b:
            for seconds in lengths:
                events = b.events()
                await a.send(lasting(seconds))
                await received(events, 1)
            assert len(codec.sounds) == len(lengths)
            return codec.held

    assert run_virtual(main()) == left


@pytest.mark.parametrize(
    "sinks", [[], [Shelf()], [Shelf("loud:", True)]], ids=["none", "writes", "speaks"]
)
def test_the_end_does_not_wait_for_what_is_decoded(tmp_path: Path, sinks: list[Shelf]) -> None:
    begun, told, deadline = threading.Event(), list[str](), Deadline()

    def work() -> None:
        begun.set()
        try:
            deadline.until("it was told", check_cancelled)
        except Cancelled:
            told.append("to end")
            raise

    async def main() -> None:
        with ThreadPoolExecutor(4) as executor:
            world, mesh = World(tmp_path, real_runtime(executor), Hours(work)), Mesh("air")
            async with world.node("a", mesh) as a, world.node("b", mesh, sinks=sinks):
                await a.send(lasting(3))
                await asyncio.to_thread(begun.wait)

    asyncio.run(main())
    assert told == ["to end"]
