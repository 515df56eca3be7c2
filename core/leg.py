"""A leg: one message on its way over one link.

The law of this module: it is a picture of the outbox at one moment; only the outbox changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .changed import Mark
from .events import State
from .link import Address
from .message import Kind, Message, MessageId


@dataclass(frozen=True, slots=True)
class LegSpec:
    """A link that shall carry a message.

    Args:
        link: its canonical key (``Transport.key``).
        name: what the user calls it.
        to: whom on that link, in its own spelling; None is everyone, or whoever the message's
            destination is.
        parity: the most frames of parity that go up front; None: as many as the loss asks for.
        priority: on this link, higher goes first; None: the message's.
        after: it is not sent before then, Unix seconds.
        expires_at: when its lifetime ends on this link, where that is earlier than the message's.
    """

    link: str
    name: str
    to: Address | None = None
    parity: int | None = None
    priority: int | None = None
    after: float = 0.0
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """How a message came that is passed on; none of this is ours to change.

    Args:
        link: the canonical key of the link that it came by.
        hops: what it goes on with: one more than it came with.
        route: the bridges that it passed, ours the last one.
        extra: keys of its envelope that we do not know.
    """

    link: str
    hops: int
    route: tuple[int, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict[str, object])


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
        origin: how it came, where it is not ours and passed on.
        agreed: the user wants it sent though others use the channel much.
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
    origin: Origin | None = None
    agreed: bool = False

    @property
    def hops(self) -> int:
        """Bridges it has passed, ours included."""
        return self.origin.hops if self.origin else 0


def new_leg(
    message: Message, data: bytes, spec: LegSpec, at: float, expires_at: float, origin: Origin
) -> Leg:
    """Return the leg that ``Outbox.put`` has just made of these, as it stands there."""
    due = expires_at if spec.expires_at is None else min(expires_at, spec.expires_at)
    return Leg(
        id=message.id,
        message=data,
        kind=message.kind,
        link=spec.link,
        name=spec.name,
        to=spec.to,
        state=State.QUEUED,
        attempts=0,
        next_index=0,
        queued_at=at,
        expires_at=due,
        priority=spec.priority or 0,
        reason=None,
        until=None,
        sent=False,
        done=False,
        wants_destination=False,
        parity=spec.parity,
        origin=origin,
    )


@dataclass(frozen=True, slots=True)
class Weight:
    """What a leg that waits weighs, without its bytes.

    Args:
        id: the message's.
        length: bytes of the message.
        head: its first bytes, in which its destination stands.
        to: whom on that link the sender asked for, in its spelling.
        priority: higher goes first.
        queued_at: Unix seconds.
        expires_at: when its lifetime ends; infinity where it does not.
        after: it is not sent before then, Unix seconds.
        begun: its burst went out before, and some of it may have arrived.
        agreed: the user wants it sent though others use the channel much.
        wants_destination: its destination is not known yet, so it must not go out.
        parity: the most frames of parity that go up front; None: as many as the loss asks for.
    """

    id: MessageId
    length: int
    head: bytes = field(repr=False)
    to: Address | None
    priority: int
    queued_at: float
    expires_at: float
    after: float
    begun: bool
    agreed: bool
    wants_destination: bool
    parity: int | None


@dataclass(frozen=True, slots=True)
class Weights:
    """What waits on a link, or what of that has changed.

    Args:
        mark: for the next look.
        whole: this is all that waits; else only what changed since the last look.
        waiting: what weighs how much, in sending order where it is all.
        gone: what changed and waits no more.
    """

    mark: Mark
    whole: bool
    waiting: tuple[Weight, ...]
    gone: tuple[MessageId, ...] = ()
