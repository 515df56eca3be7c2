"""A node that the ``meshtastic`` library talks to: by cable, TCP or BLE. Only here is it imported.

The law of this module: nothing that the library does reaches anybody else. It is used by the
methods with which its own interfaces extend one another: it opens ports, frames and reads in its
thread, and hands each message to `_Tap`, which gives it to the event loop.

What it does beside that, and what is done about it:

- It waits, for ever if need be, and raises SystemExit: every call is made in a daemon thread of the
  radio's own, one at a time, with a limit, and whatever it raises is translated.
- Its send queue drops what the node refuses, and waits in a loop: it is passed by, and the node's
  answers go to the link, which hands over again.
- It tells by pypubsub, which forgets listeners and prints their errors: nothing listens there.
- It prints, and prints tracebacks, where it decodes packets: it is given none, only what
  configures it. So nothing has to be redirected.
- Its heartbeat fails in a thread where nobody catches it: the heartbeat here is a task.
- It reconnects once by itself, without a word: here a connection that ended is lost.
- It seeds Python's global chance: that is put back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, cast

from google.protobuf.message import DecodeError
from meshtastic.protobuf import (  # pyright: ignore[reportMissingTypeStubs]
    channel_pb2,
    config_pb2,
    mesh_pb2,
    portnums_pb2,
    telemetry_pb2,
)
from meshtastic.serial_interface import SerialInterface  # pyright: ignore[reportMissingTypeStubs]
from meshtastic.tcp_interface import TCPInterface  # pyright: ignore[reportMissingTypeStubs]
from meshtastic.util import findPorts  # pyright: ignore[reportMissingTypeStubs]

from ...core.airtime import Modem
from ...core.errors import LinkClosed, LinkLost, TransportError, TransportUnavailable
from ...core.runtime import Runtime
from .plan import ALIASES, REGIONS, WIDE_PREAMBLE, Air, air
from .ports import Patience, Rivals, port_trouble, stranger
from .radio import (
    Acquainted,
    Channel,
    Event,
    Hear,
    Info,
    Known,
    Lost,
    Notice,
    Outgoing,
    Queued,
    Received,
    Routed,
)

T = TypeVar("T")

logger = logging.getLogger("focal.lora")

MOST_NODES = 1024
"""Other nodes that are remembered; those heard of longest ago go."""

EARLY = 1024
"""Events that wait for the link to be made."""

ASK_OTHERS = 1
"""A heartbeat with this number has the node broadcast who it is, and ask others for the same."""

_CONFIGURING = frozenset(
    ("my_info", "metadata", "node_info", "config", "moduleConfig", "channel", "config_complete_id")
)
"""What the library is given, to find its way through the handshake."""

_WIDTHS = {31: 31.25, 62: 62.5, 200: 203.125, 400: 406.25, 800: 812.5, 1600: 1625.0}
"""Bandwidths in kHz that the configuration has whole numbers for."""


NOISE = 64
"""Bytes of the first that are read that are kept, in case it is no node that says them."""

SCANNING = 30.0
"""Seconds that finding a node by Bluetooth and connecting to it may take, before it says anything.
"""

Told: TypeAlias = Callable[[mesh_pb2.FromRadio], None]
Gone: TypeAlias = Callable[[Exception], None]


class _Ended(Exception):
    """The connection ended, and no error says why."""


# What a node has told ----------------------------------------------------------------------------


@dataclass(slots=True)
class Book:
    """What a node has told of itself and others. Sans-I/O: messages in, events out."""

    number: int = 0
    lora: config_pb2.Config.LoRaConfig | None = None
    channels: dict[int, Channel] = field(default_factory=lambda: {})
    nodes: OrderedDict[int, Known] = field(default_factory=lambda: OrderedDict())
    info: Info | None = None
    _user: mesh_pb2.User = field(default_factory=mesh_pb2.User)
    _key: bool = False
    _firmware: str = ""
    _used: float | None = None
    _busy: float | None = None
    _told: float | None = None
    _battery: int | None = None

    def take(self, message: mesh_pb2.FromRadio, now: float | None = None) -> list[Event]:
        """Learn from a message that comes now, and return what it means to a link."""
        match message.WhichOneof("payload_variant"):
            case "packet":
                return self._packet(message.packet, now)
            case "queueStatus":
                status = message.queueStatus
                return [Queued(status.mesh_packet_id, status.res, status.free)]
            case "clientNotification":
                return [Notice(message.clientNotification.message)]
            case "rebooted":
                return [Lost("the node restarted")]
            case "my_info":
                self.number = message.my_info.my_node_num
            case "metadata":
                self._firmware = message.metadata.firmware_version
            case "config":
                self._config(message.config)
            case "channel":
                self._channel(message.channel)
            case "node_info":
                self._node(message.node_info)
            case _:
                return []
        self._refresh()
        return []

    def settled(self) -> Info:
        """Return what the node said of itself. Raises ValueError: too little, or too strange."""
        if not self.number:
            raise ValueError("it did not say who it is")
        if self.lora is None:
            raise ValueError("it did not say how its radio is set")
        return Info(
            self.number,
            air_of(self.lora),
            tuple(self.channels[index] for index in sorted(self.channels)),
            key=self._key and not self._user.is_licensed,  # amateurs may not encrypt
            firmware=self._firmware,
            name=self._user.long_name,
            short=self._user.short_name,
            hop_limit=self.lora.hop_limit,
            transmits=self.lora.tx_enabled,
            used=self._used,
            busy=self._busy,
            told=self._told,
            battery=self._battery,
        )

    def _refresh(self) -> None:
        try:
            self.info = self.settled()
        except ValueError as error:  # told when the link is opened; later, the last good one holds
            logger.debug("node %08x: %s", self.number, error)

    def _config(self, config: config_pb2.Config) -> None:
        match config.WhichOneof("payload_variant"):
            case "lora":
                self.lora = config.lora
            case "security":
                self._key = self._key or bool(config.security.public_key)
            case _:
                pass

    def _channel(self, channel: channel_pb2.Channel) -> None:
        self.channels.pop(channel.index, None)
        if channel.role != channel_pb2.Channel.Role.DISABLED:
            settings = channel.settings
            self.channels[channel.index] = Channel(channel.index, settings.name, len(settings.psk))

    def _node(self, node: mesh_pb2.NodeInfo) -> None:
        if node.num != self.number:
            self._known(node.num, node.user)
            return
        self._user = node.user
        self._key = self._key or bool(node.user.public_key)
        if node.HasField("device_metrics"):
            self._metrics(node.device_metrics, None)  # it may have counted that long ago

    def _known(self, number: int, user: mesh_pb2.User) -> None:
        known = Known(number, user.long_name, user.short_name, bool(user.public_key))
        self.nodes[number] = known
        self.nodes.move_to_end(number)
        if len(self.nodes) > MOST_NODES:
            self.nodes.popitem(last=False)

    def _metrics(
        self, metrics: telemetry_pb2.DeviceMetrics | telemetry_pb2.LocalStats, told: float | None
    ) -> None:
        self._used = _share(metrics.air_util_tx)
        self._busy = _share(metrics.channel_utilization)
        self._told = told
        if isinstance(metrics, telemetry_pb2.DeviceMetrics) and metrics.HasField("battery_level"):
            self._battery = metrics.battery_level

    def _packet(self, packet: mesh_pb2.MeshPacket, now: float | None) -> list[Event]:
        if not packet.HasField("decoded"):  # of a channel that the node has no key for
            return []
        sender: int = getattr(packet, "from")
        data = packet.decoded
        match data.portnum:
            case portnums_pb2.ROUTING_APP:
                routing = mesh_pb2.Routing.FromString(data.payload)
                return [Routed(data.request_id, routing.error_reason, sender)]
            case portnums_pb2.NODEINFO_APP if sender != self.number:
                self._known(sender, mesh_pb2.User.FromString(data.payload))
                to_us = packet.to == self.number
                return [Acquainted(sender)] if to_us and data.request_id else []
            case portnums_pb2.TELEMETRY_APP if sender == self.number:
                self._telemetry(telemetry_pb2.Telemetry.FromString(data.payload), now)
                return []
            case _:
                return [_received(packet, sender)]

    def _telemetry(self, telemetry: telemetry_pb2.Telemetry, now: float | None) -> None:
        match telemetry.WhichOneof("variant"):
            case "device_metrics":
                self._metrics(telemetry.device_metrics, now)
            case "local_stats":
                self._metrics(telemetry.local_stats, now)
            case _:
                return
        self._refresh()


def _received(packet: mesh_pb2.MeshPacket, sender: int) -> Received:
    measured = packet.rx_snr != 0 or packet.rx_rssi != 0
    return Received(
        packet.decoded.payload,
        sender,
        packet.to,
        packet.channel,
        packet.decoded.portnum,
        packet.pki_encrypted,
        packet.rx_snr if measured else None,
    )


def _share(percent: float) -> float:
    return min(1.0, max(0.0, percent / 100))


def air_of(lora: config_pb2.Config.LoRaConfig) -> Air:
    """Return what packets cost as a node's radio is set.

    Raises:
        ValueError: a region, preset or modem that we know no numbers of.
    """
    region = _enum(config_pb2.Config.LoRaConfig.RegionCode, lora.region, "region")
    if region == "UNSET":  # whatever else is set
        return air("UNSET", "LONG_FAST")
    if lora.use_preset:
        preset = _enum(config_pb2.Config.LoRaConfig.ModemPreset, lora.modem_preset, "preset")
        return air(region, preset, lora.coding_rate or None)
    row = REGIONS.get(ALIASES.get(region, region))
    if row is None:
        raise ValueError(f"focal has no band plan of region {region}")
    if not (lora.bandwidth and 7 <= lora.spread_factor <= 12 and 5 <= lora.coding_rate <= 8):
        raise ValueError("its modem is set by hand, and not wholly: set bandwidth, spread, rate")
    width = 1000 * _WIDTHS.get(lora.bandwidth, float(lora.bandwidth))
    modem = Modem(width, lora.spread_factor, lora.coding_rate)
    return Air(row, "custom", replace(modem, preamble=WIDE_PREAMBLE) if row.wide else modem)


def _enum(names: Any, number: int, what: str) -> str:
    try:
        return str(names.Name(number))
    except ValueError:
        raise ValueError(
            f"its {what} has the number {number}, which is unknown here: "
            "pip install --upgrade meshtastic"
        ) from None


# The library -------------------------------------------------------------------------------------


@contextmanager
def _chance_kept() -> Generator[None]:
    """Put Python's global chance back as it was."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


