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

    def used(self, now: float) -> float:
        """Return the seconds sent in the hour up to ``now``."""
        return sum(one.seconds for one in self._newest_first if one.end > now - HOUR)

    def earliest(self, seconds: float, now: float, limit: float) -> float | None:
        """Return when a burst may begin at the earliest; None: never, it is longer than the limit.

        Args:
            seconds: of airtime, all its frames together.
            now: the answer is not before it.
            limit: seconds of airtime in an hour.
        """
        room = limit - seconds + EPSILON
        if room < 0:
            return None
        held = self.promised
        if held > room:  # what is promised is gone, at the latest, an hour from now
            return now + HOUR
        for one in self._newest_first:
            held += one.seconds
            if held > room:  # this one must have left the hour that ends with the burst
                return max(now, one.end + HOUR - seconds)
        return now
