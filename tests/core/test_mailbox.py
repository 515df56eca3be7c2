"""A mailbox hands out what was put before its end, and then tells the end to everyone."""

from __future__ import annotations

import asyncio

import pytest

from focal.core.errors import LinkClosed, LinkLost, TransportError
from focal.core.mailbox import Mailbox
from focal.core.runtime import Deadlock, run_virtual


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_items_come_out_in_the_order_they_were_put() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        for item in range(3):
            box.put(item)
        assert len(box) == 3
        assert [await box.get() for _ in range(3)] == [0, 1, 2]

    run_virtual(main())


def test_get_waits_for_an_item() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        waiting = asyncio.ensure_future(box.get())
        await settle()
        assert not waiting.done()
        box.put(7)
        assert await waiting == 7

    run_virtual(main())


def test_waiters_are_served_in_the_order_of_their_coming() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        waiting = [asyncio.ensure_future(box.get()) for _ in range(3)]
        await settle()
        for item in range(3):
            box.put(item)
        assert await asyncio.gather(*waiting) == [0, 1, 2]

    run_virtual(main())


@pytest.mark.parametrize("put_first", [True, False])
def test_a_cancelled_get_takes_nothing(put_first: bool) -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        waiting = asyncio.ensure_future(box.get())
        await settle()
        if put_first:
            box.put(1)  # wakes the waiter, which is cancelled before it runs
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not put_first:
            box.put(1)
        assert waiting.cancelled()
        assert await box.get() == 1

    run_virtual(main())


def test_a_cancelled_get_hands_its_turn_to_the_next() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        first, second = (asyncio.ensure_future(box.get()) for _ in range(2))
        await settle()
        box.put(1)
        first.cancel()
        assert await second == 1

    run_virtual(main())


def test_the_end_comes_after_what_was_put() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        box.put(1)
        box.fail(LinkLost("unplugged"))
        box.put(2)
        assert await box.get() == 1
        for _ in range(2):
            with pytest.raises(LinkLost, match="unplugged"):
                await box.get()

    run_virtual(main())


def test_the_end_wakes_everyone() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        waiting = [asyncio.ensure_future(box.get()) for _ in range(3)]
        await settle()
        box.fail(LinkClosed("closed"))
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(end) for end in ends] == [LinkClosed] * 3

    run_virtual(main())


def test_only_the_first_end_counts() -> None:
    box: Mailbox[int] = Mailbox()
    box.check()
    box.fail(LinkLost("first"))
    box.fail(LinkClosed("second"))
    with pytest.raises(TransportError, match="first"):
        box.check()


def test_a_full_mailbox_drops_the_oldest_and_counts_it() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox(limit=2)
        for item in range(5):
            box.put(item)
        assert (len(box), box.dropped) == (2, 3)
        assert [await box.get(), await box.get()] == [3, 4]

    run_virtual(main())


def test_iterating_stops_at_the_end() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        reading = asyncio.ensure_future(collect(box))
        box.put(1)
        await settle()
        box.put(2)
        box.fail(LinkLost("unplugged"))
        assert await reading == [1, 2]
        assert await collect(box) == []

    run_virtual(main())


async def collect(box: Mailbox[int]) -> list[int]:
    return [item async for item in box]


def test_an_error_told_often_does_not_grow() -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        box.fail(LinkLost("unplugged"))
        depths: list[int] = []
        for _ in range(3):
            with pytest.raises(LinkLost) as caught:
                await box.get()
            depths.append(len(caught.traceback))
        assert len(set(depths)) == 1, "each raise left its traceback on the one error"

    run_virtual(main())


def test_waiting_for_nobody_is_found_in_virtual_time() -> None:
    box: Mailbox[int] = Mailbox()
    with pytest.raises(Deadlock):
        run_virtual(box.get())
