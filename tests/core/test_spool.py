"""The spool as a file: who it is, what it counts, what can be wrong with it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from focal.core.database import Database, Schema
from focal.core.errors import SpoolError
from focal.core.spool import MAX_SEQUENCE, Spool
from tests.core.spooling import EPOCH, HILL, Clock, message, put
from tests.needs import needs
from tests.unprivileged import ordinary_user


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def opened(path: Path, machine: str = "a", clock: Callable[[], float] | None = None) -> Spool:
    return Spool.open(path, durability="process", unix=clock or Clock(), machine=machine)


def refusal(path: Path) -> str:
    """Return the line that opening it ends with."""
    with pytest.raises(SpoolError) as told, opened(path):
        pass
    assert "\n" not in str(told.value)
    return str(told.value)


# Who we are


def test_the_origin_is_drawn_once(path: Path, tmp_path: Path) -> None:
    with opened(path) as first, opened(path) as second:
        assert 0 < first.origin == second.origin < 1 << 32
    with opened(path) as later, opened(tmp_path / "other.db") as other:
        assert later.origin == first.origin != other.origin


def test_a_home_on_another_machine_is_another_node(path: Path) -> None:
    with opened(path, "a") as spool:
        former = spool.origin
        id = put(spool, message(1, origin=former))
    with opened(path, "b") as spool:
        assert spool.origin != former
        assert [leg.id for leg in spool.outbox.waiting(HILL.link)] == [id]
        now = spool.origin
    with opened(path, "b") as spool:
        assert spool.origin == now


@pytest.mark.parametrize("machines", [("", "a"), ("a", ""), ("", "")])
def test_an_unknown_machine_is_no_other_machine(path: Path, machines: tuple[str, str]) -> None:
    with opened(path, machines[0]) as spool:
        former = spool.origin
    with opened(path, machines[1]) as spool:
        assert spool.origin == former


def test_sequences_begin_at_the_time_and_go_on_by_one(path: Path) -> None:
    clock = Clock()
    with opened(path, clock=clock) as spool:
        assert [spool.next_sequence() for _ in range(3)] == [EPOCH, EPOCH + 1, EPOCH + 2]
        clock.now += 100
        assert spool.next_sequence() == EPOCH + 3  # the time at first use counts
    with opened(path, clock=clock) as spool:
        assert spool.next_sequence() == EPOCH + 100


@pytest.mark.parametrize("now", [0.0, -5.0, 2.0**32, 2.0**40])
def test_sequences_survive_a_clock_that_is_wrong(path: Path, now: float) -> None:
    with opened(path, clock=Clock(now)) as spool:
        assert [spool.next_sequence(), spool.next_sequence()] == [1, 2]
    with opened(path) as spool:
        assert spool.next_sequence() == EPOCH
    with opened(path, clock=Clock(now)) as spool:
        assert spool.next_sequence() == EPOCH + 1


def test_sequences_end_and_never_wrap(path: Path) -> None:
    with opened(path, clock=Clock(MAX_SEQUENCE - 1.0)) as spool:
        assert [spool.next_sequence(), spool.next_sequence()] == [MAX_SEQUENCE - 1, MAX_SEQUENCE]
        with pytest.raises(SpoolError, match="no message numbers left"):
            spool.next_sequence()


# Several things at once


def test_one_failing_op_undoes_itself_alone(path: Path) -> None:
    with opened(path) as spool:

        def half() -> None:
            put(spool, message(2))
            raise KeyError("half done")

        one, three = (partial(put, spool, message(n)) for n in (1, 3))
        first, failed, third = spool.apply([one, half, three])
        assert (first, third) == (message(1).id, message(3).id)
        assert isinstance(failed, KeyError)
        assert [leg.id.sequence for leg in spool.outbox.waiting(HILL.link)] == [1, 3]
        size = 2 * len(message(1).to_bytes())
        counted = spool.database.rows("SELECT messages, bytes FROM total WHERE what = 'outbox'")
        assert counted == [(2, size)]


def test_an_op_that_refuses_before_it_writes_costs_no_second_run(path: Path) -> None:
    runs: list[int] = []
    with opened(path) as spool:

        def op() -> None:
            runs.append(1)
            spool.outbox.drop(message(9).id)

        results = spool.apply([op, lambda: put(spool, message(1))])
    assert isinstance(results[0], SpoolError) and results[1] == message(1).id
    assert runs == [1]


def test_an_op_may_be_a_batch_itself(path: Path) -> None:
    with opened(path) as spool:
        inner = [lambda: put(spool, message(1)), lambda: spool.outbox.drop(message(9).id)]
        results = spool.apply([lambda: spool.apply(inner), lambda: put(spool, message(2))])
        assert isinstance(results[0], list) and isinstance(results[0][1], SpoolError)
        assert len(spool.outbox.waiting(HILL.link)) == 2


def test_what_interrupts_a_batch_undoes_all_of_it(path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with opened(path) as spool:
        with pytest.raises(KeyboardInterrupt):
            spool.apply([lambda: put(spool, message(1)), interrupt])
        assert spool.outbox.legs() == []
        put(spool, message(2))


def test_changes_tells_of_other_processes_only(path: Path) -> None:
    with opened(path) as ours, opened(path) as theirs:
        before = ours.changes()
        put(ours, message(1))
        assert ours.changes() == before
        put(theirs, message(2))
        assert ours.changes() != before


def test_closing_twice_does_nothing(path: Path) -> None:
    spool = opened(path)
    spool.close()
    spool.close()


@pytest.mark.parametrize(("durability", "synchronous"), [("power", 2), ("process", 1)])
def test_only_what_shall_survive_a_power_cut_waits_for_the_disk(
    path: Path, durability: Literal["power", "process"], synchronous: int
) -> None:
    with Spool.open(path, durability=durability, unix=Clock()) as spool:
        assert spool.database.rows("PRAGMA synchronous") == [(synchronous,)]
        assert spool.database.rows("PRAGMA journal_mode") == [("wal",)]


# What can be wrong with the file


def test_a_newer_version_is_refused_in_one_line(path: Path) -> None:
    opened(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    assert refusal(path) == (
        "spool.db is of version 9, this focal reads up to 2: upgrade focal, or use another --home"
    )


def test_a_file_that_is_upgraded_under_our_hands_is_not_written(path: Path) -> None:
    with opened(path) as spool:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 9")
        with pytest.raises(SpoolError, match="of version 9"):
            put(spool, message(1))


def test_what_is_not_a_database_is_told(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to look at" * 100)
    assert "is not a database" in refusal(path)


def test_another_programs_database_is_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE places (url TEXT)")
    assert "no focal spool" in refusal(path)


def test_a_damaged_file_is_told(path: Path) -> None:
    with opened(path) as spool:
        for n in range(100):
            put(spool, message(n, "x" * 400))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    assert "is damaged" in refusal(path)


def test_a_folder_in_its_place_is_told(path: Path) -> None:
    path.mkdir()
    assert "is a folder" in refusal(path)


def test_a_missing_folder_is_told(path: Path) -> None:
    assert "cannot open" in refusal(path.parent / "nowhere" / "spool.db")


def test_a_read_only_file_is_told(path: Path) -> None:
    opened(path).close()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    with ordinary_user():
        told = refusal(path)
    path.parent.chmod(0o755)
    assert "read-only" in told or "cannot open" in told


def test_a_full_disk_is_told_and_keeps_what_was_committed(path: Path) -> None:
    with opened(path) as spool:
        put(spool, message(1))
        pages = spool.database.rows("PRAGMA page_count")[0][0]
        spool.database.rows(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(SpoolError, match="the disk is full"):
            put(spool, message(2, "x" * 60_000))
        put(spool, message(3))
        results = spool.apply(
            [lambda: put(spool, message(4)), lambda: put(spool, message(5, "x" * 60_000))]
        )
        assert [str(result).endswith("try again") for result in results] == [True, True]
        assert [leg.id.sequence for leg in spool.outbox.legs()] == [1, 3]


@contextmanager
def tiny_disk(folder: Path) -> Generator[Path]:
    """Mount a disk of 512 KiB."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=512k", "focal-test", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True)
    needs("the right to mount a disk", mounted.returncode == 0)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_indeed_is_told_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    needs("mount")
    with tiny_disk(tmp_path / "disk") as disk, opened(disk / "spool.db") as spool:
        ballast, taken = disk / "ballast", [0]
        ballast.write_bytes(bytes(100_000))
        put(spool, message(0))
        with pytest.raises(SpoolError, match="full"):
            for n in range(1, 100):
                put(spool, message(n, "x" * 20_000))
                taken.append(n)
        assert [leg.id.sequence for leg in spool.outbox.legs()] == taken
        ballast.unlink()
        put(spool, message(1000))
        assert len(spool.outbox.legs()) == len(taken) + 1


