"""``focal listen``: what comes in is kept, given to sinks and told of.

The law of this module: what is told of is safe in the inbox and went through the sinks. A link that
another process of this home has open is not opened twice: what comes by it is read from the inbox,
until that process ends.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .core.errors import FocalError, SpoolError
from .core.events import LinkState, NodeEvent, Received, Trouble
from .core.message import Message
from .serving import LOOK_AGAIN, LOOK_EVERY, Doors, Lookout, farewell, make_node, opening, real_time
from .speech import sound_of, why_silent

if TYPE_CHECKING:
    from .app import App
    from .core.inbox import Entry
    from .core.node import Node
    from .core.ports import Sink
    from .core.spool import Spool

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
        say: is given a line when the links are open, and whenever one breaks or comes back. One
            that cannot be opened at first is tried again and again.

    Raises:
        FocalError: a sink cannot be opened, or what a link needs is not installed; or fewer
            messages than wanted came in time.
    """
    links = app.links()
    async with AsyncExitStack() as stack:
        runtime = stack.enter_context(real_time())
        opened = await _open_sinks(app, sinks, stack, say)
        owned = stack.enter_context(app.home.owning(links))
        writing = {sink.key: sink for sink in opened if not sink.speaks}
        written = stack.enter_context(app.home.owning(writing))
        ours, spool = stack.enter_context(app.spool()), stack.enter_context(app.spool())
        elsewhere = written.elsewhere
        node = make_node(
            app, links, owned.elsewhere, ours, runtime, *opened, sinks_elsewhere=elsewhere
        )
        ear = _Ear(app, node, enough.count or math.inf, tell, say, opened, Doors(app, node, say))
        events, mark = node.events(), spool.inbox.last_entry()
        with opening(owned.names, say):
            await stack.enter_async_context(node)
        if there := [name for name in links if name in node.limits or name in owned.elsewhere]:
            say(f"listening on {', '.join(there)}")
        try:
            async with asyncio.timeout(enough.seconds), asyncio.TaskGroup() as group:
                hearing = group.create_task(ear.hear(events))
                lookout = Lookout(node, spool, owned, written)
                reading = group.create_task(ear.read(lookout, spool, mark))
                await asyncio.wait([hearing, reading], return_when=asyncio.FIRST_COMPLETED)
                hearing.cancel()
                reading.cancel()
        except TimeoutError:
            if enough.count is not None:
                wanted = f"fewer than {enough.count} messages"
                raise FocalError(f"{wanted} came in {enough.seconds:g} s") from None
        await farewell(node, runtime)


async def _open_sinks(
    app: App, sinks: Sequence[str], stack: AsyncExitStack, say: Callable[[str], None]
) -> list[Sink]:
    """Open what the settings and ``sinks`` say; of a home's processes only one speaks."""
    defaults = app.settings.defaults
    specs = [f"wav:{defaults.save}"] if defaults.save else []
    specs += [*sinks, *(["speaker"] if defaults.play else [])]
    found = [await stack.enter_async_context(app.plugins.sink(spec)) for spec in specs]
    opened = [*{sink.key: sink for sink in found}.values()]  # one that was named twice
    if any(sink.speaks for sink in opened) and not stack.enter_context(app.home.lock("speaker")):
        say("another process of this home plays what arrives; this one is silent")
        return [sink for sink in opened if not sink.speaks]
    return opened


@dataclass
class _Ear:
    """Hears what the node tells and what others of this home put into the inbox."""

    app: App
    node: Node
    left: float
    tell: Callable[[Received], None]
    say: Callable[[str], None]
    sinks: Sequence[Sink]
    doors: Doors

    async def hear(self, events: AsyncIterator[NodeEvent]) -> None:
        """Pass on what the node tells, until enough messages came."""
        async for event in events:
            match event:
                case Received():
                    self._came(event)
                    if self.left <= 0:
                        return
                case LinkState():
                    self.doors.saw(event)
                case Trouble(where, what):
                    self.say(f"{where}: {what}")
                case _:
                    _log.info("%s", event)

    async def read(self, lookout: Lookout, spool: Spool, mark: int) -> None:
        """Look for what other processes commit: to send on our links, or received on theirs."""

        def read() -> None:
            nonlocal mark
            for entry in spool.inbox.entries_after(mark):
                if entry.link not in lookout.ours:
                    self._theirs(entry, spool)
                mark = entry.row

        while self.left > 0:
            await asyncio.sleep(LOOK_EVERY)
            try:
                lookout.look(read)
            except SpoolError as error:
                self.say(f"what others received: {error}")
                await asyncio.sleep(LOOK_AGAIN)

    def _theirs(self, entry: Entry, spool: Spool) -> None:
        """Another process received a message: our sinks have it too."""
        if self.sinks:
            spool.inbox.enlist(entry, [sink.key for sink in self.sinks])
        if all(sink.speaks for sink in self.sinks):
            self._came(self._received(entry))
        else:
            self.node.expect(entry)

    def _came(self, event: Received) -> None:
        if self.left > 0:
            self.left -= 1
            self.tell(event)

    def _received(self, entry: Entry) -> Received:
        message = Message.from_bytes(entry.message)
        quality, seconds = sound_of(self.app.plugins, message)
        problem = why_silent(self.app.plugins, message)
        return Received(
            message,
            quality,
            seconds,
            entry.link,
            entry.peer,
            entry.at,
            problem=problem,
            twin=entry.twin,
        )
