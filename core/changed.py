"""Which messages of the outbox changed lately, so that nobody has to look through all of it again.

The law of this module: it may name a message too many, never one too few. When it cannot tell,
because another process has written something or too much has happened, it says so.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from .database import Database

REMEMBERED = 4096
"""Changes that are remembered."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: which commit of another process was the last, and how many changes of ours."""

    commit: int
    changes: int


class Changed:
    """The messages that this process has changed. Used inside transactions only.

    A transaction that is undone leaves its messages here, which does no harm.

    Args:
        database: the spool's.
        remembered: how many changes.
    """

    def __init__(self, database: Database, remembered: int = REMEMBERED) -> None:
        self._db = database
        self._last: deque[int] = deque(maxlen=remembered)
        self._count = 0

    def note(self, number: int) -> None:
        """A message, by its number, waits from now on, or waits no more, or otherwise."""
        self._last.append(number)
        self._count += 1

    def mark(self) -> Mark:
        """Return this moment."""
        return Mark(self._db.data_version(), self._count)

    def since(self, mark: Mark) -> list[int] | None:
        """Return what changed after a moment, each once; None: anything may have."""
        count = self._count - mark.changes
        if mark.commit != self._db.data_version() or count > len(self._last):
            return None
        return list(dict.fromkeys(islice(reversed(self._last), count)))
