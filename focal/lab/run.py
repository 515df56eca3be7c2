"""``focal lab run``: the nodes of a scenario, on a simulated mesh and in virtual time.

The law of this module: the nodes are as any other, with spools and ledgers of their own; only the
radio, the clock and chance are simulated, all chance comes from the scenario's seed, and so the
same scenario gives the same figures every time.

Behind every node of the mesh is a node of focal, but for routers that no traffic names: those only
relay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from ..core.codec import CodecSpec
from ..core.draft import Draft
from ..core.errors import FocalError, OutboxFull
from ..core.events import Progress, Received
from ..core.hub import Subscription
from ..core.message import Kind
from ..core.node import Node
from ..core.outbox import OutboxBounds
from ..core.runtime import run_virtual, virtual_runtime
from ..core.spool import Spool
from ..results import Lab, Station
from ..transports.lora.channel import Hearing, Role
from ..transports.lora.link import LoraOptions
from ..transports.lora.sim import Conditions, SimMesh, SimNode, SimTransport
from . import scenario as told
from .figures import Figures

LINK = "radio"

STEPS = 100
"""How often it is said how far the simulation is."""

RESTART = 5.0
"""Seconds that a node is gone when it restarts."""

Say: TypeAlias = Callable[[str], None]


def run(scenario: told.Scenario, say: Say) -> tuple[list[Station], Lab]:
    """Simulate a scenario; return how each node fared, and all of them together.

    Args:
        scenario: what there is and what happens.
        say: is told now and then how far it is.

    Raises:
        FocalError: a link cannot be opened, or the temporary folder cannot be written.
        ExceptionGroup: of one, while it runs: more waits to be sent than an outbox holds.
    """
    figures, seconds = simulate(scenario, say), scenario.duration
    return figures.stations(seconds), figures.whole(seconds)


def simulate(scenario: told.Scenario, say: Say, *, outbox: OutboxBounds | None = None) -> Figures:
    """Simulate a scenario, as ``run``; return all that was counted.

    ``outbox`` is how much that of each node holds; None: as much as any.
    """
    with TemporaryDirectory(prefix="focal-lab-") as folder:
        lab = _Lab(scenario, Path(folder), say, outbox)
        run_virtual(lab.main(), 2 * scenario.duration)
    return lab.figures


def mesh_of(scenario: told.Scenario) -> SimMesh:
    """Return the air of a scenario, with all its nodes on it."""

    def hears(speaker: int, hearer: int) -> Hearing | None:
        heard = scenario.by_number[speaker].name in scenario.by_number[hearer].hears
        return Hearing(loss=scenario.path()) if heard else None

    air = scenario.air
    conditions = Conditions(air.region.name, air.preset, seed=scenario.seed)
    mesh = SimMesh("lab", conditions, hears)
    for node in scenario.nodes:
        knows = frozenset(scenario.by_name[name].number for name in node.knows)
        mesh.add(SimNode(node.number, node.name, node.role, node.key, node.signs, knows))
    return mesh


def _too_much(sender: str, at: float) -> str:
    return (
        f"the scenario wants more than a node's outbox holds: that of {sender} is full after "
        f"{at:.0f} s; say fewer or shorter messages, a greater every or a shorter duration"
    )


class _NoCodecs:
    """What is sent is data, not speech: nothing is to be decoded."""

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        return None


class _Lab:
    """A scenario at work."""

    def __init__(
        self, scenario: told.Scenario, folder: Path, say: Say, outbox: OutboxBounds | None
    ) -> None:
        self.scenario = scenario
        self.figures = Figures(scenario)
        self._folder = folder
        self._say = say
        self._outbox = outbox
        self._runtime = virtual_runtime()
        self._mesh = mesh_of(scenario)
        self._mesh.watchers.append(self.figures.happened)
        self._nodes: dict[str, Node] = {}

    async def main(self) -> None:
        """Do all that the scenario says, until its time is over."""
        async with AsyncExitStack() as stack:
            for node in self.scenario.nodes:
                if self._speaks(node):
                    self._nodes[node.name] = await stack.enter_async_context(self._node(node))
            async with asyncio.TaskGroup() as group:
                work = [group.create_task(one) for one in self._work()]
                await self._pass_time()
                for task in work:
                    task.cancel()

    def _speaks(self, node: told.Node) -> bool:
        named = any(node.name in (one.sender, one.to) for one in self.scenario.traffic)
        return named or node.role is not Role.ROUTER

    def _work(self) -> Iterator[Coroutine[Any, Any, None]]:
        for name, node in self._nodes.items():
            yield self._listen(self.scenario.by_name[name], node.events())
        for traffic in self.scenario.traffic:
            yield self._send(traffic)
        for event in self.scenario.events:
            yield self._happen(event)

    @asynccontextmanager
    async def _node(self, node: told.Node) -> AsyncGenerator[Node]:
        path, unix = self._folder / f"{node.name}.db", self._runtime.unix
        options = LoraOptions(hops=self.scenario.hop_limit)
        with Spool.open(
            path, durability="process", unix=unix, origin=node.number, outbox=self._outbox
        ) as spool:
            async with Node(
                links={LINK: SimTransport(self._mesh, options, node=node.number)},
                spool=spool,
                codecs=_NoCodecs(),
                runtime=self._runtime,
                folder=self._folder / node.name,
                seed=Random(f"{self.scenario.seed} {node.name}").getrandbits(32),
            ) as running:
                yield running

    async def _pass_time(self) -> None:
        """Let the scenario's time pass, and say how far it is."""
        whole, figures = self.scenario.duration, self.figures
        for _ in range(STEPS):
            await self._runtime.sleep(whole / STEPS)
            self._say(
                f"{self._runtime.now():.0f} of {whole:.0f} s: "
                f"{figures.ended} of {figures.messages} messages have ended"
            )

    async def _listen(self, node: told.Node, events: Subscription) -> None:
        async for event in events:
            now = self._runtime.now()
            if isinstance(event, Progress):
                self.figures.progressed(event, now)
            elif isinstance(event, Received):
                self.figures.received(event.message.id, node.number, now)

    async def _send(self, traffic: told.Traffic) -> None:
        """Send what one node says, again and again."""
        until = self.scenario.duration if traffic.until is None else traffic.until
        to = self.scenario.by_name[traffic.to].number if traffic.to else None
        draft = Draft(Kind.DATA, (bytes(traffic.bytes),), to=f"~{to:08x}" if to else None)
        for place in count():
            at = traffic.begin + place * traffic.every
            if at >= until:
                return
            await self._wait_until(at)
            try:
                (id,) = await self._nodes[traffic.sender].send(draft)
            except OutboxFull as error:
                raise FocalError(_too_much(traffic.sender, at)) from error
            self.figures.queued(id, self._runtime.now())

    async def _happen(self, event: told.Happens) -> None:
        """Do to a node what the scenario does to it."""
        await self._wait_until(event.at)
        number = self.scenario.by_name[event.node].number
        if event.does == "wake":
            self._mesh.wake(number)
            return
        self._mesh.silence(number)
        if event.does == "reboot":
            self._mesh.cut(number, "it restarts")
            await self._runtime.sleep(RESTART)
            self._mesh.wake(number)

    async def _wait_until(self, at: float) -> None:
        await self._runtime.sleep(max(0.0, at - self._runtime.now()))
