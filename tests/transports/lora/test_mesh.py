"""The ``meshtastic`` library talks to nodes that are not there, over TCP and over a pty."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshtastic.protobuf import (  # pyright: ignore[reportMissingTypeStubs]
    config_pb2,
    mesh_pb2,
    portnums_pb2,
)

from focal.core.errors import LinkLost, TransportUnavailable
from focal.core.link import LinkContext, Refused
from focal.core.runtime import real_runtime
from focal.testing import context
from focal.transports.lora.link import LoraLink, LoraOptions
from focal.transports.lora.mesh import Book, air_of
from focal.transports.lora.plan import air
from focal.transports.lora.ports import Patience
from focal.transports.lora.transport import Cable, LoraTransport, Tcp
from tests.deadline import Deadline, running
from tests.transports.lora.node import Ether, Node, framed, over_pty, over_tcp

NEAR, FAR = 0x0A0A0A0A, 0x0B0B0B0B
PATIENCE = 20.0
LoRaConfig = config_pb2.Config.LoRaConfig


@pytest.fixture(autouse=True)
def silence(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever happens, nothing is printed: the library's threads would print when they like."""
    yield
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


@dataclass
class World:
    """Two nodes in one ether, near and far, offered over TCP."""

    near: Node
    far: Node
    near_port: int
    far_port: int
    where: LinkContext

    def transport(
        self, node: Node, options: LoraOptions | None = None, patience: Patience | None = None
    ) -> LoraTransport:
        """Return what opens a node."""
        port = self.near_port if node is self.near else self.far_port
        way = Tcp("127.0.0.1", port)
        return LoraTransport(way, options or LoraOptions(), patience or Patience())


class Halting(Node):
    """One that says who it is, and then nothing more."""

    def _asked(self, nonce: int) -> None:
        self.say(mesh_pb2.FromRadio(my_info=mesh_pb2.MyNodeInfo(my_node_num=self.number)))


def real(check: Callable[[World], Awaitable[None]]) -> None:
    """Run a check in real time, with a limit; no thread of the library may be left after it."""

    async def main(pool: ThreadPoolExecutor) -> None:
        ether = Ether()
        near, far = Node(NEAR, ether), Node(FAR, ether)
        async with asyncio.timeout(PATIENCE), over_tcp(near) as one, over_tcp(far) as other:
            await check(World(near, far, one, other, context(real_runtime(pool))))

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(main(pool))
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "stream reader" in name], names


async def unavailable(transport: LoraTransport, where: LinkContext) -> str:
    """Return what a link says that cannot be opened."""
    with pytest.raises(TransportUnavailable) as caught:
        async with transport.open(where):
            pass
    said = str(caught.value)
    assert "\n" not in said
    return said


async def lost(link: LoraLink) -> str:
    """Return what a link says that breaks."""
    with pytest.raises(LinkLost) as caught:
        await link.receive()
    return str(caught.value)


# what a node is -----------------------------------------------------------------------------------


def test_what_a_node_says_of_itself_is_what_the_link_says() -> None:
    async def check(world: World) -> None:
        async with world.transport(world.near).open(world.where) as link:
            info, limits = link.radio.info, link.limits
            assert (info.number, info.name, info.firmware) == (
                NEAR,
                "Node a0a0a0a",
                "2.7.15.567b8ea",
            )
            assert info.air == air("EU_868", "SHORT_FAST")
            assert [(one.index, one.name) for one in info.channels] == [(0, ""), (1, "voice")]
            assert (limits.duty, limits.slot, limits.radio) == (
                0.1,
                0.008,
                "meshtastic !0a0a0a0a 869.4-869.65",
            )
            assert [node.number for node in link.radio.nodes.values()] == [FAR]

    real(check)


def test_its_use_of_the_air_is_followed() -> None:
    async def check(world: World) -> None:
        async with (
            world.transport(world.near).open(world.where) as link,
            world.transport(world.far).open(world.where) as far,
        ):
            assert (link.limits.used, link.limits.busy) == (None, None)
            began = world.where.runtime.now()
            world.near.metrics(2.5, 31.0)
            await far.send(b"after that")
            await link.receive()
            assert link.limits.used == pytest.approx(0.025)
            assert link.limits.busy == pytest.approx(0.31)
            assert link.limits.told is not None
            assert began <= link.limits.told <= world.where.runtime.now()

    real(check)


@pytest.mark.parametrize("firmware, signed", [("2.8.0", True), ("2.7.15", False), (None, True)])
def test_firmware_that_signs_makes_short_packets_dear(firmware: str | None, signed: bool) -> None:
    async def check(world: World) -> None:
        world.near.firmware = firmware
        async with world.transport(world.near).open(world.where) as link:
            short, longer = (link.limits.airtime(n, None) or 0.0 for n in (165, 166))
            assert (short > longer) is signed

    real(check)