class _Tap:
    """What the interfaces here do otherwise than the library's; comes before one of those.

    Args:
        told: called in the library's thread with each message of the node.
        gone: called there with the reason when nothing more will come.
    """

    # of MeshInterface and StreamInterface
    isConnected: threading.Event
    failure: Exception | None
    _wantExit: bool

    def __init__(self, told: Told, gone: Gone, *args: Any, **settings: Any) -> None:
        self._told = told
        self._gone = gone
        self._why: Exception | None = None
        self.noise = b""
        with _chance_kept():
            super().__init__(*args, **settings)

    def shake_hands(self) -> None:
        """Open the port and wait until the node has told its configuration."""
        self.connect()  # type: ignore[attr-defined]

    def write(self, message: mesh_pb2.ToRadio) -> None:
        """Write a message; blocks while the node takes none."""
        self._sendToRadioImpl(message)  # type: ignore[attr-defined]

    def give_up(self, error: Exception) -> None:
        """Have who waits for the handshake wait no longer."""
        self.failure = error
        self.isConnected.set()

    def _handleFromRadio(self, fromRadioBytes: bytes) -> None:
        message = mesh_pb2.FromRadio()
        try:
            message.ParseFromString(fromRadioBytes)
            kind = message.WhichOneof("payload_variant")
            starting = kind == "rebooted" and not self.isConnected.is_set()
            if kind in _CONFIGURING or starting:
                super()._handleFromRadio(fromRadioBytes)  # type: ignore[misc]
        except Exception as error:  # it would print it, and go on all the same
            logger.debug("a message of the node is not understood: %r", error)
            return
        if not starting:
            self._told(message)

    def _readBytes(self, length: int) -> bytes | None:
        try:
            data = cast("bytes | None", super()._readBytes(length))  # type: ignore[misc]
        except Exception as error:
            self._why = error
            self._wantExit = True
            return None
        if data and len(self.noise) < NOISE:
            self.noise = (self.noise + data)[:NOISE]
        return data

    def _startConfig(self) -> None:
        with _chance_kept():
            super()._startConfig()  # type: ignore[misc]

    def _startHeartbeat(self) -> None:
        """Do nothing: the radio has a task for it."""

    def _disconnected(self) -> None:
        super()._disconnected()  # type: ignore[misc]
        why = self._why or _Ended("the connection ended")
        self.give_up(why)
        self._gone(why)


