"""How fast a link is: what the peer protocol's timers follow.

The law of this module: no timer is a constant; each follows airtime, contention slots and, where
frames cost no airtime, measured round trips. Sans-I/O: chance comes in as an argument.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

TURNAROUND = 0.7
"""Seconds that two hosts and their radios may take between hearing a frame and answering it."""

HEARING = 0.05
"""Seconds in which others are taken to hear a frame, where no airtime tells."""

RELAY = 32
"""Slots that a relay waits, about, before it passes a frame on."""

CONTENTION = 7
"""Slots that a frame waits at most before it goes out on an idle channel."""

MORE_ABOVE = 0.27
"""Measured loss above which one symbol more is sent than was asked for: 30 % with its noise."""

JAMMED_AFTER = 3
"""Silences in a row from which on others may be taken to speak at the same time."""

ASK = (5.0, 10.0)
"""Control airtimes between which a listener waits before it asks for what was for everyone."""

POLLED = (1.0, 2.0)
"""Control airtimes between which a bridge answers a poll for another, who is heard before."""

CONFIRM = 12.0
"""Control airtimes within which the first confirm of what was for everyone comes."""

RECEIPT = 24.0
"""Control airtimes that a receipt waits at most where others may send the same."""

LEND = 4.0
"""Frame airtimes that a neighbour waits at most, after the sender's turn, before it repairs."""

RETRY_FREE = 10.0
"""Seconds after which an address is asked again, at the latest, where asking is free."""

RETRY_DEAR = 3600.0
"""The same where it costs airtime."""


@dataclass(slots=True)
class RoundTrip:
    """Smoothed round trip after RFC 6298, with the first guess and the ceiling of our own.

    Args:
        first: the time-out in seconds before anything was measured.
        least: no time-out is shorter.
        most: no time-out is longer.
    """

    first: float = 1.0
    least: float = 0.02
    most: float = 30.0
    smoothed: float | None = None
    deviation: float = 0.0

    def measured(self, seconds: float) -> None:
        """Take a round trip that was measured without ambiguity."""
        if self.smoothed is None:
            self.smoothed, self.deviation = seconds, seconds / 2
            return
        self.deviation += (abs(self.smoothed - seconds) - self.deviation) / 4
        self.smoothed += (seconds - self.smoothed) / 8

    def timeout(self, silences: int) -> float:
        """Return how long to wait for an answer, doubled for each silence before."""
        start = self.first if self.smoothed is None else self.smoothed + 4 * self.deviation
        return min(self.most, max(self.least, start) * 2.0 ** min(silences, 16))


@dataclass(slots=True)
class Gap:
    """Smoothed time between two frames of one burst, as a receiver sees it.

    Args:
        smoothed: seconds; before anything was measured, a guess.
        most: it is never longer, however slowly somebody sends.
    """

    smoothed: float = 0.02
    most: float = 2.0

    def measured(self, seconds: float) -> None:
        """Take the time between two frames of one burst."""
        plausible = min(seconds, 8 * self.smoothed + 0.01, self.most)
        self.smoothed += (plausible - self.smoothed) / 4


@dataclass(slots=True)
class Loss:
    """Share of frames that are lost on the way, over the last hundred or so.

    Args:
        share: the first guess.
        weight: frames that it stands for so far; the guess for a dozen.
        most: frames that it stands for at most; what was before fades.
    """

    share: float
    weight: float = 12.0
    most: float = 100.0

    def told(self, lost: float, of: int) -> None:
        """Take that ``lost`` of ``of`` frames were lost."""
        if of > 0:
            part = of / (of + self.weight)
            self.share = min(0.9, self.share * (1 - part) + part * lost / of)
            self.weight = min(self.most, self.weight + of)


