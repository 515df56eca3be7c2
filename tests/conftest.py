"""The few fixtures that all tests share."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from focal.core.runtime import Runtime, virtual_runtime
from focal.plugins.manager import Plugins

# Event loops of this process run in debug mode. Processes that tests start do not: there it would
# write about slow callbacks to the very stderr that tests compare.
os.environ["PYTHONASYNCIODEBUG"] = "1"
with suppress(OSError):
    os.unsetenv("PYTHONASYNCIODEBUG")


@pytest.fixture
def runtime() -> Runtime:
    """Return virtual time, for code run by ``run_virtual``."""
    return virtual_runtime()


@pytest.fixture
def plugins() -> Plugins:
    """Return the built-in plugins, fresh for each test."""
    return Plugins()
