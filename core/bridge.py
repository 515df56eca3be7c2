"""Which message goes on to which link, and why not. Sans-I/O.

The law of this module: a decision is made of values and a clock. What is known from before (where
a destination was heard, which way a message came that a receipt speaks of) is told to it; that it
goes on once only, ``transit`` sees to. ``docs/wire.md`` (Bridges) is the specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .envelope import MAX_HOPS
from .message import Kind, Message, origin_text

FRESH = 3600.0
"""Seconds for which a destination is looked for only where it was heard."""

LONGEST = 86_400.0
"""Seconds in which a rate can count: as long it is known what a leg let through."""

QUEUE = 5_000
"""Messages that may wait on a leg, unless its gate says otherwise."""


class Full(StrEnum):
    """What gives way when a leg's queue is full.

    WAIT slows the source down where that is possible and keeps nothing from another link that has
    room, and is OLDEST where it is not. Of several priorities the lowest gives way first.
    """

    WAIT = "wait"
    OLDEST = "oldest"
    NEWEST = "newest"
    LARGEST = "largest"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many messages in any such time, in seconds.

    Raises:
        ValueError: none at all, or in a time that is longer than what a bridge remembers.
    """

    messages: int
    seconds: float

    def __post_init__(self) -> None:
        if self.messages < 1 or not 0 < self.seconds <= LONGEST:
            raise ValueError("a rate is one message or more, in a day or less")


@dataclass(frozen=True, slots=True)
class Gate:
    """What may cross to a link, and how. None means that it does not matter, or has no limit.

    Args:
        link: the canonical key of the link that it leads to.
        name: what the user calls that link.
        sources: the keys of the links that it leads from.
        kinds: of message.
        codecs: ids, of voice.
        senders: origins, and display names (which anybody may give).
        size: bytes of a message, at most.
        public: strangers listen there: nothing crosses unless kinds, codecs or senders are named.
        rate: messages in a time.
        airtime: seconds on air in any hour, where the link has airtime.
        lifetime: seconds that a message may wait here, beside its own lifetime.
        priority: beside others that wait for the same link; those of this node have 0.
        queue: messages that may wait.
        full: what gives way when more come.
    """

    link: str
    name: str
    sources: frozenset[str]
    kinds: frozenset[Kind] | None = None
    codecs: frozenset[int] | None = None
    senders: frozenset[int | str] | None = None
    size: int | None = None
    public: bool = False
    rate: Rate | None = None
    airtime: float | None = None
    lifetime: float | None = None
    priority: int = 0
    queue: int = QUEUE
    full: Full = Full.WAIT

    @property
    def closed(self) -> bool:
        """Whether nothing crosses because strangers listen there and nothing is named."""
        return self.public and self.kinds is self.codecs is self.senders is None

    def why_not(self, message: Message, size: int) -> str | None:
        """Return why a message of ``size`` bytes may not cross, None if it may."""
        if self.closed:
            return "the link is public, and nothing is named that may cross"
        if self.kinds is not None and message.kind not in self.kinds:
            return f"{message.kind.name.lower()} is not named"
        voice = message.kind is Kind.VOICE
        if self.codecs is not None and voice and message.codec not in self.codecs:
            return f"codec {message.codec} is not named"
        if self.senders is not None and not self._named(message):
            return f"sender {origin_text(message.id.origin)} is not named"
        if self.size is not None and size > self.size:
            return f"{size} bytes, and at most {self.size} may cross"
        return None

    def _named(self, message: Message) -> bool:
        assert self.senders is not None
        return message.id.origin in self.senders or message.sender in self.senders


@dataclass(frozen=True, slots=True)
class Passing:
    """A message that came and may go on.

    Args:
        message: what it says.
        size: its bytes.
        source: the key of the link that it came by.
        hops: bridges it has passed.
        route: their origins, as far as they are known.
        at: when it came, Unix seconds.
        keeps: it came by a link that keeps what it carries, so its lifetime begins now.
    """

    message: Message
    size: int
    source: str
    hops: int
    at: float
    route: tuple[int, ...] = ()
    keeps: bool = False

    @property
    def expires_at(self) -> float:
        """When its lifetime ends, Unix seconds."""
        left = self.at + self.message.lifetime
        return left if self.keeps else self.message.expires_at(self.at)


