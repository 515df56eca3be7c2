"""The soak: both sides are killed at random times, in bad weather, for ``FOCAL_SOAK`` seconds.

The law of this module: each round has a seed, which a failure names and ``FOCAL_SEED`` repeats. A
round ends with peace, so that everything can arrive; then ``pair.py`` says what must hold.
"""

from __future__ import annotations

import os
import random
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deadline import Deadline, Process
from tests.live.pair import EVERYTHING, Pair, free_ports, udp
from tests.live.relay import weather

ROUND = 20.0
"""Seconds of killing in a round, at most."""

PEACE = 120.0
"""Seconds after a round in which everything must have arrived."""

SENDERS = 2
"""Processes that send at once: one has the link, the others hand over to it."""


BEFORE = 5
"""Messages of each kind that wait in the outbox when a round begins."""


class Storm:
    """One round: processes that come and go.

    Args:
        pair: the homes.
        chance: decides everything but the moment.
        stack: ends whatever still runs.
    """

    def __init__(self, pair: Pair, chance: random.Random, stack: ExitStack) -> None:
        self._pair = pair
        self._chance = chance
        self._stack = stack
        self._senders: list[Process] = []
        self._pair.queue(*EVERYTHING * BEFORE)
        self._listener = self._listen()

    def rage(self, seconds: float) -> None:
        """Kill and start again."""
        end = Deadline(seconds)
        while end.left:
            while len(self._senders) < SENDERS:
                self._senders.append(self._send())
            self._wait(min(end.left, self._chance.expovariate(1.5)))
            if self._chance.random() < 0.4:
                self._kill(self._listener)
                self._listener = self._listen()
            for sender in self._senders:
                if self._chance.random() < 0.25:
                    self._kill(sender)
            self._senders = [sender for sender in self._senders if not self._ended(sender)]

    def calm(self) -> None:
        """Let everything end in peace."""
        for sender in self._senders:
            assert sender.wait() == 0, sender.story()
        self._pair.settle(self._listener)

    def _listen(self) -> Process:
        return self._stack.enter_context(self._pair.listening())

    def _send(self) -> Process:
        wait = self._chance.choice(["sent", "delivered"])
        what = self._chance.choice(EVERYTHING)
        return self._stack.enter_context(self._pair.sending(what, wait=wait))

    def _wait(self, seconds: float) -> None:
        moment = Deadline(seconds)
        self._pair.deadline.until("a moment", lambda: not moment.left)

    def _kill(self, victim: Process) -> None:
        victim.signal(signal.SIGKILL)
        if victim.wait() != 0:  # else it had just ended by itself
            self._pair.dies(victim)

    def _ended(self, sender: Process) -> bool:
        assert sender.code in (None, 0, -signal.SIGKILL), sender.story()
        return sender.code is not None


@pytest.mark.soak
def test_nothing_is_lost_however_long_it_storms(tmp_path: Path) -> None:
    end = Deadline(float(os.environ.get("FOCAL_SOAK", "60")))
    seed = int(os.environ.get("FOCAL_SEED") or random.SystemRandom().randrange(10**6))
    while end.left:
        print(f"FOCAL_SEED={seed}", end=": ", flush=True)
        folder = tmp_path / str(seed)
        folder.mkdir()
        a, b = free_ports(2)
        with weather(a, b, seed) as (near, far), ExitStack() as stack:
            besides = [f"file:{folder}?poll=0.1"] if seed % 2 else []
            links = [udp(near, a), *besides], [udp(far, b), *besides]
            pair = Pair(folder, *links, Deadline(ROUND + PEACE))
            storm = Storm(pair, random.Random(seed), stack)
            storm.rage(min(ROUND, end.left))
            storm.calm()
            pair.check()
        print(f"{pair.kills} kills, {len(pair.held())} messages")
        seed += 1
