"""A node among others, in virtual time: what it promises, whatever the link does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from focal.core.draft import Draft
from focal.core.envelope import Envelope
from focal.core.errors import SettingsError, SinkError, TransportUnavailable
from focal.core.events import LinkState, Progress, State, Trouble
from focal.core.framing import frame as frames
from focal.core.framing.split import frames_for
from focal.core.hub import Subscription
from focal.core.link import Address, Limits, Link, LinkContext, Refused, Report, Transport
from focal.core.mailbox import Mailbox
from focal.core.message import Kind, Message, MessageId, origin_text
from focal.core.node import Node
from focal.core.ports import Delivery
from focal.core.runtime import run_virtual
from focal.core.spool import Spool
from focal.transports.memory import Conditions, MemoryTransport, Mesh

from .world import Shelf, World, first, lossy, received, until

E = TypeVar("E")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_thousand_messages_are_confirmed_and_in_the_inbox_once_each(world: World) -> None:
    async def main() -> None:
        mesh, sizes = lossy(), random.Random(4)
        async with world.node("a", mesh) as a, world.node("b", mesh) as b:
            told, ids = a.events(), list[MessageId]()
            for _ in range(1000):
                payload = sizes.randbytes(sizes.randint(20, 5000))
                draft = Draft(Kind.DATA, (payload,), to=origin_text(b.origin))
                ids += await a.send(draft)
            confirmed = await until(told, State.DELIVERED, *ids)
            assert {event.by for event in confirmed} == {b.origin}
        with world.spool("b") as spool:
            entries = spool.inbox.entries()
            assert sorted(entry.id for entry in entries) == sorted(ids)
        with world.spool("a") as spool:
            assert spool.outbox.legs() == []

    run_virtual(main(), debug=False)  # asyncio's debug mode makes it six times as long


def test_without_a_way_back_what_was_promised_arrives_and_the_outbox_is_done(
    world: World,
) -> None:
    async def main() -> None:
        mesh = lossy(replies=False, dup=0.05)
        async with world.node("a", mesh) as a, world.node("b", mesh):
            told, ids = a.events(), list[MessageId]()
            for number in range(300):
                ids += await a.send(Draft(Kind.DATA, (random.Random(number).randbytes(700),)))
            sent = await until(told, State.SENT, *ids)
            assert len(sent) == 300
            await asyncio.sleep(5)
        with world.spool("b") as spool:
            got = [entry.id for entry in spool.inbox.entries()]
        assert len(set(got)) == len(got) >= 0.98 * 300
        with world.spool("a") as spool:
            assert spool.outbox.legs() == []

    run_virtual(main())


def test_a_message_for_everyone_reaches_every_inbox_and_one_confirm_is_enough(
    world: World,
) -> None:
    async def main() -> None:
        mesh = lossy()
        async with (
            world.node("a", mesh) as a,
            world.node("b", mesh) as b,
            world.node("c", mesh) as c,
        ):
            told, at_b, at_c = a.events(), b.events(), c.events()
            ids = await a.send(Draft.text("to all"))
            [delivered] = await until(told, State.DELIVERED, *ids)
            assert delivered.by in (b.origin, c.origin)
            for events in (at_b, at_c):
                [got] = await received(events, 1)
                assert got.message.payload == b"to all"

    run_virtual(main())


def test_what_is_for_one_node_is_in_no_other_inbox(world: World) -> None:
    async def main() -> None:
        mesh = lossy()
        async with (
            world.node("a", mesh) as a,
            world.node("b", mesh) as b,
            world.node("c", mesh),
        ):
            told = a.events()
            ids = await a.send(Draft.text("for b", to=origin_text(b.origin)))
            await until(told, State.DELIVERED, *ids)
            await asyncio.sleep(30)
        with world.spool("c") as spool:
            assert spool.inbox.entries() == []

    run_virtual(main())


def test_an_address_is_asked_who_is_there_before_anything_is_sent(world: World) -> None:
    async def main() -> None:
        mesh = lossy()
        async with world.node("a", mesh) as a:
            told = a.events()
            ids = await a.send(Draft.text("psst", to="mem-2"))
            waits = await first(told, Progress)
            while not (isinstance(waits, Progress) and waits.reason):
                waits = await first(told, Progress)
            assert waits.state is State.QUEUED and "who is at mem-2" in waits.reason
            await asyncio.sleep(60)
            with world.spool("a") as spool:
                [leg] = spool.outbox.find(ids[0])
                assert leg.wants_destination and not leg.sent
            async with world.node("b", mesh) as b, world.node("c", mesh):
                [delivered] = await until(told, State.DELIVERED, *ids)
                assert delivered.by == b.origin
        with world.spool("c") as spool:
            assert spool.inbox.entries() == []
        with world.spool("b") as spool:
            [entry] = spool.inbox.entries()
            assert Message.from_bytes(entry.message).destination == b.origin

    run_virtual(main())


def test_an_address_that_the_link_cannot_have_is_refused_with_the_reason(
    world: World,
) -> None:
    class Choosy:
        """A transport whose link tells at once when an address is not one of its own."""

        key = "choosy"

        @asynccontextmanager
        async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
            async with MemoryTransport(Mesh("air")).open(context) as link:
                yield ChoosyLink(link)

    class ChoosyLink:
        def __init__(self, link: Link) -> None:
            self._link = link
            self._refusals: Mailbox[Report] = Mailbox()
            self.receive, self.aclose = link.receive, link.aclose

        @property
        def limits(self) -> Limits:
            return self._link.limits

        async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
            ticket = await self._link.send(data, to=to)
            if to == "bob":
                self._refusals.put(Refused(ticket, "'bob' is no address of this link"))
            return ticket

        def reports(self) -> AsyncIterator[Report]:
            return aiter(self._refusals)

    async def main() -> None:
        async with world.node("a", links={"air": Choosy()}) as a:
            told = a.events()
            ids = await a.send(Draft.text("hi", to="bob"))
            [refused] = await until(told, State.REFUSED, *ids)
            assert "no node called 'bob'" in str(refused.reason)
            assert "is no address" in str(refused.reason)

    run_virtual(main())


def test_messages_that_wait_for_an_address_hold_no_others_up(world: World) -> None:
    async def main() -> None:
        mesh = lossy()
        async with world.node("a", mesh) as a, world.node("b", mesh):
            told = a.events()
            for number in range(100):
                await a.send(Draft.text(f"{number}", to="mem-99"))
            ids = await a.send(Draft.text("for everyone"))
            await until(told, State.DELIVERED, *ids)
            assert world.runtime.now() < 10

    run_virtual(main())


def test_an_address_is_not_asked_for_ever_once_nothing_waits_for_it(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("air")
        async with world.node("a", mesh) as a:
            told = a.events()
            ids = await a.send(Draft(Kind.TEXT, (b"whom?",), to="mem-99", lifetime=30))
            await until(told, State.EXPIRED, *ids)
            await asyncio.sleep(60)
            before = mesh.carried.frames
            await asyncio.sleep(600)  # a carrier that never waits would not let time pass
            assert mesh.carried.frames == before

    run_virtual(main())


def test_an_address_is_asked_for_also_while_the_window_is_full(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("air")
        async with world.node("a", mesh) as a:
            told = a.events()
            for number in range(40):
                await a.send(Draft.text(f"{number}", to="~00c0ffee"))
            ids = await a.send(Draft.text("for b", to="mem-2"))
            await asyncio.sleep(300)
            async with world.node("b", mesh) as b:
                await asyncio.sleep(60)
                with world.spool("a") as spool:
                    [leg] = spool.outbox.find(ids[0])
                assert Message.from_bytes(leg.message).destination == b.origin
        told.close()

    run_virtual(main())


def test_a_known_name_is_a_destination_and_two_of_a_name_are_refused(world: World) -> None:
    async def main() -> None:
        mesh = lossy()
        async with (
            world.node("a", mesh) as a,
            world.node("b", mesh, name="Ana") as b,
            world.node("c", mesh, name="ana") as c,
        ):
            at_a = a.events()
            await b.send(Draft.text("here I am"))
            await received(at_a, 1)
            ids = await a.send(Draft.text("hello Ana", to="Ana"))
            [delivered] = await until(at_a, State.DELIVERED, *ids)
            assert delivered.by == b.origin
            await c.send(Draft.text("me too"))
            await received(at_a, 1)
            with pytest.raises(SettingsError, match="2 nodes are called"):
                await a.send(Draft.text("which?", to="ANA"))

    run_virtual(main())


def test_a_listener_that_comes_later_gets_what_was_said(world: World) -> None:
    async def main() -> None:
        mesh = lossy()
        async with world.node("a", mesh) as a:
            told = a.events()
            ids = await a.send(Draft.text("anybody?"))
            await until(told, State.SENT, *ids)
            await asyncio.sleep(300)
            async with world.node("b", mesh):
                await until(told, State.DELIVERED, *ids)

    run_virtual(main())


def test_what_a_process_left_unconfirmed_the_next_one_polls_for(world: World) -> None:
    async def main() -> None:
        mesh = lossy(loss=0.0, dup=0.0)
        async with world.node("a", mesh) as a:
            told = a.events()
            ids = await a.send(Draft(Kind.DATA, (bytes(700),)))
            await until(told, State.SENT, *ids)
        before = mesh.carried.frames
        async with world.node("b", mesh), world.node("a", mesh) as a:
            told = a.events()
            await until(told, State.DELIVERED, *ids)
        # hellos and their answers, a poll, the request for all, 4 symbols, the confirm
        assert mesh.carried.frames - before <= 12

    run_virtual(main())


def test_a_poll_for_what_an_earlier_process_committed_is_confirmed_not_asked_for(
    world: World,
) -> None:
    async def main() -> None:
        mesh = lossy(loss=0.0, dup=0.0, reorder=0.0)

        def deaf(data: bytes, sender: str, receiver: str) -> bytes | None:
            confirm = isinstance(frames.unpack(data), frames.Confirm)
            return None if confirm and receiver == "mem-1" else data

        mesh.filter = deaf  # a hears no confirm
        async with world.node("a", mesh) as a:
            told = a.events()
            async with world.node("b", mesh) as b:
                at_b = b.events()
                ids = await a.send(Draft(Kind.DATA, (bytes(700),)))
                await received(at_b, 1)
            mesh.filter = lambda data, sender, receiver: data
            data_frames: list[bytes] = []

            def watch(data: bytes, sender: str, receiver: str) -> bytes | None:
                if isinstance(frames.unpack(data), frames.Symbol):
                    data_frames.append(data)
                return data

            mesh.filter = watch
            async with world.node("b", mesh):
                await until(told, State.DELIVERED, *ids)
        assert len(data_frames) <= 1
        with world.spool("b") as spool:
            assert len(spool.inbox.entries()) == 1

    run_virtual(main())


def test_symbols_that_come_over_two_links_make_one_message(world: World) -> None:
    async def main() -> None:
        left = Mesh("left", Conditions(delay=0.01))
        right = Mesh("right", Conditions(delay=0.01))
        message = Message(MessageId(77, 1), Kind.DATA, bytes(range(250)) * 2).to_bytes()
        packed = frames_for(message, 231)
        async with world.node("b", left, right) as b:
            events = b.events()
            left.inject(packed[0])
            right.inject(packed[1])
            left.inject(packed[2])
            [got] = await received(events, 1)
            assert got.message.id == MessageId(77, 1)

    run_virtual(main())


def test_other_bytes_under_a_known_id_are_kept_beside_it_and_marked(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("air")
        async with world.node("b", mesh) as b:
            events = b.events()
            for number in range(6):
                forged = Message(MessageId(77, 1), Kind.TEXT, b"version %d" % number).to_bytes()
                mesh.inject(frames.pack(frames.Whole(forged)))
                mesh.inject(frames.pack(frames.Whole(forged)), peer="another")
            troubles = b.events()
            got = await received(events, 5)
            assert sorted(event.twin for event in got) == [0, 1, 2, 3, 4]
            trouble = await first(troubles, Trouble)
            assert isinstance(trouble, Trouble) and "too many different" in trouble.what
        with world.spool("b") as spool:
            assert [entry.twins for entry in spool.inbox.entries()] == [5] * 5

    run_virtual(main())


def test_a_lost_link_is_opened_again_and_nothing_is_lost(world: World) -> None:
    async def main() -> None:
        mesh = lossy()
        async with world.node("a", mesh) as a, world.node("b", mesh) as b:
            told = a.events()
            ids: list[MessageId] = []
            for number in range(20):
                ids += await a.send(
                    Draft(Kind.DATA, (bytes([number]) * 900,), to=origin_text(b.origin))
                )
            await asyncio.sleep(0.05)
            for address in mesh.addresses:
                mesh.cut(address, "unplugged")
            await until(told, State.DELIVERED, *ids)
        with world.spool("b") as spool:
            assert sorted(entry.id for entry in spool.inbox.entries()) == sorted(ids)

    run_virtual(main())


def test_links_tell_when_they_break_and_when_they_are_back(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("air")
        async with world.node("a", mesh) as a:
            events = a.events()
            mesh.cut(mesh.addresses[0], "unplugged")
            down = await first(events, LinkState)
            up = await first(events, LinkState)
            assert isinstance(down, LinkState) and not down.up and "unplugged" in str(down.reason)
            assert isinstance(up, LinkState) and up.up and up.at > down.at

    run_virtual(main())


def test_a_link_that_cannot_be_opened_at_the_start_is_told_as_it_is(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("air")
        taken = MemoryTransport(mesh, node="me")
        async with world.node("a", links={"x": taken}):
            with pytest.raises(TransportUnavailable, match="already has a node called me"):
                async with world.node("b", links={"y": taken}):
                    raise AssertionError("opened")

    run_virtual(main())


@asynccontextmanager
async def patient(world: World, home: str, link: Transport) -> AsyncGenerator[Node]:
    """Run a node that waits for its link, which is called x."""
    with world.spool(home) as spool:
        async with Node(
            links={"x": link},
            spool=spool,
            codecs=world.codecs,
            runtime=world.runtime,
            folder=world.folder / home,
            patient=True,
        ) as node:
            yield node


def test_a_patient_node_opens_its_link_when_it_is_there(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("air")
        taken = MemoryTransport(mesh, node="me")
        async with AsyncExitStack() as stack:
            async with world.node("a", links={"x": taken}):
                b = await stack.enter_async_context(patient(world, "b", taken))
                events = b.events()
                assert not b.limits
                (id,) = await b.send(Draft.text("hello"))
                waits = [event async for event in _some(events, Progress, 2)]
                assert [event.state for event in waits] == [State.QUEUED] * 2
                assert "the link is down: " in str(waits[1].reason)
                assert "already has a node called me" in str(waits[1].reason)
                with world.spool("b") as spool:
                    (leg,) = spool.outbox.find(id)
                    assert (leg.state, leg.reason) == (State.QUEUED, waits[1].reason)
                down = await first(events, LinkState)
                assert isinstance(down, LinkState) and not down.up
            async for event in _some(events, LinkState, 9):
                if event.up:
                    break
            await until(events, State.SENT, id)

    run_virtual(main())


def test_what_another_process_queued_for_a_link_that_is_down_is_told_why_it_waits(
    world: World,
) -> None:
    async def main() -> None:
        taken = MemoryTransport(Mesh("air"), node="me")
        async with world.node("a", links={"x": taken}), patient(world, "b", taken) as owner:
            down = await first(owner.events(), LinkState)
            assert isinstance(down, LinkState) and not down.up
            events = owner.events()
            with world.spool("b") as spool:
                async with _elsewhere(world, spool, taken) as other:
                    (id,) = await other.send(Draft.text("hello"))
                    (leg,) = spool.outbox.find(id)
                    assert leg.reason is None
                    owner.look()
                    (told,) = await until(events, State.QUEUED, id)
                    assert "already has a node called me" in str(told.reason)
                    assert told.link == "x"
                    (leg,) = spool.outbox.find(id)
                    assert leg.reason == told.reason
                    owner.look()
                    await world.runtime.sleep(0.1)
                    assert len(spool.outbox.events(id)) == 1  # it is said once

    run_virtual(main())


def _elsewhere(world: World, spool: Spool, link: Transport) -> Node:
    """Return a node of a home in which another process has the link."""
    return Node(
        links={"x": link},
        spool=spool,
        codecs=world.codecs,
        runtime=world.runtime,
        folder=world.folder / "elsewhere",
        elsewhere=["x"],
    )


def test_what_waits_for_a_link_goes_with_it_where_its_key_is_another_now(world: World) -> None:
    async def main() -> None:
        old, new = Mesh("air"), Mesh("air")
        async with world.node("a", links={"hill": MemoryTransport(old, node="one")}) as a:
            ids = await a.send(Draft.text("hello", to="mem-9"))
        async with world.node("a", links={"hill": MemoryTransport(new, node="two")}):
            pass
        with world.spool("a") as spool:
            (leg,) = spool.outbox.find(ids[0])
            assert leg.link == MemoryTransport(new, node="two").key

    run_virtual(main())


async def _some(events: Subscription, kind: type[E], count: int) -> AsyncIterator[E]:
    """Yield so many events of a kind."""
    async for event in events:
        if isinstance(event, kind):
            yield event
            if (count := count - 1) == 0:
                return


def test_what_is_not_installed_is_not_waited_for(world: World) -> None:
    class Missing:
        key = "missing"

        @asynccontextmanager
        async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
            raise TransportUnavailable("pip install it") from ImportError("no it")
            yield

    async def main() -> None:
        with pytest.raises(TransportUnavailable, match="pip install it"):
            async with patient(world, "a", Missing()):
                raise AssertionError("opened")

    run_virtual(main())


def test_what_is_said_late_expires_in_time(world: World) -> None:
    async def main() -> None:
        async with world.node("a", lossy()) as a:
            told = a.events()
            await asyncio.sleep(10)  # lifetimes were looked at, and none was about to end
            ids = await a.send(Draft(Kind.TEXT, (b"whom?",), to="mem-99", lifetime=5))
            asked = world.runtime.now()
            await until(told, State.EXPIRED, *ids)
            assert world.runtime.now() - asked < 6

    run_virtual(main())


def test_a_message_nobody_confirms_ends_as_unknown_and_an_unsent_one_as_expired(
    world: World,
) -> None:
    async def main() -> None:
        async with world.node("a", lossy()) as a:
            told = a.events()
            sent = await a.send(Draft(Kind.TEXT, (b"alone",), lifetime=60))
            unsent = await a.send(Draft(Kind.TEXT, (b"whom?",), to="mem-99", lifetime=60))
            await until(told, State.UNKNOWN, *sent)
            assert world.runtime.now() >= 60
            with world.spool("a") as spool:
                states = {leg.id: leg.state for leg in spool.outbox.dead()}
            assert states == {sent[0]: State.UNKNOWN, unsent[0]: State.EXPIRED}

    run_virtual(main())


def test_message_links_are_sent_when_accepted_and_delivered_by_receipt(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("room", Conditions(kind="message", delay=0.05, dup=0.2))
        async with world.node("a", mesh) as a, world.node("b", mesh) as b:
            told = a.events()
            everyone = await a.send(Draft.text("to all"))
            one = await a.send(Draft.text("to b", to=origin_text(b.origin)))
            await until(told, State.DELIVERED, *everyone, *one)
            with world.spool("a") as spool:
                for id in (*everyone, *one):
                    states = [event.state for event in spool.outbox.events(id)]
                    assert states == [State.ON_AIR, State.SENT, State.DELIVERED]
        with world.spool("b") as spool:
            assert sorted(entry.id for entry in spool.inbox.entries()) == sorted(everyone + one)
        with world.spool("a") as spool:
            assert spool.inbox.entries() == [] and spool.outbox.legs() == []

    run_virtual(main())


def test_history_of_a_message_link_is_kept_and_marked_as_replayed(world: World) -> None:
    async def main() -> None:
        mesh, sink = Mesh("room", Conditions(kind="message", history=10)), Shelf()
        async with world.node("a", mesh) as a:
            told = a.events()
            ids = await a.send(Draft.text("earlier"))
            await until(told, State.SENT, *ids)
            async with world.node("b", mesh, sinks=[sink]) as b:
                await received(b.events(), 1)
        assert [delivery.replayed for delivery in sink.taken] == [True]

    run_virtual(main())


def test_every_sink_has_every_message_once_and_a_failing_one_stops_no_other(
    world: World,
) -> None:
    def full(delivery: Delivery) -> None:
        raise SinkError("the disk is full: make room")

    async def main() -> None:
        mesh, good, bad = lossy(), Shelf("shelf:good"), Shelf("shelf:bad", refuse=full)
        async with world.node("a", mesh) as a, world.node("b", mesh, sinks=[bad, good]) as b:
            at_b = b.events()
            for number in range(10):
                await a.send(Draft.text(f"{number}"))
            got = await received(at_b, 10)
            assert {event.problem for event in got} == {"the disk is full: make room"}
            assert all(str(event.file).endswith("shelf:good") for event in got)
        assert len(good.taken) == 10

    run_virtual(main())


def test_a_sink_gets_after_a_restart_what_it_had_not_had(world: World) -> None:
    class PulledOut(Exception):
        pass

    def die(delivery: Delivery) -> None:
        raise PulledOut  # a bug, or the end of the process: the turn stays pending

    async def main() -> None:
        mesh, dying, alive = lossy(), Shelf(refuse=die), Shelf()
        async with world.node("a", mesh) as a:
            with pytest.raises(BaseExceptionGroup):
                async with world.node("b", mesh, sinks=[dying]):
                    await a.send(Draft.text("once"))
                    await asyncio.sleep(60)
            async with world.node("b", mesh, sinks=[alive]) as b:
                [event] = await received(b.events(), 1)
                assert event.message.payload == b"once"
        assert [delivery.message.payload for delivery in alive.taken] == [b"once"]

    run_virtual(main())


def test_strangers_bytes_harm_nobody(world: World) -> None:
    async def main() -> None:
        mesh, room = lossy(), Mesh("room", Conditions(kind="message"))
        async with world.node("a", mesh, room) as a, world.node("b", mesh, room) as b:
            at_b, noise = b.events(), random.Random(3)
            for size in range(1, 232):
                mesh.inject(noise.randbytes(size))
                mesh.inject(b"\xa1" + noise.randbytes(size - 1))
                room.inject(noise.randbytes(size))
            room.inject(Envelope(b"not a message").to_bytes())
            await a.send(Draft.text("still here"), links=["air"])
            [got] = await received(at_b, 1)
            assert got.message.payload == b"still here"

    run_virtual(main())


def test_a_series_keeps_its_order_and_says_its_places(world: World) -> None:
    async def main() -> None:
        mesh = lossy()
        async with world.node("a", mesh) as a, world.node("b", mesh) as b:
            at_b = b.events()
            parts = tuple(bytes([n]) * 300 for n in range(3))
            ids = await a.send(Draft(Kind.DATA, parts))
            assert [id.sequence - ids[0].sequence for id in ids] == [0, 1, 2]
            got = sorted(await received(at_b, 3), key=lambda event: event.message.id)
            assert [event.message.payload for event in got] == list(parts)
            places = [event.message.series for event in got]
            assert [(place.index, place.count) for place in places if place] == [
                (0, 3),
                (1, 3),
                (2, 3),
            ]

    run_virtual(main())


def test_settling_waits_for_confirms_that_are_still_to_be_sent(world: World) -> None:
    async def main() -> None:
        mesh = lossy(loss=0.0, dup=0.0, reorder=0.0)
        async with world.node("a", mesh) as a:
            told = a.events()
            async with world.node("b", mesh) as b, world.node("c", mesh):
                at_b = b.events()
                ids = await a.send(Draft.text("heard?"))
                await received(at_b, 1)
                await b.settle(5)
                await a.settle(5)
            await until(told, State.DELIVERED, *ids)
            assert world.runtime.now() < 5

    run_virtual(main())


def test_own_messages_that_come_back_are_dropped(world: World) -> None:
    async def main() -> None:
        mesh = lossy(loss=0)
        async with world.node("a", mesh) as a, world.node("b", mesh) as b:
            told, at_b = a.events(), b.events()
            [id] = await a.send(Draft.text("echo"))
            await until(told, State.DELIVERED, id)
            [got] = await received(at_b, 1)
            mesh.inject(frames.pack(frames.Whole(got.message.to_bytes())))
            await asyncio.sleep(10)
        with world.spool("a") as spool:
            assert spool.inbox.entries() == []

    run_virtual(main())


def test_where_airtime_is_dear_one_message_goes_at_a_time_and_silence_ends(
    world: World,
) -> None:
    async def main() -> None:
        mesh = Mesh("air", Conditions(bandwidth=134.0, slot=0.028, delay=0.1))
        async with world.node("a", mesh) as a:
            told = a.events()
            ids = await a.send(Draft(Kind.DATA, (bytes(577),)))
            [unknown] = await until(told, State.UNKNOWN, *ids)
            assert "nobody confirmed it" in str(unknown.reason)
            async with world.node("b", mesh):
                ids = await a.send(Draft(Kind.DATA, (bytes(577),)))
                ids += await a.send(Draft(Kind.DATA, (bytes(100),)))
                await until(told, State.DELIVERED, *ids)

    run_virtual(main())


def test_a_draft_for_an_unknown_link_is_refused(world: World) -> None:
    async def main() -> None:
        async with world.node("a", Mesh("air")) as a:
            with pytest.raises(SettingsError, match="no link 'sea' here: there is air"):
                await a.send(Draft.text("x"), links=["sea"])
            with pytest.raises(SettingsError, match="is no origin"):
                await a.send(Draft.text("x", to="~12"))

    run_virtual(main())


def test_frames_are_padded_where_that_is_cheaper() -> None:
    from focal.core.draft import padded_size
    from focal.transports.memory import MemoryLimits

    class Signed(MemoryLimits):
        """Broadcasts of up to 165 bytes are signed, which adds 66."""

        def airtime(self, n: int, to: str | None, /) -> float:
            return float(n + 66 if n <= 165 else n)

    limits = replace(Signed("datagram", 231))
    assert padded_size(120, limits, None) == 166
    assert padded_size(99, limits, None) == 99
    assert padded_size(200, limits, None) == 200