def test_a_read_only_disk_is_told(tmp_path: Path) -> None:
    needs("mount")
    with tiny_disk(tmp_path / "disk") as disk:
        opened(disk / "spool.db").close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "read-only" in refusal(disk / "spool.db")


# Versions


ONE = Schema("focal test", 7, 1, "CREATE TABLE note (text TEXT);\n")
STEP = "ALTER TABLE note ADD COLUMN at REAL NOT NULL DEFAULT 0;\nCREATE TABLE tag (name TEXT);\n"
THREE = Schema(
    "focal test", 7, 3, "CREATE TABLE never (used TEXT);\n", {1: STEP, 2: "DROP TABLE tag;\n"}
)


def test_an_older_file_is_upgraded_step_by_step_and_a_copy_is_kept(path: Path) -> None:
    with closing(Database.open(path, ONE)) as old, old.transaction():
        old.run("INSERT INTO note VALUES ('kept')")
    with closing(Database.open(path, THREE)) as new:
        assert new.rows("SELECT text, at FROM note") == [("kept", 0.0)]
    with closing(Database.open(path.with_name("spool.db.v1.bak"), ONE)) as copy:
        assert copy.rows("SELECT * FROM note") == [("kept",)]
    assert {file.suffix for file in path.parent.iterdir()} == {".db", ".bak"}
    with closing(Database.open(path, THREE)) as again:
        assert again.rows("SELECT text FROM note") == [("kept",)]


@pytest.mark.parametrize(
    "step",
    [
        "ALTER TABLE nothing ADD COLUMN at REAL;\n",
        "CREATE TABLE leg (note INTEGER REFERENCES note (text));\nINSERT INTO leg VALUES (5);\n",
    ],
)
def test_an_upgrade_that_fails_leaves_the_older_file_as_it_was(path: Path, step: str) -> None:
    with closing(Database.open(path, ONE)) as old, old.transaction():
        old.run("INSERT INTO note VALUES ('kept')")
    with pytest.raises(SpoolError, match="stays of version 1: its upgrade failed on a copy"):
        Database.open(path, Schema("focal test", 7, 2, "", {1: step}))
    with closing(Database.open(path, ONE)) as old:
        assert old.rows("SELECT * FROM note") == [("kept",)]
    assert [file.name for file in path.parent.iterdir()] == ["spool.db"]


def test_an_older_focal_that_has_it_open_stops_at_the_upgrade(path: Path) -> None:
    with closing(Database.open(path, ONE)) as old:
        Database.open(path, THREE).close()
        with pytest.raises(SpoolError, match="of version 3"), old.transaction():
            old.run("INSERT INTO note VALUES ('late')")
