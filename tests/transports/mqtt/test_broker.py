"""Links over a real broker: what it brings, what it refuses, and what happens when it goes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from focal.core.errors import LinkLost, TransportUnavailable
from focal.core.link import Accepted, Link, Members, Packet, Refused, Report
from focal.core.runtime import real_runtime
from focal.testing import FAR, NEAR, context, envelope_of, free_ports
from focal.transports.mqtt.link import RECEIVE, MqttLink
from focal.transports.mqtt.settings import MqttTransport
from tests.broker import HOST, Broker, broker, password_file
from tests.certificates import Authority
from tests.deadline import ROOT
from tests.transports.mqtt.outsider import outsider, refusing_5, saying

VERSIONS = ["5", "3.1.1"]


@pytest.fixture
def plain(tmp_path: Path) -> Generator[Broker]:
    """Run a broker that lets everybody in."""
    with broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return who signs certificates."""
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


def run(check: Callable[[], Awaitable[None]], seconds: float = 30.0) -> None:
    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await check()

    asyncio.run(limited(), debug=True)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("focal: MQTT")]


def transport(
    port: int, query: str = "", *, tls: bool = False, room: str = "lobby"
) -> MqttTransport:
    scheme = "mqtts" if tls else "mqtt"
    return MqttTransport.from_url(urlsplit(f"{scheme}://{HOST}:{port}/{room}?{query}".rstrip("?")))


@asynccontextmanager
async def opened(
    settings: MqttTransport, origin: int = NEAR, name: str | None = None
) -> AsyncGenerator[MqttLink]:
    with ThreadPoolExecutor(2) as pool:
        where = context(real_runtime(pool), origin=origin, name=name)
        async with settings.open(where) as link:
            yield link


async def arrives(link: Link, seed: int, author: int = NEAR) -> Packet:
    """Wait for the message of a seed, which is the next."""
    packet = await link.receive()
    assert packet.data == envelope_of(80, seed, author), "another message came"
    return packet


async def verdict(link: Link) -> Report:
    async for report in link.reports():
        if isinstance(report, Accepted | Refused):
            return report
    raise AssertionError("the link ended")


async def refused(settings: MqttTransport) -> str:
    """Return why a link does not open."""
    with pytest.raises(TransportUnavailable) as told:
        async with opened(settings):
            pass
    line = str(told.value)
    assert "\n" not in line and "secret" not in line
    return line


# who may come in


@pytest.mark.parametrize("version", VERSIONS)
def test_a_login_is_checked(tmp_path: Path, version: str) -> None:
    async def check() -> None:
        said = await refused(transport(port, f"version={version}"))
        assert "wants a login: add user=NAME" in said
        said = await refused(transport(port, f"{login}&password_file={wrong}"))
        assert "does not take user 'ada' with this password" in said
        async with opened(transport(port, f"{login}&password_file={right}")) as link:
            await link.send(envelope_of(80, 1))
            assert await verdict(link) == Accepted(1)

    login = f"version={version}&user=ada"
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("top secret\nof the house\n")
    wrong.write_text("secret\n")
    passwords = password_file(tmp_path, ada="top secret")
    with broker(tmp_path / "b", f"password_file {passwords}", anonymous=False) as running:
        port = running.port
        run(check)


def test_what_a_login_may_not_publish_is_refused(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(transport(port)) as link:
            await link.send(envelope_of(80, 1))
            report = await verdict(link)
            assert isinstance(report, Refused) and report.retry_after is None
            assert "focal/lobby/0a0a0a0a" in report.reason and "access list" in report.reason

    rules = tmp_path / "rules"
    rules.write_text("topic read focal/#\n")
    with broker(tmp_path / "b", f"acl_file {rules}") as running:
        port = running.port
        run(check)


def test_a_login_can_be_held_to_its_origin(tmp_path: Path) -> None:
    async def check() -> None:
        async with (
            opened(transport(port, f"user=0a0a0a0a&password_file={secret}")) as near,
            opened(transport(port, f"user=bridge&password_file={secret}"), FAR) as bridge,
        ):
            await near.send(envelope_of(80, 1))
            assert isinstance(await verdict(near), Accepted)
            await near.send(envelope_of(80, 2, FAR))
            assert isinstance(await verdict(near), Refused)
            (await arrives(bridge, 1)).ack()
            await bridge.send(envelope_of(80, 3, 0x0C0C0C0C))
            assert isinstance(await verdict(bridge), Accepted)
            await arrives(near, 3, 0x0C0C0C0C)

    secret = tmp_path / "secret"
    secret.write_text("secret")
    rules = tmp_path / "rules"
    page = (ROOT / "docs" / "mqtt.md").read_text()
    rules.write_text(
        page[page.index("pattern read") : page.index("```", page.index("pattern read"))]
    )
    passwords = password_file(tmp_path, bridge="secret", **{"0a0a0a0a": "secret"})
    lines = [f"acl_file {rules}", f"password_file {passwords}"]
    with broker(tmp_path / "b", *lines, anonymous=False) as running:
        port = running.port
        run(check)


def test_nobody_there_is_told() -> None:
    async def check() -> None:
        [port] = free_ports(1)
        assert await refused(transport(port)) == (
            f"nobody listens at {HOST}:{port}: is the broker running?"
        )
        for host in ("no.such.host.invalid", "x" * 70):
            nowhere = MqttTransport.from_url(urlsplit(f"mqtt://{host}/lobby"))
            assert "was found: check the name and the network" in await refused(nowhere)

    run(check)


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64), b"\xff" * 64],
)
def test_what_is_no_broker_is_told(data: bytes) -> None:
    async def check() -> None:
        with saying(data) as port:
            said = await refused(transport(port))
            assert "does not answer as a broker" in said or "closed the connection" in said

    run(check)


