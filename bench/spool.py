"""How much the spool costs over bare SQLite, and how fast it is.

``python -m bench.spool`` prints the numbers as JSON. Both sides write the same messages, with the
same pragmas, in transactions of the same size; they take turns, so that a busy disk hits both.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from focal.core.leg import LegSpec
from focal.core.message import Kind, Message, MessageId
from focal.core.spool import Spool

BATCH = 64
BATCHES = 20
ROUNDS = 6
SIZE = 500


def messages(first: int) -> list[bytes]:
    """Return the messages of one round, each of 500 bytes."""
    head = len(Message(MessageId(1, 1), Kind.VOICE, b"").to_bytes())
    return [
        Message(MessageId(1, first + n), Kind.VOICE, bytes(SIZE - head)).to_bytes()
        for n in range(BATCH * BATCHES)
    ]


def batches(items: list[bytes]) -> list[list[bytes]]:
    """Cut a round into transactions."""
    return [items[at : at + BATCH] for at in range(0, len(items), BATCH)]


def bare(connection: sqlite3.Connection, items: list[bytes]) -> None:
    """Insert as somebody would who needs nothing but the bytes."""
    for batch in batches(items):
        connection.execute("BEGIN IMMEDIATE")
        for item in batch:
            connection.execute("INSERT INTO message (message) VALUES (?)", (item,))
        connection.execute("COMMIT")


def spooled(spool: Spool, items: list[bytes]) -> None:
    """Put them in the outbox, for one link."""
    legs = [LegSpec("mem:bench", "bench")]
    for batch in batches(items):
        put = partial(spool.outbox.put, legs=legs, kind=Kind.VOICE, expires_at=4e9)
        results = spool.apply([partial(put, item) for item in batch])
        assert not any(isinstance(result, Exception) for result in results)


def delivered(spool: Spool, items: list[bytes]) -> None:
    """Take them into the inbox, for one sink."""
    for batch in batches(items):
        deliver = partial(spool.inbox.deliver, link="bench", peer=None, at=1.8e9, sinks=["wav:x"])
        results = spool.apply([partial(deliver, item) for item in batch])
        assert not any(isinstance(result, Exception) for result in results)


def seconds(work: Callable[[], None]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bench() -> dict[str, float]:
    """Return messages a second, and the spool's share of what bare SQLite reaches."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with (
            closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection,
            Spool.open(folder / "out.db", unix=time.time) as outgoing,
            Spool.open(folder / "in.db", unix=time.time) as incoming,
        ):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE message (row INTEGER PRIMARY KEY, message BLOB)")
            return _race(connection, outgoing, incoming)


def _race(connection: sqlite3.Connection, outgoing: Spool, incoming: Spool) -> dict[str, float]:
    took = {"bare": 0.0, "put": 0.0, "deliver": 0.0}
    for turn in range(ROUNDS):
        items = messages(1 + turn * BATCH * BATCHES)
        took["bare"] += seconds(partial(bare, connection, items))
        took["put"] += seconds(partial(spooled, outgoing, items))
        took["deliver"] += seconds(partial(delivered, incoming, items))
    number = ROUNDS * BATCH * BATCHES
    return {
        "spool_vs_sqlite": took["bare"] / took["put"],
        "inbox_vs_sqlite": took["bare"] / took["deliver"],
        "sqlite_messages_per_second": number / took["bare"],
        "put_messages_per_second": number / took["put"],
        "deliver_messages_per_second": number / took["deliver"],
    }


if __name__ == "__main__":
    print(json.dumps(bench(), indent=2))
