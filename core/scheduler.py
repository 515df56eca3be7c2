"""What goes out next on a link whose airtime is limited, and why the rest waits. Sans-I/O.

The law of this module: a burst begins only if all of it fits the hour. The first in the queue
(priority, then age) goes first; while it waits for room, a smaller one that fits may pass it, if
that does not make it wait longer, or while it has not waited long. Nothing that could go stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

from .hour import Hour, Sent

ASK_ABOVE = 0.25
"""Share of channel use above which the user is asked, or it is waited for, as the firmware's own
telemetry does."""

WAIT_ABOVE = 0.40
"""Share of channel use above which nothing is begun, whatever the user says."""

MINUTE = 60.0
"""Seconds over which channel use is told."""

LOOK_AGAIN = 15.0
"""Seconds until another look at what the radio tells of the channel."""

PATIENCE = 300.0
"""Seconds during which the first in the queue may be made to wait longer by smaller ones."""


@dataclass(frozen=True, slots=True)
class Job:
    """A burst that waits.

    Args:
        key: whose it is.
        seconds: of airtime, all its frames.
        queued_at: when it came, on the clock of ``now``.
        expires_at: when it is not worth sending any more, on that clock.
        priority: higher goes first.
    """

    key: Hashable
    seconds: float
    queued_at: float
    expires_at: float
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Conditions:
    """How much may be sent now.

    Args:
        limit: seconds of airtime in an hour, what others send by this radio taken off.
        busy: share of the time that the channel is used, as the radio last told.
        relays: how often what we send is expected to be sent again by others.
        agreed: whether the user wants to send on a channel that is used above a quarter.
    """

    limit: float
    busy: float = 0.0
    relays: float = 0.0
    agreed: bool = False


@dataclass(frozen=True, slots=True)
class Go:
    """This one goes out now; it has left the queue."""

    job: Job


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing goes out now.

    Args:
        job: the first in the queue.
        at: when it is worth another look, on the clock of ``now``.
        reason: why, for people.
        ask: whether the user may decide otherwise.
    """

    job: Job
    at: float
    reason: str
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Never:
    """This one cannot go out at all; it has left the queue."""

    job: Job
    reason: str


_Line: TypeAlias = tuple[int, float]
"""Priority, negated, and seconds of air."""

Decision: TypeAlias = Go | Wait | Never


@dataclass(slots=True)
class Scheduler:
    """The queue of one radio.

    Jobs of one priority and size are one line, so that ten thousand of them cost what their few
    different sizes cost.
    """

    _lines: dict[_Line, deque[Job]] = field(default_factory=lambda: {})
    _waiting: dict[Hashable, Job] = field(default_factory=lambda: {})

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting

    def add(self, job: Job) -> None:
        """Queue a burst; one of the same key is replaced."""
        self._waiting[job.key] = job
        line = self._lines.setdefault((-job.priority, job.seconds), deque())
        line.append(job)
        if len(line) > 1 and line[-2].queued_at > job.queued_at:  # it came by another process
            self._lines[-job.priority, job.seconds] = deque(sorted(line, key=_age))

    def drop(self, key: Hashable) -> None:
        """Forget a burst. Again: nothing happens."""
        self._waiting.pop(key, None)

    def keep(self, keys: Container[Hashable]) -> None:
        """Forget every burst whose key is none of these."""
        for key in [key for key in self._waiting if key not in keys]:
            self.drop(key)

    def next(self, now: float, hour: Hour, conditions: Conditions) -> Decision | None:
        """Decide what goes out now; None: nothing waits.

        Args:
            now: seconds.
            hour: what this radio has sent, on the same clock.
            conditions: how much may be sent.
        """
        heads = self._heads(now)
        if not heads:
            return None
        if (wait := impolite(heads[0], now, hour, conditions)) is not None:
            return wait
        first: Job | None = None
        start = now
        for job in heads:
            at = hour.earliest(job.seconds, now, conditions.limit)
            if at is None:
                return self._never(job, conditions)
            if at <= now and (first is None or may_pass(job, first, start, now, hour, conditions)):
                self._take(job)
                return Go(job)
            if first is None and at < job.expires_at:
                first, start = job, at
        if first is None:
            soon = min(heads, key=lambda job: job.expires_at)
            return Wait(soon, soon.expires_at, "there is no airtime before it expires")
        return Wait(first, start, _used(hour, now, conditions))

    def _heads(self, now: float) -> list[Job]:
        """Return the first of each line that still waits, in sending order."""
        heads = [job for line in [*self._lines] if (job := self._head(line, now)) is not None]
        return sorted(heads, key=lambda job: (-job.priority, job.queued_at))

    def _head(self, key: _Line, now: float) -> Job | None:
        line = self._lines[key]
        while line and (self._waiting.get(line[0].key) is not line[0] or line[0].expires_at <= now):
            gone = line.popleft()
            if self._waiting.get(gone.key) is gone:
                del self._waiting[gone.key]
        if not line:
            del self._lines[key]
            return None
        return line[0]

    def _take(self, job: Job) -> None:
        del self._waiting[job.key]

    def _never(self, job: Job, conditions: Conditions) -> Never:
        self._take(job)
        return Never(
            job,
            f"its burst takes {job.seconds:.1f} s of air, and this radio may send "
            f"{conditions.limit:.1f} s in an hour: choose a lower rate, or send a shorter one",
        )


def may_pass(
    job: Job, first: Job, start: float, now: float, hour: Hour, conditions: Conditions
) -> bool:
    """Tell whether a job that fits now may go before the first, which waits until ``start``."""
    if now - first.queued_at < PATIENCE:
        return True
    then = hour.after(Sent(now + job.seconds, job.seconds))
    later = then.earliest(first.seconds, now, conditions.limit)
    return later is not None and later <= start


def _age(job: Job) -> float:
    return job.queued_at


def impolite(first: Job, now: float, hour: Hour, conditions: Conditions) -> Wait | None:
    """Say why nothing is begun on a channel that is much used; None: it is not.

    What we sent in the last minute counts as often as it is expected to be relayed, whatever the
    radio has told, which may be old.
    """
    most = WAIT_ABOVE if conditions.agreed else ASK_ABOVE
    ours = hour.used(now, MINUTE) * (1 + conditions.relays) / MINUTE
    busy = max(conditions.busy, ours)
    if busy <= most:
        return None
    quiet = hour.earliest(0.0, now, most * MINUTE / (1 + conditions.relays), MINUTE)
    at = now + LOOK_AGAIN if conditions.busy > most or quiet is None else quiet
    reason = f"the channel is used {busy:.0%} of the time: waiting until that is {most:.0%}"
    return Wait(first, at, reason, ask=busy <= WAIT_ABOVE)


def _used(hour: Hour, now: float, conditions: Conditions) -> str:
    return (
        f"{hour.used(now) + hour.promised:.1f} s of the {conditions.limit:.1f} s of air "
        "that an hour allows are used"
    )
