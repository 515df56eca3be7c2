"""A leg: one message on its way over one link.

The law of this module: it is a picture of the outbox at one moment; only the outbox changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .events import State
from .link import Address
from .message import Kind, MessageId


@dataclass(frozen=True, slots=True)
class LegSpec:
    """A link that shall carry a message.

    Args:
        link: its canonical key (``Transport.key``).
        name: what the user calls it.
        to: whom on that link, in its own spelling; None is everyone, or whoever the message's
            destination is.
        parity: the most frames of parity that go up front; None: as many as the loss asks for.
    """

    link: str
    name: str
    to: Address | None = None
    parity: int | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """A message on its way over one link.

    Args:
        id: the message's.
        message: its bytes.
        kind: what it is.
        link: the link's canonical key.
        name: what the user calls the link.
        to: whom on that link the sender asked for, in its spelling.
        state: how far it is.
        attempts: bursts begun since it was queued or retried.
        next_index: the symbol that the next burst begins with.
        queued_at: Unix seconds.
        expires_at: when its lifetime ends; infinity where it does not.
        priority: higher goes first.
        reason: why it waits, was refused, or is unknown.
        until: until when it waits, Unix seconds, where that is known.
        sent: some of it went out, now or before a retry.
        done: nothing more is to be done for it.
        wants_destination: its destination is not known yet, so it must not go out.
        parity: the most frames of parity that go up front; None: as many as the loss asks for.
    """

    id: MessageId
    message: bytes = field(repr=False)
    kind: Kind
    link: str
    name: str
    to: Address | None
    state: State
    attempts: int
    next_index: int
    queued_at: float
    expires_at: float
    priority: int
    reason: str | None
    until: float | None
    sent: bool
    done: bool
    wants_destination: bool
    parity: int | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """What a leg that waits weighs, without its bytes.

    Args:
        id: the message's.
        length: bytes of the message.
        head: its first bytes, in which its destination stands.
        priority: higher goes first.
        queued_at: Unix seconds.
        expires_at: when its lifetime ends; infinity where it does not.
        begun: its burst went out before, and some of it may have arrived.
        parity: the most frames of parity that go up front; None: as many as the loss asks for.
    """

    id: MessageId
    length: int
    head: bytes = field(repr=False)
    priority: int
    queued_at: float
    expires_at: float
    begun: bool
    parity: int | None = None
