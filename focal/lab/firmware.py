"""A simulated node as its client sees it: Meshtastic's messages in and out. Sans-I/O.

The law of this module: messages and ``now`` in; what a client is to be told waits in the node's
`Outbox`. It does what the firmware (2.7 and 2.8) does; what happens on the air is the channel's.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeAlias, TypeVar

from google.protobuf.message import DecodeError
from meshtastic.protobuf import (  # pyright: ignore[reportMissingTypeStubs]
    admin_pb2,
    mesh_pb2,
    portnums_pb2,
)

from ..core.errors import FrameError
from ..transports.lora.channel import EVERYONE, MAX_HOPS, Delivered, Handed, MeshPacket, Priority
from ..transports.lora.radio import FULL, Trouble
from .happened import Happened
from .outbox import Outbox
from .protobufs import (
    Metrics,
    acknowledged,
    address,
    everything,
    lora,
    notice,
    queued,
    received,
    routed,
    telemetry,
    user,
)
from .scenario import ALL, Node, Scenario

DATA_PAYLOAD = 233
"""Bytes of payload that the node can decode; it is silent about what is longer."""

RECENT = 20
"""Packets that the client handed over of which the id is known: the same again is ignored."""

REMEMBERED = 4096
"""Packets of which is remembered what the channel does not carry."""

ASK_OTHERS = 1
"""The number of a heartbeat that asks the node to say who it is, and others for the same."""

URGENT, ORDINARY = 60.0, 600.0
"""Seconds in which a node does not say again who it is, where its client asks, and else."""

ANSWERED = 12 * 3600.0
"""Seconds in which a node does not answer again who asks who it is."""

POLITE, BUSY = 0.25, 0.40
"""Channel use from which a node does not say who it is unasked, and asked."""

_NEVER_ALONE = (
    portnums_pb2.PortNum.TRACEROUTE_APP,
    portnums_pb2.PortNum.NODEINFO_APP,
    portnums_pb2.PortNum.ROUTING_APP,
    portnums_pb2.PortNum.POSITION_APP,
)
"""Ports that are not encrypted for one node."""

Key: TypeAlias = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The client wants to leave."""


@dataclass(frozen=True, slots=True)
class Reboot:
    """The client wants the node to start anew, in so many seconds."""

    seconds: float


Wish: TypeAlias = Goodbye | Reboot


class Ether:
    """What all nodes share: the channel, and what of a packet it does not carry itself.

    Args:
        scenario: what there is.
        unix: the wall clock at a time of the scenario.
    """

    def __init__(self, scenario: Scenario, unix: Callable[[float], float]) -> None:
        lora(scenario)  # a region that the library does not know is told now
        self.scenario = scenario
        self.channel = scenario.channel()
        self.happened: list[Happened] = []
        self._unix = unix
        self._chance = Random(scenario.seed)
        self._data: OrderedDict[Key, mesh_pb2.Data] = OrderedDict()
        self._unread: OrderedDict[Key, None] = OrderedDict()

    def unix(self, now: float) -> int:
        """Return Unix seconds."""
        return int(self._unix(now))

    def new_id(self) -> int:
        """Return the id of a new packet."""
        return self._chance.randrange(1, 1 << 32)

    def send(self, packet: MeshPacket, data: mesh_pb2.Data, now: float) -> Handed:
        """Hand a packet to its sender's radio."""
        _keep(self._data, (packet.sender, packet.id), data)
        return self.channel.hand(packet.sender, packet, now)

    def data(self, packet: MeshPacket) -> mesh_pb2.Data:
        """Return a packet's contents; those of an acknowledgement the channel made."""
        data = mesh_pb2.Data()
        if (kept := self._data.get((packet.sender, packet.id))) is not None:
            data.CopyFrom(kept)
        else:
            unread = (packet.to, packet.request) in self._unread
            error = Trouble.PKI_UNKNOWN_PUBKEY if unread else Trouble.NONE
            data.portnum = portnums_pb2.PortNum.ROUTING_APP
            data.payload, data.request_id = routed(error), packet.request
        data.bitfield = 0
        return data

    def not_read(self, packet: MeshPacket) -> None:
        """Note that its hearer has no key to read it: what comes back says so."""
        _keep(self._unread, (packet.sender, packet.id), None)

    def tell(self, event: str, now: float, node: int, reason: str | None = None) -> None:
        """Tell that something happened to a node."""
        self.happened.append(Happened(event, now, self.name(node), reason=reason))

    def tell_of(
        self,
        event: str,
        now: float,
        node: int,
        packet: MeshPacket,
        *,
        seconds: float | None = None,
        snr_db: float | None = None,
        reason: str | None = None,
    ) -> None:
        """Tell what became of a packet."""
        what = (f"{packet.id:08x}", len(packet.payload), packet.port)
        who = (self.name(node), self.name(packet.sender), self.name(packet.to))
        self.happened.append(
            Happened(event, now, *who, *what, seconds=seconds, snr_db=snr_db, reason=reason)
        )

    def name(self, number: int) -> str:
        """Return what a node is called."""
        node = self.scenario.by_number.get(number)
        return ALL if number == EVERYONE else node.name if node else address(number)


