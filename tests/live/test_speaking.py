"""A listener is killed while it speaks: nothing sounds twice, and what was cut off is told."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from focal.core.inbox import TurnState
from tests.deadline import Deadline, Process
from tests.live import loud
from tests.live.pair import SHORT, Pair, free_ports, spool, udp


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Return two homes joined by UDP."""
    a, b = free_ports(2)
    return Pair(tmp_path, [udp(b, a)], [udp(a, b)], Deadline(60))


def speaking(pair: Pair, fail: str | None = None) -> AbstractContextManager[Process]:
    """Run a listener of b that speaks."""
    program = [sys.executable, str(loud.__file__)]
    return pair.running([*program, str(pair.b), pair.far[0], str(pair.folder / "spoken")], fail)


@pytest.mark.parametrize(
    ("fail", "cut"),
    [("turn-begun:2", 1), ("sink-done:2", 1), ("turn-ended:2", 0), ("inbox-committed:2", 0)],
)
def test_a_crash_makes_nothing_sound_twice(pair: Pair, fail: str, cut: int) -> None:
    pair.queue(SHORT, SHORT)
    with speaking(pair, fail) as first, pair.sending(SHORT) as sender:
        pair.dies(first)
        with speaking(pair) as second:
            assert sender.wait() == 0, sender.story()
            with pair.owning() as owner:  # the sender waited for its own message alone
                pair.deadline.until("everything has been spoken", lambda: not unspoken(pair))
                pair.ends(owner)
            pair.ends(second)
    spoken = (pair.folder / "spoken").read_text().split()
    states = {str(entry.id): entry.outcomes[0].state for entry in pair.held()}
    done = {id for id, state in states.items() if state is TurnState.DONE}
    assert len(states) == 3 and len(spoken) == len(set(spoken))
    assert done <= set(spoken) <= set(states)
    assert list(states.values()).count(TurnState.CUT_OFF) == cut
    assert sum("was cut off" in line for line in second.err) == cut


def unspoken(pair: Pair) -> bool:
    with spool(pair.b) as theirs:
        return len(theirs.inbox.entries()) < 3 or bool(theirs.inbox.turns(["loud:"]))
