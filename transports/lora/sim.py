"""Links over a simulated mesh, ``lora+sim://NAME``: the same link as over a real node.

The law of this module: what happens on the air, ``channel`` decides; here is only time. It passes
on the runtime of who joins first, and every draw comes from the mesh's seed, so that a run can be
run again.

A `SimMesh` is the air and the nodes on it. A node that a link has open has a client, a `SimRadio`;
others only relay. One thing is simpler than in reality: node information is exchanged at once, and
for no air.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeAlias
from urllib.parse import SplitResult
from weakref import WeakKeyDictionary

from ...core.errors import LinkClosed, LinkLost, TransportUnavailable
from ...core.link import LinkContext, TransportSpec
from ...core.runtime import Runtime
from ...core.url import Options, written
from .channel import Channel, Delivered, Gone, Happening, Hearing, MeshPacket, Result, Role, Station
from .link import LoraLimits, LoraLink, LoraOptions, address_of, limits_of, number_of
from .loss import Bursty, Independent, Loss
from .plan import Air, air, region_named
from .radio import (
    EVERYONE,
    Acquainted,
    Event,
    Hear,
    Info,
    Known,
    Lost,
    Outgoing,
    Queued,
    Received,
    Routed,
    Trouble,
)

TELLS = 60.0
"""Seconds after which a node tells its client anew how much it has sent and heard."""

SIGNING, PLAIN = "2.8.0", "2.7.15"
"""Firmware that signs what is for everyone, and the last that does not."""

_HOW = "lora+sim://NAME?preset=LONG_FAST&region=EU_868&loss=0.1&hops=0&seed=7"

Hears: TypeAlias = Callable[[int, int], Hearing | None]
"""Given a speaker and a hearer, two numbers of nodes: how they are connected; None: not at all."""

Watch: TypeAlias = Callable[[Happening], None]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a mesh is like.

    Args:
        region: of the band plan.
        preset: how all nodes are set.
        loss: share of the frames that each path loses, beside collisions.
        burst: mean seconds of a bad time in which a path loses everything; None: each frame is
            lost by itself.
        signed: the nodes sign what is for everyone, as firmware 2.8 does.
        seed: where all draws come from.

    Raises:
        ValueError: no such region or preset, or a preset that the region does not have.
    """

    region: str = "EU_868"
    preset: str = "LONG_FAST"
    loss: float = 0.0
    burst: float | None = None
    signed: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        air(self.region, self.preset)

    @property
    def air(self) -> Air:
        """What packets cost."""
        return air(self.region, self.preset)

    @property
    def firmware(self) -> str:
        """What the nodes say they run."""
        return SIGNING if self.signed else PLAIN

    def path(self) -> Loss:
        """Return what one path loses."""
        return Bursty(self.loss, self.burst) if self.burst else Independent(self.loss)

    def limits(self) -> LoraLimits:
        """Return what an ordinary link on such a mesh carries."""
        return limits_of(Info(0, self.air, firmware=self.firmware))


@dataclass(frozen=True, slots=True)
class SimNode:
    """A node of a simulated mesh.

    Args:
        number: its number.
        name: its long name.
        role: whether it relays.
        key: whether it has a key pair; then what it sends to one node is encrypted for that one.
        signs: whether its firmware signs what is for everyone, where that fits.
        knows: the numbers of those whose key it has at the start; None: everyone's.
    """

    number: int
    name: str = ""
    role: Role = Role.CLIENT
    key: bool = True
    signs: bool = False
    knows: frozenset[int] | None = None


