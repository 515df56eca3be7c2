"""The inbox: what came, once each, and the turn that each sink has with it.

The law of this module: what was accepted is confirmed, so it is never deleted before its sinks had
it. When there is no room, the new message is refused instead, and stays with whoever has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .database import Database, Row, id_from, number_of
from .errors import SpoolError
from .link import Address
from .message import Kind, Message, MessageId, check_of
from .seen import Seen, Sighting
from .seen import Way as Way
from .total import Total

_DAY = 86_400.0
MAX_TWIN = 4


@dataclass(frozen=True, slots=True)
class InboxBounds:
    """How much the inbox holds.

    Args:
        messages: messages; the oldest that every sink has had go, else the new one is refused.
        size: their bytes, likewise.
        dropped: ids kept of messages that are gone from it; the oldest go first.
        seen: ids in the seen-table; the oldest go first.
        seen_of_origin: ids in it of one origin, and of all foreign origins together.
    """

    messages: int = 100_000
    size: int = 1 << 30
    dropped: int = 100_000
    seen: int = 100_000
    seen_of_origin: int = 10_000


class TurnState(StrEnum):
    """How far a sink is with a message."""

    PENDING = "pending"
    PLAYING = "playing"
    CUT_OFF = "cut off"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a message that was brought to the inbox.

    Args:
        fresh: it was not known and is in the inbox now.
        twin: 0 for the first of its id, 1 to 4 for other bytes under the same id; -1: one more
            than are kept, so it was not.
    """

    fresh: bool
    twin: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that a sink is to have, or was having when the process ended.

    Args:
        id: the message's.
        twin: which of the messages with this id.
        sink: the sink's key.
        message: its bytes.
        link: the name of the link that brought it.
        peer: who it came from, as that link spells it.
        at: when it was received, Unix seconds.
        replayed: it came from history: to be written, not played by itself.
    """

    id: MessageId
    twin: int
    sink: str
    message: bytes = field(repr=False)
    link: str
    peer: Address | None
    at: float
    replayed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a sink is with a message, the file it wrote and what went wrong."""

    sink: str
    state: TurnState
    file: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the inbox.

    Args:
        row: its place; later ones have higher numbers.
        id: the message's.
        twin: which of the messages with this id.
        twins: how many messages with this id there are; marked where it is more than one.
        message: its bytes.
        kind: what it is.
        codec: the codec id of voice.
        sender: the display name its author gave.
        link: the name of the link that brought it.
        peer: who it came from, as that link spells it.
        at: when it was received, Unix seconds.
        replayed: it came from history.
        keeps: it came by a link that keeps what it carries.
        outcomes: one for each sink that has or had a turn.
    """

    row: int
    id: MessageId
    twin: int
    twins: int
    message: bytes = field(repr=False)
    kind: Kind
    codec: int
    sender: str | None
    link: str
    peer: Address | None
    at: float
    replayed: bool
    keeps: bool
    outcomes: tuple[Outcome, ...]


class Inbox:
    """The messages that came; ``Spool.inbox``.

    Every method is one transaction, or part of the one it is called in. All raise SpoolError when
    the spool cannot be read or written.
    """

    def __init__(self, database: Database, bounds: InboxBounds) -> None:
        self._db = database
        self._bounds = bounds
        self._total = Total(database, "inbox", bounds.messages, bounds.size)
        self._seen = Seen(database, bounds.seen, bounds.seen_of_origin)

    def deliver(
        self,
        message: bytes,
        *,
        link: str,
        peer: Address | None,
        at: float,
        sinks: Sequence[str] = (),
        replayed: bool = False,
        keeps: bool = False,
        foreign: bool = False,
    ) -> Delivered:
        """Take a message, if it is not known yet, with a pending turn for each sink.

        Args:
            message: a whole message's bytes.
            link: the name of the link that brought it.
            peer: who it came from, as that link spells it.
            at: Unix seconds.
            sinks: the keys of the sinks that are to have it.
            replayed: it comes from history.
            keeps: the link keeps what it carries, so its id is known for as long as its row.
            foreign: its origin was made from a name (TinyVoice) and counts with all such.

        Raises:
            FrameError: these are not the bytes of a message.
            SpoolError: the inbox is full of what no sink has had; do not confirm the message.
        """
        parsed, tag = Message.from_bytes(message), check_of(message)
        with self._db.transaction():
            known = self._twins(parsed.id)
            if tag in known:
                if keeps:
                    self._keep(parsed.id, tag)
                return Delivered(False, known[tag])
            twin = 1 + max(known.values(), default=-1)
            if twin > MAX_TWIN:
                return Delivered(False, -1)
            self._make_room(len(message))
            row = self._db.insert(
                "INSERT INTO inbox (id, twin, tag, link, peer, received_at, replayed, keeps,"
                " unfinished, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(number_of(parsed.id), twin, tag, link, peer, at, replayed, keeps),
                *(len(set(sinks)), message),
            )
            self._total.add(len(message))
            if not keeps:
                until = max(parsed.expires_at(at), at) + _DAY
                self._seen.add(Sighting(parsed.id, tag, twin, until), foreign=foreign)
            self._enlist(row, sinks)
        return Delivered(True, twin)

    def knows(self, id: MessageId, tag: int) -> bool:
        """Tell whether the message with this id and check came before."""
        return tag in self._twins(id)

    def with_tag(self, tag: int, speaker: int) -> MessageId | None:
        """Return the id of a message that came lately by a live link; see ``Seen.with_tag``."""
        return self._seen.with_tag(tag, speaker)

    # What is not for this node, and passed on

    def sight(self, message: Message, tag: int, at: float, *, keeps: bool = False) -> bool:
        """Remember a message that is for somebody else; return whether it was not known.

        Args:
            message: what came.
            tag: its check.
            at: Unix seconds.
            keeps: it came by a link that keeps what it carries, and will bring it again.
        """
        with self._db.transaction():
            known = self._seen.twins(message.id)
            if tag in known or len(known) > MAX_TWIN:
                return False
            until = math.inf if keeps else max(message.expires_at(at), at) + _DAY
            twin = 1 + max(known.values(), default=-1)
            self._seen.add(Sighting(message.id, tag, twin, until), foreign=False)
        return True

    def mark_passed(self, message: Message, tag: int, at: float, way: Way, *, keeps: bool) -> None:
        """Remember that a message was passed on, and how it came."""
        with self._db.transaction():
            if keeps:
                self.sight(message, tag, at, keeps=True)
            self._seen.mark(message.id, tag, way)

    def passed(self, id: MessageId, tag: int | None = None) -> Way | None:
        """Return how a message came that was passed on; see ``Seen.passed``."""
        return self._seen.passed(id, tag)

    def turns(self, sinks: Sequence[str], *, limit: int = -1) -> list[Turn]:
        """Return what is pending for these sinks, oldest first."""
        return self._turns(TurnState.PENDING, sinks, limit)

    def enlist(self, entry: Entry, sinks: Sequence[str]) -> None:
        """Give more sinks a turn with a message: those of a process that did not receive it."""
        with self._db.transaction():
            self._enlist(entry.row, sinks)
            self._recount(entry.row)

    def begin_turn(self, id: MessageId, twin: int, sink: str) -> bool:
        """Mark a turn before the sink speaks; False: it is not, or no more, pending.

        Of several processes only one is told True.
        """
        with self._db.transaction():
            return 0 < self._db.run(
                "UPDATE turn SET state = 'playing' WHERE sink = ? AND state = 'pending'"
                f" AND message = {_ROW}",
                *(sink, number_of(id), twin),
            )

    def end_turn(
        self,
        id: MessageId,
        twin: int,
        sink: str,
        *,
        file: str | None = None,
        problem: str | None = None,
    ) -> None:
        """Write down that a sink had the message: the file it wrote, or why it could not."""
        state = TurnState.DONE if problem is None else TurnState.FAILED
        with self._db.transaction():
            self._db.run(
                "UPDATE turn SET state = ?, file = ?, problem = ? WHERE sink = ?"
                f" AND message = {_ROW}",
                *(state.value, file, problem, sink, number_of(id), twin),
            )
            for (row,) in self._db.rows(f"SELECT {_ROW}", number_of(id), twin):
                self._recount(row)

    def cut_off(self, sinks: Sequence[str]) -> list[Turn]:
        """Mark and return the turns that a crash cut off; they are never played by themselves.

        To be called by the process that alone may use these sinks, before it begins a turn.
        """
        with self._db.transaction():
            found = self._turns(TurnState.PLAYING, sinks, -1)
            for turn in found:
                self._db.run(
                    f"UPDATE turn SET state = 'cut off' WHERE sink = ? AND message = {_ROW}",
                    *(turn.sink, number_of(turn.id), turn.twin),
                )
        return found

    def entries(self, *, limit: int = -1) -> list[Entry]:
        """Return the newest messages, at most ``limit``, oldest of them first."""
        rows = self._db.rows(f"{_ENTRIES} ORDER BY row DESC LIMIT ?", limit)
        return [self._entry(row) for row in reversed(rows)]

    def entries_after(self, row: int, *, limit: int = -1) -> list[Entry]:
        """Return the messages that came after an entry's row, oldest first."""
        rows = self._db.rows(f"{_ENTRIES} AND row > ? ORDER BY row LIMIT ?", row, limit)
        return [self._entry(found) for found in rows]

    def last_entry(self) -> int:
        """Return the newest entry's row, 0 if nothing ever came."""
        return int(self._db.rows("SELECT coalesce(max(row), 0) FROM inbox")[0][0])

    def find(self, id: MessageId) -> list[Entry]:
        """Return the messages with this id: none, one, or with its twins up to five."""
        rows = self._db.rows(f"{_ENTRIES} AND id = ? ORDER BY twin", number_of(id))
        return [self._entry(row) for row in rows]

    def drop(self, id: MessageId) -> None:
        """Delete a message and its twins; the id stays known.

        Raises:
            SpoolError: it is not here.
        """
        with self._db.transaction():
            entries = self.find(id)
            if not entries:
                raise SpoolError(f"no message {id} in the inbox")
            for entry in entries:
                self._empty(entry.row)
            self._total.refresh()

    def purge(self, now: float) -> None:
        """Forget ids whose messages nobody sends any more."""
        with self._db.transaction():
            self._seen.purge(now)

    def _twins(self, id: MessageId) -> dict[int, int]:
        """Return the twin number of each check that is known under an id."""
        rows = self._db.rows(
            "SELECT tag, twin FROM seen WHERE id = ?1"
            " UNION ALL SELECT tag, twin FROM inbox WHERE id = ?1",
            number_of(id),
        )
        return {tag: twin for tag, twin in rows}

    def _keep(self, id: MessageId, tag: int) -> None:
        self._db.run(
            "UPDATE inbox SET keeps = 1 WHERE id = ? AND tag = ? AND NOT keeps",
            *(number_of(id), tag),
        )

    def _enlist(self, row: int, sinks: Sequence[str]) -> None:
        for sink in sinks:
            self._db.run(
                "INSERT INTO turn (message, sink, state) VALUES (?, ?, 'pending')"
                " ON CONFLICT (message, sink) DO NOTHING",
                *(row, sink),
            )

    def _recount(self, row: int) -> None:
        self._db.run(
            "UPDATE inbox SET unfinished = (SELECT count(*) FROM turn WHERE message = inbox.row"
            " AND state IN ('pending', 'playing', 'cut off')) WHERE row = ?",
            row,
        )

    def _make_room(self, size: int) -> None:
        while not self._total.fits(size):
            spent = self._db.rows(
                "SELECT row, keeps FROM inbox WHERE unfinished = 0 AND message IS NOT NULL"
                " ORDER BY row LIMIT 1"
            )
            if not spent:
                raise SpoolError(
                    "the inbox is full of messages that were not played or written yet;"
                    " see focal inbox list"
                )
            row, keeps = spent[0]
            if keeps:
                self._empty(row)
            else:
                self._db.run("DELETE FROM inbox WHERE row = ?", row)
            self._total.refresh()

    def _empty(self, row: int) -> None:
        """Delete a message but keep the row that knows its id; the oldest such rows go."""
        self._db.run("DELETE FROM turn WHERE message = ?", row)
        self._db.run("UPDATE inbox SET message = NULL WHERE row = ?", row)
        kept = self._db.rows("SELECT messages FROM total WHERE what = 'dropped'")[0][0]
        if kept > self._bounds.dropped:
            self._db.run(
                "DELETE FROM inbox WHERE row IN"
                " (SELECT row FROM inbox WHERE message IS NULL ORDER BY row LIMIT ?)",
                kept - self._bounds.dropped,
            )

    def _turns(self, state: TurnState, sinks: Sequence[str], limit: int) -> list[Turn]:
        marks = ", ".join("?" * len(sinks))
        rows = self._db.rows(
            "SELECT id, twin, sink, inbox.message, link, peer, received_at, replayed"
            " FROM turn JOIN inbox ON inbox.row = turn.message"
            f" WHERE state = '{state}' AND sink IN ({marks}) ORDER BY inbox.row, sink LIMIT ?",
            *sinks,
            limit,
        )
        return [
            Turn(id_from(number), twin, sink, message, link, peer, at, bool(replayed))
            for number, twin, sink, message, link, peer, at, replayed in rows
        ]

    def _entry(self, row: Row) -> Entry:
        number, twin, twins, message, link, peer, at, replayed, keeps = row
        parsed = Message.from_bytes(message)
        outcomes = self._db.rows(
            "SELECT sink, state, file, problem FROM turn WHERE message = ? ORDER BY sink", number
        )
        return Entry(
            row=number,
            id=parsed.id,
            twin=twin,
            twins=twins,
            message=message,
            kind=parsed.kind,
            codec=parsed.codec,
            sender=parsed.sender,
            link=link,
            peer=peer,
            at=at,
            replayed=bool(replayed),
            keeps=bool(keeps),
            outcomes=tuple(Outcome(sink, TurnState(s), *rest) for sink, s, *rest in outcomes),
        )


_ROW = "(SELECT row FROM inbox WHERE id = ? AND twin = ?)"
_ENTRIES = """
SELECT row, twin, (SELECT count(*) FROM inbox AS others WHERE others.id = inbox.id),
    message, link, peer, received_at, replayed, keeps
FROM inbox WHERE message IS NOT NULL
"""
