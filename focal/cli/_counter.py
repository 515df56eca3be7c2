"""How many bytes have passed: a bar on a terminal (_progress.py), a few lines everywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from ..plugins.models.disk import mega

STEP = 0.05
"""Of a file, from one line to the next."""

PAUSE, PATIENCE = 2.0, 60.0
"""Seconds from one line to the next: at least, and at most while something passes."""


class Counter(Protocol):
    """Shows how far the work on files is, one after another."""

    def count(self, what: str, done: int, total: int, kept: int = 0) -> None:
        """Show how much of a file is done.

        Args:
            what: the file's name.
            done: bytes.
            total: bytes of it.
            kept: bytes that were done before: the rate counts only what came since.
        """
        ...


class Lines:
    """A counter that says a line now and then.

    Args:
        say: says a line.
        now: a clock, in seconds.
    """

    def __init__(self, say: Callable[[str], None], now: Callable[[], float] = time.monotonic):
        self._say = say
        self._now = now
        self._what = ""
        self._began = self._told_at = 0.0
        self._told = 0

    def count(self, what: str, done: int, total: int, kept: int = 0) -> None:
        """Say how much of a file is done, where the last line was long or much ago."""
        now = self._now()
        if what != self._what:
            self._what, self._began, self._told_at, self._told = what, now, now, done
        quiet, more = now - self._told_at, done - self._told
        far = more >= STEP * total and quiet >= PAUSE
        ended = more > 0 and done >= total and now - self._began >= PAUSE
        if far or ended or quiet >= PATIENCE:
            self._told_at, self._told = now, done
            self._say(_line(what, done, total, (done - kept) / (now - self._began)))


def _line(what: str, done: int, total: int, rate: float) -> str:
    share = f"{done / total:.0%}" if total else "all"
    said = f"{what}: {share} of {mega(total)}, {mega(round(rate))}/s"
    if rate <= 0 or done >= total:
        return said
    return f"{said}, {_span((total - done) / rate)} left"


def _span(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
