"""What a conversation gives: frames to send, and what frames and timers have brought about.

Values only; ``peer`` makes them, a node acts on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from ..link import Address
from .assemble import Complete
from .frame import Poll, Verdict


@dataclass(frozen=True, slots=True)
class Out:
    """A frame to send.

    Args:
        data: the packed frame.
        to: the address; None is everyone in hearing.
        tag: the message it belongs to.
        control: it is a control frame: small, and it goes first.
        flight: it belongs to a message of ours on its way.
    """

    data: bytes = field(repr=False)
    to: Address | None
    tag: int
    control: bool
    flight: bool


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message is whole: commit it, then call ``committed`` (unless it is not for us)."""

    complete: Complete


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The far end has the message with this tag. ``by`` is the origin that says so."""

    tag: int
    by: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class GaveUp:
    """Nobody answered for the message with this tag, however often we polled."""

    tag: int


@dataclass(frozen=True, slots=True)
class Met:
    """An origin spoke, and this is its address on this link."""

    origin: int
    peer: Address


@dataclass(frozen=True, slots=True)
class Greeted:
    """An origin answered our hello with this nonce."""

    nonce: int
    origin: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody polls for a message that we do not hold: was it committed before?

    Answer with ``committed`` if it was, with ``lacking`` if not.
    """

    poll: Poll
    peer: Address | None


Effect: TypeAlias = Arrived | Confirmed | GaveUp | Met | Greeted | Asked