# TLS


def secured(authority: Authority, name: str, *lines: str, expired: bool = False) -> list[str]:
    signed = authority.sign(name, expired=expired)
    return [f"certfile {signed.cert}", f"keyfile {signed.key}", *lines]


def test_a_broker_proves_who_it_is(tmp_path: Path, authority: Authority) -> None:
    async def check() -> None:
        async with opened(transport(port, f"ca={authority.ca}", tls=True)) as link:
            await link.send(envelope_of(80, 1))
            assert await verdict(link) == Accepted(1)
        assert "signed by somebody unknown here" in await refused(transport(port, tls=True))
        other = Authority(tmp_path / "other")
        said = await refused(transport(port, f"ca={other.ca}", tls=True))
        assert "signed by somebody unknown here: name the CA's certificate by ca=FILE" in said
        assert "If this port wants TLS, write mqtts://" in await refused(transport(port))

    with broker(tmp_path / "b", *secured(authority, "good")) as running:
        port = running.port
        run(check)


def test_a_certificate_of_long_ago_is_told(tmp_path: Path, authority: Authority) -> None:
    async def check() -> None:
        said = await refused(transport(port, f"ca={authority.ca}", tls=True))
        assert "has expired: have the broker's renewed" in said

    with broker(tmp_path / "b", *secured(authority, "old", expired=True)) as running:
        port = running.port
        run(check)


def test_a_certificate_for_another_name_is_told(tmp_path: Path, authority: Authority) -> None:
    async def check() -> None:
        said = await refused(transport(port, f"ca={authority.ca}", tls=True))
        assert "is for another address than this" in said

    signed = authority.sign("elsewhere", names="DNS:elsewhere.example")
    lines = [f"certfile {signed.cert}", f"keyfile {signed.key}"]
    with broker(tmp_path / "b", *lines) as running:
        port = running.port
        run(check)


def test_what_is_beyond_a_brokers_limit_is_told_with_its_size(tmp_path: Path) -> None:
    """Mosquitto 2.0 answers it with a reason code that MQTT has not for it: paho cannot read it."""

    async def check() -> None:
        async with opened(transport(port)) as link:
            await link.send(envelope_of(500, 1))
            with pytest.raises(LinkLost) as told:
                await link.receive()
            said = str(told.value)
            assert "(500 bytes)" in said and "has it a limit for sizes?" in said

    with broker(tmp_path / "b", "message_size_limit 400") as running:
        port = running.port
        run(check)


def test_tls_with_a_plain_port_is_told(plain: Broker) -> None:
    async def check() -> None:
        assert "does this port speak TLS?" in await refused(transport(plain.port, tls=True))

    run(check)


def test_a_client_proves_who_it_is(tmp_path: Path, authority: Authority) -> None:
    def showing(name: str, more: str = "", by: Authority = authority, old: bool = False) -> str:
        shown = by.sign(name, "client", expired=old)
        return f"ca={authority.ca}&cert={shown.cert}&key={shown.key}{more}"

    async def check() -> None:
        async with opened(transport(port, showing("we"), tls=True)) as link:
            await link.send(envelope_of(80, 1))
            assert await verdict(link) == Accepted(1)
        for query, words in (
            (f"ca={authority.ca}", "certificate required"),
            (showing("late", old=True), "certificate expired"),
            (showing("stranger", by=Authority(tmp_path / "other")), "unknown ca"),
        ):
            said = await refused(transport(port, query, tls=True))
            # Its alert may be lost: it comes after our side of the handshake is done.
            assert f"does not take our certificate ({words})" in said or "hung up" in said

    lines = [f"cafile {authority.ca}", "require_certificate true"]
    with broker(tmp_path / "b", *secured(authority, "strict", *lines)) as running:
        port = running.port
        run(check)


