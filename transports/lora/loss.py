"""What a path between two radios loses. Sans-I/O.

The law of this module: chance comes in as an argument, so that a run can be run again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Protocol


class Loss(Protocol):
    """Tells, frame by frame, what is lost; it may keep a state, so one belongs to one path."""

    def lost(self, now: float, draw: Random, /) -> bool:
        """Tell whether the frame that ends now is lost; ``now`` never goes back."""
        ...


@dataclass(slots=True)
class Independent:
    """Each frame is lost by itself.

    Args:
        share: probability, 0 to 1.
    """

    share: float = 0.0

    def lost(self, now: float, draw: Random, /) -> bool:
        return self.share > 0 and draw.random() < self.share


@dataclass(slots=True)
class Bursty:
    """Good times and bad times, in which everything is lost (Gilbert and Elliott, in real time).

    Args:
        share: of all time that is bad, 0 to below 1: the mean loss.
        seconds: that a bad time lasts in the mean, above 0.
    """

    share: float
    seconds: float
    _bad: bool | None = None
    _seen: float = 0.0

    def lost(self, now: float, draw: Random, /) -> bool:
        # The chance to be bad drifts back to the mean, as it does in a chain of two states.
        memory = 0.0 if self._bad is None else math.exp(-(now - self._seen) / self._drift())
        chance = self.share + memory * (bool(self._bad) - self.share)
        self._bad, self._seen = draw.random() < chance, now
        return self._bad

    def _drift(self) -> float:
        return self.seconds * (1 - self.share)
