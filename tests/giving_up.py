"""Work in a thread that nobody waits for any more, as where Ctrl-C was pressed.

The law of this module: it is given up in the very moment that the test names, never after a time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from focal.core.runtime import real_runtime

PATIENCE = 30.0  # seconds until a test fails that waits for nothing


class GivenUp:
    """A moment in some work at which who waits for it is cancelled."""

    def __init__(self) -> None:
        self._here, self._given_up = threading.Event(), threading.Event()

    def here(self) -> None:
        """Say, out of the work, that the moment has come; return when nobody waits any more."""
        self._here.set()
        assert self._given_up.wait(PATIENCE), "nobody gave it up"

    def end_of(self, work: Callable[[], object]) -> BaseException | None:
        """Run some work; return what ended it, None if it went on to its end all the same."""
        ends: list[BaseException | None] = []

        def watched() -> None:
            try:
                work()
            except BaseException as error:
                ends.append(error)
                raise
            ends.append(None)

        asyncio.run(self._give_up(watched))
        (end,) = ends
        return end

    async def _give_up(self, work: Callable[[], None]) -> None:
        with ThreadPoolExecutor(1) as executor:
            waiting = asyncio.ensure_future(real_runtime(executor).run_blocking(work))
            assert await asyncio.to_thread(self._here.wait, PATIENCE), "it did not come so far"
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            self._given_up.set()