def test_files_that_are_no_certificates_are_told(tmp_path: Path, authority: Authority) -> None:
    async def check() -> None:
        closed, other = authority.sign("closed", "client", password="top secret"), authority.own
        for query, words in (
            ("ca=/no/such", "ca=/no/such: it cannot be read"),
            (f"ca={authority.own.key}", "there is no certificate in it"),
            (f"cert={closed.cert}&key=/no/such", "cannot be read"),
            (f"cert={closed.cert}&key={other.key}", "the key does not belong to the certificate"),
            (f"cert={closed.cert}&key={closed.key}", "the key wants another password"),
            (f"cert={closed.cert}&key={closed.key}&key_password_file={wrong}", "another password"),
            (f"user=ada&password_file={empty}", "its first line is empty"),
            ("user=ada&password_file=/no/such", "the password in /no/such: it cannot be read"),
            ("user=ada&password_env=NO_SUCH_THING", "the environment has no NO_SUCH_THING"),
        ):
            assert words in await refused(transport(1, query, tls=True))

    empty, wrong = tmp_path / "empty", tmp_path / "wrong"
    empty.write_text("\n")
    wrong.write_text("not the secret\n")
    run(check)


# versions


def test_an_old_broker_is_spoken_to_as_it_understands(plain: Broker) -> None:
    async def check() -> None:
        with refusing_5(plain) as port:
            async with opened(transport(port)) as near, opened(transport(plain.port), FAR) as far:
                await near.send(envelope_of(80, 1))
                (await arrives(far, 1)).ack()
            assert "does not speak this version" in await refused(transport(port, "version=5"))

    run(check)


# what is on the topics


def test_any_mqtt_tool_can_watch(plain: Broker) -> None:
    async def check() -> None:
        async with opened(transport(plain.port, room="a%20b"), name="Ada") as link:
            await link.send(envelope_of(80, 1))
            message = await asyncio.to_thread(tool.sees, "focal/a%20b/0a0a0a0a")
            assert message.payload == envelope_of(80, 1) and not message.retain
            said = getattr(message, "properties", None)
            assert getattr(said, "ContentType", None) == "application/x-focal-envelope"
            assert 0 < getattr(said, "MessageExpiryInterval", 0) <= 86_400
            there = await asyncio.to_thread(tool.sees, "focal/a%20b/0a0a0a0a/status")
            status = json.loads(there.payload)
            assert status["online"] is True and status["name"] == "Ada"
        gone = await asyncio.to_thread(tool.sees, "focal/a%20b/0a0a0a0a/status", 2)
        assert json.loads(gone.payload)["online"] is False

    with outsider(plain) as tool:
        tool.watch("focal/#")
        run(check)


def test_who_is_there_is_known(plain: Broker) -> None:
    async def check() -> None:
        async with opened(transport(plain.port), NEAR, "Ada") as near:
            members = (report async for report in near.reports() if isinstance(report, Members))
            async with opened(transport(plain.port), FAR) as far:
                assert await anext(members) == Members(("~0b0b0b0b",))
                theirs = (report async for report in far.reports() if isinstance(report, Members))
                assert await anext(theirs) == Members(("Ada",))
            assert await anext(members) == Members(())

    run(check)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_strangers_garbage_does_not_come_again(plain: Broker, version: str) -> None:
    async def check() -> None:
        settings = transport(plain.port, f"version={version}")
        async with opened(settings) as link:
            for topic, payload in garbage:
                await asyncio.to_thread(stranger.publish, topic, payload)
            await asyncio.to_thread(stranger.publish, there, envelope_of(80, 1, FAR))
            (await arrives(link, 1, FAR)).ack()
            # What is larger than we want a broker of MQTT 5 keeps to itself.
            assert link.ignored == len(garbage) - (2 if version == "5" else 0)
        async with opened(settings) as link:
            await asyncio.to_thread(stranger.publish, there, envelope_of(80, 2, FAR))
            await arrives(link, 2, FAR)
            assert link.ignored == 0

    there = "focal/lobby/0b0b0b0b"
    garbage = [
        (there, b"\x81" * 1_000_000),
        ("focal/lobby/anything", bytes(1_000_000)),
        (there, b"hello?"),
        (f"{there}/receipt", b"\x85"),
        (f"{there}/status", b"offline"),
        ("focal/lobby/0c0c0c0c", envelope_of(80, 3, FAR)),
    ]
    with outsider(plain) as stranger:
        run(check)


# what waits


