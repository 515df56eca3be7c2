"""The mesh loses, doubles, delays and parts as it is told, and the same way each time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from focal.core.errors import LinkClosed, LinkLost, PacketTooBig, TransportUnavailable
from focal.core.link import Accepted, Packet, Refused
from focal.core.runtime import VirtualLoop, run_virtual
from focal.testing import context, envelope_of
from focal.transports.memory import (
    HELD,
    Conditions,
    MemoryLink,
    MemoryTransport,
    Mesh,
    focal_transports,
)

Check = Callable[..., Awaitable[None]]


def on(mesh: Mesh, count: int, check: Check) -> None:
    """Run a check with so many links open on a mesh, in virtual time."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            links = [
                await stack.enter_async_context(MemoryTransport(mesh).open(context()))
                for _ in range(count)
            ]
            await check(*links)

    run_virtual(main())


async def drain(link: MemoryLink, seconds: float = 60.0) -> list[Packet]:
    """Return all that arrives within so many virtual seconds."""
    packets: list[Packet] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                packets.append(await link.receive())
    except TimeoutError:
        return packets


def frames(count: int) -> list[bytes]:
    return [n.to_bytes(2, "big") for n in range(count)]


async def send_all(link: MemoryLink, packets: list[bytes]) -> None:
    for data in packets:
        await link.send(data)


def test_everyone_else_hears_what_is_for_nobody() -> None:
    async def check(a: MemoryLink, b: MemoryLink, c: MemoryLink) -> None:
        await a.send(b"hello")
        for link in (b, c):
            assert await link.receive() == Packet(b"hello", "mem-1")
        assert await drain(a) == []

    on(Mesh(), 3, check)


def test_a_packet_to_one_reaches_no_other() -> None:
    async def check(a: MemoryLink, b: MemoryLink, c: MemoryLink) -> None:
        await a.send(b"hello", to="mem-2")
        await a.send(b"lost", to="nobody")
        assert [p.data for p in await drain(b)] == [b"hello"]
        assert await drain(c) == []

    on(Mesh(), 3, check)


def test_losses_come_as_often_as_told_and_to_each_on_its_own() -> None:
    async def check(a: MemoryLink, b: MemoryLink, c: MemoryLink) -> None:
        await send_all(a, frames(2000))
        heard = [{p.data for p in await drain(link)} for link in (b, c)]
        for mine in heard:
            assert 1700 < len(mine) < 1900  # 1800 expected, 13 is one standard deviation
        assert heard[0] != heard[1]
        assert mesh.carried.lost == 4000 - len(heard[0]) - len(heard[1])

    mesh = Mesh(conditions=Conditions(loss=0.1, seed=7))
    on(mesh, 3, check)


def test_doubles_come_as_often_as_told() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        await send_all(a, frames(2000))
        assert 2060 < len(await drain(b)) < 2140

    on(Mesh(conditions=Conditions(dup=0.05)), 2, check)


def test_without_reorder_the_order_is_kept_through_any_delay() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        sent = frames(500)
        await send_all(a, sent)
        assert [p.data for p in await drain(b)] == sent

    on(Mesh(conditions=Conditions(delay=0.2)), 2, check)


def test_some_are_overtaken_and_none_is_lost_by_it() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        sent = frames(500)
        await send_all(a, sent)
        heard = [p.data for p in await drain(b)]
        assert heard != sent
        assert sorted(heard) == sent

    on(Mesh(conditions=Conditions(reorder=0.1)), 2, check)


def test_delay_and_jitter_bound_when_a_packet_arrives() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        times: list[float] = []
        for _ in range(50):
            before = asyncio.get_running_loop().time()
            await a.send(b"x")
            await b.receive()
            times.append(asyncio.get_running_loop().time() - before)
        assert min(times) >= 0.2 and max(times) < 0.31
        assert max(times) - min(times) > 0.05

    on(Mesh(conditions=Conditions(delay=0.2, jitter=0.1)), 2, check)


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[bytes]:
        heard: list[bytes] = []

        async def check(a: MemoryLink, b: MemoryLink) -> None:
            await send_all(a, frames(200))
            heard.extend(p.data for p in await drain(b))

        on(
            Mesh(conditions=Conditions(loss=0.2, dup=0.1, reorder=0.1, jitter=0.1, seed=seed)),
            2,
            check,
        )
        return heard

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_the_channel_is_one_and_senders_wait_their_turn() -> None:
    async def check(a: MemoryLink, b: MemoryLink, c: MemoryLink) -> None:
        loop = asyncio.get_running_loop()
        assert a.limits.airtime(100, None) == 1.0
        before = loop.time()
        await asyncio.gather(a.send(bytes(100)), b.send(bytes(100)), a.send(bytes(50)))
        assert round(loop.time() - before, 6) == 2.5
        assert len(await drain(c)) == 3
        assert mesh.carried.airtime == 2.5

    mesh = Mesh(conditions=Conditions(bandwidth=100.0))
    on(mesh, 3, check)


