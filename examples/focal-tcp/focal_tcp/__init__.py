"""TCP for focal: each frame with its length before it, ``tcp://HOST:PORT?listen=PORT``.

The law of this module: each end speaks on a connection that it makes and hears on those made to
it. What cannot go out now is lost: a datagram link may lose, and focal sends it again.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter, Task
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import SplitResult

from focal.core.errors import LinkClosed, PacketTooBig, TransportUnavailable
from focal.core.link import Address, Down, Limits, LinkContext, Packet, Report, TransportSpec, Up
from focal.core.mailbox import Mailbox
from focal.core.url import Options, authority, written
from focal.plugins import hookimpl

SIZE = 1200
"""Bytes of the longest frame."""

Streams: TypeAlias = tuple[StreamReader, StreamWriter]


class TcpLink:
    """An open link; it has one far end, whoever ``to`` names."""

    limits = Limits("datagram", SIZE)

    def __init__(self, host: str, port: int) -> None:
        self._far = host, port
        self._inbox: Mailbox[Packet] = Mailbox()
        self._reports: Mailbox[Report] = Mailbox()
        self._tickets = 0
        self._trouble: str | None = None
        self._dialled: Task[Streams] | None = None
        self._heard: set[Task[None]] = set()

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        self._inbox.check()
        if len(data) > SIZE:
            raise PacketTooBig(len(data), SIZE)
        self._tickets += 1
        ticket, trouble = self._tickets, None
        try:
            writer = await self._connection()
            writer.write(len(data).to_bytes(2, "big") + data)
            await writer.drain()  # while the far end takes no more, whoever sends waits
        except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
            trouble = f"{self._far[0]}:{self._far[1]} is not reached: {error}"
        self._inbox.check()  # somebody may have closed us meanwhile
        if trouble != self._trouble:
            self._trouble = trouble
            self._reports.put(Down(trouble) if trouble else Up())
        return ticket

    async def receive(self) -> Packet:
        return await self._inbox.get()

    def reports(self) -> AsyncIterator[Report]:
        return aiter(self._reports)

    async def aclose(self) -> None:
        closed = LinkClosed("this TCP link is closed")
        self._inbox.fail(closed)
        self._reports.fail(closed)
        tasks: list[Task[Any]] = [*self._heard, *([self._dialled] if self._dialled else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if writer := _whole(self._dialled):
            writer.transport.abort()

    def hear(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Take in what comes over a connection that was made to us."""
        task = asyncio.create_task(self._hear(reader))
        self._heard.add(task)
        task.add_done_callback(lambda _: writer.close())  # also if it is cancelled before it begins
        task.add_done_callback(self._heard.discard)

    async def _hear(self, reader: StreamReader) -> None:
        with suppress(OSError, EOFError):
            while 0 < (size := int.from_bytes(await reader.readexactly(2), "big")) <= SIZE:
                self._inbox.put(Packet(await reader.readexactly(size)))

    async def _connection(self) -> StreamWriter:
        """Return the connection to the far end: the last one, or a new one if that has ended."""
        if writer := _whole(self._dialled):
            return writer
        if self._dialled is None or self._dialled.done():
            self._dialled = asyncio.create_task(asyncio.open_connection(*self._far))
        dialled = self._dialled
        await asyncio.wait([dialled])  # and not cancelled with us: others may wait for it too
        self._inbox.check()
        return dialled.result()[1]


def _whole(dialled: Task[Streams] | None) -> StreamWriter | None:
    """Return the connection that was made, if it was and has not ended."""
    if dialled is None or not dialled.done() or dialled.cancelled() or dialled.exception():
        return None
    reader, writer = dialled.result()
    if reader.at_eof():  # all that the far end ever says on it
        writer.close()
    return None if writer.is_closing() else writer


@dataclass(frozen=True, slots=True)
class TcpTransport:
    """Settings of a TCP link.

    Args:
        host: name or address of the far end.
        port: its port.
        listen: our own port; if it is not said, that of the far end.
        bind: our own address; None is all.
    """

    host: str
    port: int
    listen: int
    bind: str | None = None

    @classmethod
    def from_url(cls, url: SplitResult) -> TcpTransport:
        with written("tcp://HOST:PORT?listen=PORT&bind=ADDRESS"):
            host, port = authority(url)
            options = Options(url, "listen", "bind")
            listen = options.integer("listen", port, least=1, most=65535)
            return cls(host, port, listen, options.text("bind", None))

    @property
    def key(self) -> str:
        return f"tcp:{self.bind or '*'}:{self.listen}->{self.host}:{self.port}"

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[TcpLink]:
        link = TcpLink(self.host, self.port)
        try:
            server = await asyncio.start_server(
                link.hear, self.bind, self.listen, start_serving=False
            )
        except OSError as error:
            raise TransportUnavailable(f"TCP port {self.listen}: {error.strerror}") from error
        async with server:
            try:
                await server.start_serving()
                yield link
            finally:
                await link.aclose()


@hookimpl
def focal_transports() -> list[TransportSpec]:
    make, about = TcpTransport.from_url, "frames over TCP, between two hosts"
    return [TransportSpec("tcp", about, make, settings=TcpTransport, limits=TcpLink.limits)]