class _Serial(_Tap, SerialInterface):  # type: ignore[misc]
    pass


class _Tcp(_Tap, TCPInterface):  # type: ignore[misc]
    """Over a socket that is connected already."""

    def __init__(self, sock: socket.socket, *args: Any, **settings: Any) -> None:
        self._connected_socket = sock
        self._unread = b""
        super().__init__(*args, **settings)

    def myConnect(self) -> None:
        self.socket = self._connected_socket

    def _readBytes(self, length: int) -> bytes | None:
        """Return a byte; the library asks for one at a time, the system is asked for many."""
        if not self._unread:
            self._unread = super()._readBytes(4096) or b""
        data, self._unread = self._unread[:length], self._unread[length:]
        return data

    def _writeBytes(self, b: bytes) -> None:
        if self.socket is not None:
            self.socket.sendall(b)

    def _reconnect(self) -> None:
        self._wantExit = True


class _Worker:
    """A daemon thread for what blocks, one call after the other: it never keeps a process alive."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """Call something there. Cancelled, it is called wholly or not at all."""
        return await asyncio.wrap_future(self._add(work))

    async def end(self, last: Callable[[], object], patience: float) -> bool:
        """Have it end with a last call; False: it is not there yet, and will be in its own time."""
        ended = asyncio.wrap_future(self._add(last))
        self._jobs.put(None)
        done, _ = await asyncio.wait({ended}, timeout=patience)
        return bool(done)

    def _add(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put((work, future))
        return future

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except SystemExit as error:  # the library's way to say that something is wrong
                future.set_exception(RuntimeError(str(error)))
            except BaseException as error:
                future.set_exception(error)
            del job, work, future  # it may be long until the next


class MeshRadio:
    """An open node, by any of the library's interfaces; made by ``by_cable`` and its like.

    Args:
        where: what people call it.
        runtime: the focal node's.
        patience: how long it may take.
        blame: says why it ended, given the error if there was one.
    """

    def __init__(
        self, where: str, runtime: Runtime, patience: Patience, blame: Callable[[Exception], str]
    ) -> None:
        self.where = where
        self._runtime = runtime
        self._patience = patience
        self._blame = blame
        self._loop = asyncio.get_running_loop()
        self._worker = _Worker(f"focal: {where}")
        self._book = Book()
        self._tap: _Tap | None = None
        self._hear: Hear | None = None
        self._early: deque[Event] = deque(maxlen=EARLY)
        self._heard = 0
        self._limit: asyncio.Timeout | None = None
        self._end: TransportError | None = None
        self._blamed: str | None = None
        self._beating: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def info(self) -> Info:
        assert self._book.info is not None  # else it would not have opened
        return self._book.info

    @property
    def nodes(self) -> Mapping[int, Known]:
        return MappingProxyType(self._book.nodes)

    def attach(self, hear: Hear, /) -> None:
        self._hear = hear
        while self._early:
            hear(self._early.popleft())

    async def send(self, packet: Outgoing, /) -> None:
        message = mesh_pb2.ToRadio()
        message.packet.to, message.packet.id = packet.to, packet.id
        message.packet.channel, message.packet.hop_limit = packet.channel, packet.hops
        message.packet.decoded.portnum = portnums_pb2.PRIVATE_APP
        message.packet.decoded.payload = packet.payload
        await self._write(message)

    async def introduce(self) -> None:
        await self._beat(ASK_OTHERS)

    async def aclose(self) -> None:
        if self._closing is None:
            self._end = self._end or LinkClosed(f"{self.where} is closed")
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)

    async def start(self, make: Callable[..., _Tap]) -> None:
        """Make the library's interface and have the node tell its configuration.

        Raises:
            TransportUnavailable: it does not, or cannot be used as it is set.
        """
        try:
            async with asyncio.timeout(self._patience.greeting) as self._limit:
                await self._worker.run(lambda: self._connect(make))
        except TimeoutError as error:
            raise TransportUnavailable(self._silence()) from error
        except Exception as error:  # whatever the library, or what it uses, raises
            ended = isinstance(error, _Ended | ConnectionResetError)
            strange = self._stranger() if ended else None
            raise TransportUnavailable(strange or self._reason(error)) from error
        finally:
            self._limit = None
        self._check()
        try:
            self._book.settled()
        except ValueError as error:
            raise TransportUnavailable(f"{self.where} cannot be used: {error}") from error
        self._beating = self._loop.create_task(self._keep_alive())

    def _silence(self) -> str:
        """Say that it does not answer as a node does, or not to the end."""
        if self._heard:
            return f"{self.where} stopped in the middle of telling its configuration"
        return self._stranger() or (
            f"nothing answers at {self.where} within {self._patience.greeting:g} s: "
            "is it a Meshtastic node, and awake?"
        )

    def _stranger(self) -> str | None:
        """Say that it is no node, where all it has said is something else."""
        noise = self._tap.noise if self._tap is not None else b""
        return stranger(self.where, noise) if noise and not self._heard else None

    # in the worker's thread, and in the library's

    def _connect(self, make: Callable[..., _Tap]) -> None:
        self._tap = make(self._told, self._gone)
        if self._end is None:
            self._tap.shake_hands()

    def _told(self, message: mesh_pb2.FromRadio) -> None:
        self._post(self._take, message)

    def _gone(self, error: Exception) -> None:
        self._post(self._lose, error)

    def _post(self, callback: Callable[[T], None], about: T) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended: nobody wants to know
            self._loop.call_soon_threadsafe(callback, about)

    # on the event loop

    def _take(self, message: mesh_pb2.FromRadio) -> None:
        self._heard += 1
        if self._limit is not None:
            self._limit.reschedule(self._loop.time() + self._patience.silence)
        try:
            events = self._book.take(message, self._runtime.now())
        except DecodeError as error:  # of what another node sent
            logger.debug("%s: a packet is not understood: %s", self.where, error)
            return
        for event in events:
            if isinstance(event, Lost):
                self._lose(ConnectionError(event.reason))
            else:
                self._emit(event)

    def _lose(self, error: Exception) -> None:
        if self._end is None:
            self._end = LinkLost(self._reason(error))
            self._emit(Lost(str(self._end)))

    def _emit(self, event: Event) -> None:
        if self._hear is None:
            self._early.append(event)
        else:
            self._hear(event)

    def _reason(self, error: Exception) -> str:
        """Say what happened; the first to tell knows best."""
        if self._blamed is None:
            self._blamed = self._blame(error)
        return self._blamed

    def _check(self) -> None:
        if self._end is not None:
            raise self._end

    async def _write(self, message: mesh_pb2.ToRadio) -> None:
        self._check()
        tap = self._tap
        assert tap is not None  # else it would not have opened
        try:
            async with asyncio.timeout(self._patience.write):
                await self._worker.run(lambda: tap.write(message))
        except Exception as error:  # whatever the library, or what it uses, raises
            late = isinstance(error, TimeoutError)
            self._lose(ConnectionError("it takes nothing any more") if late else error)
            self._check()

    async def _beat(self, number: int = 0) -> None:
        message = mesh_pb2.ToRadio()
        message.heartbeat.nonce = number
        await self._write(message)

    async def _keep_alive(self) -> None:
        """Send heartbeats; a node that used to answer and says nothing more is lost."""
        answers = False
        with contextlib.suppress(LinkLost, LinkClosed):  # who uses the radio is told
            while True:
                before = self._heard
                await self._beat()
                await self._runtime.sleep(self._patience.beat)
                if answers and self._heard == before:
                    self._lose(ConnectionError("it says nothing any more"))
                answers = self._heard > before

    async def _close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        if self._tap is not None:
            self._tap.give_up(ConnectionError("closed"))
        if not await self._worker.end(self._let_go, self._patience.close):
            logger.warning("%s does not let go: it is in use until it does", self.where)

    def _let_go(self) -> None:
        """Close what the library has open; in the worker's thread."""
        if self._tap is None:
            return
        try:
            self._tap.close()  # type: ignore[attr-defined]
        except Exception as error:  # it is gone anyway
            logger.debug("%s: %r while closing", self.where, error)


