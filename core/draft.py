"""What is to be said, before it is a message; and what it costs.

The law of this module: pure functions from drafts and limits to messages, frames and bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .envelope import Envelope
from .framing.frame import SYMBOL_HEAD, WHOLE_HEAD
from .framing.pace import parity_to_all, parity_to_peer
from .framing.split import MAX_DATAGRAM, Cut, cut_for, redundancy
from .link import Address, Limits
from .message import (
    MAX_NAME,
    MAX_PAYLOAD,
    Kind,
    Message,
    MessageId,
    Series,
    Speech,
    lifetime_for,
)

LIFETIME = 86_400.0
"""Seconds that a message lives where nothing else is asked for."""

HEAD = 27 + 1 + MAX_NAME
"""The most bytes a message has beside its payload: head, series, sender name and check."""

CONFIRM = 12
"""Bytes of the frame that confirms a message."""

BLIND_LOSS = 0.1
BLIND_TARGET = 0.99
"""Where nothing comes back, so much is sent that at this loss this share of messages arrives."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Something to say.

    Args:
        kind: voice, text or data.
        parts: the payloads; more than one make a series of messages.
        codec: of voice.
        to: an origin (``~1a2b3c4d``), a known name or a link's address; None is everyone.
        lifetime: seconds; rounded up to what the wire has, 7 days at most.
        priority: higher goes first.
        parity: the most frames of parity that go up front; None: as many as the link's loss asks
            for.
    """

    kind: Kind
    parts: tuple[bytes, ...] = field(repr=False)
    codec: int = 0
    to: str | None = None
    lifetime: float = LIFETIME
    priority: int = 0
    parity: int | None = None

    @classmethod
    def text(cls, text: str, *, to: str | None = None, lifetime: float = LIFETIME) -> Draft:
        """Say a text."""
        return cls(Kind.TEXT, (text.encode(),), to=to, lifetime=lifetime)

    @classmethod
    def voice(
        cls, speech: Sequence[Speech], *, to: str | None = None, lifetime: float = LIFETIME
    ) -> Draft:
        """Say what was encoded; more than one piece make a series."""
        parts = tuple(piece.payload for piece in speech)
        return cls(Kind.VOICE, parts, speech[0].codec, to=to, lifetime=lifetime)


def messages_of(
    draft: Draft,
    ids: Sequence[MessageId],
    *,
    sent_at: float,
    clock_trusted: bool = True,
    destination: int | None = None,
    sender: str | None = None,
) -> list[Message]:
    """Return the messages of a draft, one for each part and id."""
    count = len(draft.parts)
    return [
        Message(
            id,
            draft.kind,
            part,
            draft.codec,
            int(sent_at),
            lifetime_for(draft.lifetime),
            destination,
            sender,
            Series(index, count) if count > 1 else None,
            clock_trusted,
        )
        for index, (id, part) in enumerate(zip(ids, draft.parts, strict=True))
    ]


def room(limits: Sequence[Limits]) -> int:
    """Return the most bytes of payload that a message may have to go on all of these links."""
    most = MAX_PAYLOAD
    for limit in limits:
        if limit.kind == "datagram":
            most = min(most, MAX_DATAGRAM - HEAD, 127 * (limit.mtu(None) - 8) - HEAD)
        else:
            most = min(most, limit.mtu(None) - HEAD - 512)  # 512: the envelope and a long route
    return max(0, most)


@dataclass(frozen=True, slots=True)
class Price:
    """What a message costs on a link, the first burst of it.

    Args:
        frames: packets, those of parity included.
        packet_bytes: bytes of those packets, without what the link adds to them.
        airtime: seconds that they hold the channel, None where that is free.
        parity: how many of the frames are promised beyond what the message takes.
        confirmed: ``airtime`` and that of one confirmation: what it comes to if nothing is lost;
            None where airtime is free or nothing comes back.
    """

    frames: int
    packet_bytes: int
    airtime: float | None
    parity: int = 0
    confirmed: float | None = None


def blind_parity(k: int, loss: float) -> int:
    """Return the frames of parity that are promised where nothing comes back."""
    return redundancy(k, max(loss, BLIND_LOSS), BLIND_TARGET)


def price(
    message: bytes,
    limits: Limits,
    *,
    to: Address | None = None,
    to_all: bool,
    parity: int | None = None,
) -> Price:
    """Return what sending a message costs on a link, if nothing is lost; see ``price_of``."""
    return price_of(len(message), limits, to=to, to_all=to_all, parity=parity)


def price_of(
    length: int,
    limits: Limits,
    *,
    to: Address | None = None,
    to_all: bool,
    parity: int | None = None,
) -> Price:
    """Return what sending a message of ``length`` bytes costs on a link, if nothing is lost.

    Args:
        length: bytes of the message.
        limits: of the link.
        to: whom on it; None is everyone.
        to_all: whether the message is for everyone.
        parity: the most frames of parity; None: as many as the loss that is reckoned with asks for.

    Raises:
        TooLong: the link cannot carry it.
    """
    if limits.kind == "message":
        frames, extra, size = 1, 0, len(Envelope(bytes(length)).to_bytes())
    else:
        cut = cut_for(length, limits.mtu(to))
        extra = planned_parity(cut.k, limits, to_all=to_all)
        extra = extra if parity is None else min(extra, parity)
        frames, size = cut.k + extra, padded_size(frame_size(length, cut), limits, to)
    each = limits.airtime(size, to)
    if each is None:
        return Price(frames, frames * size, None, extra)
    answer = limits.airtime(padded_size(CONFIRM, limits, to), to) if limits.replies else None
    confirmed = None if answer is None else frames * each + answer
    return Price(frames, frames * size, frames * each, extra, confirmed)


def planned_parity(k: int, limits: Limits, *, to_all: bool) -> int:
    """Return the frames of parity of a first burst, before any loss was measured."""
    if not limits.replies:
        return blind_parity(k, BLIND_LOSS)
    loss = assumed_loss(limits)
    return parity_to_all(loss) if to_all else parity_to_peer(k, loss)


def frame_size(length: int, cut: Cut) -> int:
    """Return the bytes of each frame of a message of ``length`` bytes."""
    return length + WHOLE_HEAD if cut.k == 1 else cut.size + SYMBOL_HEAD


def burst_airtime(length: int, limits: Limits, to: Address | None, extra: int) -> float:
    """Return the seconds that the burst of a message holds the channel, ``extra`` parity included.

    Args:
        length: bytes of the message.

    Raises:
        TooLong: the link cannot carry it.
    """
    cut = cut_for(length, limits.mtu(to))
    size = padded_size(frame_size(length, cut), limits, to)
    return (cut.k + extra) * (limits.airtime(size, to) or 0.0)


def assumed_loss(limits: Limits) -> float:
    """Return the loss that is reckoned with before any was measured."""
    return BLIND_LOSS if limits.dear else 0.0


def padded_size(size: int, limits: Limits, to: Address | None) -> int:
    """Return the length, at least ``size``, that costs the least airtime (design: padding)."""
    least = limits.airtime(size, to)
    if least is None or limits.kind == "message":
        return size
    best = size
    for longer in range(size + 1, min(limits.mtu(to), size + 255) + 1):
        cost = limits.airtime(longer, to)
        if cost is not None and cost < least:
            best, least = longer, cost
    return best
