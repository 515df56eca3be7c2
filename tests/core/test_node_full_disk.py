"""A disk that fails for a while: nothing is confirmed that is not safe, and then it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from focal.core.draft import Draft
from focal.core.events import LinkState, Progress, State, Trouble
from focal.core.hub import Subscription
from focal.core.node import Node
from focal.core.ports import Delivery, Sink
from focal.core.runtime import run_virtual
from focal.core.spool import Spool
from focal.transports.memory import Conditions, MemoryTransport, Mesh

from .world import NoCodecs, Shelf, World, first, lossy, received, until


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@asynccontextmanager
async def node(
    world: World, home: str, mesh: Mesh, sinks: Sequence[Sink] = ()
) -> AsyncGenerator[tuple[Node, Spool]]:
    """Run a node whose spool can be made to fail."""
    with world.spool(home) as spool:
        async with Node(
            links={mesh.name: MemoryTransport(mesh)},
            spool=spool,
            codecs=NoCodecs(),
            runtime=world.runtime,
            folder=world.folder / home,
            sinks=sinks,
            seed=1,
        ) as running:
            yield running, spool


def fill(spool: Spool) -> None:
    """Leave no room for what is larger than a page."""
    spool.database.rows("PRAGMA max_page_count = 1")


def fail(spool: Spool) -> None:
    """Have every transaction fail from now on."""
    spool.database.rows("PRAGMA query_only = ON")


def mend(spool: Spool) -> None:
    spool.database.rows("PRAGMA query_only = OFF")
    spool.database.rows("PRAGMA max_page_count = 100000")


async def happened(events: Subscription) -> list[object]:
    """Return what was told of so far."""
    return [await anext(events) for _ in range(len(events.mailbox))]


def test_what_cannot_be_written_is_not_confirmed_and_comes_when_it_can(world: World) -> None:
    async def main() -> None:
        mesh = lossy()
        async with node(world, "a", mesh) as (a, _), node(world, "b", mesh) as (b, disk):
            at_a, at_b = a.events(), b.events()
            fill(disk)
            ids = await a.send(Draft.text("kept " * 1000))
            await asyncio.sleep(600)
            states = {event.state for event in await happened(at_a) if isinstance(event, Progress)}
            assert states == {State.QUEUED, State.ON_AIR, State.SENT}
            told = [event for event in await happened(at_b) if isinstance(event, Trouble)]
            assert {event.where for event in told} == {"air"}
            assert all("the disk is full" in event.what for event in told)
            assert 1 <= len(told) <= 20  # not one for each poll
            mend(disk)
            await until(at_a, State.DELIVERED, *ids)
            [event] = await received(at_b, 1)
            assert event.message.id == ids[0]

    run_virtual(main())


def test_a_spool_that_fails_altogether_brings_the_link_down_until_it_does_not(
    world: World,
) -> None:
    async def main() -> None:
        mesh = lossy()
        async with node(world, "a", mesh) as (a, _), node(world, "b", mesh) as (b, disk):
            links, at_a = b.events(), a.events()
            fail(disk)
            ids = await a.send(Draft.text("kept"))
            down = await first(links, LinkState)
            assert isinstance(down, LinkState) and not down.up and "read-only" in str(down.reason)
            await asyncio.sleep(300)
            mend(disk)
            await until(at_a, State.DELIVERED, *ids)

    run_virtual(main())


def test_a_message_link_brings_again_what_could_not_be_written(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("room", Conditions(kind="message", history=10))
        async with node(world, "a", mesh) as (a, _), node(world, "b", mesh) as (b, disk):
            at_b = b.events()
            fail(disk)
            ids = await a.send(Draft.text("kept"))
            down = await first(at_b, LinkState)
            assert isinstance(down, LinkState) and not down.up and "read-only" in str(down.reason)
            mend(disk)
            [event] = await received(at_b, 1)
            assert event.message.id == ids[0]

    run_virtual(main())


@pytest.mark.parametrize("kind", ["datagram", "message"])
def test_a_sender_goes_on_when_its_progress_can_be_written_again(world: World, kind: str) -> None:
    async def main() -> None:
        mesh = lossy() if kind == "datagram" else Mesh("room", Conditions(kind="message"))
        async with node(world, "a", mesh) as (a, disk), node(world, "b", mesh) as (b, _):
            links, at_a, at_b = a.events(), a.events(), b.events()
            ids = [(await a.send(Draft.text(f"{number} " * 400)))[0] for number in range(20)]
            fail(disk)
            down = await first(links, LinkState)
            assert isinstance(down, LinkState) and not down.up
            await asyncio.sleep(300)
            mend(disk)
            goal = State.DELIVERED if kind == "datagram" else State.SENT
            await until(at_a, goal, *ids)
            assert {event.message.id for event in await received(at_b, 20)} == {*ids}

    run_virtual(main())


def test_a_sink_is_given_again_what_could_not_be_noted_as_done(world: World) -> None:
    async def main() -> None:
        mesh = lossy()

        def noticed(delivery: Delivery) -> None:
            if not shelf.taken:
                fail(disks[0])

        shelf, disks = Shelf(refuse=noticed), list[Spool]()
        async with node(world, "a", mesh) as (a, _), node(world, "b", mesh, [shelf]) as (b, disk):
            disks.append(disk)
            at_b = b.events()
            await a.send(Draft.text("hello"))
            trouble = await first(at_b, Trouble)
            assert isinstance(trouble, Trouble) and trouble.where == shelf.key
            mend(disk)
            [event] = await received(at_b, 1)
            assert event.file and len(shelf.taken) == 2

    run_virtual(main())


def test_housekeeping_goes_on_after_a_failure(world: World) -> None:
    async def main() -> None:
        mesh = Mesh("air")
        async with node(world, "a", mesh) as (a, disk):
            at_a = a.events()
            ids = await a.send(Draft.text("nobody is there", lifetime=600))
            await until(at_a, State.SENT, *ids)
            fail(disk)
            await asyncio.sleep(1200)
            mend(disk)
            [event] = await until(at_a, State.UNKNOWN, *ids)
            assert event.reason

    run_virtual(main())
