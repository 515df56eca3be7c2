"""Time and blocking work, as a node sees them: real, or virtual.

The law of this module: whoever waits, asks the time or blocks, does it through a ``Runtime``, so
that the same node runs in a test or a simulation at the speed of thought.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .errors import FocalError

T = TypeVar("T")


class RunBlocking(Protocol):
    """Calls a function that blocks or computes, without stopping the event loop.

    Who waits for it can be cancelled at once. The function itself goes on until it looks:
    ``check_cancelled`` tells it.
    """

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class Cancelled(BaseException):
    """Ends work in a worker thread that nobody waits for any more."""


_cancelled: ContextVar[threading.Event | None] = ContextVar("_cancelled", default=None)


def check_cancelled() -> None:
    """End this work here, if it was called by ``run_blocking`` and who waited was cancelled.

    A thread cannot be stopped from outside. So work of more than a second calls this between its
    steps, as codecs do between two pieces of sound. Elsewhere nothing happens.

    Raises:
        Cancelled: to be let through.
    """
    if (cancelled := _cancelled.get()) is not None and cancelled.is_set():
        raise Cancelled


def unmarked(point: str, /) -> None:
    """Pass a named point; what a runtime does when nobody watches."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a node reaches the clock, the event loop's timers and worker threads.

    Args:
        now: seconds that never go back; only differences mean anything.
        sleep: wait so many seconds of ``now``.
        run_blocking: run a function in a worker thread (or inline, in virtual time).
        unix: the wall clock, Unix seconds; for what is written down and for lifetimes.
        mark: passes a named point of the program ("outbox-committed"); tests stop a process there.
    """

    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    run_blocking: RunBlocking
    unix: Callable[[], float]
    mark: Callable[[str], None] = unmarked


def real_runtime(executor: ThreadPoolExecutor, mark: Callable[[str], None] = unmarked) -> Runtime:
    """Return the runtime of a real process; blocking work runs on ``executor``."""

    async def run_blocking(work: Callable[[], T], /) -> T:
        cancelled, context = threading.Event(), copy_context()
        context.run(_cancelled.set, cancelled)
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, context.run, work)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    return Runtime(time.monotonic, asyncio.sleep, run_blocking, time.time, mark)


DAY = 86_400.0


class Deadlock(FocalError):
    """In virtual time: everybody waits and no timer will wake anybody, or it never ends."""


class _Jump(selectors.SelectSelector):
    """A selector that never waits: it moves the virtual clock to the next timer instead."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.clock = 0.0
        self.limit = limit

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock("virtual time: every task waits for another one")
        if self.clock > self.limit:
            raise Deadlock(f"virtual time: {self.limit:.0f} s have passed, and it goes on")
        self.clock += max(timeout, 1e-9)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when nothing is ready.

    It knows no threads: blocking work must run inline (``virtual_runtime`` sees to that).
    """

    def __init__(self, limit: float = DAY) -> None:
        self._jump = _Jump(limit)
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.clock


def virtual_runtime(epoch: float = 1_800_000_000.0) -> Runtime:
    """Return a runtime for code that runs inside ``run_virtual``; ``epoch`` is Unix time at 0."""

    async def run_blocking(work: Callable[[], T], /) -> T:
        return work()

    def now() -> float:
        return asyncio.get_running_loop().time()

    return Runtime(now, asyncio.sleep, run_blocking, lambda: epoch + now())


def run_virtual(
    main: Coroutine[Any, Any, T], limit: float = DAY, *, debug: bool | None = None
) -> T:
    """Run a coroutine to its end in virtual time and return its result.

    Raises:
        Deadlock: every task waits and no timer is set, or more than ``limit`` seconds passed.

    ``debug`` is asyncio's; None leaves it to the environment.
    """
    with asyncio.Runner(debug=debug, loop_factory=lambda: VirtualLoop(limit)) as runner:
        return runner.run(main)
