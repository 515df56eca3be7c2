"""A simulated mesh: who hears whom, when a node may speak, and what becomes of its packets.

The law of this module: sans-I/O. Packets and ``now`` in, happenings out; no clock, no real chance.
It does what Meshtastic's firmware (2.8) does on the air, with its formulas; what a client says to
its node, and in which bytes, is somebody else's.

What is simulated: airtime; half duplex; listening before speaking (a random number of slots, drawn
anew when the channel was found busy); collisions of whatever overlaps at a hearer, from nodes that
do not hear each other too; loss of each path; relays by hop limit, each packet once; a queue of 16
by priority; the duty cycle, refused when a packet is handed over; acknowledgements with repeats.
What is not: next-hop routing (directs are flooded), power saving, and frequency errors.

A `Channel` is driven like this: ``join`` stations and ``connect`` them, ``hand`` packets over,
``run`` when ``next_event`` says so; what happened comes back as a list.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from itertools import count
from random import Random
from typing import TypeAlias

from ...core.errors import PacketTooBig
from .loss import Independent, Loss
from .plan import PRIVATE_APP, SLOT_SYMBOLS, Air, length
from .usage import heard_bins, sent_bins

EVERYONE = 0xFFFFFFFF
"""The number that a packet for everyone is sent to."""

QUEUE = 16
"""Packets that wait in a node at most, its relays and repeats included."""

MAX_HOPS = 7
DEFAULT_HOPS = 3
"""The hop limit of what wants an acknowledgement and names none, as the firmware has it."""

TRIES = 3
"""How often a packet that wants an acknowledgement is sent in all."""

PROCESSING = 4.5
"""Seconds that the firmware gives the far side before it repeats, beside airtime and slots."""

OFFSET = 16
"""Slots that a relay waits before it draws, so that what is new goes first."""

REPEAT_SLOTS = 32
REMEMBERED = 100
"""Packets that a node knows again, at the least; twice the nodes if that is more."""

WORST_SNR, BEST_SNR = -20.0, 10.0
"""dB between which the farther of two relays draws from the smaller window."""

ROUTING = 5
"""The port of acknowledgements."""


class Priority(IntEnum):
    """The firmware's priorities."""

    BACKGROUND = 10
    DEFAULT = 64
    RELIABLE = 70
    RESPONSE = 80
    ACK = 120
    MAX = 127


class Role(Enum):
    """What a node does with others' packets."""

    CLIENT = "CLIENT"  # relays, unless it hears that somebody else has
    CLIENT_MUTE = "CLIENT_MUTE"  # never relays
    ROUTER = "ROUTER"  # relays early, and always


class Result(IntEnum):
    """What became of a packet that was handed over; the numbers are QueueStatus's."""

    QUEUED = 0
    TOO_LARGE = 7
    DUTY_CYCLE = 9
    QUEUE_FULL = 32


@dataclass(frozen=True, slots=True)
class MeshPacket:
    """A packet of the mesh.

    Args:
        sender: the node that made it.
        id: its number; sender and id together are known again.
        payload: what the application said.
        to: a node's number, or ``EVERYONE``.
        port: the application's.
        hop_limit: how often it may still be relayed.
        hop_start: the hop limit that its sender gave it.
        want_ack: repeat it until it is acknowledged, or, to everyone, heard relayed.
        direct: encrypted for one node (it is longer).
        signed: by a node that signs what is for everyone where the signature fits.
        priority: higher leaves the queue first.
        channel: index of the channel.
        request: the id of the packet that it answers; 0 is none.
        extra: bytes of other fields of the protobuf.
    """

    sender: int
    id: int
    payload: bytes = field(repr=False)
    to: int = EVERYONE
    port: int = PRIVATE_APP
    hop_limit: int = 0
    hop_start: int = 0
    want_ack: bool = False
    direct: bool = False
    signed: bool = False
    priority: int = Priority.DEFAULT
    channel: int = 0
    request: int = 0
    extra: int = 0

    @property
    def length(self) -> int:
        """Bytes over the air. Raises PacketTooBig."""
        beside = self.extra + (5 if self.request else 0)
        return length(
            len(self.payload) + beside, direct=self.direct, signed=self.signed, port=self.port
        )


