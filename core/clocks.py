"""What the clocks of this machine say, and what of it can be believed.

The law of this module: it reads clocks and decides nothing.
"""

from __future__ import annotations

import ctypes
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Moment:
    """What the clocks say at one moment.

    Args:
        boot: names the system's start; the same for all processes until it starts again.
        awake: seconds since then, those it slept included; nobody can set this clock.
        unix: seconds of the wall clock, which anybody can set.
        trusted: whether a time server sets the wall clock.
    """

    boot: str
    awake: float
    unix: float
    trusted: bool


_PROCESS, _STARTED = f"process {uuid4()}", time.monotonic()
"""Where the system does not name its start, each process counts as one: what was before it counts
as young as it can be."""


def moment() -> Moment:
    """Return what the clocks say now."""
    boot, awake = _since_boot()
    return Moment(boot, awake, time.time(), bool(synchronised()))


def _since_boot() -> tuple[str, float]:
    if sys.platform == "linux":
        try:
            return _BOOT_ID.read_text().strip(), time.clock_gettime(time.CLOCK_BOOTTIME)
        except OSError:  # no /proc here
            pass
    return _PROCESS, time.monotonic() - _STARTED


class _Timex(ctypes.Structure):
    """The start of Linux's ``struct timex``, see adjtimex(2), and room for its rest."""

    _fields_ = (("modes", ctypes.c_uint), ("numbers", ctypes.c_long * 80))


def synchronised() -> bool | None:
    """Return whether a time server sets the wall clock; None where that cannot be told."""
    if sys.platform != "linux":
        return None
    unsynchronised = 5  # TIME_ERROR, see adjtimex(2)
    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.byref(_Timex()))
    except (OSError, AttributeError):  # no such function in this C library
        return None
    return None if state < 0 else state != unsynchronised
