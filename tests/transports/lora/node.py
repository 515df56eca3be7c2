"""Meshtastic nodes that are not there: their client protocol over TCP and over a pty.

The law of this module: what a node says to its client, byte for byte, by the protobufs of the
``meshtastic`` package. The air between nodes carries at once and loses nothing; tests tell a node
what to refuse.
"""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from meshtastic.protobuf import (  # pyright: ignore[reportMissingTypeStubs]
    channel_pb2,
    config_pb2,
    mesh_pb2,
    portnums_pb2,
    telemetry_pb2,
)

EVERYONE = 0xFFFFFFFF
MARK = b"\x94\xc3"


class Frames:
    """Takes a stream of bytes apart; what is between frames is noise."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that are whole now."""
        self._rest += data
        found: list[bytes] = []
        while (start := self._rest.find(MARK)) >= 0:
            size = int.from_bytes(self._rest[start + 2 : start + 4])
            if len(self._rest) < start + 4 + size or len(self._rest) < start + 4:
                break
            found.append(self._rest[start + 4 : start + 4 + size])
            self._rest = self._rest[start + 4 + size :]
        return found


def framed(data: bytes) -> bytes:
    """Return a message as it goes over the stream."""
    return MARK + len(data).to_bytes(2) + data


@dataclass
class Ether:
    """The air: every node hears every other one."""

    nodes: list[Node] = field(default_factory=lambda: [])

    def carry(self, sender: Node, packet: mesh_pb2.MeshPacket) -> None:
        """Bring a packet to whom it is for."""
        for node in self.nodes:
            if node is not sender and packet.to in (EVERYONE, node.number):
                node.hear(packet)


