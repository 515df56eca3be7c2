"""Messages over a radio: a datagram link whose airtime is limited, planned and written down.

The law of this module: no burst begins that the planner did not allow, and no frame goes out that
the ledger does not have. What waits, says why and until when.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .datagrams import DatagramCarrier
from .draft import burst_airtime
from .errors import TooLong
from .events import State
from .framing.effects import Out
from .framing.split import cut_for
from .ledger import Promise
from .message import MessageId, check_of, destination_of
from .outbox import Leg, Weight
from .planner import Begin, Books, Planner, Spent
from .scheduler import Job, Never, Wait

if TYPE_CHECKING:
    from .hub import Hub
    from .link import Address

_NUMBER = re.compile(r"[\d.]+")

CONTROL = 14
"""Bytes of the largest control frame: what a message that was begun before asks with."""

WORTH = 60.0
"""Seconds that an answer may wait for air; later its asker has asked again."""


class RadioCarrier(DatagramCarrier):
    """Serves a link that has a radio.

    Args:
        books: the node's ledger; the rest as for a datagram link.
    """

    def __init__(self, hub: Hub, name: str, key: str, books: Books) -> None:
        super().__init__(hub, name, key)
        self._books = books
        self._promises: dict[int, Promise] = {}
        self._told: dict[MessageId, str] = {}
        self._look_at: float | None = None
        self._planner: Planner

    def _begin_anew(self) -> None:
        super()._begin_anew()
        radio = self._link.limits.radio
        assert radio is not None  # the node looked before it chose this carrier
        self._planner = Planner(self._books, radio, lambda: self._link.limits)
        self._promises.clear()  # what was kept for a burst that the link broke is void by itself
        self._told.clear()

    # What goes out next

    async def _fill(self) -> None:
        """Ask for destinations; then begin what the planner allows, one message at a time."""
        self._look_at = None
        await self._give_back()
        outbox = self.hub.desk.spool.outbox
        waiting = await self.hub.desk.do(
            lambda: outbox.waiting(self.key, limit=64, wants_destination=True)
        )
        await self._ask_for([leg for leg in waiting if self._is_new(leg)])
        await self._queue()
        while not self._sending and (plan := await self._planner.next()) is not None:
            if isinstance(plan, Wait):
                await self._waits(plan)
                return
            if isinstance(plan, Never):
                await self._refuse(plan)
            else:
                await self._go(plan)

    async def _give_back(self) -> None:
        """Give back the airtime of bursts that were dropped before they were out."""
        for tag in [tag for tag in self._promises if not self.talk.flying(tag)]:
            await self._burst_ended(tag)

    async def _queue(self) -> None:
        """Let the planner know what waits in the outbox."""
        weights, places = await self.hub.desk.do(self._weigh)
        known = {weight.id for weight in weights}
        self._planner.queue.keep(known)
        self._told = {id: reason for id, reason in self._told.items() if id in known}
        flying = {sending.leg.id for sending in self._sending.values()}
        for weight in weights:
            if weight.id not in self._planner.queue and weight.id not in flying:
                await self._enlist(weight, places)

    def _weigh(self) -> tuple[list[Weight], dict[int, Address | None]]:
        weights = self.hub.desk.spool.outbox.weights(self.key)
        return weights, self._places(weight.head for weight in weights)

    async def _enlist(self, weight: Weight, places: Mapping[int, Address | None]) -> None:
        try:
            seconds = self._airtime(weight, places)
        except TooLong as error:
            await self._end_unsent(weight.id, str(error))
            return
        ago = self.hub.runtime.unix() - weight.queued_at
        left = weight.expires_at - self.hub.runtime.unix()
        now = self._books.ledger.now()
        self._planner.queue.add(Job(weight.id, seconds, now - ago, now + left, weight.priority))

    def _airtime(self, weight: Weight, places: Mapping[int, Address | None]) -> float:
        limits, destination = self._link.limits, destination_of(weight.head)[1]
        to = None if destination is None else places[destination]
        if weight.begun and limits.replies:
            return limits.airtime(CONTROL, to) or 0.0
        k = cut_for(weight.length, limits.mtu(to)).k
        extra = self._parity(k, destination, weight.parity)
        return burst_airtime(weight.length, limits, to, extra)

    async def _go(self, plan: Begin) -> None:
        leg, places = await self.hub.desk.do(lambda: self._leg_of(plan.job))
        if leg is None or not self._is_new(leg):  # it ended meanwhile
            await self._planner.release(plan.promise)
            return
        self._promises[check_of(leg.message)] = plan.promise
        await self._begin(leg, places)

    def _leg_of(self, job: Job) -> tuple[Leg | None, dict[int, Address | None]]:
        assert isinstance(job.key, MessageId)
        legs = self.hub.desk.spool.outbox.find(job.key)
        leg = next((leg for leg in legs if leg.link == self.key and not leg.done), None)
        return leg, self._places([leg.message] if leg else [])

    async def _waits(self, plan: Wait) -> None:
        """Say why the first in the queue waits, and look again when it may go."""
        self._look_at = plan.at
        id = plan.job.key
        assert isinstance(id, MessageId)
        kind = _NUMBER.sub("", plan.reason)
        if self._told.get(id) == kind:  # of the same thing with other numbers it is not told again
            return
        self._told[id] = kind
        until = self.hub.runtime.unix() + self._planner.wait_for(plan.at)
        await self.hub.progress(id, self.key, State.QUEUED, reason=plan.reason, until=until)

    async def _refuse(self, plan: Never) -> None:
        assert isinstance(plan.job.key, MessageId)
        await self._end_unsent(plan.job.key, plan.reason)

    async def _end_unsent(self, id: MessageId, reason: str) -> None:
        await self.hub.progress(id, self.key, State.REFUSED, reason=reason, done=True)

    def _soonest(self, wait: float | None) -> float | None:
        wait = super()._soonest(wait)
        if self._look_at is None:
            return wait
        left = self._planner.wait_for(self._look_at)
        if left <= 0:
            self._look = True
        return left if wait is None else min(wait, left)

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
            await self._wait(spent)
            self._look = True
            if out.flight and not self.talk.flying(out.tag):
                return None
        ticket = await self._link.send(data, to=out.to)
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
        return WORTH if promise.at is None else min(WORTH, self._planner.wait_for(promise.at))

    async def _burst_ended(self, tag: int) -> None:
        if (promise := self._promises.pop(tag, None)) is not None:
            await self._planner.release(promise)
