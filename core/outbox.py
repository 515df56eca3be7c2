"""The outbox: what this node has to send, on which links, and how far each has got.

The law of this module: a message leaves only with a word on what became of it. Everything that
changes the state of an outgoing message is in this file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from .bridge import Full
from .changed import Changed, Mark
from .database import Database, Row, id_from, number_of
from .envelope import pack_beside, unpack_beside
from .errors import FrameError, OutboxFull, SpoolError, Withdrawn
from .events import Progress, State
from .journal import Journal
from .leg import Leg as Leg
from .leg import LegSpec as LegSpec
from .leg import Origin as Origin
from .leg import Weight as Weight
from .leg import Weights as Weights
from .message import Kind, MessageId, is_message
from .total import Total

_WEEK = 7 * 86_400.0
_CONFIRMED = {State.DELIVERED: 1, State.PLAYED: 2}
_LEGS = """
SELECT id, message, kind, link, name, address, state, attempts, next_index, queued_at,
    min(coalesce(due, expires_at), expires_at), rank, reason, until, sent, done,
    wants_destination, parity, source, beside, agreed
FROM leg JOIN outbox USING (id)
"""
_WEIGHTS = """
SELECT leg.id, length(message), substr(message, 1, 64), address, rank, queued,
    min(coalesce(due, expires_at), expires_at), after, sent AND next_index > 0, agreed,
    wants_destination, parity
