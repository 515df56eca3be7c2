"""Named points at which a process can be made to die, so that tests can choose where.

The law of this module: without ``FOCAL_FAIL_AT`` it does nothing. ``FOCAL_FAIL_AT=NAME:N`` ends
the process with SIGKILL when it passes the point NAME for the Nth time; nothing is cleaned up,
flushed or told, as in a power cut. docs/decisions/0003 says why this is in the product.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping

from .core.errors import SettingsError
from .core.runtime import unmarked

POINTS = (
    "outbox-committed",
    "burst-recorded",
    "frame-sent",
    "burst-sent",
    "progress-written",
    "inbox-committed",
    "turn-begun",
    "sink-done",
    "turn-ended",
    "spool-committed",
)


def mark_from(environment: Mapping[str, str]) -> Callable[[str], None]:
    """Return what passes named points: nothing happens, or the end where the environment says.

    Raises:
        SettingsError: FOCAL_FAIL_AT names no point.
    """
    text = environment.get("FOCAL_FAIL_AT")
    if not text:
        return unmarked
    name, _, number = text.partition(":")
    if name not in POINTS or not (number or "1").isdecimal():
        raise SettingsError(f"FOCAL_FAIL_AT={text!r}: say NAME:N with one of {', '.join(POINTS)}")
    left = int(number or "1")

    def mark(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return mark