def test_a_cancelled_sender_gives_the_channel_back() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        for _ in range(3):
            sending = [asyncio.ensure_future(a.send(bytes(100))) for _ in range(2)]
            await asyncio.sleep(0.5)
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
        await a.send(b"whole")
        assert [p.data for p in await drain(b)] == [b"whole"]

    on(Mesh(conditions=Conditions(bandwidth=100.0)), 2, check)


def test_limits_say_what_the_conditions_are() -> None:
    async def check(a: MemoryLink) -> None:
        limits = a.limits
        assert (limits.kind, limits.mtu(None), limits.shared) == ("datagram", 100, True)
        assert (limits.replies, limits.slot, limits.airtime(9, None)) == (False, 0.5, None)
        with pytest.raises(PacketTooBig):
            await a.send(bytes(101))

    on(Mesh(conditions=Conditions(mtu=100, replies=False, slot=0.5)), 1, check)


def test_the_mesh_counts_what_it_carried() -> None:
    async def check(a: MemoryLink, b: MemoryLink, c: MemoryLink) -> None:
        await a.send(b"12345")
        await b.send(b"678")
        assert (mesh.carried.frames, mesh.carried.bytes) == (2, 8)
        assert (mesh.carried.delivered, mesh.carried.lost) == (4, 0)

    mesh = Mesh()
    on(mesh, 3, check)


def test_a_cut_link_is_lost_and_leaves_the_mesh() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        waiting = asyncio.ensure_future(b.receive())
        await a.send(b"in time")
        mesh.cut("mem-2", "battery empty")
        assert (await waiting).data == b"in time"
        with pytest.raises(LinkLost, match="battery empty"):
            await b.receive()
        with pytest.raises(LinkLost):
            await b.send(b"x")
        assert [report async for report in b.reports()] == []
        assert mesh.addresses == ("mem-1",)

    mesh = Mesh()
    on(mesh, 2, check)


def test_a_link_that_is_cut_while_it_waits_to_send_sends_nothing() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        sending = asyncio.ensure_future(a.send(bytes(100)))
        await asyncio.sleep(0.5)
        mesh.cut("mem-1")
        with pytest.raises(LinkLost):
            await sending
        assert await drain(b) == []

    mesh = Mesh(conditions=Conditions(bandwidth=100.0))
    on(mesh, 2, check)


def test_an_attacker_can_say_anything_as_anybody() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        mesh.inject(b"\x00\xff" * 500, peer="mem-1")
        mesh.inject(b"only b", to="mem-2")
        assert [p.data for p in await drain(a)] == [b"\x00\xff" * 500]
        assert [p.peer for p in await drain(b)] == ["mem-1", "attacker"]

    mesh = Mesh()
    on(mesh, 2, check)


def test_a_filter_sees_changes_and_drops_each_packet() -> None:
    def strike(data: bytes, sender: str, receiver: str) -> bytes | None:
        return None if receiver == "mem-3" else data.upper()

    async def check(a: MemoryLink, b: MemoryLink, c: MemoryLink) -> None:
        mesh.filter = strike
        await a.send(b"hello")
        assert (await b.receive()).data == b"HELLO"
        assert await drain(c) == []
        assert mesh.carried.lost == 1

    mesh = Mesh()
    on(mesh, 3, check)


def test_a_partition_parts_and_heals() -> None:
    async def check(a: MemoryLink, b: MemoryLink, c: MemoryLink) -> None:
        mesh.partition(["mem-1", "mem-2"])
        await a.send(b"1")
        mesh.heal()
        await a.send(b"2")
        assert [p.data for p in await drain(b)] == [b"1", b"2"]
        assert [p.data for p in await drain(c)] == [b"2"]

    mesh = Mesh()
    on(mesh, 3, check)


def test_closing_leaves_no_packet_on_its_way() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        await a.send(b"late")
        await b.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(LinkClosed):
            await b.receive()

    on(Mesh(conditions=Conditions(delay=5.0)), 2, check)


def test_what_is_on_its_way_is_bounded() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        await send_all(a, [b"x"] * (HELD + 100))
        assert len(await drain(b)) == HELD
        assert mesh.carried.lost == 100

    mesh = Mesh(conditions=Conditions(delay=10.0))
    on(mesh, 2, check)


