"""``focal bridge``: links that are chained, from their settings to the node that serves them.

The law of this module: what is configured wrong is told before anything is opened; what is down
then, or breaks later, ends nothing. What was accepted is in the spool, so stopping loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from .config import hidden
from .core.bridge import Gate
from .core.errors import FocalError, SettingsError, SpoolError, TransportError
from .core.events import LinkState, NodeEvent, Passed, Progress, Received, Trouble
from .core.link import LinkContext
from .core.message import Kind
from .core.node import Node, folder_name
from .crossing import Crossing, Tried
from .public import is_public
from .serving import LOOK_AGAIN, LOOK_EVERY, Doors, Lookout, farewell, opening, real_time
from .settings import BridgeSettings
from .speech import sound_of, why_silent
from .valve import Valve, Valved

if TYPE_CHECKING:
    from .app import App
    from .core.codec import CodecSpec
    from .core.link import Transport
    from .core.runtime import Runtime
    from .core.spool import Spool

CLOSING = 5.0
"""Seconds that closing may take beside that, before it is cut short."""

OPENING = 10.0
"""Seconds in which a link opens when it is tried."""

Told: TypeAlias = Passed | Progress | Received

# What is to cross


@dataclass(frozen=True, slots=True)
class Plan:
    """What a bridge joins, and what may cross.

    Args:
        links: transports by the names that the user gave them, none of them open.
        keys: theirs, by the same names.
        gates: what may cross to each of them.
        public: the names of those where strangers listen.
    """

    links: Mapping[str, Transport]
    keys: Mapping[str, str]
    gates: tuple[Gate, ...]
    public: frozenset[str]

    @property
    def crossings(self) -> list[Crossing]:
        """What may cross, as people see it."""
        names = {key: name for name, key in self.keys.items()}
        return [Crossing.of(gate, names) for gate in self.gates]


def plan(app: App, links: Sequence[str] = (), allow: Sequence[str] = ()) -> Plan:
    """Return what a bridge joins.

    Args:
        app: settings and plugins.
        links: all of them are joined to one another; without them the tables ``[[bridge]]`` say.
        allow: the kinds of message that may cross, whatever the tables say.

    Raises:
        SettingsError: it joins nothing, or what is said of a link or a leg cannot be.
    """
    tables = [BridgeSettings()] if links else app.settings.bridge
    if not tables:
        raise SettingsError(
            "nothing to join: name two links or more (focal bridge LINK LINK…), or say in "
            "focal.toml what crosses, under [[bridge]]"
        )
    words = list(dict.fromkeys(links or _named(tables)))
    made = replace(app, settings=app.settings.with_flags(via=tuple(words))).links() if words else {}
    keys = {name: transport.key for name, transport in made.items()}
    _check_links(keys)
    public = frozenset(name for word in words if _is_public(app, word) for name in [_name(word)])
    draft = _Draft(app, keys, words, public)
    gates = [
        gate
        for number, table in enumerate(tables, 1)
        for gate in draft.gates(table, "" if links else f"[[bridge]] {number}", allow)
    ]
    return Plan(made, keys, tuple(gates), public)


def _named(tables: Iterable[BridgeSettings]) -> list[str]:
    return [word for table in tables for word in (*table.from_, *table.to)]


def _name(word: str) -> str:
    return str(hidden("link", word))


def _check_links(keys: Mapping[str, str]) -> None:
    if len(keys) < 2:
        only = f"only {next(iter(keys))}" if keys else "no link"
        raise SettingsError(f"a bridge joins two links or more, and {only} is named")
    first: dict[str, str] = {}
    for name, key in keys.items():
        if (other := first.setdefault(key, name)) != name:
            raise SettingsError(f"{other} and {name} are the same link: name one of them")


def _is_public(app: App, word: str) -> bool:
    configured = app.settings.links.get(word)
    if configured is not None and configured.public is not None:
        return configured.public
    return is_public(urlsplit(app.url(word)))


@dataclass(frozen=True, slots=True)
class _Draft:
    """Makes the gates of tables.

    Args:
        app: its plugins know the qualities.
        keys: of the links, by name.
        words: what the user wrote for each of them.
        public: the names of those where strangers listen.
    """

    app: App
    keys: Mapping[str, str]
    words: Sequence[str]
    public: frozenset[str]

    def gates(self, table: BridgeSettings, where: str, allow: Sequence[str]) -> list[Gate]:
        """Return the gates of one table, one for each link that it leads to."""
        into = table.to or table.from_ or self.words
        pairs = [
            (_name(to), [_name(word) for word in table.from_ or self.words if word != to])
            for to in dict.fromkeys(into)
        ]
        if not any(sources for _, sources in pairs):
            raise SettingsError(f"{where}: it leads from {pairs[0][0]} to itself alone")
        what = self._what(table, where, allow)
        return [self._gate(name, sources, table, what) for name, sources in pairs if sources]

    def _gate(
        self, name: str, sources: Sequence[str], table: BridgeSettings, what: Mapping[str, Any]
    ) -> Gate:
        return Gate(
            self.keys[name],
            name,
            frozenset(self.keys[source] for source in sources),
            public=name in self.public,
            **what,
            size=table.size,
            rate=table.per,
            airtime=table.airtime,
            lifetime=table.lifetime,
            priority=table.priority,
            queue=table.queue,
            full=table.full,
        )

    def _what(
        self, table: BridgeSettings, where: str, allow: Sequence[str]
    ) -> dict[str, frozenset[Any] | None]:
        kinds = (Kind[kind.upper()] for kind in allow or table.kinds)
        codecs = (self._codec(codec, where) for codec in table.codecs)
        senders = (_sender(sender) for sender in table.senders)
        return {
            "kinds": frozenset(kinds) or None,
            "codecs": frozenset(codecs) or None,
            "senders": frozenset(senders) or None,
        }

    def _codec(self, codec: str | int, where: str) -> int:
        if isinstance(codec, int):
            return codec
        try:
            return self.app.plugins.codec(codec).wire_id
        except SettingsError as error:
            raise SettingsError(f"{where}: codecs: {error}") from error


def _sender(sender: str) -> int | str:
    """Return an origin, or the display name that it is."""
    return int(sender[1:], 16) if sender.startswith("~") else sender


# At work


class Stop:
    """How something that runs is told to come to its end.

    Attributes:
        awaited: it has begun to wait for that, so it knows how to.
    """

    def __init__(self) -> None:
        self.awaited = False
        self._told = asyncio.Event()

    def tell(self) -> None:
        """Let whoever waits go on."""
        self._told.set()

    async def wait(self) -> None:
        """Wait until told."""
        self.awaited = True
        await self._told.wait()


async def gently(run: Callable[[Stop], Coroutine[Any, Any, None]], limit: float) -> None:
    """Run something; when this is cancelled, tell it to come to its end, and wait for that.

    Args:
        run: it.
        limit: seconds that it has for its end; then it is cancelled, too.
    """
    stop = Stop()
    task = asyncio.create_task(run(stop), name="bridge")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.tell()
        await asyncio.wait([task], timeout=limit if stop.awaited else 0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        raise


@dataclass(frozen=True, slots=True)
class Said:
    """Who is told what.

    Args:
        tell: is given what passes, and what becomes of it.
        say: is given a line when a link breaks or comes back, and when something fails.
    """

    tell: Callable[[Told], None]
    say: Callable[[str], None]


async def bridge(
    app: App,
    plan: Plan,
    said: Said,
    drain: float,
    metrics: tuple[str, int] | None,
    stop: Stop,
) -> None:
    """Pass messages on until told to stop; links that are down are tried again and again.

    Args:
        app: settings, plugins and home.
        plan: what to join.
        said: who is told.
        drain: seconds for which what is queued goes on being sent after a stop.
        metrics: where to serve them: host and port.
        stop: tells when nothing new is to be taken any more.

    Raises:
        FocalError: another process of this home has a link open; what a link needs is not
            installed; the port of the metrics is in use.
    """
    async with AsyncExitStack() as stack:
        runtime = stack.enter_context(real_time())
        owned = stack.enter_context(app.home.owning(plan.links))
        if owned.elsewhere:
            raise FocalError(_why_not_ours(owned.elsewhere))
        ours, spool = stack.enter_context(app.spool()), stack.enter_context(app.spool())
        count = await _counting(app, plan, metrics, said, stack)
        valve = Valve()
        node = _node(app, plan, ours, runtime, valve)
        work = _Work(app, plan, node, spool, said, Doors(app, node, said.say), count)
        async with asyncio.TaskGroup() as group, AsyncExitStack() as inside:
            group.create_task(work.hear(node.events()), name="events")
            with opening(plan.links, said.say):
                await inside.enter_async_context(node)
            said.say(f"bridging {', '.join(plan.links)}")
            looking = group.create_task(work.look(Lookout(node, spool, owned)), name="lookout")
            await stop.wait()
            looking.cancel()
            valve.shut()
            await work.drain(runtime, drain)
        said.say(work.left())


def _why_not_ours(names: Sequence[str]) -> str:
    links = ", ".join(names)
    has = "has" if len(names) == 1 else "have"
    return (
        f"{links}: another process of this home {has} it open, and what comes to that would not "
        "cross: end it first, or give the bridge a home of its own (--home)"
    )


def _node(app: App, plan: Plan, spool: Spool, runtime: Runtime, valve: Valve) -> Node:
    app.plugins.load("hooks")  # before the first message, so that they see every one
    return Node(
        links={name: Valved(link, plan.keys[name], valve) for name, link in plan.links.items()},
        spool=spool,
        codecs=_Deaf(),
        runtime=runtime,
        folder=app.home.links,
        name=app.settings.defaults.name,
        hooks=app.plugins,
        ledger=app.ledger,
        bridge=plan.gates,
        patient=True,
    )


class _Deaf:
    """No decoders: a bridge listens to nothing that it carries."""

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        return None


async def _counting(
    app: App, plan: Plan, where: tuple[str, int] | None, said: Said, stack: AsyncExitStack
) -> Callable[[NodeEvent], None]:
    """Serve metrics where they are wanted; return what counts events."""
    if where is None:
        return _ignore
    from .metrics import Meter, serving

    meter = Meter(plan.keys, stack.enter_context(app.spool()), ledger=app.home.ledger_path)
    host, _ = where
    port = await stack.enter_async_context(serving(meter, *where))
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    said.say(f"metrics at http://{at}/metrics")
    return meter.event


def _ignore(event: NodeEvent) -> None:
    """Count nothing."""


@dataclass
class _Work:
    """A bridge at work: what it tells, and how it ends."""

    app: App
    plan: Plan
    node: Node
    spool: Spool
    said: Said
    doors: Doors
    count: Callable[[NodeEvent], None]

    async def hear(self, events: AsyncIterator[NodeEvent]) -> None:
        """Pass on what the node tells, until it ends."""
        async for event in events:
            self.count(event)
            match event:
                case Passed() | Progress():
                    self.said.tell(event)
                case Received():
                    self._received(event)
                case LinkState():
                    self.doors.saw(event)
                case Trouble(where, what):
                    self.said.say(f"{where}: {what}")

    def _received(self, event: Received) -> None:
        """Tell of what is for this node itself; of what is for everyone, ``Passed`` tells."""
        message, plugins = event.message, self.app.plugins
        if message.destination is not None:
            quality, seconds = sound_of(plugins, message)
            problem = why_silent(plugins, message)
            self.said.tell(replace(event, quality=quality, seconds=seconds, problem=problem))

    async def look(self, lookout: Lookout) -> None:
        """Look for what other processes of this home commit, to be sent on our links."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                lookout.look()
            except SpoolError as error:
                self.said.say(f"what others of this home send: {error}")
                await asyncio.sleep(LOOK_AGAIN)

    async def drain(self, runtime: Runtime, seconds: float) -> None:
        """Go on sending what waits for links that are up, but so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(self._waits(name) for name in self.plan.links):
                    await self.node.settle(seconds)
                    await asyncio.sleep(LOOK_EVERY)
                await farewell(self.node, runtime)

    def _waits(self, name: str) -> bool:
        """Tell whether something waits that could go out now."""
        if name in self.doors.down:
            return False
        return bool(self.spool.outbox.waiting(self.plan.keys[name], limit=1, unsent=True))

    def left(self) -> str:
        """Say how many messages stay queued."""
        backlog = self.spool.outbox.backlog
        queued = {name: backlog(key)[0] for name, key in self.plan.keys.items()}
        stay = [f"{count} for {name}" for name, count in queued.items() if count]
        return f"stopped; queued for the next time: {', '.join(stay) or 'nothing'}"


# Tried, and looked into


async def check(app: App, plan: Plan) -> list[Tried]:
    """Open every link of a plan once and close it again; nothing is sent, taken or acknowledged.

    Raises:
        SpoolError: the home cannot be used.
    """
    with real_time() as runtime, app.spool() as spool, app.home.owning(plan.links) as owned:

        async def tried(name: str, transport: Transport) -> Tried:
            public = name in plan.public
            if name in owned.elsewhere:
                return Tried(name, public, False, "another process of this home has it open")
            folder = app.home.links / folder_name(name)
            context = LinkContext(spool.origin, app.settings.defaults.name, folder, runtime)
            reason = await _why_closed(transport, context)
            return Tried(name, public, reason is None, reason)

        return await asyncio.gather(*(tried(*link) for link in plan.links.items()))


async def _why_closed(transport: Transport, context: LinkContext) -> str | None:
    """Return why a link does not open, None if it does."""
    try:
        async with asyncio.timeout(OPENING), transport.open(context):
            return None
    except TimeoutError:
        return f"it did not open within {OPENING:g} s"
    except TransportError as error:
        return str(error)
