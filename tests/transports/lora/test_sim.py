"""The simulated mesh: one name is one mesh, and a node tells its client what a real one does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from math import isclose
from urllib.parse import urlsplit

import pytest

from focal.core.errors import LinkLost, TransportUnavailable
from focal.core.link import Refused
from focal.core.runtime import run_virtual, virtual_runtime
from focal.testing import context
from focal.transports.lora import focal_transports
from focal.transports.lora.channel import Gone, Happening, Hearing, Missed
from focal.transports.lora.link import LoraOptions, address_of
from focal.transports.lora.loss import Independent
from focal.transports.lora.plan import air
from focal.transports.lora.sim import Conditions, SimLink, SimMesh, SimNode, SimTransport

Check = Callable[..., Awaitable[None]]
LONG_FAST = air("US", "LONG_FAST")


def url(text: str) -> SimTransport:
    return SimTransport.from_url(urlsplit(text))


def mesh(region: str = "US", *, loss: float = 0.0, seed: int = 1, signed: bool = False) -> SimMesh:
    return SimMesh("air", Conditions(region=region, loss=loss, seed=seed, signed=signed))


def on(mesh: SimMesh, count: int, check: Check, options: LoraOptions | None = None) -> None:
    """Run a check with nodes 1, 2, ... open on a mesh, in virtual time."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            links = [
                await stack.enter_async_context(
                    SimTransport(mesh, options or LoraOptions(), node=n).open(context())
                )
                for n in range(1, count + 1)
            ]
            await check(*links)

    run_virtual(main())


async def drain(link: SimLink, seconds: float = 60.0) -> list[bytes]:
    """Return all that arrives within so many virtual seconds."""
    found: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                found.append((await link.receive()).data)
    except TimeoutError:
        return found


def frames(count: int, size: int = 100) -> list[bytes]:
    return [n.to_bytes(2, "big").ljust(size, b".") for n in range(count)]


def now() -> float:
    return asyncio.get_running_loop().time()


# what passes, and when


def test_a_packet_takes_its_airtime_and_up_to_seven_slots() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        times: list[float] = []
        for data in frames(50, 200):
            before = now()
            await a.send(data)
            assert (await b.receive()).data == data
            times.append(now() - before)
            await asyncio.sleep(60)  # a channel that is much used has more slots
        alone = LONG_FAST.airtime(200)
        assert isclose(min(times), alone)
        assert max(times) <= alone + 7 * LONG_FAST.slot + 1e-6
        assert len({round(seconds, 3) for seconds in times}) == 8

    on(mesh(), 2, check)


def test_everyone_in_hearing_has_it_and_knows_whose_it_is() -> None:
    async def check(a: SimLink, b: SimLink, c: SimLink) -> None:
        await a.send(b"hello")
        for link in (b, c):
            packet = await link.receive()
            assert (packet.data, packet.peer) == (b"hello", "!00000001")
            assert packet.snr_db is not None
        assert await drain(a) == []

    on(mesh(), 3, check)


def test_two_that_speak_at_once_take_turns_or_collide() -> None:
    happened: list[Happening] = []

    async def check(a: SimLink, b: SimLink, c: SimLink) -> None:
        for data in frames(40):
            await asyncio.gather(a.send(b"a" + data), b.send(b"b" + data))
            await asyncio.sleep(10)
        heard = len(await drain(c))
        collided = [one for one in happened if isinstance(one, Missed) and one.node == 3]
        assert all(one.collided for one in collided)
        assert heard + len(collided) == 80
        assert 2 <= len(collided) <= 24  # one in eight draws is the other's: 10 of 80 expected

    busy = mesh()
    busy.watchers.append(happened.append)
    on(busy, 3, check)


