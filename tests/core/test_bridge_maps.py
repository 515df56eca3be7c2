"""Bridges on maps of many rooms and airs, in virtual time: each inbox has everything once.

What has no loss arrives everywhere; with loss nothing comes twice. Each bridge puts each message on
each link once, and after a while nothing is said any more.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from focal.core.bridge import Full, Gate, Rate
from focal.core.draft import Draft
from focal.core.envelope import Envelope, is_envelope
from focal.core.errors import TransportUnavailable
from focal.core.events import Received, State
from focal.core.framing import frame as frames
from focal.core.framing.frame import Confirm, Need, Symbol, Whole
from focal.core.link import Address, Link, LinkContext, Transport
from focal.core.message import Kind, Message, MessageId, id_of, origin_text
from focal.core.node import Node
from focal.core.runtime import run_virtual
from focal.transports.memory import Conditions, MemoryTransport, Mesh

from .world import World, air, all_to_all, received, room, until


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


@pytest.mark.parametrize("seed", range(10))
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


@pytest.mark.parametrize("seed", range(3))
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


def test_what_a_bridge_says_itself_comes_back_to_it_as_nothing_new(world: World) -> None:
    bridges = {"x": [0, 1], "y": [0, 1], "z": [1, 2]}
    map = Map([air("hill", loss=0.0), room("hall"), room("den")], {"a": [0], "b": [2]}, bridges)

    async def main() -> list[MessageId]:
        async with running(world, map) as nodes:
            ids: list[MessageId] = []
            for home in (*bridges, *bridges):
                ids += await nodes[home].send(Draft(Kind.DATA, (bytes(300),)))
                await asyncio.sleep(20)
            await asyncio.sleep(QUIET)
            return ids

    traffic = Traffic()
    for mesh in map.meshes:
        traffic.watch(mesh)
    ids = run_virtual(main())
    for home, kept in inboxes(world, [*map.homes, *bridges]).items():
        with world.spool(home) as spool:
            assert kept == Counter(id for id in ids if id.origin != spool.origin), home
    assert max(traffic.heard.values()) == 1
    nothing_waits(world, [*map.homes, *bridges])


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_of_many_who_hear_it_over_a_bridge_few_tell_its_author(world: World, loss: float) -> None:
    homes = {f"home{n}": [1] for n in range(8)}
    hill = air("hill", loss=loss)
    map = Map([room("hall"), hill], {"a": [0], **homes}, {"x": [0, 1]})
    receipts: list[MessageId] = []

    def see(data: bytes, sender: Address, receiver: Address) -> bytes | None:
        frame = frames.unpack(data)
        if isinstance(frame, Whole) and Message.from_bytes(frame.message).kind is Kind.RECEIPT:
            receipts.append(id_of(frame.message))
        return data

    async def main() -> list[MessageId]:
        hill.filter = see
        ids: list[MessageId] = []
        async with running(world, map) as nodes:
            told = nodes["a"].events()
            for _ in range(10):
                [id] = await nodes["a"].send(Draft(Kind.DATA, (bytes(300),)))
                await until(told, State.DELIVERED, id)
                await asyncio.sleep(120)
                ids.append(id)
        return ids

    ids = run_virtual(main())
    assert len(ids) <= len(set(receipts)) <= 2 * len(ids)
    nothing_waits(world, [*map.homes, *map.bridges])
    if not loss:
        assert set(inboxes(world, homes)["home0"]) == set(ids)


# Limits of a leg


def through(world: World, sizes: Sequence[int], wait: float, **limits: object) -> list[float]:
    """Say something of each size in a room, and return when it was there on the air."""
    hall, hill = room("hall"), air("hill", loss=0.0)

    def gates(links: dict[str, Transport]) -> list[Gate]:
        return [replace(gate, **limits) for gate in all_to_all(links)]  # type: ignore[arg-type]

    async def main() -> list[float]:
        came: list[float] = []
        async with (
            world.node("a", hall) as a,
            world.node("x", hall, hill, bridge=gates),
            world.node("b", hill) as b,
        ):
            events = b.events()
            for size in sizes:
                await a.send(Draft(Kind.DATA, (bytes(size),)))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    async for event in events:
                        if isinstance(event, Received):
                            came.append(world.runtime.now())
        return came

    return run_virtual(main())


def test_a_rate_holds_on_a_link_of_frames_and_all_goes_in_its_time(world: World) -> None:
    came = through(world, [100] * 7, 1200, rate=Rate(2, 60.0))
    assert [round(at / 60) for at in came] == [0, 0, 1, 1, 2, 2, 3]


def test_a_budget_of_airtime_holds_and_what_is_over_it_stops_nothing_else(world: World) -> None:
    came = through(world, [100, 2000, 100, 100, 100], 5 * 3600, airtime=2.5)
    assert [round(at / 3600) for at in came] == [0, 0, 1, 1]  # 1.04 s each
    with world.spool("x") as spool:
        (dead,) = spool.outbox.dead()
    assert (len(dead.message), dead.state) == (2021, State.REFUSED)
    assert dead.reason is not None
    assert "more than may cross in an hour" in dead.reason


def test_a_bridge_asks_once_for_what_it_would_pass_on_to_nobody(world: World) -> None:
    hill, hall = air("hill", loss=0.0), room("hall")
    asked: list[int] = []

    def see(data: bytes, sender: Address, receiver: Address) -> bytes | None:
        frame = frames.unpack(data)
        if isinstance(frame, Need | Confirm):
            asked.append(frame.speaker)
        return data

    async def main() -> None:
        async with (
            world.node("a", hill) as a,
            world.node("x", hill, hall, bridge=all_to_all),
        ):
            async with world.node("b", hill) as b:
                await b.send(Draft(Kind.TEXT, (b"hello",)))
                await asyncio.sleep(60)
                to = origin_text(b.origin)
            hill.filter = see
            events = a.events()
            [id] = await a.send(Draft(Kind.DATA, (bytes(500),), to=to))
            await until(events, State.UNKNOWN, id)

    run_virtual(main())
    assert len(asked) <= 1  # it had heard nothing of it before it was polled


# What breaks


@dataclass
class Flaky:
    """A link to a mesh that can be down."""

    inner: MemoryTransport
    down: bool = False

    @property
    def key(self) -> str:
        return self.inner.key

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        if self.down:
            raise TransportUnavailable("it is down")
        async with self.inner.open(context) as link:
            yield link


def small_queue(links: dict[str, Transport]) -> list[Gate]:
    return [replace(gate, queue=30, full=Full.OLDEST) for gate in all_to_all(links)]


def test_a_leg_that_is_down_delays_no_other_and_holds_what_it_may(world: World) -> None:
    here, there, gone = room("here"), room("there"), room("gone")
    flaky = Flaky(MemoryTransport(gone, node="x"))

    async def main() -> list[MessageId]:
        async with (
            world.node("a", here) as a,
            world.node("x", here, there, links={"gone": flaky}, bridge=small_queue),
            world.node("b", there) as b,
            world.node("c", gone) as c,
        ):
            theirs, late, runtime = b.events(), c.events(), world.runtime
            flaky.down = True
            gone.cut("x")
            ids: list[MessageId] = []
            for number in range(100):
                began = runtime.now()
                ids += await a.send(Draft(Kind.TEXT, (b"%d" % number,)))
                await received(theirs, 1)
                assert runtime.now() - began < 0.1
                await asyncio.sleep(3)
            flaky.down = False
            async with asyncio.timeout(120):
                came = [one.message.id for one in await received(late, 30)]
            assert came == ids[-30:]
            await asyncio.sleep(300)
            return ids

    ids = run_virtual(main())
    with world.spool("x") as spool:
        assert spool.outbox.legs() == []
        gave_way = [leg.id for leg in spool.outbox.dead()]
        assert (gave_way, {leg.name for leg in spool.outbox.dead()}) == (ids[:70], {"gone"})


@dataclass
class Mortal:
    """A bridge that is killed: what it had committed is all that is left of it."""

    world: World
    links: dict[str, Transport]
    lives: int = 0

    @property
    def home(self) -> str:
        return f"bridge-{self.lives}"

    def live(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._live())

    async def _live(self) -> None:
        async with self.world.node(self.home, links=self.links, bridge=all_to_all) as node:
            await node.run()

    async def killed(self, life: asyncio.Task[None]) -> None:
        """End a life; the next one begins with the spool as it is now."""
        dead = self.home
        self.lives += 1
        for end in ("", "-wal"):
            source = self.world.folder / f"{dead}.db{end}"
            if source.exists():
                shutil.copy(source, self.world.folder / f"{self.home}.db{end}")
        life.cancel()
        with suppress(asyncio.CancelledError):
            await life


def hall(name: str) -> Mesh:
    """Return a room that gives who comes late what was said before."""
    return Mesh(name, Conditions(kind="message", delay=0.01, history=1000))


KILLS = 6


@pytest.mark.parametrize("make", [hall, clear])
@pytest.mark.parametrize("seed", range(2))
def test_what_a_bridge_had_when_it_was_killed_arrives_once(
    world: World, seed: int, make: Callable[[str], Mesh]
) -> None:
    draw, near, far = random.Random(seed), make("near"), hall("far")
    traffic = Traffic()
    traffic.watch(far)
    bridge = Mortal(world, {mesh.name: MemoryTransport(mesh, node="x") for mesh in (near, far)})

    async def die() -> None:
        for _ in range(KILLS):
            life = bridge.live()
            await asyncio.sleep(draw.uniform(0.5, 30))
            if near.conditions.kind == "message":  # in the middle of something
                await asyncio.sleep(draw.choice([0.0, 0.001, 0.005, 0.011]))
            await bridge.killed(life)
            await asyncio.sleep(draw.uniform(0, 3))

    async def main() -> dict[MessageId, bool]:
        sent: dict[MessageId, bool] = {}
        async with world.node("a", near) as a, world.node("b", far) as b:
            ours, to = a.events(), origin_text(b.origin)
            dying = asyncio.create_task(die())
            while not dying.done():
                to_one = draw.random() < 0.5
                draft = Draft(Kind.DATA, (draw.randbytes(100),), to=to if to_one else None)
                [id] = await a.send(draft)
                sent[id] = to_one
                await asyncio.sleep(draw.uniform(0, 5))
            life = bridge.live()
            await until(ours, State.DELIVERED, *sent)
            await asyncio.sleep(QUIET)
            await bridge.killed(life)
        return sent

    sent = run_virtual(main())
    assert inboxes(world, ["b"])["b"] == Counter(sent.keys())
    kept = inboxes(world, [bridge.home])[bridge.home]
    assert kept == Counter(id for id, to_one in sent.items() if not to_one)
    assert max(traffic.by("x").values()) <= 1 + KILLS
    nothing_waits(world, ["a", "b", bridge.home])
