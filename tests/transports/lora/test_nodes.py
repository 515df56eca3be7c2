"""Whole nodes on a simulated mesh: what their senders are told, and when."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from focal.core.draft import Draft
from focal.core.events import State
from focal.core.node import Node
from focal.core.runtime import run_virtual
from focal.transports.lora.channel import Gone, Happening
from focal.transports.lora.sim import Conditions, SimMesh, SimTransport
from tests.core.world import World, until

A, B = 1, 2
LONG = Draft.text("x" * 580)  # 6.6 s of air with LONG_FAST


@dataclass
class Air:
    """A mesh, and when its nodes ended each of their packets."""

    world: World
    conditions: Conditions = field(default_factory=lambda: Conditions(region="US"))
    gone: dict[int, list[float]] = field(default_factory=lambda: {A: [], B: []})

    def __post_init__(self) -> None:
        self.mesh = SimMesh("air", self.conditions)
        self.mesh.watchers.append(self._see)

    def _see(self, happening: Happening) -> None:
        if isinstance(happening, Gone):
            self.gone[happening.node].append(happening.at)

    @asynccontextmanager
    async def node(self, home: str, number: int) -> AsyncGenerator[Node]:
        link = SimTransport(self.mesh, node=number)
        async with self.world.node(home, links={"lora": link}) as node:
            yield node


@pytest.fixture
def air(tmp_path: Path) -> Air:
    return Air(World(tmp_path))


def test_sent_is_told_when_the_last_frame_is_out(air: Air) -> None:
    async def main() -> None:
        async with air.node("a", A) as a:
            events = a.events()
            (id,) = await a.send(LONG)
            (sent,) = await until(events, State.SENT, id)
            at = sent.at - air.world.runtime.unix() + air.world.runtime.now()
            burst = [gone for gone in air.gone[A] if gone <= at]
            assert len(burst) >= 4  # parity included
            assert at - burst[-1] < 1.0
            assert not [gone for gone in air.gone[A] if at < gone < at + 1.0]

    run_virtual(main())


def test_a_second_long_note_goes_at_once_on_an_empty_channel(air: Air) -> None:
    async def main() -> None:
        async with air.node("b", B) as b, air.node("a", A) as a:
            events, draft = a.events(), Draft.text("x" * 580, to=f"~{b.origin:08x}")
            began = air.world.runtime.now()
            ids = [(await a.send(draft))[0] for _ in range(2)]
            told = await until(events, State.DELIVERED, *ids)
            assert [event.id for event in told] == ids
            assert air.world.runtime.now() - began < 17

    run_virtual(main())


def test_many_notes_leave_the_channel_to_others_for_most_of_the_time(air: Air) -> None:
    async def main() -> None:
        async with air.node("b", B) as b, air.node("a", A) as a:
            events, draft = a.events(), Draft.text("x" * 580, to=f"~{b.origin:08x}")
            ids = [(await a.send(draft))[0] for _ in range(12)]
            await until(events, State.DELIVERED, *ids)
            assert air.world.runtime.now() > 11 * 6.6 / 0.45

    run_virtual(main())
