"""UDP between real sockets on the loopback interface, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.errors import PacketTooBig, TransportUnavailable
from focal.core.link import Down, LinkContext, Refused, Up
from focal.core.runtime import real_runtime
from focal.testing import context
from focal.transports import udp
from focal.transports.udp import UdpTransport, sockaddr_of, text_of

PATIENCE = 10.0


def real(check: Callable[[LinkContext], Awaitable[None]]) -> None:
    """Run a check in real time, with a limit."""

    async def main(pool: ThreadPoolExecutor) -> None:
        async with asyncio.timeout(PATIENCE):
            await check(context(real_runtime(pool)))

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main(pool), debug=True)


def url(text: str) -> UdpTransport:
    return UdpTransport.from_url(urlsplit(text))


def free_port(host: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def bare() -> AsyncGenerator[socket.socket]:
    """A plain socket on the loopback interface, to talk to a link."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        yield sock


def test_without_listen_any_free_port_is_taken_and_answers_come_back() -> None:
    async def check(where: LinkContext) -> None:
        loop = asyncio.get_running_loop()
        async with bare() as far, url(f"udp://127.0.0.1:{port_of(far)}").open(where) as link:
            await link.send(b"question")
            data, addr = await loop.sock_recvfrom(far, 2000)
            assert data == b"question"
            await loop.sock_sendto(far, b"answer", addr)
            packet = await link.receive()
            assert (packet.data, packet.peer) == (b"answer", f"127.0.0.1:{port_of(far)}")

    real(check)


def test_a_name_is_looked_up() -> None:
    async def check(where: LinkContext) -> None:
        loop = asyncio.get_running_loop()
        async with bare() as far, url(f"udp://localhost:{port_of(far)}").open(where) as link:
            await link.send(b"hello")
            assert (await loop.sock_recvfrom(far, 2000))[0] == b"hello"

    real(check)


def test_to_goes_there_and_nowhere_else() -> None:
    async def check(where: LinkContext) -> None:
        loop = asyncio.get_running_loop()
        async with bare() as far, bare() as other:
            async with url(f"udp://127.0.0.1:{port_of(far)}").open(where) as link:
                await link.send(b"aside", to=f"127.0.0.1:{port_of(other)}")
                await link.send(b"hello")
                assert (await loop.sock_recvfrom(other, 2000))[0] == b"aside"
                assert (await loop.sock_recvfrom(far, 2000))[0] == b"hello"

    real(check)


@pytest.mark.parametrize(
    "to", ["somewhere", "127.0.0.1", "127.0.0.1:0", "[::1]:5000", "[fe80::1%no]:5"]
)
def test_an_address_that_is_none_is_refused(to: str) -> None:
    async def check(where: LinkContext) -> None:
        async with url("udp://127.0.0.1:9").open(where) as link:
            ticket = await link.send(b"x", to=to)
            report = await anext(link.reports())
            assert isinstance(report, Refused)
            assert report.ticket == ticket and to in report.reason

    real(check)


def test_what_no_frame_is_as_long_as_is_not_received() -> None:
    async def check(where: LinkContext) -> None:
        async with bare() as far:
            port = free_port()
            there = UdpTransport("127.0.0.1", port_of(far), listen=port)
            async with there.open(where) as link:
                far.sendto(bytes(udp.SIZE + 1), ("127.0.0.1", port))
                far.sendto(b"short", ("127.0.0.1", port))
                assert (await link.receive()).data == b"short"
                with pytest.raises(PacketTooBig):
                    await link.send(bytes(udp.SIZE + 1))

    real(check)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_nobody_there_is_told_and_the_link_lives_on(host: str) -> None:
    async def check(where: LinkContext) -> None:
        near, far = free_port(host), free_port(host)
        async with UdpTransport(host, far, listen=near).open(where) as link:
            reports = link.reports()
            await link.send(b"anybody?")
            down = await anext(reports)
            assert isinstance(down, Down) and "nobody listens" in down.reason
            await link.send(b"still nobody?")
            async with UdpTransport(host, near, listen=far).open(where) as answer:
                await answer.send(b"here")
                assert (await link.receive()).data == b"here"
            assert await anext(reports) == Up()

    real(check)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