def test_losses_come_as_often_as_told() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        for data in frames(600):
            await a.send(data)
        assert 440 < len(await drain(b, 3000)) < 520  # 480 expected

    on(mesh(loss=0.2), 2, check)


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[bytes]:
        heard: list[bytes] = []

        async def check(a: SimLink, b: SimLink) -> None:
            for data in frames(100):
                await a.send(data)
            heard.extend(await drain(b, 1000))

        on(mesh(loss=0.3, seed=seed), 2, check)
        return heard

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_who_hears_whom_is_given_and_relays_pass_on() -> None:
    def chain(speaker: int, hearer: int) -> Hearing | None:
        return Hearing() if abs(speaker - hearer) == 1 else None

    async def check(a: SimLink, b: SimLink, c: SimLink) -> None:
        await a.send(b"one hop more")
        assert await drain(b) == [b"one hop more"]
        assert await drain(c) == ([b"one hop more"] if a.channel and hops else [])

    for hops in (0, 1):
        on(SimMesh("chain", hears=chain), 3, check, LoraOptions(hops=hops))


def test_a_node_without_a_client_relays_too() -> None:
    def through_9(speaker: int, hearer: int) -> Hearing | None:
        return Hearing(loss=Independent()) if 9 in (speaker, hearer) else None

    async def check(a: SimLink, b: SimLink) -> None:
        await a.send(b"hello")
        assert (await b.receive()).peer == "!00000001"

    hill = SimMesh("hill", hears=through_9)
    hill.add(SimNode(9, "hill"))
    on(hill, 2, check, LoraOptions(hops=1))


# what a node tells


def test_a_full_queue_holds_the_sender_up_and_loses_nothing() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        sent, before = frames(60), now()
        for data in sent:
            await a.send(data)
        assert now() - before > 40 * LONG_FAST.airtime(100)
        assert await drain(b, 300) == sent

    on(mesh(), 2, check)


def test_limits_are_those_of_region_preset_and_firmware() -> None:
    async def check(a: SimLink) -> None:
        limits = a.limits
        assert (limits.kind, limits.shared, limits.replies) == ("datagram", True, True)
        assert (limits.duty, limits.slot) == (0.1, LONG_FAST.slot)
        assert (limits.mtu(None), limits.mtu("!00000002")) == (231, 231)
        assert limits.airtime(100, None) == LONG_FAST.airtime(100, signed=True)
        assert limits.radio == "sim !00000001 869.4-869.65"

    on(mesh("EU_868", signed=True), 1, check)


def test_once_a_minute_a_node_tells_how_much_it_sends_and_hears() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        assert (a.limits.used, a.limits.busy) == (0, 0)
        for data in frames(10):
            await a.send(data)
        await asyncio.sleep(50 - now())
        assert (a.limits.used, b.limits.busy) == (0, 0)
        await asyncio.sleep(10)
        seconds = 10 * LONG_FAST.airtime(100)
        assert isclose(a.limits.used or 0, seconds / 3600)
        assert 0 < (b.limits.busy or 0) < seconds / 60  # of what was sent at first, a part

    on(mesh(), 2, check)


def test_a_node_that_has_used_up_its_duty_cycle_says_so() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        for data in frames(200, 231):
            await a.send(data)
        told = await anext(a.reports())
        assert isinstance(told, Refused)
        assert "duty cycle" in told.reason
        assert told.retry_after is not None
        await asyncio.sleep(60)
        assert a.limits.used is not None
        assert 0.1 < a.limits.used <= 0.12

    on(mesh("EU_868"), 2, check)


def test_a_key_that_a_node_has_not_is_asked_for() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        await a.send(b"too early", to="!00000002")
        told = await anext(a.reports())
        assert isinstance(told, Refused)
        assert told.retry_after
        await a.send(b"in time", to="!00000002")
        assert (await b.receive()).data == b"in time"

    shy = mesh()
    for number in (1, 2):
        shy.add(SimNode(number, knows=frozenset()))
    on(shy, 2, check, LoraOptions(direct="all"))


def test_a_name_of_a_node_is_an_address() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        await a.send(b"hello", to="hut")
        assert (await b.receive()).data == b"hello"
        assert a.radio.nodes[2].name == "hut"

    named = mesh()
    named.add(SimNode(2, "hut"))
    on(named, 2, check)


