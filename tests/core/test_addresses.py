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


def sent_on(mesh: SimMesh) -> list[Gone]:
    """Return a list that what the nodes of a mesh send is put on."""
    sent: list[Gone] = []

    def watch(happening: Happening) -> None:
        if isinstance(happening, Gone):
            sent.append(happening)

    mesh.watchers.append(watch)
    return sent


def test_of_many_who_hear_it_only_the_one_that_is_asked_answers(world: World) -> None:
    async def main() -> None:
        mesh = SimMesh("air", Conditions(region="US", seed=3))
        sent = sent_on(mesh)

        def link(number: int) -> dict[str, Transport]:
            return {"air": SimTransport(mesh, node=number)}

        async with (
            world.node("a", links=link(0xA)) as a,
            world.node("b", links=link(0xB)) as b,
            world.node("c", links=link(0xC)) as c,
            world.node("d", links=link(0xD)),
        ):
            for _ in range(3):
                events = a.events()
                ids = await a.send(Draft.text("psst", to="!0000000c"))
                [delivered] = await until(events, State.DELIVERED, *ids)
                assert delivered.by == c.origin
            assert {each.node for each in sent} == {0xA, 0xC}
            # The others have learnt where a is, and need not ask.
            events = b.events()
            await until(events, State.DELIVERED, *await b.send(Draft.text("hm", to="!0000000a")))
            [first, *_] = [each for each in sent if each.node == 0xB]
            assert len(first.packet.payload) > 14
        with world.spool("d") as spool:
            assert spool.inbox.entries() == []

    run_virtual(main())


@pytest.mark.parametrize(("preset", "most"), [("SHORT_FAST", 1.1), ("LONG_FAST", 2.6)])
def test_a_lost_question_costs_little_more_than_its_airtime(
    world: World, preset: str, most: float
) -> None:
    async def main() -> None:
        mesh = SimMesh("air", Conditions(region="US", preset=preset, seed=3))
        sent = sent_on(mesh)
        async with world.node("a", links={"air": SimTransport(mesh, node=0xA)}) as a:
            events = a.events()
            ids = await a.send(Draft.text("psst", to="!0000000b"))
            while not sent:
                await world.runtime.sleep(0.01)
            async with world.node("b", links={"air": SimTransport(mesh, node=0xB)}):
                await until(events, State.DELIVERED, *ids)
        assert [each.node for each in sent[:3]] == [0xA, 0xA, 0xB]
        assert sent[1].at - sent[0].at < most

    run_virtual(main())


def test_an_address_that_nobody_has_is_asked_ever_more_rarely(world: World) -> None:
    async def main() -> list[Gone]:
        mesh = SimMesh("air", Conditions(region="US", seed=3))
        sent = sent_on(mesh)
        async with (
            world.node("a", links={"air": SimTransport(mesh, node=0xA)}) as a,
            world.node("b", links={"air": SimTransport(mesh, node=0xB)}),
        ):
            await a.send(Draft.text("psst", to="!0000dead"))
            await world.runtime.sleep(6 * 3600)
        return sent

    sent = run_virtual(main())
    assert {each.node for each in sent} == {0xA} and 3 <= len(sent) <= 18
    assert sum(each.seconds for each in sent) < 10
    assert 3600 <= sent[-1].at - sent[-2].at < 3620


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