class SimMesh:
    """The air that nodes share, and time for it; belongs to one event loop while it has clients.

    Args:
        name: what its links are called.
        conditions: what it is like.
        hears: who hears whom; None: everybody everybody, with the loss of the conditions.
    """

    def __init__(
        self, name: str = "mesh", conditions: Conditions | None = None, hears: Hears | None = None
    ) -> None:
        self.name = name
        self.conditions = conditions or Conditions()
        self.channel = Channel(self.conditions.air, seed=self.conditions.seed)
        self.chance = Random(f"packet ids {self.conditions.seed}")
        self.nodes: dict[int, SimNode] = {}
        self.watchers: list[Watch] = []
        self._hears = hears or self._all_hear
        self._radios: dict[int, SimRadio] = {}
        self._silent: set[int] = set()
        self._runtime: Runtime | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._rings = 0.0

    def now(self) -> float:
        """Return the time of the air."""
        return self._runtime.now() if self._runtime else 0.0

    def add(self, node: SimNode) -> None:
        """Add a node that has no client yet; one of the same number is replaced: it was reset."""
        self.channel.join(Station(node.number, node.role))
        new = node.number not in self.nodes
        self.nodes[node.number] = node
        if new:
            self._connect(node.number)

    def join(self, number: int, runtime: Runtime, name: str = "") -> SimRadio:
        """Become the client of a node, a new one if it is not there yet.

        ``SimTransport.open`` does it, and leaves again.

        Raises:
            TransportUnavailable: the node is silent, or has a client and takes no second one.
        """
        if number in self._silent:
            raise TransportUnavailable(
                f"node {address_of(number)} of lora+sim://{self.name} says nothing"
            )
        if number in self._radios:
            raise TransportUnavailable(
                f"node {address_of(number)} of lora+sim://{self.name} is open already"
            )
        if not self._radios:
            self._runtime = runtime
        if number not in self.nodes:
            self.add(SimNode(number, name, signs=self.conditions.signed))
        radio = self._radios[number] = SimRadio(self, self.nodes[number])
        return radio

    def cut(self, number: int, reason: str = "its power was cut") -> None:
        """Reset a node: what it was about to send is gone, and its client finds `LinkLost`.

        Raises:
            KeyError: there is no such node.
        """
        self.add(self.nodes[number])
        if (radio := self._radios.get(number)) is not None:
            radio.tell(Lost(f"lora+sim://{self.name}, {address_of(number)}: {reason}"))
            self.leave(radio)

    def silence(self, number: int) -> None:
        """Have a node hear and say nothing, to others and to its client, until ``wake``."""
        self._silent.add(number)
        for other in self.nodes:
            self.channel.part(number, other)
            self.channel.part(other, number)

    def wake(self, number: int) -> None:
        """End a node's silence. Again: nothing happens."""
        if number in self._silent:
            self._silent.discard(number)
            self._connect(number)

    def silent(self, number: int) -> bool:
        """Tell whether a node says nothing."""
        return number in self._silent

    def leave(self, radio: SimRadio) -> asyncio.Task[None] | None:
        """Let go of a node, which goes on by itself; again: nothing happens.

        Returns:
            What has yet to end, where that was the last client: for nobody, time does not pass.
        """
        number = radio.node.number
        if self._radios.get(number) is not radio:
            return None
        del self._radios[number]
        if self._radios:
            return None
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()
        _forget(self)
        return alarm

    def hand(self, packet: MeshPacket) -> tuple[Result, int]:
        """Give a node a packet; return what it says to that, and the places left in its queue."""
        self._run(self.now())
        handed = self.channel.hand(packet.sender, packet, self.now())
        self._stir()
        return handed.result, handed.free

    def _all_hear(self, speaker: int, hearer: int) -> Hearing | None:
        return Hearing(loss=self.conditions.path())

    def _connect(self, number: int) -> None:
        """Let a node hear all those that it hears, and be heard."""
        others = [other for other in self.nodes if other != number and other not in self._silent]
        for other in others:
            for speaker, hearer in ((number, other), (other, number)):
                if (hearing := self._hears(speaker, hearer)) is not None:
                    self.channel.connect(speaker, hearer, hearing)

    # Time

    def _stir(self) -> None:
        """Have the channel go on when it has something to do."""
        at = self.channel.next_event()
        if at is None or (self._alarm is not None and self._rings <= at):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings = at
        self._alarm = asyncio.get_running_loop().create_task(self._ring(at))

    async def _ring(self, at: float) -> None:
        assert self._runtime is not None
        await self._runtime.sleep(max(0.0, at - self.now()))
        self._alarm = None
        self._run(max(at, self.now()))  # a clock may wake us a trifle early
        self._stir()

    def _run(self, now: float) -> None:
        for happening in self.channel.run(now):
            for watch in self.watchers:
                watch(happening)
            if (radio := self._radios.get(happening.node)) is not None:
                radio.happened(happening)


