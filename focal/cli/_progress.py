"""The moving line on a terminal; rich is imported by who asks for it, and nowhere else."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Spinner:
    """A moving line on stderr that shows that work goes on."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def say(self, text: str) -> None:
        """Change its text."""
        self._status.update(escape(text))

    @contextmanager
    def aside(self) -> Generator[None]:
        """Take it away for the time of the context, so that something can be printed."""
        self._status.stop()
        try:
            yield
        finally:
            self._status.start()


@contextmanager
def spinner(text: str) -> Generator[Spinner]:
    """Show a moving line for the time of the context."""
    with Console(stderr=True).status(escape(text)) as status:
        yield Spinner(status)
