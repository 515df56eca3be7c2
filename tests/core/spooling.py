"""What the tests of the spool share: a clock that is set by hand, and messages by number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from focal.core.inbox import InboxBounds
from focal.core.leg import LegSpec
from focal.core.message import Kind, Message, MessageId
from focal.core.outbox import OutboxBounds
from focal.core.spool import Spool

EPOCH = 1_800_000_000.0
HILL = LegSpec("lora:/dev/ttyUSB0", "hill")
ROOM = LegSpec("mqtt:localhost/lobby", "room", "anna")


@dataclass
class Clock:
    """A wall clock that stands still until it is set."""

    now: float = EPOCH

    def __call__(self) -> float:
        return self.now


def message(
    sequence: int, text: str = "hello", *, origin: int = 7, lifetime: int = 3600
) -> Message:
    """Return a text message, sent at ``EPOCH``."""
    return Message(
        MessageId(origin, sequence),
        Kind.TEXT,
        text.encode(),
        sent_at=int(EPOCH),
        lifetime=lifetime,
    )


def put(
    spool: Spool, one: Message, *legs: LegSpec, expires_in: float = 3600.0, priority: int = 0
) -> MessageId:
    """Put a message into the outbox, for ``HILL`` if no leg is given; return its id."""
    spool.outbox.put(
        one.to_bytes(),
        legs or (HILL,),
        kind=one.kind,
        expires_at=EPOCH + expires_in,
        priority=priority,
    )
    return one.id


def small(path: Path, clock: Clock) -> Spool:
    """Open a spool that is full soon."""
    return Spool.open(
        path,
        durability="process",
        unix=clock,
        outbox=OutboxBounds(messages=3, size=400, history=2, events=4, all_events=10),
        inbox=InboxBounds(messages=3, size=400, dropped=2, seen=6, seen_of_origin=4),
        peers=3,
    )
