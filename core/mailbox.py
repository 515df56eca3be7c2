"""A queue that can end, for ``Link.receive`` and ``Link.reports``.

The law of this module: what was put before the end is still handed out, then the end is told,
again and again, to everyone who asks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from .errors import TransportError

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded queue with an end. Belongs to one event loop and is used only from its thread.

    Args:
        limit: items kept; when it is full, the oldest goes (a datagram link may lose) and
            ``dropped`` counts it.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._end: TransportError | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item; after the end, it is ignored."""
        if self._end is not None:
            return
        if len(self._items) >= self._limit:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._wake(1)

    def fail(self, error: TransportError) -> None:
        """End it: once it is empty, ``get`` raises ``error``. Only the first end counts."""
        if self._end is None:
            self._end = error
            self._wake(len(self._waiters))

    def check(self) -> None:
        """Raise the error that ended it, if it has ended."""
        if self._end is not None:
            raise self._end.with_traceback(None)

    async def get(self) -> T:
        """Return the next item. A cancelled call takes none.

        Raises:
            TransportError: the one given to ``fail``, when nothing is left.
        """
        while not self._items:
            self.check()
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._forget(waiter)
                raise
        return self._items.popleft()

    async def __aiter__(self) -> AsyncIterator[T]:
        """Yield items until the end, and then stop, whatever the end was."""
        while self._items or self._end is None:
            try:
                item = await self.get()
            except TransportError:
                return
            yield item

    def _forget(self, waiter: asyncio.Future[None]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif self._items:  # it was woken for an item that it will not take: wake the next one
            self._wake(1)

    def _wake(self, count: int) -> None:
        for _ in range(count):
            while self._waiters:
                waiter = self._waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    break
