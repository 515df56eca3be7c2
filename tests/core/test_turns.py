"""The sinks' turns: what is told of a message when some of its sinks had it before a crash."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from focal.core.draft import Draft
from focal.core.ports import Delivery
from focal.core.runtime import run_virtual

from .world import Shelf, World, lossy, received


class PulledOut(Exception):
    """The end of the process, as a sink can bring it about."""


def die(delivery: Delivery) -> None:
    raise PulledOut


def test_a_message_is_told_of_when_the_last_sink_had_it_with_the_first_ones_file(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        world, mesh = World(tmp_path), lossy()
        before = [Shelf("shelf:1"), Shelf("shelf:2", refuse=die)]
        after = [Shelf("shelf:1"), Shelf("shelf:2")]
        async with world.node("a", mesh) as a:
            with pytest.raises(BaseExceptionGroup):
                async with world.node("b", mesh, sinks=before):
                    await a.send(Draft.text("once"))
                    await asyncio.sleep(60)
            assert len(before[0].taken) == 1
            async with world.node("b", mesh, sinks=after) as b:
                [event] = await received(b.events(), 1)
        assert event.file == f"{event.message.id}.shelf:1"
        assert [len(shelf.taken) for shelf in after] == [0, 1]

    run_virtual(main())


def test_of_several_files_the_first_sinks_is_told(tmp_path: Path) -> None:
    class Slow(Shelf):
        async def accept(self, delivery: Delivery, /) -> str | None:
            await asyncio.sleep(1)
            return await super().accept(delivery)

    async def main() -> None:
        world, mesh = World(tmp_path), lossy()
        sinks = [Slow("shelf:slow"), Shelf("shelf:quick")]
        async with world.node("a", mesh) as a, world.node("b", mesh, sinks=sinks) as b:
            at_b = b.events()
            await a.send(Draft.text("hello"))
            [event] = await received(at_b, 1)
        assert event.file == f"{event.message.id}.shelf:slow"

    run_virtual(main())
