"""A node whose disk takes its time: what happens between a commit's beginning and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from focal.core.carrier import WINDOW
from focal.core.draft import Draft
from focal.core.events import State
from focal.core.message import Kind, MessageId, origin_text
from focal.core.runtime import run_virtual, virtual_runtime
from focal.transports.memory import Mesh

from .world import World, until

T = TypeVar("T")
COMMIT = 0.01


def slow_world(folder: Path) -> World:
    """Return a world where every commit takes 10 ms of virtual time."""
    runtime = virtual_runtime()

    async def run_blocking(work: Callable[[], T], /) -> T:
        await runtime.sleep(COMMIT)
        return work()

    return World(folder, replace(runtime, run_blocking=run_blocking))


def test_what_is_confirmed_is_not_sent_again_before_that_is_committed(tmp_path: Path) -> None:
    async def main() -> None:
        mesh, world, ids = Mesh("air"), slow_world(tmp_path), list[MessageId]()
        async with world.node("a", mesh) as a, world.node("b", mesh):
            told = a.events()
            for _ in range(200):
                ids += await a.send(Draft(Kind.DATA, (bytes(50),)))
            await until(told, State.DELIVERED, *ids)
        with world.spool("a") as spool:
            told_of = {tuple(event.state for event in spool.outbox.events(id)) for id in ids}
        assert told_of == {(State.ON_AIR, State.SENT, State.DELIVERED)}

    run_virtual(main(), debug=False)


def test_messages_on_their_way_at_once_wait_for_the_disk_together(tmp_path: Path) -> None:
    async def main() -> float:
        mesh, world = Mesh("air"), slow_world(tmp_path)
        async with world.node("a", mesh) as a, world.node("b", mesh) as b:
            told, began = a.events(), world.runtime.now()
            draft = Draft(Kind.DATA, (bytes(50),), to=origin_text(b.origin))
            sent = (a.send(draft) for _ in range(10 * WINDOW))
            ids = [id for [id] in await asyncio.gather(*sent)]
            await until(told, State.DELIVERED, *ids)
            return world.runtime.now() - began

    assert run_virtual(main(), debug=False) < 10 * 10 * COMMIT