@pytest.mark.parametrize("version", VERSIONS)
def test_what_came_meanwhile_is_late_and_no_history(plain: Broker, version: str) -> None:
    async def check() -> None:
        theirs = transport(plain.port, f"version={version}")
        async with opened(transport(plain.port)) as near:
            async with opened(theirs, FAR):
                pass
            for seed in range(1, 4):
                await near.send(envelope_of(80, seed))
                assert await verdict(near) == Accepted(seed)
            async with opened(theirs, FAR) as far:
                for seed in range(1, 4):
                    packet = await arrives(far, seed)
                    assert not packet.replayed
                    if seed != 2:
                        packet.ack()
            async with opened(theirs, FAR) as far:
                (await arrives(far, 2)).ack()
            async with opened(theirs, FAR) as far:
                await near.send(envelope_of(80, 9))
                await arrives(far, 9)

    run(check)


def test_without_a_session_nothing_waits(plain: Broker) -> None:
    async def check() -> None:
        theirs = transport(plain.port, "session=0")
        async with opened(transport(plain.port)) as near:
            async with opened(theirs, FAR):
                pass
            await near.send(envelope_of(80, 1))
            assert await verdict(near) == Accepted(1)
            async with opened(theirs, FAR) as far:
                await near.send(envelope_of(80, 2))
                await arrives(far, 2)

    run(check)


def test_what_is_retained_is_history(plain: Broker) -> None:
    async def check() -> None:
        publish = stranger.publish
        await asyncio.to_thread(
            publish, "focal/lobby/0b0b0b0b", envelope_of(80, 1, FAR), retain=True
        )
        async with opened(transport(plain.port)) as link:
            assert (await arrives(link, 1, FAR)).replayed

    with outsider(plain) as stranger:
        run(check)


def test_who_does_not_acknowledge_is_brought_no_more(plain: Broker) -> None:
    async def check() -> None:
        async with opened(transport(plain.port)) as near, opened(transport(plain.port), FAR) as far:
            others = plain.log.count("Sending PUBLISH to focal0b0b0b0b")
            sent = [await near.send(envelope_of(80, seed)) for seed in range(2 * RECEIVE)]
            for _ in sent:
                assert isinstance(await verdict(near), Accepted)
            held = [await far.receive() for _ in range(RECEIVE)]
            assert plain.log.count("Sending PUBLISH to focal0b0b0b0b") - others == RECEIVE
            for packet in held:
                packet.ack()
            again = [await far.receive() for _ in range(RECEIVE)]
            assert [p.data for p in held + again] == [envelope_of(80, s) for s in range(len(sent))]

    run(check)


# when it goes


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_that_goes_is_told(plain: Broker, how: str) -> None:
    async def check() -> None:
        async with opened(transport(plain.port)) as link:
            await asyncio.to_thread(getattr(plain, how))
            with pytest.raises(LinkLost, match=f"the broker at {HOST}:{plain.port} "):
                await link.receive()
            with pytest.raises(LinkLost):
                await link.send(envelope_of(80, 1))

    run(check)


@pytest.mark.parametrize("persistence", [True, False])
def test_presence_is_there_after_a_restart(tmp_path: Path, persistence: bool) -> None:
    async def check() -> None:
        for _ in range(2):
            async with opened(settings):
                with outsider(running) as tool:
                    tool.watch("focal/lobby/+/status")
                    said = await asyncio.to_thread(tool.sees, "focal/lobby/0a0a0a0a/status")
                    assert json.loads(said.payload)["online"] is True and said.retain
                await asyncio.to_thread(running.restart)

    with broker(tmp_path / "b", persistence=persistence) as running:
        settings = transport(running.port)
        run(check)


def test_what_waits_survives_a_restart_of_a_broker_that_saves(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(settings, FAR):
            pass
        async with opened(settings) as near:
            await near.send(envelope_of(80, 1))
            assert await verdict(near) == Accepted(1)
        await asyncio.to_thread(running.restart)
        async with opened(settings, FAR) as far:
            await arrives(far, 1)

    with broker(tmp_path / "b", persistence=True) as running:
        settings = transport(running.port)
        run(check)


def test_a_second_client_with_our_id_is_told(
    plain: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        ours, copy = transport(plain.port), transport(plain.port)
        async with opened(ours) as first, opened(copy):
            with pytest.raises(LinkLost):
                await first.receive()
            assert ours.past.since is not None
            ours.past.since -= 60  # so long ago was our turn
            async with opened(ours) as again:
                await asyncio.to_thread(tool.publish, there, envelope_of(80, 1, FAR))
                await arrives(again, 1, FAR)

    there = "focal/lobby/0b0b0b0b"
    with outsider(plain) as tool:
        run(check)
    assert "another client was at" in caplog.text