def test_a_refusal_is_forgotten_after_a_rest() -> None:
    async def main(pool: ThreadPoolExecutor) -> None:
        rested = asyncio.Event()
        rests: list[float] = []
        real_time = real_runtime(pool)

        async def rest(seconds: float) -> None:
            if seconds:
                rests.append(seconds)
                await rested.wait()

        runtime = type(real_time)(real_time.now, rest, real_time.run_blocking, real_time.unix)
        async with asyncio.timeout(PATIENCE):
            async with url(f"udp://127.0.0.1:{free_port()}").open(context(runtime)) as link:
                reports = link.reports()
                await link.send(b"anybody?")
                assert isinstance(await anext(reports), Down)
                rested.set()
                assert await anext(reports) == Up()
                assert rests == [udp.REST]

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main(pool), debug=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
def test_that_somebody_else_is_not_there_is_no_matter() -> None:
    async def check(where: LinkContext) -> None:
        async with bare() as far:
            async with url(f"udp://127.0.0.1:{port_of(far)}").open(where) as link:
                await link.send(b"x", to=f"127.0.0.1:{free_port()}")
                for _ in range(20):
                    await asyncio.sleep(0)
                await link.aclose()
                assert [report async for report in link.reports()] == []

    real(check)


def test_members_of_a_group_hear_each_other_but_not_themselves() -> None:
    async def check(where: LinkContext) -> None:
        member = url(f"udp://239.255.77.2:{free_port()}?bind=127.0.0.1")
        async with member.open(where) as a, member.open(where) as b, member.open(where) as c:
            assert a.limits.shared
            await a.send(b"all")
            packets = await asyncio.gather(b.receive(), c.receive())
            assert [p.data for p in packets] == [b"all", b"all"]
            await b.send(b"only a", to=packets[0].peer)
            assert (await a.receive()).data == b"only a"

    real(check)


def test_one_far_end_is_not_shared() -> None:
    async def check(where: LinkContext) -> None:
        async with url("udp://127.0.0.1:9").open(where) as link:
            assert not link.limits.shared
            assert link.limits.mtu(None) == link.limits.size == 1200

    real(check)


def fails(transport: UdpTransport, *words: str) -> Callable[[LinkContext], Awaitable[None]]:
    """Return a check that opening fails with these words on one line."""

    async def check(where: LinkContext) -> None:
        with pytest.raises(TransportUnavailable) as caught:
            async with transport.open(where):
                raise AssertionError("it opened")
        assert all(word in str(caught.value) for word in words), caught.value
        assert "\n" not in str(caught.value)

    return check


def test_a_port_in_use_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        port = port_of(other)
        real(fails(UdpTransport("127.0.0.1", 9, listen=port), str(port), "in use", "listen="))


@pytest.mark.parametrize("host", ["fe80::1%nowhere", "x" * 64, "a..b"])  # asks no name service
def test_an_unknown_host_is_named(host: str) -> None:
    real(fails(UdpTransport(host, 9), repr(host), "check"))


def test_an_address_that_is_not_ours_is_named() -> None:
    real(fails(UdpTransport("127.0.0.1", 9, bind="192.0.2.1"), "192.0.2.1", "bind="))


def test_addresses_of_two_kinds_do_not_go_together() -> None:
    real(fails(UdpTransport("127.0.0.1", 9, bind="::1"), "127.0.0.1"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("udp://Hill.example:5000?listen=5001", "udp:*:5001->hill.example:5000"),
        ("udp://10.0.0.1:5000", "udp:*:0->10.0.0.1:5000"),
        ("udp://[0:0::1]:5000?bind=::1&listen=7", "udp:[::1]:7->[::1]:5000"),
        ("udp://[fe80::1%25eth0]:5000", "udp:*:0->[fe80::1%eth0]:5000"),
    ],
)
def test_the_key_has_one_spelling(text: str, key: str) -> None:
    assert url(text).key == key


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("udp://host", "port is missing"),
        ("udp://:5000", "host is missing"),
        ("udp:host:5000", "no path"),
        ("udp://host:5000/room", "no path"),
        ("udp://me@host:5000", "no path"),
        ("udp://host:99999", "65535"),
        ("udp://host:5000?listn=1", "'listen'"),
        ("udp://host:5000?listen=0", "from 1 to 65535"),
    ],
)
def test_a_url_that_cannot_be_says_how_to_write_it(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        url(text)
    assert words in str(caught.value) and "udp://HOST:PORT" in str(caught.value)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_addresses_are_read_as_they_are_written(ip: object, port: int) -> None:
    text = f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}"
    assert sockaddr_of(text_of(sockaddr_of(text))) == sockaddr_of(text)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        assert sockaddr_of(text)
    except ValueError as error:
        assert "no address" in str(error)


def test_plugins_find_it_by_its_scheme() -> None:
    (spec,) = udp.focal_transports()
    assert spec.scheme == "udp"


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])
