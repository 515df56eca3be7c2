"""The desk in front of the spool: many tasks ask, one transaction answers.

The law of this module: whoever was answered, it is committed. What is asked for while a commit
runs goes into the next one, so the disk is waited for once for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from .errors import SpoolError
from .runtime import Runtime
from .spool import Spool

T = TypeVar("T")
_Job: TypeAlias = tuple[Callable[[], Any], "asyncio.Future[Any]", "Callable[[Any], None] | None"]

BATCH = 512


class Desk:
    """Group commit for the tasks of one event loop.

    What waits here is bounded by who waits: each caller of ``do`` has one op in it.

    Args:
        spool: used by the desk alone, as long as it is open.
        runtime: how work that blocks is run.
        batch: the most ops in one transaction.
    """

    def __init__(self, spool: Spool, runtime: Runtime, *, batch: int = BATCH) -> None:
        self.spool = spool
        self._runtime = runtime
        self._batch = batch
        self._queue: deque[_Job] = deque()
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    async def do(self, op: Callable[[], T], then: Callable[[T], None] | None = None) -> T:
        """Do something with the spool; return when it is committed.

        ``op`` runs in a transaction with others and is undone alone if it raises. Cancelling
        leaves it wholly done or not done at all, and the others as they are.

        Args:
            op: what to do.
            then: is called with the result when that is committed, also if whoever asked for it
                was cancelled meanwhile; it must not raise.

        Raises:
            SpoolError: the commit failed, or the desk is closed; or whatever ``op`` raises.
        """
        if self._closed:
            raise SpoolError("the spool is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((op, done, then))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="spool")
        return await done

    async def aclose(self) -> None:
        """Take nothing more, and wait for what is queued. Again: nothing happens."""
        self._closed = True
        if self._flusher is not None:
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        while jobs := self._next_batch():
            try:
                results = await self._runtime.run_blocking(lambda: self._apply(jobs))
            except BaseException as error:  # cancelled, or a bug: nobody may wait for ever
                self._give_up([*jobs, *self._queue], error)
                raise
            self._runtime.mark("spool-committed")
            _answer(jobs, results)

    def _next_batch(self) -> list[_Job]:
        jobs: list[_Job] = []
        while self._queue and len(jobs) < self._batch:
            job = self._queue.popleft()
            if not job[1].cancelled():
                jobs.append(job)
        return jobs

    def _apply(self, jobs: Sequence[_Job]) -> list[object | Exception]:
        return self.spool.apply([op for op, _, _ in jobs])

    def _give_up(self, jobs: Sequence[_Job], error: BaseException) -> None:
        self._queue.clear()
        for _, done, _ in jobs:
            if isinstance(error, Exception) and not done.done():
                done.set_exception(error)
            else:
                done.cancel()


def _answer(jobs: Sequence[_Job], results: Sequence[object | Exception]) -> None:
    for (_, done, then), result in zip(jobs, results, strict=True):
        if isinstance(result, Exception):
            if not done.cancelled():
                done.set_exception(result)
            continue
        if then is not None:
            then(result)
        if not done.cancelled():
            done.set_result(result)
