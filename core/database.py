"""One SQLite file that many processes share: transactions, versions, and what can go wrong.

The law of this module: nothing of sqlite3 gets past it. What the user can mend (a full disk, a
file of a newer focal) is a ``SpoolError`` of one line; what only a programmer can mend flies.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar

from .errors import SpoolError
from .message import MessageId

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
Durability: TypeAlias = Literal["power", "process"]

PATIENCE = 30.0  # seconds that a process waits for another one's transaction
WAL_BYTES = 16 << 20  # what is left of the write-ahead log after a checkpoint, at most


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file of ours holds.

    Args:
        what: what it is called in errors: ``focal spool``.
        application: SQLite's application id, so that another program's file is told apart.
        version: what this focal reads and writes; it stands in ``PRAGMA user_version``.
        script: the statements that make a new file of this version.
        steps: for each earlier version, the statements that lead to the next one.
    """

    what: str
    application: int
    version: int
    script: str = field(repr=False)
    steps: Mapping[int, str] = field(default_factory=dict[int, str], repr=False)


class _HalfDone(Exception):
    """An op failed that had written something, and there is no savepoint to undo it alone."""


class Database:
    """An open file. Used by one thread at a time, not always the same one.

    ``rows``, ``run`` and ``insert`` execute one statement; those that write do it inside
    ``transaction``. All raise ``SpoolError`` when the disk is full, the file is read-only,
    damaged, or locked for longer than anybody should.

    Attributes:
        path: the file.
        serial: another number in every transaction: what was read under one is stale after it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, schema: Schema) -> None:
        self.path = path
        self.serial = 0
        self._connection = connection
        self._cursor = connection.cursor()
        self._schema = schema
        self._inside = False
        self._last: list[Callable[[], None]] = []

    @classmethod
    def open(cls, path: Path, schema: Schema, *, durability: Durability = "power") -> Database:
        """Open a file, make it if there is none, bring an older one to our version.

        Args:
            durability: ``power``: what is committed survives a power cut; ``process``: it
                survives our own end, however violent, and costs no wait for the disk.

        Raises:
            SpoolError: it cannot be opened, is not ours, or is of a newer version.
        """
        try:
            connection = sqlite3.connect(
                path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise SpoolError(_line(error, path)) from error
        database = cls(path, connection, schema)
        try:
            database._prepare(durability)
            database._settle()
            database.rows("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return database

    @classmethod
    def look(cls, path: Path, schema: Schema) -> Database:
        """Open a file that is there to read it only: nothing is made, upgraded or repaired.

        Raises:
            SpoolError: it cannot be opened, is not ours, or is of another version.
        """
        where = f"{path.absolute().as_uri()}?mode=ro"
        try:
            connection = sqlite3.connect(
                where, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise SpoolError(_line(error, path)) from error
        database = cls(path, connection, schema)
        try:
            database._check_version()
        except BaseException:
            connection.close()
            raise
        return database

    def close(self) -> None:
        """Close the file. Again: nothing happens."""
        self._connection.close()

    def rows(self, sql: str, *args: object) -> list[Row]:
        """Return what a statement finds."""
        if not self._connection.in_transaction:
            return self._told(lambda: self._connection.execute(sql, args).fetchall())
        try:
            return self._cursor.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            self._raise(error)

    def run(self, sql: str, *args: object) -> int:
        """Execute a statement that writes, in a transaction; return how many rows it touched."""
        # The way of every message: no closure as in _told, no new cursor for each statement.
        if not self._connection.in_transaction:
            raise self._failed()
        try:
            return self._cursor.execute(sql, args).rowcount
        except sqlite3.Error as error:
            self._raise(error)

    def insert(self, sql: str, *args: object) -> int:
        """Execute an INSERT, in a transaction; return the new row's number."""
        self.run(sql, *args)
        return self._cursor.lastrowid or 0

    def transaction(self) -> AbstractContextManager[None]:
        """Do all that follows or none of it; within another one, be part of that."""
        return _PART if self._inside else self._checked()

    def apply(self, ops: Sequence[Callable[[], object]]) -> list[object | Exception]:
        """Do several things in one transaction, each wholly or not at all.

        An op may be run a second time, and only that time counts: so it must do nothing but with
        this database. (A savepoint for each would cost more than most of what they do; so they
        are only set where an op fails that has written something already.)

        Returns:
            In the place of each op what it returned, or the exception it raised: then it alone
            is undone. When the transaction itself fails, a SpoolError in every place.
        """
        try:
            if not self._inside:
                with suppress(_HalfDone), self.transaction():
                    return [self._lightly(op) for op in ops]
            with self.transaction():
                return [self._carefully(op) for op in ops]
        except SpoolError as error:
            return [SpoolError(str(error)) for _ in ops]

    def before_commit(self, work: Callable[[], None]) -> None:
        """Have something done at the end of this transaction, as part of it."""
        self._last.append(work)

    def data_version(self) -> int:
        """Return a number that changes when another process has committed something."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def _lightly(self, op: Callable[[], object]) -> object | Exception:
        before = self._connection.total_changes
        try:
            return op()
        except Exception as error:
            self._must_go_on(error)
            if self._connection.total_changes != before:
                raise _HalfDone from error
            return error

    def _carefully(self, op: Callable[[], object]) -> object | Exception:
        self._finish()
        self.run("SAVEPOINT op")
        try:
            result = op()
            self._finish()
        except Exception as error:
            self._must_go_on(error)
            self._last.clear()
            self.serial += 1
            self.run("ROLLBACK TO op")
            result = error
        self.run("RELEASE op")
        return result

    def _must_go_on(self, error: Exception) -> None:
        if not self._connection.in_transaction:  # SQLite gave up the whole batch
            raise SpoolError(str(error)) from error

    def _finish(self) -> None:
        """Do what is to be done before a commit; what follows is as in a new transaction."""
        while self._last:
            self._last.pop()()
        self.serial += 1

    @contextmanager
    def _checked(self) -> Generator[None]:
        with self._locked():
            self._check_version()
            yield

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._told(lambda: self._connection.execute("BEGIN IMMEDIATE"))
        self._inside = True
        try:
            yield
            self._finish()
            self.run("COMMIT")
        finally:
            self._inside = False
            self._last.clear()
            self.serial += 1
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _told(self, work: Callable[[], T]) -> T:
        """Do some work of SQLite's; what the user can mend becomes a SpoolError."""
        if self._inside and not self._connection.in_transaction:
            raise self._failed()
        try:
            return work() if self._inside else _patiently(work)
        except sqlite3.Error as error:
            self._raise(error)

    def _failed(self) -> SpoolError:
        """Say that SQLite ended the transaction; one more statement would be one of its own."""
        return SpoolError(f"{self.path}: the transaction failed; nothing of it was kept")

    def _raise(self, error: sqlite3.Error) -> NoReturn:
        if _code(error) not in _LINES:
            raise error
        raise SpoolError(_line(error, self.path)) from error

    def _prepare(self, durability: Durability) -> None:
        # Where the file system has no WAL, SQLite keeps its rollback journal: slower, as safe.
        self.rows("PRAGMA journal_mode = WAL")
        self.rows(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        self.rows(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
        if durability == "power":
            self.rows("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves it in the drive's cache

    def _settle(self) -> None:
        """Bring the file to our version."""
        if self._version() == self._schema.version:
            self._check_version()
            return
        with self._locked():
            self._make_or_upgrade()

    def _make_or_upgrade(self) -> None:
        version = self._version()
        if version == 0 and not self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            self._execute(self._connection, self._schema.script)
            self.rows(f"PRAGMA application_id = {self._schema.application}")
            self.rows(f"PRAGMA user_version = {self._schema.version}")
        elif 0 < version < self._schema.version and self._is_ours():
            self._rehearse(version)
            self._climb(self._connection, version)
        else:  # another process was faster, or it is nothing for us
            self._check_version()

    def _version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0][0])

    def _is_ours(self) -> bool:
        return bool(self.rows("PRAGMA application_id")[0][0] == self._schema.application)

    def _check_version(self) -> None:
        """Refuse what we cannot read; also when another process upgraded it under our hands."""
        version = self._version()
        if version == 0 or not self._is_ours():
            raise SpoolError(
                f"{self.path} is a database, but no {self._schema.what}:"
                " move it away, or use another --home"
            )
        if version != self._schema.version:
            raise SpoolError(
                f"{self.path.name} is of version {version}, this focal reads up to"
                f" {self._schema.version}: upgrade focal, or use another --home"
            )

    def _rehearse(self, version: int) -> None:
        """Keep a copy of the older file, and see on the copy that the upgrade works."""
        part = self.path.with_name(f"{self.path.name}.v{version}.part")
        part.unlink(missing_ok=True)
        try:
            self._try_on_copy(part, version)
            os.replace(part, part.with_suffix(".bak"))
        except sqlite3.Error as error:
            raise SpoolError(
                f"{self.path} stays of version {version}: its upgrade failed on a copy ({error})"
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def _try_on_copy(self, part: Path, version: int) -> None:
        # A second connection reads: SQLite copies nothing through one that is writing.
        with closing(_plain(self.path)) as source, closing(_plain(part)) as copy:
            source.backup(copy)
            copy.execute("BEGIN")
            self._climb(copy, version)
            found: list[Row] = copy.execute("PRAGMA integrity_check").fetchall()
            found += copy.execute("PRAGMA foreign_key_check").fetchall()
            copy.execute("ROLLBACK")
        if found != [("ok",)]:
            raise sqlite3.IntegrityError(str(found[0][0]))

    def _climb(self, connection: sqlite3.Connection, version: int) -> None:
        for step in range(version, self._schema.version):
            self._execute(connection, self._schema.steps[step])
            self._execute(connection, f"PRAGMA user_version = {step + 1};")

    def _execute(self, connection: sqlite3.Connection, script: str) -> None:
        for statement in _statements(script):
            self._told(partial(connection.execute, statement))


def number_of(id: MessageId) -> int:
    """Return a message's id as one of SQLite's integers, which have a sign."""
    number = id.origin << 32 | id.sequence
    return number - (1 << 64) if number >> 63 else number


def id_from(number: int) -> MessageId:
    """Return the message id that ``number_of`` made a number of."""
    return MessageId(number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF)


def _plain(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def _statements(script: str) -> Iterator[str]:
    """Cut a script into statements; ``executescript`` would end the transaction we are in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _patiently(work: Callable[[], T]) -> T:
    """Try again while another process is in the way.

    SQLite's own busy timeout covers most of it, but it gives up at once where waiting might be a
    deadlock: at a change to WAL, and while another process opens or closes the file.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary error code, 0 where the error is the module's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _line(error: sqlite3.Error, path: Path) -> str:
    if os.path.isdir(path):  # unlike Path.is_dir it never raises
        return f"{path} is a folder: move it away, or use another --home"
    return _LINES.get(_code(error), "cannot open {path}: {error}").format(path=path, error=error)


_PART = nullcontext()
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)
_LOCKED = "{path}: another process has kept it locked too long; end that one and try again"
_LINES = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
    sqlite3.SQLITE_CANTOPEN: "cannot open {path}: its folder is missing, read-only or not yours",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged: move it away (focal makes a new one) or restore it",
    sqlite3.SQLITE_FULL: "{path}: the disk is full; free some space and try again",
    sqlite3.SQLITE_IOERR: "{path}: the disk failed or is full ({error})",
    sqlite3.SQLITE_NOTADB: "{path} is not a database: move it away, or use another --home",
    sqlite3.SQLITE_PERM: "{path}: permission denied",
    sqlite3.SQLITE_READONLY: "{path} is read-only: make it writable, or use another --home",
}
