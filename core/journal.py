"""The journal: what happened to each outgoing message, for whoever asks later or elsewhere.

The law of this module: events are only added, with growing row numbers, and outlive their message,
so that another process can follow them without missing one.
"""

from __future__ import annotations

from .database import Database, id_from, number_of
from .events import Progress, State
from .message import MessageId

TRIM = 256
"""Rows after which those beyond the bounds go, where only few of a message are written."""

_EVENTS = "SELECT row, state, id, link, author, at, reason, until, ask FROM event"


class Journal:
    """The events of outgoing messages.

    Args:
        database: the spool's.
        of_message: events kept of one message; the oldest go first.
        of_all: events kept of all messages.
    """

    def __init__(self, database: Database, of_message: int, of_all: int) -> None:
        self._db = database
        self._of_message = of_message
        self._of_all = of_all

    def add(self, event: Progress, *, last: bool = False) -> None:
        """Write an event down; older ones make room for it.

        Args:
            event: what happened.
            last: few have been written of this message, and no more will be.
        """
        number = number_of(event.id)
        row = self._db.insert(
            "INSERT INTO event (id, state, link, author, at, reason, until, ask)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(number, event.state.value, event.link, event.by),
            *(event.at, event.reason, event.until, event.ask),
        )
        if last and row % TRIM:
            return
        self._db.run(
            "DELETE FROM event WHERE id = ?1 AND row <="
            " (SELECT row FROM event WHERE id = ?1 ORDER BY row DESC LIMIT 1 OFFSET ?2)",
            *(number, self._of_message),
        )
        self._db.run("DELETE FROM event WHERE row <= ?", row - self._of_all)

    def of(self, id: MessageId) -> list[Progress]:
        """Return what happened to a message, oldest first."""
        return [event for _, event in self._read("WHERE id = ? ORDER BY row", number_of(id))]

    def after(self, row: int, limit: int) -> list[tuple[int, Progress]]:
        """Return events after a row number, each with its own, oldest first."""
        return self._read("WHERE row > ? ORDER BY row LIMIT ?", row, limit)

    def last(self) -> int:
        """Return the newest event's row number, 0 if there is none."""
        return int(self._db.rows("SELECT coalesce(max(row), 0) FROM event")[0][0])

    def forget_before(self, at: float) -> None:
        """Delete what happened until then."""
        self._db.run("DELETE FROM event WHERE at <= ?", at)

    def _read(self, which: str, *args: object) -> list[tuple[int, Progress]]:
        return [
            (row, Progress(State(state), id_from(number), link, by, at, reason, until, bool(ask)))
            for row, state, number, link, by, at, reason, until, ask in self._db.rows(
                f"{_EVENTS} {which}", *args
            )
        ]
