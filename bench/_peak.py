"""How much memory a program takes at most: Linux's peak of the resident set (VmHWM).

The law of this module: each program runs in a process of its own, which tells its own peak at its
end; elsewhere than on Linux nobody is asked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
STATUS = Path("/proc/self/status")
_WATCHED = """
import atexit, runpy, sys
def tell():
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(peak.split()[1], file=sys.stderr, flush=True)
atexit.register(tell)
sys.argv.pop(0)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def watched(module: str, *arguments: str) -> list[str]:
    """Return what Python is given to run a module that tells its peak in its last line."""
    return ["-c", _WATCHED, module, *arguments]


def told(said: str) -> float:
    """Return the peak in MB of 1000 kB, from what a watched program wrote to stderr."""
    return int(said.split()[-1]) / 1000


def peak(module: str, *arguments: str, extra: Mapping[str, str]) -> float:
    """Run a module to its end and return its peak in MB.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        [sys.executable, *watched(module, *arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **extra},
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr.strip()}")
    return told(done.stderr)
