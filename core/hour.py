"""The sliding hour of one radio: what it has sent, and when it may send more. Sans-I/O.

The law of this module: in no hour, wherever it begins, is more sent than the limit. A transmission
counts whole until its end has left the hour, and a burst is planned as if it went out without a
pause: whatever really happens happens later, when more has left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HOUR = 3600.0
EPSILON = 1e-9
"""Seconds that sums of floats may be wrong by."""

TICK = 1e-6
"""Seconds by which what has just left the hour may seem to be in it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A transmission.

    Args:
        end: when it was over at the latest, in seconds of some clock.
        seconds: how long it held the channel.
    """

    end: float
    seconds: float


class Hour:
    """What one radio has sent.

    Args:
        sent: its transmissions, in any order; older ones than an hour do not matter.
        promised: seconds that are given away and not sent yet; they may be sent at any moment.
    """

    def __init__(self, sent: Iterable[Sent], promised: float = 0.0) -> None:
        self._newest_first = sorted(sent, key=lambda one: -one.end)
        self.promised = promised

    def after(self, one: Sent) -> Hour:
        """Return the hour as it is once this has been sent too."""
        return Hour([*self._newest_first, one], self.promised)

    def leaving(self, now: float) -> list[Sent]:
        """Return what is in the hour up to ``now``, the first to leave it first."""
        return [one for one in reversed(self._newest_first) if one.end - now + HOUR > TICK]

    def used(self, now: float, span: float = HOUR) -> float:
        """Return the seconds sent in the hour up to ``now``, or in another span of seconds."""
        return sum(one.seconds for one in self._newest_first if one.end - now + span > TICK)

    def between(self, start: float, end: float) -> float:
        """Return the seconds of what ended after ``start`` and not after ``end``."""
        return sum(one.seconds for one in self._newest_first if start < one.end <= end)

    def earliest(
        self, seconds: float, now: float, limit: float, span: float = HOUR
    ) -> float | None:
        """Return when a burst may begin at the earliest; None: never, it is longer than the limit.

        Args:
            seconds: of airtime, all its frames together.
            now: the answer is not before it.
            limit: seconds of airtime in an hour.
            span: seconds that the limit is for, where it is not an hour.
        """
        room = limit - seconds + EPSILON
        if room < 0:
            return None
        held = self.promised
        if held > room:  # what is promised is gone, at the latest, an hour from now
            return now + span
        for one in self._newest_first:
            held += one.seconds
            if held > room:  # this one must have left the hour that ends with the burst
                return max(now, one.end + span - seconds)
        return now
