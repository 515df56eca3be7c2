"""A disk without room under a process at work, or under one that begins; a place that is no good.

The law of this module: a limit on the size of files (``ulimit -f``) is a full disk, needs no rights
and can be set while a process runs.
"""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.deadline import Deadline, Process, running
from tests.deadline import focal as process
from tests.live.pair import LONG, SHORT, TEXT, Pair, free_ports, udp, via
from tests.needs import needs

NO_ROOM = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Return two homes joined by UDP."""
    a, b = free_ports(2)
    return Pair(tmp_path, [udp(b, a)], [udp(a, b)], Deadline(60))


def fill(owner: Process, home: Path) -> None:
    """Let no file of a running process grow beyond the largest in its home."""
    needs("resource.prlimit", hasattr(resource, "prlimit"))
    most = max(path.stat().st_size for path in home.iterdir())
    resource.prlimit(owner.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def free(owner: Process) -> None:
    unlimited = resource.RLIM_INFINITY, resource.RLIM_INFINITY
    resource.prlimit(owner.pid, resource.RLIMIT_FSIZE, unlimited)


def test_what_there_is_no_room_for_is_not_confirmed_and_arrives_when_there_is(pair: Pair) -> None:
    with pair.listening() as listener:
        listener.line("listening on", "err")
        fill(listener, pair.b)
        with pair.sending(LONG) as sender:
            line = listener.line("not accepted", "err")
            assert "the disk failed or is full" in line and line.count("\n") == 1
            assert sender.code is None and not listener.out
            assert not any(leg.done for leg in pair.outgoing())
            free(listener)
            assert sender.wait() == 0, sender.story()
        pair.settle(listener)
    pair.check()


def test_a_folder_brings_again_what_there_was_no_room_for(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    pair.near = pair.far = [f"file:{tmp_path / 'stick'}?poll=0.05"]
    with pair.listening() as listener:
        listener.line("listening on", "err")
        fill(listener, pair.b)
        with pair.sending(SHORT) as sender:
            assert "the disk failed or is full" in listener.line("is down", "err")
            free(listener)
            assert sender.wait() == 0, sender.story()
        pair.settle(listener)
    pair.check()


def test_a_sender_whose_progress_cannot_be_written_loses_nothing(pair: Pair) -> None:
    with pair.owning() as owner:
        owner.line("listening on", "err")
        fill(owner, pair.a)
        pair.queue(TEXT, LONG)
        assert "the disk failed or is full" in owner.line("is down", "err")
        free(owner)
        with pair.listening() as listener:
            pair.deadline.until("everything has arrived", pair.at_rest)
            pair.ends(owner)
            pair.ends(listener)
    pair.check()


def fails(pair: Pair, command: Sequence[str], said: str) -> None:
    """See that a command fails with one clear line."""
    with running(command, pair.deadline, cwd=pair.folder) as failing:
        assert failing.wait() == 1, failing.story()
        (line,) = failing.err
        assert line.startswith("focal: ") and said in line
        assert not failing.out


@pytest.mark.parametrize("command", [["send", "--text", "x"], ["listen"]])
def test_a_home_without_room(pair: Pair, command: list[str]) -> None:
    at = process("--home", str(pair.a), *command, *via(pair.near))
    fails(pair, [*NO_ROOM, *at], "full")
    pair.queue(TEXT)
    fails(pair, [*NO_ROOM, *at], "full")
    assert len(pair.outgoing()) == 1


@pytest.mark.parametrize("command", [["send", "--text", "x"], ["listen"]])
def test_homes_that_are_no_good(pair: Pair, command: list[str]) -> None:
    at = process("--home", str(pair.a), *command)
    fails(pair, process("--home", "/proc/focal", *command, *via(pair.near)), "/proc/focal")
    pair.queue(TEXT)
    with sqlite3.connect(pair.a / "spool.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    fails(pair, [*at, *via(pair.near)], "version 99")
