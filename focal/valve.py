"""A valve behind a node's links: once it is shut, what still arrives stays with who has it.

The law of this module: what was taken before is untouched, and nothing is acknowledged that was
not taken. Links whose frames may be answers to ours stay open.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .core.link import Address, Limits, Link, LinkContext, Packet, Report, Transport


class Valve:
    """Open until it is shut."""

    def __init__(self) -> None:
        self.is_shut = False

    def shut(self) -> None:
        """Let nothing more through."""
        self.is_shut = True


@dataclass(frozen=True, slots=True)
class Valved:
    """A transport whose message links have a valve.

    Args:
        inner: the transport.
        key: its key for as long as this is used, though a device's may change when it is plugged
            in.
        valve: the valve.
    """

    inner: Transport
    key: str
    valve: Valve

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[Link]:
        async with self.inner.open(context) as link:
            yield _ValvedLink(link, self.valve) if link.limits.kind == "message" else link


@dataclass(frozen=True, slots=True)
class _ValvedLink:
    link: Link
    valve: Valve

    @property
    def limits(self) -> Limits:
        return self.link.limits

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        return await self.link.send(data, to=to)

    async def receive(self) -> Packet:
        packet = await self.link.receive()
        while self.valve.is_shut:  # it is not acknowledged, so it comes again when we are back
            packet = await self.link.receive()  # what nobody read would hold up answers to ours
        return packet

    def reports(self) -> AsyncIterator[Report]:
        return self.link.reports()

    async def aclose(self) -> None:
        await self.link.aclose()
