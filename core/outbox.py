"""The outbox: what this node has to send, on which links, and how far each has got.

The law of this module: a message leaves only with a word on what became of it. Everything that
changes the state of an outgoing message is in this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .database import Database, Row
from .errors import SpoolError
from .events import Progress, State
from .link import Address
from .message import Kind, Message, MessageId, id_of

_WEEK = 7 * 86_400.0
_CONFIRMED = {State.DELIVERED: 1, State.PLAYED: 2}


@dataclass(frozen=True, slots=True)
class OutboxBounds:
    """How much the outbox holds.

    Args:
        messages: unfinished messages; one more is refused.
        size: their bytes, likewise.
        history: finished messages kept to look at; the oldest go first.
        events: events kept of one message; the oldest go first.
        all_events: events kept of all messages.
        age: seconds after which history and events go, however few they are.
    """

    messages: int = 10_000
    size: int = 256 << 20
    history: int = 1_000
    events: int = 100
    all_events: int = 100_000
    age: float = _WEEK


@dataclass(frozen=True, slots=True)
class LegSpec:
    """A link that shall carry a message.

    Args:
        link: its canonical key (``Transport.key``).
        name: what the user calls it.
        to: whom on that link, in its own spelling; None is everyone, or whoever the message's
            destination is.
    """

    link: str
    name: str
    to: Address | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """A message on its way over one link.

    Args:
        id: the message's.
        message: its bytes.
        kind: what it is.
        link: the link's canonical key.
        name: what the user calls the link.
        to: whom on that link the sender asked for, in its spelling.
        state: how far it is.
        attempts: bursts begun since it was queued or retried.
        next_index: the symbol that the next burst begins with.
        queued_at: Unix seconds.
        expires_at: when its lifetime ends; infinity where it does not.
        priority: higher goes first.
        reason: why it waits, was refused, or is unknown.
        until: until when it waits, Unix seconds, where that is known.
        sent: some of it went out, now or before a retry.
        done: nothing more is to be done for it.
        wants_destination: its destination is not known yet, so it must not go out.
    """

    id: MessageId
    message: bytes = field(repr=False)
    kind: Kind
    link: str
    name: str
    to: Address | None
    state: State
    attempts: int
    next_index: int
    queued_at: float
    expires_at: float
    priority: int
    reason: str | None
    until: float | None
    sent: bool
    done: bool
    wants_destination: bool


class Outbox:
    """The messages to send; ``Spool.outbox``.

    Every method is one transaction, or part of the one it is called in. All raise SpoolError when
    the spool cannot be read or written.
    """

    def __init__(self, database: Database, unix: Callable[[], float], bounds: OutboxBounds) -> None:
        self._db = database
        self._unix = unix
        self._bounds = bounds

    def put(
        self,
        message: bytes,
        legs: Sequence[LegSpec],
        *,
        expires_at: float,
        priority: int = 0,
        wants_destination: bool = False,
    ) -> MessageId:
        """Take a message to send. The same bytes again: legs for further links are added.

        Args:
            message: a whole message's bytes.
            legs: the links that shall carry it, each at most once.
            expires_at: Unix seconds; infinity for links that keep what they carry.
            priority: higher goes first.
            wants_destination: hold it back until ``rewrite`` gives it its destination.

        Raises:
            FrameError: these are not the bytes of a message.
            SpoolError: the outbox is full, or other bytes have this id.
            ValueError: no legs.
        """
        kind, id = Message.from_bytes(message).kind, id_of(message)
        if not legs:
            raise ValueError("a message without a leg would wait for ever")
        with self._db.transaction():
            row = self._known(id, message)
            if row is None:
                self._make_room(len(message))
                row = self._db.insert(
                    "INSERT INTO outbox (origin, sequence, message, kind, wants_destination,"
                    " priority, queued_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    id.origin,
                    id.sequence,
                    message,
                    kind,
                    wants_destination,
                    priority,
                    self._unix(),
                    expires_at,
                )
            else:
                self._reopen(id, {leg.link for leg in legs})
            for leg in legs:
                self._db.run(
                    "INSERT OR IGNORE INTO leg (message, link, name, address, state)"
                    " VALUES (?, ?, ?, ?, ?)",
                    row,
                    leg.link,
                    leg.name,
                    leg.to,
                    State.QUEUED.value,
                )
        return id

    def waiting(self, link: str, *, limit: int = -1) -> list[Leg]:
        """Return the unfinished legs of a link (its key) in sending order, at most ``limit``."""
        return self._legs(
            "WHERE leg.link = ? AND leg.done = 0"
            " ORDER BY priority DESC, queued_at, outbox.row LIMIT ?",
            link,
            limit,
        )

    def find(self, id: MessageId) -> list[Leg]:
        """Return the legs of a message, none if it is not known here."""
        return self._legs("WHERE origin = ? AND sequence = ? ORDER BY leg.row", *_key(id))

    def legs(self, *, all: bool = False) -> list[Leg]:
        """Return the legs of every unfinished message, oldest first; ``all``: history too."""
        return self._legs("WHERE ? OR done_at IS NULL ORDER BY queued_at, leg.row", all)

    def dead(self) -> list[Leg]:
        """Return the legs that ended refused, expired or unknown, oldest first."""
        return self._legs(
            "WHERE leg.done AND leg.state IN (?, ?, ?) ORDER BY queued_at, leg.row",
            *(state.value for state in State if state.final),
        )

    def burst(self, id: MessageId, link: str, *, attempts: int, next_index: int) -> None:
        """Write down that a burst begins, before it does.

        Raises:
            SpoolError: it must not begin: the leg is finished or was dropped, or the message
                still wants its destination.
        """
        with self._db.transaction():
            touched = self._db.run(
                "UPDATE leg SET attempts = ?, next_index = ?, sent = 1"
                " WHERE link = ? AND done = 0 AND message ="
                " (SELECT row FROM outbox WHERE origin = ? AND sequence = ?"
                "  AND NOT wants_destination)",
                attempts,
                next_index,
                link,
                *_key(id),
            )
            if not touched:
                raise SpoolError(f"message {id} is not to be sent on {link} any more, or not yet")

    def progress(
        self,
        id: MessageId,
        link: str | None,
        state: State,
        *,
        at: float,
        by: int | None = None,
        reason: str | None = None,
        until: float | None = None,
        done: bool = False,
    ) -> Progress | None:
        """Write down how far a message got on a link, and as an event.

        What was confirmed stays so: after ``delivered`` only ``played`` changes the state.

        Args:
            id: the message.
            link: the link's key; None: all its links (a receipt that came back by another one).
            state: how far it is.
            at: Unix seconds.
            by: the origin that said so; None for ourselves.
            reason: why it waits, was refused, or is unknown.
            until: until when it waits.
            done: nothing more is to be done on that link. When all links are done, the message
                is history.

        Returns:
            The event, its link as the user calls it; None if no such leg is here (any more).
        """
        with self._db.transaction():
            legs = [leg for leg in self._brief(id) if link in (None, leg[1])]
            if not legs:
                return None
            for row, _, _, old in legs:
                self._db.run(
                    "UPDATE leg SET state = ?, reason = ?, until = ?, done = max(done, ?)"
                    " WHERE row = ?",
                    _later(State(old), state).value,
                    reason,
                    until,
                    done,
                    row,
                )
            name = None if link is None else legs[0][2]
            event = Progress(state, id, name, by, at, reason, until)
            self._tell(event)
            if done:
                self._finish(id, at)
        return event

    def rewrite(self, id: MessageId, message: bytes) -> None:
        """Replace the bytes of a message that never went out: its destination is known now.

        Raises:
            FrameError: these are not the bytes of a message.
            SpoolError: some of it went out already, or it is not here.
            ValueError: the bytes have another id.
        """
        kind = Message.from_bytes(message).kind
        if id_of(message) != id:
            raise ValueError(f"the bytes of message {id_of(message)} for {id}")
        with self._db.transaction():
            if any(leg.sent for leg in self._must_find(id)):
                raise SpoolError(f"message {id} has gone out already; its bytes cannot change")
            self._db.run(
                "UPDATE outbox SET message = ?, kind = ?, wants_destination = 0"
                " WHERE origin = ? AND sequence = ?",
                message,
                kind,
                *_key(id),
            )

    def expire(self, now: float) -> list[Leg]:
        """End what has outlived its lifetime: ``expired`` if it never went out, else ``unknown``.

        Returns:
            The legs that ended by it, as they are now.
        """
        with self._db.transaction():
            due = self._legs("WHERE leg.done = 0 AND done_at IS NULL AND expires_at <= ?", now)
            return [self._expire(leg, now) for leg in due]

    def next_expiry(self) -> float | None:
        """Return when the next unfinished message expires, None if none ever does."""
        found = self._db.rows("SELECT min(expires_at) FROM outbox WHERE done_at IS NULL")
        at: float | None = found[0][0]
        return None if at == float("inf") else at

    def retry(self, id: MessageId, link: str | None = None) -> list[Leg]:
        """Queue again what ended refused, expired or unknown.

        Args:
            id: the message.
            link: a link's key or name: that leg, also if it ended well.

        Returns:
            The legs that are queued by it.

        Raises:
            SpoolError: there is nothing to retry, its lifetime has ended, or the outbox is full.
        """
        with self._db.transaction():
            legs = [leg for leg in self._must_find(id) if _retriable(leg, link)]
            if not legs:
                raise SpoolError(f"message {id} has nothing to retry{f' on {link}' * bool(link)}")
            if legs[0].expires_at <= self._unix():
                raise SpoolError(f"the lifetime of message {id} has ended; send it anew")
            if all(leg.done for leg in self.find(id)):
                self._unfinish(legs[0])
            for leg in legs:
                self._queue(leg)
        return [leg for leg in self.find(id) if leg.link in {old.link for old in legs}]

    def drop(self, id: MessageId) -> None:
        """Give a message up and forget it; its events say so.

        Raises:
            SpoolError: it is not here.
        """
        with self._db.transaction():
            for leg in self._must_find(id):
                if not leg.done:
                    why = "dropped from the outbox"
                    self._tell(Progress(State.REFUSED, id, leg.name, None, self._unix(), why))
            self._db.run("DELETE FROM outbox WHERE origin = ? AND sequence = ?", *_key(id))

    def events(self, id: MessageId) -> list[Progress]:
        """Return what happened to a message, oldest first, also after it was dropped."""
        return [event for _, event in self._events("origin = ? AND sequence = ?", -1, *_key(id))]

    def events_after(self, row: int, *, limit: int = 1000) -> list[tuple[int, Progress]]:
        """Return events of all messages after a row number, each with its own, oldest first."""
        return self._events("row > ?", limit, row)

    def last_event(self) -> int:
        """Return the newest event's row number, 0 if there is none."""
        return int(self._db.rows("SELECT coalesce(max(row), 0) FROM event")[0][0])

    def purge(self, now: float) -> None:
        """Forget history and events that are too old."""
        with self._db.transaction():
            self._db.run("DELETE FROM outbox WHERE done_at <= ?", now - self._bounds.age)
            self._db.run("DELETE FROM event WHERE at <= ?", now - self._bounds.age)

    def _known(self, id: MessageId, message: bytes) -> int | None:
        found = self._db.rows(
            "SELECT row, message FROM outbox WHERE origin = ? AND sequence = ?", *_key(id)
        )
        if not found:
            return None
        if found[0][1] != message:
            raise SpoolError(f"another message with the id {id} is in the outbox")
        return int(found[0][0])

    def _reopen(self, id: MessageId, links: set[str]) -> None:
        """Make a message of history unfinished, if a link has no leg of it yet."""
        legs = self.find(id)
        if all(leg.done for leg in legs) and links - {leg.link for leg in legs}:
            self._unfinish(legs[0])

    def _unfinish(self, leg: Leg) -> None:
        self._make_room(len(leg.message))
        self._db.run(
            "UPDATE outbox SET done_at = NULL WHERE origin = ? AND sequence = ?", *_key(leg.id)
        )

    def _make_room(self, size: int) -> None:
        messages, held = self._db.rows("SELECT messages, bytes FROM total WHERE what = 'outbox'")[0]
        if messages >= self._bounds.messages or held + size > self._bounds.size:
            raise SpoolError(
                f"the outbox is full: {messages} messages of {held} bytes wait to be sent;"
                " see focal outbox list"
            )

    def _queue(self, leg: Leg) -> None:
        self._db.run(
            "UPDATE leg SET state = ?, attempts = 0, done = 0, reason = NULL, until = NULL"
            " WHERE link = ? AND message ="
            " (SELECT row FROM outbox WHERE origin = ? AND sequence = ?)",
            State.QUEUED.value,
            leg.link,
            *_key(leg.id),
        )
        self._tell(Progress(State.QUEUED, leg.id, leg.name, None, self._unix()))

    def _expire(self, leg: Leg, now: float) -> Leg:
        if leg.sent:
            state, reason = State.UNKNOWN, "sent, but nobody confirmed it in its lifetime"
        else:
            waited = f" ({leg.reason})" if leg.reason else ""
            state, reason = State.EXPIRED, f"its lifetime ended while it waited{waited}"
        if leg.state in _CONFIRMED:
            state, reason = leg.state, leg.reason
        self.progress(leg.id, leg.link, state, at=now, reason=reason, done=True)
        return replace(leg, state=state, reason=reason, until=None, done=True)

    def _finish(self, id: MessageId, at: float) -> None:
        """Make history of a message whose legs are all done; the oldest history goes."""
        self._db.run(
            "UPDATE outbox SET done_at = ? WHERE origin = ? AND sequence = ? AND done_at IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM leg WHERE leg.message = outbox.row AND done = 0)",
            at,
            *_key(id),
        )
        kept = self._db.rows("SELECT messages FROM total WHERE what = 'history'")[0][0]
        if kept > self._bounds.history:
            self._db.run(
                "DELETE FROM outbox WHERE row IN (SELECT row FROM outbox"
                " WHERE done_at IS NOT NULL ORDER BY done_at, row LIMIT ?)",
                kept - self._bounds.history,
            )

    def _tell(self, event: Progress) -> None:
        key = _key(event.id)
        row = self._db.insert(
            "INSERT INTO event (origin, sequence, state, link, author, at, reason, until)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *key,
            event.state.value,
            event.link,
            event.by,
            event.at,
            event.reason,
            event.until,
        )
        self._db.run(
            "DELETE FROM event WHERE origin = ? AND sequence = ? AND row <="
            " (SELECT row FROM event WHERE origin = ? AND sequence = ?"
            "  ORDER BY row DESC LIMIT 1 OFFSET ?)",
            *key,
            *key,
            self._bounds.events,
        )
        self._db.run("DELETE FROM event WHERE row <= ?", row - self._bounds.all_events)

    def _events(self, where: str, limit: int, *args: object) -> list[tuple[int, Progress]]:
        return [
            (row, Progress(State(state), MessageId(origin, sequence), *rest))
            for row, state, origin, sequence, *rest in self._db.rows(
                "SELECT row, state, origin, sequence, link, author, at, reason, until FROM event"
                f" WHERE {where} ORDER BY row LIMIT ?",
                *args,
                limit,
            )
        ]

    def _must_find(self, id: MessageId) -> list[Leg]:
        legs = self.find(id)
        if not legs:
            raise SpoolError(f"no message {id} in the outbox")
        return legs

    def _brief(self, id: MessageId) -> list[Row]:
        return self._db.rows(
            "SELECT leg.row, leg.link, leg.name, leg.state FROM leg"
            " JOIN outbox ON outbox.row = leg.message"
            " WHERE origin = ? AND sequence = ? ORDER BY leg.row",
            *_key(id),
        )

    def _legs(self, where: str, *args: object) -> list[Leg]:
        return [_leg(row) for row in self._db.rows(f"{_LEGS} {where}", *args)]


