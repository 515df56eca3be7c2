"""UDP: one frame a datagram, ``udp://HOST:PORT?listen=PORT``.

The law of this module: a datagram may be lost, and that nobody listens over there is no reason to
close; only our own socket's end ends the link.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeAlias, cast
from urllib.parse import SplitResult

from ..core.errors import LinkClosed, LinkLost, PacketTooBig, TransportUnavailable
from ..core.link import (
    Address,
    Down,
    Limits,
    LinkContext,
    Packet,
    Refused,
    Report,
    TransportSpec,
    Up,
)
from ..core.mailbox import Mailbox
from ..core.runtime import Runtime
from ..core.url import Options, authority, written
from ..plugins import hookimpl

SIZE = 1200
"""Bytes of one datagram: passes every network of IPv6 without being cut."""
HELD = 4096
"""Datagrams that wait for a reader; then the oldest go."""
REST = 5.0
"""Seconds after a refusal until the link is thought to carry again."""

_HOW = "udp://HOST:PORT?listen=PORT&bind=ADDRESS"
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h and linux/in6.h; Python has no names for them

SockAddr: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class UdpLink(asyncio.DatagramProtocol):
    """An open UDP link: one socket, or two where everyone in hearing shares one port."""

    def __init__(self, far: SockAddr, runtime: Runtime, *, shared: bool = False) -> None:
        self.limits = Limits("datagram", SIZE, shared=shared)
        self._far = far
        self._runtime = runtime
        self._inbox: Mailbox[Packet] = Mailbox(HELD)
        self._reports: Mailbox[Report] = Mailbox()
        self._tickets = 0
        self._free = asyncio.Event()
        self._free.set()
        self._ours: SockAddr | None = None
        self._rest: asyncio.Task[None] | None = None
        self._sockets: list[socket.socket] = []
        self._transports: list[asyncio.DatagramTransport] = []

    async def attach(self, sock: socket.socket) -> None:
        """Receive from a socket that is bound; the first one attached also sends."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        self._sockets.append(sock)
        self._transports.append(transport)
        if self._ours is None and self.limits.shared:
            self._ours = sock.getsockname()  # on a shared port we hear ourselves

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        self._inbox.check()
        if len(data) > SIZE:
            raise PacketTooBig(len(data), SIZE)
        await self._runtime.sleep(0)  # so that who floods does not starve who reads
        await self._free.wait()
        self._inbox.check()
        self._tickets += 1
        try:
            there = self._far if to is None else self._resolve(to)
        except ValueError as error:
            self._reports.put(Refused(self._tickets, str(error)))
        else:
            self._transports[0].sendto(data, there)
        return self._tickets

    async def receive(self) -> Packet:
        return await self._inbox.get()

    def reports(self) -> AsyncIterator[Report]:
        return aiter(self._reports)

    async def aclose(self) -> None:
        self._end(LinkClosed("this UDP link is closed"))
        if self._rest is not None:
            self._rest.cancel()
            await asyncio.gather(self._rest, return_exceptions=True)
        for transport in self._transports:
            transport.close()
        await asyncio.sleep(0)  # the event loop closes the sockets one step later
        for transport in self._transports:
            transport.abort()  # whatever it still could not send
        await asyncio.sleep(0)

    # what asyncio calls

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if addr == self._ours or len(data) > SIZE:  # longer ones are nobody's frames
            return
        self._inbox.put(Packet(data, text_of(addr)))
        self._up()

    def error_received(self, exc: Exception) -> None:
        whom = [addr for sock in self._sockets for addr in _refusals(sock)]
        if not whom or any(addr[:2] == self._far[:2] for addr in whom):
            self._down(exc)

    def pause_writing(self) -> None:
        self._free.clear()

    def resume_writing(self) -> None:
        self._free.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(LinkLost(f"the UDP socket broke: {exc or 'closed from outside'}"))

    def _end(self, error: LinkLost | LinkClosed) -> None:
        self._inbox.fail(error)
        self._reports.fail(error)
        self._free.set()  # who waits to send finds the end

    def _down(self, error: Exception) -> None:
        if self._rest is None:
            self._reports.put(Down(f"{text_of(self._far)}: {_reason(error)}"))
            self._rest = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        await self._runtime.sleep(REST)
        self._up()

    def _up(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
            self._reports.put(Up())

    def _resolve(self, to: Address) -> SockAddr:
        there = sockaddr_of(to)
        if len(there) != len(self._far):
            raise ValueError(f"{to} is not of the same IP version as {text_of(self._far)}")
        return there


@dataclass(frozen=True, slots=True)
class UdpTransport:
    """Settings of a UDP link.

    Args:
        host: name or address of the far end, or of a multicast or broadcast group.
        port: its port.
        listen: our own port; None takes any free one, or a group's own.
        bind: our own address, or for a group that of the interface; None is all.
    """

    host: str
    port: int
    listen: int | None = None
    bind: str | None = None

    @classmethod
    def from_url(cls, url: SplitResult) -> UdpTransport:
        """Read ``udp://HOST:PORT?listen=PORT&bind=ADDRESS``.

        Raises:
            ValueError: it is written otherwise.
        """
        with written(_HOW):
            if url.path not in ("", "/") or url.username is not None:
                raise ValueError("a UDP link has host and port, and no path")
            host, port = authority(url)
            options = Options(url, "listen", "bind")
            listen = options.integer("listen", None, least=1, most=65535)
            return cls(host.replace("%25", "%"), port, listen, options.text("bind", None))

    @property
    def key(self) -> str:
        here = _bracketed(self.bind) if self.bind else "*"
        return f"udp:{here}:{self.listen or 0}->{_bracketed(self.host)}:{self.port}"

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[UdpLink]:
        far, here = await context.runtime.run_blocking(self._look_up)
        group = _is_group(far)
        link = UdpLink(far, context.runtime, shared=group)
        try:
            for sock in self._group_sockets(far, here) if group else (_bound(here),):
                await link.attach(sock)
            yield link
        finally:
            await link.aclose()

    def _look_up(self) -> tuple[SockAddr, SockAddr]:
        """Return where to send and where to listen; asks the name service, so it blocks."""
        if self.bind is None:
            far = _look_up(self.host, self.port)
            return far, _sockaddr("0.0.0.0" if len(far) == 2 else "::", self.listen or 0)
        here = _look_up(self.bind, self.listen or 0)
        return _look_up(self.host, self.port, like=here), here

    def _group_sockets(self, far: SockAddr, here: SockAddr) -> Iterator[socket.socket]:
        """Open the two sockets of a group's member.

        All members on one machine hear the group's one port, so each sends from a port of its
        own: by that one it knows its own packets, and by that one others answer it alone.
        """
        source = here if self.bind else _source(far)
        sending = _bound(_with_port(source, 0))
        with _closed_on_error(sending):
            _send_to_group(sending, source)
        yield sending
        hearing = _bound(_with_port(far, self.listen or far[1]), reuse=True)
        with _closed_on_error(hearing):
            _join(hearing, far, source)
        yield hearing


def text_of(addr: SockAddr) -> Address:
    """Write a socket address as people do: ``10.0.0.1:5000``, ``[fe80::1%2]:5000``."""
    if len(addr) == 2:
        return f"{addr[0]}:{addr[1]}"
    zone = f"%{addr[3]}" if addr[3] and "%" not in addr[0] else ""
    return f"[{addr[0]}{zone}]:{addr[1]}"


def sockaddr_of(text: Address) -> SockAddr:
    """Read what ``text_of`` writes; never asks a name service.

    Raises:
        ValueError: it is something else.
    """
    host, _, port = text.rpartition(":")
    try:
        ip = ip_address(host.removeprefix("[").removesuffix("]"))
        if 0 < int(port) < 65536:
            return _sockaddr(str(ip), int(port))
    except (ValueError, OSError):  # the latter for an interface that is not there
        pass
    raise ValueError(f"{text} is no address of a UDP link: one is 10.0.0.1:5000 or [::1]:5000")


def _sockaddr(host: str, port: int) -> SockAddr:
    """Return the socket address of a numeric host."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    info = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=flags)
    return cast("SockAddr", info[0][4])


def _with_port(addr: SockAddr, port: int) -> SockAddr:
    return (addr[0], port) if len(addr) == 2 else (addr[0], port, addr[2], addr[3])


def _look_up(host: str, port: int, like: SockAddr | None = None) -> SockAddr:
    """Find a host: by IPv4 if it has both kinds of address, else as ``like``."""
    family = socket.AF_UNSPEC if like is None else _family(like)
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
        raise TransportUnavailable(
            f"no host {host!r} was found: check the name and the network ({_reason(error)})"
        ) from error
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return cast("SockAddr", found[0][4])


def _family(addr: SockAddr) -> socket.AddressFamily:
    return socket.AF_INET if len(addr) == 2 else socket.AF_INET6


def _bound(here: SockAddr, *, reuse: bool = False) -> socket.socket:
    """Return a socket that listens at ``here``."""
    sock = socket.socket(_family(here), socket.SOCK_DGRAM)
    with _closed_on_error(sock):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _ask_for_refusals(sock)
        try:
            sock.bind(here)
        except OSError as error:
            raise TransportUnavailable(_blame(here, error)) from error
    return sock


def _blame(here: SockAddr, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"UDP port {here[1]} is in use by another program, or by another focal: "
                "end that one, or choose another listen=PORT"
            )
        case errno.EADDRNOTAVAIL:
            return f"this machine has no address {here[0]}: bind= takes one of its own"
        case errno.EACCES:
            return f"UDP port {here[1]} needs more rights: choose a listen=PORT above 1023"
        case _:
            return f"cannot listen at {text_of(here)}: {error.strerror}"


def _is_group(far: SockAddr) -> bool:
    """Tell whether an address is that of many: multicast, or any network's broadcast."""
    if ip_address(far[0]).is_multicast:
        return True
    with socket.socket(_family(far), socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(far)  # sends nothing
        except PermissionError:  # how the system says: broadcast, and you have not asked for it
            return True
        except OSError:  # no route now: told when something is sent
            return False
    return False


def _source(far: SockAddr) -> SockAddr:
    """Return the address of ours from which packets to ``far`` go out."""
    with socket.socket(_family(far), socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            probe.connect(far)  # sends nothing
        except OSError as error:
            raise TransportUnavailable(
                f"no network interface leads to {far[0]}: name one by bind=ADDRESS"
            ) from error
        return cast("SockAddr", probe.getsockname())


def _send_to_group(sock: socket.socket, source: SockAddr) -> None:
    if len(source) == 2:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source[0]))
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, source[3])