@dataclass(frozen=True, slots=True)
class Sight:
    """When an origin was last heard on a link, Unix seconds; ``near``: no bridge between."""

    at: float
    near: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known from before that bears on a message.

    Args:
        heard: where its destination was heard, by the link's key.
        back: a receipt's: the key of the link by which the message came that it speaks of.
        spent: the links' keys onto which no more receipts of that message may go.
    """

    heard: Mapping[str, Sight] = field(default_factory=dict[str, Sight])
    back: str | None = None
    spent: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a message goes on to a link: ``why_not`` is None if it does."""

    gate: Gate
    why_not: str | None = None


class Router:
    """The rules of a node that is a bridge.

    Args:
        origin: the node's.
        gates: what may cross, in the user's order: of several to a link the first that lets a
            message pass counts.
        names: what the user calls each link, by its key.
    """

    def __init__(self, origin: int, gates: Sequence[Gate], names: Mapping[str, str]) -> None:
        self.gates = tuple(gates)
        self.names = dict(names)
        self._origin = origin

    def decide(self, passing: Passing, known: Known) -> list[Decision]:
        """Return a decision for each link that a message could go on to."""
        why_not = self._why_nowhere(passing)
        if known.back in self.names:
            return [self._back(passing, known, known.back, why_not)]
        to = self._whereabouts(passing, known)
        return [
            _through(gates, passing, why_not or _why_elsewhere(link, to, passing.source))
            for link, gates in self._legs(passing.source).items()
        ]

    def others(self, source: str) -> frozenset[str]:
        """Return the keys of the links to which anything at all crosses from a link."""
        legs = self._legs(source).items()
        return frozenset(link for link, gates in legs if not all(gate.closed for gate in gates))

    def gate_to(self, link: str) -> Gate:
        """Return the first gate to a link, or one that is open where there is none."""
        for gate in self.gates:
            if gate.link == link:
                return gate
        return Gate(link, self.names.get(link, link), frozenset())

    def _legs(self, source: str) -> dict[str, list[Gate]]:
        legs: dict[str, list[Gate]] = {}
        for gate in self.gates:
            if source in gate.sources and gate.link != source:
                legs.setdefault(gate.link, []).append(gate)
        return legs

    def _why_nowhere(self, passing: Passing) -> str | None:
        if passing.message.id.origin == self._origin:
            return "it is this bridge's own"
        if passing.hops >= MAX_HOPS:
            return f"it has passed {passing.hops} bridges, and more are not allowed"
        if self._origin in passing.route:
            return "it has passed this bridge before"
        if passing.expires_at <= passing.at:
            return "its lifetime has ended"
        return None

    def _back(self, passing: Passing, known: Known, link: str, why_not: str | None) -> Decision:
        """Decide on a receipt: it goes the way that its message came."""
        if link == passing.source:
            why_not = why_not or "it came by the link that it is for"
        elif link in known.spent:
            why_not = why_not or "one like it went back already, and airtime is dear there"
        return Decision(self.gate_to(link), why_not)

    def _whereabouts(self, passing: Passing, known: Known) -> frozenset[str] | None:
        """Return the links where a destination is, as far as known; None: it may be anywhere.

        Where only bridges spoke for it, it may be behind any of these links: in a ring it is heard
        on both sides.
        """
        if passing.message.destination is None:
            return None
        since, here = passing.at - FRESH, frozenset([passing.source])
        heard = frozenset(key for key, sight in known.heard.items() if sight.at > since)
        near = frozenset(key for key, sight in known.heard.items() if (sight.near or 0.0) > since)
        if near:
            return here if passing.source in near else near
        return (heard - here or heard) or None


def _through(gates: Sequence[Gate], passing: Passing, why_not: str | None) -> Decision:
    """Decide on one link: its first gate that lets the message pass counts."""
    decisions = [
        Decision(gate, why_not or gate.why_not(passing.message, passing.size)) for gate in gates
    ]
    return next((one for one in decisions if one.why_not is None), decisions[0])


def _why_elsewhere(link: str, to: frozenset[str] | None, source: str) -> str | None:
    if to is not None and source in to:
        return "the node that it is for is heard where it came from"
    if to is not None and link not in to:
        return "the node that it is for is heard elsewhere"
    return None
