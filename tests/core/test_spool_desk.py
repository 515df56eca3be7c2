"""The desk: many tasks, one transaction at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from focal.core.desk import Desk
from focal.core.errors import SpoolError
from focal.core.runtime import Runtime, real_runtime, run_virtual, virtual_runtime
from focal.core.spool import Spool
from tests.core.spooling import HILL, Clock, message, put

T = TypeVar("T")


@pytest.fixture
def spool(tmp_path: Path) -> Generator[Spool]:
    with Spool.open(tmp_path / "spool.db", durability="process", unix=Clock()) as spool:
        yield spool


class Gate:
    """A runtime whose blocking work waits until it is let through; it counts what came."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.came = 0
        self.marks: list[str] = []
        self.runtime: Runtime = replace(
            virtual_runtime(), run_blocking=self._run, mark=self.marks.append
        )

    async def _run(self, work: Callable[[], T], /) -> T:
        self.came += 1
        await self.open.wait()
        return work()


def test_everybody_is_answered_and_what_failed_is_told(spool: Spool) -> None:
    async def main() -> None:
        desk = Desk(spool, virtual_runtime())
        jobs = [desk.do(partial(put, spool, message(n))) for n in range(20)]
        lost = desk.do(lambda: spool.outbox.drop(message(99).id))
        *ids, error = await asyncio.gather(*jobs, lost, return_exceptions=True)
        assert ids == [message(n).id for n in range(20)]
        assert isinstance(error, SpoolError)
        await desk.aclose()

    run_virtual(main())
    assert len(spool.outbox.waiting(HILL.link)) == 20


def test_what_comes_while_a_commit_runs_goes_into_the_next_one(spool: Spool) -> None:
    async def main() -> None:
        gate = Gate()
        desk = Desk(spool, gate.runtime, batch=5)
        first = asyncio.create_task(desk.do(lambda: put(spool, message(0))))
        await asyncio.sleep(1)
        rest = [asyncio.create_task(desk.do(partial(put, spool, message(n)))) for n in range(1, 8)]
        await asyncio.sleep(1)
        assert gate.came == 1
        gate.open.set()
        await asyncio.gather(first, *rest)
        assert gate.came == 3  # 1, 5 and 2 ops
        assert gate.marks == ["spool-committed"] * 3

    run_virtual(main())


def test_a_caller_that_goes_away_before_its_turn_does_nothing(spool: Spool) -> None:
    async def main() -> None:
        gate = Gate()
        desk = Desk(spool, gate.runtime)
        running, *waiting = [
            asyncio.create_task(desk.do(partial(put, spool, message(n)))) for n in range(4)
        ]
        await asyncio.sleep(1)
        late = asyncio.create_task(desk.do(lambda: put(spool, message(9))))
        await asyncio.sleep(1)
        for task in (running, late):
            task.cancel()
        gate.open.set()
        assert await asyncio.gather(*waiting) == [message(n).id for n in (1, 2, 3)]
        await desk.aclose()
        assert running.cancelled() and late.cancelled()

    run_virtual(main())
    # The one whose commit was under way is done wholly, the one still queued not at all.
    assert [leg.id.sequence for leg in spool.outbox.legs()] == [0, 1, 2, 3]


def test_what_is_to_follow_a_commit_does_though_its_caller_went_away(spool: Spool) -> None:
    async def main() -> None:
        gate, told = Gate(), list[object]()
        desk = Desk(spool, gate.runtime)

        def ask(n: int) -> asyncio.Task[object]:
            work = desk.do(partial(put, spool, message(n)), told.append)
            return asyncio.create_task(work)

        running, failing = ask(1), asyncio.create_task(desk.do(_fail, told.append))
        await asyncio.sleep(0.1)
        late = ask(2)
        await asyncio.sleep(0.1)
        for task in (running, late):
            task.cancel()
        gate.open.set()
        await asyncio.wait([running, failing, late])
        await desk.aclose()
        assert isinstance(failing.exception(), SpoolError)
        assert told == [message(1).id], "what was never done has nothing to follow"

    run_virtual(main())


def _fail() -> None:
    raise SpoolError("no")


def test_closing_waits_for_what_is_queued_and_takes_no_more(spool: Spool) -> None:
    async def main() -> None:
        gate = Gate()
        desk = Desk(spool, gate.runtime, batch=1)
        tasks = [asyncio.create_task(desk.do(partial(put, spool, message(n)))) for n in range(3)]
        await asyncio.sleep(1)
        gate.open.set()
        await desk.aclose()
        await asyncio.wait(tasks)
        assert all(task.exception() is None for task in tasks)
        with pytest.raises(SpoolError, match="closed"):
            await desk.do(spool.outbox.legs)
        await desk.aclose()

    run_virtual(main())
    assert len(spool.outbox.legs()) == 3


def test_a_failed_commit_is_told_to_everybody(spool: Spool) -> None:
    async def main() -> None:
        desk = Desk(spool, virtual_runtime())
        pages = spool.database.rows("PRAGMA page_count")[0][0]
        spool.database.rows(f"PRAGMA max_page_count = {pages}")
        jobs = [desk.do(partial(put, spool, message(n, "x" * 9000))) for n in range(3)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [str(result).endswith("try again") for result in results] == [True] * 3

    run_virtual(main())
    assert spool.outbox.legs() == []


def test_an_end_of_the_loop_leaves_nobody_waiting(spool: Spool) -> None:
    tasks: list[asyncio.Task[object]] = []

    async def main() -> None:
        desk = Desk(spool, Gate().runtime)
        tasks.extend(asyncio.create_task(desk.do(lambda: 1)) for _ in range(3))
        await asyncio.sleep(1)

    run_virtual(main())
    assert all(task.cancelled() for task in tasks)


def test_it_works_with_real_threads(spool: Spool) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(3) as executor:
            desk = Desk(spool, real_runtime(executor))
            jobs = [desk.do(partial(put, spool, message(n))) for n in range(200)]
            await asyncio.gather(*jobs)
            assert len(await desk.do(spool.outbox.legs)) == 200
            await desk.aclose()

    asyncio.run(main())