_LEGS = """
SELECT origin, sequence, outbox.message, kind, link, name, address, state, attempts, next_index,
    queued_at, expires_at, priority, reason, until, sent, done, wants_destination
FROM leg JOIN outbox ON outbox.row = leg.message
"""


def _leg(row: Row) -> Leg:
    origin, sequence, message, kind, link, name, to, state, *rest = row
    attempts, index, queued, expires, priority, reason, until, sent, done, wants = rest
    return Leg(
        id=MessageId(origin, sequence),
        message=message,
        kind=Kind(kind),
        link=link,
        name=name,
        to=to,
        state=State(state),
        attempts=attempts,
        next_index=index,
        queued_at=queued,
        expires_at=expires,
        priority=priority,
        reason=reason,
        until=until,
        sent=bool(sent),
        done=bool(done),
        wants_destination=bool(wants),
    )


def _key(id: MessageId) -> tuple[int, int]:
    return id.origin, id.sequence


def _later(old: State, new: State) -> State:
    """Return the state that counts when one follows the other: confirmations are not taken back."""
    return old if _CONFIRMED.get(old, 0) > _CONFIRMED.get(new, 0) else new


def _retriable(leg: Leg, link: str | None) -> bool:
    if not leg.done:
        return False
    return leg.state.final if link is None else link in (leg.link, leg.name)