@dataclass(slots=True)
class Pace:
    """The timing of one link.

    Args:
        airtime: seconds that a frame of so many bytes holds the channel, None where that is free.
        slot: contention slot in seconds.
        shared: whether others hear our frames, so that answers to everyone must be spread.
        assumed_loss: loss before any was measured.
        give_up: consecutive silences that end in ``unknown``; None: only the lifetime does.
        random: chance for the waits that spread answers; seeded in tests.
        trip: measured round trips, where airtime is free.
        gap: measured time between frames, where airtime is free.
        relays: how many relays a frame passes; each takes its time again.
        clear: when all that was handed to the link has gone out, as far as can be reckoned.
    """

    airtime: Callable[[int], float] | None = None
    slot: float = 0.0
    shared: bool = False
    assumed_loss: float = 0.0
    give_up: int | None = None
    random: random.Random = field(default_factory=random.Random)
    trip: RoundTrip = field(default_factory=RoundTrip)
    gap: Gap = field(default_factory=Gap)
    relays: float = 0.0
    clear: float = -math.inf

    @property
    def dear(self) -> bool:
        """Whether frames cost airtime that others could use, who hear them."""
        return self.shared and self.airtime is not None

    def handed(self, size: int, now: float) -> None:
        """A frame was handed to the link; a radio sends it after those before it, at ``clear``.

        Where nobody contends for the channel, handing over was sending.
        """
        if self.airtime is not None and self.slot:
            taken = self.airtime(size) + CONTENTION / 2 * self.slot  # in the mean
            self.clear = max(now, self.clear) + taken * (1 + self.relays)

    def going_out(self, until: float, size: int, now: float) -> bool:
        """Tell whether frames of ``size`` bytes that are out at ``until`` still wait in the radio.

        It hears nothing while it sends: if it heard something now, one more is to come, or none.
        """
        half = 0.0 if self.airtime is None else self.airtime(size) / 2
        return now + half < until

    def control(self) -> float:
        """Return the seconds that a control frame takes until it is heard."""
        if self.airtime is None:
            return max(self.gap.smoothed, HEARING)
        return (self.airtime(14) + CONTENTION * self.slot) * (1 + self.relays)

    def silence(self, silences: int) -> float:
        """Return how long a sender waits for an answer, after its last frame has gone out."""
        if self.airtime is None:
            return self.trip.timeout(silences)
        back = self.relays * (self.airtime(12) + 2 * RELAY * self.slot)
        return self.airtime(12) + 2 * CONTENTION * self.slot + TURNAROUND + back

    def apart(self, silences: int, size: int) -> float:
        """Return a random wait on top of a silence that is not the first.

        Two who do not hear each other, but whom the same node hears, would else go on speaking at
        the same time.
        """
        frames = 2 * min(4, silences + 1 - JAMMED_AFTER)
        if self.airtime is None or frames <= 0:
            return 0.0
        return self.random.uniform(0, frames) * self.airtime(size)

    def unanswered(self, times: int) -> float:
        """Return how long to wait for the answer to a hello that went out ``times`` times.

        It may be that there is nobody, so twice as long each time.
        """
        if self.airtime is None:
            return min(RETRY_FREE, self.trip.timeout(times - 1))
        wait = self.silence(0) * 2.0 ** min(times - 1, 16)
        return min(RETRY_DEAR, wait) + self.apart(times - 1, 14)

    def burst_end(self, left: int, size: int) -> float:
        """Return how long a receiver waits for the ``left`` frames of a burst that it expects."""
        if self.airtime is None:
            return 4 * self.gap.smoothed * (1 + min(left, 4))
        each = (self.airtime(size) + CONTENTION * self.slot) * (1 + self.relays)
        return left * each + 0.1 + self.relays * RELAY * self.slot

    def spread_ask(self) -> float:
        """Return a random wait before asking for what was said to everyone."""
        return self.random.uniform(*ASK) * self.control() if self.shared else 0.0

    def spread_confirm(self, crowd: float) -> float | None:
        """Return a random wait before confirming what was said to everyone.

        Args:
            crowd: how many draw lots for it; None is drawn by all but about one of so many.
        """
        lot = self.random.uniform(0, crowd) if self.shared else 0.0
        return lot * self.longest_spread() if lot <= 1 else None

    def spread_receipt(self) -> float:
        """Return a random wait before telling an author behind a bridge; others may tell it too."""
        return self.random.uniform(0, RECEIPT) * self.control()

    def spread_custody(self) -> float:
        """Return a random wait before a bridge confirms; listeners confirm before, if any does."""
        return self.random.uniform(0.5, 1) * self.longest_spread()

    def spread_polled(self) -> float:
        """Return a random wait before a bridge confirms what the one it is for does not."""
        return self.random.uniform(*POLLED) * self.control()

    def longest_spread(self) -> float:
        """Return how long the first confirm of what was said to everyone may wait."""
        return CONFIRM * self.control() if self.shared else 0.0

    def spread_lend(self, number: int, size: int) -> float:
        """Return a random wait before repairing what somebody else sent.

        Args:
            number: of symbols that were asked for; their sender goes first.
            size: bytes of a frame.
        """
        frame = self.control() if self.airtime is None else self.burst_end(1, size)
        return self.silence(0) + frame * (number + self.random.uniform(0, LEND))


def parity_to_peer(k: int, loss: float) -> int:
    """Return how many symbols of parity go up front to a peer that can ask for more."""
    return 1 if k > 2 and loss >= 0.25 else 0


def parity_to_all(loss: float) -> int:
    """Return how many symbols of parity go up front to everyone, where listeners can ask."""
    return 0 if loss < 0.02 else min(4, 1 + round(loss * 10))


def parity_for(k: int, loss: float, assumed: float, *, to_all: bool) -> int:
    """Return how many symbols of parity go up front: who sends plans so, who hears expects it."""
    if not to_all:
        return parity_to_peer(k, loss)
    return parity_to_all(max(loss, assumed))  # those who confirm may have been the lucky ones


def answer_to(count: int, loss: float) -> int:
    """Return how many fresh symbols answer a request for ``count``."""
    return count + (1 if count >= 2 and loss >= MORE_ABOVE else 0)
