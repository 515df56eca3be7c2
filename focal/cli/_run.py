"""The one bridge between commands and the process: event loop, signals, errors, exit codes.

The law of this module: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 the reader of stdout
went away, 143 terminated; every failure that a user can understand is one line on stderr; whatever
else is raised is a bug and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, NoReturn, TypeVar, cast

import click

from ..core.errors import FocalError, SettingsError
from ._out import ReaderGone, Unwritten, flush
from ._shell import Shell

T = TypeVar("T")

DONE, FAILED, USAGE, INTERRUPTED, READER_GONE, TERMINATED = 0, 1, 2, 130, 141, 143


class Interrupted(BaseException):
    """SIGINT or SIGTERM came, and everything that was open has been closed; ``code`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def leave(code: int) -> NoReturn:
    """End the process with an exit code.

    One that was terminated ends by SIGTERM after all, now that everything is closed: so shells say
    143, and who supervises it (systemd, Docker) knows that it did as it was told. One whose output
    nobody reads ends by SIGPIPE, as ``head`` and shells expect.
    """
    if code in (TERMINATED, READER_GONE) and os.name == "posix":
        import signal

        signal.signal(code - 128, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [code - 128])  # who started it may block it
        os.kill(os.getpid(), code - 128)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    from ._group import focal

    shell = Shell()
    if sys.stdout is None:  # the first file that is opened would be in its place
        say(shell, "standard output is closed: send it somewhere (> /dev/null)")
        return FAILED
    try:
        focal.main(list(arguments), prog_name="focal", standalone_mode=False, obj=shell)
        flush()
    except Interrupted as interrupted:
        return interrupted.code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:
        return _told(shell, error)
    return DONE


def _told(shell: Shell, error: Exception) -> int:
    """Say an error in one line and return its exit code, or raise it again: then it is a bug."""
    error = _plain(_only(error))
    if isinstance(error, Unwritten):
        _forget_output()
    if isinstance(error, ReaderGone):
        return READER_GONE
    if isinstance(error, click.UsageError):
        return _usage(shell, error)
    if not isinstance(error, FocalError | click.ClickException):
        raise error
    say(shell, error.format_message() if isinstance(error, click.ClickException) else str(error))
    return USAGE if isinstance(error, SettingsError) else FAILED


def _plain(error: Exception) -> Exception:
    """Return what a user understands of an error that is not focal's own but no bug either."""
    if isinstance(error, MemoryError):
        return FocalError("there is not enough memory for this")
    return error


def _only(error: Exception) -> Exception:
    """Return the first of what a task group raised, if users can understand all of it."""
    if not isinstance(error, ExceptionGroup):
        return error
    group = cast("ExceptionGroup[Exception]", error)
    _, bugs = group.split((FocalError, MemoryError))
    return bugs or _only(group.exceptions[0])


def _usage(shell: Shell, error: click.UsageError) -> int:
    if error.ctx and isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        click.echo(error.ctx.get_help(), err=True)
        return USAGE
    hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
    say(shell, error.format_message().rstrip(".") + hint)
    return USAGE


def say(shell: Shell, text: str) -> None:
    """Write ``focal: text`` to stderr, as one line; with ``--log json`` as an object."""
    shell.fail(" ".join(text.split()))


def _forget_output() -> None:
    """Send what still waits for standard output nowhere, so that the exit does not fail by it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    The first SIGINT or SIGTERM cancels it, so that links and files are closed in order; a second
    one ends the process at once.

    Raises:
        Interrupted: a signal came.
    """
    import asyncio

    return asyncio.run(_with_signals(main))


async def _with_signals(main: Coroutine[Any, Any, T]) -> T:
    import asyncio
    import signal
    from contextlib import suppress

    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        task.cancel()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # where the loop has no signal handlers, ^C still works
            loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if came:
            raise Interrupted(came[0]) from None
        raise
