"""What an ordinary user may not do, also where the tests run as root."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

NOBODY = 65534


@contextmanager
def ordinary_user() -> Generator[None]:
    """Be an ordinary user for the time of the context."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
