"""What a message link brings and takes: acknowledged when safe, sent again until confirmed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from focal.core.draft import Draft
from focal.core.envelope import Envelope
from focal.core.events import State
from focal.core.link import Accepted, Address, Forgot, Limits, LinkContext, Packet, Report
from focal.core.mailbox import Mailbox
from focal.core.message import Kind, Message, MessageId, origin_text
from focal.core.runtime import run_virtual
from focal.transports.memory import Conditions, Mesh
from tests.core.world import World, received, until

AUTHOR = 0x1234


def envelope(sequence: int, destination: int | None) -> bytes:
    message = Message(
        MessageId(AUTHOR, sequence), Kind.TEXT, b"hello", lifetime=3600, destination=destination
    )
    return Envelope(message.to_bytes()).to_bytes()


@dataclass
class Letterbox:
    """A message link that brings what it is given, and keeps what became of each."""

    key: str = "letterbox"
    limits: Limits = field(default_factory=lambda: Limits("message", 65_535))
    inbox: Mailbox[Packet] = field(default_factory=Mailbox[Packet])
    told: Mailbox[Report] = field(default_factory=Mailbox[Report])
    fates: dict[str, str] = field(default_factory=dict[str, str])

    def bring(self, name: str, data: bytes) -> None:
        done = partial(self.fates.__setitem__, name)
        self.inbox.put(Packet(data, ack=partial(done, "safe"), skip=partial(done, "let go")))

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Letterbox]:
        yield self

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return 1

    async def receive(self) -> Packet:
        return await self.inbox.get()

    def reports(self) -> AsyncIterator[Report]:
        return aiter(self.told)

    async def aclose(self) -> None:
        pass


def test_what_is_safe_is_acknowledged_and_what_is_not_for_us_let_go(tmp_path: Path) -> None:
    world, box = World(tmp_path), Letterbox()

    async def main() -> None:
        async with world.node("a", links={"box": box}) as node:
            box.bring("for all", envelope(1, None))
            box.bring("for us", envelope(2, node.origin))
            box.bring("for another", envelope(3, node.origin ^ 1))
            box.bring("garbage", b"\x81\xa1xyz")
            await world.runtime.sleep(5)

    run_virtual(main())
    assert box.fates == {
        "for all": "safe", "for us": "safe", "for another": "let go", "garbage": "let go",
    }  # fmt: skip


@dataclass
class Forgetful(Letterbox):
    """A letterbox that accepts whatever is sent, and keeps when that was; nobody has it."""

    now: Callable[[], float] = float
    sent: list[float] = field(default_factory=list[float])

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        self.sent.append(round(self.now(), 1))
        self.told.put(Accepted(len(self.sent)))
        return len(self.sent)


def sent_to(who: str | None, tmp_path: Path, lifetime: float, forgot_at: float = 0) -> list[float]:
    """Return when something was sent, in seconds from the first time, and how it ended."""
    world = World(tmp_path)
    box = Forgetful(now=world.runtime.now)

    async def main() -> None:
        async with world.node("a", links={"box": box}) as node:
            await node.send(Draft.text("hello", to=who, lifetime=lifetime))
            if forgot_at:
                await world.runtime.sleep(forgot_at)
                box.told.put(Forgot())
            await world.runtime.sleep(2 * lifetime)

    run_virtual(main())
    with world.spool("a") as spool:
        assert spool.outbox.legs() == []
    return [at - box.sent[0] for at in box.sent]


def test_what_nobody_confirms_is_sent_again_less_and_less_often(tmp_path: Path) -> None:
    sent = sent_to("~00001234", tmp_path, 600)
    assert sent == pytest.approx([0, 30, 90, 210, 450], abs=2)


def test_what_is_for_everyone_is_sent_once(tmp_path: Path) -> None:
    assert sent_to(None, tmp_path, 600, forgot_at=5) == [0]


def test_what_may_be_lost_is_sent_again_soon(tmp_path: Path) -> None:
    sent = sent_to("~00001234", tmp_path, 600, forgot_at=100)
    assert sent == pytest.approx([0, 30, 90, 103, 133, 193, 313, 553], abs=2)


def test_what_waits_to_be_sent_again_is_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    box = Forgetful(now=world.runtime.now)

    async def main() -> None:
        async with world.node("a", links={"box": box}) as node:
            await node.send(Draft.text("hello", to="~00001234"))
            await world.runtime.sleep(10)
        async with world.node("a", links={"box": box}):
            await world.runtime.sleep(60)

    run_virtual(main())
    assert [at - box.sent[0] for at in box.sent] == pytest.approx([0, 30], abs=1)


def test_who_asks_again_is_told_again_until_the_receipt_has_come(tmp_path: Path) -> None:
    world, room = World(tmp_path), Mesh("room", Conditions(kind="message"))
    told: list[bytes] = []

    def lose_receipts(data: bytes, sender: Address, receiver: Address) -> bytes | None:
        message = Message.from_bytes(Envelope.from_bytes(data).message)
        if message.kind is Kind.RECEIPT:
            told.append(data)
        return None if message.kind is Kind.RECEIPT and len(told) <= 2 else data

    async def main() -> None:
        room.filter = lose_receipts
        async with world.node("a", room) as a, world.node("b", room) as b:
            ours, theirs = a.events(), b.events()
            [id] = await a.send(Draft.text("hello", to=origin_text(b.origin)))
            await received(theirs, 1)
            [delivered] = await until(ours, State.DELIVERED, id)
            assert delivered.by == b.origin
            await world.runtime.sleep(600)
        with world.spool("b") as spool:
            assert [entry.id for entry in spool.inbox.entries()] == [id]
            assert spool.outbox.legs() == []

    run_virtual(main())
    assert len(told) == 3 and len(set(told)) == 1, "it is the same receipt each time"