# By which way -----------------------------------------------------------------------------------


def serial_ports() -> list[str]:
    """Return the serial ports at which there may be a node, in order."""
    return [str(port) for port in findPorts(True)]


@asynccontextmanager
async def by_cable(path: str, runtime: Runtime, patience: Patience) -> AsyncGenerator[MeshRadio]:
    """Open the node at a serial port for the time of the context.

    Raises:
        TransportUnavailable: no such port, no permission, in use, or no node there.
    """

    def make(told: Told, gone: Gone) -> _Tap:
        return _Serial(told, gone, path, connectNow=False)

    def blame(error: Exception) -> str:
        return port_trouble(path, error)

    async with _started(MeshRadio(f"the radio at {path}", runtime, patience, blame), make) as radio:
        yield radio


@asynccontextmanager
async def by_tcp(
    host: str, port: int, runtime: Runtime, patience: Patience, rivals: Rivals
) -> AsyncGenerator[MeshRadio]:
    """Open the node at a TCP port for the time of the context; whoever had it loses it.

    Raises:
        TransportUnavailable: nobody listens there, or it is no node.
    """
    where = f"the node at {f'[{host}]' if ':' in host else host}:{port}"
    sock = await _dial(host, port, where, patience.dial)

    def make(told: Told, gone: Gone) -> _Tap:
        def met(message: mesh_pb2.FromRadio) -> None:
            rivals.met()
            told(message)

        return _Tcp(sock, met, gone, host, portNumber=port, connectNow=False)

    def blame(error: Exception) -> str:
        if isinstance(error, _Ended | ConnectionResetError):
            return rivals.closed(where, runtime.now())
        return f"{where}: {error}"

    with contextlib.closing(sock):
        async with _started(MeshRadio(where, runtime, patience, blame), make) as radio:
            yield radio


