"""What ``focal bridge`` tells beside events: what may cross, what was decided, what opens.

The law of this module: values alone, by the names that people use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from .core.bridge import Gate
from .core.message import MessageId, origin_text
from .settings import rate_text

S = TypeVar("S")
T = TypeVar("T", int, str)


@dataclass(frozen=True, slots=True)
class Crossing:
    """What may cross to a link, by the names that people use; None: anything, or no limit.

    Args:
        from_: the links that it comes from.
        to: the link that it goes to.
        public: strangers listen there.
        closed: nothing crosses, because of that.
        kinds: of message.
        codecs: their numbers.
        senders: origins and display names.
        size: bytes of a message.
        rate: messages in a time, as ``20/h``.
        airtime: seconds on air in any hour.
        lifetime: seconds that a message may wait.
        priority: beside others.
        queue: messages that may wait.
        full: what gives way when more come.
    """

    from_: tuple[str, ...]
    to: str
    public: bool
    closed: bool
    kinds: tuple[str, ...] | None
    codecs: tuple[int, ...] | None
    senders: tuple[str, ...] | None
    size: int | None
    rate: str | None
    airtime: float | None
    lifetime: float | None
    priority: int
    queue: int
    full: str

    @classmethod
    def of(cls, gate: Gate, names: Mapping[str, str]) -> Crossing:
        """Return what a gate lets through; ``names`` are those of links, by their keys."""
        return cls(
            from_=tuple(name for key, name in names.items() if key in gate.sources),
            to=gate.name,
            public=gate.public,
            closed=gate.closed,
            kinds=_sorted(gate.kinds, lambda kind: kind.name.lower()),
            codecs=_sorted(gate.codecs, int),
            senders=_sorted(gate.senders, _sender_text),
            size=gate.size,
            rate=None if gate.rate is None else rate_text(gate.rate),
            airtime=gate.airtime,
            lifetime=gate.lifetime,
            priority=gate.priority,
            queue=gate.queue,
            full=gate.full.value,
        )


def _sorted(given: frozenset[S] | None, shown: Callable[[S], T]) -> tuple[T, ...] | None:
    return None if given is None else tuple(sorted(map(shown, given)))


def _sender_text(sender: int | str) -> str:
    return sender if isinstance(sender, str) else origin_text(sender)


@dataclass(frozen=True, slots=True)
class Tried:
    """A link of a bridge, tried once.

    Args:
        link: its name.
        public: strangers listen there.
        open: whether it opened.
        reason: why it did not.
    """

    link: str
    public: bool
    open: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a bridge decided on a message.

    Args:
        id: the message.
        link: the link's name: where it came from, or where it would go.
        said: what was decided.
        at: Unix seconds.
    """

    id: MessageId
    link: str
    said: str
    at: float
