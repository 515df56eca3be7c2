"""The moving line on a terminal; rich is imported by who asks for it, and nowhere else."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.status import Status


class Spinner:
    """A moving line on stderr that shows that work goes on."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._away = 0

    def say(self, text: str) -> None:
        """Change its text."""
        self._status.update(escape(text))

    @contextmanager
    def aside(self) -> Generator[None]:
        """Take it away for the time of the context, so that something can be printed.

        Within another one it stays away for as long as that lasts.
        """
        self._away += 1
        self._status.stop()
        try:
            yield
        finally:
            self._away -= 1
            if not self._away:
                self._status.start()


@contextmanager
def spinner(text: str) -> Generator[Spinner]:
    """Show a moving line for the time of the context."""
    with Console(stderr=True).status(escape(text)) as status:
        yield Spinner(status)


class Bar:
    """Bars on stderr, one a file: bytes, rate and the time that is left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def count(self, what: str, done: int, total: int, kept: int = 0) -> None:
        """Show how much of a file is done; see ``Counter``."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(escape(what), total=total, completed=kept)
        self._progress.update(self._tasks[what], completed=done)

    @contextmanager
    def aside(self) -> Generator[None]:
        """Take them away for the time of the context, so that something can be printed."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()


@contextmanager
def bar() -> Generator[Bar]:
    """Show bars for the time of the context."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(progress)
