"""A sender whose links do not open gives up after a while, and what it said stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from focal.core.errors import FocalError
from focal.core.events import LinkState, Progress
from focal.core.message import MessageId
from focal.core.runtime import run_virtual
from focal.sending import OPENING, while_open
from focal.serving import Doors

ID = MessageId(1, 2)


async def nothing(seconds: float) -> AsyncIterator[Progress | None]:
    """Look for events as long as this, and find none."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while clock() < until:
        yield None
        await asyncio.sleep(0.1)


async def follow(doors: Doors, seconds: float) -> None:
    async for _ in while_open(nothing(seconds), doors, [ID]):
        pass


def doors() -> Doors:
    """Return doors that nobody has to learn from: no link of theirs opens."""
    return Doors(cast(Any, None), cast(Any, None), lambda line: None)


def test_it_says_why_and_where_the_message_is() -> None:
    async def main() -> float:
        shut, clock = doors(), asyncio.get_running_loop().time
        shut.saw(LinkState("mqtt", False, 0.0, "nobody listens"))
        began = clock()
        with pytest.raises(FocalError, match=rf"nobody listens; message {ID} stays in the outbox"):
            await follow(shut, 10 * OPENING)
        return clock() - began

    assert OPENING <= run_virtual(main()) < OPENING + 1


def test_it_goes_on_while_nothing_was_tried() -> None:
    run_virtual(follow(doors(), 2 * OPENING))
