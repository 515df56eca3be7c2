"""Standard output: results go there, and it may be closed, full or without a reader.

The law of this module: what standard output does not take is an error of its own, so that it can be
told from a bug, also where it comes out of a task group.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

import click

from ..core.errors import FocalError


class Unwritten(FocalError):
    """Standard output does not take any more."""


class ReaderGone(Unwritten):
    """Whoever read our output has gone: nothing is left to say, and nobody to say it to."""


def put(text: str) -> None:
    """Write a line to standard output at once. Raises Unwritten."""
    with _telling():
        click.echo(text)


def flush() -> None:
    """See that standard output has all that was written to it. Raises Unwritten."""
    with _telling():
        sys.stdout.flush()


@contextmanager
def writing() -> Generator[None]:
    """Tell of a reader that goes away in this context as such. Raises ReaderGone."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone("nobody reads standard output any more") from error


@contextmanager
def _telling() -> Generator[None]:
    try:
        with writing():
            yield
    except OSError as error:
        reason = error.strerror or error
        raise Unwritten(f"standard output cannot be written: {reason}") from error
