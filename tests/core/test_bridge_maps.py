"""Bridges on maps of many rooms and airs, in virtual time: whatever the map, each inbox has all once.

What has no loss arrives everywhere; with loss nothing comes twice. Each bridge puts each message on
each link once, and after a while nothing is said any more.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from focal.core.draft import Draft
from focal.core.envelope import Envelope, is_envelope
from focal.core.events import State
from focal.core.framing import frame as frames
from focal.core.framing.frame import Symbol
from focal.core.link import Address, Transport
from focal.core.message import Kind, MessageId, id_of, origin_text
from focal.core.node import Node
from focal.core.runtime import run_virtual
from focal.transports.memory import MemoryTransport, Mesh

from .world import World, air, all_to_all, room


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@dataclass
class Traffic:
    """How often each receiver on each mesh heard the beginning of a message from each sender."""

    heard: Counter[tuple[str, str, str, MessageId]] = field(
        default_factory=Counter[tuple[str, str, str, MessageId]]
    )
    last: float = 0.0

    def watch(self, mesh: Mesh) -> None:
        def see(data: bytes, sender: Address, receiver: Address) -> bytes | None:
            self.last = asyncio.get_running_loop().time()
            if (id := self._begun(data)) is not None:
                self.heard[mesh.name, sender, receiver, id] += 1
            return data

        mesh.filter = see

    def _begun(self, data: bytes) -> MessageId | None:
        if is_envelope(data):
            return id_of(Envelope.from_bytes(data).message)
        frame = frames.unpack(data)  # whole ones are sent again as parity
        return id_of(frame.data) if isinstance(frame, Symbol) and not frame.index else None

    def by(self, *homes: str) -> dict[tuple[str, str, str, MessageId], int]:
        """Return what these homes put somewhere, and how often."""
        return {key: count for key, count in self.heard.items() if key[1] in homes}


@dataclass
class Map:
    """Meshes, who is on them, and which bridges join which."""

    meshes: list[Mesh]
    homes: dict[str, list[int]]
    bridges: dict[str, list[int]]

    def far(self, home: str) -> dict[str, int]:
        """Return the homes that a home's messages can reach, and over how many bridges."""
        hops = dict.fromkeys(self.homes[home], 0)
        for distance in range(1, 8):
            edge = [mesh for mesh, at in hops.items() if at == distance - 1]
            for joined in self.bridges.values():
                if set(edge) & set(joined):
                    for mesh in joined:
                        hops.setdefault(mesh, distance)
        return {
            other: min(hops[mesh] for mesh in meshes if mesh in hops)
            for other, meshes in self.homes.items()
            if other != home and set(meshes) & set(hops)
        }


def drawn(seed: int, **conditions: object) -> Map:
    """Return a map: 2 to 6 rooms and airs with one or two homes each, and up to 6 bridges."""
    draw = random.Random(seed)
    count = draw.randint(2, 6)
    meshes = [
        air(f"air{n}", seed=seed + n, **conditions) if draw.random() < 0.5 else room(f"room{n}")
        for n in range(count)
    ]
    homes = {f"home{n}": [n] for n in range(count)}
    homes |= {f"more{n}": [draw.randrange(count)] for n in range(draw.randint(0, 2))}
    size = min(count, draw.choice([2, 2, 2, 3]))
    bridges = {f"bridge{n}": draw.sample(range(count), size) for n in range(draw.randint(1, 6))}
    return Map(meshes, homes, bridges)


def ring(count: int, make: Callable[[str], Mesh] = room) -> Map:
    """Return a ring of meshes with a home on each."""
    meshes = [make(f"mesh{n}") for n in range(count)]
    homes = {f"home{n}": [n] for n in range(count)}
    bridges = {f"bridge{n}": [n, (n + 1) % count] for n in range(count)}
    return Map(meshes, homes, bridges)


@asynccontextmanager
async def running(world: World, map: Map) -> AsyncGenerator[dict[str, Node]]:
    """Run all nodes of a map."""
    async with AsyncExitStack() as stack:
        nodes: dict[str, Node] = {}
        for home, on in [*map.bridges.items(), *map.homes.items()]:
            meshes = [map.meshes[n] for n in on]
            links: dict[str, Transport] = {
                mesh.name: MemoryTransport(mesh, node=home) for mesh in meshes
            }
            bridge = all_to_all if home in map.bridges else None
            node = world.node(home, links=links, bridge=bridge)
            nodes[home] = await stack.enter_async_context(node)
        yield nodes


@dataclass
class Said:
    """What was sent on a map: who sent it, and for whom."""

    to_all: dict[MessageId, str] = field(default_factory=dict[MessageId, str])
    to_one: dict[MessageId, tuple[str, str]] = field(
        default_factory=dict[MessageId, tuple[str, str]]
    )


async def chat(nodes: dict[str, Node], map: Map, draw: random.Random) -> Said:
    """Have everybody say something to everyone and to somebody."""
    said = Said()
    names = [*map.homes]
    draw.shuffle(names)
    for home in names:
        payload = draw.randbytes(draw.choice([30, 150, 500]))
        [id] = await nodes[home].send(Draft(Kind.DATA, (payload,)))
        said.to_all[id] = home
        await asyncio.sleep(draw.choice([0, 0.01, 3, 60]))
    await asyncio.sleep(200)
    for home in names:
        if others := sorted(map.far(home)):
            other = draw.choice(others)
            to = origin_text(nodes[other].origin)
            [id] = await nodes[home].send(Draft(Kind.DATA, (draw.randbytes(60),), to=to))
            said.to_one[id] = home, other
            await asyncio.sleep(draw.choice([0, 0.01, 3, 60]))
    return said


