"""The seen-table: which messages came before, also when the inbox has let them go.

The law of this module: its bounds are per origin first, so that nobody who floods it makes it
forget what others sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from .database import Database, id_from, number_of
from .message import MessageId

_FOREIGN, _ALL = -1, -2  # pools beside the origins
_FORGET_OLDEST = "DELETE FROM seen WHERE row = (SELECT min(row) FROM seen"


@dataclass(frozen=True, slots=True)
class Way:
    """How a message came that was passed on: the link's key; whether it is for everyone."""

    source: str
    to_all: bool


@dataclass(frozen=True, slots=True)
class Sighting:
    """A message that came: its id and check, its number among its twins, until when to know it."""

    id: MessageId
    tag: int
    twin: int
    until: float


class Seen:
    """The ids and checks of what came. Used inside transactions.

    Args:
        database: the spool's.
        limit: rows in all; the oldest go first.
        of_origin: rows of one origin, and of all foreign origins together.
    """

    def __init__(self, database: Database, limit: int, of_origin: int) -> None:
        self._db = database
        self._limit = limit
        self._of_origin = of_origin

    def twins(self, id: MessageId) -> dict[int, int]:
        """Return the twin number of each check that came under an id."""
        rows = self._db.rows("SELECT tag, twin FROM seen WHERE id = ?", number_of(id))
        return {tag: twin for tag, twin in rows}

    def with_tag(self, tag: int, speaker: int) -> MessageId | None:
        """Return the id of a message with this check that came.

        Args:
            tag: the check.
            speaker: who speaks of it; of several messages its own is the one that is meant, else it
                is a bridge that passed on somebody else's.
        """
        found = [id_from(row[0]) for row in self._db.rows("SELECT id FROM seen WHERE tag = ?", tag)]
        return next((id for id in found if id.origin == speaker), found[0] if found else None)

    def passed(self, id: MessageId, tag: int | None = None) -> Way | None:
        """Return how a message came that was passed on; None if it was not, or is not known.

        Args:
            id: the message.
            tag: its check; None: any message with this id, the latest.
        """
        found = self._db.rows(
            "SELECT source, to_all FROM seen WHERE id = ?1 AND (?2 IS NULL OR tag = ?2)"
            " AND source IS NOT NULL ORDER BY row DESC LIMIT 1",
            *(number_of(id), tag),
        )
        return Way(found[0][0], bool(found[0][1])) if found else None

    def mark(self, id: MessageId, tag: int, way: Way) -> None:
        """Remember of a message that is known that it was passed on."""
        self._db.run(
            "UPDATE seen SET source = ?, to_all = ? WHERE id = ? AND tag = ?",
            *(way.source, way.to_all, number_of(id), tag),
        )

    def add(self, seen: Sighting, *, foreign: bool) -> None:
        """Remember a message that is not known; the oldest are forgotten beyond the bounds."""
        pool = _FOREIGN if foreign else seen.id.origin
        self._db.run(
            "INSERT INTO seen (id, tag, twin, pool, until) VALUES (?, ?, ?, ?, ?)",
            *(number_of(seen.id), seen.tag, seen.twin, pool, seen.until),
        )
        number = self._numbers(pool)
        beyond = max(0, number[pool] - self._of_origin)
        for _ in range(beyond):
            self._db.run(f"{_FORGET_OLDEST} WHERE pool = ?)", pool)
        for _ in range(number[_ALL] - beyond - self._limit):
            self._db.run(f"{_FORGET_OLDEST})")

    def purge(self, now: float) -> None:
        """Forget what nobody sends any more."""
        self._db.run("DELETE FROM seen WHERE until <= ?", now)

    def _numbers(self, pool: int) -> dict[int, int]:
        """Return how many are remembered of a pool, and of all."""
        rows = self._db.rows("SELECT pool, messages FROM tally WHERE pool IN (?, ?)", *(pool, _ALL))
        return {which: messages for which, messages in rows}
