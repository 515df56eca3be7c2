"""How a check is run and looked after, whatever it checks.

The law of this module: a check that passes has left nothing behind: no task, no error that nobody
handled, no open file or socket.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import ExitStack, contextmanager, suppress
from random import SystemRandom
from typing import Any, NoReturn

from ..core.runtime import VirtualLoop


def skip(reason: str) -> NoReturn:
    """Skip the check that is running."""
    import pytest

    pytest.skip(reason)


_PORTS = (10_000, 30_000)
_CHANCE = SystemRandom()


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Return ports that nobody uses now on the loopback interface, each another one.

    They are not of those that the system gives to whoever asks for none in particular, so that
    nobody is given one of them between now and their use.
    """
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < count:
            sock = held.enter_context(socket.socket(type=kind))
            port = _CHANCE.randrange(*_PORTS)
            with suppress(OSError):  # somebody has it: draw again
                sock.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def one_line(error: Exception) -> None:
    """Assert that an error is something to tell the user: one line, and not an empty one."""
    said = str(error)
    assert said.strip() and "\n" not in said, f"{type(error).__name__} says {said!r}, not one line"


async def step(count: int) -> None:
    """Let everybody else go ``count`` steps."""
    for _ in range(count):
        await asyncio.sleep(0)


async def refuses(work: Awaitable[object], error: type[Exception]) -> None:
    """Assert that something raises ``error``, and says why in one line."""
    try:
        done = await work
    except error as refusal:
        one_line(refusal)
        return
    raise AssertionError(f"expected {error.__name__}, got {done!r}")


async def cancelled(work: Coroutine[Any, Any, object], steps: int) -> object:
    """Begin something, cancel it after ``steps`` steps; return its result, or what it raised."""
    task = asyncio.ensure_future(work)
    await step(steps)
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return result


async def watch_loop(sleep: Callable[[float], Awaitable[None]], ticks: int) -> float:
    """Return the longest time, in seconds of the wall, that the event loop stood still."""
    longest = 0.0
    for _ in range(ticks):
        before = time.perf_counter()
        await sleep(0.01)
        longest = max(longest, time.perf_counter() - before)
    return longest


@contextmanager
def traced() -> Generator[Callable[[], int]]:
    """Watch memory; gives a function that returns by how many bytes it has grown."""
    gc.collect()
    tracemalloc.start()
    try:
        yield lambda: (gc.collect() and 0) or tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@contextmanager
def nothing_left_open() -> Generator[None]:
    """Fail if a file, a socket or an event loop is left open inside."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    left = [str(w.message) for w in warned if issubclass(w.category, ResourceWarning)]
    assert not left, f"left open: {left}"


def run_check(
    check: Callable[[], Awaitable[None]], patience: float, *, virtual: bool = False
) -> None:
    """Run a check in an event loop of its own, then look for what it left.

    Args:
        check: what is to hold.
        patience: seconds that it may take, virtual ones in virtual time.
        virtual: run it in virtual time.

    Raises:
        AssertionError: it fails, takes too long, or leaves something behind.
    """
    unheard: list[object] = []
    factory = VirtualLoop if virtual else None
    with nothing_left_open(), asyncio.Runner(debug=True, loop_factory=factory) as runner:
        runner.run(_bounded(check, patience, unheard))
    assert not unheard, f"errors that nobody handled: {unheard}"


async def _bounded(
    check: Callable[[], Awaitable[None]], patience: float, unheard: list[object]
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _, said: unheard.append(said))
    try:
        async with asyncio.timeout(patience):
            await check()
    except TimeoutError as error:  # its traceback shows what was waited for
        raise AssertionError(f"waited {patience:g} seconds in vain") from error
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
