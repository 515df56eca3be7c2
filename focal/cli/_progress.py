"""The moving line on a terminal; rich is imported by who asks for it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


@contextmanager
def spinner(text: str) -> Generator[Callable[[str], None]]:
    """Show a moving line on stderr for the time of the context; gives what changes its text."""
    with Console(stderr=True).status(escape(text)) as status:

        def say(new: str) -> None:
            status.update(escape(new))

        yield say
