"""Messages over a radio: a datagram link whose airtime is limited, planned and written down.

The law of this module: no burst begins that the planner did not allow, and no frame goes out that
the ledger does not have. What waits, says why and until when.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from .backlog import TURN, Backlog, job_of
from .datagrams import MAX_ASKING, UNANSWERED, DatagramCarrier, Sending
from .draft import burst_airtime
from .errors import TooLong
from .events import Progress, State
from .framing.effects import Out
from .framing.pace import CONTENTION
from .framing.split import cut_for
from .ledger import Promise
from .message import Message, MessageId, check_of, destination_of
from .outbox import Leg, Weight
from .planner import Begin, Books, Planner, Spent
from .scheduler import Job, Never, Wait

if TYPE_CHECKING:
    from .hub import Hub
    from .link import Address, Limits

CONTROL = 14
"""Bytes of the largest control frame: what a message that was begun before asks with."""

WORTH = 60.0
"""Seconds that an answer may wait for air; later its asker has asked again."""

MOVED = 5.0
"""Seconds by which the end of a wait moves before it is told again."""

STUCK = "there is no air left in this hour for the rest of it"
"""What is said of a message on its way whose next frame waits."""

TELLING = 64
"""Messages that are told at once that they wait for their turn."""

_NUMBER = re.compile(r"[\d.]+")
_Costs: TypeAlias = dict[tuple[int, "Address | None", int], float]


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told of a wait: why, numbers left out, and until when."""

    why: str
    until: float

    def says(self, why: str, until: float) -> bool:
        """Tell whether that was told already, nearly."""
        return self.why == why and abs(self.until - until) < MOVED


_NOTHING = _Told("", 0.0)


