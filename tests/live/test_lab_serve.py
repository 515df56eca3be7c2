"""``focal lab serve`` behaves as nodes do, for the real library: real processes, real sockets."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from meshtastic.protobuf import config_pb2  # pyright: ignore[reportMissingTypeStubs]

from tests.deadline import ROOT, Deadline, focal, running
from tests.live.lab import client, serving

A, B = 0xA001, 0xB001
TWO = """
hop_limit = 1
channels = ["", "focal"]
[nodes.a]
number = "!0000a001"
[nodes.b]
number = "!0000b001"
"""
STRANGERS = TWO.replace('01"', '01"\nknows = []')
MUTE = TWO.replace('01"', '01"\nrole = "CLIENT_MUTE"')


@pytest.fixture
def deadline() -> Deadline:
    return Deadline(60)


def test_a_client_is_told_all_about_its_node(tmp_path: Path, deadline: Deadline) -> None:
    with serving(TWO, tmp_path, deadline) as lab, client(lab, "a") as a:
        assert a.library.myInfo.my_node_num == A
        assert a.library.metadata.firmware_version.startswith("2.7.")
        lora, kind = a.library.localNode.localConfig.lora, config_pb2.Config.LoRaConfig
        assert lora.region == kind.RegionCode.EU_868 and lora.use_preset and lora.tx_enabled
        assert lora.modem_preset == kind.ModemPreset.LONG_FAST and lora.hop_limit == 1
        assert [channel.settings.name for channel in a.library.localNode.channels[:3]] == [
            "",
            "focal",
            "",
        ]
        assert [channel.role for channel in a.library.localNode.channels] == [
            1,
            2,
            0,
            0,
            0,
            0,
            0,
            0,
        ]
        assert sorted(a.nodes) == ["!0000a001", "!0000b001"]
        assert all(node["user"]["publicKey"] for node in a.nodes.values())
        assert a.nodes["!0000b001"]["user"]["longName"] == "b"
        assert a.nodes["!0000a001"]["deviceMetrics"]["batteryLevel"] == 101


def test_a_node_that_signs_is_of_the_firmware_that_does(tmp_path: Path, deadline: Deadline) -> None:
    signs = TWO.replace('a001"', 'a001"\nsigns = true\nkey = false')
    with serving(signs, tmp_path, deadline) as lab, client(lab, "a") as a:
        assert a.library.metadata.firmware_version.startswith("2.8.")
        assert "publicKey" not in a.nodes["!0000a001"]["user"]
        a.send(bytes(165), hopLimit=0)
        a.send(bytes(166), hopLimit=0)
        signed = lab.event("on-air", bytes=165)["seconds"]
        assert signed > lab.event("on-air", bytes=166)["seconds"]


def test_packets_pass_both_ways(tmp_path: Path, deadline: Deadline) -> None:
    with (
        serving(TWO, tmp_path, deadline) as lab,
        client(lab, "a") as a,
        client(lab, "b") as b,
    ):
        begin = int(time.time())
        a.send(b"to all", channelIndex=1)
        heard = b.payload(b"to all")
        assert (getattr(heard, "from"), heard.to, heard.channel) == (A, 0xFFFFFFFF, 1)
        assert (heard.hop_limit, heard.hop_start, heard.pki_encrypted) == (1, 1, False)
        assert heard.rx_snr == 6.0 and heard.rx_rssi < 0 and heard.rx_time >= begin
        b.send(bytes(219), "!0000a001", hopLimit=0)
        heard = a.payload(bytes(219))
        assert (getattr(heard, "from"), heard.to, heard.channel) == (B, A, 0)
        assert heard.pki_encrypted and len(heard.public_key) == 32


def test_a_direct_packet_is_acknowledged_by_its_receiver(
    tmp_path: Path, deadline: Deadline
) -> None:
    with serving(TWO, tmp_path, deadline) as lab, client(lab, "a") as a:
        id = a.send(b"x", "!0000b001", wantAck=True)
        assert a.routed(id) == (B, "NONE")
        assert a.answer(id).res == 0


def test_a_relay_that_is_overheard_is_an_acknowledgement_by_the_node_itself(
    tmp_path: Path, deadline: Deadline
) -> None:
    with serving(TWO, tmp_path, deadline) as lab, client(lab, "a") as a:
        id = a.send(b"x", wantAck=True)
        assert a.routed(id) == (A, "NONE")
        lab.event("relayed", node="a", packet=f"{id:08x}")


def test_what_nobody_acknowledges_is_sent_three_times_and_given_up(
    tmp_path: Path, deadline: Deadline
) -> None:
    with serving(MUTE, tmp_path, deadline) as lab, client(lab, "a") as a:
        id = a.send(b"x", wantAck=True)
        assert a.routed(id) == (A, "MAX_RETRANSMIT")
        on_air = [one for one in lab.events if one["event"] == "on-air"]
        assert len(on_air) == 3


def test_what_does_not_fit_is_refused(tmp_path: Path, deadline: Deadline) -> None:
    with serving(TWO, tmp_path, deadline) as lab, client(lab, "a") as a:
        for size, to in ((231, "^all"), (219, "!0000b001")):
            good = a.send(bytes(size), to)
            bad = a.send(bytes(size + 1), to)
            assert a.routed(bad) == (A, "TOO_LARGE")
            assert (a.answer(good).res, a.answer(bad).res) == (0, 7)


def test_a_payload_that_no_node_decodes_is_dropped_in_silence(
    tmp_path: Path, deadline: Deadline
) -> None:
    with serving(TWO, tmp_path, deadline) as lab, client(lab, "a") as a:
        long, short = a.hand(bytes(234)), a.hand(bytes(233))
        assert a.answer(short).res == 7
        answered = {one.queueStatus.mesh_packet_id for one in a.told}
        assert short in answered and long not in answered


def test_a_channel_that_is_none_is_refused(tmp_path: Path, deadline: Deadline) -> None:
    with serving(TWO, tmp_path, deadline) as lab, client(lab, "a") as a:
        id = a.send(b"x", channelIndex=2)
        assert a.routed(id) == (A, "NO_CHANNEL")


def test_whose_key_is_unknown_gets_nothing_until_nodes_have_met(
    tmp_path: Path, deadline: Deadline
) -> None:
    with (
        serving(STRANGERS, tmp_path, deadline) as lab,
        client(lab, "a") as a,
        client(lab, "b") as b,
    ):
        assert sorted(a.nodes) == ["!0000a001"]
        id = a.send(b"1", "!0000b001")
        assert a.routed(id) == (A, "PKI_SEND_FAIL_PUBLIC_KEY") and a.answer(id).res == 39
        a.beat(1)
        met = a.wait("b's answer", lambda one: one.packet.decoded.portnum == 4).packet
        assert getattr(met, "from") == B and met.to == A and met.decoded.request_id
        assert a.nodes["!0000b001"]["user"]["publicKey"]
        a.send(b"2", "!0000b001")
        assert b.payload(b"2").pki_encrypted and b.packets == [b"2"]


def test_a_full_queue_refuses_and_tells_when_it_has_places_again(
    tmp_path: Path, deadline: Deadline
) -> None:
    with serving(TWO, tmp_path, deadline, speed=5) as lab, client(lab, "a") as a:
        ids = [a.hand(bytes(231)) for _ in range(19)]
        answers = [a.answer(id) for id in ids]
        assert [answer.maxlen for answer in answers] == [16] * 19
        results = [answer.res for answer in answers]
        assert set(results) == {0, 32} and results == sorted(results)
        assert results.count(0) in (16, 17)  # one may be on the air already
        assert all(answer.free == 0 for answer in answers if answer.res)
        last = len(a.told)
        a.wait(
            "places again",
            lambda one: (
                one in a.told[last - 1 :]
                and one.HasField("queueStatus")
                and not one.queueStatus.mesh_packet_id
                and one.queueStatus.free
            ),
        )
        later = a.hand(b"later")
        assert a.answer(later).res == 0


def test_the_duty_cycle_is_kept_and_said_to_be(tmp_path: Path, deadline: Deadline) -> None:
    scenario = 'region = "EU_866"\npreset = "LITE_SLOW"\n' + MUTE  # 2.5 %: 90 s an hour
    with serving(scenario, tmp_path, deadline, speed=500) as lab, client(lab, "a") as a:
        while (answer := a.answer(id := a.hand(bytes(231)))).res != 9:
            assert answer.res in (0, 32)
        assert a.routed(id) == (A, "DUTY_CYCLE_LIMIT")
        said = a.wait("a word for people", lambda one: one.HasField("clientNotification"))
        assert "You can send again in " in said.clientNotification.message
        spent = [one["seconds"] for one in lab.events if one["event"] == "on-air"]
        assert 90 < sum(spent) < 90 + 17 * 2.4


def test_a_client_is_told_how_much_its_node_sent(tmp_path: Path, deadline: Deadline) -> None:
    with serving(TWO, tmp_path, deadline, speed=100) as lab, client(lab, "a") as a:
        a.send(bytes(231), hopLimit=0)
        lab.event("on-air")
        deadline.until(
            "telemetry", lambda: a.nodes["!0000a001"]["deviceMetrics"].get("airUtilTx", 0) > 0.05
        )


def test_a_node_keeps_32_packets_for_a_client_that_is_away(
    tmp_path: Path, deadline: Deadline
) -> None:
    scenario = 'preset = "SHORT_FAST"\n' + TWO
    with serving(scenario, tmp_path, deadline, speed=200) as lab:
        with client(lab, "a") as a:
            sent = [b"%03d" % number for number in range(40)]
            for payload in sent:
                while a.answer(a.hand(payload)).res == 32:
                    pass
            lab.event("dropped", 8, node="b")
        with client(lab, "b") as b:
            b.beat()
            b.payload(sent[31])
            assert b.packets == sent[:32]


def test_a_newcomer_takes_the_place_of_the_client_before(
    tmp_path: Path, deadline: Deadline
) -> None:
    with serving(TWO, tmp_path, deadline) as lab:
        # Not the library, which would come back a second later and put out the newcomer in turn.
        with socket.create_connection(("127.0.0.1", lab.port("a")), deadline.left) as first:
            lab.event("connected", node="a")
            with client(lab, "a") as second:
                lab.event("left", node="a", reason="another client came")
                assert first.recv(1) == b""
                lab.event("connected", 2, node="a")
                assert second.library.isConnected


def test_a_node_that_hangs_answers_nobody_until_it_wakes(
    tmp_path: Path, deadline: Deadline
) -> None:
    with (
        serving(TWO, tmp_path, deadline) as lab,
        client(lab, "a") as a,
        client(lab, "b") as b,
    ):
        b.wait("an answer to the library's heartbeat", lambda one: one.HasField("queueStatus"))
        assert lab.command("silence b") == "ok"
        lab.event("silenced", node="b")
        told = len(b.told)
        b.beat()
        id = a.send(b"x", "!0000b001", wantAck=True)
        assert a.routed(id) == (A, "MAX_RETRANSMIT")
        assert len(b.told) == told
        assert lab.command("wake b") == "ok"
        b.wait("an answer", lambda one: one in b.told[told:] and one.HasField("queueStatus"))
        a.send(b"y", "!0000b001")
        assert b.payload(b"y") and b.packets == [b"y"]


def test_commands_that_are_none_are_said_to_be(tmp_path: Path, deadline: Deadline) -> None:
    with serving(TWO, tmp_path, deadline) as lab:
        assert lab.command("rebot a") == "there is no command 'rebot'; did you mean 'reboot'?"
        assert lab.command("reboot c") == "there is no node 'c'; there is a, b"
        with socket.create_connection(("127.0.0.1", lab.control), deadline.left) as sock:
            sock.sendall(b"x" * 8192)
            lab.process.line("a connection for commands is closed", "err")


def test_a_scenario_says_when_a_node_falls_silent(tmp_path: Path, deadline: Deadline) -> None:
    events = "".join(
        f'[[events]]\nat = {at}\nnode = "b"\ndoes = "{does}"\n'
        for at, does in ((2, "silence"), (4, "wake"), (6, "reboot"))
    )
    with serving(TWO + events, tmp_path, deadline) as lab:
        for event in ("silenced", "woken", "rebooting", "up"):
            lab.event(event, node="b")


def test_a_node_that_restarts_is_gone_for_a_while_and_has_forgotten(
    tmp_path: Path, deadline: Deadline
) -> None:
    with (
        serving(TWO, tmp_path, deadline) as lab,
        client(lab, "a") as a,
        client(lab, "b") as b,
    ):
        a.send(b"before")
        b.payload(b"before")
        a.library.localNode.reboot(0)
        lab.event("left", node="a", reason="the node restarts")
        lab.event("up", node="a")
        lab.event("connected", 2, node="a")  # the library comes back by itself, once
        a.wait("all of it again", lambda one: one.config_complete_id, 2)
        used = [one.node_info.device_metrics.air_util_tx for one in a.told if one.node_info.num]
        assert used[-1] == 0
        a.send(b"after")
        b.payload(b"after")


def test_garbage_ends_its_connection_and_nothing_else(tmp_path: Path, deadline: Deadline) -> None:
    with serving(TWO, tmp_path, deadline) as lab:
        for garbage in (b"GET / HTTP/1.0\r\n" * 100, b"\x94\xc3\xff\xff", b"\x94\xc3\0\1\xff"):
            with socket.create_connection(("127.0.0.1", lab.port("a")), deadline.left) as sock:
                sock.settimeout(deadline.left)
                sock.sendall(garbage)
                assert sock.recv(1) == b""
        lab.process.line("a client is let go", "err")
        with client(lab, "a") as a:
            assert a.answer(a.send(b"x")).res == 0


def test_it_ends_cleanly(tmp_path: Path, deadline: Deadline) -> None:
    with serving(TWO, tmp_path, deadline) as lab:
        sock = socket.create_connection(("127.0.0.1", lab.port("a")), deadline.left)
        with sock:
            lab.event("connected")
            lab.process.signal(signal.SIGINT)
            assert lab.process.wait() == 130
            assert lab.process.err == []
    lab.event("left", node="a", reason="the lab ends")


def test_people_read_lines(tmp_path: Path, deadline: Deadline) -> None:
    path = tmp_path / "x.toml"
    path.write_text(TWO)
    command = focal("lab", "serve", str(path), "--listen", "0")
    with running(command, deadline, cwd=tmp_path) as process:
        line = process.line("serving")
        assert "a serving !0000a001 at 127.0.0.1:" in line


@pytest.mark.parametrize(
    ("scenario", "listen", "code", "says"),
    [
        (TWO, "0,0,0", 2, "3 ports for 2 nodes"),
        (TWO, "4501,4501", 2, "port 4501 is named twice"),
        (TWO, "zero", 2, "is no list of TCP ports"),
        (TWO, "70000", 2, "is no list of TCP ports"),
        ("[nodes.a]\nnam = 1", "0", 2, "there is no 'nam'"),
        ("region = 'ITU2_125CM'\n[nodes.a]", "0", 2, "does not know"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    tmp_path: Path, deadline: Deadline, scenario: str, listen: str, code: int, says: str
) -> None:
    (tmp_path / "x.toml").write_text(scenario)
    command = focal("lab", "serve", "x.toml", "--listen", listen)
    with running(command, deadline, cwd=tmp_path) as process:
        assert process.wait() == code
        (line,) = process.err
        assert says in line


def test_without_the_library_the_extra_is_named(tmp_path: Path, deadline: Deadline) -> None:
    (tmp_path / "x.toml").write_text(TWO)
    (tmp_path / "meshtastic").mkdir()
    (tmp_path / "meshtastic" / "__init__.py").write_text("raise ImportError\n")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    command = focal("lab", "serve", "x.toml", "--listen", "0")
    with running(command, deadline, cwd=tmp_path, env={"PYTHONPATH": path}) as process:
        assert process.wait() == 1
        (line,) = process.err
        assert "pip install 'focal-voice[lora]'" in line


def test_a_port_in_use_is_told_in_one_line(tmp_path: Path, deadline: Deadline) -> None:
    (tmp_path / "x.toml").write_text(TWO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = focal("lab", "serve", "x.toml", "--listen", str(port))
        with running(command, deadline, cwd=tmp_path) as process:
            assert process.wait() == 1
            (line,) = process.err
            assert f"cannot listen at 127.0.0.1:{port}" in line
