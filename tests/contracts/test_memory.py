"""The reference link keeps the contract, in each of its forms."""

from __future__ import annotations

from typing import cast

from focal.core.link import Link, Transport
from focal.core.runtime import virtual_runtime
from focal.testing import TransportContract
from focal.transports.memory import Conditions, MemoryLink, MemoryTransport, Mesh


class TestFrames(TransportContract):
    virtual = True
    conditions = Conditions()

    def pair(self) -> tuple[Transport, Transport]:
        self.mesh = Mesh("air", self.conditions)
        return MemoryTransport(self.mesh, node="a"), MemoryTransport(self.mesh, node="b")

    def dead(self) -> Transport:
        self.mesh.join("taken", virtual_runtime())
        return MemoryTransport(self.mesh, node="taken")

    async def kill(self, link: Link) -> None:
        self.mesh.cut(cast(MemoryLink, link).address)


class TestSlowFrames(TestFrames):
    conditions = Conditions(bandwidth=100.0, delay=0.2)
    patience = 10_000.0
    many = 300
    flood = 300


class TestOneWay(TestFrames):
    replies = False
    conditions = Conditions(replies=False)


class TestMessages(TestFrames):
    kind = "message"
    conditions = Conditions(kind="message")


class TestMessagesWithHistory(TestFrames):
    kind = "message"
    conditions = Conditions(kind="message", delay=0.1, history=3)
    many = 300
    patience = 1000.0
