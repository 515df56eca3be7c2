"""The simulated mesh keeps the contract, through the link that real nodes have too."""

from __future__ import annotations

from typing import cast

from focal.core.link import Link, Transport
from focal.core.runtime import virtual_runtime
from focal.testing import FAR, NEAR, TransportContract
from focal.transports.lora.link import LoraOptions
from focal.transports.lora.sim import Conditions, SimLink, SimMesh, SimTransport


class TestOnAChannel(TransportContract):
    virtual = True
    patience = 50_000.0
    many = 100
    flood = 1200
    held = 1100
    conditions = Conditions(region="US")
    options = LoraOptions()

    def pair(self) -> tuple[Transport, Transport]:
        self.mesh = SimMesh("air", self.conditions)
        near = SimTransport(self.mesh, self.options, node=NEAR)
        return near, SimTransport(self.mesh, self.options, node=FAR)

    def dead(self) -> Transport:
        self.mesh.join(1, virtual_runtime())
        return SimTransport(self.mesh, node=1)

    async def kill(self, link: Link) -> None:
        self.mesh.cut(cast(SimLink, link).radio.info.number)


class TestToOneNodeAlone(TestOnAChannel):
    options = LoraOptions(direct="all")


class TestSlowly(TestOnAChannel):
    conditions = Conditions(region="US", preset="LONG_SLOW")
    many = 30
