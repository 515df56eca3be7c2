"""How the benches take time.

The law of this module: what is compared takes turns, because a busy machine does not hit both
alike, and the median of the turns counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
WALL: Clock = time.perf_counter
PROCESSOR: Clock = time.process_time  # for what never waits: others on the machine count less


def seconds(work: Callable[[], object], clock: Clock = WALL) -> float:
    """Return how long something takes."""
    start = clock()
    work()
    return clock() - start


def medians(turns: int, clock: Clock = WALL, **works: Callable[[], object]) -> Mapping[str, float]:
    """Return the median seconds of each; a first turn, that warms caches up, is not counted."""
    rounds = [
        {name: seconds(work, clock) for name, work in works.items()} for _ in range(turns + 1)
    ]
    return {name: median(took[name] for took in rounds[1:]) for name in works}
