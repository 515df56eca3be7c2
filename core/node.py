"""A node: links, spool, codecs and sinks, put to work.

The law of this module: a node only moves things between seams; each rule has its own object
(``framing.peer`` repairs, ``outbox`` and ``inbox`` keep, ``turns`` plays, ``hub`` commits).

::

    async with Node(links=..., spool=..., codecs=..., runtime=..., folder=...) as node:
        events = node.events()
        [id] = await node.send(Draft.text("hello"))
        async for event in events: ...
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import cast

from .bridge import Gate, Router
from .carrier import Carrier
from .clocks import Moment
from .custody import MessageCarrier
from .datagrams import DatagramCarrier
from .desk import Desk
from .draft import Draft, burst_airtime, messages_of
from .errors import (
    LinkClosed,
    LinkLost,
    SettingsError,
    SpoolError,
    TooLong,
    TransportUnavailable,
)
from .events import LinkState, Progress, State
from .hub import Arrival, Hooks, Hub, NoHooks, Subscription
from .inbox import Delivered, Entry
from .ledger import Ledger
from .leg import Leg
from .link import Address, Limits, Link, LinkContext, Transport
from .message import Message, MessageId, check_of, origin_text
from .outbox import LegSpec
from .planner import Books
from .ports import Sink
from .rack import Codecs, Rack
from .radio import RadioCarrier
from .runtime import Runtime
from .spool import Spool
from .transit import Transit
from .turns import Turns

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between attempts to open a link again: doubled each time, with jitter, until it holds for
longer than the longest."""

PURGE_EVERY = 3600.0

DELAY = 8.0
"""Bursts of a message that it waits at most before a bridge passes it on to a link with airtime."""

HOUSEKEEPING = 60.0
"""Seconds after which lifetimes are looked at, whatever is due; no more than the shortest that a
bridge gives."""

SHORTEST = 1.0
"""Seconds between two looks, at least."""


