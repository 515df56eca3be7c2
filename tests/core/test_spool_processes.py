"""Several processes on one spool, and processes that are killed: what was answered is there."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from focal.core.spool import Spool
from tests.core.spooling import HILL, Clock
from tests.deadline import ROOT, environment

WRITER = """
import sys
from pathlib import Path
from focal.core.message import Kind, MessageId
from focal.core.spool import Spool
from tests.core.spooling import EPOCH, Clock, message, put

path, batches, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
with Spool.open(path, durability="power", unix=Clock()) as spool:
    def one():
        id = put(spool, message(spool.next_sequence(), "x" * 300, origin=spool.origin))
        spool.inbox.deliver(
            message(id.sequence, origin=1).to_bytes(),
            link="x", peer=None, at=EPOCH, sinks=["wav:"],
        )
        return id
    for _ in range(batches):
        results = spool.apply([one] * size)
        failed = [result for result in results if isinstance(result, Exception)]
        if failed:
            sys.exit(str(failed[0]))
        print(*results, flush=True)
"""


def writer(stack: ExitStack, path: Path, batches: int, size: int) -> subprocess.Popen[str]:
    """Start a process that writes when it is let; it prints the ids of each committed batch."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(batches), str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def let(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def held(path: Path) -> tuple[set[str], set[int]]:
    """Return the ids in the outbox and the sequences in the inbox; all of it must be sound."""
    with Spool.open(path, durability="process", unix=Clock()) as spool:
        database = spool.database
        assert database.rows("PRAGMA integrity_check") == [("ok",)]
        for box, rows in (("outbox", "outbox"), ("inbox", "inbox")):
            total = database.rows("SELECT messages FROM total WHERE what = ?", box)
            assert total == database.rows(f"SELECT count(*) FROM {rows}")
        legs = spool.outbox.waiting(HILL.link)
        turns = spool.inbox.turns(["wav:"])
        assert len(turns) == len(spool.inbox.entries())
        return {str(leg.id) for leg in legs}, {turn.id.sequence for turn in turns}


@pytest.mark.parametrize("seed", range(6))
def test_what_was_answered_before_a_kill_is_there(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path, answered = tmp_path / "spool.db", set[str]()
    for _ in range(2):  # the second one finds what the first one left
        with ExitStack() as stack:
            process = writer(stack, path, 10_000, chance.choice([1, 3, 20]))
            let(process)
            assert process.stdout
            for _ in range(chance.randrange(1, 30)):
                answered.update(process.stdout.readline().split())
            process.kill()
            # What was still in the pipe was answered too; a torn last line was not.
            rest = process.stdout.read().split("\n")[:-1]
            answered.update(id for line in rest for id in line.split())
        out, came = held(path)
        assert answered <= out
        assert {int(id[8:], 16) for id in out} == came  # half a transaction is never there


def test_ten_processes_share_one_spool(tmp_path: Path) -> None:
    path, batches, size = tmp_path / "spool.db", 15, 4
    with ExitStack() as stack:
        processes = [writer(stack, path, batches, size) for _ in range(10)]
        for process in processes:
            let(process)
        said = [process.communicate()[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0] * 10
    ids = [id for one in said for id in one]
    assert len(ids) == len(set(ids)) == 10 * batches * size
    assert len({id[:8] for id in ids}) == 1
    out, came = held(path)
    assert out == set(ids) and len(came) == len(ids)
