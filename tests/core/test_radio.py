"""A node on a link whose airtime is limited: planned, written down, never exceeded."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from focal.core.changed import Mark
from focal.core.clocks import Moment
from focal.core.datagrams import UNANSWERED
from focal.core.draft import Draft
from focal.core.events import Progress, State
from focal.core.framing.frame import Hello, unpack
from focal.core.hour import HOUR, Sent
from focal.core.hub import Subscription
from focal.core.ledger import Ledger, Promise
from focal.core.leg import LegSpec, Weights
from focal.core.link import Address, Limits, Link, LinkContext, Packet, Report
from focal.core.message import Kind, Message, MessageId
from focal.core.outbox import Outbox, OutboxBounds
from focal.core.planner import GROWS, Begin, Books, Planner
from focal.core.runtime import run_virtual
from focal.core.scheduler import Job, Wait
from focal.core.spool import Spool
from focal.transports.memory import Conditions, MemoryTransport, Mesh
from tests.core.test_hour import most_in_an_hour
from tests.core.world import World, first, until

BYTES_A_SECOND = 100.0
DUTY = 0.01


@dataclass
class Air:
    """A mesh with a duty cycle, and what each of its links sent on it."""

    world: World
    loss: float = 0.0
    sent: dict[Address, list[Sent]] = field(default_factory=dict[Address, list[Sent]])

    def __post_init__(self) -> None:
        conditions = Conditions(bandwidth=BYTES_A_SECOND, duty=DUTY, loss=self.loss, seed=3)
        self.mesh = Mesh("air", conditions)
        self.mesh.filter = self._hear

    def _hear(self, data: bytes, sender: Address, receiver: Address, /) -> bytes | None:
        seconds = len(data) / BYTES_A_SECOND
        self.sent.setdefault(sender, []).append(Sent(self.world.runtime.now(), seconds))
        return data


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def waiting(events: Subscription, reason: str) -> Progress:
    """Return the next word on a message that waits for this reason."""
    async for event in events:
        if isinstance(event, Progress) and reason in (event.reason or ""):
            return event
    raise AssertionError("nothing waits")


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_backlog_is_delivered_and_no_hour_is_exceeded(world: World, loss: float) -> None:
    air = Air(world, loss)

    async def main() -> None:
        async with world.node("a", air.mesh) as a, world.node("b", air.mesh) as b:
            events, waits = a.events(), a.events()
            draft = Draft.text("x" * 400, to=f"~{b.origin:08x}")
            ids = [(await a.send(draft))[0] for _ in range(30)]
            await until(events, State.DELIVERED, *ids)
            await waiting(waits, "the channel is used")
            wait = await waiting(waits, "s of the 36.0 s of air that an hour allows are used")
            assert wait.until is not None
            assert wait.until > wait.at

    run_virtual(main())
    assert all(most_in_an_hour(sent) <= DUTY * HOUR + 1e-6 for sent in air.sent.values())
    assert max(most_in_an_hour(sent) for sent in air.sent.values()) > 0.9 * DUTY * HOUR


def test_what_another_program_of_the_home_sent_counts(world: World) -> None:
    air = Air(world)

    async def main() -> None:
        path = world.folder / "ledger.db"
        clock = world.runtime

        def clocks() -> Moment:
            return Moment("virtual", clock.now(), clock.unix(), True)

        def ledger() -> Ledger:
            return Ledger.open(path, clocks, durability="process")

        async with world.node("b", air.mesh) as b:
            async with world.node("a", air.mesh, ledger=ledger) as a:
                radio = a.limits["air"].radio
                assert radio is not None
                other = ledger()
                kept = other.promise(radio, 35.0, DUTY * HOUR)
                assert isinstance(kept, Promise)
                assert other.spend(kept, 35.0)
                other.release(kept)
                events, began = a.events(), clock.now()
                ids = await a.send(Draft.text("x" * 300, to=f"~{b.origin:08x}"))
                await until(events, State.DELIVERED, *ids)
                assert clock.now() > began + HOUR - 60
                assert other.hour(radio).used(other.now()) > 3.0
                other.close()

    run_virtual(main())


NOBODY = "~00c0ffee"
DEAF = b"nobody hears this"


@pytest.mark.parametrize("to", [NOBODY, None])
@pytest.mark.parametrize("duty", [1.0, 0.1])
def test_what_nobody_answers_holds_back_no_other(world: World, duty: float, to: str | None) -> None:
    mesh = Mesh("air", Conditions(bandwidth=BYTES_A_SECOND, slot=0.03, seed=3, duty=duty))
    unheard = set[int]()

    def hear(data: bytes, sender: Address, receiver: Address, /) -> bytes | None:
        frame = unpack(data)
        if isinstance(frame, Hello):
            return data
        if DEAF in data:
            unheard.add(frame.tag)
        return None if frame.tag in unheard else data

    mesh.filter = hear

    async def main() -> None:
        async with world.node("a", mesh) as a, world.node("b", mesh) as b:
            events = a.events()
            unanswered = await a.send(Draft(Kind.DATA, (DEAF,), to=to))
            await until(events, State.ON_AIR, *unanswered)
            low = await a.send(Draft.text("x" * 100, to=f"~{b.origin:08x}"))
            high = await a.send(Draft(Kind.TEXT, (b"y" * 100,), to=f"~{b.origin:08x}", priority=1))
            told = await until(events, State.DELIVERED, *high, *low)
            assert [event.id for event in told] == [*high, *low]
            assert world.runtime.now() < 40

    run_virtual(main())


def test_only_so_many_wait_for_an_answer_at_once(world: World) -> None:
    mesh = Mesh("air", Conditions(bandwidth=300.0, slot=0.03, duty=0.99, seed=3))

    async def main() -> None:
        async with world.node("a", mesh) as a:
            events = a.events()
            text = Draft.text("x" * 190, to=NOBODY)
            ids = {(await a.send(text))[0] for _ in range(40)}
            on_air, most, waits = set[MessageId](), 0, set[str | None]()
            while ids:
                event = await first(events, Progress)
                assert isinstance(event, Progress)
                if event.state is State.UNKNOWN:
                    assert event.reason == "nobody confirmed it, 12 times asked"
                    ids.remove(event.id)
                elif event.state is State.ON_AIR:
                    on_air.add(event.id)
                elif event.state is State.QUEUED:
                    waits.add(event.reason)
                most = max(most, len(on_air & ids))
            assert most == UNANSWERED
            full = f"{UNANSWERED} wait for an answer, and no more may at once"
            assert f"it waits for its turn: {full}" in waits
            assert world.runtime.now() < 300  # one after the other it would be half an hour

    run_virtual(main())


def test_a_message_that_no_hour_has_room_for_is_refused(world: World) -> None:
    air = Air(world)

    async def main() -> None:
        async with world.node("a", air.mesh) as a, world.node("b", air.mesh):
            events = a.events()
            ids = await a.send(Draft.text("x" * 5000))
            told = await until(events, State.REFUSED, *ids)
            assert "may send 36.0 s in an hour" in (told[-1].reason or "")

    run_virtual(main())
    assert not air.sent


@dataclass
class Neighbours:
    """A link on a mesh whose node tells how much others use the channel."""

    link: Link
    mesh: Neighbourhood

    @property
    def limits(self) -> Limits:
        return replace(self.link.limits, busy=self.mesh.busy, told=self.mesh.told, asks=True)

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return await self.link.send(data, to=to)

    async def receive(self) -> Packet:
        return await self.link.receive()

    def reports(self) -> AsyncIterator[Report]:
        return self.link.reports()

    async def aclose(self) -> None:
        await self.link.aclose()


@dataclass
class Neighbourhood:
    """Settings of such a link."""

    mesh: Mesh
    busy: float = 0.0
    told: float = 0.0
    key: str = "busy"

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Neighbours]:
        async with MemoryTransport(self.mesh).open(context) as link:
            yield Neighbours(link, self)


async def waits_of(events: Subscription, seconds: float) -> list[Progress]:
    """Return what is told for some seconds of messages that wait."""
    found: list[Progress] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for event in events:
                if isinstance(event, Progress) and event.reason is not None:
                    found.append(event)
    return found


def test_what_waits_for_others_is_told_once_and_goes_when_they_are_quiet(world: World) -> None:
    air = Air(world)
    near = Neighbourhood(air.mesh, busy=0.3)

    async def main() -> None:
        async with world.node("b", air.mesh) as b, world.node("a", links={"hill": near}) as a:
            events, ends = a.events(), a.events()
            draft = Draft.text("x" * 200, to=f"~{b.origin:08x}")
            ids = [(await a.send(draft))[0] for _ in range(2)]
            first, second = await waits_of(events, 50.0)
            assert (first.id, second.id) == (ids[0], ids[1])
            assert first.reason == (
                "others use the channel 30% of the time: waiting until that is 25%"
            )
            assert first.ask and first.until is not None
            assert first.until == pytest.approx(first.at + 60, abs=1)
            assert second.reason == f"it waits for its turn: {first.reason}"
            assert second.until == pytest.approx(first.until, abs=0.1)
            near.busy, near.told = 0.31, world.runtime.now()
            again = await waits_of(events, 30.0)
            assert [event.until for event in again] == [pytest.approx(first.until + 50, abs=2)] * 1
            near.busy, near.told = 0.2, world.runtime.now()
            at = world.runtime.now()
            await until(ends, State.DELIVERED, *ids)
            assert world.runtime.now() - at < 15 + 20

    run_virtual(main())


def test_what_the_user_agrees_to_does_not_wait_for_others(world: World) -> None:
    air = Air(world)
    near = Neighbourhood(air.mesh, busy=0.3)

    async def main() -> None:
        async with world.node("b", air.mesh) as b, world.node("a", links={"hill": near}) as a:
            events, waits = a.events(), a.events()
            draft = Draft.text("x" * 200, to=f"~{b.origin:08x}")
            ids = [(await a.send(draft))[0] for _ in range(2)]
            await waiting(waits, "it waits for its turn")
            with world.spool("a") as other:
                other.outbox.agree(ids[1], near.key)
            a.look()
            (told,) = await until(events, State.DELIVERED, ids[1])
            assert told.at - world.runtime.unix() < 10
            near.busy, near.told = 0.45, world.runtime.now()
            with world.spool("a") as other:
                other.outbox.agree(ids[0], near.key)
            a.look()
            wait = await waiting(waits, "others use the channel 45%")
            assert "waiting until that is 40%" in (wait.reason or "")
            assert not wait.ask

    run_virtual(main())


class Scales(Outbox):
    """An outbox that counts what it is asked to weigh."""

    home: str
    weighed: Counter[str]

    def weights(self, link: str, since: Mark | None = None, *, passing: bool = True) -> Weights:
        found = super().weights(link, since, passing=passing)
        self.weighed[self.home] += len(found.waiting)
        return found


@dataclass
class Weighing(World):
    """A world whose outboxes count what they are asked to weigh."""

    weighed: Counter[str] = field(default_factory=Counter[str])

    def spool(self, home: str) -> Spool:
        spool = super().spool(home)
        spool.outbox = Scales(spool.database, self.runtime.unix, OutboxBounds())
        spool.outbox.weighed, spool.outbox.home = self.weighed, home
        return spool


def test_what_waits_is_weighed_once_however_much_there_is(tmp_path: Path) -> None:
    world, queued = Weighing(tmp_path), 400
    air = Air(world)

    async def main() -> None:
        async with world.node("b", air.mesh) as b, world.node("a", air.mesh) as a:
            events = a.events()
            draft = Draft.text("x" * 20, to=f"~{b.origin:08x}")
            ids = [(await a.send(draft))[0] for _ in range(queued)]
            await until(events, State.DELIVERED, *ids[:100])

    run_virtual(main())
    assert queued <= world.weighed["a"] <= 1.1 * queued


def test_what_another_process_queues_or_drops_is_seen(world: World) -> None:
    air = Air(world)

    async def main() -> None:
        async with world.node("b", air.mesh) as b, world.node("a", air.mesh) as a:
            events, waits = a.events(), a.events()
            draft = Draft.text("x" * 250, to=f"~{b.origin:08x}")
            ids = [(await a.send(draft))[0] for _ in range(20)]
            await waiting(waits, "s of the 36.0 s of air that an hour allows are used")
            with world.spool("a") as other:
                dropped = next(leg.id for leg in other.outbox.legs() if not leg.sent)
                other.outbox.drop(dropped)
                one = Message(MessageId(a.origin, 9), Kind.TEXT, b"now", lifetime=3600)
                key = other.outbox.legs()[0].link
                other.outbox.put(
                    one.to_bytes(), [LegSpec(key, "air")], kind=one.kind, expires_at=math.inf,
                    priority=9,
                )  # fmt: skip
            a.look()
            await until(events, State.DELIVERED, one.id, *(id for id in ids if id != dropped))

    run_virtual(main())


@dataclass
class Radio:
    """A planner over a ledger in memory, with a clock that the test sets."""

    limits: Limits
    now: float = 10_000.0

    def __post_init__(self) -> None:
        self.ledger = Ledger.in_memory(lambda: Moment("", self.now, self.now, True))

    def send(self, seconds: float, limit: float = HOUR) -> None:
        kept = self.ledger.promise("radio", seconds, limit)
        assert isinstance(kept, Promise)
        assert self.ledger.spend(kept, seconds)
        self.ledger.release(kept)


def test_what_others_send_by_the_radio_is_theirs(world: World) -> None:
    radio = Radio(Limits("datagram", 231, duty=0.1, used=0.02))
    planner = Planner(Books(radio.ledger, world.runtime), "radio", lambda: radio.limits)

    def ours() -> float:
        return planner.limit(radio.ledger.hour("radio"), radio.now)

    assert ours() == pytest.approx(360 - GROWS * 72)
    radio.send(36.0)
    assert ours() == pytest.approx(360 - GROWS * 72)
    radio.limits = Limits("datagram", 231, duty=0.1, used=0.03)
    assert ours() == pytest.approx(360 - GROWS * 72)
    radio.limits = Limits("datagram", 231, duty=0.1, used=0.0, reserve=0.1)
    assert ours() == pytest.approx(324)


def test_what_we_sent_before_we_began_is_not_taken_for_others(world: World) -> None:
    radio = Radio(Limits("datagram", 231, duty=0.1, used=0.02))
    radio.send(72.0)
    planner = Planner(Books(radio.ledger, world.runtime), "radio", lambda: radio.limits)
    assert planner.limit(radio.ledger.hour("radio"), radio.now) == pytest.approx(360)


def test_a_busy_channel_is_left_to_others(world: World) -> None:
    radio = Radio(Limits("datagram", 231, duty=0.1, busy=0.3))

    async def main() -> None:
        planner = Planner(Books(radio.ledger, world.runtime), "radio", lambda: radio.limits)
        assert await planner.next() is None
        planner.queue.add(Job("a", 6.0, radio.now, 1e9))
        plan = await planner.next()
        assert isinstance(plan, Wait)
        assert plan.ask
        assert "others use the channel 30%" in plan.reason

    run_virtual(main())


def test_what_we_sent_ourselves_is_not_others(world: World) -> None:
    radio = Radio(Limits("datagram", 231, duty=0.1, busy=0.0))

    async def main() -> None:
        planner = Planner(Books(radio.ledger, world.runtime), "radio", lambda: radio.limits)

        def others() -> float:
            return planner.conditions(radio.ledger.hour("radio"), radio.now).busy

        assert others() == 0
        radio.send(15.0)
        radio.now += 20
        radio.limits = replace(radio.limits, busy=0.25, told=world.runtime.now())
        assert others() == 0
        await asyncio.sleep(30)
        radio.now += 30
        assert others() == 0  # it is what was told half a minute ago
        radio.limits = replace(radio.limits, busy=0.45)  # told then, too: seen late
        assert others() == pytest.approx(0.2)
        radio.now += 40
        radio.limits = replace(radio.limits, busy=0.3, told=world.runtime.now() + 40)
        assert others() == pytest.approx(0.3)

    run_virtual(main())


def test_a_second_long_note_on_an_empty_channel_does_not_wait(world: World) -> None:
    radio = Radio(Limits("datagram", 231, duty=0.1, busy=0.2))

    async def main() -> None:
        planner = Planner(Books(radio.ledger, world.runtime), "radio", lambda: radio.limits)
        radio.send(12.0)
        radio.now += 15
        planner.queue.add(Job("a", 12.0, radio.now, 1e9))
        assert isinstance(await planner.next(), Begin)

    run_virtual(main())


def test_until_when_it_waits_for_others_does_not_move_while_nothing_is_told(world: World) -> None:
    radio = Radio(Limits("datagram", 231, duty=0.1, busy=0.3))

    async def main() -> None:
        planner = Planner(Books(radio.ledger, world.runtime), "radio", lambda: radio.limits)
        planner.queue.add(Job("a", 6.0, radio.now, 1e9))
        untils: list[float] = []
        for _ in range(6):
            plan = await planner.next()
            assert isinstance(plan, Wait)
            assert plan.look_at <= radio.now + 15
            untils.append(plan.at)
            radio.now += 15
        assert untils == [10_060.0] * 4 + [10_120.0] * 2

    run_virtual(main())


def test_what_still_waits_in_the_radio_counts_from_when_it_can_go(world: World) -> None:
    radio = Radio(Limits("datagram", 231, duty=0.1, slot=0.01))

    async def hand(planner: Planner, waiting: int) -> None:
        kept = await planner.afford(10.0)
        assert isinstance(kept, Promise)
        spent = await planner.spend(kept, 10.0)
        assert spent is not None
        radio.limits = replace(radio.limits, waiting=waiting)
        await planner.handed(spent)

    def used(now: float) -> float:
        return radio.ledger.hour("radio").used(now)

    async def main() -> None:
        planner = Planner(Books(radio.ledger, world.runtime), "radio", lambda: radio.limits)
        begun = radio.now
        await hand(planner, 1)
        radio.now += 100  # on a full channel: the first has not gone yet
        await hand(planner, 2)
        assert used(begun + 100 + 3600) == 20
        radio.now += 100  # both have gone, nobody knows when; the third is about to
        await hand(planner, 1)
        assert used(begun + 100 + 12 + 3600) == 30
        radio.now += 1000  # long ago, on a channel that nobody else used
        await hand(planner, 1)
        assert used(begun + 200 + 60 + 3600) == 10

    run_virtual(main())
