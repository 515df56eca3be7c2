"""UDP keeps the contract, over real sockets on the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from focal.core.link import Transport
from focal.testing import TransportContract
from focal.transports.udp import UdpTransport


class TestIPv4(TransportContract):
    host = "127.0.0.1"
    family = socket.AF_INET

    def around(self) -> AbstractAsyncContextManager[object]:
        return self._ports()

    @asynccontextmanager
    async def _ports(self) -> AsyncGenerator[None]:
        """Find two free ports, and hold a third for ``dead``."""
        socks = [socket.socket(self.family, socket.SOCK_DGRAM) for _ in range(3)]
        for sock in socks:
            sock.bind((self.host, 0))
        self.a, self.b, self.taken = (sock.getsockname()[1] for sock in socks)
        socks[0].close()
        socks[1].close()
        with socks[2]:
            yield

    def pair(self) -> tuple[Transport, Transport]:
        near = UdpTransport(self.host, self.b, listen=self.a, bind=self.host)
        return near, UdpTransport(self.host, self.a, listen=self.b, bind=self.host)

    def dead(self) -> Transport:
        return UdpTransport(self.host, 9, listen=self.taken, bind=self.host)


class TestIPv6(TestIPv4):
    host = "::1"
    family = socket.AF_INET6


class TestBroadcast(TestIPv4):
    """Two members of one group on one machine, sharing one port."""

    group = "127.255.255.255"

    def pair(self) -> tuple[Transport, Transport]:
        member = UdpTransport(self.group, self.a, bind=self.host)
        return member, member


class TestMulticast(TestBroadcast):
    group = "239.255.77.1"
