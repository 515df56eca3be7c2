"""What a message link brings: safe is acknowledged, what is not for us is let go."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from focal.core.envelope import Envelope
from focal.core.link import Address, Limits, LinkContext, Packet, Report
from focal.core.mailbox import Mailbox
from focal.core.message import Kind, Message, MessageId
from focal.core.runtime import run_virtual
from tests.core.world import World

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