def test_a_node_that_is_cut_is_lost_and_what_it_was_about_to_send_is_gone() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        for data in frames(5):
            await a.send(data)
        await asyncio.sleep(LONG_FAST.airtime(100) / 2)
        weak.cut(1, "battery empty")
        with pytest.raises(LinkLost, match="battery empty"):
            await a.receive()
        assert await drain(b) == []

    weak = mesh()
    on(weak, 2, check)


def test_what_was_handed_over_goes_out_when_its_client_is_gone() -> None:
    async def check(a: SimLink, b: SimLink) -> None:
        await a.send(b"last words")
        await a.aclose()
        assert (await b.receive()).data == b"last words"

    on(mesh(), 2, check)


def test_closing_leaves_no_task() -> None:
    async def check(a: SimLink) -> None:
        await a.send(b"x")
        await a.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    on(mesh(), 1, check)


# names and URLs


def test_one_name_is_one_mesh() -> None:
    async def main() -> None:
        async with (
            url("lora+sim://air?node=!00000001").open(context()) as a,
            url("lora+sim://AIR/?node=!00000002").open(context()) as b,
            url("lora+sim://other").open(context()) as c,
        ):
            await a.send(b"x")
            assert (await b.receive()).peer == "!00000001"
            assert await drain(c) == []

    run_virtual(main())


def test_the_number_is_the_origin_where_none_is_given() -> None:
    async def main() -> None:
        async with url("lora+sim://air").open(context(origin=0xABCD0123)) as a:
            assert address_of(a.radio.info.number) == "!abcd0123"

    run_virtual(main())


def test_other_conditions_for_one_name_are_refused() -> None:
    async def main() -> None:
        async with url("lora+sim://air?loss=0.1").open(context()):
            async with url("lora+sim://air").open(context(origin=2)):
                pass
            with pytest.raises(TransportUnavailable, match="other conditions"):
                async with url("lora+sim://air?loss=0.2").open(context(origin=3)):
                    pass

    run_virtual(main())


def test_a_name_is_free_again_when_all_have_left() -> None:
    async def main() -> None:
        async with url("lora+sim://air?preset=SHORT_FAST").open(context()):
            pass
        async with url("lora+sim://air?preset=LONG_SLOW").open(context()) as link:
            assert link.limits.air.preset == "LONG_SLOW"

    run_virtual(main())


def test_a_node_takes_one_client() -> None:
    busy = mesh()
    busy.join(1, virtual_runtime())
    with pytest.raises(TransportUnavailable, match="open already"):
        busy.join(1, virtual_runtime())


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("preset=LONGFAST", "did you mean LONG_FAST"),
        ("region=XX", "no region 'XX'"),
        ("region=EU_868&preset=SHORT_TURBO", "no preset of region"),
        ("loss=1.5", "from 0 to 0.99"),
        ("hops=9", "from 0 to 7"),
        ("node=5", "the number of a node"),
        ("sede=1", "did you mean 'seed'"),
        ("signed=maybe", "expected 1 or 0"),
    ],
)
def test_what_is_written_wrong_is_told(query: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as told:
        url(f"lora+sim://air?{query}")
    assert "such a link is written lora+sim://NAME" in str(told.value)


def test_a_mesh_has_a_name() -> None:
    with pytest.raises(ValueError, match="a name"):
        url("lora+sim:")


def test_the_scheme_is_registered() -> None:
    schemes = [spec.scheme for spec in focal_transports()]
    assert "lora+sim" in schemes


def test_gone_tells_what_each_packet_cost() -> None:
    gone: list[Gone] = []

    def watch(happening: Happening) -> None:
        if isinstance(happening, Gone):
            gone.append(happening)

    async def check(a: SimLink, b: SimLink) -> None:
        await a.send(bytes(200))
        await b.receive()
        assert [one.seconds for one in gone] == [LONG_FAST.airtime(200)]

    watched = mesh()
    watched.watchers.append(watch)
    on(watched, 2, check)
