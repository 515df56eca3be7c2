"""The desk in front of the spool: many tasks ask, one transaction answers.

The law of this module: whoever was answered, it is committed. What is asked for while a commit
runs goes into the next one, so the disk is waited for once for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from .errors import SpoolError
from .runtime import Runtime
from .spool import Spool

T = TypeVar("T")
_Job: TypeAlias = tuple[Callable[[], object], "asyncio.Future[Any]"]

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

    async def do(self, op: Callable[[], T]) -> T:
        """Do something with the spool; return when it is committed.

        ``op`` runs in a transaction with others and is undone alone if it raises. Cancelling
        leaves it wholly done or not done at all, and the others as they are.

        Raises:
            SpoolError: the commit failed, or the desk is closed; or whatever ``op`` raises.
        """
        if self._closed:
            raise SpoolError("the spool is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((op, done))
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
            op, done = self._queue.popleft()
            if not done.cancelled():
                jobs.append((op, done))
        return jobs

    def _apply(self, jobs: Sequence[_Job]) -> list[object | Exception]:
        return self.spool.apply([op for op, _ in jobs])

    def _give_up(self, jobs: Sequence[_Job], error: BaseException) -> None:
        self._queue.clear()
        for _, done in jobs:
            if isinstance(error, Exception) and not done.done():
                done.set_exception(error)
            else:
                done.cancel()


def _answer(jobs: Sequence[_Job], results: Sequence[object | Exception]) -> None:
    for (_, done), result in zip(jobs, results, strict=True):
        if done.cancelled():
            continue
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(cast(Any, result))
