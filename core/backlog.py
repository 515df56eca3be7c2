"""What of the outbox waits for one radio, as far as its queue has to know it. Sans-I/O.

The law of this module: a message is weighed once, when it comes or changes. However much waits, a
look costs what has changed since the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

from .changed import Mark
from .leg import Weight, Weights
from .message import MessageId
from .scheduler import Job

TURN = "it waits for its turn"
"""What is said of those that are not the first."""


def job_of(weight: Weight, seconds: float, now: float, unix: float, *, replies: bool = True) -> Job:
    """Return a message as the scheduler has it.

    Args:
        weight: the message.
        seconds: of air that it takes.
        now: the time on the scheduler's clock.
        unix: the same time in Unix seconds.
        replies: whether anything comes back on this link.
    """
    return Job(
        weight.id,
        seconds,
        now - (unix - weight.queued_at),
        now + (weight.expires_at - unix),
        weight.priority,
        agreed=weight.agreed,
        begun=weight.begun and replies,
    )


@dataclass(slots=True)
class Backlog:
    """A picture of what waits.

    Attributes:
        mark: of the last look; None: everything is to be looked through.
        gone: what waits no more since ``take`` was called last.
    """

    mark: Mark | None = None
    gone: list[MessageId] = field(default_factory=lambda: [])
    _known: dict[MessageId, Weight] = field(default_factory=lambda: {})
    _asking: dict[MessageId, Weight] = field(default_factory=lambda: {})
    _later: list[tuple[float, int, Weight]] = field(default_factory=lambda: [])
    _asked: list[Weight] | None = None
    _pushed: int = 0

    def __len__(self) -> int:
        return len(self._known)

    def forget(self) -> None:
        """Look through everything anew."""
        self.mark, self._asked = None, None
        for held in (self.gone, self._known, self._asking, self._later):
            held.clear()

    def take(self, found: Weights) -> list[Weight]:
        """Take what the outbox says; return what is new or changed and may go out."""
        self.mark = found.mark
        self.gone = [*found.gone]
        if found.whole:
            there = {weight.id for weight in found.waiting}
            self.gone = [id for id in self._known if id not in there]
        for id in self.gone:
            self._known.pop(id, None)
            self._ask_no_more(id)
        fresh = [one for one in found.waiting if self._known.get(one.id) != one]
        return [one for one in fresh if self._sorted(one)]

    def _sorted(self, weight: Weight) -> bool:
        """Put a message where it belongs; tell whether it may go out."""
        self._known[weight.id] = weight
        self._ask_no_more(weight.id)
        if weight.wants_destination:
            self._asking[weight.id], self._asked = weight, None
            return False
        if weight.after:
            self._pushed += 1
            heappush(self._later, (weight.after, self._pushed, weight))
            return False
        return True

    def _ask_no_more(self, id: MessageId) -> None:
        if self._asking.pop(id, None) is not None:
            self._asked = None

    def due(self, now: float) -> list[Weight]:
        """Return, once, what was not to go out before now, Unix seconds."""
        due: list[Weight] = []
        while self._later and self._later[0][0] <= now:
            weight = heappop(self._later)[2]
            if self._known.get(weight.id) is weight:
                due.append(weight)
        return due

    def next_due(self) -> float | None:
        """Return when ``due`` has something to give, Unix seconds."""
        return self._later[0][0] if self._later else None

    def asking(self, most: int) -> list[Weight]:
        """Return the first of those that want their destination, in sending order."""
        if self._asked is None:
            order = sorted(self._asking.values(), key=lambda one: (-one.priority, one.queued_at))
            self._asked = order[:most]
        return self._asked
