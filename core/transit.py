"""Passing on what came: the part of a bridge that is in the transaction which commits a message.

The law of this module: what it says will be passed on is in the outbox when the transaction ends,
and each message is put there once for each link. What may cross, ``bridge`` decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from .arrival import Arrival
from .bridge import Decision, Full, Gate, Known, Passing, Router
from .crossings import Passage
from .envelope import MAX_ROUTE
from .events import Passed, Progress, State
from .hour import HOUR
from .inbox import Way
from .leg import Leg, LegSpec, Origin, new_leg
from .message import Event, Kind, Message, MessageId, Receipt, check_of, origin_text
from .receipts import RECEIPT_LIFETIME
from .spool import Spool

AGAIN = 20.0
"""Seconds after which what comes again has been sent again by its author, and not twice."""


class Crowded(Exception):
    """No leg that a message may go on to has room: its source is to be slowed down."""


@dataclass(frozen=True, slots=True)
class PassedOn:
    """What became of a message that came.

    Args:
        links: the keys of the links that it goes on to; of one that is known and went on, where
            it came from, if that is where it came from now or it is for everyone.
        events: of legs that ended by it.
        passed: what is to be told of it, if it was not known before.
        legs: for those links; where it has to wait, there is none.
        again: it was known, and goes on to them once more.
    """

    links: tuple[str, ...] = ()
    events: tuple[Progress, ...] = ()
    passed: Passed | None = None
    legs: tuple[Leg, ...] = ()
    again: bool = False


class Transit:
    """What a node that is a bridge does with messages beside keeping them.

    Every method is part of the transaction that it is called in.

    Args:
        router: the rules.
        spool: the node's.
        delay: returns the seconds that a message waits before it goes out on a link (its key),
            of so many bytes; 0 where airtime is free.
        dear: tells whether a link (its key) has airtime.
        flying: returns what is on its way on a link (its key), so that it cannot give way.
        loses: tells whether what a link (its key) has accepted may be lost before it arrives.
    """

    def __init__(
        self,
        router: Router,
        spool: Spool,
        delay: Callable[[str, int], float],
        dear: Callable[[str], bool],
        flying: Callable[[str], Collection[MessageId]],
        loses: Callable[[str], bool] = lambda link: False,
    ) -> None:
        self.router = router
        self._spool = spool
        self._delay = delay
        self._dear = dear
        self._loses = loses
        self._flying = flying
        self._limits = _limits(router.gates)
        self._waiting: dict[str, int] = {}
        self._forgot: dict[str, float] = {}

    def forgot(self, link: str, at: float) -> None:
        """Take note that the far end of a link (its key) may have lost what it had accepted."""
        self._forgot[link] = at

    # In

    def pass_on(self, data: bytes, message: Message, came: Arrival, at: float) -> PassedOn:
        """Put a message that is not known yet into the outbox for the links it goes on to.

        Args:
            data: its bytes.
            message: the same.
            came: how.
            at: Unix seconds.

        Raises:
            Crowded: there is no room for it, and who has it can wait.
            SpoolError: the outbox is full, or cannot be written.
        """
        passing, decisions = self._decide(message, len(data), came, at)
        going = _going(decisions)
        if going and self._spool.outbox.clashes(data):
            why = "other bytes with this id are passed on already"
            decisions, going = [Decision(one.gate, one.why_not or why) for one in decisions], []
        full = self._full(going, came)
        self._note(message, len(data), came, at, decisions)
        given_way: list[Progress] = []
        legs: list[Leg] = []
        if going:
            legs = self._put(data, passing, came, going)
            given_way = [one for gate in full if (one := self._give_way(gate, at))]
            own = {event.link for event in given_way if event.id == message.id}
            going = [gate for gate in going if gate.name not in own]
            legs = [leg for leg in legs if leg.name not in own]
        if going:
            self._remember(message, data, came, at, going)
        passed = _passed(message, len(data), came, at, decisions)
        links = tuple(gate.link for gate in going)
        return PassedOn(links, tuple(given_way), passed, tuple(legs))

    def _decide(
        self, message: Message, size: int, came: Arrival, at: float
    ) -> tuple[Passing, list[Decision]]:
        passing = Passing(message, size, came.key, came.hops, at, came.route, came.keeps)
        return passing, self.router.decide(passing, self._known(message))

    def _note(
        self,
        message: Message,
        size: int,
        came: Arrival,
        at: float,
        decisions: Sequence[Decision],
    ) -> None:
        passages = [Passage(at, one.gate.name, one.why_not or "goes on") for one in decisions]
        self._spool.crossings.note(
            message.id, [_arrival(message, size, came, at), *passages], fresh=True
        )

    def carry(self, data: bytes, message: Message, came: Arrival, at: float) -> PassedOn:
        """Take a message that is for somebody else; as ``pass_on``, and it may be known."""
        self._spool.peers.saw(message, came, at)
        if self._spool.inbox.sight(message, check_of(data), at, keeps=came.keeps):
            return self.pass_on(data, message, came, at)
        return self._once_more(data, message, came, at) or self.again(data, message, came, at)

    def _once_more(
        self, data: bytes, message: Message, came: Arrival, at: float
    ) -> PassedOn | None:
        """Let what its author sent again go on again, to links that may have lost it."""
        passed = self._spool.inbox.passed(message.id, check_of(data))
        if passed is None or passed.source != came.key or not came.slows:
            return None
        last = self._spool.crossings.last(message.id)
        lately = last is None or last <= at < last + AGAIN
        passing, decisions = self._decide(message, len(data), came, at)
        going = _going(decisions)
        if lately:
            going = [gate for gate in going if self._forgotten(last, came.key, gate.link)]
        ended = [gate for gate in going if self._loses(gate.link) and self._ended(message, gate)]
        if not (gates := [gate for gate in ended if self._fits(gate)]):
            return None
        said = [
            Passage(at, gate.name, "goes on once more: its author sent it again") for gate in gates
        ]
        self._spool.crossings.note(message.id, said)
        for gate in gates:
            if not self._spool.outbox.again(message.id, self._leg(gate, passing)):
                self._put(data, passing, came, [gate])
        return PassedOn(tuple(gate.link for gate in gates), again=True)

    def _forgotten(self, since: float | None, *links: str) -> bool:
        """Tell whether the far end of one of these links has lost what it had since then."""
        return since is not None and any(self._forgot.get(link, 0.0) > since for link in links)

    def _ended(self, message: Message, gate: Gate) -> bool:
        """Tell whether nothing of a message waits for a link."""
        legs = self._spool.outbox.find(message.id)
        return all(leg.done for leg in legs if leg.link == gate.link)

    def again(self, data: bytes, message: Message, came: Arrival, at: float) -> PassedOn:
        """Take note that a message which is known was heard: there it need not go any more."""
        passed = self._spool.inbox.passed(message.id, check_of(data))
        if passed is None:
            return PassedOn()
        # Elsewhere than where it came from we answer for one node only if we would bring it there.
        ours = came.key == passed.source or message.destination is None
        links = (passed.source,) if ours else ()
        event = self._spool.outbox.overheard(message.id, came.key, at) if came.whole else None
        if event is None:
            return PassedOn(links)
        said = "was heard there, so it does not go there"
        self._spool.crossings.note(message.id, [Passage(at, came.link, said)])
        return PassedOn(links, (event,))

    def _known(self, message: Message) -> Known:
        if message.destination is None:
            return Known()
        heard = self._spool.peers.heard(message.destination)
        if message.kind is not Kind.RECEIPT:
            return Known(heard)
        receipt = Receipt.read(message)
        passed = self._spool.inbox.passed(receipt.of)
        if passed is None:
            return Known(heard)
        return Known(heard, passed.source, self._spent(receipt, passed))

    def _spent(self, receipt: Receipt, passed: Way) -> frozenset[str]:
        """Return the links with airtime onto which no such receipt may go any more."""
        if not passed.to_all or not self._dear(passed.source):
            return frozenset()
        if receipt.event not in (Event.DELIVERED, Event.PLAYED):
            return frozenset([passed.source])
        return self._spool.crossings.spent(receipt.of, receipt.event)

    def _put(
        self, data: bytes, passing: Passing, came: Arrival, gates: Sequence[Gate]
    ) -> list[Leg]:
        """Put a message into the outbox; return its legs that may go out at once."""
        route = (*passing.route, self._spool.origin)[-MAX_ROUTE:]
        origin = Origin(came.key, came.hops + 1, route, came.extra)
        specs = [self._leg(gate, passing) for gate in gates]
        kind, expires_at = passing.message.kind, passing.expires_at
        self._spool.outbox.put(data, specs, kind=kind, expires_at=expires_at, origin=origin)
        return [
            new_leg(passing.message, data, spec, passing.at, expires_at, origin)
            for spec in specs
            if spec.after <= passing.at and not self._limited(spec.link)
        ]

    def _leg(self, gate: Gate, passing: Passing) -> LegSpec:
        due = None if gate.lifetime is None else passing.at + gate.lifetime
        after = passing.at + self._delay(gate.link, passing.size)
        return LegSpec(gate.link, gate.name, priority=gate.priority, after=after, expires_at=due)

    def _remember(
        self, message: Message, data: bytes, came: Arrival, at: float, going: Sequence[Gate]
    ) -> None:
        way = Way(came.key, message.destination is None)
        self._spool.inbox.mark_passed(message, check_of(data), at, way, keeps=came.keeps)
        if message.kind is Kind.RECEIPT:
            receipt = Receipt.read(message)
            for gate in going:
                self._spool.crossings.echoed(
                    receipt.of, receipt.event, gate.link, at + RECEIPT_LIFETIME
                )

    # Room

    def _full(self, gates: Sequence[Gate], came: Arrival) -> list[Gate]:
        """Return the gates on whose legs somebody has to give way. Raises Crowded."""
        full = [gate for gate in gates if not self._fits(gate)]
        waits = came.slows and full and len(full) == len(gates)
        if waits and all(gate.full is Full.WAIT for gate in full) and not self._delays(came, full):
            raise Crowded
        return full

    def _fits(self, gate: Gate) -> bool:
        """Tell whether one more may wait on a leg.

        They are counted when there may be too many: those that left are not known before.
        """
        waiting = self._waiting.get(gate.link, gate.queue)
        if waiting >= gate.queue:
            waiting = self._spool.outbox.passing(gate.link)
        self._waiting[gate.link] = waiting + 1
        return waiting < gate.queue

    def _delays(self, came: Arrival, full: Sequence[Gate]) -> bool:
        """Tell whether to slow down a source would keep something from a link that has room."""
        others = self.router.others(came.key) - {gate.link for gate in full}
        passing = self._spool.outbox.passing
        return any(passing(link) < self.router.gate_to(link).queue for link in others)

    def _give_way(self, gate: Gate, at: float) -> Progress | None:
        """End the leg that gives way on a full link; None: all that waits there is going out."""
        victim = self._spool.outbox.weakest(gate.link, self._flying(gate.link), gate.full)
        if victim is None:
            return None
        what = Full.OLDEST if gate.full is Full.WAIT else gate.full
        reason = f"{gate.queue} messages waited for {gate.name} already: the {what.value} gave way"
        self._spool.crossings.note(victim, [Passage(at, gate.name, reason)])
        return self._spool.outbox.progress(
            victim, gate.link, State.REFUSED, at=at, reason=reason, done=True
        )

    # Out

    def opens_at(self, link: str, at: float, airtime: float = 0.0) -> float:
        """Return when a message of so much airtime may go on to a link (its key), Unix seconds.

        ``at`` or before: now. Infinity: never, because it alone is more than the leg's budget.
        """
        return max((self._opens_at(gate, at, airtime) for gate in self._limited(link)), default=at)

    def admit(self, link: str, legs: Sequence[Leg], at: float) -> list[Leg]:
        """Return those legs of a link (its key) that may go now, and count those of others."""
        if not self._limited(link):
            return list(legs)
        return [leg for leg in legs if leg.origin is None or self._admits(link, at)]

    def _admits(self, link: str, at: float) -> bool:
        if self.opens_at(link, at) > at:
            return False
        self.cross(link, at)
        return True

    def next(self, link: str, at: float) -> float | None:
        """Return when a link (its key) should be looked at again, None if nothing waits there."""
        after = self._spool.outbox.next_after(link)
        opens_at = self.opens_at(link, at)
        if opens_at <= at or math.isinf(opens_at) or not self._spool.outbox.passing(link):
            return after
        return opens_at if after is None else min(after, opens_at)

    def cross(self, link: str, at: float, airtime: float = 0.0) -> None:
        """Count a message that goes on to a link (its key) now, where its legs have limits."""
        if self._limited(link):
            self._spool.crossings.crossed(link, at, airtime)

    def _limited(self, link: str) -> Sequence[Gate]:
        return self._limits.get(link, ())

    def _opens_at(self, gate: Gate, at: float, airtime: float) -> float:
        times = [at]
        if gate.rate is not None:
            crossed = self._spool.crossings.since(gate.link, at - gate.rate.seconds)
            if len(crossed) >= gate.rate.messages:
                times.append(crossed[-gate.rate.messages][0] + gate.rate.seconds)
        if gate.airtime is not None:
            times.append(self._affords_at(gate.link, gate.airtime, at, airtime))
        return max(times)

    def _affords_at(self, link: str, budget: float, at: float, airtime: float) -> float:
        """Return when ``airtime`` more stays within the budget of each hour."""
        if airtime > budget:
            return math.inf
        crossed = self._spool.crossings.since(link, at - HOUR)
        used = sum(seconds for _, seconds in crossed)
        for when, seconds in crossed:
            if used + airtime <= budget:
                return at
            used, at = used - seconds, when + HOUR
        return at


def _limits(gates: Sequence[Gate]) -> dict[str, list[Gate]]:
    """Return the gates that have a rate or a budget, by the link that they lead to."""
    limits: dict[str, list[Gate]] = {}
    for gate in gates:
        if gate.rate is not None or gate.airtime is not None:
            limits.setdefault(gate.link, []).append(gate)
    return limits


def _going(decisions: Sequence[Decision]) -> list[Gate]:
    return [one.gate for one in decisions if one.why_not is None]


def _arrival(message: Message, size: int, came: Arrival, at: float) -> Passage:
    """Return how a message came, as a line."""
    what = message.kind.name.lower()
    to = "everyone" if message.destination is None else origin_text(message.destination)
    whom = f" from {came.peer}" if came.peer else ""
    bridges = f", {came.hops} bridges before" if came.hops else ""
    return Passage(at, came.link, f"came{whom}: {what} for {to}, {size} bytes{bridges}")


def _passed(
    message: Message, size: int, came: Arrival, at: float, decisions: Sequence[Decision]
) -> Passed:
    to = tuple(gate.name for gate in _going(decisions))
    kept_back = {one.gate.name: one.why_not for one in decisions if one.why_not is not None}
    return Passed(message, size, came.link, came.peer, at, to, kept_back)
