"""When a message could begin, told beforehand as the scheduler would have it.

The law of this module: it asks the scheduler itself, with what waits already and what the radio
tells; it keeps no airtime, and nothing is sent. What others will send is not known: of them it
takes that they go on until the radio tells again, and no longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from .core.backlog import TURN, job_of
from .core.clocks import Moment
from .core.draft import burst_airtime, planned_parity
from .core.errors import TooLong
from .core.framing.split import cut_for
from .core.hour import Hour, Sent
from .core.ledger import Ledger
from .core.leg import Weight
from .core.link import Address, Limits
from .core.message import destination_of
from .core.planner import Books, Planner
from .core.radio import CONTROL
from .core.runtime import Runtime
from .core.scheduler import Conditions, Go, Job, Never, Scheduler, Wait

if TYPE_CHECKING:
    from .core.spool import Spool

STEPS = 20_000
"""Decisions of the scheduler that are looked ahead: of a full outbox the bursts and their waits."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """When a message could begin.

    Args:
        at: Unix seconds; None: never, it is longer than an hour's limit.
        reason: why not now; None: it could.
    """

    at: float | None
    reason: str | None = None


@dataclass(slots=True)
class _Ahead:
    """A radio as it will be, moved on by what the scheduler decides.

    ``need`` is what others leave of an hour in the end, in seconds of air.
    """

    queue: Scheduler
    hour: Hour
    now: float
    conditions: Conditions
    need: float
    reason: str | None = None

    def start_of(self, job: Job) -> float | None:
        """Return when a burst begins, on the clock of ``now``; None: never."""
        for _ in range(STEPS):
            match self.queue.next(self.now, self.hour, self.conditions):
                case Go(other) if other is job:
                    return self.now
                case Go(other):
                    self.reason = self.reason or TURN
                    self.hour = self.hour.after(Sent(self.now + other.seconds, other.seconds))
                    self._wait_until(self.now + other.seconds)
                case Wait() as wait:
                    self._say(wait, job)
                    self._wait_until(max(wait.look_at, self.now + 1e-3))
                case Never(other) if other is not job:
                    pass
                case _:  # it expires before there is room, or there never is
                    return None
        return self.now

    def _say(self, wait: Wait, job: Job) -> None:
        behind = "" if wait.job is job else f"{TURN}: "
        self.reason = self.reason or f"{behind}{wait.reason}"

    def _wait_until(self, at: float) -> None:
        self.now = at
        if at >= self.conditions.until:
            limit = max(self.conditions.limit, self.need)
            self.conditions = replace(self.conditions, busy=0.0, limit=limit)


def outlook(
    limits: Limits,
    ledger: Ledger,
    runtime: Runtime,
    waiting: Iterable[Weight],
    bursts: Sequence[float],
    lifetime: float,
    asking: Address | None = None,
) -> Outlook:
    """Return when the first of some messages could begin.

    Args:
        limits: of a link that has a radio.
        ledger: what it has sent.
        runtime: the clock in which the limits are told.
        waiting: what is to go out by it already.
        bursts: seconds of air of each message.
        lifetime: seconds that they live.
        asking: the address that they are for, if it is to be asked first who is there.

    Raises:
        SpoolError: the ledger cannot be read.
    """
    assert limits.radio is not None
    moment, hour = ledger.moment(), ledger.hour(limits.radio)
    planner = Planner(Books(ledger, runtime), limits.radio, lambda: limits)
    conditions = planner.conditions(hour, moment.awake)
    if any(seconds > conditions.whole for seconds in bursts):
        return Outlook(None)
    waiting = [weight for weight in waiting if _goes_before(weight, asking, moment)]
    ahead = _Ahead(_queue(limits, waiting, moment), hour, moment.awake, conditions, max(bursts))
    jobs = [
        Job(key, seconds, moment.awake, moment.awake + lifetime)
        for key, seconds in zip(count(), bursts, strict=False)
    ]
    for job in jobs:
        ahead.queue.add(job)
    at = ahead.start_of(jobs[0])
    reason = ahead.reason if asking is None else _asks(asking, waiting, ahead.reason)
    return Outlook(None if at is None else moment.unix + at - moment.awake, reason)


def asked_first(spool: Spool, to: str | None, keys: Iterable[str]) -> Address | None:
    """Return the address that is asked who is there before anything goes there; None: nobody is.

    Args:
        spool: knows who was heard where.
        to: whom a message is for, as the user wrote it.
        keys: of the links that it goes out by.
    """
    if to is None or to.startswith("~") or spool.peers.origins_named(to):
        return None
    return to if all(spool.peers.origin_of(key, to) is None for key in keys) else None


def _goes_before(weight: Weight, asking: Address | None, moment: Moment) -> bool:
    """Tell whether what waits could go now, or asks for the same address."""
    if weight.wants_destination and weight.to != asking:
        return False
    return weight.after <= moment.unix


def _asks(address: Address, waiting: Sequence[Weight], then: str | None) -> str:
    others = sum(weight.wants_destination for weight in waiting)
    behind = f", as {others} before it do" if others else ""
    after = f"; then {then}" if then else ""
    return f"it waits until it is known who is at {address}{behind}{after}"


def _queue(limits: Limits, waiting: Iterable[Weight], moment: Moment) -> Scheduler:
    queue = Scheduler()
    for weight in waiting:
        if (seconds := _airtime(weight, limits)) is not None:
            replies = limits.replies
            queue.add(job_of(weight, seconds, moment.awake, moment.unix, replies=replies))
    return queue


def _airtime(weight: Weight, limits: Limits) -> float | None:
    """Return the seconds that the burst of a message takes; None: the link cannot carry it."""
    if weight.begun and limits.replies:
        return limits.airtime(CONTROL, None)
    try:
        k = cut_for(weight.length, limits.mtu(None)).k
        to_all = destination_of(weight.head)[1] is None and not weight.wants_destination
        extra = planned_parity(k, limits, to_all=to_all)
        if weight.parity is not None:
            extra = min(extra, weight.parity)
        return burst_airtime(weight.length, limits, None, extra)
    except TooLong:
        return None