@dataclass(frozen=True, slots=True)
class Station:
    """A node of the mesh.

    Args:
        number: its own.
        role: whether it relays.
        duty: share of an hour that it may send; None is the region's.
    """

    number: int
    role: Role = Role.CLIENT
    duty: float | None = None


@dataclass(frozen=True, slots=True)
class Hearing:
    """How one node hears another.

    Args:
        snr_db: signal to noise ratio.
        loss: what the path loses beside collisions; a new one for each path.
    """

    snr_db: float = 6.0
    loss: Loss = field(default_factory=Independent)


@dataclass(frozen=True, slots=True)
class Handed:
    """The answer to a packet that was handed over.

    Args:
        result: what became of it.
        free: places left in the queue.
    """

    result: Result
    free: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """A node gives its client a packet that it heard.

    Args:
        at: when.
        node: whose client.
        packet: as it was on the air: ``hop_start - hop_limit`` nodes relayed it.
        snr_db: of the last of them.
    """

    at: float
    node: int
    packet: MeshPacket
    snr_db: float


@dataclass(frozen=True, slots=True)
class Gone:
    """A node has sent a packet: its own, or one that it relays.

    Args:
        at: when the transmission ended.
        node: who sent.
        packet: what.
        seconds: how long it held the channel.
    """

    at: float
    node: int
    packet: MeshPacket
    seconds: float


@dataclass(frozen=True, slots=True)
class Missed:
    """A node in hearing did not get a packet.

    Args:
        at: when its transmission ended.
        node: who did not hear it.
        packet: what.
        collided: another one overlapped it there, or the node spoke itself; else the path lost it.
    """

    at: float
    node: int
    packet: MeshPacket
    collided: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A node throws a packet away that it had taken, for one of a higher priority."""

    at: float
    node: int
    packet: MeshPacket


@dataclass(frozen=True, slots=True)
class Relayed:
    """A node overheard that its own packet was relayed: the implicit acknowledgement."""

    at: float
    node: int
    packet: MeshPacket


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """A node has sent its packet as often as it does, and nobody acknowledged it."""

    at: float
    node: int
    packet: MeshPacket


Happening: TypeAlias = Delivered | Gone | Missed | Refused | Relayed | Unacknowledged


@dataclass(slots=True)
class _Waiting:
    """A packet in a node's queue; ``snr_db`` is that of what it relays, None for its own."""

    packet: MeshPacket
    snr_db: float | None
    order: int

    @property
    def rank(self) -> tuple[int, bool, int]:
        return -self.packet.priority, self.snr_db is None, self.order


@dataclass(slots=True)
class _Pending:
    """A packet of a node's own that is not acknowledged yet."""

    packet: MeshPacket
    tries: int = 0


class _Node:
    """What a station remembers."""

    __slots__ = ("contending", "heard", "pending", "queue", "seen", "sending", "sent", "station")

    def __init__(self, station: Station) -> None:
        self.station = station
        self.queue: list[_Waiting] = []
        self.sending: _Transmission | None = None
        self.contending = False
        self.pending: dict[int, _Pending] = {}
        self.seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self.sent = sent_bins()
        self.heard = heard_bins()

    def waits(self, key: tuple[int, int]) -> _Waiting | None:
        """Return what it is about to relay of this packet."""
        return next((w for w in self.queue if w.snr_db is not None and _key(w.packet) == key), None)


@dataclass(slots=True, eq=False)
class _Transmission:
    """A packet on the air; ``spoiled`` are the hearers at which something else overlaps it."""

    node: _Node
    packet: MeshPacket
    hearers: dict[_Node, Hearing]
    begin: float
    end: float
    spoiled: set[_Node] = field(default_factory=lambda: set())


