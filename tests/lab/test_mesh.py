"""The nodes of a scenario, driven by hand: messages and ``now`` in, messages and events out."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf import (  # pyright: ignore[reportMissingTypeStubs]
    admin_pb2,
    mesh_pb2,
    portnums_pb2,
)

from focal.core.errors import FrameError, SettingsError
from focal.lab.mesh import Mesh, State
from focal.lab.scenario import Scenario

A, B, C = 0xA001, 0xB001, 0xC001
EVERYONE = 0xFFFFFFFF
EPOCH = 1_800_000_000
THREE = """
[nodes.a]
number = "!0000a001"
[nodes.b]
number = "!0000b001"
[nodes.c]
number = "!0000c001"
"""


def handed(payload: bytes, port: int, data: Any, **packet: Any) -> mesh_pb2.ToRadio:
    """Return the message that hands a packet over."""
    said = mesh_pb2.Data(payload=payload, **data)
    said.portnum = portnums_pb2.PortNum.ValueType(port)
    return mesh_pb2.ToRadio(packet=mesh_pb2.MeshPacket(decoded=said, **packet))


class World:
    """A mesh whose clients are all there."""

    def __init__(self, text: str = THREE) -> None:
        self.mesh = Mesh(Scenario.of(tomllib.loads(text), "x.toml"), lambda now: EPOCH + now)
        self.events: list[tuple[str, str]] = []
        self.now = 0.0
        for node in self.mesh.scenario.nodes:
            self.say(node.number, mesh_pb2.ToRadio(want_config_id=1))
            self.told(node.number)

    def say(self, node: int, message: mesh_pb2.ToRadio) -> bool:
        """Say something as the client of a node."""
        return self.mesh.take(node, message.SerializeToString(), self.now)

    def send(
        self,
        node: int,
        payload: bytes = b"x",
        to: int = EVERYONE,
        id: int = 1,
        *,
        port: int = portnums_pb2.PortNum.PRIVATE_APP,
        data: dict[str, int] | None = None,
        **more: int,
    ) -> None:
        """Hand a packet over."""
        self.say(node, handed(payload, port, data or {}, to=to, id=id, **more))

    def run(self, seconds: float = 120.0) -> None:
        """Let time pass."""
        self.now += seconds
        self.events += [(one.event, one.node) for one in self.mesh.run(self.now)]

    def told(self, node: int) -> list[mesh_pb2.FromRadio]:
        """Take all that a client was told."""
        bodies = iter(self.mesh.outbox(node).next, None)
        return [mesh_pb2.FromRadio.FromString(body) for body in bodies]

    def packets(self, node: int, port: int = 256) -> list[mesh_pb2.MeshPacket]:
        """Take the packets of one application."""
        told = [one.packet for one in self.told(node) if one.HasField("packet")]
        return [packet for packet in told if packet.decoded.portnum == port]


def answers(told: list[mesh_pb2.FromRadio]) -> list[tuple[int, int]]:
    """Return result and packet of all answers."""
    queued = [one.queueStatus for one in told if one.HasField("queueStatus")]
    return [(one.res, one.mesh_packet_id) for one in queued]


def errors(told: list[mesh_pb2.FromRadio]) -> list[str]:
    """Return the errors of all acknowledgements."""
    routing = [
        one.packet.decoded.payload
        for one in told
        if one.packet.decoded.portnum == portnums_pb2.PortNum.ROUTING_APP
    ]
    found = [mesh_pb2.Routing.FromString(payload).error_reason for payload in routing]
    return [mesh_pb2.Routing.Error.Name(error) for error in found]


def test_a_packet_goes_to_all_who_hear_it_with_what_the_channel_does_not_carry() -> None:
    world = World()
    world.send(A, data={"reply_id": 9, "want_response": True, "request_id": 7})
    world.run()
    for node in (B, C):
        (packet,) = world.packets(node)
        assert getattr(packet, "from") == A and packet.rx_time >= EPOCH
        assert (packet.decoded.reply_id, packet.decoded.request_id) == (9, 7)
        assert packet.decoded.want_response


def test_what_is_said_twice_is_ignored_without_a_word() -> None:
    world = World()
    world.send(A, id=5)
    assert answers(world.told(A)) == [(0, 5)]
    world.send(A, id=5)
    assert answers(world.told(A)) == []
    for id in range(100, 120):
        world.send(A, id=id, channel=1)
    world.told(A)
    world.send(A, id=5)
    assert answers(world.told(A)) == [(0, 5)]


def test_a_node_without_a_key_sends_to_one_on_the_channel() -> None:
    world = World(THREE.replace('a001"', 'a001"\nkey = false'))
    world.send(A, bytes(231), B)
    world.send(B, b"x", A)
    told = world.told(B)
    assert errors(told) == ["PKI_SEND_FAIL_PUBLIC_KEY"]
    world.run()
    (packet,) = world.packets(B)
    assert not packet.pki_encrypted and len(packet.decoded.payload) == 231
    world.send(A, id=2, to=B, pki_encrypted=True)
    assert errors(world.told(A)) == ["PKI_FAILED"]


def test_who_cannot_read_says_so_where_an_acknowledgement_is_wanted() -> None:
    world = World(THREE.replace('b001"', 'b001"\nknows = ["c"]'))
    world.send(A, to=B, want_ack=True)
    world.run()
    assert world.packets(B) == []
    assert set(errors(world.told(A))) == {"PKI_UNKNOWN_PUBKEY"}  # for every copy that came


def test_a_node_asks_who_it_hears_and_does_not_know() -> None:
    world = World(THREE.replace('b001"', 'b001"\nknows = ["c"]'))
    world.send(A)
    world.run()
    told = [one.packet for one in world.told(A)]
    (asked,) = [one for one in told if one.decoded.portnum == portnums_pb2.PortNum.NODEINFO_APP]
    assert getattr(asked, "from") == B and asked.decoded.want_response
    world.send(A, b"secret", B, id=2)
    world.run()
    assert [packet.pki_encrypted for packet in world.packets(B)] == [False, True]


def test_who_was_answered_once_is_not_answered_again_for_long() -> None:
    world = World()
    beat = mesh_pb2.ToRadio(heartbeat=mesh_pb2.Heartbeat(nonce=1))
    port = portnums_pb2.PortNum.NODEINFO_APP
    answered = list[int]()
    for _ in range(2):
        world.say(A, beat)
        world.run(700)
        answered.append(len(world.packets(A, port)))
    assert answered == [2, 0]  # b and c, and then nobody
    world.say(A, beat)
    world.say(A, beat)
    world.run()
    told = world.packets(B, port)
    assert len(told) == 3  # of a, once each time that it was asked, but not twice in a minute


def test_a_heartbeat_is_answered_with_the_queue() -> None:
    world = World()
    world.say(A, mesh_pb2.ToRadio(heartbeat=mesh_pb2.Heartbeat()))
    (told,) = world.told(A)
    assert (told.queueStatus.free, told.queueStatus.maxlen) == (16, 16)


def test_who_wants_the_nodes_alone_or_all_but_them_gets_that() -> None:
    world = World()
    world.say(A, mesh_pb2.ToRadio(want_config_id=69420))
    told = world.told(A)
    assert [one.node_info.num for one in told if one.HasField("node_info")] == [A]
    assert [one.config_complete_id for one in told][-1] == 69420
    world.say(A, mesh_pb2.ToRadio(want_config_id=69421))
    told = world.told(A)
    assert [one.node_info.num for one in told if one.HasField("node_info")] == [A, B, C]
    assert not any(one.HasField("config") for one in told)


def test_a_client_may_leave_and_may_restart_its_node() -> None:
    world = World()
    assert not world.say(A, mesh_pb2.ToRadio(disconnect=True))
    reboot = admin_pb2.AdminMessage(reboot_seconds=10).SerializeToString()
    world.send(A, reboot, A, port=portnums_pb2.PortNum.ADMIN_APP, want_ack=True)
    assert errors(world.told(A)) == ["NONE"]
    world.run(9)
    assert world.mesh.state(A) is State.UP
    world.run(2)
    assert world.mesh.state(A) is State.DOWN
    world.run(5)
    assert world.mesh.state(A) is State.UP
    assert world.events == [("rebooting", "a"), ("up", "a")]


def test_a_node_that_hangs_neither_hears_nor_speaks_nor_relays() -> None:
    world = World()
    world.mesh.do("b", "silence", world.now)
    world.mesh.do("b", "silence", world.now)  # it does already
    world.send(A, hop_limit=1)
    world.run()
    assert world.packets(B) == [] and world.mesh.state(B) is State.SILENT
    assert ("on-air", "b") not in world.events
    world.mesh.do("b", "wake", world.now)
    world.send(A, id=2)
    world.run()
    assert len(world.packets(B)) == 1


def test_a_node_that_hangs_can_be_restarted() -> None:
    world = World()
    world.mesh.do("b", "silence", 0.0)
    world.mesh.do("b", "reboot", 0.0)
    world.mesh.do("b", "wake", 0.0)
    assert world.mesh.state(B) is State.DOWN
    world.run()
    assert world.mesh.state(B) is State.UP


def test_the_minutes_of_a_duty_cycle_are_told_and_true() -> None:
    world = World('region = "EU_866"\npreset = "LITE_SLOW"\n' + THREE)
    said, number = "", 0
    while not said:
        number += 1
        world.send(A, bytes(231), id=number)
        world.run(3)
        told = [one.clientNotification.message for one in world.told(A)]
        said = "".join(told)
    minutes = int(said.split("again in ")[1].split()[0])
    world.run(60 * (minutes - 2))
    world.send(A, id=9001)
    assert errors(world.told(A)) == ["DUTY_CYCLE_LIMIT"]
    world.run(60 * 3)
    world.send(A, id=9002)
    assert errors(world.told(A)) == []


@pytest.mark.parametrize(
    "body",
    [b"\xff", mesh_pb2.ToRadio(packet=mesh_pb2.MeshPacket(id=1)).SerializeToString()[:-1]],
)
def test_what_is_no_message_is_told(body: bytes) -> None:
    with pytest.raises(FrameError):
        World().mesh.take(A, body, 0.0)


def test_an_admin_message_that_is_none_is_told() -> None:
    with pytest.raises(FrameError):
        World().send(A, b"\xff", A, port=portnums_pb2.PortNum.ADMIN_APP)


def test_a_region_that_the_library_does_not_know_is_told() -> None:
    with pytest.raises(SettingsError, match="does not know"):
        World("region = 'ITU2_125CM'\n[nodes.a]")


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_any_bytes_are_done_or_an_error(bodies: list[bytes]) -> None:
    world = World()
    for body in bodies:
        try:
            world.mesh.take(A, body, world.now)
        except FrameError:
            pass
        world.run(1)


NUMBERS = st.integers(0, 0xFFFFFFFF)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "to": st.sampled_from((A, B, C, EVERYONE, 0)) | NUMBERS,
    "id": NUMBERS,
    "channel": st.integers(0, 9),
    "hop_limit": st.integers(0, 9) | NUMBERS,
    "want_ack": st.booleans(),
    "priority": st.integers(0, 127),
}
PACKETS = st.tuples(st.binary(max_size=240), st.integers(0, 600), st.fixed_dictionaries(FIELDS))


@given(st.lists(PACKETS, max_size=30))
def test_any_packet_is_answered_once_or_ignored(
    packets: list[tuple[bytes, int, dict[str, Any]]],
) -> None:
    world = World()
    for payload, port, fields in packets:
        try:
            world.say(A, handed(payload, port, {}, **fields))
        except FrameError:  # an AdminMessage that is none
            continue
        assert len(answers(world.told(A))) <= 1
        world.run(1)
    world.run(600)