FROM leg JOIN outbox USING (id) WHERE link = ?1 AND done = 0 AND (?2 OR passing = 0)
"""
_OTHERS = "SELECT 1 FROM leg WHERE id = ? AND link <> ?"
_PASSING = "FROM leg WHERE link = ? AND done = 0 AND passing = 1"
_ORDERS = {
    Full.WAIT: "came, id",
    Full.OLDEST: "came, id",
    Full.NEWEST: "came DESC, id DESC",
    Full.LARGEST: "(SELECT length(message) FROM outbox WHERE outbox.id = leg.id) DESC, came, id",
}


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


class Outbox:
    """The messages to send; ``Spool.outbox``.

    Every method is one transaction, or part of the one it is called in. All raise SpoolError when
    the spool cannot be read or written.
    """

    def __init__(self, database: Database, unix: Callable[[], float], bounds: OutboxBounds) -> None:
        self._db = database
        self._unix = unix
        self._bounds = bounds
        self._total = Total(database, "outbox", bounds.messages, bounds.size)
        self._journal = Journal(database, bounds.events, bounds.all_events)
        self._changed = Changed(database)

    def put(
        self,
        message: bytes,
        legs: Sequence[LegSpec],
        *,
        kind: Kind,
        expires_at: float,
        priority: int = 0,
        wants_destination: bool = False,
        origin: Origin | None = None,
    ) -> None:
        """Take a message to send. The same bytes again: legs for further links are added.

        Args:
            message: a whole message's bytes.
            legs: the links that shall carry it, each at most once.
            kind: what it is.
            expires_at: Unix seconds; infinity for links that keep what they carry.
            priority: higher goes first.
            wants_destination: hold it back until ``rewrite`` gives it its destination.
            origin: how it came, if it is passed on.

        Raises:
            FrameError: these are not the bytes of a message.
            SpoolError: the outbox is full, or other bytes have this id.
            ValueError: no legs.
        """
        number = _number_in(message)
        if not legs:
            raise ValueError("a message without a leg would wait for ever")
        now = self._unix()
        with self._db.transaction():
            if self._total.fits(len(message)) and self._db.run(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                *(number, int(kind), int(wants_destination), priority, now, expires_at, message),
                *(
                    (origin.link, pack_beside(origin.hops, origin.route, origin.extra))
                    if origin
                    else (None, None)
                ),
            ):
                self._total.add(len(message))
            else:
                self._put_again(number, message, {leg.link for leg in legs})
            self._changed.note(number)
            for leg in legs:
                self._db.run(
                    "INSERT INTO leg"
                    " (id, link, name, address, parity, state, rank, queued, came, after, due,"
                    " passing) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (id, link) DO NOTHING",
                    *(number, leg.link, leg.name, leg.to, leg.parity),
                    *(priority if leg.priority is None else leg.priority, max(now, leg.after), now),
                    *(leg.after, leg.expires_at, origin is not None),
                )

    def waiting(
        self,
        link: str,
        *,
        limit: int = -1,
        wants_destination: bool | None = None,
        unsent: bool = False,
        passing: bool = True,
    ) -> list[Leg]:
        """Return the unfinished legs of a link (its key) that may go out now, in sending order.

        Args:
            link: its key.
            limit: at most so many; -1 is all.
            wants_destination: only those that still do, or only those that do not.
            unsent: only those that the link has not accepted yet, or that are to be sent again.
            passing: also those that are passed on for others and never went out.
        """
        return self._legs(
            "WHERE link = ?1 AND done = 0 AND (?2 IS NULL OR wants_destination = ?2)"
            " AND NOT (?3 AND state IN ('sent', 'heard') AND after = 0) AND after <= ?4"
            " AND min(coalesce(due, expires_at), expires_at) > ?4"
            " AND (?5 OR passing = 0 OR sent = 1) ORDER BY rank DESC, queued, leg.id LIMIT ?6",
            *(link, wants_destination, unsent, self._unix(), passing, limit),
        )

    def next_after(self, link: str) -> float | None:
        """Return when the next leg of a link that waits for its time may go, if one does."""
        rows = self._db.rows(
            "SELECT min(after) FROM leg WHERE link = ? AND done = 0 AND after > ?",
            *(link, self._unix()),
        )
        found: float | None = rows[0][0]
        return found

    def weights(self, link: str, since: Mark | None = None, *, passing: bool = True) -> Weights:
        """Return what the unfinished legs of a link (its key) weigh.

        Args:
            link: its key.
            since: the mark of an earlier look: only what has changed since then, which costs the
                same however much waits. After another process wrote something it is all, though.
            passing: also those that are passed on for others.
        """
        changed, mark = self._changed.since(since) if since else None, self._changed.mark()
        if changed is None:
            rows = self._weigh("ORDER BY rank DESC, queued, leg.id", link, passing)
            return Weights(mark, True, tuple(map(_weight, rows)))
        found = [self._weigh("AND leg.id = ?3", link, passing, number) for number in changed]
        gone = (id_from(n) for n, rows in zip(changed, found, strict=True) if not rows)
        waiting = (_weight(row) for rows in found for row in rows)
        return Weights(mark, False, tuple(waiting), tuple(gone))

    def _weigh(self, which: str, *args: object) -> list[Row]:
        return self._db.rows(f"{_WEIGHTS} {which}", *args)

    # What is passed on for others

    def passing(self, link: str) -> int:
        """Return how many messages of others wait for a link (its key)."""
        rows = self._db.rows(f"SELECT count(*) {_PASSING}", link)
        return int(rows[0][0])

    def weakest(
        self,
        link: str,
        besides: Collection[MessageId],
        which: Full = Full.OLDEST,
    ) -> MessageId | None:
        """Return which message of others on a link (its key) gives way first, None if none can.

        Args:
            link: its key.
            besides: what is just going out.
            which: of those with the lowest priority that have not gone out.
        """
        rows = self._db.rows(
            f"SELECT id {_PASSING} AND sent = 0 AND state = 'queued'"
            f" ORDER BY rank, {_ORDERS[which]} LIMIT ?",
            *(link, len(besides) + 1),
        )
        return next((id for (number,) in rows if (id := id_from(number)) not in besides), None)

    def clashes(self, message: bytes) -> bool:
        """Tell whether other bytes with a message's id are here."""
        found = self._db.rows("SELECT message FROM outbox WHERE id = ?", _number_in(message))
        return bool(found) and found[0][0] != message

    def overheard(self, id: MessageId, link: str, at: float) -> Progress | None:
        """End the leg of a message that somebody else has put on that link (its key).

        Returns:
            The event; None if there is no such leg that waits.
        """
        with self._db.transaction():
            rows = self._db.rows(
                "SELECT 1 FROM leg WHERE id = ? AND link = ? AND done = 0 AND sent = 0",
                *(number_of(id), link),
            )
            if not rows:
                return None
            reason = "it was heard there, so it is not sent there again"
            return self.progress(id, link, State.HEARD, at=at, reason=reason, done=True)

    def went(self, id: MessageId, link: str, name: str, at: float) -> Progress:
        """End the leg of a message of others that its link has taken custody of.

        A message that has no other leg is forgotten; its events are not.

        Args:
            id: the message.
            link: its key.
            name: what the user calls it.
            at: Unix seconds.
        """
        number = number_of(id)
        with self._db.transaction():
            self._changed.note(number)
            if self._db.run(
                "DELETE FROM outbox WHERE id = ? AND NOT EXISTS (" + _OTHERS + ")",
                number,
                number,
                link,
            ):
                self._total.refresh()
            else:
                self._db.run(
                    "UPDATE leg SET state = 'sent', reason = NULL, until = NULL, done = 1"
                    " WHERE id = ? AND link = ?",
                    *(number, link),
                )
                self._finish(id, at)
            event = Progress(State.SENT, id, name, None, at)
            self._journal.add(event, last=True)
        return event

    def put_off(self, id: MessageId, link: str, after: float) -> None:
        """Send a message on a link (its key) not before then, Unix seconds."""
        with self._db.transaction():
            self._db.run(
                "UPDATE leg SET after = ? WHERE id = ? AND link = ?", after, number_of(id), link
            )
            self._changed.note(number_of(id))

    def hold(self, link: str, after: float) -> None:
        """Begin no message of others on a link (its key) before then, Unix seconds."""
        which = "WHERE link = ?1 AND done = 0 AND passing = 1 AND sent = 0 AND after < ?2"
        with self._db.transaction():
            held = self._db.rows(f"SELECT id FROM leg {which}", link, after)
            self._db.run(f"UPDATE leg SET after = ?2 {which}", link, after)
            for (number,) in held:
                self._changed.note(number)

    def find(self, id: MessageId) -> list[Leg]:
        """Return the legs of a message, none if it is not known here."""
        return self._legs("WHERE id = ? ORDER BY link", number_of(id))

    def legs(self, *, all: bool = False) -> list[Leg]:
        """Return the legs of every unfinished message, oldest first; ``all``: history too."""
        return self._legs("WHERE ? OR done_at IS NULL ORDER BY queued_at, id, link", all)

    def dead(self) -> list[Leg]:
        """Return the legs that ended refused, expired or unknown, oldest first."""
        return self._legs(
            "WHERE done AND state IN (?, ?, ?) ORDER BY queued_at, id, link",
            *(state.value for state in State if state.final),
        )

    def backlog(self, link: str) -> tuple[int, int, float | None]:
        """Return the unfinished messages of a link (its key), their bytes, and the oldest's time.

        That is when it was queued, Unix seconds; None if nothing waits.
        """
        [(messages, size, oldest)] = self._db.rows(
            "SELECT count(*), coalesce(sum(length(message)), 0), min(queued_at)"
            " FROM leg JOIN outbox USING (id) WHERE link = ? AND done = 0",
            link,
        )
        return messages, size, oldest

    def dead_letters(self) -> dict[str, int]:
        """Return how many legs of each link (its key) ended refused, expired or unknown."""
        rows = self._db.rows(
            "SELECT link, count(*) FROM leg WHERE done AND state IN (?, ?, ?) GROUP BY link",
            *(state.value for state in State if state.final),
        )
        return {link: count for link, count in rows}

    def burst(self, id: MessageId, link: str, *, attempts: int, next_index: int) -> None:
        """Write down that a burst begins, before it does.

        Raises:
            Withdrawn: it must not begin: the leg is finished or was dropped, or the message
                still wants its destination.
        """
        with self._db.transaction():
            touched = self._db.run(
                "UPDATE leg SET attempts = ?, next_index = ?, sent = 1"
                " WHERE id = ? AND link = ? AND done = 0 AND NOT EXISTS"
                " (SELECT 1 FROM outbox WHERE outbox.id = leg.id AND wants_destination)",
                *(attempts, next_index, number_of(id), link),
            )
            if not touched:
                raise Withdrawn(f"message {id} is not to be sent on {link} any more, or not yet")

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
        ask: bool = False,
        done: bool = False,
        after: float | None = None,
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
            ask: the user may decide that it does not (``agree``).
            done: nothing more is to be done on that link. When all links are done, the message
                is history.
            after: it is not sent before then, and if it went out, again then.

        Returns:
            The event, its link as the user calls it; None if no such leg is here (any more).
        """
        with self._db.transaction():
            legs = [leg for leg in self._brief(id) if link in (None, leg[0])]
            if not legs:
                return None
            for key, _, old in legs:
                self._db.run(
                    "UPDATE leg SET state = ?, reason = ?, until = ?, done = max(done, ?),"
                    " after = coalesce(?, after) WHERE id = ? AND link = ?",
                    *(_later(State(old), state).value, reason, until, done, after),
                    *(number_of(id), key),
                )
            name = None if link is None else legs[0][1]
            event = Progress(state, id, name, by, at, reason, until, ask)
            self._journal.add(event)
            if done:
                self._changed.note(number_of(id))
                self._finish(id, at)
        return event

    def agree(self, id: MessageId, link: str) -> None:
        """Have a message sent on a link (its key) though others use the channel much.

        It holds up to the channel use above which nothing is sent, whatever anybody wants.
        """
        with self._db.transaction():
            self._db.run("UPDATE leg SET agreed = 1 WHERE id = ? AND link = ?", number_of(id), link)
            self._changed.note(number_of(id))

    def adopt(self, name: str, link: str) -> None:
        """Give a link what waits for one of its name that had another key.

        Args:
            name: what the user calls it.
            link: its key now.
        """
        which = "WHERE name = ?2 AND link <> ?1 AND done = 0"
        with self._db.transaction():
            numbers = [
                number for (number,) in self._db.rows(f"SELECT id FROM leg {which}", link, name)
            ]
            if numbers:
                self._db.run(f"UPDATE OR IGNORE leg SET link = ?1 {which}", link, name)
            for number in numbers:
                self._changed.note(number)

    def rewrite(self, id: MessageId, message: bytes) -> None:
        """Replace the bytes of a message that never went out: its destination is known now.

        Raises:
            FrameError: these are not the bytes of a message.
            Withdrawn: some of it went out already, or it is not here.
            ValueError: the bytes have another id.
        """
        if _number_in(message) != number_of(id):
            raise ValueError(f"these are not the bytes of message {id}")
        with self._db.transaction():
            if any(leg.sent for leg in self._must_find(id)):
                raise Withdrawn(f"message {id} has gone out already; its bytes cannot change")
            self._db.run(
                "UPDATE outbox SET message = ?, wants_destination = 0 WHERE id = ?",
                *(message, number_of(id)),
            )
            self._changed.note(number_of(id))
            self._total.refresh()

    def expire(self, now: float) -> list[Leg]:
        """End what has outlived its lifetime: ``expired`` if it never went out, else ``unknown``.

        Returns:
            The legs that ended by it, as they are now.
        """
        with self._db.transaction():
            due = self._legs(
                "WHERE done = 0 AND done_at IS NULL AND (expires_at <= ?1 OR due <= ?1)", now
            )
            return [self._expire(leg, now) for leg in due]

    def next_expiry(self) -> float | None:
        """Return when the next unfinished message expires, None if none ever does."""
        found = self._db.rows(
            "SELECT min(expires_at) FROM outbox WHERE done_at IS NULL"
            " UNION SELECT min(due) FROM leg WHERE done = 0"
        )
        at = min((at for (at,) in found if at is not None), default=float("inf"))
        return None if at == float("inf") else at

    def retry(self, id: MessageId, link: str | None = None) -> list[Leg]:
        """Queue again what ended refused, expired or unknown; now it may wait as long as it lives.

        Args:
            id: the message.
            link: a link's key or name: that leg, also if it ended well.

        Returns:
            The legs that are queued by it.

        Raises:
            SpoolError: there is nothing to retry, its lifetime has ended, or the outbox is full.
        """
        with self._db.transaction():
            legs = self._must_find(id)
            again = [leg for leg in legs if _retriable(leg, link)]
            if not again:
                raise SpoolError(
                    f"message {id} has nothing to retry{f' on {link}' if link else ''}"
                )
            ends_at = self._ends_at(id)
            if ends_at <= self._unix():
                raise SpoolError(f"the lifetime of message {id} has ended; send it anew")
            if all(leg.done for leg in legs):
                self._unfinish(again[0])
            return [self._queue(replace(leg, expires_at=ends_at)) for leg in again]

    def again(self, id: MessageId, leg: LegSpec) -> bool:
        """Have what ended on a link, however it did, go out there once more, byte for byte.

        Returns:
            Whether it waits there now; False: there is no such leg, or its lifetime has ended.

        Raises:
            SpoolError: the outbox is full.
        """
        with self._db.transaction():
            legs = self.find(id)
            ended = next((one for one in legs if one.link == leg.link), None)
            if ended is None or self._ends_at(id) <= self._unix():
                return False
            if ended.done:
                if all(one.done for one in legs):
                    self._unfinish(ended)
                self._queue(ended, leg.expires_at)
        return True

    def forgotten(self, link: str, after: float) -> list[Progress]:
        """Send what a link (its key) has accepted and nobody has confirmed again, not before then.

        Returns:
            The events.
        """
        at, reason = self._unix(), "whoever had it may have lost it, so it is sent again"
        with self._db.transaction():
            rows = self._db.rows(
                "SELECT id FROM leg WHERE link = ? AND done = 0 AND passing = 0"
                " AND state IN ('sent', 'heard')",
                link,
            )
            for (number,) in rows:
                self._db.run("UPDATE leg SET attempts = 0 WHERE id = ? AND link = ?", number, link)
            queued = [
                self.progress(
                    *(id_from(number), link, State.QUEUED),
                    at=at,
                    reason=reason,
                    until=after,
                    after=after,
                )
                for (number,) in rows
            ]
        return [event for event in queued if event is not None]

    def explain(self, link: str, reason: str, *, at: float) -> list[Progress]:
        """Write down why what was queued here for a link (its key) waits, where nothing says so.

        Returns:
            The events.
        """
        with self._db.transaction():
            rows = self._db.rows(
                "SELECT id FROM leg WHERE link = ? AND done = 0 AND passing = 0"
                " AND state = 'queued' AND reason IS NULL",
                link,
            )
            told = [
                self.progress(id_from(number), link, State.QUEUED, at=at, reason=reason)
                for (number,) in rows
            ]
        return [event for event in told if event is not None]

    def drop(self, id: MessageId) -> None:
        """Give a message up and forget it; its events say so.

        Raises:
            SpoolError: it is not here.
        """
        at = self._unix()
        with self._db.transaction():
            for leg in self._must_find(id):
                if not leg.done:
                    self._journal.add(_dropped(leg, at))
            self._db.run("DELETE FROM outbox WHERE id = ?", number_of(id))
            self._changed.note(number_of(id))
            self._total.refresh()

    def events(self, id: MessageId) -> list[Progress]:
        """Return what happened to a message, oldest first, also after it was dropped."""
        return self._journal.of(id)

    def events_after(self, row: int, *, limit: int = 1000) -> list[tuple[int, Progress]]:
        """Return events of all messages after a row number, each with its own, oldest first."""
        return self._journal.after(row, limit)

    def last_event(self) -> int:
        """Return the newest event's row number, 0 if there is none."""
        return self._journal.last()

    def purge(self, now: float) -> None:
        """Forget history and events that are too old."""
        with self._db.transaction():
            self._db.run("DELETE FROM outbox WHERE done_at <= ?", now - self._bounds.age)
            self._journal.forget_before(now - self._bounds.age)

    def _must_fit(self, size: int) -> None:
        if not self._total.fits(size):
            messages, held = self._total.held()
            raise OutboxFull(
                f"the outbox is full: {messages} messages of {held} bytes wait to be sent;"
                " see focal outbox list"
            )

    def _put_again(self, number: int, message: bytes, links: set[str]) -> None:
        """See why a message was not inserted: it is here already, or there is no room."""
        found = self._db.rows("SELECT message FROM outbox WHERE id = ?", number)
        if not found:
            self._must_fit(len(message))
        elif found[0][0] != message:
            raise SpoolError(f"another message with the id {id_from(number)} is in the outbox")
        else:
            legs = self.find(id_from(number))
            if all(leg.done for leg in legs) and links - {leg.link for leg in legs}:
                self._unfinish(legs[0])

    def _unfinish(self, leg: Leg) -> None:
        """Bring a message back from history."""
        self._must_fit(len(leg.message))
        self._db.run("UPDATE outbox SET done_at = NULL WHERE id = ?", number_of(leg.id))
        self._total.refresh()

    def _ends_at(self, id: MessageId) -> float:
        """Return when a message's own lifetime ends, Unix seconds."""
        rows = self._db.rows("SELECT expires_at FROM outbox WHERE id = ?", number_of(id))
        return float(rows[0][0])

    def _queue(self, leg: Leg, due: float | None = None) -> Leg:
        self._db.run(
            "UPDATE leg SET state = 'queued', attempts = 0, done = 0, reason = NULL, until = NULL,"
            " after = 0, due = ? WHERE id = ? AND link = ?",
            *(due, number_of(leg.id), leg.link),
        )
        self._journal.add(Progress(State.QUEUED, leg.id, leg.name, None, self._unix()))
        self._changed.note(number_of(leg.id))
        return replace(leg, state=State.QUEUED, attempts=0, done=False, reason=None, until=None)

    def _expire(self, leg: Leg, now: float) -> Leg:
        if leg.state in _CONFIRMED:
            state, reason = leg.state, leg.reason
        elif leg.sent:
            state, reason = State.UNKNOWN, "sent, but nobody confirmed it in its lifetime"
        else:
            waited = f" ({leg.reason})" if leg.reason else ""
            state, reason = State.EXPIRED, f"its lifetime ended while it waited{waited}"
        self.progress(leg.id, leg.link, state, at=now, reason=reason, done=True)
        return replace(leg, state=state, reason=reason, until=None, done=True)

    def _finish(self, id: MessageId, at: float) -> None:
        """Make history of a message whose legs are all done; the oldest history goes."""
        self._db.run(
            "UPDATE outbox SET done_at = ? WHERE id = ? AND done_at IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM leg WHERE leg.id = outbox.id AND done = 0)",
            *(at, number_of(id)),
        )
        self._total.refresh()
        kept = self._db.rows("SELECT messages FROM total WHERE what = 'history'")[0][0]
        if kept > self._bounds.history:
            self._db.run(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox"
                " WHERE done_at IS NOT NULL ORDER BY done_at, id LIMIT ?)",
                kept - self._bounds.history,
            )

    def _must_find(self, id: MessageId) -> list[Leg]:
        legs = self.find(id)
        if not legs:
            raise Withdrawn(f"no message {id} in the outbox")
        return legs

    def _brief(self, id: MessageId) -> list[Row]:
        """Return link, name and state of a message's legs, without its bytes."""
        return self._db.rows("SELECT link, name, state FROM leg WHERE id = ?", number_of(id))

    def _legs(self, which: str, *args: object) -> list[Leg]:
        return [_leg(row) for row in self._db.rows(f"{_LEGS} {which}", *args)]