class Channel:
    """A frequency that nodes share.

    Args:
        air: what packets cost here.
        seed: where all draws come from.
        window: exponents of the contention window, on an idle channel and on a full one.
        capture_db: a packet survives others that are so much weaker at its hearer; None: never.
    """

    def __init__(
        self,
        air: Air,
        *,
        seed: int = 0,
        window: tuple[int, int] = (3, 8),
        capture_db: float | None = None,
    ) -> None:
        self.air = air
        self.window = window
        self.capture_db = capture_db
        self._random = Random(seed)
        self._nodes: dict[int, _Node] = {}
        self._paths: dict[int, dict[_Node, Hearing]] = {}
        self._on_air: list[_Transmission] = []
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._happened: list[Happening] = []
        self._airtimes: dict[int, float] = {}
        self._sensing = SLOT_SYMBOLS * air.modem.symbol

    # Who is there

    def join(self, station: Station) -> None:
        """Add a node; it hears nobody yet. One of the same number is replaced: it was reset."""
        old = self._nodes.get(station.number)
        node = self._nodes[station.number] = _Node(station)
        if old is not None:
            self._part(old, node)
        self._paths.setdefault(station.number, {})

    def leave(self, number: int) -> None:
        """Take a node away. Raises KeyError."""
        self._part(self._nodes.pop(number), None)
        del self._paths[number]

    def connect(self, speaker: int, hearer: int, hearing: Hearing | None = None) -> None:
        """Let one node hear another, one way. Raises KeyError."""
        self._paths[speaker][self._nodes[hearer]] = hearing or Hearing()

    def part(self, speaker: int, hearer: int) -> None:
        """Let one node hear another no more. Raises KeyError."""
        self._paths[speaker].pop(self._nodes[hearer], None)

    def _part(self, old: _Node, new: _Node | None) -> None:
        """A node is gone, or begins anew: what it said is cut off, what it heard forgotten."""
        old.queue.clear()
        old.pending.clear()
        if old.sending in self._on_air:
            self._on_air.remove(old.sending)
        for paths in self._paths.values():
            if (hearing := paths.pop(old, None)) is not None and new is not None:
                paths[new] = hearing

    # What a client asks

    def hand(self, number: int, packet: MeshPacket, now: float) -> Handed:
        """Give a node a packet of its own to send.

        A packet that wants an acknowledgement and has no hop limit gets the firmware's default.

        Raises:
            KeyError: no such node.
        """
        node = self._nodes[number]
        hops = packet.hop_limit or (DEFAULT_HOPS if packet.want_ack else 0)
        packet = replace(packet, hop_limit=hops, hop_start=hops)
        try:
            self._airtime(packet)
        except PacketTooBig:
            return Handed(Result.TOO_LARGE, self.free(number))
        result = self._enqueue(node, packet, None, now)
        if result is Result.QUEUED:
            self._remember(node, _key(packet))
            if packet.want_ack:
                node.pending[packet.id] = _Pending(packet)
        return Handed(result, self.free(number))

    def free(self, number: int) -> int:
        """Return the places left in a node's queue. Raises KeyError."""
        return QUEUE - len(self._nodes[number].queue)

    def used(self, number: int, now: float) -> float:
        """Return the share of the last hour that a node sent (airUtilTx). Raises KeyError."""
        return self._nodes[number].sent.share(now)

    def busy(self, number: int, now: float) -> float:
        """Return the share of the last minute that a node sent or heard. Raises KeyError."""
        return min(1.0, self._nodes[number].heard.share(now))

    # Time

    def next_event(self) -> float | None:
        """Return when ``run`` has something to do."""
        return self._events[0][0] if self._events else None

    def run(self, now: float) -> list[Happening]:
        """Do all that is due up to now; return what happened, in order."""
        while self._events and self._events[0][0] <= now:
            at, _, act = heapq.heappop(self._events)
            act(at)
        happened, self._happened = self._happened, []
        return happened

    def _at(self, at: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), act))

    # Speaking

    def _enqueue(self, node: _Node, packet: MeshPacket, snr_db: float | None, now: float) -> Result:
        duty = self.air.region.duty if node.station.duty is None else node.station.duty
        if duty < 1 and node.sent.share(now) > duty:
            return Result.DUTY_CYCLE
        waiting = _Waiting(packet, snr_db, next(self._order))
        if len(node.queue) >= QUEUE and not self._evict(node, waiting, now):
            return Result.QUEUE_FULL
        node.queue.append(waiting)
        node.queue.sort(key=lambda one: one.rank)
        self._contend(node, now)
        return Result.QUEUED

    def _evict(self, node: _Node, waiting: _Waiting, now: float) -> bool:
        last = node.queue[-1]
        if last.packet.priority >= waiting.packet.priority:
            return False
        node.queue.pop()
        self._happened.append(Refused(now, node.station.number, last.packet))
        return True

    def _contend(self, node: _Node, now: float) -> None:
        """Draw when the first in the queue may go out."""
        if node.queue and node.sending is None and not node.contending:
            node.contending = True
            wait = self._slots(node, node.queue[0].snr_db, now) * self.air.slot
            self._at(now + wait, lambda at: self._ready(node, at))

    def _slots(self, node: _Node, snr_db: float | None, now: float) -> int:
        if snr_db is None:
            return self._random.randrange(1 << self._exponent(node.heard.share(now)))
        exponent = self._exponent((snr_db - WORST_SNR) / (BEST_SNR - WORST_SNR))
        if node.station.role is Role.ROUTER:
            return self._random.randrange(2 * exponent)
        return OFFSET + self._random.randrange(1 << exponent)

    def _exponent(self, share: float) -> int:
        least, most = self.window
        return least + int((most - least) * min(1.0, max(0.0, share)))

    def _ready(self, node: _Node, now: float) -> None:
        """The slots are over: speak, or wait for the end of what is heard and draw anew."""
        node.contending = False
        if not node.queue or node.sending is not None:
            return
        sensed = [one.end for one in self._on_air if self._senses(node, one, now)]
        if sensed:
            node.contending = True
            self._at(max(sensed), lambda at: self._again(node, at))
        else:
            self._speak(node, now)

    def _again(self, node: _Node, now: float) -> None:
        node.contending = False
        self._contend(node, now)

    def _senses(self, node: _Node, one: _Transmission, now: float) -> bool:
        return node in one.hearers and now - one.begin >= self._sensing

    def _speak(self, node: _Node, now: float) -> None:
        packet = node.queue.pop(0).packet
        hearers = self._paths[node.station.number]
        seconds = self._airtime(packet)
        one = node.sending = _Transmission(node, packet, dict(hearers), now, now + seconds)
        for other in self._on_air:
            self._overlap(one, other)
        self._on_air.append(one)
        self._at(one.end, lambda at: self._spoken(one, at))

    def _overlap(self, one: _Transmission, other: _Transmission) -> None:
        """Two are on the air at once: who hears both hears neither, and who speaks hears nobody."""
        one.spoiled.add(other.node)
        other.spoiled.add(one.node)
        for hearer in one.hearers.keys() & other.hearers.keys():
            ahead = one.hearers[hearer].snr_db - other.hearers[hearer].snr_db
            if self.capture_db is None or ahead < self.capture_db:
                one.spoiled.add(hearer)
            if self.capture_db is None or -ahead < self.capture_db:
                other.spoiled.add(hearer)

    def _airtime(self, packet: MeshPacket) -> float:
        length = packet.length
        if length not in self._airtimes:
            self._airtimes[length] = self.air.modem.airtime(length)
        return self._airtimes[length]

    def _spoken(self, one: _Transmission, now: float) -> None:
        if one not in self._on_air:  # its node was reset meanwhile
            return
        self._on_air.remove(one)
        node, seconds = one.node, one.end - one.begin
        node.sending = None
        node.sent.add(now, seconds)
        node.heard.add(now, seconds)
        self._happened.append(Gone(now, node.station.number, one.packet, seconds))
        self._expect(node, one.packet, now)
        for hearer, hearing in one.hearers.items():
            hearer.heard.add(now, seconds)
            lost, collided = hearing.loss.lost(now, self._random), hearer in one.spoiled
            if lost or collided:
                self._happened.append(Missed(now, hearer.station.number, one.packet, collided))
            else:
                self._hear(hearer, one.packet, hearing.snr_db, now)
        self._contend(node, now)

    # Hearing

    def _hear(self, node: _Node, packet: MeshPacket, snr_db: float, now: float) -> None:
        key, number = _key(packet), node.station.number
        if packet.sender == number:
            self._overheard(node, packet, now)
            return
        known = key in node.seen
        self._remember(node, key)
        if packet.to == number and packet.want_ack:
            self._acknowledge(node, packet, now)  # every copy: the last one may have been lost
        if known:
            self._leave_to_others(node, key)
            return
        if packet.to in (number, EVERYONE):
            if packet.request:
                node.pending.pop(packet.request, None)
            self._happened.append(Delivered(now, number, packet, snr_db))
        if packet.to != number:
            self._relay(node, packet, snr_db, now)

    def _remember(self, node: _Node, key: tuple[int, int]) -> None:
        node.seen[key] = None
        node.seen.move_to_end(key)
        if len(node.seen) > max(REMEMBERED, 2 * len(self._nodes)):
            node.seen.popitem(last=False)

    def _relay(self, node: _Node, packet: MeshPacket, snr_db: float, now: float) -> None:
        if packet.hop_limit and node.station.role is not Role.CLIENT_MUTE:
            self._enqueue(node, replace(packet, hop_limit=packet.hop_limit - 1), snr_db, now)

    def _leave_to_others(self, node: _Node, key: tuple[int, int]) -> None:
        """Somebody else has relayed it: an ordinary node keeps silent then."""
        waiting = node.waits(key)
        if waiting is not None and node.station.role is Role.CLIENT:
            node.queue.remove(waiting)

    # Acknowledging

    def _acknowledge(self, node: _Node, packet: MeshPacket, now: float) -> None:
        ack = MeshPacket(
            node.station.number,
            self._random.getrandbits(32),
            b"\x18\0",
            to=packet.sender,
            port=ROUTING,
            hop_limit=_way_back(packet),
            hop_start=_way_back(packet),
            priority=Priority.ACK,
            channel=packet.channel,
            request=packet.id,
        )
        self._enqueue(node, ack, None, now)

    def _expect(self, node: _Node, packet: MeshPacket, now: float) -> None:
        """A node's own packet has gone out: repeat it unless it is acknowledged in time."""
        pending = node.pending.get(packet.id) if packet.sender == node.station.number else None
        if pending is not None:
            pending.tries += 1
            tries = pending.tries
            wait = self.patience(packet, node.heard.share(now))
            self._at(now + wait, lambda at: self._repeat(node, pending, tries, at))

    def patience(self, packet: MeshPacket, busy: float) -> float:
        """Return the seconds from a packet's end until it is repeated."""
        slots = (1 << self._exponent(busy)) + OFFSET + REPEAT_SLOTS
        return self._airtime(packet) + slots * self.air.slot + PROCESSING

    def _repeat(self, node: _Node, pending: _Pending, tries: int, now: float) -> None:
        packet = pending.packet
        if node.pending.get(packet.id) is not pending or pending.tries != tries:
            return
        if tries < TRIES and self._enqueue(node, packet, None, now) is Result.QUEUED:
            return
        del node.pending[packet.id]
        self._happened.append(Unacknowledged(now, node.station.number, packet))

    def _overheard(self, node: _Node, packet: MeshPacket, now: float) -> None:
        if packet.to == EVERYONE and node.pending.pop(packet.id, None) is not None:
            self._happened.append(Relayed(now, node.station.number, packet))


def _key(packet: MeshPacket) -> tuple[int, int]:
    return packet.sender, packet.id


def _way_back(packet: MeshPacket) -> int:
    """Return the hop limit of an answer: as far as the question came, and a little more."""
    came = packet.hop_start - packet.hop_limit
    return came if came > DEFAULT_HOPS else min(came + 2, DEFAULT_HOPS)
