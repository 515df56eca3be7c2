"""What ``focal doctor`` says of one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``focal doctor``.

    Args:
        name: what was looked at (``microphone``).
        state: ``good``, ``bad`` (it is here and does not work) or ``absent`` (it is not here).
        detail: what was found, one line.
        advice: what to do about it, one line; empty where there is nothing to do.
    """

    name: str
    state: Literal["good", "bad", "absent"]
    detail: str
    advice: str = ""
