"""How long a command takes to start, beside a bare ``import click``.

Every command runs in the interpreter that runs this, warm, in turns. ``focal`` is the installed
script where there is one beside that interpreter, else ``python -m focal``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ._turns import medians

TURNS = 25
ROOT = Path(__file__).parent.parent
HEAVY = frozenset(
    "numpy soundfile soxr pycodec2 sounddevice onnxruntime paho websockets meshtastic rich".split()
)


def bench() -> dict[str, float]:
    """Return the start of focal over that of Python with click; and what is imported for it."""
    script = Path(sys.executable).with_name("focal")
    focal = [str(script)] if script.exists() else [sys.executable, "-m", "focal"]
    took = medians(
        TURNS,
        python=partial(run, [sys.executable, "-c", "pass"]),
        click=partial(run, [sys.executable, "-c", "import click"]),
        help=partial(run, [*focal, "--help"]),
        version=partial(run, [*focal, "--version"]),
    )
    return {
        "focal --help / import click": took["help"] / took["click"],
        "focal --version / import click": took["version"] / took["click"],
        "focal --help / bare python": took["help"] / took["python"],
        "heavy modules in focal --help": len(HEAVY & imported("--help")),
    }


def run(command: Sequence[str]) -> str:
    """Run a command and return what it says on stderr."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return done.stderr


def imported(*arguments: str) -> set[str]:
    """Return the top names of the modules that focal imports for a command."""
    lines = run([sys.executable, "-X", "importtime", "-m", "focal", *arguments]).splitlines()
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
