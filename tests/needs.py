"""What a test needs from the machine: skipped with the reason where it is absent, failed in CI.

The law of this module: no test skips itself in another way, so that in CI (``CI`` is set) nothing
is left out in silence.
"""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest


def needs(what: str, there: bool | None = None) -> None:
    """Go on only if ``what`` is there.

    Args:
        what: a program on the path or an importable module; or, with ``there``, anything.
        there: whether it is there, where neither of these tells.
    """
    if there is None:
        there = shutil.which(what) is not None or importlib.util.find_spec(what) is not None
    if not there:
        reason = f"needs {what}, which is not here"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
