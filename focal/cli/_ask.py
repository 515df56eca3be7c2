"""A question on a terminal, while other work goes on.

The law of this module: only a line that was typed after the question answers it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import click


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    streams = sys.stdin, sys.stderr
    return all(stream is not None and stream.isatty() for stream in streams)


async def ask(question: str, aside: Callable[[], AbstractContextManager[None]]) -> bool:
    """Ask a question; return whether the answer is yes. Cancelled, it ends the line.

    Args:
        question: as a person reads it.
        aside: keeps what moves on the terminal away.
    """
    with aside():
        click.echo(f"{question} [y/N] ", nl=False, err=True)
        try:
            answer = await _line()
        except asyncio.CancelledError:
            click.echo(err=True)
            raise
    return answer.strip().lower() in ("y", "yes")


async def _line() -> str:
    """Return the next line of standard input, without holding anything else up."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sys.stdin, ready.set)
    try:
        await ready.wait()
        return sys.stdin.readline()
    finally:
        loop.remove_reader(sys.stdin)
