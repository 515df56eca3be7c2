"""A spool that an earlier focal wrote is one of ours after its upgrade, with all that was in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from focal.core.bridge import Sight
from focal.core.events import State
from focal.core.leg import LegSpec
from focal.core.message import Kind, Message, MessageId
from focal.core.spool import Spool

FIRST = Path(__file__).with_name("spool-v1.sql")
APPLICATION = 0x666F636C
COLUMNS = """
SELECT tables.type, tables.name, columns.name, columns.type, columns."notnull", columns.dflt_value
FROM sqlite_schema AS tables LEFT JOIN pragma_table_info(tables.name) AS columns
WHERE tables.name NOT LIKE 'sqlite_%' ORDER BY tables.name, columns.cid
"""


def first(path: Path, message: bytes) -> None:
    """Write a spool of version 1 with a message that waits on one link."""
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST.read_text())
        old.execute(f"PRAGMA application_id = {APPLICATION}")
        old.execute("PRAGMA user_version = 1")
        old.execute("INSERT INTO node VALUES (1, 7, '', 0)")
        old.execute(
            "INSERT INTO outbox VALUES (?, 2, 0, 3, 100.0, 1e6, NULL, ?)", (7 << 32 | 1, message)
        )
        old.execute(
            "INSERT INTO leg (id, link, name, state) VALUES (?, 'udp:a', 'a', 'queued')",
            (7 << 32 | 1,),
        )
        old.execute(
            "UPDATE total SET messages = 1, bytes = ? WHERE what = 'outbox'", (len(message),)
        )
        old.execute("INSERT INTO peer VALUES (5, 'udp:a', '10.0.0.5:1', 'Anna', 90.0)")
        old.execute("INSERT INTO peer VALUES (6, 'mqtt:b', NULL, 'Bert', 90.0)")
        old.commit()


def test_what_waited_goes_on_waiting_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    text = Message(MessageId(7, 1), Kind.TEXT, b"kept", sent_at=100, lifetime=3600).to_bytes()
    first(path, text)
    with Spool.open(path, unix=lambda: 200.0) as spool:
        (leg,) = spool.outbox.waiting("udp:a")
        assert (leg.message, leg.state, leg.priority, leg.queued_at) == (text, State.QUEUED, 3, 100)
        assert leg.origin is None and leg.hops == 0
        later = Message(MessageId(7, 2), Kind.TEXT, b"later", sent_at=200, lifetime=3600).to_bytes()
        spool.outbox.put(later, [LegSpec("udp:a", "a")], kind=Kind.TEXT, expires_at=1e6, priority=3)
        assert [one.message for one in spool.outbox.waiting("udp:a")] == [text, later]


def test_who_had_an_address_was_heard_there(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    first(path, Message(MessageId(7, 1), Kind.TEXT, b"kept", lifetime=3600).to_bytes())
    with Spool.open(path, unix=lambda: 200.0) as spool:
        assert spool.peers.heard(5) == {"udp:a": Sight(90.0, 90.0)}
        assert spool.peers.heard(6) == {"mqtt:b": Sight(90.0, None)}
        assert [peer.name for peer in spool.peers.peers()] == ["Anna", "Bert"]


def test_an_upgraded_spool_is_made_like_a_new_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    text = Message(MessageId(7, 1), Kind.TEXT, b"kept", sent_at=100, lifetime=3600).to_bytes()
    first(old, text)
    for path in (old, new):
        Spool.open(path, unix=lambda: 200.0).close()
    with closing(sqlite3.connect(old)) as upgraded, closing(sqlite3.connect(new)) as fresh:
        assert upgraded.execute(COLUMNS).fetchall() == fresh.execute(COLUMNS).fetchall()