class Node:
    """One node of focal: ``async with`` opens its links and serves them until it ends.

    Args:
        links: transports by the name that the user gave them.
        spool: the home's; the node uses it alone while it is open.
        codecs: where decoders are found.
        runtime: time and blocking work.
        folder: a folder for the transports' private files.
        sinks: each is given every message.
        name: the display name that goes with our messages.
        hooks: plugins that see what passes.
        seed: of the random waits; None draws one.
        clock_trusted: whether our wall clock can be believed.
        elsewhere: names of links that another process of this home has open: what is to be sent
            on them waits in the spool for that one, until ``take`` opens them here.
        sinks_elsewhere: keys of sinks that another process of this home gives what arrives, until
            ``take_sink``.
        ledger: opens what the home's radios have sent, once a link has a radio; without it, this
            node counts from its own start.
        bridge: what crosses between the links; with any, what is for others is passed on.
        patient: a link that cannot be opened at first is tried again, as one that was lost is; what
            is sent on it meanwhile waits. Without it, that ends the node.
    """

    def __init__(
        self,
        *,
        links: Mapping[str, Transport],
        spool: Spool,
        codecs: Codecs,
        runtime: Runtime,
        folder: Path,
        sinks: Sequence[Sink] = (),
        name: str | None = None,
        hooks: Hooks | None = None,
        seed: int | None = None,
        clock_trusted: bool = True,
        elsewhere: Collection[str] = (),
        sinks_elsewhere: Collection[str] = (),
        ledger: Callable[[], Ledger] | None = None,
        bridge: Sequence[Gate] = (),
        patient: bool = False,
    ) -> None:
        self._links = dict(links)
        self._elsewhere = frozenset(elsewhere)
        self._spool = spool
        self._runtime = runtime
        self._rack = Rack(codecs)
        self._clock_trusted = clock_trusted
        self._open_ledger = ledger or (lambda: Ledger.in_memory(self._clocks))
        self._books: Books | None = None
        self._patient = patient
        self._look_after = _look_after(bridge)
        self._down: dict[str, str] = {}
        self._limits: dict[str, Limits] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._carriers: dict[str, Carrier] = {}
        self._group: asyncio.TaskGroup
        self._closing = False
        self._sooner = asyncio.Event()
        self._unexplained = asyncio.Event()
        self._look_at = math.inf
        self._hub = Hub(
            desk=Desk(spool, runtime),
            runtime=runtime,
            folder=folder,
            name=name,
            hooks=hooks or NoHooks(),
            sinks=[sink.key for sink in sinks],
            random=random.Random(seed),
            on_inbox=self._on_inbox,
            on_passed=self._on_passed,
            dear=self._dear,
            transit=self._transit(bridge),
        )
        self._turns = Turns(self._hub, self._rack, sinks, set(sinks_elsewhere))

    def _transit(self, gates: Sequence[Gate]) -> Transit | None:
        if not gates:
            return None
        names = {transport.key: name for name, transport in self._links.items()}
        router = Router(self._spool.origin, gates, names)
        return Transit(router, self._spool, self._delay, self._dear, self._flying, self._loses)

    def _delay(self, key: str, size: int) -> float:
        """Return how long a message of others waits before it goes out on a link."""
        limits = self._limits_of(key)
        if limits is None or not limits.dear:
            return 0.0
        with suppress(TooLong):
            return self._hub.random.uniform(0, DELAY) * burst_airtime(size, limits, None, 0)
        return 0.0

    def _dear(self, key: str) -> bool:
        limits = self._limits_of(key)
        return limits is not None and limits.dear

    def _loses(self, key: str) -> bool:
        limits = self._limits_of(key)
        return limits is not None and limits.kind == "message" and not limits.keeps

    def _limits_of(self, key: str) -> Limits | None:
        carrier = self._carrier_by(key)
        return self._limits.get(carrier.name) if carrier else None

    def _flying(self, key: str) -> Collection[MessageId]:
        carrier = self._carrier_by(key)
        return carrier.flying if carrier else ()

    def _carrier_by(self, key: str) -> Carrier | None:
        for carrier in [*self._carriers.values()]:  # asked in a thread, while links open
            if carrier.key == key:
                return carrier
        return None

    def _on_passed(self, keys: Sequence[str], legs: Sequence[Leg]) -> None:
        """Something goes on: legs that may go out at once need not be looked for."""
        at_once = {leg.link: leg for leg in legs}
        for carrier in self._carriers.values():
            if carrier.key in at_once:
                carrier.offer(at_once[carrier.key])
            elif carrier.key in keys:
                carrier.wake()

    @property
    def origin(self) -> int:
        """This node's origin."""
        return self._spool.origin

    @property
    def limits(self) -> Mapping[str, Limits]:
        """What each open link carried when it was opened, by the link's name."""
        return self._limits

    def events(self) -> Subscription:
        """Return an iterator of what happens from now on."""
        return self._hub.subscribe()

    # Life

    async def __aenter__(self) -> Node:
        """Try to open every link that is not open elsewhere, and begin to serve.

        Raises:
            TransportUnavailable: a link cannot be opened, and the node is not patient, or what the
                link needs is not installed.
        """
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        try:
            here = [name for name in self._links if name not in self._elsewhere]
            for opened in [self._start(name) for name in here]:
                await opened
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        self._tasks += [
            self._group.create_task(self._turns.run(), name="sinks"),
            self._group.create_task(self._keep_house(), name="housekeeping"),
            self._group.create_task(self._explain(), name="reasons"),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        self._turns.stop()
        try:
            if isinstance(error, asyncio.CancelledError):  # by our user, or by a task that failed
                await self._group.__aexit__(kind, error, trace)
            else:
                await self._group.__aexit__(None, None, None)
        finally:
            await self._turns.aclose()
            await self._hub.desk.aclose()
            self._rack.close()
            if self._books is not None:
                self._books.ledger.close()
            for subscription in list(self._hub.subscribers):
                subscription.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        await asyncio.get_running_loop().create_future()

    def take(self, name: str) -> None:
        """Open a link from now on: the process that had it has ended. Until it opens, try again."""
        self._start(name).set_result(None)

    def _start(self, name: str) -> asyncio.Future[None]:
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work = self._serve(name, self._links[name], opened)
        self._tasks.append(self._group.create_task(work, name=f"link {name}"))
        return opened

    async def _serve(self, name: str, transport: Transport, opened: asyncio.Future[None]) -> None:
        """Keep a link open and served; opened in one task, as contexts want it."""
        pause = FIRST_PAUSE
        while True:
            reason, began = None, self._runtime.now()
            try:
                async with transport.open(self._context(name)) as link:
                    await self._adopt(name, transport.key)
                    carrier = self._carrier(name, transport.key, link)
                    if not opened.done():
                        opened.set_result(None)
                    self._tell(name, True, None)
                    await carrier.serve(link)
            except (TransportUnavailable, SpoolError) as error:
                if not opened.done() and not (self._patient and _may_open_later(error)):
                    opened.set_exception(error)
                    return
                reason = str(error)
            except BaseExceptionGroup as group:
                reason = _why_lost(group)
                if self._closing:  # a group that fails while it is cancelled only tells why
                    return
            self._tell(name, False, reason)
            if not opened.done():
                opened.set_result(None)
            if self._runtime.now() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await self._runtime.sleep(pause * self._hub.random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _adopt(self, name: str, key: str) -> None:
        """Take what waits for this link under another key: a device's may not be the same again."""
        await self._hub.desk.do(lambda: self._spool.outbox.adopt(name, key))

    def _context(self, name: str) -> LinkContext:
        hub = self._hub
        return LinkContext(self.origin, hub.name, hub.folder / folder_name(name), self._runtime)

    def _carrier(self, name: str, key: str, link: Link) -> Carrier:
        self._limits[name] = link.limits
        kind = _carrier_of(link.limits)
        carrier = self._carriers.get(name)
        if carrier is None or type(carrier) is not kind:
            carrier = self._carriers[name] = self._make(kind, name, key)
        return carrier

    def _make(self, kind: type[Carrier], name: str, key: str) -> Carrier:
        if kind is not RadioCarrier:
            return kind(self._hub, name, key)
        self._books = self._books or Books(self._open_ledger(), self._runtime)
        return RadioCarrier(self._hub, name, key, self._books)

    def _clocks(self) -> Moment:
        return Moment("", self._runtime.now(), self._runtime.unix(), self._clock_trusted)

    def _tell(self, name: str, up: bool, reason: str | None) -> None:
        self._down.pop(name, None)
        if not up:
            self._down[name] = f"the link is down: {reason}" if reason else "the link is down"
            self._unexplained.set()
        self._hub.publish(LinkState(name, up, self._runtime.unix(), reason))

    # Sending

    async def send(self, draft: Draft, *, links: Sequence[str] | None = None) -> list[MessageId]:
        """Put something to say into the outbox; return when it is committed there.

        Args:
            draft: what to say; several parts make a series of messages.
            links: the names of the links that shall carry it; None is all of them.

        Raises:
            SettingsError: there is no such link, or ``to`` names more than one node.
            SpoolError: the outbox is full, or cannot be written.
            TooLong: a part is longer than a message may be.
        """
        names = list(self._links) if links is None else list(links)
        for name in names:
            if name not in self._links:
                raise SettingsError(f"there is no link {name!r} here: there is {self._known()}")
        messages = await self._hub.desk.do(lambda: self._put(draft, names), self._queued)
        self._runtime.mark("outbox-committed")
        if self._runtime.now() + draft.lifetime < self._look_at:
            self._sooner.set()  # its lifetime ends before lifetimes would be looked at
        for message in messages:
            self._hub.hooks.encoded(message)
        for name in names:
            if name in self._carriers:
                self._carriers[name].wake()
            await self._explain_on(name)
        return [message.id for message in messages]

    def _queued(self, messages: Iterable[Message]) -> None:
        at = self._runtime.unix()
        self._publish_all(Progress(State.QUEUED, one.id, None, None, at) for one in messages)

    async def _explain(self) -> None:
        """Say why it waits what other processes of this home queued for links that are down."""
        while True:
            await self._unexplained.wait()
            self._unexplained.clear()
            for name in list(self._down):
                await self._explain_on(name)

    async def _explain_on(self, name: str) -> None:
        """Where a link is down, write down and tell that this is why its messages wait."""
        if name not in self._down:
            return
        outbox, key, at = self._spool.outbox, self._links[name].key, self._runtime.unix()

        def explain() -> list[Progress]:
            reason = self._down.get(name)
            return outbox.explain(key, reason, at=at) if reason is not None else []

        try:
            await self._hub.desk.do(explain, self._publish_all)
        except SpoolError as error:  # they wait all the same
            self._hub.trouble(name, error)

    def _publish_all(self, events: Iterable[Progress]) -> None:
        for event in events:
            self._hub.publish(event)

    def _known(self) -> str:
        return ", ".join(self._links) or "none"

    def _put(self, draft: Draft, names: Sequence[str]) -> list[Message]:
        """Make the messages of a draft and put them into the outbox; part of a transaction."""
        spool, now = self._spool, self._runtime.unix()
        ids = [MessageId(spool.origin, spool.next_sequence()) for _ in draft.parts]
        keys = {name: self._links[name].key for name in names}
        destination, address = _resolve(spool, draft.to, keys.values())
        messages = messages_of(
            draft,
            ids,
            sent_at=now,
            clock_trusted=self._clock_trusted,
            destination=destination,
            sender=self._hub.name,
        )
        legs = [LegSpec(key, name, address, draft.parity) for name, key in keys.items()]
        for message in messages:
            spool.outbox.put(
                message.to_bytes(),
                legs,
                kind=message.kind,
                expires_at=message.expires_at(now),
                priority=draft.priority,
                wants_destination=address is not None,
            )
        return messages

    def look(self) -> None:
        """Another process of this home has committed something: see whether it is for us."""
        for carrier in self._carriers.values():
            carrier.wake()
        self._unexplained.set()
        self._turns.look()

    def expect(self, entry: Entry) -> None:
        """Another process of this home received a message, which sinks that write shall have."""
        self._turns.expect(entry)

    def take_sink(self, key: str) -> None:
        """Give a sink its turns here, where another process of this home did until now."""
        self._turns.take(key)

    async def settle(self, seconds: float) -> None:
        """Wait until nothing of ours is on its way and unconfirmed, but so long at most."""
        try:
            async with asyncio.timeout(seconds):
                while any(carrier.busy for carrier in self._carriers.values()):
                    await self._runtime.sleep(0.01)
        except TimeoutError:
            pass

    # What comes in, and time

    def _on_inbox(self, message: Message, delivered: Delivered, arrival: Arrival) -> None:
        if self._closing:
            return  # it is in the inbox; nobody is told any more
        self._turns.arrived(message, delivered, arrival)
        if self._hub.transit is not None and not self._hub.sinks and message.destination is None:
            return  # a bridge says what it passes on; what that sounds like is nothing to it
        if not self._turns.writes:
            work = self._turns.tell(message, delivered, arrival)
            try:
                self._group.create_task(work, name=f"tell {message.id}")
            except RuntimeError:  # another task has failed, and all others are being ended
                work.close()

    async def _keep_house(self) -> None:
        """End what has outlived its lifetime, and forget what is old."""
        purge_at = self._runtime.now()
        while True:
            self._sooner.clear()
            left = self._look_after
            try:
                left = await self._expire()
                if self._runtime.now() >= purge_at:
                    await self._hub.desk.do(lambda: self._spool.purge(self._runtime.unix()))
                    purge_at = self._runtime.now() + PURGE_EVERY
            except SpoolError as error:
                self._hub.trouble("housekeeping", error)
            self._look_at = self._runtime.now() + left
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._sooner.wait()

    async def _expire(self) -> float:
        """End what has outlived its lifetime; return when to look again, in seconds."""
        outbox = self._spool.outbox
        for leg in await self._hub.desk.do(lambda: outbox.expire(self._runtime.unix())):
            at, reason = self._runtime.unix(), leg.reason
            self._hub.publish(Progress(leg.state, leg.id, leg.name, None, at, reason))
            self._give_up(leg.name, leg.id, check_of(leg.message))
        due = await self._hub.desk.do(outbox.next_expiry)
        left = self._look_after if due is None else due - self._runtime.unix()
        return min(self._look_after, max(0.05, left))

    def _give_up(self, name: str, id: MessageId, tag: int) -> None:
        if name in self._carriers:
            self._carriers[name].drop(id, tag)


def _may_open_later(error: TransportUnavailable | SpoolError) -> bool:
    """Tell whether trying again can help: not where what the link needs is not installed."""
    return isinstance(error, TransportUnavailable) and not isinstance(error.__cause__, ImportError)


def _look_after(gates: Sequence[Gate]) -> float:
    """Return the seconds after which lifetimes are looked at, whatever is due."""
    shortest = min((gate.lifetime for gate in gates if gate.lifetime), default=HOUSEKEEPING)
    return min(HOUSEKEEPING, max(SHORTEST, shortest))


def _carrier_of(limits: Limits) -> type[Carrier]:
    if limits.kind == "message":
        return MessageCarrier
    return DatagramCarrier if limits.radio is None else RadioCarrier


def _resolve(
    spool: Spool, to: str | None, keys: Iterable[str]
) -> tuple[int | None, Address | None]:
    """Return the destination that ``to`` names, or the address whose origin is yet to be asked.

    Raises:
        SettingsError: it is no origin although it looks like one, or several nodes are called so.
    """
    if to is None:
        return None, None
    if to.startswith("~"):
        return _origin(to), None
    named = spool.peers.origins_named(to)
    if len(named) > 1:
        which = ", ".join(origin_text(origin) for origin in named)
        raise SettingsError(f"{len(named)} nodes are called {to!r}: say which: {which}")
    if named:
        return named[0], None
    for key in keys:
        if (origin := spool.peers.origin_of(key, to)) is not None:
            return origin, None
    return None, to


def _origin(text: str) -> int:
    digits = text[1:]
    if len(digits) != 8 or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise SettingsError(f"{text!r} is no origin: one is written ~1a2b3c4d")
    if not int(digits, 16):
        raise SettingsError(f"{text!r} is no origin: no node has 0")
    return int(digits, 16)


def folder_name(name: str) -> str:
    """Return a link's name as a folder's: letters, digits and what tells names apart."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)[:40].strip("-")
    return f"{plain}-{blake2b(name.encode(), digest_size=4).hexdigest()}"


def _why_lost(group: BaseExceptionGroup[BaseException]) -> str:
    """Return why a link cannot go on; raise whatever else its tasks ended with."""
    lost, rest = group.split((LinkLost, LinkClosed, SpoolError))
    if rest is not None:
        raise rest
    error: BaseException | None = lost
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return str(error)
