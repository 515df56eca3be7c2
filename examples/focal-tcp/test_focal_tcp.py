from focal_tcp import TcpTransport

from focal.core.link import Transport
from focal.testing import TransportContract, free_ports


class TestTcp(TransportContract):
    def pair(self) -> tuple[Transport, Transport]:
        a, b = free_ports(2)
        near = TcpTransport("127.0.0.1", b, listen=a, bind="127.0.0.1")
        return near, TcpTransport("127.0.0.1", a, listen=b, bind="127.0.0.1")

    def dead(self) -> Transport:
        return TcpTransport("127.0.0.1", 5000, listen=5001, bind="192.0.2.1")  # nobody's address
