"""The few fixtures that all tests share."""

from __future__ import annotations

import atexit
import os
import signal
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, settings

from focal.core.runtime import Runtime, virtual_runtime
from focal.plugins.manager import Plugins
from focal.testing import small_models

# Event loops of this process run in debug mode. Processes that tests start do not: there it would
# write about slow callbacks to the very stderr that tests compare.
os.environ["PYTHONASYNCIODEBUG"] = "1"
with suppress(OSError):
    os.unsetenv("PYTHONASYNCIODEBUG")


# A shell that runs us in the background lets us ignore Ctrl-C, and processes inherit that; those
# that tests start are to end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Some tests import onnxruntime themselves, which reports over the network unless this is set.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Which models this machine has is not looked at; tests that want some say where theirs are.
os.environ.pop("FOCAL_MODELS_DIR", None)
os.environ["XDG_CACHE_HOME"] = _cache = mkdtemp(prefix="focal-tests-")
atexit.register(rmtree, _cache, ignore_errors=True)


# How long an example takes is the machine's matter: a timing is a benchmark, not a test. CI tries
# the same examples each time; developers' runs look for new ones.
settings.register_profile(
    "focal",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("focal")


@pytest.fixture
def runtime() -> Runtime:
    """Return virtual time, for code run by ``run_virtual``."""
    return virtual_runtime()


@pytest.fixture
def plugins() -> Plugins:
    """Return the built-in plugins, fresh for each test."""
    return Plugins()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the seven small models; whoever changes a file copies it first."""
    folder = tmp_path_factory.mktemp("small")
    small_models(folder)
    return folder