@asynccontextmanager
async def by_ble(name: str, runtime: Runtime, patience: Patience) -> AsyncGenerator[MeshRadio]:
    """Open a node near by, by its Bluetooth name or address, for the time of the context.

    Raises:
        TransportUnavailable: none of that name is in reach, or it does not answer.
    """
    from meshtastic.ble_interface import BLEInterface  # pyright: ignore[reportMissingTypeStubs]

    class Ble(_Tap, BLEInterface):  # type: ignore[misc]
        def shake_hands(self) -> None:
            """Do nothing: its constructor has."""

    def make(told: Told, gone: Gone) -> _Tap:
        return Ble(told, gone, name)

    def blame(error: Exception) -> str:
        return f"Bluetooth {name}: {' '.join(str(error).split())}"

    patient = replace(patience, greeting=SCANNING + patience.greeting)
    async with _started(MeshRadio(f"Bluetooth {name}", runtime, patient, blame), make) as radio:
        yield radio


@asynccontextmanager
async def _started(radio: MeshRadio, make: Callable[..., _Tap]) -> AsyncGenerator[MeshRadio]:
    try:
        await radio.start(make)
        yield radio
    finally:
        await radio.aclose()


async def _dial(host: str, port: int, where: str, patience: float) -> socket.socket:
    try:
        async with asyncio.timeout(patience):
            return await _connected(host, port)
    except TimeoutError as error:
        raise TransportUnavailable(f"{where} does not answer within {patience:g} s") from error
    except ConnectionRefusedError as error:
        raise TransportUnavailable(
            f"{where} refuses connections: is its network API on, or does it restart?"
        ) from error
    except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
        raise TransportUnavailable(f"{where} is not reached: {error}") from error


async def _connected(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that answers."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for left, (family, kind, proto, _, address) in zip(range(len(found))[::-1], found, strict=True):
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except BaseException as error:
            sock.close()
            if not left or not isinstance(error, OSError):
                raise
        else:
            sock.setblocking(True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise OSError("it has no address")