class SimRadio:
    """A node of a mesh as its client sees it: what is behind a `LoraLink`."""

    def __init__(self, mesh: SimMesh, node: SimNode) -> None:
        self.node = node
        self._mesh = mesh
        self._knows = node.knows
        self._hear: Hear | None = None
        self._early: list[Event] = []
        self._end: LinkLost | LinkClosed | None = None
        self._full = False
        self._told: tuple[float, float, float] | None = None  # when, used, busy

    @property
    def info(self) -> Info:
        told, used, busy = self._usage()
        return Info(
            self.node.number,
            self._mesh.channel.air,
            key=self.node.key,
            firmware=SIGNING if self.node.signs else PLAIN,
            name=self.node.name,
            used=used,
            busy=busy,
            told=told,
        )

    @property
    def nodes(self) -> Mapping[int, Known]:
        others = (node for node in self._mesh.nodes.values() if node is not self.node)
        return {n.number: Known(n.number, n.name, key=self._can_encrypt(n.number)) for n in others}

    def attach(self, hear: Hear, /) -> None:
        self._hear = hear
        early, self._early = self._early, []
        for event in early:
            hear(event)

    async def send(self, packet: Outgoing, /) -> None:
        if self._end is not None:
            raise self._end.with_traceback(None)
        if self._mesh.silent(self.node.number):
            return
        number, direct = self.node.number, packet.to != EVERYONE and self.node.key
        if direct and not self._can_encrypt(packet.to):
            self._refuse(packet, Trouble.PKI_SEND_FAIL_PUBLIC_KEY)
            return
        result, free = self._mesh.hand(
            MeshPacket(
                number,
                packet.id,
                packet.payload,
                packet.to,
                hop_limit=packet.hops,
                direct=direct,
                signed=self.node.signs and not direct,
                channel=0 if direct else packet.channel,
            )
        )
        self._full = free == 0
        if result is Result.DUTY_CYCLE:
            self._refuse(packet, Trouble.DUTY_CYCLE_LIMIT)
        else:
            self.tell(Queued(packet.id, result, free))

    async def introduce(self) -> None:
        """Have all nodes of the mesh have our key, and us theirs: at once, and for no air."""
        self._knows = None
        for number in self.nodes:
            if self._can_encrypt(number):
                self.tell(Acquainted(number))

    async def aclose(self) -> None:
        self._end = self._end or LinkClosed(f"lora+sim://{self._mesh.name} is closed")
        if (ending := self._mesh.leave(self)) is not None:
            await asyncio.gather(ending, return_exceptions=True)

    def tell(self, event: Event) -> None:
        """Tell the client."""
        if isinstance(event, Lost):
            self._end = LinkLost(event.reason)
        if self._hear is None:
            self._early.append(event)
        else:
            self._hear(event)

    def happened(self, happening: Happening) -> None:
        """Tell the client what a client is told of what happens at its node."""
        match happening:
            case Delivered():
                self.tell(_received(happening))
            case Gone() if self._full:
                self._full = False
                free = self._mesh.channel.free(self.node.number)
                self.tell(Queued(0, Result.QUEUED, free))
            case _:
                pass  # a node keeps it to itself

    def _can_encrypt(self, number: int) -> bool:
        other = self._mesh.nodes.get(number)
        known = self._knows is None or number in self._knows
        return known and other is not None and other.key

    def _refuse(self, packet: Outgoing, trouble: Trouble) -> None:
        self.tell(Routed(packet.id, trouble, self.node.number))
        self.tell(Queued(packet.id, trouble, self._mesh.channel.free(self.node.number)))

    def _usage(self) -> tuple[float, float, float]:
        """Return what the node last told of the air: when, and the shares used and busy."""
        now, channel, number = self._mesh.now(), self._mesh.channel, self.node.number
        if self._told is None or now >= self._told[0] + TELLS:
            used, busy = channel.used(number, now), channel.busy(number, now)
            self._told = now, min(1.0, used), busy
        return self._told


def _received(delivered: Delivered) -> Received:
    packet, snr_db = delivered.packet, delivered.snr_db
    return Received(
        packet.payload,
        packet.sender,
        packet.to,
        packet.channel,
        packet.port,
        packet.direct,
        snr_db,
    )


class SimLink(LoraLink):
    """A link over a simulated node; in the ledger it is kept apart from real ones."""

    @property
    def limits(self) -> LoraLimits:
        limits = super().limits
        return replace(limits, radio=limits.radio and limits.radio.replace("meshtastic", "sim"))