class RadioCarrier(DatagramCarrier):
    """Serves a link that has a radio.

    Args:
        books: the node's ledger; the rest as for a datagram link.
    """

    def __init__(self, hub: Hub, name: str, key: str, books: Books) -> None:
        super().__init__(hub, name, key)
        self._books = books
        self._promises: dict[int, Promise] = {}
        self._told: dict[MessageId, _Told] = {}
        self._look_at: float | None = None
        self._out_at = 0.0
        self._backlog = Backlog()
        self._costs: _Costs = {}
        self._measure: tuple[float | None, ...] = ()
        self._planner: Planner

    def _begin_anew(self) -> None:
        super()._begin_anew()
        radio = self._link.limits.radio
        assert radio is not None  # the node looked before it chose this carrier
        self._planner = Planner(self._books, radio, lambda: self._link.limits)
        self._promises.clear()  # what was kept for a burst that the link broke is void by itself
        self._backlog.forget()
        self._told.clear()

    # What goes out next

    async def _fill(self) -> None:
        """Ask for destinations; then begin what the planner allows, as ``_may_begin`` has it."""
        self._look_at = None
        await self._give_back()
        new = await self._queue()
        await self._ask_for(self._backlog.asking(MAX_ASKING))
        while self._may_begin() and (plan := await self._planner.next()) is not None:
            if isinstance(plan, Wait):
                if await self._waits(plan, new):
                    return
            elif isinstance(plan, Never):
                await self._refuse(plan)
            else:
                await self._go(plan)
        await self._wait_for_another(new)

    async def _give_back(self) -> None:
        """Give back the airtime of bursts that were dropped before they were out."""
        for tag in [tag for tag in self._promises if not self.talk.flying(tag)]:
            await self._burst_ended(tag)

    async def _queue(self) -> list[MessageId]:
        """Let the planner know what waits in the outbox; return what has just come."""
        limits = self._link.limits
        measure = limits.mtu(None), limits.airtime(limits.size, None), limits.airtime(1, None)
        if measure != self._measure:  # the radio was set otherwise: everything costs something else
            self._measure, self._costs = measure, {}
            self._backlog.forget()
        fresh, places = await self.hub.desk.do(self._weigh)
        for id in self._backlog.gone:
            self._planner.queue.drop(id)
            self._told.pop(id, None)
        flying = {sending.leg.id for sending in self._sending.values()}
        fresh = [weight for weight in fresh if weight.id not in flying]
        for weight in fresh:
            await self._enlist(weight, places, limits)
        return [weight.id for weight in fresh]

    def _weigh(self) -> tuple[list[Weight], dict[int, Address | None]]:
        found = self.hub.desk.spool.outbox.weights(self.key, self._backlog.mark)
        fresh = self._backlog.take(found) + self._backlog.due(self.hub.runtime.unix())
        return fresh, self._places(weight.head for weight in fresh)

    async def _enlist(
        self, weight: Weight, places: Mapping[int, Address | None], limits: Limits
    ) -> None:
        try:
            seconds = self._airtime(weight, places, limits)
        except TooLong as error:
            await self._end_unsent(weight.id, str(error))
            return
        now, unix = self._books.ledger.now(), self.hub.runtime.unix()
        self._planner.queue.add(job_of(weight, seconds, now, unix, replies=limits.replies))

    def _airtime(
        self, weight: Weight, places: Mapping[int, Address | None], limits: Limits
    ) -> float:
        destination = destination_of(weight.head)[1]
        to = None if destination is None else places[destination]
        if weight.begun and limits.replies:
            return limits.airtime(CONTROL, to) or 0.0
        k = cut_for(weight.length, limits.mtu(to)).k
        what = weight.length, to, self._parity(k, destination, weight.parity)
        if what not in self._costs:
            self._costs[what] = burst_airtime(weight.length, limits, *what[1:])
        return self._costs[what]

    async def _go(self, plan: Begin) -> None:
        leg, places = await self.hub.desk.do(lambda: self._leg_of(plan.job))
        if leg is None or not self._is_new(leg):  # it ended meanwhile
            await self._planner.release(plan.promise)
            return
        self._promises[check_of(leg.message)] = plan.promise
        await self._begin(leg, places)

    def _leg_of(self, job: Job) -> tuple[Leg | None, dict[int, Address | None]]:
        leg = self._open_leg(_message(job))
        return leg, self._places([leg.message] if leg else [])

    def _open_leg(self, id: MessageId) -> Leg | None:
        legs = self.hub.desk.spool.outbox.find(id)
        return next((leg for leg in legs if leg.link == self.key and not leg.done), None)

    # Why the rest waits

    async def _waits(self, plan: Wait, new: Sequence[MessageId]) -> bool:
        """Say why the first in the queue waits, and look again when it may go.

        Returns:
            False: it waits no more, so that another is the first.
        """
        id, until = _message(plan.job), self._unix_of(plan.at)
        ask = plan.ask and self._link.limits.asks
        if not await self._tell([id], plan.reason, until, ask=ask):
            self._planner.queue.drop(id)
            return False
        self._look_at = plan.look_at
        await self._tell_others([n for n in new if n != id], plan.reason, until, ask=ask)
        return True

    async def _wait_for_another(self, new: Sequence[MessageId]) -> None:
        """Say of what has just come that it waits until another one is answered."""
        why = "another one is on its way"
        if len(self._sending) >= UNANSWERED and self._only_unanswered():
            why = f"{len(self._sending)} wait for an answer, and no more may at once"
            new = new or [_message(job) for job in islice(self._planner.queue, TELLING)]
        flying = {sending.leg.id for sending in self._sending.values()}
        until = self.hub.runtime.unix() + self.talk.pace.silence(0) + self._out_in()
        others = [id for id in new if id not in flying and id in self._planner.queue]
        await self._tell_others(others, why, until)

    async def _tell_others(
        self, ids: Sequence[MessageId], why: str, until: float, *, ask: bool = False
    ) -> None:
        """Say of those that came last that they wait for those before them."""
        await self._tell(ids[-TELLING:], f"{TURN}: {why}", until, ask=ask)

    async def _tell(
        self, ids: Sequence[MessageId], why: str, until: float, *, ask: bool = False
    ) -> bool:
        """Say why messages wait, unless that was said; tell whether they all do."""
        kind = _NUMBER.sub("", why)  # of the same thing with other numbers it is not told again
        news = [id for id in ids if not self._told.get(id, _NOTHING).says(kind, until)]
        written = await self.hub.desk.do(
            lambda: [self._write_wait(id, why, until, ask) for id in news]
        )
        for id, (waits, event) in zip(news, written, strict=True):
            if waits:
                self._told[id] = _Told(kind, until)
                self.hub.publish(event)
        return all(waits for waits, _ in written)

    def _write_wait(
        self, id: MessageId, why: str, until: float, ask: bool
    ) -> tuple[bool, Progress | None]:
        """Return whether a message waits, and the event, unless the spool knew that already."""
        leg = self._open_leg(id)
        if leg is None:
            return False, None
        if leg.reason == why and leg.until is not None and abs(leg.until - until) < MOVED:
            return True, None
        outbox, at = self.hub.desk.spool.outbox, self.hub.runtime.unix()
        return True, outbox.progress(
            id, self.key, State.QUEUED, at=at, reason=why, until=until, ask=ask
        )

    def _unix_of(self, at: float) -> float:
        """Return a time that the planner told in Unix seconds."""
        return self.hub.runtime.unix() + self._planner.wait_for(at)

    async def _refuse(self, plan: Never) -> None:
        await self._end_unsent(_message(plan.job), plan.reason)

    async def _end_unsent(self, id: MessageId, reason: str) -> None:
        await self.hub.progress(id, self.key, State.REFUSED, reason=reason, done=True)

    def _soonest(self, wait: float | None) -> float | None:
        waits = [super()._soonest(wait)]
        if self._look_at is not None:
            waits.append(self._planner.wait_for(self._look_at))
        if (due := self._backlog.next_due()) is not None:
            waits.append(max(0.0, due - self.hub.runtime.unix()))
        if any(each is not None and each <= 0 for each in waits[1:]):
            self._look = True
        return min((each for each in waits if each is not None), default=None)

    # What a frame costs

    async def _hand(self, out: Out, data: bytes) -> int | None:
        """Write a frame down and give it to the radio; where there is no air, wait until there is.

        An answer waits only as long as its asker does.
        """
        seconds = self._link.limits.airtime(len(data), out.to) or 0.0
        until = self.hub.runtime.now() + WORTH
        while not isinstance(spent := await self._pay(out, seconds), Spent):
            if not out.flight and self.hub.runtime.now() + spent > until:
                self.hub.trouble(self.name, "there is no air left for answers in this hour")
                return None
            await self._tell_stuck(out, spent)
            await self._wait(min(WORTH, spent))
            self._look = True
            if out.flight and not self.talk.flying(out.tag):
                return None
        ticket = await self._link.send(data, to=out.to)
        longest = seconds + CONTENTION * self._link.limits.slot
        self._out_at = max(self.hub.runtime.now(), self._out_at) + longest
        await self._planner.handed(spent)
        return ticket

    async def _pay(self, out: Out, seconds: float) -> Spent | float:
        """Write a frame down, of its burst's airtime or of what is left; else how long to wait."""
        kept = self._promises.get(out.tag) if out.flight else None
        if kept is not None and (spent := await self._planner.spend(kept, seconds)):
            return spent
        promise = await self._planner.afford(seconds)
        if isinstance(promise, Promise):
            spent = await self._planner.spend(promise, seconds)
            await self._planner.release(promise)
            return spent or 0.0
        return WORTH if promise.at is None else self._planner.wait_for(promise.at)

    async def _tell_stuck(self, out: Out, seconds: float) -> None:
        """Say of a message on its way that it waits for air."""
        sending = self._sending.get(out.tag) if out.flight else None
        if sending is None:
            return
        id, until = sending.leg.id, self.hub.runtime.unix() + seconds
        if not self._told.get(id, _NOTHING).says(STUCK, until):
            self._told[id] = _Told(STUCK, until)
            state = State.SENT if sending.sent else State.ON_AIR
            await self.hub.progress(id, self.key, state, reason=STUCK, until=until)

    async def _burst_ended(self, tag: int) -> None:
        if (promise := self._promises.pop(tag, None)) is not None:
            await self._planner.release(promise)

    async def _too_big(self, out: Out, sending: Sending | None) -> None:
        await super()._too_big(out, sending)
        self._backlog.forget()

    # When it is out

    def _out_in(self) -> float:
        """Return the seconds until all that the radio was given is out, if it may send.

        It says how much it holds only when it takes something, so that is reckoned. Handing over
        takes the time itself where nobody contends for the channel.
        """
        slot = self._link.limits.slot
        return max(0.0, self._out_at - self.hub.runtime.now()) if slot else 0.0

    async def _burst_is_out(self, tag: int, sending: Sending) -> None:
        """A burst was given to the radio: say that it was sent once that is so."""
        await self.hub.runtime.sleep(self._out_in())
        if tag in self._sending:
            await super()._burst_is_out(tag, sending)
        else:  # it was confirmed meanwhile, which says more
            self.hub.hooks.sent(Message.from_bytes(sending.leg.message), self.name)


def _message(job: Job) -> MessageId:
    assert isinstance(job.key, MessageId)
    return job.key
