"""Links inside one process, ``mem://NAME``: the reference link, and everybody's fake.

The law of this module: nothing here knows real time or real chance. Delays pass on the runtime of
who waits, and every draw comes from the mesh's seed and the receiver's address, so that a run can
be run again.

A `Mesh` is the medium. Every link on it has an address; a packet to nobody in particular reaches
all other links, and each of them loses, doubles and delays it by draws of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Literal, TypeAlias
from urllib.parse import SplitResult
from weakref import WeakKeyDictionary

from ..core.envelope import MAX_ENVELOPE
from ..core.errors import LinkClosed, LinkLost, PacketTooBig, TransportUnavailable
from ..core.link import (
    Accepted,
    Address,
    Limits,
    LinkContext,
    Packet,
    Refused,
    Report,
    TransportSpec,
)
from ..core.mailbox import Mailbox
from ..core.runtime import Runtime
from ..core.url import Options, written
from ..plugins import hookimpl

HELD = 4096
"""Packets that one link holds for its reader, those still on their way included."""

_LORA_MTU = 231
_HOW = "mem://NAME?kind=datagram&mtu=231&loss=0.1&dup=0.05&reorder=0.1&delay=0.2&seed=7"

Filter: TypeAlias = Callable[[bytes, Address, Address], bytes | None]
"""Given a packet, its sender and its receiver: what arrives, or None for nothing."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a mesh carries.

    Args:
        kind: frames that may be lost, or messages in envelopes that may not.
        mtu: the most bytes of one packet; None is 231 for frames, an envelope for messages.
        loss: probability, for each receiver, that a packet does not arrive.
        dup: probability that it arrives twice.
        reorder: probability that it is overtaken by those behind it.
        delay: seconds that every packet takes.
        jitter: up to so many seconds more, drawn for each.
        bandwidth: bytes a second of the channel that all links share; None takes no time.
        history: how many messages who comes late is given.
        replies: False promises senders that nothing ever comes back.
        slot: contention slot in seconds.
        seed: where all draws come from.
        duty: share of the time that each link may send; below 1 it is planned as a radio's is.

    Raises:
        ValueError: frames with a history, messages with losses, or a duty without a bandwidth.
    """

    kind: Literal["datagram", "message"] = "datagram"
    mtu: int | None = None
    loss: float = 0.0
    dup: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    history: int = 0
    replies: bool = True
    slot: float = 0.0
    seed: int = 0
    duty: float = 1.0

    def __post_init__(self) -> None:
        if self.kind == "datagram" and self.history:
            raise ValueError("only kind=message keeps a history")
        if self.kind == "message" and (self.loss or self.reorder or self.jitter):
            raise ValueError("kind=message is reliable: it takes no loss, reorder or jitter")
        if self.duty < 1 and (self.kind == "message" or self.bandwidth is None):
            raise ValueError("duty is for frames that take time: say bandwidth too")

    def limits(self, address: Address = "") -> MemoryLimits:
        """Return what a link on such a mesh carries; ``address``: that of the link."""
        whole = MAX_ENVELOPE if self.kind == "message" else _LORA_MTU
        return MemoryLimits(
            self.kind,
            self.mtu or whole,
            replies=self.replies,
            slot=self.slot,
            shared=self.kind == "datagram",
            bandwidth=self.bandwidth,
            duty=self.duty,
            radio=f"mem {address}" if self.duty < 1 else None,
        )


@dataclass(frozen=True, slots=True)
class MemoryLimits(Limits):
    """Limits whose airtime is that of ``bandwidth``, bytes a second."""

    bandwidth: float | None = None

    def airtime(self, n: int, to: Address | None, /) -> float | None:
        return n / self.bandwidth if self.bandwidth else None


@dataclass(slots=True)
class Carried:
    """What a mesh has carried so far.

    Args:
        frames: packets sent, each counted once however many links hear it.
        bytes: their bytes.
        airtime: seconds that they held the channel.
        delivered: packets put before a reader, doubles included.
        lost: packets that did not get to one of their receivers.
    """

    frames: int = 0
    bytes: int = 0
    airtime: float = 0.0
    delivered: int = 0
    lost: int = 0


class Mesh:
    """A medium that links share; belongs to one event loop while it has links.

    ``filter`` may be set to see, change or drop each packet on its way to each receiver.
    """

    def __init__(self, name: str = "mesh", conditions: Conditions | None = None) -> None:
        self.name = name
        self.conditions = conditions or Conditions()
        self.carried = Carried()
        self.filter: Filter = _unchanged
        self._links: dict[Address, MemoryLink] = {}
        self._joined = 0
        self._parts: dict[Address, int] = {}
        self._channel = asyncio.Lock()
        self._history: deque[Packet] = deque(maxlen=self.conditions.history)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the links that are open now, in the order of their coming."""
        return tuple(self._links)

    def cut(self, address: Address, reason: str = "its power was cut") -> None:
        """Break a link from outside: its owner finds `LinkLost`.

        Raises:
            KeyError: no open link has this address.
        """
        self._links[address].lose(reason)

    def inject(self, data: bytes, *, peer: Address = "attacker", to: Address | None = None) -> None:
        """Put bytes before the readers of all links, or of one, as if ``peer`` had sent them.

        They take no time, are never lost and pass no filter.
        """
        for link in tuple(self._links.values()):
            if to in (None, link.address):
                link.deliver(Packet(data, peer))

    def partition(self, *parts: Collection[Address]) -> None:
        """Part the mesh: links of different parts do not hear each other any more.

        Those that no part names hear one another.
        """
        self._parts = {address: n for n, part in enumerate(parts, 1) for address in part}

    def heal(self) -> None:
        """End a partition."""
        self._parts = {}

    def join(self, node: Address | None, runtime: Runtime) -> MemoryLink:
        """Open a link; ``MemoryTransport.open`` does it, and closes it again.

        Raises:
            TransportUnavailable: there is a node of this name.
        """
        self._joined += 1
        address = node or f"mem-{self._joined}"
        if address in self._links:
            raise TransportUnavailable(f"mem://{self.name} already has a node called {address}")
        link = self._links[address] = MemoryLink(self, address, runtime)
        for packet in self._history:
            if packet.peer != address:
                link.deliver(packet)
        return link

    def leave(self, link: MemoryLink) -> None:
        """Take a link off the mesh; again: nothing happens."""
        if self._links.get(link.address) is link:
            del self._links[link.address]
        if not self._links:
            _forget(self)

    async def carry(self, sender: MemoryLink, data: bytes, to: Address | None) -> bool:
        """Carry a packet and tell whether anybody can have been meant; waits for the channel."""
        await self._hold_channel(sender, len(data))
        sender.check()  # it may have been lost or closed while it waited
        self.carried.frames += 1
        self.carried.bytes += len(data)
        if to is not None and to not in self._links:
            return False
        at = sender.runtime.unix() if self.conditions.kind == "message" else None
        if to is None:
            self._history.append(Packet(data, sender.address, at=at, replayed=True))
        for link in tuple(self._hearing(sender, to)):
            arrived = self.filter(data, sender.address, link.address)
            if arrived is None:
                self.carried.lost += 1
            else:
                link.hear(Packet(arrived, sender.address, at=at))
        return True

    async def _hold_channel(self, sender: MemoryLink, n: int) -> None:
        seconds = sender.limits.airtime(n, None)
        if seconds is None:
            await sender.runtime.sleep(0)  # so that who floods does not starve who reads
            return
        async with self._channel:
            await sender.runtime.sleep(seconds)
            self.carried.airtime += seconds

    def _hearing(self, sender: MemoryLink, to: Address | None) -> Iterator[MemoryLink]:
        part = self._parts.get(sender.address)
        for link in self._links.values():
            if link is sender or to not in (None, link.address):
                continue
            if self._parts.get(link.address) == part:
                yield link
            else:
                self.carried.lost += 1


