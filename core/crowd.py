"""Messages that wait, where they are, until a leg of a bridge has room for them.

The law of this module: whoever waits tries again by itself after a while, so that nobody waits for
ever because somebody else was let through in their place.
"""

from __future__ import annotations

import asyncio
from collections import deque

PATIENCE = 2.0
"""Seconds after which a message tries again, whether another has left or not."""


class Crowd:
    """Those who wait. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait until there may be room."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(PATIENCE):
                await waiter
        except TimeoutError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def let_one(self) -> None:
        """A message has left: whoever waits longest may try again."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
