"""LoRa keeps the contract: the meshtastic library talks to nodes on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from focal.core.link import Link, Transport
from focal.testing import FAR, NEAR, TransportContract
from focal.transports.lora.link import LoraLink, LoraOptions
from focal.transports.lora.transport import LoraTransport, Tcp
from tests.transports.lora.node import Ether, Node, over_tcp


class TestOnAChannel(TransportContract):
    many = 200
    flood = 1500
    held = 1100
    options = LoraOptions()
    keys = False

    def around(self) -> AbstractAsyncContextManager[object]:
        return self._nodes()

    @asynccontextmanager
    async def _nodes(self) -> AsyncGenerator[None]:
        ether = Ether()
        self.nodes = [Node(number, ether, keys=self.keys) for number in (NEAR, FAR)]
        near, far = self.nodes
        async with over_tcp(near) as self.near_port, over_tcp(far) as self.far_port:
            yield

    def pair(self) -> tuple[Transport, Transport]:
        near, far = (Tcp("127.0.0.1", port) for port in (self.near_port, self.far_port))
        return LoraTransport(near, self.options), LoraTransport(far, self.options)

    def dead(self) -> Transport:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return LoraTransport(Tcp("127.0.0.1", sock.getsockname()[1]))

    async def kill(self, link: Link) -> None:
        assert isinstance(link, LoraLink)
        (node,) = (node for node in self.nodes if node.number == link.radio.info.number)
        node.disconnect()


class TestToOneNodeAlone(TestOnAChannel):
    """Whatever is for one node is encrypted for it."""

    options = LoraOptions(direct="all")
    keys = True
