"""The seen-table: which messages came before, also when the inbox has let them go.

The law of this module: its bounds are per origin first, so that nobody who floods it makes it
forget what others sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from .database import Database, number_of
from .message import MessageId

_FOREIGN, _ALL = -1, -2  # pools beside the origins
_FORGET_OLDEST = "DELETE FROM seen WHERE row = (SELECT min(row) FROM seen"


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

    def knows_tag(self, origin: int, tag: int) -> bool:
        """Tell whether a message of this origin came with this check."""
        first = number_of(MessageId(origin, 0))
        found = self._db.rows(
            "SELECT 1 FROM seen WHERE id BETWEEN ? AND ? AND tag = ? LIMIT 1",
            *(first, first | 0xFFFFFFFF, tag),
        )
        return bool(found)

    def add(self, seen: Sighting, *, foreign: bool) -> None:
        """Remember a message that is not known; the oldest are forgotten beyond the bounds."""
        pool = _FOREIGN if foreign else seen.id.origin
        self._db.run(
            "INSERT INTO seen (id, tag, twin, pool, until) VALUES (?, ?, ?, ?, ?)",
            *(number_of(seen.id), seen.tag, seen.twin, pool, seen.until),
        )
        for _ in range(self._number(pool) - self._of_origin):
            self._db.run(f"{_FORGET_OLDEST} WHERE pool = ?)", pool)
        for _ in range(self._number(_ALL) - self._limit):
            self._db.run(f"{_FORGET_OLDEST})")

    def purge(self, now: float) -> None:
        """Forget what nobody sends any more."""
        self._db.run("DELETE FROM seen WHERE until <= ?", now)

    def _number(self, pool: int) -> int:
        return int(self._db.rows("SELECT messages FROM tally WHERE pool = ?", pool)[0][0])
