"""How much a box of the spool holds, without counting its rows.

The law of this module: what is added in a transaction is written down once, at its end, and part
of it. What leaves is subtracted by the triggers in ``spool.sql``; ``refresh`` looks at that.
"""

from __future__ import annotations

from .database import Database


class Total:
    """The messages and bytes of a box, for its bounds. Used inside transactions only."""

    def __init__(self, database: Database, box: str) -> None:
        self._db = database
        self._box = box
        self._serial = -1
        self._messages = self._bytes = 0
        self._added = self._added_bytes = 0

    def fits(self, size: int, messages: int, bytes: int) -> bool:
        """Tell whether one more message of ``size`` stays within so many messages and bytes."""
        if self._serial != self._db.serial:
            self._read()
        return (
            self._messages + self._added < messages
            and self._bytes + self._added_bytes + size <= bytes
        )

    def add(self, size: int) -> None:
        """Count a message that was inserted, after ``fits``."""
        self._added += 1
        self._added_bytes += size

    def refresh(self) -> None:
        """Look again: a trigger has changed the total in this transaction."""
        if self._serial == self._db.serial:
            self._write()
            self._serial = -1

    def held(self) -> tuple[int, int]:
        """Return the messages and bytes as they were when last looked at, and what was added."""
        return self._messages + self._added, self._bytes + self._added_bytes

    def _read(self) -> None:
        self._messages, self._bytes = self._db.rows(
            "SELECT messages, bytes FROM total WHERE what = ?", self._box
        )[0]
        self._added = self._added_bytes = 0
        self._serial = self._db.serial
        self._db.before_commit(self._write)

    def _write(self) -> None:
        if self._added:
            self._db.run(
                "UPDATE total SET messages = messages + ?, bytes = bytes + ? WHERE what = ?",
                *(self._added, self._added_bytes, self._box),
            )
        self._added = self._added_bytes = 0