@dataclass
class Node:
    """One node. Tests set what it is like, and what it refuses.

    Args:
        number: its number.
        ether: the air that it is in.
        region, preset: how its radio is set.
        channels: their names, the primary one first.
        keys: whether it has a key pair and knows the others' keys.
        firmware: its version; None: it does not say.
        silent: it takes the connection and says nothing.
        restarts: how often it restarts when it is asked for its configuration.
        hangs_up: it drops who asks for it.
        mute: it does not answer packets with the state of its queue (an old firmware).
        refusals: codes that it answers the next packets with instead of sending them, each with
            the free places that it then tells.
        naks: errors that it reports of the next packets that it took.
    """

    number: int
    ether: Ether
    region: int = config_pb2.Config.LoRaConfig.RegionCode.EU_868
    preset: int = config_pb2.Config.LoRaConfig.ModemPreset.SHORT_FAST
    channels: tuple[str, ...] = ("", "voice")
    keys: bool = False
    firmware: str | None = "2.7.15.567b8ea"
    silent: bool = False
    restarts: int = 0
    hangs_up: bool = False
    mute: bool = False
    refusals: list[tuple[int, int]] = field(default_factory=lambda: [])
    naks: list[int] = field(default_factory=lambda: [])
    sent: list[mesh_pb2.MeshPacket] = field(default_factory=lambda: [])
    handed: list[mesh_pb2.MeshPacket] = field(default_factory=lambda: [])
    heartbeats: list[int] = field(default_factory=lambda: [])
    clients: int = 0
    _write: Callable[[bytes], None] | None = None
    _drop: Callable[[], None] | None = None

    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.ether.nodes.append(self)

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until the client has said something after which it is so."""
        while not ready():
            self._news.clear()
            await self._news.wait()

    @property
    def address(self) -> str:
        """Its number, as Meshtastic writes it."""
        return f"!{self.number:08x}"

    # the client's side

    def connect(self, write: Callable[[bytes], None], drop: Callable[[], None]) -> None:
        """A client has come; whoever was there is dropped, without a word."""
        if self._drop is not None:
            self._drop()
        self._write, self._drop = write, drop
        self.clients += 1

    def left(self, write: Callable[[bytes], None]) -> None:
        """A client has gone; nothing happens if it is not the one there."""
        if self._write == write:
            self._write = self._drop = None

    def disconnect(self) -> None:
        """Drop the client, as when the node is taken by another or restarts."""
        if self._drop is not None:
            self._drop()
        self._write = self._drop = None

    def told(self, data: bytes) -> None:
        """The client says something."""
        self._news.set()
        if self.silent:
            return
        message = mesh_pb2.ToRadio.FromString(data)
        match message.WhichOneof("payload_variant"):
            case "want_config_id":
                self._asked(message.want_config_id)
            case "heartbeat":
                self.heartbeats.append(message.heartbeat.nonce)
                self.queue_status(0, 0, 16)
            case "packet":
                self._take(message.packet)
            case _:
                pass

    def say(self, message: mesh_pb2.FromRadio) -> None:
        """Tell the client something, if there is one."""
        if self._write is not None:
            self._write(framed(message.SerializeToString()))

    def say_raw(self, data: bytes) -> None:
        """Tell it bytes, framed or not."""
        if self._write is not None:
            self._write(data)

    def queue_status(self, packet: int, code: int, free: int) -> None:
        """Say how full the queue is."""
        message = mesh_pb2.FromRadio()
        status = message.queueStatus
        status.mesh_packet_id, status.res, status.free, status.maxlen = packet, code, free, 16
        self.say(message)

    def routing(self, packet: int, error: int, by: int | None = None) -> None:
        """Say what became of a packet."""
        answer = mesh_pb2.MeshPacket(to=self.number, id=1)
        setattr(answer, "from", self.number if by is None else by)
        answer.decoded.portnum = portnums_pb2.ROUTING_APP
        answer.decoded.request_id = packet
        # with its number even where that is 0, as the firmware writes it
        answer.decoded.payload = b"\x18" + bytes((error,))
        self.packet(answer)

    def packet(self, packet: mesh_pb2.MeshPacket) -> None:
        """Give the client a packet."""
        self.say(mesh_pb2.FromRadio(packet=packet))

    def reboot(self) -> None:
        """Start again, over a cable that stays."""
        self.say(mesh_pb2.FromRadio(rebooted=True))

    def metrics(self, used: float, busy: float) -> None:
        """Tell its own use of the air, in percent, as it does every minute."""
        packet = mesh_pb2.MeshPacket(to=EVERYONE, id=2)
        setattr(packet, "from", self.number)
        packet.decoded.portnum = portnums_pb2.TELEMETRY_APP
        told = telemetry_pb2.Telemetry()
        told.device_metrics.air_util_tx, told.device_metrics.channel_utilization = used, busy
        packet.decoded.payload = told.SerializeToString()
        self.packet(packet)

    def notify(self, text: str) -> None:
        """Tell people something."""
        message = mesh_pb2.FromRadio()
        message.clientNotification.message = text
        self.say(message)

    def introduced(self, other: Node, *, answer: bool) -> None:
        """Give the client the node information of another node, as an answer to ours or not."""
        packet = mesh_pb2.MeshPacket(to=self.number, id=3)
        setattr(packet, "from", other.number)
        packet.decoded.portnum = portnums_pb2.NODEINFO_APP
        packet.decoded.request_id = 77 if answer else 0
        packet.decoded.payload = other.user().SerializeToString()
        self.packet(packet)

    def user(self) -> mesh_pb2.User:
        """Return who it is."""
        user = mesh_pb2.User(id=self.address, long_name=f"Node {self.number:x}", short_name="N")
        if self.keys:
            user.public_key = bytes(32)
        return user

    # the air's side

    def hear(self, packet: mesh_pb2.MeshPacket) -> None:
        """A packet has come in over the air."""
        heard = mesh_pb2.MeshPacket()
        heard.CopyFrom(packet)
        heard.rx_snr, heard.rx_rssi = 6.25, -60
        if packet.to == self.number and self.keys:
            heard.pki_encrypted, heard.channel = True, 0
        self.packet(heard)

    # inside

    def _take(self, packet: mesh_pb2.MeshPacket) -> None:
        setattr(packet, "from", self.number)
        self.handed.append(packet)
        code, free = self.refusals.pop(0) if self.refusals else (0, 16)
        if not self.mute:
            self.queue_status(packet.id, code, free)
        if code:
            return
        if self.naks:
            self.routing(packet.id, self.naks.pop(0))
            return
        self.sent.append(packet)
        self.ether.carry(self, packet)

    def _asked(self, nonce: int) -> None:
        if self.hangs_up:
            self.disconnect()
        elif self.restarts:
            self.restarts -= 1
            self.reboot()
        else:
            self._configure(nonce)

    def _configure(self, nonce: int) -> None:
        message = mesh_pb2.FromRadio()
        message.my_info.my_node_num = self.number
        self.say(message)
        for node in (self, *(node for node in self.ether.nodes if node is not self)):
            info = mesh_pb2.FromRadio()
            info.node_info.num = node.number
            info.node_info.user.CopyFrom(node.user())
            self.say(info)
        if self.firmware is not None:
            self.say(
                mesh_pb2.FromRadio(metadata=mesh_pb2.DeviceMetadata(firmware_version=self.firmware))
            )
        for index, name in enumerate(self.channels):
            self._say_channel(index, name)
        self.say(self._lora())
        self.say(mesh_pb2.FromRadio(config_complete_id=nonce))

    def _say_channel(self, index: int, name: str) -> None:
        role = channel_pb2.Channel.Role
        message = mesh_pb2.FromRadio()
        message.channel.index = index
        message.channel.role = role.SECONDARY if index else role.PRIMARY
        message.channel.settings.name, message.channel.settings.psk = name, b"\x01"
        self.say(message)

    def _lora(self) -> mesh_pb2.FromRadio:
        message = mesh_pb2.FromRadio()
        lora = message.config.lora
        lora.region = self.region  # type: ignore[assignment]
        lora.use_preset, lora.modem_preset = True, self.preset  # type: ignore[assignment]
        lora.hop_limit, lora.tx_enabled = 3, True
        return message


@asynccontextmanager
async def over_tcp(node: Node, port: int = 0) -> AsyncGenerator[int]:
    """Offer a node on the loopback interface; gives the port."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames()
        node.connect(writer.write, writer.close)
        try:
            while data := await reader.read(4096):
                for frame in frames.feed(data):
                    node.told(frame)
        except ConnectionError:
            pass
        finally:
            node.left(writer.write)
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        node.disconnect()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def over_pty(node: Node) -> AsyncGenerator[str]:
    """Offer a node at a serial port; gives its path."""
    loop = asyncio.get_running_loop()
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    frames = Frames()
    open_ends = {ours, theirs}

    def read() -> None:
        for frame in frames.feed(os.read(ours, 4096)):
            node.told(frame)

    def unplug() -> None:
        loop.remove_reader(ours)
        for end in tuple(open_ends):
            open_ends.discard(end)
            os.close(end)

    def write(data: bytes) -> None:
        os.write(ours, data)

    path = os.ttyname(theirs)
    loop.add_reader(ours, read)
    node.connect(write, unplug)
    try:
        yield path
    finally:
        node.disconnect()
