"""Airtime for the bursts of one link: what the scheduler decides, made good in the ledger.

The law of this module: no frame goes out on a radio that the ledger did not write down first. It
sends nothing; a carrier asks it before it sends.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from .hour import HOUR, Hour
from .ledger import Later, Ledger, Promise
from .link import Limits
from .runtime import Runtime
from .scheduler import MINUTE, Conditions, Go, Job, Never, Scheduler, Wait

T = TypeVar("T")

WORST_SLOTS = 256
"""Contention slots that a frame may wait on a channel that is always busy."""

UNSEEN = 30.0
"""Seconds that a frame may be late by, when nobody saw it go."""

PROMPT = 0.05
"""Seconds that a radio may take to take a frame, without its being written down again."""

MEASURED = 59 * 60.0
"""Seconds that a radio's own count of its hour covers at least: it counts in whole minutes."""


GROWS = 1.5
"""What others send by the radio is taken for so much more than it was: more of it comes while ours
still counts."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A burst may begin: its airtime is kept."""

    job: Job
    promise: Promise


@dataclass(frozen=True, slots=True)
class Spent:
    """A frame that was written down.

    Args:
        entry: the ledger's.
        seconds: of air.
        at: when, on the ledger's clock.
        ends: when it is out at the latest, as far as is known.
    """

    entry: int
    seconds: float
    at: float
    ends: float


@dataclass(frozen=True, slots=True)
class _Word:
    """What the radio told of the channel.

    Args:
        busy: share of the minute before that the channel was used, ours included.
        told: when, on the runtime's clock; None: not known.
        at: the same, or when it was first seen, on the ledger's clock.
        others: the share of others.
    """

    busy: float
    told: float | None
    at: float
    others: float


Plan: TypeAlias = Begin | Wait | Never


class Books:
    """The ledger of a node, used by one call at a time."""

    def __init__(self, ledger: Ledger, runtime: Runtime) -> None:
        self.ledger = ledger
        self._runtime = runtime
        self._lock = asyncio.Lock()

    async def do(self, work: Callable[[Ledger], T]) -> T:
        """Have something done with the ledger. Raises SpoolError."""
        async with self._lock:
            return await self._runtime.run_blocking(lambda: work(self.ledger))

    def since(self, told: float | None) -> float:
        """Return the seconds since a moment on the runtime's clock; None is this one."""
        return 0.0 if told is None else max(0.0, self._runtime.now() - told)


