"""How the benches take time.

The law of this module: what is compared takes turns, because a busy machine does not hit both
alike, and the median of the turns counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def medians(turns: int, **works: Callable[[], object]) -> Mapping[str, float]:
    """Return the median seconds of each; a first turn, that warms caches up, is not counted."""
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(turns + 1)][1:]
    return {name: median(took[name] for took in rounds) for name in works}
