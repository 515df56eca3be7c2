"""What a node tells its client, in Meshtastic's messages: values in, messages out. Sans-I/O.

The law of this module: it knows how things are said, not when. With ``firmware`` the only ones of
the lab that import ``meshtastic``, and of that its messages alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from meshtastic.protobuf import (  # pyright: ignore[reportMissingTypeStubs]
    channel_pb2,
    config_pb2,
    mesh_pb2,
    module_config_pb2,
    portnums_pb2,
    telemetry_pb2,
)

from ..core.errors import SettingsError
from ..transports.lora.channel import EVERYONE, QUEUE, MeshPacket
from .scenario import MAX_CHANNELS, Node, Scenario

FIRMWARE, SIGNING_FIRMWARE = "2.7.15.0000000", "2.8.0.0000000"

NO_NODES = 69420
"""The number of a request for everything but the other nodes."""

ONLY_NODES = 69421

NOISE = -95
"""dBm to which the signal to noise ratio is added for a signal strength."""

MAINS = 101
"""The battery level that says: on external power."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a node measures of itself.

    Args:
        used: share of the last hour that it sent.
        busy: share of the last minute that it sent or heard.
        uptime: seconds since it started.
    """

    used: float
    busy: float
    uptime: float


def address(number: int) -> str:
    """Write a node's number as Meshtastic does: ``!1a2b3c4d``."""
    return f"!{number:08x}"


def user(node: Node) -> mesh_pb2.User:
    """Return who a node is; with its public key, if it has one."""
    return mesh_pb2.User(
        id=address(node.number),
        long_name=node.name,
        short_name=node.name[:4],
        hw_model=mesh_pb2.HardwareModel.PORTDUINO,
        role=config_pb2.Config.DeviceConfig.Role.Value(node.role.value),
        public_key=node.public_key,
    )


def everything(
    scenario: Scenario,
    node: Node,
    others: Iterable[mesh_pb2.NodeInfo],
    metrics: Metrics,
    request: int,
) -> Iterator[mesh_pb2.FromRadio]:
    """Yield all that a client is told when it asks for it, in the firmware's order."""
    known = list(others)
    yield mesh_pb2.FromRadio(
        my_info=mesh_pb2.MyNodeInfo(
            my_node_num=node.number, min_app_version=30200, nodedb_count=1 + len(known)
        )
    )
    own = mesh_pb2.NodeInfo(num=node.number, user=user(node), device_metrics=measured(metrics))
    if request != ONLY_NODES:
        yield mesh_pb2.FromRadio(node_info=own)
        yield mesh_pb2.FromRadio(metadata=_metadata(node))
        yield from (mesh_pb2.FromRadio(channel=each) for each in _channels(scenario))
        yield from (mesh_pb2.FromRadio(config=each) for each in _config(scenario, node))
        yield from (mesh_pb2.FromRadio(moduleConfig=each) for each in _modules())
    else:
        yield mesh_pb2.FromRadio(node_info=own)
    if request != NO_NODES:
        yield from (mesh_pb2.FromRadio(node_info=each) for each in known)
    yield mesh_pb2.FromRadio(config_complete_id=request)


def _metadata(node: Node) -> mesh_pb2.DeviceMetadata:
    return mesh_pb2.DeviceMetadata(
        firmware_version=SIGNING_FIRMWARE if node.signs else FIRMWARE,
        device_state_version=24,
        hasWifi=True,
        hasPKC=node.key,
        hw_model=mesh_pb2.HardwareModel.PORTDUINO,
        role=config_pb2.Config.DeviceConfig.Role.Value(node.role.value),
    )


def _channels(scenario: Scenario) -> Iterator[channel_pb2.Channel]:
    roles = channel_pb2.Channel.Role
    for index in range(MAX_CHANNELS):
        if index < len(scenario.channels):
            name = scenario.channels[index]
            # The primary one has the published key, number 1; of the others each has its own.
            key = sha256(name.encode()).digest() if index else b"\1"
            yield channel_pb2.Channel(
                index=index,
                settings=channel_pb2.ChannelSettings(name=name, psk=key),
                role=roles.SECONDARY if index else roles.PRIMARY,
            )
        else:
            yield channel_pb2.Channel(index=index, role=roles.DISABLED)


def _config(scenario: Scenario, node: Node) -> Iterator[config_pb2.Config]:
    device = config_pb2.Config.DeviceConfig(
        role=config_pb2.Config.DeviceConfig.Role.Value(node.role.value)
    )
    yield config_pb2.Config(device=device)
    yield config_pb2.Config(position=config_pb2.Config.PositionConfig())
    yield config_pb2.Config(power=config_pb2.Config.PowerConfig())
    yield config_pb2.Config(network=config_pb2.Config.NetworkConfig())
    yield config_pb2.Config(display=config_pb2.Config.DisplayConfig())
    yield config_pb2.Config(lora=lora(scenario))
    yield config_pb2.Config(bluetooth=config_pb2.Config.BluetoothConfig())
    yield config_pb2.Config(security=config_pb2.Config.SecurityConfig(public_key=node.public_key))