class Firmware:
    """A node, with what it knows of others and what it has to tell its client."""

    def __init__(self, node: Node, ether: Ether) -> None:
        self.node = node
        self.outbox = Outbox()
        self._ether = ether
        there = ether.scenario.by_name
        self._users = {there[name].number: user(there[name]) for name in sorted(node.knows)}
        self._heard: dict[int, tuple[float, int]] = {}
        self._begin(0.0)

    def _begin(self, now: float) -> None:
        """Forget what does not survive a restart."""
        self.outbox.forget()
        self._started = now
        self._free = 1  # places in the queue, as the client was last told
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._sent: deque[tuple[float, float]] = deque()
        self._introduced: float | None = None
        self._answered: dict[int, float] = {}

    def restart(self, now: float) -> None:
        """Begin anew; who it knows is in its flash."""
        self._begin(now)

    # What the client says

    def take(self, body: bytes, now: float) -> Wish | None:
        """Do what a client says; return what the node itself cannot.

        Raises:
            FrameError: it is no message of Meshtastic's.
        """
        message = _parsed(body)
        match message.WhichOneof("payload_variant"):
            case "packet":
                return self._packet(message.packet, now)
            case "want_config_id":
                self._tell_everything(message.want_config_id, now)
            case "heartbeat":
                self.outbox.answer(self._queued(Trouble.NONE))
                if message.heartbeat.nonce == ASK_OTHERS:
                    self._introduce(now, EVERYONE, ask=True, patience=URGENT, hops=0)
            case "disconnect":
                return Goodbye()
            case _:
                pass
        return None

    def _packet(self, packet: mesh_pb2.MeshPacket, now: float) -> Wish | None:
        data = packet.decoded
        if not packet.HasField("decoded") or len(data.payload) > DATA_PAYLOAD:
            return None
        if packet.id in self._recent:
            return None
        id = packet.id or self._ether.new_id()
        self._recent.append(id)
        if packet.to == self.node.number:
            self.outbox.answer(self._queued(Trouble.NONE, id))
            if packet.want_ack:
                self._acknowledge(id, Trouble.NONE, now)
            return _asked(data)
        trouble = self._send(id, packet, now)
        self.outbox.answer(self._queued(trouble, id))
        if trouble not in (Trouble.NONE, FULL):
            self._acknowledge(id, trouble, now)
        return None

    def _send(self, id: int, packet: mesh_pb2.MeshPacket, now: float) -> int:
        """Send what the client handed over; return the error there was, `FULL` for no place."""
        data, node = packet.decoded, self.node
        alone = node.key and packet.to != EVERYONE and data.portnum not in _NEVER_ALONE
        mesh = MeshPacket(
            node.number,
            id,
            data.payload,
            to=packet.to,
            port=data.portnum,
            hop_limit=min(packet.hop_limit, MAX_HOPS),
            want_ack=packet.want_ack,
            direct=alone,
            signed=node.signs and packet.to == EVERYONE,
            priority=packet.priority or _priority(packet.want_ack),
            channel=packet.channel,
            request=data.request_id,
            extra=2 * data.want_response + 5 * bool(data.reply_id),
        )
        trouble = self._trouble(packet, alone)
        if trouble == Trouble.NONE:
            trouble = int(self._ether.send(mesh, data, now).result)
        self._tell_handed(mesh, trouble, now)
        return trouble

    def _trouble(self, packet: mesh_pb2.MeshPacket, alone: bool) -> int:
        """Return why a packet cannot be encrypted."""
        if packet.channel >= len(self._ether.scenario.channels) and not alone:
            return Trouble.NO_CHANNEL
        if packet.pki_encrypted and not self.node.key:
            return Trouble.PKI_FAILED
        if alone and not self._key_of(packet.to):
            return Trouble.PKI_SEND_FAIL_PUBLIC_KEY
        return Trouble.NONE

    def _tell_handed(self, packet: MeshPacket, trouble: int, now: float) -> None:
        number = self.node.number
        if trouble == Trouble.NONE:
            self._ether.tell_of("handed", now, number, packet)
            return
        if trouble == Trouble.DUTY_CYCLE_LIMIT:
            text = (
                f"Duty cycle limit exceeded. You can send again in {self._silent_minutes(now)} mins"
            )
            told = notice(text, self._ether.unix(now), packet.id)
            self.outbox.notice(_bytes(told))
        reason = "the queue is full" if trouble == FULL else Trouble(trouble).name
        self._ether.tell_of("refused", now, number, packet, reason=reason)

    def _silent_minutes(self, now: float) -> int:
        limit = 3600 * self._ether.scenario.air.region.duty
        for minutes in range(1, 60):
            begin = now + 60 * minutes - 3600
            if sum(seconds for at, seconds in self._sent if at > begin) <= limit:
                return minutes
        return 60

    def _tell_everything(self, request: int, now: float) -> None:
        others = [self._node_info(number) for number in sorted(self._users)]
        scenario, metrics = self._ether.scenario, self.metrics(now)
        messages = everything(scenario, self.node, others, metrics, request)
        self.outbox.begin(map(_bytes, messages))

    def _node_info(self, number: int) -> mesh_pb2.NodeInfo:
        snr_db, heard = self._heard.get(number, (0.0, 0))
        return mesh_pb2.NodeInfo(num=number, user=self._users[number], snr=snr_db, last_heard=heard)

    def _queued(self, code: int, packet: int = 0) -> bytes:
        self._free = self._ether.channel.free(self.node.number)
        return _bytes(queued(code, self._free, packet))

    def _acknowledge(self, packet: int, error: int, now: float) -> None:
        number, unix = self.node.number, self._ether.unix(now)
        told = acknowledged(number, self._ether.new_id(), packet, error, unix)
        self.outbox.packet(_bytes(told), portnums_pb2.PortNum.ROUTING_APP)

    # What happens on the air

    def hear(self, delivered: Delivered) -> None:
        """Take a packet from the air."""
        packet, now = delivered.packet, delivered.at
        data = self._ether.data(packet)
        if packet.direct and not self._key_of(packet.sender):
            self._ether.not_read(packet)
            return
        self._heard[packet.sender] = (delivered.snr_db, self._ether.unix(now))
        if data.portnum == portnums_pb2.PortNum.NODEINFO_APP:
            self._meet(packet, data, now)
        elif packet.sender not in self._users and self._busy(now) < POLITE:
            hops = self._ether.scenario.hop_limit
            self._introduce(now, packet.sender, ask=True, patience=ORDINARY, hops=hops)
        key = self._key_of(packet.sender)
        told = received(packet, data, delivered.snr_db, key, self._ether.unix(now))
        if not self.outbox.packet(_bytes(told), data.portnum):
            reason = "too many wait for the client"
            self._ether.tell_of("dropped", now, self.node.number, packet, reason=reason)

    def sent(self, now: float, seconds: float) -> None:
        """Count what was on the air."""
        self._sent.append((now, seconds))
        while self._sent and self._sent[0][0] <= now - 3600:
            self._sent.popleft()

    def overheard(self, packet: MeshPacket, now: float) -> None:
        """Its packet was relayed: the implicit acknowledgement."""
        self._acknowledge(packet.id, Trouble.NONE, now)

    def gave_up(self, packet: MeshPacket, now: float) -> None:
        """Its packet was sent as often as is done, and nobody acknowledged it."""
        self._acknowledge(packet.id, Trouble.MAX_RETRANSMIT, now)

    def look_at_queue(self) -> None:
        """Tell the client when there are places again, after it was told that there are none."""
        if self._free == 0 and self._ether.channel.free(self.node.number):
            self.outbox.answer(self._queued(Trouble.NONE))

    def report(self, now: float) -> None:
        """Tell the client what was measured, if nothing else waits for it."""
        if self.outbox.asked and not self.outbox.packets:
            id, unix = self._ether.new_id(), self._ether.unix(now)
            told = telemetry(self.node.number, id, self.metrics(now), unix)
            self.outbox.packet(_bytes(told), portnums_pb2.PortNum.TELEMETRY_APP)

    def metrics(self, now: float) -> Metrics:
        """Return what it measures of itself."""
        used = self._ether.channel.used(self.node.number, now)
        return Metrics(used, self._busy(now), now - self._started)

    def _busy(self, now: float) -> float:
        return self._ether.channel.busy(self.node.number, now)

    # Who is who

    def _key_of(self, number: int) -> bytes:
        known = self._users.get(number)
        key: bytes = known.public_key if known is not None else b""
        return key

    def _meet(self, packet: MeshPacket, data: mesh_pb2.Data, now: float) -> None:
        """Learn who somebody is, and say who this is where that was asked."""
        try:
            self._users[packet.sender] = mesh_pb2.User.FromString(data.payload)
        except DecodeError:
            return
        if not data.want_response:
            return
        last = self._answered.get(packet.sender)
        self._answered[packet.sender] = now
        to_all, direct = packet.to == EVERYONE, packet.hop_start == packet.hop_limit
        if (last is None or now - last >= ANSWERED) and (direct or not to_all):
            hops = 0 if to_all else self._ether.scenario.hop_limit
            self._introduce(
                now, packet.sender, ask=False, patience=ORDINARY, hops=hops, request=packet.id
            )

    def _introduce(
        self, now: float, to: int, *, ask: bool, patience: float, hops: int, request: int = 0
    ) -> None:
        """Say who this is, unless that was said a short while ago or the channel is busy."""
        last = self._introduced
        if (last is not None and now - last < patience) or self._busy(now) >= BUSY:
            return
        self._introduced = now
        data = mesh_pb2.Data(
            portnum=portnums_pb2.PortNum.NODEINFO_APP,
            payload=_bytes(user(self.node)),
            want_response=ask,
            request_id=request,
        )
        packet = MeshPacket(
            self.node.number,
            self._ether.new_id(),
            data.payload,
            to=to,
            port=data.portnum,
            hop_limit=hops,
            signed=self.node.signs and to == EVERYONE,
            request=request,
            extra=2 * ask,
        )
        trouble = int(self._ether.send(packet, data, now).result)
        self._tell_handed(packet, trouble, now)


def _asked(data: mesh_pb2.Data) -> Wish | None:
    """Return what a client asks its own node to do. Raises FrameError."""
    if data.portnum != portnums_pb2.PortNum.ADMIN_APP:
        return None
    try:
        admin = admin_pb2.AdminMessage.FromString(data.payload)
    except DecodeError as error:
        raise FrameError("an AdminMessage that is none") from error
    wants = admin.WhichOneof("payload_variant") == "reboot_seconds"
    return Reboot(admin.reboot_seconds) if wants and admin.reboot_seconds >= 0 else None


def _parsed(body: bytes) -> mesh_pb2.ToRadio:
    message = mesh_pb2.ToRadio()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise FrameError(f"{len(body)} bytes that are no message of Meshtastic's") from error
    return message


def _priority(want_ack: bool) -> int:
    return Priority.RELIABLE if want_ack else Priority.DEFAULT


def _bytes(message: mesh_pb2.FromRadio | mesh_pb2.User) -> bytes:
    body: bytes = message.SerializeToString()
    return body


def _keep(table: OrderedDict[Key, T], key: Key, value: T) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > REMEMBERED:
        table.popitem(last=False)
