"""A look at a spool for whoever wants to know how it is.

The law of this module: it makes, upgrades and repairs nothing, and writes no row.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .database import Database
from .errors import SpoolError
from .spool import schema


@dataclass(frozen=True, slots=True)
class Checkup:
    """How a spool is.

    Args:
        origin: the node's.
        version: of the file.
        damage: the first thing that SQLite finds damaged; None where it finds nothing.
        sequence: the last number that a message of ours was given, 0 if none was.
        newest: Unix seconds of the last event or message written down, 0 if none was.
        waiting: messages in the outbox that are not done.
        received: messages in the inbox.
    """

    origin: int
    version: int
    damage: str | None
    sequence: int
    newest: float
    waiting: int
    received: int


def check_up(path: Path) -> Checkup:
    """Look at the spool in a file that is there.

    Raises:
        SpoolError: it cannot be opened, read or locked for writing, is no spool, or is of a
            newer version.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5)
    except sqlite3.Error as error:
        raise SpoolError(f"{path} cannot be opened: {error}") from error
    with closing(connection):
        connection.isolation_level = None
        database = Database(path, connection, schema())
        with database.transaction():  # it can be locked, and its version is ours
            return _checkup(database)


def keeps_log(folder: Path) -> bool:
    """Try whether SQLite can keep a write-ahead log in a folder that can be written."""
    with suppress(OSError, sqlite3.Error), TemporaryDirectory(dir=folder, prefix=".try-") as there:
        with closing(sqlite3.connect(Path(there) / "try.db")) as connection:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("CREATE TABLE try (x)")
        return bool(mode == ("wal",))
    return False


def _checkup(database: Database) -> Checkup:
    rows = database.rows
    found = str(rows("PRAGMA quick_check(1)")[0][0])
    held = {str(what): int(messages) for what, messages in rows("SELECT what, messages FROM total")}
    ((origin, sequence),) = rows("SELECT origin, sequence FROM node")
    return Checkup(
        origin=int(origin),
        version=int(rows("PRAGMA user_version")[0][0]),
        damage=None if found == "ok" else " ".join(found.split()),
        sequence=int(sequence),
        newest=max(_last(database, "event", "at"), _last(database, "inbox", "received_at")),
        waiting=held["outbox"],
        received=held["inbox"],
    )


def _last(database: Database, table: str, column: str) -> float:
    found = database.rows(f"SELECT {column} FROM {table} ORDER BY row DESC LIMIT 1")
    return float(found[0][0]) if found else 0.0
