"""Real processes are killed where it hurts most, and nothing that was accepted is lost or doubled.

The law of this module: a process dies by SIGKILL at a named fail point (``focal/failpoint.py``), so
that the narrowest gaps are hit, not only the wide ones. What must hold after it is in ``pair.py``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from focal.failpoint import POINTS
from tests.deadline import Deadline, Process
from tests.live.pair import LONG, LONG_TEXT, SHORT, TEXT, Pair, free_ports, spool, udp

SENDER = {
    "outbox-committed": 1,
    "burst-recorded": 3,
    "frame-sent": 8,
    "burst-sent": 3,
    "progress-written": 6,
    "spool-committed": 8,
}
"""How often a sender of three new messages passes each point at least, whoever listens."""

LISTENER = {
    "frame-sent": 3,
    "inbox-committed": 3,
    "sink-done": 3,
    "turn-ended": 3,
    "spool-committed": 6,
}
"""How often a listener passes each point at least while it receives three messages over UDP."""

ROWS = 6
KILLS = 3
"""Kills of each side in one row."""


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Return two homes joined by UDP."""
    a, b = free_ports(2)
    return Pair(tmp_path, [udp(b, a)], [udp(a, b)], Deadline(60))


@pytest.fixture
def stick(pair: Pair) -> Path:
    """Return a folder that both homes can see."""
    path = pair.folder / "stick"
    path.mkdir()
    return path


class Listener:
    """The listener of a pair, started again whenever it was killed, with its next fail point."""

    def __init__(self, pair: Pair, stack: ExitStack, fails: Sequence[str]) -> None:
        self._pair = pair
        self._stack = stack
        self._fails = list(fails)
        self._start()

    @property
    def doomed(self) -> bool:
        """Whether it is still to be killed."""
        return self._fail is not None

    def until(self, other: Process) -> None:
        """Let it live and die until another process has ended."""
        self._pair.deadline.until("the sender ends", lambda: self._outlived(other))

    def _outlived(self, other: Process) -> bool:
        if self.process.code is not None:
            self._pair.dies(self.process)
            self._start()
        return other.code is not None

    def _start(self) -> None:
        self._fail = self._fails.pop(0) if self._fails else None
        self.process: Process = self._stack.enter_context(self._pair.listening(self._fail))


def play(pair: Pair, sender: Sequence[str], listener: Sequence[str]) -> None:
    """Kill both sides at all these points, let what was accepted arrive, and check."""
    with ExitStack() as stack:
        hearing = Listener(pair, stack, listener)
        for fail in sender:
            pair.queue(TEXT, LONG)
            with pair.sending(SHORT, fail) as sending:
                hearing.until(sending)
                pair.dies(sending)
        while hearing.doomed:
            with pair.sending(LONG_TEXT) as sending:
                hearing.until(sending)
                assert sending.wait() == 0, sending.story()
        pair.settle(hearing.process)
    pair.check()
    assert pair.kills == len(sender) + len(listener)


def drawn(chance: random.Random, points: Mapping[str, int], count: int) -> list[str]:
    """Draw fail points, each at a passing that is sure to come."""
    names = chance.sample(sorted(points), count)
    return [f"{name}:{chance.randint(1, points[name])}" for name in names]


@pytest.mark.parametrize("name", SENDER)
def test_every_point_kills_a_sender(pair: Pair, name: str) -> None:
    play(pair, [f"{name}:{SENDER[name]}"], [])


@pytest.mark.parametrize("name", LISTENER)
def test_every_point_kills_a_listener(pair: Pair, name: str) -> None:
    play(pair, [], [f"{name}:1"])


def test_no_point_is_left_out() -> None:
    assert {*SENDER, *LISTENER, "turn-begun"} == set(POINTS)


@pytest.mark.parametrize("seed", range(ROWS))
def test_a_row_of_kills_over_udp(pair: Pair, seed: int) -> None:
    chance = random.Random(seed)
    play(pair, drawn(chance, SENDER, KILLS), drawn(chance, LISTENER, KILLS))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("besides", [False, True], ids=["alone", "beside UDP"])
def test_a_row_of_kills_with_a_folder(pair: Pair, stick: Path, seed: int, besides: bool) -> None:
    chance, link = random.Random(seed), f"file:{stick}?poll=0.05"
    pair.near = [*pair.near, link] if besides else [link]
    pair.far = [*pair.far, link] if besides else [link]
    heard = {name: times for name, times in LISTENER.items() if name != "frame-sent"}
    sent = {**SENDER, "frame-sent": 3}
    play(pair, drawn(chance, sent, 2), drawn(chance, heard, 2))
    ids = {f"{leg.id}" for leg in pair.outgoing()}
    with spool(pair.b) as theirs:
        mark = f"{theirs.origin:08x}.ack"
    names = {name for id in ids for name in (f"{id}.focal", f"{id}.{mark}")}
    assert {path.name for path in stick.iterdir()} == names