class MemoryLink:
    """A link on a mesh, open until ``aclose`` or until the mesh cuts it."""

    def __init__(self, mesh: Mesh, address: Address, runtime: Runtime) -> None:
        self.address = address
        self.runtime = runtime
        self._mesh = mesh
        self._limits = mesh.conditions.limits(address)
        self._draw = Random(f"{mesh.conditions.seed} {address}")
        self._tickets = 0
        self._inbox: Mailbox[Packet] = Mailbox(HELD)
        self._reports: Mailbox[Report] = Mailbox()
        self._coming: list[tuple[float, int, Packet]] = []
        self._heard = 0
        self._alarms: set[asyncio.Task[None]] = set()

    @property
    def limits(self) -> Limits:
        return self._limits

    def check(self) -> None:
        """Raise `LinkLost` or `LinkClosed` once the link has ended."""
        self._inbox.check()

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        self.check()
        if len(data) > self._limits.mtu(to):
            raise PacketTooBig(len(data), self._limits.mtu(to))
        meant = await self._mesh.carry(self, data, to)
        self._tickets += 1
        if self._limits.kind == "message":
            self._reports.put(
                Accepted(self._tickets)
                if meant
                else Refused(self._tickets, f"nobody on mem://{self._mesh.name} is called {to}")
            )
        return self._tickets

    async def receive(self) -> Packet:
        return await self._inbox.get()

    def reports(self) -> AsyncIterator[Report]:
        return aiter(self._reports)

    async def aclose(self) -> None:
        closed = LinkClosed(f"mem://{self._mesh.name} is closed")
        self._end(closed)
        await asyncio.gather(*self._alarms, return_exceptions=True)

    def lose(self, reason: str) -> None:
        """Break the link, as the world would."""
        self._end(LinkLost(f"mem://{self._mesh.name}, {self.address}: {reason}"))

    def hear(self, packet: Packet) -> None:
        """Take a packet off the medium: lose it, double it, delay it, as the draws have it."""
        conditions, draw = self._mesh.conditions, self._draw
        if draw.random() < conditions.loss:
            self._mesh.carried.lost += 1
            return
        for _ in range(2 if draw.random() < conditions.dup else 1):
            self._arrive(packet, self._lateness(len(packet.data)))

    def deliver(self, packet: Packet) -> None:
        """Put a packet before the reader."""
        if self._limits.kind == "message" and len(self._inbox) >= HELD:
            self.lose(f"{HELD} messages were not read")
        self._inbox.put(packet)
        self._mesh.carried.delivered += 1

    def _lateness(self, n: int) -> float:
        conditions, draw = self._mesh.conditions, self._draw
        late = conditions.delay + draw.uniform(0, conditions.jitter)
        if draw.random() < conditions.reorder:
            # one to three packets of this size overtake it
            late += draw.uniform(1, 3) * (self._limits.airtime(n, None) or 0.05)
        return late

    def _arrive(self, packet: Packet, late: float) -> None:
        if not late:
            self.deliver(packet)
        elif len(self._coming) >= HELD:
            self._mesh.carried.lost += 1
        else:
            self._heard += 1
            heappush(self._coming, (self.runtime.now() + late, self._heard, packet))
            alarm = asyncio.get_running_loop().create_task(self._ring(late))
            self._alarms.add(alarm)
            alarm.add_done_callback(self._alarms.discard)

    async def _ring(self, late: float) -> None:
        # Alarms are alike: the nth to ring delivers the nth in order, also where two are due at
        # the same instant and the event loop would ring them in any order.
        await self.runtime.sleep(late)
        self.deliver(heappop(self._coming)[2])

    def _end(self, error: LinkLost | LinkClosed) -> None:
        self._inbox.fail(error)
        self._reports.fail(error)
        self._mesh.leave(self)
        for alarm in self._alarms:
            alarm.cancel()


