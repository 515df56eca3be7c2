"""What a bridge does, in numbers: counted from its node's events, or read where it is kept.

The law of this module: a label is a name out of this home's own configuration or a word of this
file. Nothing that somebody sent becomes one, so strangers make no series. ``docs/metrics.md`` has
them all.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from .core.clocks import moment
from .core.errors import SpoolError
from .core.events import LinkState, NodeEvent, Passed, Progress, Received, State, Trouble
from .core.ledger import Ledger

if TYPE_CHECKING:
    from .core.spool import Spool


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its full name, what it says, and what tells its series apart."""

    name: str
    says: str
    labels: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it only grows, until the process ends."""
        return self.name.endswith("_total")


Labels: TypeAlias = tuple[str, ...]
Values: TypeAlias = dict[Metric, dict[Labels, float]]


def _metric(name: str, says: str, *labels: str) -> Metric:
    return Metric(f"focal_bridge_{name}", says, labels)


def _two(name: str, says: str, *labels: str) -> tuple[Metric, Metric]:
    """Return a counter of messages and one of their bytes."""
    return (
        _metric(f"{name}_messages_total", f"Messages that {says}.", *labels),
        _metric(f"{name}_bytes_total", f"Bytes of messages that {says}.", *labels),
    )


RECEIVED = _two("received", "came by a link and were not known", "link")
PASSED = _two("passed", "go on from a link (source) to another", "source", "link")
KEPT_BACK = _two("kept_back", "do not go on, and why", "source", "link", "reason")
GAVE_WAY = _metric(
    "gave_way_messages_total", "Messages dropped because too many waited.", "link", "policy"
)
OUTCOMES = _metric("outcomes_total", "What became of messages on a link.", "link", "outcome")
RECONNECTS = _metric("link_reconnects_total", "Times that a link came up again.", "link")
TROUBLES = _metric("troubles_total", "Failures told of that stopped nothing else.", "link")

UP = _metric("link_up", "Whether a link is up: 1 or 0.", "link")
CHANGED = _metric("link_last_change_timestamp_seconds", "When a link last went up or down.", "link")
CAME = _metric("last_received_timestamp_seconds", "When a link last brought a message.", "link")
WAITING = _metric("waiting_messages", "Messages in the outbox unfinished on a link.", "link")
WAITING_BYTES = _metric("waiting_bytes", "Bytes of the messages unfinished on a link.", "link")
OLDEST = _metric("waiting_oldest_seconds", "Age of the oldest message unfinished.", "link")
DEAD = _metric("dead_letters", "Messages kept that ended badly on a link.", "link")
OUTBOX = _metric("outbox_messages", "Unfinished messages in the outbox.")
OUTBOX_BYTES = _metric("outbox_bytes", "Bytes of the unfinished messages in the outbox.")
INBOX = _metric("inbox_messages", "Messages in the inbox.")
INBOX_BYTES = _metric("inbox_bytes", "Bytes of the messages in the inbox.")
SPENT = _metric("airtime_spent_seconds", "Seconds on air in the last hour.", "radio")
ALLOWED = _metric("airtime_allowed_seconds", "Seconds on air allowed in any hour.", "radio")
READABLE = _metric("storage_readable", "Whether spool and ledger could be read now: 1 or 0.")
STARTED = _metric("start_time_seconds", "When the bridge started, Unix time.")
BUILD = _metric("build_info", "Always 1; the version is the label.", "version")

METRICS = (
    *(*RECEIVED, *PASSED, *KEPT_BACK, GAVE_WAY, OUTCOMES, RECONNECTS, TROUBLES, UP, CHANGED, CAME),
    *(WAITING, WAITING_BYTES, OLDEST, DEAD, OUTBOX, OUTBOX_BYTES, INBOX, INBOX_BYTES),
    *(SPENT, ALLOWED, READABLE, STARTED, BUILD),
)

# The sentences of core/bridge.py and core/transit.py, and the word for each that is a label.
REASONS = {
    "public": r"the link is public, and nothing is named that may cross",
    "kind": r"(voice|text|data|receipt|sealed) is not named",
    "codec": r"codec \d+ is not named",
    "sender": r"sender ~[0-9a-f]{8} is not named",
    "size": r"\d+ bytes, and at most \d+ may cross",
    "hops": r"it has passed \d+ bridges, and more are not allowed",
    "loop": r"it has passed this bridge before",
    "lifetime": r"its lifetime has ended",
    "source": r"it came by the link that it is for",
    "receipt": r"one like it went back already, and airtime is dear there",
    "destination": r"the node that it is for is heard (where it came from|elsewhere)",
    "twin": r"other bytes with this id are passed on already",
}
_WHY = {word: re.compile(pattern) for word, pattern in REASONS.items()}
_GAVE_WAY = re.compile(
    r"\d+ messages waited for .* already: the (oldest|newest|largest) gave way", re.DOTALL
)
OTHER = "other"
POLICIES = ("oldest", "newest", "largest")

ELSEWHERE = "elsewhere"
_ON_THE_WAY = (State.QUEUED, State.ON_AIR)
_OUTCOMES: dict[State, str] = {s: s.value for s in State if s not in _ON_THE_WAY}


def reason_of(why_not: str) -> str:
    """Return the word for why a message was kept back."""
    return next((word for word, why in _WHY.items() if why.fullmatch(why_not)), OTHER)


def _policy_of(event: Progress) -> str | None:
    """Return by which policy a message gave way, None if that is not what became of it."""
    if event.state is not State.REFUSED or event.reason is None:
        return None
    found = _GAVE_WAY.fullmatch(event.reason)
    return found[1] if found else None


def _outcome_of(event: Progress) -> str | None:
    if event.state is State.HEARD and event.reason is not None:
        return ELSEWHERE  # not ours overheard, but somebody else's instead of ours
    return _OUTCOMES.get(event.state)


@dataclass(slots=True)
class _Link:
    """What is known of a link: times are Unix seconds, None before the first."""

    key: str
    up: bool = False
    opened: bool = False
    since: float | None = None
    came_at: float | None = None


class Meter:
    """Counts what a bridge does, and reads how it is.

    Threads may use it at once, but only one at a time may ``read`` (or use ``health``).

    Args:
        links: the bridge's, canonical keys by name.
        spool: a connection of its own, used in ``read`` alone.
        ledger: the home's file of what its radios have sent; it need not exist.
        unix: the wall clock.
    """

    def __init__(
        self,
        links: Mapping[str, str],
        spool: Spool,
        *,
        ledger: Path | None = None,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._links = {name: _Link(key) for name, key in links.items()}
        self._names = {key: name for name, key in links.items()}
        self._spool = spool
        self._ledger = ledger
        self._unix = unix
        self._started = unix()
        self._lock = Lock()
        self._counts = {metric: Counter[Labels]() for metric in METRICS if metric.counts}
        for name in links:
            self._begin(name)

    def _begin(self, name: str) -> None:
        """Begin with 0 what a link will count, so that rates are right from the first event."""
        for metric in (*RECEIVED, RECONNECTS, TROUBLES):
            self._counts[metric][name,] = 0
        for policy in POLICIES:
            self._counts[GAVE_WAY][name, policy] = 0
        for outcome in (*_OUTCOMES.values(), ELSEWHERE):
            self._counts[OUTCOMES][name, outcome] = 0

    # Counting

    def event(self, event: NodeEvent) -> None:
        """Take what the node tells; it costs microseconds."""
        with self._lock:
            match event:
                case Passed():
                    self._passed(event)
                case Progress():
                    self._progress(event)
                case Received(link=link, at=at):
                    self._came(link, at)
                case LinkState():
                    self._changed(event)
                case Trouble(where):
                    self._counts[TROUBLES][self._label(where),] += 1

    @property
    def unopened(self) -> list[str]:
        """The names of links that were not open yet since the start."""
        with self._lock:
            return [name for name, link in self._links.items() if not link.opened]

    def _label(self, link: str | None) -> str:
        """Return a link's name, nothing where it is none of ours: so no stranger gets a series."""
        return link if link in self._links else ""

    def _passed(self, event: Passed) -> None:
        source = self._label(event.link)
        self._add(RECEIVED, event.size, source)
        for link in event.to:
            self._add(PASSED, event.size, source, self._label(link))
        for link, why_not in event.kept_back.items():
            self._add(KEPT_BACK, event.size, source, self._label(link), reason_of(why_not))
        self._came(event.link, event.at)

    def _add(self, metrics: tuple[Metric, Metric], size: int, *labels: str) -> None:
        messages, sizes = metrics
        self._counts[messages][labels] += 1
        self._counts[sizes][labels] += size

    def _came(self, name: str, at: float) -> None:
        if (link := self._links.get(name)) is not None:
            link.came_at = max(at, link.came_at or 0.0)

    def _progress(self, event: Progress) -> None:
        link = self._label(event.link)
        if (policy := _policy_of(event)) is not None:
            self._counts[GAVE_WAY][link, policy] += 1
        elif (outcome := _outcome_of(event)) is not None:
            self._counts[OUTCOMES][link, outcome] += 1

    def _changed(self, event: LinkState) -> None:
        link = self._links.get(event.link)
        if link is None:
            return
        if event.up and link.opened:
            self._counts[RECONNECTS][event.link,] += 1
        if event.up is not link.up or link.since is None:
            link.since = event.at
        link.up = event.up
        link.opened = link.opened or event.up

    # Reading

    def read(self) -> Values:
        """Return everything there is to say now. It blocks for as long as the disk takes."""
        at, values = self._unix(), self._told()
        values[READABLE] = {(): 1}
        for read in (partial(self._read_spool, at), self._read_ledger):
            try:
                values |= read()
            except SpoolError:
                values[READABLE] = {(): 0}
        return values

    def _told(self) -> Values:
        """Return what needs no disk."""
        from . import __version__

        with self._lock:
            links = self._links.items()
            return {
                **{metric: dict(counts) for metric, counts in self._counts.items()},
                UP: {(name,): link.up for name, link in links},
                CHANGED: {(name,): link.since for name, link in links if link.since is not None},
                CAME: {(name,): link.came_at for name, link in links if link.came_at is not None},
                STARTED: {(): self._started},
                BUILD: {(__version__,): 1},
            }

    def _read_spool(self, at: float) -> Values:
        outbox, totals = self._spool.outbox, self._spool.totals()
        waits = {name: outbox.backlog(link.key) for name, link in self._links.items()}
        dead = Counter[Labels]({(name,): 0 for name in self._links})
        for key, letters in outbox.dead_letters().items():
            dead[self._names.get(key, ""),] += letters
        return {
            WAITING: {(name,): messages for name, (messages, _, _) in waits.items()},
            WAITING_BYTES: {(name,): size for name, (_, size, _) in waits.items()},
            OLDEST: {(name,): _age(at, oldest) for name, (_, _, oldest) in waits.items()},
            DEAD: dict(dead),
            OUTBOX: {(): totals["outbox"][0]},
            OUTBOX_BYTES: {(): totals["outbox"][1]},
            INBOX: {(): totals["inbox"][0]},
            INBOX_BYTES: {(): totals["inbox"][1]},
        }

    def _read_ledger(self) -> Values:
        if self._ledger is None or not self._ledger.exists():
            return {}
        with closing(Ledger.look(self._ledger, moment)) as ledger:
            radios, now = ledger.radios(), ledger.now()
            allowed = {(radio,): ledger.allowed(radio) for radio in radios}
            return {
                SPENT: {(radio,): ledger.hour(radio).used(now) for radio in radios},
                ALLOWED: {radio: most for radio, most in allowed.items() if most is not None},
            }

    def health(self) -> dict[str, object]:
        """Return how the bridge is, to be told as JSON; it blocks as ``read`` does.

        Its ``status`` is ``ok``, ``degraded`` (a link is down, or the spool cannot be read) or
        ``down`` (every link is).
        """
        values = self.read()
        ups = list(values[UP].values())
        well = all(ups) and values[READABLE][()]
        return {
            "status": "ok" if well else "degraded" if any(ups) else "down",
            "at": round(self._unix(), 3),
            "started": round(self._started, 3),
            "storage_readable": bool(values[READABLE][()]),
            "links": {name: _health_of(name, values) for name in self._links},
            "last_received": max(values[CAME].values(), default=None),
        }


def _age(at: float, since: float | None) -> float:
    return 0.0 if since is None else max(0.0, at - since)


def _health_of(name: str, values: Values) -> dict[str, object]:
    """Return how a link is; null is unknown."""
    told = {
        "since": CHANGED,
        "waiting_messages": WAITING,
        "waiting_bytes": WAITING_BYTES,
        "waiting_oldest_seconds": OLDEST,
        "last_received": CAME,
    }
    rest = {word: values.get(metric, {}).get((name,)) for word, metric in told.items()}
    return {"up": bool(values[UP][name,]), **rest}
