"""How much of the time a radio sends and hears, as the firmware counts it. Sans-I/O.

The law of this module: whole bins, as in the firmware, not a true sliding window; what must never
be exceeded is in ``core.hour``.
"""

from __future__ import annotations

from collections import deque


class Bins:
    """Seconds of airtime in the last few spans of time.

    Args:
        number: of bins.
        width: seconds of each.
    """

    def __init__(self, number: int, width: float) -> None:
        self.number = number
        self.width = width
        self._bins: deque[tuple[int, float]] = deque()

    def add(self, now: float, seconds: float) -> None:
        """Count airtime that ends now."""
        current = int(now // self.width)
        if self._bins and self._bins[-1][0] == current:
            seconds += self._bins.pop()[1]
        self._bins.append((current, seconds))

    def share(self, now: float) -> float:
        """Return the share of the time of all bins, the current one included."""
        oldest = int(now // self.width) - self.number + 1
        while self._bins and self._bins[0][0] < oldest:
            self._bins.popleft()
        return sum(seconds for _, seconds in self._bins) / (self.number * self.width)


def sent_bins() -> Bins:
    """Return the bins of ``airUtilTx``: what a node sent in an hour of minutes."""
    return Bins(60, 60.0)


def heard_bins() -> Bins:
    """Return the bins of ``channelUtilization``: what it sent and heard in a minute."""
    return Bins(6, 10.0)
