"""What a bridge remembers: its decisions, what its legs let through, which receipts went back.

The law of this module: all of it is bounded, and nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .bridge import LONGEST
from .database import Database, number_of
from .message import Event, MessageId

MAX_PASSAGES = 100_000
MAX_OF_MESSAGE = 50
"""Moments at which something was decided: of all messages, and of one."""

TRIM = 256
"""Rows after which those beyond the bound go, so that not every message costs a statement more."""

MAX_ECHOES = 100_000
AHEAD = 3600.0
"""Seconds that something may have happened in the future; else the wall clock was wrong then."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Something that a bridge decided on a message.

    Args:
        at: Unix seconds.
        link: the link's name: where it came from, or where it would go.
        said: what was decided, in one line.
    """

    at: float
    link: str
    said: str


class Crossings:
    """The memory of a bridge; ``Spool.crossings``.

    Every method is one transaction, or part of the one it is called in. All raise SpoolError when
    the spool cannot be read or written.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    # Decisions

    def note(self, id: MessageId, passages: Sequence[Passage], *, fresh: bool = False) -> None:
        """Write decisions of one moment down; the oldest of all go, and the last of too many.

        Args:
            id: the message.
            passages: what was decided.
            fresh: nothing was decided on this message before.
        """
        number = number_of(id)
        said = "\n".join(f"{passage.link}\t{passage.said}" for passage in passages)
        with self._db.transaction():
            if not fresh and self._notes(number) >= MAX_OF_MESSAGE:
                return
            row = self._db.insert(
                "INSERT INTO passage (id, at, said) VALUES (?, ?, ?)",
                *(number, passages[0].at, said),
            )
            if not row % TRIM:
                self._db.run("DELETE FROM passage WHERE row <= ?", row - MAX_PASSAGES)

    def _notes(self, number: int) -> int:
        return int(self._db.rows("SELECT count(*) FROM passage WHERE id = ?", number)[0][0])

    def of(self, id: MessageId) -> list[Passage]:
        """Return what was decided on a message, oldest first."""
        rows = self._db.rows(
            "SELECT at, said FROM passage WHERE id = ? ORDER BY row", number_of(id)
        )
        lines = [(at, line.split("\t", 1)) for at, said in rows for line in said.split("\n")]
        return [Passage(at, link, what) for at, (link, what) in lines]

    def last(self, id: MessageId) -> float | None:
        """Return when something was decided on a message last; None: never, or too often."""
        rows = self._db.rows("SELECT count(*), max(at) FROM passage WHERE id = ?", number_of(id))
        [(times, at)] = rows
        return at if times < MAX_OF_MESSAGE else None

    # What legs with a rate or a budget let through

    def crossed(self, link: str, at: float, airtime: float) -> None:
        """Count a message that goes on to a link (its key)."""
        with self._db.transaction():
            self._db.run(
                "INSERT INTO crossing (link, at, airtime) VALUES (?, ?, ?)", link, at, airtime
            )

    def since(self, link: str, at: float) -> list[tuple[float, float]]:
        """Return when messages went on to a link (its key) after ``at``, and their airtime."""
        rows = self._db.rows(
            "SELECT at, airtime FROM crossing WHERE link = ? AND at > ? ORDER BY at", link, at
        )
        return [(when, airtime) for when, airtime in rows]

    # Receipts

    def spent(self, id: MessageId, event: Event) -> frozenset[str]:
        """Return the keys of the links onto which this was said of a message already."""
        rows = self._db.rows(
            "SELECT link FROM echo WHERE id = ? AND event = ?", number_of(id), int(event)
        )
        return frozenset(link for (link,) in rows)

    def echoed(self, id: MessageId, event: Event, link: str, until: float) -> None:
        """Remember that this was said of a message on a link (its key)."""
        with self._db.transaction():
            self._db.run(
                "INSERT INTO echo VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                *(number_of(id), link, int(event), until),
            )

    def purge(self, now: float, age: float) -> None:
        """Forget what is too old to be asked for."""
        with self._db.transaction():
            self._db.run("DELETE FROM passage WHERE at <= ?", now - age)
            self._db.run("DELETE FROM crossing WHERE at <= ? OR at > ?", now - LONGEST, now + AHEAD)
            self._db.run("DELETE FROM echo WHERE until <= ?", now)
            self._db.run(
                "DELETE FROM echo WHERE (id, link, event) IN (SELECT id, link, event FROM echo"
                " ORDER BY until DESC LIMIT -1 OFFSET ?)",
                MAX_ECHOES,
            )
