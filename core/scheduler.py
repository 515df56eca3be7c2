"""What goes out next on a link whose airtime is limited, and why the rest waits. Sans-I/O.

The law of this module: a burst begins only if all of it fits the hour. The first in the queue
(priority, then age) goes first; while it waits for room, a smaller one that fits may pass it, if
that does not make it wait longer, or while it has not waited long. Nothing that could go stays.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import TypeAlias, cast

from .hour import Hour, Sent

ASK_ABOVE = 0.25
"""Share of the time that others use the channel above which the user is asked, or it is waited for,
as the firmware's own telemetry does."""

WAIT_ABOVE = 0.40
"""Share of channel use, ours included, above which nothing is begun, whatever the user says."""

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
        agreed: the user wants to send it though others use the channel more than a quarter.
        begun: it went out before and is taken up again: only the law holds it.
    """

    key: Hashable
    seconds: float
    queued_at: float
    expires_at: float
    priority: int = 0
    agreed: bool = False
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """How much may be sent now.

    Args:
        limit: seconds of airtime in an hour, what others send by this radio taken off.
        whole: the same while nobody else sends by it; 0: as ``limit``.
        busy: share of the time that others use the channel, as far as is known.
        until: when more will be known of that, on the clock of ``now``.
        relays: how often what we send is expected to be sent again by others.
        agreed: whether the user wants to send on a channel that is used above a quarter.
    """

    limit: float
    busy: float = 0.0
    until: float = 0.0
    relays: float = 0.0
    agreed: bool = False
    whole: float = 0.0


@dataclass(frozen=True, slots=True)
class Go:
    """This one goes out now; it has left the queue."""

    job: Job


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing goes out now.

    Args:
        job: the first in the queue.
        at: until when, on the clock of ``now``, as far as is known.
        reason: why, for people.
        ask: whether the user may decide otherwise.
        look: when it is worth another look; None: then.
    """

    job: Job
    at: float
    reason: str
    ask: bool = False
    look: float | None = None

    @property
    def look_at(self) -> float:
        """When it is worth another look."""
        return self.at if self.look is None else self.look

    def looking(self, at: float) -> Wait:
        """Return it with another look then, unless there is one earlier."""
        return replace(self, look=min(at, self.look_at))


@dataclass(frozen=True, slots=True)
class Never:
    """This one cannot go out at all; it has left the queue."""

    job: Job
    reason: str


_Line: TypeAlias = tuple[int, float, bool, bool]
"""What those who wait behind one another have in common; see ``_line``."""

Decision: TypeAlias = Go | Wait | Never