def test_a_node_without_a_region_is_not_opened() -> None:
    async def check(world: World) -> None:
        world.near.region = LoRaConfig.RegionCode.UNSET
        said = await unavailable(world.transport(world.near), world.where)
        assert "no region" in said and "!0a0a0a0a" in said

    real(check)


def test_a_preset_that_its_region_does_not_have_is_told() -> None:
    async def check(world: World) -> None:
        world.near.preset = LoRaConfig.ModemPreset.SHORT_TURBO
        said = await unavailable(world.transport(world.near), world.where)
        assert "SHORT_TURBO is no preset of region EU_868" in said

    real(check)


def test_a_channel_that_it_does_not_have_is_told_with_those_it_has() -> None:
    async def check(world: World) -> None:
        options = LoraOptions(channel="secret")
        said = await unavailable(world.transport(world.near, options), world.where)
        assert "no channel secret" in said and "0, 1 voice" in said

    real(check)


def test_a_modem_set_by_hand_is_reckoned_with() -> None:
    config = LoRaConfig(bandwidth=62, spread_factor=9, coding_rate=6, region=LoRaConfig.US)
    modem = air_of(config).modem
    assert (modem.bandwidth, modem.spreading_factor, modem.coding_rate) == (62_500, 9, 6)
    with pytest.raises(ValueError, match="by hand"):
        air_of(LoRaConfig(region=LoRaConfig.US))
    with pytest.raises(ValueError, match="EU_874"):
        air_of(LoRaConfig(region=LoRaConfig.EU_874))
    strange = LoRaConfig(use_preset=True)
    strange.region = 199  # type: ignore[assignment]
    with pytest.raises(ValueError, match="region has the number 199"):
        air_of(strange)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_whatever_a_node_says_its_book_stays_whole(data: bytes) -> None:
    book = Book(number=NEAR)
    try:
        book.take(mesh_pb2.FromRadio.FromString(data))
    except Exception as error:
        assert type(error).__name__ == "DecodeError"
    for port in (1, 4, 5, 67, 256):
        packet = mesh_pb2.MeshPacket(to=NEAR)
        setattr(packet, "from", NEAR if port == 67 else FAR)
        packet.decoded.portnum, packet.decoded.payload = port, data  # type: ignore[assignment]
        try:
            book.take(mesh_pb2.FromRadio(packet=packet))
        except Exception as error:
            assert type(error).__name__ == "DecodeError"
    assert book.info is None


# what passes ------------------------------------------------------------------------------------


def test_bursts_go_to_everyone_on_the_channel_and_never_want_an_acknowledgement() -> None:
    async def check(world: World) -> None:
        options = LoraOptions(channel="voice", hops=2)
        async with (
            world.transport(world.near, options).open(world.where) as near,
            world.transport(world.far, options).open(world.where) as far,
        ):
            await near.send(bytes(231), to=world.far.address)
            packet = await far.receive()
            assert (packet.data, packet.peer, packet.snr_db) == (bytes(231), "!0a0a0a0a", 6.25)
            (sent,) = world.near.sent
            assert (sent.to, sent.channel, sent.hop_limit) == (0xFFFFFFFF, 1, 2)
            assert (sent.want_ack, sent.decoded.portnum) == (False, portnums_pb2.PRIVATE_APP)

    real(check)


def test_other_channels_and_ports_are_ignored() -> None:
    async def check(world: World) -> None:
        async with (
            world.transport(world.near, LoraOptions(channel="1")).open(world.where) as near,
            world.transport(world.far).open(world.where) as far,
        ):
            text = mesh_pb2.MeshPacket(to=NEAR, id=9, channel=1)
            setattr(text, "from", FAR)
            text.decoded.portnum, text.decoded.payload = portnums_pb2.TEXT_MESSAGE_APP, b"\xff\xfe"
            world.near.packet(text)
            text.decoded.portnum, text.channel = portnums_pb2.PRIVATE_APP, 0
            world.near.packet(text)
            text.channel = 1
            text.decoded.payload = b"ours"
            world.near.packet(text)
            assert (await near.receive()).data == b"ours"
            assert near.ignored == 2
            assert far.ignored == 0

    real(check)


def test_what_is_no_message_is_passed_over() -> None:
    async def check(world: World) -> None:
        async with (
            world.transport(world.near).open(world.where) as near,
            world.transport(world.far).open(world.where) as far,
        ):
            world.near.say_raw(
                b"INFO  | log text\r\n" + framed(b"\xff\xff\xff") + b"\x94\xc3\xff\xff"
            )
            nobody = mesh_pb2.MeshPacket(to=NEAR)  # the library prints an error for these
            nobody.decoded.portnum = portnums_pb2.ROUTING_APP
            nobody.decoded.payload = b"\xff"
            world.near.packet(nobody)
            await far.send(b"still here")
            assert (await near.receive()).data == b"still here"

    real(check)


