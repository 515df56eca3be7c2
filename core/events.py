"""What a node tells of itself: one frozen value for each thing that happens.

The law of this module: what the command line prints as JSON (docs/events.md) is made of these
and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from .link import Address
from .message import Message, MessageId


class State(StrEnum):
    """What becomes of a message on its way out (design: events of a message)."""

    QUEUED = "queued"
    ON_AIR = "on-air"
    SENT = "sent"
    HEARD = "heard"
    DELIVERED = "delivered"
    PLAYED = "played"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """Whether the message leaves the outbox with it."""
        return self in (State.REFUSED, State.EXPIRED, State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Progress:
    """A message of ours got further, or did not.

    Args:
        state: how far it is.
        id: the message.
        link: the link's name; None where no link is concerned.
        by: the origin that said so; None for ourselves.
        at: Unix seconds.
        reason: why it waits, was refused, or is unknown.
        until: Unix seconds until which it waits, where that is known.
        ask: it waits out of courtesy, and the user may decide otherwise (``Outbox.agree``).
    """

    state: State
    id: MessageId
    link: str | None
    by: int | None
    at: float
    reason: str | None = None
    until: float | None = None
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A message of somebody's is safe in the inbox and went through the sinks.

    ``file`` is the first file a sink wrote; ``problem`` says why it could not be decoded.
    """

    message: Message
    quality: str | None
    seconds: float
    link: str
    peer: Address | None
    at: float
    file: str | None = None
    problem: str | None = None
    twin: int = 0


@dataclass(frozen=True, slots=True)
class LinkState:
    """A link opened, broke or recovered."""

    link: str
    up: bool
    at: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something failed that stops nothing else: a sink, a plugin, bytes that are not ours."""

    where: str
    what: str
    at: float


@dataclass(frozen=True, slots=True)
class Passed:
    """A message of somebody's came that was not known, to a node that is a bridge.

    Args:
        message: as it was received.
        size: its bytes.
        link: the name of the link that brought it.
        peer: who it came from, as that link spells it.
        at: Unix seconds.
        to: the names of the links that it goes on to.
        kept_back: why it does not go on to others, by their names.
    """

    message: Message
    size: int
    link: str
    peer: Address | None
    at: float
    to: tuple[str, ...]
    kept_back: Mapping[str, str]


NodeEvent: TypeAlias = Progress | Received | Passed | LinkState | Trouble
