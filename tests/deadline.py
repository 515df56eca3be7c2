"""Real processes in tests: everything in one test waits for one shared deadline.

The law of this module: a test never sleeps. It waits for a line of output, an exit or a condition,
and what does not come in time fails it with all that the process had said.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, TypeVar

ROOT = Path(__file__).parent.parent
POLL = 0.02  # seconds between two looks at a condition that nothing announces

T = TypeVar("T")


class Deadline:
    """The moment until which everything in a test must have happened."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when it has passed."""
        return max(0.0, self._end - time.monotonic())

    def until(self, what: str, condition: Callable[[], T]) -> T:
        """Return the first true value of ``condition``; AssertionError if none comes in time."""
        waiting = threading.Event()
        while not (value := condition()):
            assert self.left, f"not in time: {what}"
            waiting.wait(min(POLL, self.left))
        return value


class Process:
    """A process whose lines can be waited for; made by ``running``."""

    def __init__(self, process: subprocess.Popen[str], deadline: Deadline) -> None:
        assert process.stdout and process.stderr
        self.out: list[str] = []
        self.err: list[str] = []
        self._process = process
        self._deadline = deadline
        self._told = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(process.stdout, self.out)),
            threading.Thread(target=self._read, args=(process.stderr, self.err)),
        ]
        self._open = len(self._readers)
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, minus the number of the signal that killed it; None while it runs."""
        return self._process.poll()

    def line(self, containing: str, of: Literal["out", "err"] = "out") -> str:
        """Wait for the first line that contains a text, also among those already said."""
        lines = self.out if of == "out" else self.err

        def said() -> str | None:
            return next((line for line in lines if containing in line), None)

        with self._told:
            self._told.wait_for(lambda: said() or not self._open, self._deadline.left)
            line = said()
        assert line is not None, f"no line with {containing!r}; {self.story()}"
        return line

    def signal(self, number: int = signal.SIGINT) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end and return its exit code; everything it said is then there."""
        try:
            code = self._process.wait(self._deadline.left)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still running; {self.story()}") from error
        self._finish()
        return code

    def close(self) -> None:
        """Kill it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._finish()

    def story(self) -> str:
        """Tell all that it said, for a failing test."""
        return f"stdout: {''.join(self.out)!r}, stderr: {''.join(self.err)!r}"

    def _read(self, pipe: IO[str], lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                with self._told:
                    lines.append(line)
                    self._told.notify_all()
        with self._told:
            self._open -= 1
            self._told.notify_all()

    def _finish(self) -> None:
        for reader in self._readers:
            reader.join()


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a process that runs focal from this checkout."""
    dropped = {"PYTHONASYNCIODEBUG"}  # conftest.py says why
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(more or {})}


@contextmanager
def running(
    command: Sequence[str],
    deadline: Deadline,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Generator[Process]:
    """Run a program for the time of the context; it is killed at the end if it still runs."""
    popen = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(env),
        cwd=cwd,
    )
    process = Process(popen, deadline)
    try:
        yield process
    finally:
        process.close()


def focal(*arguments: str) -> list[str]:
    """Return the command that runs focal from this checkout: ``running(focal("listen"), ...)``."""
    return [sys.executable, "-m", "focal", *arguments]
