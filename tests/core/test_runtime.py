"""Virtual time jumps, in order; real time passes; blocking work stays off the loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from focal.core.runtime import (
    Cancelled,
    Deadlock,
    Runtime,
    check_cancelled,
    real_runtime,
    run_virtual,
    virtual_runtime,
)
from tests.deadline import Deadline


def test_a_day_passes_at_once() -> None:
    async def main() -> float:
        runtime = virtual_runtime()
        before = runtime.now()
        await runtime.sleep(86_400.0)
        return runtime.now() - before

    assert round(run_virtual(main()), 6) == 86_400.0


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    woken: list[float] = []

    async def sleeper(runtime: Runtime, seconds: float) -> None:
        await runtime.sleep(seconds)
        woken.append(seconds)

    async def main() -> None:
        runtime = virtual_runtime()
        await asyncio.gather(*(sleeper(runtime, s) for s in (3.0, 1.0, 2.0, 0.0)))

    run_virtual(main())
    assert woken == [0.0, 1.0, 2.0, 3.0]


def test_timeouts_are_virtual_too() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()

    run_virtual(main())


def test_unix_time_goes_with_virtual_time() -> None:
    async def main() -> list[float]:
        runtime = virtual_runtime(epoch=1000.0)
        first = runtime.unix()
        await runtime.sleep(5.0)
        return [first, runtime.unix()]

    assert [round(seconds, 6) for seconds in run_virtual(main())] == [1000.0, 1005.0]


def test_each_run_begins_at_zero() -> None:
    async def main() -> float:
        runtime = virtual_runtime()
        await runtime.sleep(1.0)
        return runtime.now()

    assert run_virtual(main()) == run_virtual(main())


def test_a_deadlock_is_told() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run_virtual(main())


def test_virtual_blocking_work_runs_inline() -> None:
    async def main() -> int:
        return await virtual_runtime().run_blocking(threading.get_ident)

    assert run_virtual(main()) == threading.get_ident()


def test_real_blocking_work_runs_in_the_executor() -> None:
    async def main(runtime: Runtime) -> int:
        return await runtime.run_blocking(threading.get_ident)

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(main(real_runtime(executor))) != threading.get_ident()


def test_errors_of_blocking_work_come_back() -> None:
    def work() -> int:
        raise ZeroDivisionError

    async def main(runtime: Runtime) -> None:
        with pytest.raises(ZeroDivisionError):
            await runtime.run_blocking(work)

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main(real_runtime(executor)))
    run_virtual(main(virtual_runtime()))


def test_marks_reach_who_watches() -> None:
    seen: list[str] = []
    with ThreadPoolExecutor(1) as executor:
        real_runtime(executor, seen.append).mark("outbox-committed")
        real_runtime(executor).mark("nobody watches")
    virtual_runtime().mark("nobody watches")
    assert seen == ["outbox-committed"]


def test_work_that_nobody_waits_for_any_more_ends_where_it_looks() -> None:
    begun, looks, deadline = threading.Event(), list[str](), Deadline()

    def work() -> None:
        begun.set()
        try:
            deadline.until("it was told", check_cancelled)
        except Cancelled:
            looks.append("told")
            raise

    async def main() -> None:
        with ThreadPoolExecutor(1) as executor:
            runtime = real_runtime(executor)
            waiting = asyncio.ensure_future(runtime.run_blocking(work))
            await asyncio.to_thread(begun.wait)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await runtime.run_blocking(check_cancelled)  # the next one is still wanted

    asyncio.run(main())
    assert looks == ["told"]


def test_outside_of_such_work_nothing_is_cancelled() -> None:
    async def main() -> None:
        await virtual_runtime().run_blocking(check_cancelled)

    check_cancelled()
    run_virtual(main())
