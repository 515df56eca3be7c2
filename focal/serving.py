"""A node at work for one command: which links are ours, and what serves them.

The law of this module: each open link, and each sink that writes, has one owner among the processes
of a home. What another process owns is not opened or written to here as long as it does; its
messages go through the spool that both share. When an owner ends, however it ends, who is left owns
the link or the sink.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .core.events import LinkState
from .core.framing.pace import CONTENTION, TURNAROUND
from .core.node import Node
from .core.radio import CONTROL
from .core.runtime import Runtime, real_runtime
from .failpoint import mark_from
from .seen import remember

if TYPE_CHECKING:
    from .app import App
    from .core.link import Limits, Transport
    from .core.ports import Sink
    from .core.spool import Spool
    from .home import Owned

THREADS = 4
"""Codecs and the spool's two connections; each of them is used by one call at a time."""


@contextmanager
def real_time() -> Generator[Runtime]:
    """Give a runtime whose worker threads end with the context."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="focal") as executor:
        yield real_runtime(executor, mark_from(os.environ))


LOOK_EVERY = 0.1
"""Seconds between two looks at what other processes of this home have committed."""

LOOK_AGAIN = 10.0
"""Seconds until the next look when the spool could not be used."""


class Lookout:
    """Sees what other processes of the home do: what they commit, and the links that they leave.

    Args:
        node: is told of it.
        spool: a connection of its own to the node's spool.
        owned: who has which of the node's links.
        sinks: who has which of its sinks that write; without it, it has none.

    Attributes:
        ours: the names of the links that are open here.
    """

    def __init__(self, node: Node, spool: Spool, owned: Owned, sinks: Owned | None = None) -> None:
        self.ours = set(owned.names)
        self._sinks = sinks
        self._node = node
        self._owned = owned
        self._spool = spool
        self._changes: int | None = None  # what came before our first look was not looked at

    def look(self, read: Callable[[], None] | None = None) -> None:
        """Look once; it is cheap.

        Args:
            read: reads what was committed, if anything was; if it fails, all is looked at again.
                When a link is left to us, it is called before that opens here, so that whatever
                it finds is its last owner's.
        """
        changes = self._spool.changes()
        self._owned.take()
        left = [name for name in self._owned.names if name not in self.ours]
        if left or changes != self._changes:
            if read is not None:
                read()
            self._changes = changes
            self._node.look()
        for name in left:
            self._node.take(name)
        self.ours.update(left)
        for key in self._sinks.take() if self._sinks else ():
            self._node.take_sink(key)


class Doors:
    """Tells people which links are down and why, once for each reason, and which are up again.

    Args:
        app: whose home keeps what is learned of the links.
        node: theirs.
        say: is given the lines.

    Attributes:
        down: what was said of each link that is down.
    """

    def __init__(self, app: App, node: Node, say: Callable[[str], None]) -> None:
        self.down: dict[str, str] = {}
        self._app = app
        self._node = node
        self._say = say
        self._opened = set[str]()

    @property
    def shut(self) -> bool:
        """Whether links were tried, and none of them opened."""
        return bool(self.down) and not self._opened

    def saw(self, event: LinkState) -> None:
        """Take what a node tells of a link."""
        if event.up:
            self._up(event.link)
        else:
            said = f"{event.link} is down: {event.reason or 'it ended'}"
            if self.down.get(event.link) != said:
                self._say(f"{said}; trying again")
            self.down[event.link] = said

    def _up(self, link: str) -> None:
        remember(self._app.home.links, link, self._node.limits[link])
        if self.down.pop(link, None) is not None:
            self._say(f"{link} is up again" if link in self._opened else f"{link} is up")
        self._opened.add(link)


SLOW = 2.0
"""Seconds after which it is said what is waited for while links are opened."""


@contextmanager
def opening(names: Collection[str], say: Callable[[str], None]) -> Generator[None]:
    """Say what is waited for, if the context lasts long: links are opened in it."""
    line = f"waiting for {', '.join(names)} to open"
    telling = asyncio.get_running_loop().call_later(SLOW, say, line)
    try:
        yield
    finally:
        telling.cancel()


LINGER = 1.0
"""Seconds, and as many again as ten packets hold the channel, that a link stays open at the end, so
that what was lost can still be asked for, and what is owed be said."""


def linger(node: Node) -> float:
    """Return how many seconds a node's links stay open at the end, while they have something."""
    times = (limits.airtime(limits.size, None) or 0.0 for limits in node.limits.values())
    return LINGER + 10 * max(times, default=0.0)


async def farewell(node: Node, runtime: Runtime) -> None:
    """Say what is owed before links close; where that may be lost, stay for who asks again."""
    await node.settle(linger(node))
    again = max(map(_asked_again, node.limits.values()), default=0.0)
    if again:
        await runtime.sleep(again)
        await node.settle(linger(node))


def _asked_again(limits: Limits) -> float:
    """Return the seconds in which a sender that lost our answer has asked twice for it."""
    control = limits.airtime(CONTROL, None)
    if control is None or not limits.replies:
        return 0.0
    return 2 * (2 * control + 2 * CONTENTION * limits.slot + TURNAROUND)


def make_node(
    app: App,
    links: Mapping[str, Transport],
    elsewhere: Collection[str],
    spool: Spool,
    runtime: Runtime,
    *sinks: Sink,
    sinks_elsewhere: Collection[str] = (),
) -> Node:
    """Return a node of this home, not yet at work; who is ``elsewhere`` as in ``Node``.

    It waits for links that cannot be opened at first.
    """
    app.plugins.load("hooks")  # before the first message, so that they see every one
    return Node(
        links=links,
        elsewhere=elsewhere,
        sinks_elsewhere=sinks_elsewhere,
        spool=spool,
        codecs=app.plugins,
        runtime=runtime,
        folder=app.home.links,
        sinks=sinks,
        name=app.settings.defaults.name,
        hooks=app.plugins,
        ledger=app.ledger,
        patient=True,
    )
