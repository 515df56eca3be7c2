"""What holds for every source, as checks that a source's tests inherit.

The law of this module: whatever ends a source, the end of the sound, an error or whoever listens,
it has let go of its device then.
"""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import numpy as np

from ..core.audio import Clip, Samples
from ..core.errors import SourceError
from ..core.ports import Source
from ._checks import cancelled, one_line, run_check, skip, watch_loop


class SourceContract(ABC):
    """Subclass it, say how your source is opened, and every method ``test_...`` is a check.

    ::

        class TestMine(SourceContract):
            def open(self) -> Source:
                return MineSource(device="simulated")
    """

    patience = 20.0
    """Seconds that one check may take."""
    stall = 0.5
    """Seconds for which the event loop may be held up."""

    scratch: Path
    """A folder that is there for the time of one check."""

    @abstractmethod
    def open(self) -> Source:
        """Return a source that gives some sound and then ends; another one each time."""

    def missing(self) -> Source:
        """Return a source of what is not there: no such file, no such device."""
        skip("this contract has no missing() source")

    def waiting(self) -> Source:
        """Return a source that has no sound to give yet: a microphone, a pipe that stays empty."""
        skip("this contract has no waiting() source")

    def released(self) -> bool:
        """Tell whether all that the sources had open is closed again, where tests can tell."""
        return True

    # what it gives

    def test_clips_hold_sound(self) -> None:
        async def check() -> None:
            clips = await self._all()
            assert clips, "it ended without a clip and said nothing: raise SourceError"
            for clip in clips:
                assert isinstance(clip, Clip), f"it gave {clip!r} instead of a clip"
                assert len(clip.samples), "an empty clip: raise SourceError instead"
                assert 1_000 <= clip.rate <= 384_000, f"{clip.rate} samples a second"

        self._run(check)

    def test_a_clip_stays_as_it_was_given(self) -> None:
        async def check() -> None:
            given: list[tuple[Clip, Samples]] = []
            async for clip in self.open().clips():
                given.append((clip, clip.samples.copy()))
            same = [np.array_equal(clip.samples, samples) for clip, samples in given]
            assert all(same), "a clip's samples changed after it was given: copy the buffer"

        self._run(check)

    def test_it_opens_again(self) -> None:
        async def check() -> None:
            counts = [len(await self._all()) for _ in range(3)]
            assert all(counts), f"three sources, one after the other, gave {counts} clips"

        self._run(check)

    def test_the_loop_stays_free(self) -> None:
        async def check() -> None:
            watching = asyncio.ensure_future(watch_loop(asyncio.sleep, 15))
            await asyncio.sleep(0.01)
            await self._all()
            longest = await watching
            assert longest < self.stall, f"the event loop stood still for {longest:.2f} s"

        self._run(check)

    # what ends it

    def test_at_its_end_it_lets_go(self) -> None:
        async def check() -> None:
            await self._all()
            assert self.released(), "the source has ended, and something is still open"

        self._run(check)

    def test_left_early_it_lets_go(self) -> None:
        async def check() -> None:
            clips = self.open().clips()
            await anext(clips)
            if isinstance(clips, AsyncGenerator):
                await clips.aclose()
            assert self.released(), "the source was left, and something is still open"

        self._run(check)

    def test_cancelled_it_stops_and_lets_go(self) -> None:
        async def check() -> None:
            for steps in range(12):
                ended = await cancelled(self._first(self.open()), steps)
                cut = isinstance(ended, Clip | asyncio.CancelledError)
                assert cut, f"cancelled, it ended with {ended!r}"
            assert await self._all(), "after cancelled ones, a source gives nothing"

        self._run(check, lambda: self._released("cancelled"))

    def test_cancelled_while_it_waits_it_stops_and_lets_go(self) -> None:
        async def check() -> None:
            for steps in (1, 5, 50):
                ended = await cancelled(self._first(self.waiting()), steps)
                assert isinstance(ended, asyncio.CancelledError), f"it ended with {ended!r}"

        self._run(check, lambda: self._released("cancelled while it waited"))

    def test_what_is_not_there_is_told(self) -> None:
        async def check() -> None:
            try:
                given = await self._first(self.missing())
            except SourceError as error:
                one_line(error)
                return
            raise AssertionError(f"what is not there gave {given!r}")

        self._run(check, lambda: self._released("refused"))

    # how checks are run

    def _run(self, *checks: Callable[[], Awaitable[None]]) -> None:
        """Run checks, each in an event loop of its own, around one scratch folder."""
        with tempfile.TemporaryDirectory(prefix="focal-") as scratch:
            self.scratch = Path(scratch)
            for check in checks:
                run_check(check, self.patience)

    async def _all(self) -> list[Clip]:
        return [clip async for clip in self.open().clips()]

    async def _first(self, source: Source) -> Clip:
        return await anext(source.clips())

    async def _released(self, why: str) -> None:
        # in an event loop of its own: the threads of the one before have ended
        assert self.released(), f"the source was {why}, and something is still open"