@dataclass(frozen=True, slots=True)
class MemoryOptions(Conditions):
    """What may stand in the query of a ``mem:`` URL: the conditions, and the node's own address.

    Args:
        node: the link's address; without it the next free one.
    """

    node: Address | None = None


@dataclass(frozen=True, slots=True)
class MemoryTransport:
    """Settings of a link on a mesh.

    Args:
        mesh: the medium, or its name: all who open one name in one event loop share a medium,
            for as long as one of them has it open.
        conditions: what a medium that is opened by name is like; None takes it as it is.
        node: the link's address; None takes the next free one.
    """

    mesh: Mesh | str
    conditions: Conditions | None = None
    node: Address | None = None

    @classmethod
    def from_url(cls, url: SplitResult) -> MemoryTransport:
        """Read ``mem://NAME?...``.

        Raises:
            ValueError: it is written otherwise.
        """
        with written(_HOW):
            if not url.hostname or url.path not in ("", "/"):
                raise ValueError("a memory link has a name and no path")
            options = Options(url, *MemoryOptions.__dataclass_fields__)
            conditions, node = _conditions(options), options.text("node", None)
            return cls(url.hostname, None if conditions == Conditions() else conditions, node)

    @property
    def key(self) -> str:
        name = self.mesh if isinstance(self.mesh, str) else self.mesh.name
        return f"mem:{name}/{self.node}" if self.node else f"mem:{name}"

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[MemoryLink]:
        mesh = _named(self.mesh, self.conditions) if isinstance(self.mesh, str) else self.mesh
        link = mesh.join(self.node, context.runtime)
        try:
            yield link
        finally:
            await link.aclose()


