"""What carries messages over one open link, after the outbox and the protocol decide.

The law of this module: it decides nothing about repairs and timers (``framing.peer`` does) and
keeps nothing (the spool does); it moves bytes between a link, a conversation and the hub.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVarTuple

from .draft import assumed_loss
from .errors import FrameError
from .framing.frame import Verdict
from .framing.pace import Pace
from .hub import Arrival, Hub
from .leg import Leg
from .link import Limits, Link
from .message import MessageId

Args = TypeVarTuple("Args")

WINDOW = 16
"""Messages on their way at once on a link whose airtime is free."""

COMMITTING = 256
"""Messages that may wait for their commit at once; beyond, the link is read no further."""

GIVE_UP = 12
"""Consecutive silences that end a message in ``unknown`` where airtime is dear."""


class Carrier(ABC):
    """Serves one link of a node, each time that it is open.

    Args:
        hub: the node's middle.
        name: what the user calls the link.
        key: its canonical key.
    """

    def __init__(self, hub: Hub, name: str, key: str) -> None:
        self.hub = hub
        self.name = name
        self.key = key
        self._wake = asyncio.Event()
        self._look = True
        self._at_work = 0
        self._committing = asyncio.Semaphore(COMMITTING)
        self._group: asyncio.TaskGroup
        self._link: Link

    def wake(self) -> None:
        """There may be something new in the outbox."""
        self._look = True
        self._wake.set()

    def offer(self, leg: Leg) -> None:
        """A message of others was put into the outbox for this link, to go out at once."""
        self.wake()

    async def serve(self, link: Link) -> None:
        """Move messages until cancelled.

        Raises, in a group:
            LinkLost: the link broke.
            SpoolError: the spool cannot be written. What is on its way is taken up again when
                this is called anew: all that counts is in the spool, or comes again.
        """
        self._link, self._look = link, True
        self._begin_anew()
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._read(), name=f"read {self.name}")
            self._group.create_task(self._reports(), name=f"reports {self.name}")
            self._group.create_task(self._write(), name=f"write {self.name}")

    @abstractmethod
    def _begin_anew(self) -> None:
        """Forget what was on its way: the link has just been opened."""

    @abstractmethod
    async def _read(self) -> None:
        """Take what the link receives, until it breaks."""

    @abstractmethod
    async def _reports(self) -> None:
        """Take what the link reports, until it breaks."""

    @abstractmethod
    async def _write(self) -> None:
        """Send what the outbox has, until the link breaks."""

    @property
    def busy(self) -> bool:
        """Whether something is on its way and not confirmed, or still to be said."""
        return self._look or self._at_work > 0

    @property
    @abstractmethod
    def flying(self) -> Collection[MessageId]:
        """What is on its way, as far as the outbox does not know yet."""

    @abstractmethod
    def drop(self, id: MessageId, tag: int) -> None:
        """A message is not to be sent any more."""

    async def _wait(self, seconds: float | None) -> None:
        """Wait until somebody calls ``wake`` or the time is over."""
        if seconds is not None and seconds <= 0:
            await asyncio.sleep(0)
        else:
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._wake.clear()

    async def _spawn(
        self, work: Callable[[*Args], Coroutine[Any, Any, None]], *args: *Args
    ) -> None:
        """Let a commit run beside the reading of the link, but not too many."""
        await self._committing.acquire()  # cancelled here, nothing was begun
        self._at_work += 1
        self._group.create_task(work(*args)).add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._at_work -= 1
        self._committing.release()

    async def _accept(self, data: bytes, arrival: Arrival) -> Verdict | None:
        """Commit a message; return what may be confirmed of it.

        Raises:
            SpoolError: it is not safe.
            Crowded: as ``Hub.accept``.
        """
        try:
            return await self.hub.accept(data, arrival)
        except FrameError as error:
            self.hub.stranger(self.name, error)
            return None


def pace_of(limits: Limits, hub: Hub) -> Pace:
    """Return the timing of a link as its limits tell it."""
    costs = limits.dear
    return Pace(
        airtime=(lambda n: limits.airtime(n, None) or 0.0) if costs else None,
        slot=limits.slot,
        shared=limits.shared,
        assumed_loss=assumed_loss(limits),
        give_up=GIVE_UP if costs else None,
        random=hub.random,
        relays=limits.relays,
    )