# what does not go out ---------------------------------------------------------------------------


def test_a_full_queue_is_waited_for_and_nothing_is_lost() -> None:
    async def check(world: World) -> None:
        async with (
            world.transport(world.near).open(world.where) as near,
            world.transport(world.far).open(world.where) as far,
        ):
            world.near.refusals = [(32, 0)]
            sending = asyncio.ensure_future(near.send(b"again"))
            await world.near.until(lambda: bool(world.near.handed))
            world.near.queue_status(0, 0, 3)
            await sending
            assert (await far.receive()).data == b"again"
            first, second = world.near.handed
            assert first.id != second.id  # the node ignores an id that it has seen

    real(check)


@pytest.mark.parametrize(
    "error, says, again",
    [
        (9, "duty cycle", True),
        (7, "too large", False),
        (38, "fewer packets", True),
        (6, "no such channel", False),
        (33, "NOT_AUTHORIZED", False),
    ],
)
def test_a_refusal_says_why_and_whether_to_try_again(error: int, says: str, again: bool) -> None:
    async def check(world: World) -> None:
        async with world.transport(world.near).open(world.where) as near:
            world.near.naks = [error]
            ticket = await near.send(b"x")
            report = await anext(near.reports())
            assert isinstance(report, Refused) and report.ticket == ticket
            assert says in report.reason and (report.retry_after is not None) is again

    real(check)


def test_how_long_the_duty_cycle_lasts_is_what_the_node_says() -> None:
    async def check(world: World) -> None:
        async with world.transport(world.near).open(world.where) as near:
            world.near.notify("Duty cycle limit exceeded. You can send again in 12 mins")
            world.near.refusals = [(9, 16)]
            await near.send(b"x")
            report = await anext(near.reports())
            assert isinstance(report, Refused) and report.retry_after is not None
            assert 700 < report.retry_after <= 720

    real(check)


def test_a_missing_key_makes_the_node_introduce_itself() -> None:
    async def check(world: World) -> None:
        world.near.keys = world.far.keys = True
        options = LoraOptions(direct="all")
        async with world.transport(world.near, options).open(world.where) as near:
            world.near.naks = [39]
            await near.send(b"for you alone", to=world.far.address)
            report = await anext(near.reports())
            assert isinstance(report, Refused) and report.retry_after is not None
            assert "key" in report.reason
            await near.send(b"again", to=world.far.address)
            assert 1 in world.near.heartbeats

    real(check)


def test_control_frames_go_alone_once_both_know_each_other() -> None:
    async def check(world: World) -> None:
        world.near.keys = world.far.keys = True
        async with (
            world.transport(world.near).open(world.where) as near,
            world.transport(world.far).open(world.where) as far,
        ):
            await near.send(bytes(14), to=world.far.address)
            await far.receive()
            world.near.introduced(world.far, answer=True)
            await far.send(b"after that")
            await near.receive()
            await near.send(bytes(14), to=world.far.address)
            await near.send(bytes(15), to=world.far.address)
            assert [packet.to for packet in world.near.sent] == [0xFFFFFFFF, FAR, 0xFFFFFFFF]

    real(check)


# what ends --------------------------------------------------------------------------------------


def test_a_node_that_restarts_over_a_cable_is_lost_and_opens_again() -> None:
    async def check(world: World) -> None:
        async with over_pty(world.near) as path:
            transport = LoraTransport(Cable(path))
            async with transport.open(world.where) as link:
                world.near.reboot()
                assert "restarted" in await lost(link)
            async with transport.open(world.where) as link:
                await link.send(b"there again")
                assert world.near.sent

    real(check)


def test_a_restart_in_the_middle_of_the_handshake_begins_it_anew() -> None:
    async def check(world: World) -> None:
        world.near.restarts = 1
        async with world.transport(world.near).open(world.where) as link:
            await link.send(b"x")
            assert world.near.sent

    real(check)


def test_a_cable_carries_both_ways_and_may_be_pulled() -> None:
    async def check(world: World) -> None:
        async with (
            over_pty(world.near) as path,
            LoraTransport(Cable(path)).open(world.where) as link,
            world.transport(world.far).open(world.where) as far,
        ):
            await link.send(b"out")
            assert (await far.receive()).data == b"out"
            await far.send(b"back")
            assert (await link.receive()).data == b"back"
            world.near.disconnect()
            assert path in await lost(link)
            with pytest.raises(LinkLost):
                await link.send(b"x")

    real(check)


def test_a_cable_has_one_user() -> None:
    async def check(world: World) -> None:
        async with over_pty(world.near) as path:
            async with LoraTransport(Cable(path)).open(world.where):
                said = await unavailable(LoraTransport(Cable(path)), world.where)
                assert said == f"another program uses {path}: end it"

    real(check)


