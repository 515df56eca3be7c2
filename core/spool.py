"""The spool: everything of a node that must survive its process.

The law of this module: a number is drawn once. The origin stays as long as the home stays on its
machine, and no sequence is ever given twice, whichever process asks.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from pkgutil import get_data
from types import TracebackType

from .crossings import Crossings
from .database import Database, Durability, Schema
from .errors import SpoolError
from .inbox import Inbox, InboxBounds
from .outbox import Outbox, OutboxBounds
from .peers import Peers

VERSION = 2
MAX_SEQUENCE = (1 << 32) - 1
MAX_PEERS = 10_000
_REMEMBERED = 7 * 86_400.0  # decisions of a bridge
_FOCL = 0x666F636C  # "focl", the file's application id


@cache
def schema() -> Schema:
    """Return what a spool of our version holds."""
    steps = {version: _script(f"spool-{version}.sql") for version in range(1, VERSION)}
    return Schema("focal spool", _FOCL, VERSION, _script("spool.sql"), steps)


def _script(name: str) -> str:
    found = get_data("focal.core", name)  # importlib.resources costs 2 MB and 10 ms
    assert found is not None  # it is beside this file
    return found.decode()


class Spool:
    """The outbox, the inbox and the peers of a home, in one file.

    It blocks, and is used by one thread at a time, not always the same one. Any number of
    processes may have it open at once. What a method has returned from is committed, unless it
    was called in ``apply``: then, when that returns.

    Attributes:
        origin: the node's, 1 to 2**32 - 1.
        outbox, inbox, peers, crossings: its parts.
        database: the file that they share.
    """

    def __init__(
        self,
        database: Database,
        unix: Callable[[], float],
        machine: str,
        outbox: OutboxBounds,
        inbox: InboxBounds,
        peers: int,
        origin: int | None = None,
    ) -> None:
        self.database = database
        self._unix = unix
        self._start: int | None = None
        self.origin = self._identify(machine, origin)
        self.outbox = Outbox(database, unix, outbox)
        self.inbox = Inbox(database, inbox)
        self.peers = Peers(database, peers)
        self.crossings = Crossings(database)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        durability: Durability = "power",
        unix: Callable[[], float],
        machine: str = "",
        outbox: OutboxBounds | None = None,
        inbox: InboxBounds | None = None,
        peers: int = MAX_PEERS,
        origin: int | None = None,
    ) -> Spool:
        """Open a spool; make it if there is none.

        Args:
            path: the file; SQLite keeps two more beside it.
            durability: whether what is committed survives a power cut, or only our own end.
            unix: the wall clock.
            machine: what tells this machine from others, empty if unknown. Where it differs from
                the recorded one the home was copied, and a new origin is drawn.
            outbox: bounds.
            inbox: bounds.
            peers: how many are remembered.
            origin: of a new spool, for simulations; None draws it.

        Raises:
            SpoolError: it cannot be opened, is no spool, or is of a newer version.
        """
        database = Database.open(path, schema(), durability=durability)
        try:
            bounds = outbox or OutboxBounds(), inbox or InboxBounds()
            return cls(database, unix, machine, *bounds, peers, origin)
        except BaseException:
            database.close()
            raise

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it. Again: nothing happens."""
        self.database.close()

    def apply(self, ops: Sequence[Callable[[], object]]) -> list[object | Exception]:
        """Do several things in one transaction, each wholly or not at all.

        Returns:
            In the place of each op what it returned, or the exception it raised: then it alone
            is undone. When the commit fails, a SpoolError in every place.
        """
        return self.database.apply(ops)

    def next_sequence(self) -> int:
        """Return a sequence for a new message of ours, never given before and never again.

        Raises:
            SpoolError: it cannot be written, or there are none left (after 4 billion).
        """
        if self._start is None:
            now = int(self._unix())
            self._start = now if 0 < now < MAX_SEQUENCE else 1
        with self.database.transaction():
            last = int(self.database.rows("SELECT sequence FROM node")[0][0])
            if last >= MAX_SEQUENCE:
                raise SpoolError("this node has no message numbers left: use another --home")
            sequence = max(last + 1, self._start)
            self.database.run("UPDATE node SET sequence = ?", sequence)
        return sequence

    def changes(self) -> int:
        """Return a number that differs when another process has committed since; it is cheap."""
        return self.database.data_version()

    def totals(self) -> dict[str, tuple[int, int]]:
        """Return the messages and bytes in each box: outbox, history, inbox, dropped."""
        rows = self.database.rows("SELECT what, messages, bytes FROM total")
        return {what: (messages, size) for what, messages, size in rows}

    def purge(self, now: float) -> None:
        """Forget what is too old to be asked for; once an hour is enough."""
        with self.database.transaction():
            self.outbox.purge(now)
            self.inbox.purge(now)
            self.crossings.purge(now, _REMEMBERED)

    def _identify(self, machine: str, given: int | None) -> int:
        """Return our origin; draw it if the spool is new or was copied from another machine."""
        with self.database.transaction():
            rows = self.database.rows("SELECT origin, machine FROM node")
            origin, recorded = rows[0] if rows else (0, machine)
            if not rows:
                origin = given or _draw(0)
                self.database.run("INSERT INTO node VALUES (1, ?, ?, 0)", origin, machine)
            elif machine and recorded and machine != recorded:
                origin = _draw(origin)
                self.database.run("UPDATE node SET origin = ?, machine = ?", origin, machine)
            elif machine and not recorded:
                self.database.run("UPDATE node SET machine = ?", machine)
        return int(origin)


def _draw(former: int) -> int:
    """Return 32 random bits that are neither 0 nor the former ones."""
    while (origin := secrets.randbits(32)) in (0, former):
        pass
    return origin