@dataclass(slots=True)
class Planner:
    """Plans for one link that has a radio.

    Args:
        books: the node's ledger.
        radio: the ledger's key.
        limits: tells what the link carries now.
    """

    books: Books
    radio: str
    limits: Callable[[], Limits]
    queue: Scheduler = field(default_factory=Scheduler)
    _told: float | None = None
    _word: _Word | None = None
    _foreign: float = 0.0
    _ours: float = math.inf
    _out_at: float = 0.0
    _inside: deque[Spent] = field(default_factory=lambda: deque())

    def limit(self, hour: Hour, now: float) -> float:
        """Return the seconds of air in an hour that are ours.

        Others use the radio too (its relays, its own telemetry): what it counts beyond what we
        sent is theirs. Of two counts of ours, that before its word and that after, the smaller is
        taken off, because it may not have counted our last burst. Theirs may be more in the hours
        in which ours will still count.
        """
        limits, ours = self.limits(), hour.used(now, MEASURED)
        if limits.used is not None and limits.used != self._told:
            self._told = limits.used
            self._foreign = max(0.0, limits.used * HOUR - min(ours, self._ours)) * GROWS
        self._ours = ours
        return max(0.0, HOUR * limits.duty * (1 - limits.reserve) - self._foreign)

    def conditions(self, hour: Hour, now: float) -> Conditions:
        """Return how much may be sent now, as far as the hour and the radio tell."""
        limits, word = self.limits(), self._heard(hour, now)
        limit, whole = self.limit(hour, now), HOUR * limits.duty * (1 - limits.reserve)
        if word is None:
            return Conditions(limit, relays=limits.relays, agreed=limits.agreed, whole=whole)
        # What it told holds for a minute, then it tells again; if it does not, nothing is known.
        until = word.at + MINUTE * (1 + max(0.0, now - word.at) // MINUTE)
        return Conditions(limit, word.others, until, limits.relays, limits.agreed, whole)

    def _heard(self, hour: Hour, now: float) -> _Word | None:
        """Return what the radio last told of the channel, our part of that minute taken off."""
        limits = self.limits()
        if limits.busy is None:
            return None
        word = self._word
        if word is None or (word.busy, word.told) != (limits.busy, limits.told):
            at = now - self.books.since(limits.told)
            late = WORST_SLOTS * limits.slot  # what is written down may have ended so much earlier
            ours = hour.between(at - MINUTE + late, at + late) / MINUTE
            self._word = _Word(limits.busy, limits.told, at, max(0.0, limits.busy - ours))
        return self._word

    async def next(self) -> Plan | None:
        """Return what may begin now, or why and how long the queue waits; None: it is empty.

        Raises:
            SpoolError: the ledger cannot be used: then nothing may be sent.
        """
        return await self.books.do(self._next)

    async def afford(self, seconds: float) -> Promise | Later:
        """Keep airtime for what must be said now (an answer, a repair), if there is any.

        Raises:
            SpoolError: the ledger cannot be used: then nothing may be sent.
        """

        def op(ledger: Ledger) -> Promise | Later:
            limit = self.limit(ledger.hour(self.radio), ledger.now())
            return ledger.promise(self.radio, seconds, limit)

        return await self.books.do(op)

    async def spend(self, promise: Promise, seconds: float) -> Spent | None:
        """Write a frame down that goes to the radio now; None: it must not.

        Raises:
            SpoolError: the ledger cannot be written: it must not.
        """

        def op(ledger: Ledger) -> Spent | None:
            now = ledger.now()
            within = self._within(now) + seconds
            entry = ledger.spend(promise, seconds, within)
            if entry is None:
                return None
            self._out_at = max(now, self._out_at) + seconds
            return Spent(entry, seconds, now, now + within)

        return await self.books.do(op)

    async def handed(self, spent: Spent) -> None:
        """The radio has taken a frame, maybe after a while: it is out that much later.

        So are those that it still holds, where it tells how many: on a channel that is much used
        they wait longer than anybody can reckon. Of one that has gone meanwhile it is not known
        when: as late as can be.

        Raises:
            SpoolError: the ledger cannot be written.
        """

        def op(ledger: Ledger) -> None:
            now, taken = ledger.now(), spent
            if now > spent.at + PROMPT:
                self._out_at = max(self._out_at, now + spent.seconds)
                taken = self._later(ledger, spent, now, self._within(now) + spent.seconds)
            self._inside.append(taken)
            self._keep_up(ledger, now)

        await self.books.do(op)

    def _keep_up(self, ledger: Ledger, now: float) -> None:
        """What the radio holds is out, one after the other, after now; what it did hold, is out."""
        limits = self.limits()
        slots, out = WORST_SLOTS * limits.slot, now
        while len(self._inside) > (limits.waiting or 0):
            gone = self._inside.popleft()
            if gone.ends < now + gone.seconds:  # it may be on the air
                self._later(ledger, gone, now, min(gone.seconds, gone.ends + UNSEEN - now))
        for place, one in enumerate(self._inside):
            out += one.seconds
            if out + slots > one.ends + PROMPT:
                self._inside[place] = self._later(ledger, one, now, out + slots - now)
        self._out_at = max(self._out_at, out)

    def _later(self, ledger: Ledger, spent: Spent, now: float, within: float) -> Spent:
        ledger.moved(spent.entry, within)
        return replace(spent, ends=max(spent.ends, now + within))

    def _within(self, now: float) -> float:
        """Return the seconds that a frame waits at most for the radio's queue and the channel."""
        return max(0.0, self._out_at - now) + WORST_SLOTS * self.limits().slot

    async def release(self, promise: Promise) -> None:
        """Give back what is left of a burst's airtime. Raises SpoolError."""
        await self.books.do(lambda ledger: ledger.release(promise))

    def wait_for(self, at: float) -> float:
        """Return the seconds from now until a time that this planner told."""
        return max(0.0, at - self.books.ledger.now())

    def _next(self, ledger: Ledger) -> Plan | None:
        now, hour = ledger.now(), ledger.hour(self.radio)
        conditions = self.conditions(hour, now)
        decision = self.queue.next(now, hour, conditions)
        if not isinstance(decision, Go):
            return decision
        promise = ledger.promise(self.radio, decision.job.seconds, conditions.limit)
        if isinstance(promise, Promise):
            return Begin(decision.job, promise)
        self.queue.add(decision.job)  # another process was faster
        at = now + HOUR if promise.at is None else promise.at
        return Wait(decision.job, at, "another program of this home has just used the air")
