"""What installed plugins cost a command that needs none: ``focal --help`` with 50 and with 0.

Each plugin is a folder of metadata on the search path, as an installer leaves it. The runs take
turns, so that a busy machine hits both alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ._turns import medians

TURNS = 41
PLUGINS = 50
ROOT = Path(__file__).parent.parent


def bench() -> dict[str, float]:
    """Return the time of ``focal --help`` with 50 plugins over that without."""
    with TemporaryDirectory(prefix="focal-bench-") as folder:
        empty, full = Path(folder, "empty"), Path(folder, "full")
        empty.mkdir()
        install(full)
        took = medians(TURNS, without=partial(run, empty), with_plugins=partial(run, full))
    return {f"focal --help, {PLUGINS} plugins / none": took["with_plugins"] / took["without"]}


def install(site: Path) -> None:
    """Install plugins of which none can be imported; a tenth adds a command."""
    for number in range(PLUGINS):
        kind = "command" if number % 10 == 0 else "transport"
        metadata = site / f"focal_plugin{number}-1.0.dist-info"
        metadata.mkdir(parents=True)
        entry = f"[focal]\n{kind}.plugin{number} = focal_plugin{number}\n"
        (metadata / "entry_points.txt").write_text(entry)
        (site / f"focal_plugin{number}.py").write_text("raise AssertionError('imported')\n")


def run(site: Path) -> None:
    """Run ``focal --help`` with ``site`` on the search path."""
    path = os.pathsep.join([str(ROOT), str(site)])
    subprocess.run(
        [sys.executable, "-m", "focal", "--help"],
        check=True, capture_output=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