def test_two_programs_that_take_a_node_from_each_other_are_told() -> None:
    async def check(world: World) -> None:
        ours, theirs = world.transport(world.near), world.transport(world.near)
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(ours.open(world.where))
            await stack.enter_async_context(theirs.open(world.where))
            assert "restarted, or another program" in await lost(one)
            again = await stack.enter_async_context(ours.open(world.where))
            await stack.enter_async_context(theirs.open(world.where))
            assert "another program uses" in await lost(again)

    real(check)


def test_a_node_that_falls_silent_is_lost() -> None:
    async def check(world: World) -> None:
        patience = Patience(beat=0.1)
        async with world.transport(world.near, patience=patience).open(world.where) as link:
            await world.near.until(lambda: len(world.near.heartbeats) >= 2)
            world.near.silent = True
            assert "says nothing any more" in await lost(link)

    real(check)


def test_who_takes_a_connection_and_says_nothing_is_no_node() -> None:
    async def check(world: World) -> None:
        world.near.silent = True
        patience = Patience(greeting=0.3)
        said = await unavailable(world.transport(world.near, patience=patience), world.where)
        assert "nothing answers at the node at 127.0.0.1:" in said and "within 0.3 s" in said

    real(check)


def test_a_node_that_stops_in_the_middle_is_told_so() -> None:
    async def check(world: World) -> None:
        async with over_tcp(Halting(1, Ether())) as port:
            transport = LoraTransport(Tcp("127.0.0.1", port), patience=Patience(silence=0.3))
            assert "stopped in the middle" in await unavailable(transport, world.where)

    real(check)


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "(it says 'HTTP/1.1 400 Bad Request')"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "(it says 'SSH-2.0-OpenSSH_9.2')"),
        (b"\xff\xfd\x01\n", "protocol: is something else there?"),
    ],
)
def test_another_server_at_the_port_is_told_as_such(answer: bytes, said: str, stays: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        if stays:
            await reader.read()
        writer.close()

    async def check(world: World) -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            where = Tcp("127.0.0.1", server.sockets[0].getsockname()[1])
            transport = LoraTransport(where, patience=Patience(greeting=0.5))
            wrong = await unavailable(transport, world.where)
            assert "does not speak Meshtastic's protocol" in wrong and said in wrong

    real(check)


def test_who_hangs_up_during_the_handshake_is_told_at_once() -> None:
    async def check(world: World) -> None:
        world.near.hangs_up = True
        transport = world.transport(world.near)
        for _ in range(3):
            said = await unavailable(transport, world.where)
            assert "closed the connection and said nothing: is something else" in said

    real(check)


def test_nobody_there_is_told() -> None:
    async def check(world: World) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            transport = LoraTransport(Tcp("127.0.0.1", sock.getsockname()[1]))
            assert "refuses connections" in await unavailable(transport, world.where)
        assert "is not reached" in await unavailable(
            LoraTransport(Tcp("no-such-host.invalid")), world.where
        )

    real(check)


def test_a_path_that_is_no_port_is_told(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        missing, plain = str(tmp_path / "ttyUSB7"), tmp_path / "file"
        plain.write_bytes(b"")
        said = await unavailable(LoraTransport(Cable(missing)), world.where)
        assert said == f"there is no serial port {missing}: is the radio plugged in?"
        for path in (str(plain), str(tmp_path)):
            said = await unavailable(LoraTransport(Cable(path)), world.where)
            assert said == f"{path} is no serial port"

    real(check)


def test_a_chance_that_somebody_seeded_stays_seeded() -> None:
    async def check(world: World) -> None:
        random.seed(7)
        state = random.getstate()
        async with world.transport(world.near).open(world.where):
            pass
        assert random.getstate() == state

    real(check)


def test_the_library_logs_nothing_above_debug(caplog: pytest.LogCaptureFixture) -> None:
    async def check(world: World) -> None:
        with caplog.at_level(logging.INFO):
            async with world.transport(world.near).open(world.where) as link:
                world.near.disconnect()
                await lost(link)
        told = [record for record in caplog.records if not record.name.startswith("asyncio")]
        assert told == []

    real(check)


def test_without_the_library_the_extra_is_named(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['meshtastic'] = None\n"
        "from focal.cli import main\n"
        "sys.argv = ['focal', 'listen', '--via', 'lora://127.0.0.1:9', '--timeout', '1']\n"
        "main()"
    )
    deadline, home = Deadline(), {"FOCAL_HOME": str(tmp_path)}
    with running([sys.executable, "-c", program], deadline, env=home) as process:
        assert process.wait() == 1
        assert "pip install 'focal-voice[lora]'" in "".join(process.err)