@dataclass(frozen=True, slots=True)
class SimOptions(LoraOptions):
    """What may stand in the query of a ``lora+sim:`` link.

    Args:
        channel: number or name of the channel; without it the primary one, 0.
        hops: how many relays in a row may pass a packet on, 0 to 7.
        direct: what goes to one node alone, encrypted for it: ``control``, ``all`` or ``none``.
        busy: while others use the channel more than a quarter of the time, new messages ``wait``,
            or the user is asked (``ask``), or they go all the same (``send``).
        reserve: share of the duty cycle that is left for others who use this node, 0 to 0.9.
        node: the node's number, !1a2b3c4d; without it the origin of who opens the link.
        region: of the band plan.
        preset: how all nodes of the mesh are set; without it as the region's usually are.
        loss: share of the frames that each path loses, beside collisions.
        burst: mean seconds of a bad time in which a path loses everything.
        signed: 1: the nodes sign what is for everyone, as firmware 2.8 does.
        seed: where all draws come from.
    """

    node: str | None = None
    region: str = "EU_868"
    preset: str | None = None
    loss: float = 0.0
    burst: float | None = None
    signed: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SimTransport:
    """Settings of a link on a simulated mesh.

    Args:
        mesh: the mesh, or its name: all who open one name in one event loop share a mesh, for as
            long as one of them has it open.
        options: which channel, and how.
        conditions: what a mesh that is opened by name is like; None takes it as it is.
        node: the node's number; None: the origin of who opens the link.
    """

    mesh: SimMesh | str
    options: LoraOptions = field(default_factory=LoraOptions)
    conditions: Conditions | None = None
    node: int | None = None

    @classmethod
    def from_url(cls, url: SplitResult) -> SimTransport:
        """Read ``lora+sim://NAME?...``.

        Raises:
            ValueError: it is written otherwise.
        """
        with written(_HOW):
            if not url.hostname or url.path not in ("", "/"):
                raise ValueError("a simulated mesh has a name and no path")
            options = Options(url, *SimOptions.__dataclass_fields__)
            conditions, node = _conditions(options), _node(options)
            kept = None if conditions == Conditions() else conditions
            return cls(url.hostname, LoraOptions.read(options), kept, node)

    @property
    def key(self) -> str:
        name = self.mesh if isinstance(self.mesh, str) else self.mesh.name
        return f"lora+sim:{name}" + (f"/{address_of(self.node)}" if self.node is not None else "")

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[SimLink]:
        mesh = _named(self.mesh, self.conditions) if isinstance(self.mesh, str) else self.mesh
        number = context.origin if self.node is None else self.node
        radio = mesh.join(number, context.runtime, context.name or "")
        try:
            link = SimLink(radio, self.options, context.runtime, mesh.chance)
            try:
                yield link
            finally:
                await link.aclose()
        finally:
            await radio.aclose()


_NAMED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SimMesh]] = WeakKeyDictionary()
"""The meshes that were opened by name and still have clients; a loop's go with the loop."""


def _named(name: str, conditions: Conditions | None) -> SimMesh:
    meshes = _NAMED.setdefault(asyncio.get_running_loop(), {})
    mesh = meshes.setdefault(name, SimMesh(name, conditions))
    if conditions not in (None, mesh.conditions):
        raise TransportUnavailable(
            f"lora+sim://{name} is already open with other conditions than these"
        )
    return mesh


def _forget(mesh: SimMesh) -> None:
    meshes = _NAMED.get(asyncio.get_running_loop())
    if meshes and meshes.get(mesh.name) is mesh:
        del meshes[mesh.name]


def _node(options: Options) -> int | None:
    text = options.text("node", None)
    if text is None:
        return None
    number = number_of(text)
    if number is None or number in (0, EVERYONE):
        raise ValueError(f"option node={text}: expected the number of a node, !1a2b3c4d")
    return number


def _conditions(options: Options) -> Conditions:
    usual = Conditions()
    region = options.text("region", usual.region)
    return Conditions(
        region=region,
        preset=options.text("preset", region_named(region).preset),
        loss=options.number("loss", usual.loss, least=0, most=0.99),
        burst=options.number("burst", usual.burst, least=0.1, most=3600),
        signed=options.flag("signed", usual.signed),
        seed=options.integer("seed", usual.seed),
    )


SPEC = TransportSpec(
    "lora+sim",
    "a simulated LoRa mesh inside this process: for tests, rehearsals and focal lab",
    SimTransport.from_url,
    settings=SimOptions,
    limits=Conditions().limits(),
)