def lora(scenario: Scenario) -> config_pb2.Config.LoRaConfig:
    """Return how the radios are set.

    Raises:
        SettingsError: the library has no number for the region or the preset.
    """
    kind, air = config_pb2.Config.LoRaConfig, scenario.air
    try:
        return kind(
            use_preset=True,
            modem_preset=kind.ModemPreset.Value(air.preset),
            region=kind.RegionCode.Value(air.region.name),
            hop_limit=scenario.hop_limit,
            tx_enabled=True,
            tx_power=round(air.region.dbm),
        )
    except ValueError as error:
        raise SettingsError(
            f"this meshtastic library does not know {air.preset} in {air.region.name}: "
            "pip install --upgrade meshtastic, or take another region or preset"
        ) from error


def _modules() -> Iterator[module_config_pb2.ModuleConfig]:
    kind = module_config_pb2.ModuleConfig
    yield kind(mqtt=kind.MQTTConfig())
    yield kind(serial=kind.SerialConfig())
    yield kind(external_notification=kind.ExternalNotificationConfig())
    yield kind(store_forward=kind.StoreForwardConfig())
    yield kind(range_test=kind.RangeTestConfig())
    yield kind(telemetry=kind.TelemetryConfig())
    yield kind(canned_message=kind.CannedMessageConfig())
    yield kind(audio=kind.AudioConfig())
    yield kind(remote_hardware=kind.RemoteHardwareConfig())
    yield kind(neighbor_info=kind.NeighborInfoConfig())
    yield kind(ambient_lighting=kind.AmbientLightingConfig())
    yield kind(detection_sensor=kind.DetectionSensorConfig())
    yield kind(paxcounter=kind.PaxcounterConfig())


def measured(metrics: Metrics) -> telemetry_pb2.DeviceMetrics:
    """Return what a node measured, in per cent."""
    return telemetry_pb2.DeviceMetrics(
        battery_level=MAINS,
        channel_utilization=100 * metrics.busy,
        air_util_tx=100 * metrics.used,
        uptime_seconds=round(metrics.uptime),
    )


def telemetry(number: int, id: int, metrics: Metrics, unix: int) -> mesh_pb2.FromRadio:
    """Return the packet by which a node tells its own client what it measured."""
    told = telemetry_pb2.Telemetry(time=unix, device_metrics=measured(metrics))
    data = mesh_pb2.Data(
        portnum=portnums_pb2.PortNum.TELEMETRY_APP, payload=told.SerializeToString()
    )
    return _packet(number, EVERYONE, id, data, unix)


def queued(code: int, free: int, packet: int = 0) -> mesh_pb2.FromRadio:
    """Return the answer to a packet, or (``packet`` 0) the news that there are places again."""
    return mesh_pb2.FromRadio(
        queueStatus=mesh_pb2.QueueStatus(res=code, free=free, maxlen=QUEUE, mesh_packet_id=packet)
    )


def notice(text: str, unix: int, packet: int) -> mesh_pb2.FromRadio:
    """Return a word for people."""
    return mesh_pb2.FromRadio(
        clientNotification=mesh_pb2.ClientNotification(
            message=text, time=unix, reply_id=packet, level=mesh_pb2.LogRecord.Level.WARNING
        )
    )


def routed(error: int) -> bytes:
    """Return the payload of an acknowledgement; no error is said as such, in two bytes."""
    routing = mesh_pb2.Routing(error_reason=mesh_pb2.Routing.Error.ValueType(error))
    body: bytes = routing.SerializeToString()
    return body


def acknowledged(number: int, id: int, packet: int, error: int, unix: int) -> mesh_pb2.FromRadio:
    """Return what a node itself says of a packet of its client's."""
    data = mesh_pb2.Data(
        portnum=portnums_pb2.PortNum.ROUTING_APP, payload=routed(error), request_id=packet
    )
    return _packet(number, number, id, data, unix)


def received(
    packet: MeshPacket, data: mesh_pb2.Data, snr_db: float, key: bytes, unix: int
) -> mesh_pb2.FromRadio:
    """Return a packet that was heard; ``key`` is its sender's, where it was encrypted with it."""
    told = _packet(packet.sender, packet.to, packet.id, data, unix)
    heard = told.packet
    heard.channel = 0 if packet.direct else packet.channel
    heard.rx_snr, heard.rx_rssi = snr_db, round(NOISE + snr_db)
    heard.hop_limit, heard.hop_start = packet.hop_limit, packet.hop_start
    heard.want_ack = packet.want_ack and packet.to != EVERYONE
    heard.priority = mesh_pb2.MeshPacket.Priority.ValueType(packet.priority)
    heard.pki_encrypted, heard.public_key = packet.direct, key if packet.direct else b""
    heard.transport_mechanism = mesh_pb2.MeshPacket.TransportMechanism.TRANSPORT_LORA
    return told


def _packet(sender: int, to: int, id: int, data: mesh_pb2.Data, unix: int) -> mesh_pb2.FromRadio:
    told = mesh_pb2.FromRadio(packet=mesh_pb2.MeshPacket(to=to, id=id, decoded=data, rx_time=unix))
    setattr(told.packet, "from", sender)
    return told