def _number_in(message: bytes) -> int:
    if not is_message(message):
        raise FrameError("these are not the bytes of a message")
    return int.from_bytes(message[2:10], "big", signed=True)  # the id, as ``number_of`` has it


def _leg(row: Row) -> Leg:
    number, message, kind, link, name, to, state, attempts, index, *rest = row
    queued, expires, priority, reason, until, sent, done, wants, parity, source, *last = rest
    beside, agreed = last
    return Leg(
        id=id_from(number),
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
        parity=parity,
        origin=None if source is None else Origin(source, *unpack_beside(beside)),
        agreed=bool(agreed),
    )


def _weight(row: Row) -> Weight:
    number, length, head, to, rank, queued, expires, after, begun, agreed, wants, parity = row
    return Weight(
        id=id_from(number),
        length=length,
        head=head,
        to=to,
        priority=rank,
        queued_at=queued,
        expires_at=expires,
        after=after,
        begun=bool(begun),
        agreed=bool(agreed),
        wants_destination=bool(wants),
        parity=parity,
    )


def _later(old: State, new: State) -> State:
    """Return the state that counts when one follows the other: confirmations are not taken back."""
    return old if _CONFIRMED.get(old, 0) > _CONFIRMED.get(new, 0) else new


def _retriable(leg: Leg, link: str | None) -> bool:
    if not leg.done:
        return False
    return leg.state.final if link is None else link in (leg.link, leg.name)


def _dropped(leg: Leg, at: float) -> Progress:
    """Return what is to be told of a leg that is given up: what went out may still arrive."""
    if leg.sent:
        why = "it went out, then it was dropped here"
        return Progress(State.UNKNOWN, leg.id, leg.name, None, at, why)
    return Progress(State.REFUSED, leg.id, leg.name, None, at, "dropped from the outbox")
