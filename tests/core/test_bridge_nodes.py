"""Bridges among nodes, in virtual time: every inbox has a message once, and storms end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from focal.core.draft import Draft
from focal.core.envelope import Envelope
from focal.core.events import State
from focal.core.link import Address
from focal.core.message import Kind, Message, origin_text
from focal.core.runtime import run_virtual

from .world import World, air, all_to_all, received, room, until


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_note_crosses_from_the_air_to_a_room_and_back(world: World) -> None:
    async def main() -> None:
        hill, hall = air(), room()
        async with (
            world.node("a", hill) as a,
            world.node("bridge", hill, hall, bridge=all_to_all) as bridge,
            world.node("b", hall) as b,
        ):
            ours, theirs = a.events(), b.events()
            [id] = await a.send(Draft(Kind.TEXT, (b"up",)))
            [came] = await received(theirs, 1)
            assert came.message.id == id
            custody = await until(ours, State.SENT, id)
            delivered = await until(ours, State.DELIVERED, id)
            assert custody[0].by in (None, bridge.origin) and delivered[0].by == b.origin
            [back] = await b.send(Draft(Kind.TEXT, (b"down",), to=origin_text(a.origin)))
            [answer] = await received(ours, 1)
            assert answer.message.id == back
            [event] = await until(theirs, State.DELIVERED, back)
            assert event.by == a.origin
            await asyncio.sleep(60)
        with world.spool("bridge") as spool:
            assert spool.outbox.legs() == []
            assert [entry.id for entry in spool.inbox.entries()] == [id]  # not what is for a
            said = [f"{p.link} {p.said}" for p in spool.crossings.of(back)]
            assert said[-1] == "air goes on"

    run_virtual(main())


@pytest.mark.parametrize("rooms", [2, 3])
def test_a_ring_of_bridges_ends(world: World, rooms: int) -> None:
    async def main() -> None:
        meshes = [room(f"room{n}") for n in range(rooms)]
        async with (
            world.node("a", meshes[0]) as a,
            world.node("x", meshes[0], meshes[1], bridge=all_to_all),
            world.node("y", meshes[1], meshes[2 % rooms], bridge=all_to_all),
            world.node("z", meshes[-1], meshes[0], bridge=all_to_all),
            world.node("b", meshes[-1]) as b,
        ):
            ours, theirs = a.events(), b.events()
            ids = [(await a.send(Draft(Kind.TEXT, (b"%d" % n,))))[0] for n in range(20)]
            assert {one.message.id for one in await received(theirs, 20)} == set(ids)
            await until(ours, State.DELIVERED, *ids)
            await asyncio.sleep(60)
        for home in ("x", "y", "z", "b"):
            with world.spool(home) as spool:
                kept = [entry.id for entry in spool.inbox.entries()]
                assert sorted(kept) == sorted(ids), home
                assert spool.outbox.legs() == [], home

    run_virtual(main())


def test_two_bridges_between_the_air_and_a_room_say_it_once_on_the_air(world: World) -> None:
    async def main() -> None:
        hill, hall = air(loss=0.0), room()
        async with (
            world.node("a", hill) as a,
            world.node("x", hill, hall, bridge=all_to_all),
            world.node("y", hill, hall, bridge=all_to_all),
            world.node("b", hall) as b,
        ):
            ours = a.events()
            ids = [(await b.send(Draft(Kind.DATA, (bytes(300),))))[0] for _ in range(10)]
            assert {one.message.id for one in await received(ours, 10)} == set(ids)
            await asyncio.sleep(300)
        sent = 0
        for home in ("x", "y"):
            with world.spool(home) as spool:
                assert spool.outbox.legs() == []
                for id in ids:
                    states = [leg.state for leg in spool.outbox.find(id)]
                    sent += State.HEARD not in states
        assert 10 <= sent <= 13  # both begin it only where neither had heard the other begin

    run_virtual(main())


@pytest.mark.parametrize("lost", [Kind.TEXT, Kind.RECEIPT])
def test_what_is_lost_behind_a_bridge_is_sent_again_through_it(world: World, lost: Kind) -> None:
    near, far = room("near"), room("far")
    carried: list[Kind] = []

    def lose_the_first(data: bytes, sender: Address, receiver: Address) -> bytes | None:
        kind = Message.from_bytes(Envelope.from_bytes(data).message).kind
        carried.append(kind)
        return None if kind is lost and carried.count(kind) == 1 else data

    async def main() -> None:
        (near if lost is Kind.RECEIPT else far).filter = lose_the_first
        async with (
            world.node("a", near) as a,
            world.node("bridge", near, far, bridge=all_to_all),
            world.node("b", far) as b,
        ):
            ours = a.events()
            [id] = await a.send(Draft.text("hello", to=origin_text(b.origin)))
            [delivered] = await until(ours, State.DELIVERED, id)
            assert delivered.by == b.origin
            await asyncio.sleep(600)
        for home in ("a", "bridge", "b"):
            with world.spool(home) as spool:
                assert spool.outbox.legs() == [], home
        with world.spool("bridge") as spool:
            said = [f"{p.link} {p.said}" for p in spool.crossings.of(id)]
            assert said[2:] == ["far goes on once more: its author sent it again"]

    run_virtual(main())
    assert carried.count(lost) == 2


def test_what_is_sent_again_into_a_ring_goes_round_once(world: World) -> None:
    meshes = [room(f"room{n}") for n in range(3)]

    async def main() -> None:
        async with (
            world.node("a", meshes[0]) as a,
            world.node("x", meshes[0], meshes[1], bridge=all_to_all),
            world.node("y", meshes[1], meshes[2], bridge=all_to_all),
            world.node("z", meshes[2], meshes[0], bridge=all_to_all),
        ):
            ours = a.events()
            [id] = await a.send(Draft.text("is there anybody?", to="~00001234", lifetime=3600))
            await until(ours, State.UNKNOWN, id)
            await asyncio.sleep(600)

    run_virtual(main())
    times = 7  # after 30, 90, 210, 450, 930 and 1,890 seconds
    assert times <= meshes[0].carried.frames <= 3 * times  # by its author and two bridges
    for mesh in meshes[1:]:
        assert mesh.carried.frames <= 2 * times