QUIET = 1200.0
"""Seconds after which nothing is said any more."""


async def talked(world: World, map: Map, traffic: Traffic, seed: int) -> Said:
    """Run a map until everything that was said on it is over."""
    for mesh in map.meshes:
        traffic.watch(mesh)
    async with running(world, map) as nodes:
        said = await chat(nodes, map, random.Random(seed))
        await asyncio.sleep(QUIET)
        assert asyncio.get_running_loop().time() - traffic.last > QUIET / 2, "the storm goes on"
    return said


def inboxes(world: World, homes: Iterable[str]) -> dict[str, Counter[MessageId]]:
    """Return how often each home has each message."""
    kept = dict[str, Counter[MessageId]]()
    for home in homes:
        with world.spool(home) as spool:
            kept[home] = Counter(entry.id for entry in spool.inbox.entries())
    return kept


def expected(map: Map, said: Said, home: str) -> set[MessageId]:
    """Return what a home is to have in its inbox."""
    to_all = {id for id, by in said.to_all.items() if by != home and home in map.far(by)}
    return to_all | {id for id, (_, to) in said.to_one.items() if to == home}


def nothing_waits(world: World, homes: Iterable[str]) -> None:
    for home in homes:
        with world.spool(home) as spool:
            left = [
                (str(leg.id), leg.kind.name, leg.name, leg.state) for leg in spool.outbox.legs()
            ]
            assert not left, home


def each_link_once(world: World, map: Map, said: Said, traffic: Traffic) -> None:
    """See that no bridge put a message on a link twice, where it was for everyone."""
    put = traffic.by(*map.bridges)
    assert not {key: count for key, count in put.items() if count > 1 and key[3] in said.to_all}
    for home in map.bridges:
        with world.spool(home) as spool:
            for id in [*said.to_all, *said.to_one]:
                on_air = [e.link for e in spool.outbox.events(id) if e.state is State.ON_AIR]
                assert len(on_air) == len(set(on_air)), (home, id, on_air)


def everybody_knows(world: World, map: Map, said: Said) -> None:
    """See that each author was told that somebody has it: whom it is for, or anyone."""
    for id, home in [*said.to_all.items(), *((id, one) for id, (one, _) in said.to_one.items())]:
        with world.spool(home) as spool:
            told = [event.by for event in spool.outbox.events(id) if event.state is State.DELIVERED]
            assert told or not map.far(home), f"{home} was not told what became of {id}"


@pytest.mark.parametrize("seed", range(14))
def test_on_any_map_all_have_everything_once_and_the_storm_ends(world: World, seed: int) -> None:
    map, traffic = drawn(seed, loss=0.0), Traffic()
    said = run_virtual(talked(world, map, traffic, seed))
    for home, kept in inboxes(world, map.homes).items():
        assert kept == Counter(expected(map, said, home)), home
    for home, kept in inboxes(world, map.bridges).items():
        assert set(kept.values()) <= {1}, home
        assert not kept.keys() & said.to_one.keys(), home
    each_link_once(world, map, said, traffic)
    nothing_waits(world, [*map.bridges, *map.homes])
    everybody_knows(world, map, said)


@pytest.mark.parametrize("seed", range(4))
def test_on_a_map_that_loses_frames_nobody_has_anything_twice(world: World, seed: int) -> None:
    map, traffic = drawn(1000 + seed, loss=0.15, dup=0.05), Traffic()
    said = run_virtual(talked(world, map, traffic, seed))
    wanted = arrived = 0
    for home, kept in inboxes(world, map.homes).items():
        due = expected(map, said, home)
        assert set(kept.values()) <= {1}
        assert kept.keys() <= due, home
        wanted, arrived = wanted + len(due), arrived + len(kept)
    assert arrived >= 0.9 * wanted
    nothing_waits(world, map.bridges)


clear = partial(air, loss=0.0)


@pytest.mark.parametrize(("count", "make"), [(3, room), (4, room), (5, room), (4, clear)])
def test_in_a_ring_all_have_everything_once(
    world: World, count: int, make: Callable[[str], Mesh]
) -> None:
    map, traffic = ring(count, make), Traffic()
    said = run_virtual(talked(world, map, traffic, count))
    for home, kept in inboxes(world, map.homes).items():
        assert kept == Counter(expected(map, said, home)), home
    each_link_once(world, map, said, traffic)
    nothing_waits(world, [*map.bridges, *map.homes])
    everybody_knows(world, map, said)


@pytest.mark.parametrize("make", [room, clear])
def test_many_parallel_bridges_are_one(world: World, make: Callable[[str], Mesh]) -> None:
    bridges = {f"bridge{n}": [0, 1] for n in range(6)}
    map = Map([make("left"), room("right")], {"a": [0], "b": [1], "c": [1]}, bridges)
    traffic = Traffic()
    said = run_virtual(talked(world, map, traffic, 1))
    for home, kept in inboxes(world, map.homes).items():
        assert kept == Counter(expected(map, said, home)), home
    each_link_once(world, map, said, traffic)
    nothing_waits(world, [*map.bridges, *map.homes])
    everybody_knows(world, map, said)