def _join(sock: socket.socket, far: SockAddr, source: SockAddr) -> None:
    """Ask the system for a multicast group's packets; a broadcast's come unasked."""
    ip = ip_address(far[0])
    if not ip.is_multicast:
        return
    try:
        if len(far) == 2:
            member = ip.packed + socket.inet_aton(source[0])
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        else:
            member = ip.packed + struct.pack("@I", far[3])
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    except OSError as error:
        raise TransportUnavailable(f"cannot join the group {far[0]}: {error.strerror}") from error


def _ask_for_refusals(sock: socket.socket) -> None:
    """Have Linux tell what came back for our datagrams (nobody listens there, no route)."""
    if sys.platform == "linux":
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)


def _refusals(sock: socket.socket) -> Iterator[SockAddr]:
    """Yield the destinations that errors are about, and so empty the socket's queue of them.

    It must be emptied: while anything is in it, the event loop finds the socket ready.
    """
    while sys.platform == "linux":
        try:
            yield cast("SockAddr", sock.recvmsg(0, 0, socket.MSG_ERRQUEUE)[3])
        except OSError:  # the queue is empty, or the socket closed
            return


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    return getattr(error, "strerror", None) or str(error)


def _bracketed(host: str) -> str:
    """Return a host in its one spelling, IPv6 in brackets."""
    try:
        ip = ip_address(host)
    except ValueError:
        return host.lower()
    return f"[{ip}]" if ip.version == 6 else str(ip)


@contextmanager
def _closed_on_error(sock: socket.socket) -> Generator[None]:
    """Close a socket if what is inside fails."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


@hookimpl
def focal_transports() -> list[TransportSpec]:
    return [
        TransportSpec(
            "udp",
            "one frame a datagram, IPv4 or IPv6",
            UdpTransport.from_url,
            settings=UdpTransport,
            limits=Limits("datagram", SIZE),
        )
    ]
