"""How much the spool costs over bare SQLite, and how fast it is.

``python -m bench.spool`` prints the numbers as JSON. Both sides write the same messages, with the
same pragmas, in transactions of the same size. They take turns, and the median of several rounds
counts, because a busy machine does not hit both alike.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from focal.core.leg import LegSpec
from focal.core.message import Kind, Message, MessageId
from focal.core.spool import Spool

BATCH = 64
BATCHES = 20
ROUNDS = 7  # the outbox holds 10,000 messages
SIZE = 500


def messages(first: int) -> list[bytes]:
    """Return the messages of one round, each of 500 bytes."""
    head = len(Message(MessageId(1, 1), Kind.VOICE, b"").to_bytes())
    return [
        Message(MessageId(1, first + n), Kind.VOICE, bytes(SIZE - head)).to_bytes()
        for n in range(BATCH * BATCHES)
    ]


def bare(connection: sqlite3.Connection, batch: list[bytes]) -> None:
    """Insert as somebody would who needs nothing but the bytes."""
    connection.execute("BEGIN IMMEDIATE")
    for item in batch:
        connection.execute("INSERT INTO message (message) VALUES (?)", (item,))
    connection.execute("COMMIT")


def spooled(spool: Spool, batch: list[bytes]) -> None:
    """Put messages in the outbox, for one link."""
    legs = [LegSpec("mem:bench", "bench")]
    put = partial(spool.outbox.put, legs=legs, kind=Kind.VOICE, expires_at=4e9)
    results = spool.apply([partial(put, item) for item in batch])
    assert not any(isinstance(result, Exception) for result in results)


def delivered(spool: Spool, batch: list[bytes]) -> None:
    """Take messages into the inbox, for one sink."""
    deliver = partial(spool.inbox.deliver, link="bench", peer=None, at=1.8e9, sinks=["wav:x"])
    results = spool.apply([partial(deliver, item) for item in batch])
    assert not any(isinstance(result, Exception) for result in results)


def seconds(work: Callable[[list[bytes]], None], batches: list[list[bytes]]) -> float:
    """Return how long something takes for all batches."""
    start = time.perf_counter()
    for batch in batches:
        work(batch)
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
            rounds = [_round(connection, outgoing, incoming, turn) for turn in range(ROUNDS)]
    bare_, put, deliver = (median(took) for took in zip(*rounds, strict=True))
    return {
        "spool_vs_sqlite": bare_ / put,
        "inbox_vs_sqlite": bare_ / deliver,
        "sqlite_messages_per_second": BATCH * BATCHES / bare_,
        "put_messages_per_second": BATCH * BATCHES / put,
        "deliver_messages_per_second": BATCH * BATCHES / deliver,
    }


def _round(
    connection: sqlite3.Connection, outgoing: Spool, incoming: Spool, turn: int
) -> tuple[float, float, float]:
    """Return how long bare SQLite, the outbox and the inbox take for the same messages."""
    items = messages(1 + turn * BATCH * BATCHES)
    batches = [items[at : at + BATCH] for at in range(0, len(items), BATCH)]
    return (
        seconds(partial(bare, connection), batches),
        seconds(partial(spooled, outgoing), batches),
        seconds(partial(delivered, incoming), batches),
    )


if __name__ == "__main__":
    print(json.dumps(bench(), indent=2))
