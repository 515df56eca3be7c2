"""What a run of a scenario comes to: messages, latencies, airtime. Sans-I/O.

The law of this module: it is told what happened, in order of time, and counts; it decides nothing.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from ..core.events import Progress, State
from ..core.hour import HOUR, Sent
from ..core.message import MessageId
from ..results import Lab, Station
from ..transports.lora.channel import Gone, Happening, Missed
from ..transports.lora.link import address_of
from .scenario import Node, Scenario


@dataclass(slots=True)
class _Air:
    """What a node did on the air, and what it missed there."""

    sent: list[Sent] = field(default_factory=lambda: [])
    collided: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Message:
    """What is known of a message: whose it is, when it was queued, what became of it."""

    sender: int
    at: float
    state: State | None = None
    confirmed: float | None = None
    latencies: list[float] = field(default_factory=lambda: [])


@dataclass(frozen=True, slots=True)
class Course:
    """How much a node had sent in the hour before, over the time of a run.

    Args:
        name: what the scenario calls it.
        points: times in seconds, each with the seconds of air of the hour before it.
    """

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a message.

    Args:
        at: when it was queued, in seconds.
        latencies: seconds until it was in an inbox, of each that it came into.
    """

    at: float
    latencies: Sequence[float]


class _Fate(TypedDict):
    """How many messages came to what; the fields that `Station` and `Lab` share."""

    messages: int
    delivered: int
    unknown: int
    expired: int
    refused: int
    waiting: int
    latency_median: float | None
    latency_p90: float | None
    latency_max: float | None


class Figures:
    """The counters of a run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._air = {node.number: _Air() for node in scenario.nodes}
        self._received = Counter[int]()
        self._messages: dict[MessageId, _Message] = {}

    @property
    def messages(self) -> int:
        """How many messages were sent."""
        return len(self._messages)

    @property
    def ended(self) -> int:
        """How many messages came to an end."""
        return sum(message.state is not None for message in self._messages.values())

    def happened(self, happening: Happening) -> None:
        """Something happened on the air."""
        match happening:
            case Gone(at, node, _, seconds):
                self._air[node].sent.append(Sent(at, seconds))
            case Missed(_, node, _, collided):
                self._air[node].collided += collided
                self._air[node].lost += not collided
            case _:
                pass  # it shows in what becomes of messages

    def queued(self, id: MessageId, at: float) -> None:
        """A message was put into its sender's outbox."""
        self._messages[id] = _Message(id.origin, at)

    def progressed(self, event: Progress, at: float) -> None:
        """A node said what became of a message of its own."""
        message = self._messages.get(event.id)
        if message is None or message.state is not None:
            return
        if event.state is State.DELIVERED:
            message.confirmed = at - message.at
        if event.state is State.DELIVERED or event.state.final:
            message.state = event.state

    def received(self, id: MessageId, node: int, at: float) -> None:
        """A message came into a node's inbox."""
        self._received[node] += 1
        if (message := self._messages.get(id)) is not None:
            message.latencies.append(at - message.at)

    # What it came to

    def stations(self, seconds: float) -> list[Station]:
        """Return how each node fared in so many seconds."""
        return [self._station(node, seconds) for node in self.scenario.nodes]

    def whole(self, seconds: float) -> Lab:
        """Return how all of them did."""
        messages = self._messages.values()
        confirmed = [one.confirmed for one in messages if one.confirmed is not None]
        return Lab(
            seed=self.scenario.seed,
            seconds=seconds,
            region=self.scenario.air.region.name,
            preset=self.scenario.air.preset,
            **_fate(messages),
            received=self._received.total(),
            confirmed_median=rank(confirmed, 0.5),
            confirmed_p90=rank(confirmed, 0.9),
            confirmed_max=rank(confirmed, 1.0),
            packets=sum(len(air.sent) for air in self._air.values()),
            airtime=sum(_seconds(air.sent) for air in self._air.values()),
            collided=sum(air.collided for air in self._air.values()),
            lost=sum(air.lost for air in self._air.values()),
        )

    def courses(self, seconds: float, steps: int) -> list[Course]:
        """Return each node's use of the air at so many moments of so many seconds."""
        times = [seconds * step / steps for step in range(steps + 1)]
        return [
            Course(
                node.name, list(zip(times, _used(self._air[node.number].sent, times), strict=True))
            )
            for node in self.scenario.nodes
        ]

    def fates(self) -> list[Fate]:
        """Return what became of each message, in the order in which they were queued."""
        return [Fate(one.at, tuple(one.latencies)) for one in self._messages.values()]

    def _station(self, node: Node, seconds: float) -> Station:
        air, limit = self._air[node.number], HOUR * self.scenario.air.region.duty
        own = [one for one in self._messages.values() if one.sender == node.number]
        most = most_in_an_hour(air.sent)
        return Station(
            name=node.name,
            number=address_of(node.number),
            **_fate(own),
            received=self._received[node.number],
            packets=len(air.sent),
            airtime=_seconds(air.sent),
            duty=_seconds(air.sent) / seconds,
            airtime_hour=most,
            limit=limit,
            share=most / limit,
            collided=air.collided,
            lost=air.lost,
        )


def _fate(messages: Collection[_Message]) -> _Fate:
    states = Counter(message.state for message in messages)
    latencies = [seconds for message in messages for seconds in message.latencies]
    return {
        "messages": len(messages),
        "delivered": states[State.DELIVERED],
        "unknown": states[State.UNKNOWN],
        "expired": states[State.EXPIRED],
        "refused": states[State.REFUSED],
        "waiting": states[None],
        "latency_median": rank(latencies, 0.5),
        "latency_p90": rank(latencies, 0.9),
        "latency_max": rank(latencies, 1.0),
    }


def rank(values: Sequence[float], share: float) -> float | None:
    """Return the least value that such a share of them do not exceed; None: there is none."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None


def most_in_an_hour(sent: Iterable[Sent]) -> float:
    """Return the most seconds sent in any hour; what was sent is in order of its end."""
    window, held, most = deque[Sent](), 0.0, 0.0
    for one in sent:
        window.append(one)
        held += one.seconds
        while window[0].end <= one.end - HOUR:
            held -= window.popleft().seconds
        most = max(most, held)
    return most


def _used(sent: Sequence[Sent], times: Iterable[float]) -> Iterator[float]:
    """Yield what was sent in the hour before each time; both are in order."""
    begin = end = 0
    held = 0.0
    for time in times:
        while end < len(sent) and sent[end].end <= time:
            held, end = held + sent[end].seconds, end + 1
        while begin < end and sent[begin].end <= time - HOUR:
            held, begin = held - sent[begin].seconds, begin + 1
        yield max(0.0, held)


def _seconds(sent: Iterable[Sent]) -> float:
    return sum(one.seconds for one in sent)
