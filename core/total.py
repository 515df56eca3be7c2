"""How much a box of the spool holds, without counting its rows.

The law of this module: what is added in a transaction is written down once, at its end, and part
of it. What leaves is subtracted by the triggers in ``spool.sql``; ``refresh`` looks at that.
"""

from __future__ import annotations

from .database import Database


class Total:
    """The messages and bytes of a box, and its bounds. Used inside transactions only.

    Args:
        database: the spool's.
        box: ``outbox`` or ``inbox``.
        most_messages: it may hold.
        most_bytes: of messages it may hold.
    """

    def __init__(self, database: Database, box: str, most_messages: int, most_bytes: int) -> None:
        self._db = database
        self._box = box
        self._most = most_messages, most_bytes
        self._serial = -1
        self._messages = self._bytes = 0
        self._written = 0, 0  # as the table has them, but for what triggers changed since

    def fits(self, size: int) -> bool:
        """Tell whether one more message of ``size`` bytes stays within the bounds."""
        if self._serial != self._db.serial:
            self._read()
        return self._messages < self._most[0] and self._bytes + size <= self._most[1]

    def add(self, size: int) -> None:
        """Count a message that was inserted, after ``fits``."""
        self._messages += 1
        self._bytes += size

    def refresh(self) -> None:
        """Look again: a trigger has changed the total in this transaction."""
        if self._serial == self._db.serial:
            self._write()
            self._serial = -1

    def held(self) -> tuple[int, int]:
        """Return the messages and bytes, after ``fits``."""
        return self._messages, self._bytes

    def _read(self) -> None:
        found = self._db.rows("SELECT messages, bytes FROM total WHERE what = ?", self._box)
        self._messages, self._bytes = self._written = found[0]
        self._serial = self._db.serial
        self._db.before_commit(self._write)

    def _write(self) -> None:
        messages, held = self._written
        if self._messages > messages:
            self._db.run(
                "UPDATE total SET messages = messages + ?, bytes = bytes + ? WHERE what = ?",
                *(self._messages - messages, self._bytes - held, self._box),
            )
        self._written = self._messages, self._bytes