@dataclass(slots=True)
class Scheduler:
    """The queue of one radio.

    Jobs of one priority and size are one line, so that ten thousand of them cost what their few
    different sizes cost.
    """

    _lines: dict[_Line, list[tuple[float, int, Job]]] = field(default_factory=lambda: {})
    _waiting: dict[Hashable, Job] = field(default_factory=lambda: {})
    _added: int = 0
    _held: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting

    def __iter__(self) -> Iterator[Job]:
        """Return all that wait, in the order in which they came."""
        return iter([*self._waiting.values()])

    def add(self, job: Job) -> None:
        """Queue a burst; one of the same key is replaced."""
        self._waiting[job.key] = job
        if self._held > 2 * len(self._waiting):
            self._tidy()
        self._line_up(job)

    def _line_up(self, job: Job) -> None:
        self._added += 1
        self._held += 1
        heappush(self._lines.setdefault(_line(job), []), (job.queued_at, self._added, job))

    def _tidy(self) -> None:
        """Forget those that were dropped or replaced and still stand in line."""
        self._lines.clear()
        self._held = 0
        for job in self._waiting.values():
            self._line_up(job)

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
        courtesy = Courtesy(now, hour, conditions)
        held: Wait | None = None
        first: Job | None = None
        start = now
        for job in heads:
            at = hour.earliest(job.seconds, now, conditions.limit)
            if at is None:
                if job.seconds > max(conditions.limit, conditions.whole):
                    return self._never(job, conditions)
                held = held or _crowded(job, now, conditions)
                continue
            if (wait := courtesy.holds(job)) is not None:
                full = Wait(job, at, _used(hour, now, conditions))
                held = held or (wait if at <= wait.at else full.looking(wait.look_at))
                continue
            if at <= now and (first is None or may_pass(job, first, start, now, hour, conditions)):
                self._take(job)
                return Go(job)
            if first is None and at < job.expires_at:
                first, start = job, at
        last = Wait(first, start, _used(hour, now, conditions)) if first is not None else None
        return self._waits(heads, held, last)

    def _heads(self, now: float) -> list[Job]:
        """Return the first of each line that still waits, in sending order."""
        heads = [job for line in [*self._lines] if (job := self._head(line, now)) is not None]
        return sorted(heads, key=lambda job: (-job.priority, job.queued_at))

    def _head(self, key: _Line, now: float) -> Job | None:
        line = self._lines[key]
        while line:
            job = line[0][2]
            waits = self._waiting.get(job.key) is job
            if waits and job.expires_at > now:
                return job
            heappop(line)
            self._held -= 1
            if waits:
                del self._waiting[job.key]
        del self._lines[key]
        return None

    def _waits(self, heads: Sequence[Job], held: Wait | None, full: Wait | None) -> Wait:
        """Return why the first waits, of those that courtesy holds and those that the hour does."""
        if held is None and full is None:
            soon = min(heads, key=lambda job: job.expires_at)
            return Wait(soon, soon.expires_at, "there is no airtime before it expires")
        if held is None or full is None:
            return cast(Wait, held or full)
        first, other = (
            (held, full) if heads.index(held.job) < heads.index(full.job) else (full, held)
        )
        return first.looking(other.look_at)

    def _take(self, job: Job) -> None:
        del self._waiting[job.key]

    def _never(self, job: Job, conditions: Conditions) -> Never:
        self._take(job)
        whole = max(conditions.limit, conditions.whole)
        return Never(
            job,
            f"its burst takes {job.seconds:.1f} s of air, and this radio may send "
            f"{whole:.1f} s in an hour: choose a lower rate, or send a shorter one",
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


def _line(job: Job) -> _Line:
    return -job.priority, job.seconds, job.agreed, job.begun


class Courtesy:
    """Why nothing is begun on a channel that is much used.

    What others use is what the radio tells, ours taken off, or what we expect to be relayed of what
    we sent in the last minute, which it may not have told yet.

    Args:
        now: seconds.
        hour: what this radio has sent, on the same clock.
        conditions: what is known of the others.
    """

    def __init__(self, now: float, hour: Hour, conditions: Conditions) -> None:
        self._now = now
        self._hour = hour
        self._told = conditions
        self._ours = hour.used(now, MINUTE) / MINUTE
        self._others = max(conditions.busy, self._ours * conditions.relays)

    def holds(self, job: Job) -> Wait | None:
        """Return why and until when a burst is not begun; None: it may be."""
        agreed = self._told.agreed or job.agreed
        if job.begun:
            return None
        if self._others > (WAIT_ABOVE if agreed else ASK_ABOVE):
            return self._left_to_others(job, WAIT_ABOVE if agreed else ASK_ABOVE)
        if self._others + self._ours > WAIT_ABOVE:
            return self._full(job)
        return None

    def _left_to_others(self, job: Job, most: float) -> Wait:
        ask = self._others + self._ours <= WAIT_ABOVE
        reason = (
            f"others use the channel {self._others:.0%} of the time: "
            f"waiting until that is {most:.0%}"
        )
        if self._told.busy > most:
            until = max(self._told.until, self._now)
            return Wait(job, until, reason, ask, min(until, self._now + LOOK_AGAIN))
        return Wait(job, self._quiet(most / self._told.relays), reason, ask)

    def _full(self, job: Job) -> Wait:
        use = min(1.0, self._others + self._ours)
        reason = (
            f"the channel is used {use:.0%} of the time, by us {min(1.0, self._ours):.0%}: "
            f"waiting until that is {WAIT_ABOVE:.0%}"
        )
        most = min(WAIT_ABOVE - self._told.busy, WAIT_ABOVE / (1 + self._told.relays))
        return Wait(job, self._quiet(most), reason)

    def _quiet(self, most: float) -> float:
        """Return when we have sent for no more than a share of the last minute."""
        at = self._hour.earliest(0.0, self._now, most * MINUTE, MINUTE)
        return self._now + LOOK_AGAIN if at is None or at <= self._now else at


def _crowded(job: Job, now: float, conditions: Conditions) -> Wait:
    """Say that others send so much by this radio that a burst has no room in an hour."""
    reason = (
        f"its burst takes {job.seconds:.1f} s of air, and what others send by this radio leaves "
        f"{conditions.limit:.1f} s in an hour"
    )
    until = conditions.until if conditions.until > now else now + MINUTE
    return Wait(job, until, reason, look=min(until, now + LOOK_AGAIN))


def _used(hour: Hour, now: float, conditions: Conditions) -> str:
    return (
        f"{hour.used(now) + hour.promised:.1f} s of the {conditions.limit:.1f} s of air "
        "that an hour allows are used"
    )
