"""A look at a spool tells how it is and leaves it as it was."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from focal.core.checkup import Checkup, check_up, keeps_log
from focal.core.errors import SpoolError
from focal.core.spool import VERSION, Spool
from tests.core.spooling import message, put
from tests.unprivileged import ordinary_user


def spool(path: Path) -> Spool:
    return Spool.open(path, unix=lambda: 1000.0)


def refusal(path: Path) -> str:
    with pytest.raises(SpoolError) as told:
        check_up(path)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_new_spool_is_empty(tmp_path: Path) -> None:
    with spool(tmp_path / "spool.db") as new:
        found = check_up(tmp_path / "spool.db")
        assert found == Checkup(new.origin, VERSION, None, 0, 0.0, 0, 0)


def test_what_is_in_it_is_counted_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with spool(path) as used:
        put(used, message(used.next_sequence()))
    before = path.read_bytes()
    found = check_up(path)
    assert (found.sequence, found.waiting, found.received) == (1000, 1, 0)
    assert path.read_bytes() == before


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    assert "cannot" in refusal(tmp_path / "spool.db")
    assert not any(tmp_path.iterdir())


def test_another_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(b"this is no database, however long one looks at it" * 100)
    assert "is not a database" in refusal(path)
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE x (y)").connection.close()
    assert "is a database, but no focal spool" in refusal(path)


def test_a_newer_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    assert "upgrade focal" in refusal(path)


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool(path).close()
    data = bytearray(path.read_bytes())
    page = int.from_bytes(data[16:18])
    data[2 * page :: page] = bytes(len(data[2 * page :: page]))  # the first byte of most pages
    path.write_bytes(data)
    try:
        told = check_up(path).damage
    except SpoolError as error:
        told = str(error)
    assert told


def test_a_log_is_kept_on_a_usual_disk_and_nothing_stays(tmp_path: Path) -> None:
    assert keeps_log(tmp_path)
    assert not any(tmp_path.iterdir())


def test_where_nothing_can_be_written_no_log_is_kept(tmp_path: Path) -> None:
    assert not keeps_log(tmp_path / "missing")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    with ordinary_user():
        assert not keeps_log(locked)