def test_messages_are_accepted_and_told_to_who_comes_late() -> None:
    async def main() -> None:
        mesh = Mesh(conditions=Conditions(kind="message", history=2))
        async with MemoryTransport(mesh, node="a").open(context()) as a:
            sent = [envelope_of(60, seed) for seed in range(3)]
            tickets = [await a.send(data) for data in sent]
            reports = a.reports()
            assert [await anext(reports) for _ in sent] == [Accepted(t) for t in tickets]
            async with MemoryTransport(mesh).open(context()) as late:
                packets = await drain(late)
                assert [p.data for p in packets] == sent[1:]
                assert all(p.replayed and p.peer == "a" and p.at for p in packets)

    run_virtual(main())


def test_a_message_to_nobody_is_refused() -> None:
    async def check(a: MemoryLink) -> None:
        ticket = await a.send(envelope_of(60, 1), to="nobody")
        report = await anext(a.reports())
        assert isinstance(report, Refused) and report.ticket == ticket

    on(Mesh(conditions=Conditions(kind="message")), 1, check)


def test_who_does_not_read_messages_is_thrown_out() -> None:
    async def check(a: MemoryLink, b: MemoryLink) -> None:
        await send_all(a, [b"x"] * (HELD + 1))
        assert len(mesh.addresses) == 1
        for _ in range(HELD):
            await b.receive()
        with pytest.raises(LinkLost, match="not read"):
            await b.receive()

    mesh = Mesh(conditions=Conditions(kind="message"))
    on(mesh, 2, check)


def test_one_name_is_one_mesh() -> None:
    async def main() -> None:
        async with (
            url("mem://air?node=a").open(context()) as a,
            url("mem://AIR/?node=b").open(context()) as b,
            url("mem://other").open(context()) as c,
        ):
            await a.send(b"x")
            assert (await b.receive()).peer == "a"
            assert await drain(c) == []

    run_virtual(main())


def test_a_name_is_free_again_when_all_have_left() -> None:
    async def main() -> None:
        async with url("mem://air?kind=message&history=5").open(context()) as a:
            await a.send(envelope_of(60, 1))
        async with url("mem://air").open(context()) as b:
            assert b.limits.kind == "datagram"
            assert await drain(b) == []

    run_virtual(main())


def test_other_conditions_for_one_name_are_refused() -> None:
    async def main() -> None:
        async with (
            url("mem://air?loss=0.1").open(context()),
            url("mem://air?loss=0.1").open(context()),
            url("mem://air").open(context()),
        ):
            with pytest.raises(TransportUnavailable, match="other conditions"):
                async with url("mem://air?loss=0.2").open(context()):
                    raise AssertionError("it opened")

    run_virtual(main())


def test_a_node_is_on_a_mesh_once() -> None:
    async def main() -> None:
        node = url("mem://air?node=hill")
        async with node.open(context()):
            with pytest.raises(TransportUnavailable, match="hill"):
                async with node.open(context()):
                    raise AssertionError("it opened")
        async with node.open(context()):
            pass

    run_virtual(main())


def test_named_meshes_go_with_their_event_loop() -> None:
    async def left_open() -> None:
        await MemoryTransport("air").open(context()).__aenter__()

    loop = VirtualLoop()
    loop.run_until_complete(left_open())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


def url(text: str) -> MemoryTransport:
    return MemoryTransport.from_url(urlsplit(text))


def test_a_url_says_all_conditions() -> None:
    transport = url(
        "mem://Air?loss=0.1&dup=0.05&reorder=0.1&delay=0.2&jitter=0.1&bandwidth=1000&mtu=100"
        "&seed=7&kind=datagram&replies=0&slot=0.5&node=hill"
    )
    assert transport.mesh == "air" and transport.node == "hill"
    assert transport.conditions == Conditions(
        mtu=100,
        loss=0.1,
        dup=0.05,
        reorder=0.1,
        delay=0.2,
        jitter=0.1,
        bandwidth=1000.0,
        replies=False,
        slot=0.5,
        seed=7,
    )


def test_the_key_is_name_and_node() -> None:
    assert url("mem://Air").key == "mem:air"
    assert url("mem://air?node=hill").key == "mem:air/hill"
    assert MemoryTransport(Mesh("air")).key == "mem:air"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mem:", "name"),
        ("mem://air/room", "no path"),
        ("mem://air?los=1", "'loss'"),
        ("mem://air?loss=2", "from 0 to 1"),
        ("mem://air?bandwidth=0", "1 at least"),
        ("mem://air?kind=fax", "datagram or message"),
        ("mem://air?history=3", "kind=message"),
        ("mem://air?kind=message&loss=0.1", "reliable"),
    ],
)
def test_a_url_that_cannot_be_says_how_to_write_it(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        url(text)
    assert words in str(caught.value) and "mem://NAME" in str(caught.value)


def test_plugins_find_it_by_its_scheme() -> None:
    (spec,) = focal_transports()
    assert spec.scheme == "mem"
    assert spec.from_url(urlsplit("mem://air")).key == "mem:air"
