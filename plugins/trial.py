"""Plugins tried in child processes, where one that hangs, exits or crashes hurts nobody.

The law of this module: every child has ended when its report is given; none outlives its time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from .asking import TRACE
from .builtins import Known
from .loading import LIMIT
from .report import Report

CHILDREN = 8
"""Child processes at a time, at most."""


def try_all(plugins: Sequence[Known], models: Path, limit: float = LIMIT) -> list[Report]:
    """Try each plugin in a child process of its own, some at a time; their reports in order.

    Args:
        plugins: which.
        models: the folder of the model files.
        limit: seconds that each may take, its interpreter's start included.
    """
    if not plugins:
        return []
    at_once = min(CHILDREN, 2 * (os.cpu_count() or 1), len(plugins))
    with ThreadPoolExecutor(at_once, "focal trial") as executor:
        return list(executor.map(partial(try_one, models=models, limit=limit), plugins))


def try_one(one: Known, models: Path, limit: float = LIMIT) -> Report:
    """Try a plugin in a child process; ``models``: the folder of the model files."""
    with TemporaryDirectory(prefix="focal-plugin-", ignore_cleanup_errors=True) as folder:
        out, said = Path(folder, "report"), Path(folder, "said")
        code = _run(one, models, out, said, limit)
        if out.exists():
            return Report.from_object(json.loads(out.read_text(encoding="utf-8")))
        return Report(one.name, "bad", _why(code, limit, said), file=_file(one))


def _run(one: Known, models: Path, out: Path, said: Path, limit: float) -> int | None:
    """Run the child; return its exit code, None if it had to be killed."""
    file = _file(one)
    given = {
        "name": one.name, "module": one.module, "distribution": one.distribution, "file": file,
        "models": str(models),
    }  # fmt: skip
    with said.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}._probe", str(out)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_environment(),
            start_new_session=True,  # so that what it starts can be killed with it
        )
        assert child.stdin is not None
        with suppress(BrokenPipeError), child.stdin as pipe:  # it may be dead before it reads
            pipe.write(json.dumps(given).encode())
        try:
            return child.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(child)


def _environment() -> dict[str, str]:
    """Return our environment, with our search path: the child sees what we see."""
    kept = {name: value for name, value in os.environ.items() if name != TRACE}
    return {**kept, "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)}


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child, and on POSIX whatever it has started."""
    if sys.platform == "win32":
        child.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):  # there is nobody left
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _why(code: int | None, limit: float, said: Path) -> str:
    """Say why there is no report."""
    if code is None:
        return f"it was still being imported after {limit:g} s"
    if code < 0:
        with suppress(ValueError):
            return f"it crashed the process that imported it ({signal.Signals(-code).name})"
    lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"it ended the process that imported it (exit code {code})" + (
        f": {last.strip()[:200]}" if last and code else ""
    )


def _file(one: Known) -> str | None:
    return None if one.file is None else str(one.file)
