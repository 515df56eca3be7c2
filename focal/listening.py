"""``focal listen``: what comes in is kept, given to sinks and told of.

The law of this module: what is told of is safe in the inbox and went through the sinks. A link that
another process of this home has open is not opened twice: what comes by it is read from the inbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .core.errors import FocalError
from .core.events import LinkState, NodeEvent, Received, Trouble
from .serving import make_node, real_time

if TYPE_CHECKING:
    from .app import App

LINGER = 1.0
"""Seconds that links stay open at the end for what is on its way."""

_log = logging.getLogger("focal.listen")


@dataclass(frozen=True, slots=True)
class Enough:
    """When to end: after ``count`` messages or ``seconds``, None is never."""

    count: int | None = None
    seconds: float | None = None


async def listen(
    app: App,
    sinks: Sequence[str],
    enough: Enough,
    tell: Callable[[Received], None],
    say: Callable[[str], None],
) -> None:
    """Receive on the settings' links until there is enough, or until cancelled.

    Args:
        app: settings, plugins and home.
        sinks: further sinks, as ``name:rest``.
        enough: when to end.
        tell: is given every message.
        say: is given a line when the links are open, and whenever one breaks or comes back.

    Raises:
        FocalError: a link or sink cannot be opened; or fewer messages than wanted came in time.
    """
    links = app.links()
    async with AsyncExitStack() as stack:
        runtime = stack.enter_context(real_time())
        opened = [await stack.enter_async_context(app.plugins.sink(it)) for it in _all(app, sinks)]
        ours = stack.enter_context(app.home.owning(links))
        node = make_node(app, ours, stack.enter_context(app.spool()), runtime, *opened)
        events = node.events()
        await stack.enter_async_context(node)
        say(f"listening on {', '.join(links)}")
        try:
            async with asyncio.timeout(enough.seconds):
                await _hear(events, enough.count, tell, say)
        except TimeoutError:
            if enough.count is not None:
                wanted = f"fewer than {enough.count} messages"
                raise FocalError(f"{wanted} came in {enough.seconds:g} s") from None
        await node.settle(LINGER)


def _all(app: App, sinks: Sequence[str]) -> list[str]:
    defaults = app.settings.defaults
    save = [f"wav:{defaults.save}"] if defaults.save else []
    return [*save, *sinks, *(["speaker"] if defaults.play else [])]


async def _hear(
    events: AsyncIterator[NodeEvent],
    count: int | None,
    tell: Callable[[Received], None],
    say: Callable[[str], None],
) -> None:
    """Pass events on until ``count`` messages came."""
    came = 0
    async for event in events:
        match event:
            case Received():
                tell(event)
                came += 1
                if came == count:
                    return
            case LinkState(link, False, _, reason):
                say(f"{link} is down: {reason}; trying again")
            case Trouble(where, what):
                say(f"{where}: {what}")
            case _:
                _log.info("%s", event)
