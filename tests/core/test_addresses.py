"""An address on a channel that everybody hears: its own node answers for it, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from focal.core.draft import Draft
from focal.core.events import State
from focal.core.link import Transport
from focal.core.runtime import run_virtual
from focal.transports.lora.channel import Gone, Happening
from focal.transports.lora.sim import Conditions, SimMesh, SimTransport
from tests.core.world import World, until


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_of_many_who_answer_the_one_that_was_asked_is_meant(world: World) -> None:
    async def main() -> None:
        mesh = SimMesh("air", Conditions(region="US", seed=3))

        def link(number: int) -> dict[str, Transport]:
            return {"air": SimTransport(mesh, node=number)}

        async with (
            world.node("a", links=link(0xA)) as a,
            world.node("b", links=link(0xB)),
            world.node("c", links=link(0xC)) as c,
            world.node("d", links=link(0xD)),
        ):
            for _ in range(3):
                events = a.events()
                ids = await a.send(Draft.text("psst", to="!0000000c"))
                [delivered] = await until(events, State.DELIVERED, *ids)
                assert delivered.by == c.origin
        with world.spool("b") as spool:
            assert spool.inbox.entries() == []

    run_virtual(main())


def test_an_address_that_nobody_has_is_asked_ever_more_rarely(world: World) -> None:
    async def main() -> int:
        mesh = SimMesh("air", Conditions(region="US", seed=3))
        asked = 0

        def watch(happening: Happening) -> None:
            nonlocal asked
            asked += isinstance(happening, Gone) and happening.node == 0xA

        mesh.watchers.append(watch)
        async with (
            world.node("a", links={"air": SimTransport(mesh, node=0xA)}) as a,
            world.node("b", links={"air": SimTransport(mesh, node=0xB)}),
        ):
            await a.send(Draft.text("psst", to="!0000dead"))
            await world.runtime.sleep(6 * 3600)
        return asked

    assert 3 <= run_virtual(main()) <= 16


def test_a_name_that_the_link_does_not_know_is_refused(world: World) -> None:
    async def main() -> None:
        mesh = SimMesh("air", Conditions(region="US", seed=3))
        async with world.node("a", links={"air": SimTransport(mesh, node=0xA)}) as a:
            for address in ("!xyz", "nobody", "!0000000a"):
                events = a.events()
                ids = await a.send(Draft.text("psst", to=address))
                [refused] = await until(events, State.REFUSED, *ids)
                assert address in (refused.reason or "")

    run_virtual(main())
