"""What checks of links are made of: contexts, packets, and small acts like ``pass_on``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ..core.envelope import Envelope
from ..core.link import (
    Accepted,
    Address,
    Heard,
    Link,
    LinkContext,
    Packet,
    Refused,
    Report,
    Transport,
)
from ..core.message import MAX_PAYLOAD, Kind, Message, MessageId
from ..core.runtime import Runtime, virtual_runtime

NEAR = 0x0A0A0A0A
"""The origin of the node that a contract calls near; it sends."""
FAR = 0x0B0B0B0B
"""The origin of the node that a contract calls far; it receives, and answers where it can."""


def context(
    runtime: Runtime | None = None,
    *,
    origin: int = NEAR,
    name: str | None = None,
    folder: Path | None = None,
) -> LinkContext:
    """Return what a link is opened with: in virtual time, and without a folder yet."""
    private = folder or Path(tempfile.gettempdir(), f"focal-testing-{os.getpid()}-{origin:08x}")
    return LinkContext(origin, name, private, runtime or virtual_runtime())


def envelope_of(n: int, seed: int, author: int = NEAR) -> bytes:
    """Return an envelope of ``n`` bytes (the least there is, where that is more).

    In it is a data message by ``author`` whose sequence is ``seed``.
    """
    inside = max(0, n - 60)
    payload = Random(f"{seed} {n}").randbytes(min(inside, MAX_PAYLOAD))
    message = Message(MessageId(author, seed), Kind.DATA, payload).to_bytes()
    fill = bytes(inside - len(payload))
    extra: dict[str, object] = {"fill": fill} if fill else {}
    short = n - len(Envelope(message, extra=extra).to_bytes())
    if short > 2:  # a key and a value more: so many bytes exactly
        extra["x" * (short - 2)] = None
    return Envelope(message, extra=extra).to_bytes()


@dataclass(frozen=True, slots=True)
class World:
    """Two transports that are not open yet, and what each is opened with."""

    near: Transport
    far: Transport
    here: LinkContext
    there: LinkContext


async def pass_on(
    near: Link, far: Link, data: bytes, *, to: Address | None = None, ack: bool = False
) -> Packet:
    """Send a packet and receive it: the next one that is no history, and the same bytes."""
    await near.send(data, to=to)
    while (packet := await far.receive()).replayed:
        pass
    assert packet.data == data, f"sent {data!r}, received {packet.data!r}"
    if ack:
        packet.ack()
    return packet


async def send_all(link: Link, packets: list[bytes]) -> list[int]:
    """Send packets one after the other and return their tickets."""
    return [await link.send(data) for data in packets]


async def received(link: Link, count: int) -> list[bytes]:
    """Return the bytes of the next ``count`` packets."""
    return [(await link.receive()).data for _ in range(count)]


async def gathered(link: Link) -> list[Report]:
    """Return all reports of a link, once it has ended."""
    return [report async for report in link.reports()]


async def verdict(reports: AsyncIterator[Report]) -> Report:
    """Return the next report that is about something sent, not about the link or its members."""
    while not isinstance(report := await anext(reports), Accepted | Heard | Refused):
        pass
    return report


async def heard_out(link: Link) -> None:
    """Read the reports of a link and forget them, until it has ended."""
    async for _ in link.reports():
        pass
