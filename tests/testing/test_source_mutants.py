"""The contract of sources is tested with broken ones: each check catches what it is there for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from focal.core.audio import Clip
from focal.core.errors import SourceError
from focal.core.ports import Source
from focal.testing import SourceContract


class Device:
    """What is opened; it tells who forgot it."""

    def __init__(self) -> None:
        self.open = 0
        self.used = 0
        self.buffer = np.zeros(800, np.float32)
        self.task: asyncio.Task[Any] | None = None


class Sound:
    """Two clips of a device, with no fault; the mutants below have one each.

    Args:
        device: what it opens.
        how: ``there``, ``missing``, or ``mute``: no sound ever comes.
        scratch: a folder for the mutants.
    """

    def __init__(self, device: Device, how: str, scratch: Path) -> None:
        self.device = device
        self.how = how
        self.scratch = scratch

    async def clips(self) -> AsyncGenerator[Clip]:
        if self.how == "missing":
            raise self.refusal()
        self.device.open += 1
        try:
            for number in range(2):
                yield await self.next(number)
        finally:
            self.device.open -= 1

    def refusal(self) -> Exception:
        return SourceError("no such device: plug it in")

    async def next(self, number: int) -> Clip:
        await asyncio.sleep(9e9 if self.how == "mute" else 0)
        return Clip(np.full(800, number, np.float32), 8000)


class Broken(SourceContract):
    patience = 2.0
    stall = 0.3

    def __init__(self, source: type[Sound]) -> None:
        self.source = source
        self.device = Device()

    def make(self, how: str) -> Source:
        return self.source(self.device, how, self.scratch)

    def open(self) -> Source:
        return self.make("there")

    def missing(self) -> Source:
        return self.make("missing")

    def waiting(self) -> Source:
        return self.make("mute")

    def released(self) -> bool:
        return not self.device.open


# what it gives


class SaysNothing(Sound):
    async def clips(self) -> AsyncGenerator[Clip]:
        for number in range(0):
            yield await self.next(number)


class Empty(Sound):
    async def next(self, number: int) -> Clip:
        return Clip(np.zeros(0, np.float32), 8000)


class BareSamples(Sound):
    async def next(self, number: int) -> Clip:
        return cast("Clip", np.zeros(800, np.float32))


class SlowClock(Sound):
    async def next(self, number: int) -> Clip:
        return Clip(np.zeros(800, np.float32), 8)


class Endless(Sound):
    async def next(self, number: int) -> Clip:
        self.how = "mute" if number else "there"
        return await super().next(number)


class OneBuffer(Sound):
    async def next(self, number: int) -> Clip:
        self.device.buffer[:] = number
        return Clip(self.device.buffer, 8000)


class WorksOnce(Sound):
    async def clips(self) -> AsyncGenerator[Clip]:
        self.device.used += 1
        if self.device.used == 1:
            yield await self.next(0)


class Blocks(Sound):
    async def next(self, number: int) -> Clip:
        time.sleep(0.4)  # noqa: ASYNC251 - this is the fault
        return await super().next(number)


# what ends it


class StaysOpenAtTheEnd(Sound):
    async def clips(self) -> AsyncGenerator[Clip]:
        self.device.open += 1
        for number in range(2):
            yield await self.next(number)


class ClosesAtTheEndOnly(StaysOpenAtTheEnd):
    async def clips(self) -> AsyncGenerator[Clip]:
        async for clip in super().clips():
            yield clip
        self.device.open -= 1


class LeavesTask(Sound):
    async def clips(self) -> AsyncGenerator[Clip]:
        self.device.task = asyncio.ensure_future(asyncio.sleep(9e9))
        async for clip in super().clips():
            yield clip


class LeavesFile(Sound):
    async def next(self, number: int) -> Clip:
        open(__file__, "rb")  # noqa: ASYNC230 - this is the fault
        return await super().next(number)


class TranslatesCancelling(Sound):
    async def next(self, number: int) -> Clip:
        try:
            return await super().next(number)
        except asyncio.CancelledError as error:
            raise SourceError("the device was busy") from error


class IgnoresCancelling(Sound):
    async def next(self, number: int) -> Clip:
        try:
            return await super().next(number)
        except asyncio.CancelledError:
            self.how = "there"
            return await super().next(number)


class RaisesWhatItGets(Sound):
    def refusal(self) -> Exception:
        return FileNotFoundError("errno 2")


class TellsAStory(Sound):
    def refusal(self) -> Exception:
        return SourceError("it all began\nlong ago")


class OpensBeforeItLooks(Sound):
    async def clips(self) -> AsyncGenerator[Clip]:
        self.device.open += 1
        async for clip in super().clips():
            yield clip
        self.device.open -= 1


MUTANTS: dict[str, list[type[Sound]]] = {
    "test_clips_hold_sound": [SaysNothing, Empty, BareSamples, SlowClock, Endless, LeavesFile],
    "test_a_clip_stays_as_it_was_given": [OneBuffer],
    "test_it_opens_again": [WorksOnce],
    "test_the_loop_stays_free": [Blocks],
    "test_at_its_end_it_lets_go": [StaysOpenAtTheEnd, LeavesTask],
    "test_left_early_it_lets_go": [ClosesAtTheEndOnly],
    "test_cancelled_it_stops_and_lets_go": [ClosesAtTheEndOnly, LeavesTask, TranslatesCancelling],
    "test_cancelled_while_it_waits_it_stops_and_lets_go": [IgnoresCancelling, ClosesAtTheEndOnly],
    "test_what_is_not_there_is_told": [RaisesWhatItGets, TellsAStory, OpensBeforeItLooks],
}
"""For each check, the faults that it is there for."""


def checks() -> set[str]:
    return {name for name in dir(SourceContract) if name.startswith("test_")}


@pytest.mark.parametrize(
    ("check", "mutant"),
    [(check, mutant) for check, mutants in MUTANTS.items() for mutant in mutants],
)
def test_a_check_catches_its_mutants(check: str, mutant: type[Sound]) -> None:
    with pytest.raises(Exception):  # noqa: B017 - assertion, or the fault's own
        getattr(Broken(mutant), check)()


@pytest.mark.parametrize("check", sorted(checks()))
def test_a_check_passes_what_is_sound(check: str) -> None:
    getattr(Broken(Sound), check)()


def test_every_check_has_a_mutant() -> None:
    assert set(MUTANTS) == checks()
