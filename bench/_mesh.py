"""Conversations on the simulated mesh, in virtual time: what the table of LoRa stands on.

The law of this module: real messages, real frames, real conversations, each host with its own
assembler; only the channel and the hosts' slowness are simulated. Nothing is told to one host that
it did not hear.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from focal.core.framing import frame as frames
from focal.core.framing.assemble import Assembler
from focal.core.framing.effects import Arrived, Asked, Confirmed, Effect, GaveUp
from focal.core.framing.frame import Verdict
from focal.core.framing.pace import Pace
from focal.core.framing.peer import Conversation
from focal.core.framing.split import Splitter
from focal.core.message import Kind, Message, MessageId, check_of, destination_of
from focal.transports.lora.channel import (
    Channel,
    Delivered,
    Gone,
    Handed,
    Hearing,
    MeshPacket,
    Result,
    Role,
    Station,
)
from focal.transports.lora.loss import Loss
from focal.transports.lora.plan import Air

MTU = 231
ASSUMED_LOSS = 0.1
GIVE_UP = 12
TURNAROUND = (0.1, 0.5)
"""Seconds that a host takes between hearing a frame and answering it."""


@dataclass(slots=True)
class Said:
    """What became of one message.

    Args:
        at: when its burst was handed to the node.
        airtime: seconds that it held the channel in all, everybody's frames.
        played: when each listener's host had it complete.
        confirmed: when the sender knew that somebody has it.
        unknown: whether its sender gave up.
        frames: how many were on the air.
    """

    at: float
    airtime: float = 0.0
    played: dict[int, float] = field(default_factory=lambda: {})
    confirmed: float | None = None
    unknown: bool = False
    frames: int = 0


class Host:
    """A computer beside a node: a conversation with an inbox that commits at once."""

    def __init__(self, mesh: Mesh, number: int) -> None:
        self.mesh = mesh
        self.number = number
        pace = Pace(
            airtime=mesh.air.airtime,
            slot=mesh.air.slot,
            shared=True,
            assumed_loss=ASSUMED_LOSS,
            give_up=GIVE_UP,
            random=Random(f"{mesh.seed} {number}"),
        )
        self.talk = Conversation("lora", number, pace, Assembler())
        self.ready = 0.0
        self._said = 0

    def say(self, payload: bytes, to: int | None) -> Said:
        """Begin a message and hand its burst to the node."""
        self._said += 1
        id = MessageId(self.number, self._said)
        message = Message(id, Kind.VOICE, payload, codec=1, sent_at=1, destination=to).to_bytes()
        said = self.mesh.said[check_of(message)] = Said(self.mesh.now)
        self.talk.begin(Splitter.of(message, MTU), self.mesh.now, destination=to)
        self.pump()
        return said

    def wake(self) -> float | None:
        """Return when this host has something to do."""
        deadline = self.talk.next_deadline()
        return None if deadline is None else max(deadline, self.ready)

    def pump(self) -> None:
        """Hand to the node what is to be sent now."""
        now = self.mesh.now
        while (out := self.talk.take(now)) is not None:
            self.mesh.hand(self, out.data)
            self.talk.sent(out, now)
        for effect in self.talk.effects():
            self._on(effect)

    def hear(self, packet: MeshPacket, draw: Random) -> None:
        """Take what the node heard; an answer to it will take some time."""
        now = self.mesh.now
        self.ready = max(self.ready, now + draw.uniform(*TURNAROUND))
        frame = frames.unpack(packet.payload)
        for effect in self.talk.hear(frame, f"!{packet.sender:08x}", now):
            self._on(effect)

    def _on(self, effect: Effect) -> None:
        match effect:
            case Arrived(complete):
                self._commit(complete.message, complete.via.peer)
            case Confirmed(tag, _, _):
                self.mesh.said[tag].confirmed = self.mesh.now
            case GaveUp(tag):
                self.mesh.said[tag].unknown = True
            case Asked(poll, peer):
                self.talk.lacking(poll, peer, self.mesh.now)
            case _:
                pass

    def _commit(self, message: bytes, peer: str | None) -> None:
        destination = destination_of(message)[1]
        if destination not in (None, self.number):
            return
        tag, now = check_of(message), self.mesh.now
        self.mesh.said[tag].played.setdefault(self.number, now)
        self.talk.committed(tag, Verdict.DELIVERED, now, to_all=destination is None, peer=peer)


class Mesh:
    """Hosts, their nodes and the channel.

    Args:
        air: what packets cost.
        seed: where all draws come from.
    """

    def __init__(self, air: Air, seed: int) -> None:
        self.air = air
        self.seed = seed
        self.now = 0.0
        self.channel = Channel(air, seed=seed, window=(3, 3))
        self.hosts: dict[int, Host] = {}
        self.said: dict[int, Said] = {}
        self._turnaround = Random(f"{seed} turnaround")
        self._packets = 0
        self._sent: dict[int, int] = {}

    def add(self, number: int) -> Host:
        """Add a host and its node, which relays nothing and hears nobody yet."""
        self.channel.join(Station(number, Role.CLIENT_MUTE))
        host = self.hosts[number] = Host(self, number)
        return host

    def join(self, a: int, b: int, one: Loss, other: Loss) -> None:
        """Let two nodes hear each other."""
        self.channel.connect(a, b, Hearing(loss=one))
        self.channel.connect(b, a, Hearing(loss=other))

    def hand(self, host: Host, data: bytes) -> Handed:
        """Give a frame to a host's node."""
        self._packets += 1
        packet = MeshPacket(host.number, self._packets, data)
        handed = self.channel.hand(host.number, packet, self.now)
        assert handed.result is Result.QUEUED, handed
        return handed

    def run(self, until: float) -> None:
        """Let time pass."""
        while (at := self._next()) is not None and at <= until:
            self.now = max(self.now, at)
            for happened in self.channel.run(self.now):
                if isinstance(happened, Delivered):
                    self.hosts[happened.node].hear(happened.packet, self._turnaround)
                elif isinstance(happened, Gone):
                    self._account(happened)
            for host in self.hosts.values():
                wake = host.wake()
                if wake is not None and wake <= self.now:
                    host.pump()
        self.now = until

    def _next(self) -> float | None:
        times = [self.channel.next_event(), *(host.wake() for host in self.hosts.values())]
        return min((at for at in times if at is not None), default=None)

    def _account(self, gone: Gone) -> None:
        """Count airtime for the message that a frame belongs to: all frames name its tag."""
        frame = frames.unpack(gone.packet.payload)
        assert not isinstance(frame, frames.Hello)
        said = self.said[frame.tag]
        said.airtime += gone.seconds
        said.frames += 1


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value below which a share of them lies; those that never came are infinite."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