_NAMED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Mesh]] = WeakKeyDictionary()
"""The meshes that were opened by name and still have links; a loop's go with the loop."""


def _named(name: str, conditions: Conditions | None) -> Mesh:
    meshes = _NAMED.setdefault(asyncio.get_running_loop(), {})
    mesh = meshes.setdefault(name, Mesh(name, conditions))
    if conditions not in (None, mesh.conditions):
        raise TransportUnavailable(f"mem://{name} is already open with other conditions than these")
    return mesh


def _forget(mesh: Mesh) -> None:
    meshes = _NAMED.get(asyncio.get_running_loop())
    if meshes and meshes.get(mesh.name) is mesh:
        del meshes[mesh.name]


def _unchanged(data: bytes, sender: Address, receiver: Address, /) -> bytes | None:
    return data


def _conditions(options: Options) -> Conditions:
    kind = options.text("kind", "datagram", choices=("datagram", "message"))
    return Conditions(
        kind="message" if kind == "message" else "datagram",
        mtu=options.integer("mtu", None, least=16, most=MAX_ENVELOPE),
        loss=options.number("loss", 0.0, least=0, most=1),
        dup=options.number("dup", 0.0, least=0, most=1),
        reorder=options.number("reorder", 0.0, least=0, most=1),
        delay=options.number("delay", 0.0, least=0, most=3600),
        jitter=options.number("jitter", 0.0, least=0, most=3600),
        bandwidth=options.number("bandwidth", None, least=1),
        history=options.integer("history", 0, least=0, most=HELD),
        replies=options.flag("replies", True),
        slot=options.number("slot", 0.0, least=0, most=60),
        seed=options.integer("seed", 0),
        duty=options.number("duty", 1.0, least=0.001, most=1),
    )


@hookimpl
def focal_transports() -> list[TransportSpec]:
    return [
        TransportSpec(
            "mem",
            "inside this process: for tests and simulations",
            MemoryTransport.from_url,
            settings=MemoryOptions,
            limits=Conditions().limits(),
        )
    ]
