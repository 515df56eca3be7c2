"""What the parts of a node share: the spool's desk, the assembler, hooks and events.

The law of this module: a message that came in is committed here and nowhere else, whatever link
brought it; what was committed is told to hooks, sinks and subscribers, in this order.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .arrival import Arrival as Arrival
from .crowd import Crowd
from .desk import Desk
from .errors import FrameError, LinkClosed
from .events import NodeEvent, Progress, State, Trouble
from .framing.assemble import Assembler
from .framing.frame import Verdict
from .inbox import Delivered
from .leg import Leg
from .mailbox import Mailbox
from .message import Event, Kind, Message, MessageId, Receipt
from .outbox import LegSpec
from .receipts import receipt_for, receipt_id
from .runtime import Runtime
from .transit import PassedOn, Transit

if TYPE_CHECKING:
    from .audio import Clip

logger = logging.getLogger("focal.node")

BACKLOG = 10_000
"""Events kept for a subscriber that does not read; beyond, the oldest go."""

SAME_TROUBLE = 30.0
MAX_TROUBLES = 100
"""Seconds for which a trouble that was told of is not told of again; as many at most meanwhile."""


class Hooks(Protocol):
    """How plugins see what passes; none of these raises."""

    def encoded(self, message: Message, /) -> None: ...
    def framed(self, message: Message, frames: Sequence[bytes], /) -> None: ...
    def sent(self, message: Message, link: str, /) -> None: ...
    def received(self, message: Message, link: str, /) -> None: ...
    def decoded(self, message: Message, clip: Clip, /) -> Clip: ...
    def played(self, message: Message, sink: str, /) -> None: ...


class NoHooks:
    """Nobody looks."""

    def encoded(self, message: Message, /) -> None: ...
    def framed(self, message: Message, frames: Sequence[bytes], /) -> None: ...
    def sent(self, message: Message, link: str, /) -> None: ...
    def received(self, message: Message, link: str, /) -> None: ...
    def played(self, message: Message, sink: str, /) -> None: ...

    def decoded(self, message: Message, clip: Clip, /) -> Clip:
        return clip


class Subscription:
    """An endless iterator of a node's events, from the moment it was made."""

    def __init__(self, leave: Callable[[Subscription], None]) -> None:
        self.mailbox: Mailbox[NodeEvent] = Mailbox(BACKLOG)
        self._leave = leave

    def __aiter__(self) -> AsyncIterator[NodeEvent]:
        return self

    async def __anext__(self) -> NodeEvent:
        try:
            return await self.mailbox.get()
        except LinkClosed:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Stop listening. Again: nothing happens."""
        self._leave(self)


@dataclass
class Hub:
    """The middle of a node."""

    desk: Desk
    runtime: Runtime
    folder: Path
    name: str | None
    hooks: Hooks
    sinks: Sequence[str]
    random: random.Random
    on_inbox: Callable[[Message, Delivered, Arrival], None]
    on_passed: Callable[[Sequence[str], Sequence[Leg]], None]
    dear: Callable[[str], bool]
    transit: Transit | None = None
    assembler: Assembler = field(default_factory=Assembler)
    subscribers: list[Subscription] = field(default_factory=lambda: [])
    crowd: Crowd = field(default_factory=Crowd)
    strangers: int = 0
    _troubles: dict[tuple[str, str], float] = field(default_factory=lambda: {})

    @property
    def origin(self) -> int:
        """This node's origin."""
        return self.desk.spool.origin

    # Events

    def subscribe(self) -> Subscription:
        """Return an iterator of what happens from now on."""
        subscription = Subscription(self._unsubscribe)
        self.subscribers.append(subscription)
        return subscription

    def _unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self.subscribers:
            self.subscribers.remove(subscription)
        subscription.mailbox.fail(LinkClosed("no longer subscribed"))

    def publish(self, event: NodeEvent | None) -> None:
        """Tell everybody; None is no event."""
        if event is not None:
            for subscription in self.subscribers:
                subscription.mailbox.put(event)

    def trouble(self, where: str, what: object) -> None:
        """Tell of something that stops nothing else; of the same again only after a while."""
        now, trouble = self.runtime.now(), (where, str(what))
        lately = {known: at for known, at in self._troubles.items() if now < at + SAME_TROUBLE}
        if trouble not in lately and len(lately) < MAX_TROUBLES:
            self.publish(Trouble(*trouble, self.runtime.unix()))
            lately[trouble] = now
        self._troubles = lately

    def stranger(self, link: str, error: FrameError) -> None:
        """Count bytes that are not ours; they are nobody's failure, so they are only logged."""
        self.strangers += 1
        logger.debug("%s: %s", link, error)

    # Outgoing messages

    async def progress(
        self,
        id: MessageId,
        key: str | None,
        state: State,
        *,
        by: int | None = None,
        reason: str | None = None,
        until: float | None = None,
        done: bool = False,
        after: float | None = None,
    ) -> None:
        """Write down and tell how far a message of ours is."""
        outbox, at = self.desk.spool.outbox, self.runtime.unix()

        def told(event: Progress | None) -> None:
            self.runtime.mark("progress-written")
            self.publish(event)
            if done:
                self.crowd.let_one()

        await self.desk.do(
            lambda: outbox.progress(
                id, key, state, at=at, by=by, reason=reason, until=until, done=done, after=after
            ),
            told,
        )

    async def went(self, ids: Sequence[MessageId], key: str, name: str) -> None:
        """Write down and tell that messages of others are where they were to go."""
        outbox, at = self.desk.spool.outbox, self.runtime.unix()

        def told(events: Sequence[Progress]) -> None:
            for event in events:
                self.publish(event)
                self.crowd.let_one()
            self.runtime.mark("progress-written")

        await self.desk.do(lambda: [outbox.went(id, key, name, at) for id in ids], told)

    # Incoming messages

    async def accept(self, data: bytes, arrival: Arrival) -> Verdict | None:
        """Commit a message that came in; pass it on if this node is a bridge.

        Returns:
            What may be confirmed, because it is safe, now or before: that it is delivered, or, if
            it goes on to other links, that we have taken custody. None: it is nothing to us.

        Raises:
            SpoolError: it could not be committed; do not confirm it.
            Crowded: there is no room to pass it on, and it can wait where it is.
        """
        message = Message.from_bytes(data)
        if message.id.origin == self.origin:
            return None
        if message.destination not in (None, self.origin):
            return await self._carry(data, message, arrival)
        if message.kind is Kind.RECEIPT:
            await self._receipt(message, arrival)
            return Verdict.DELIVERED
        return await self._keep(data, message, arrival)

    async def _keep(self, data: bytes, message: Message, arrival: Arrival) -> Verdict | None:
        """Commit a message for us, or for everyone: then it may go on, too."""
        delivered, passed = await self._deliver(data, message, arrival)
        if delivered.twin < 0:
            return None
        return Verdict.CUSTODY if passed.links else Verdict.DELIVERED

    def _kept(self, message: Message, arrival: Arrival, result: tuple[Delivered, PassedOn]) -> None:
        """Tell of a message that is committed, whatever has become of the link that brought it."""
        delivered, passed = result
        self.runtime.mark("inbox-committed")
        if delivered.twin < 0:
            self.trouble(arrival.link, f"too many different messages {message.id}: one was refused")
            return
        if delivered.fresh:
            self.hooks.received(message, arrival.link)
            self.on_inbox(message, delivered, arrival)
        self._went_on(passed)

    async def _carry(self, data: bytes, message: Message, arrival: Arrival) -> Verdict | None:
        """Pass on a message for somebody else, if this node is a bridge."""
        if message.kind is Kind.RECEIPT and self.dear(arrival.key):
            await self._said_already(Receipt.read(message), arrival)
        if self.transit is None:
            return None
        transit, at = self.transit, self.runtime.unix()
        passed = await self.desk.do(
            lambda: transit.carry(data, message, arrival, at), self._carried
        )
        return Verdict.CUSTODY if passed.links else None

    def _carried(self, passed: PassedOn) -> None:
        self.runtime.mark("transit-committed")
        self._went_on(passed)

    async def _said_already(self, receipt: Receipt, arrival: Arrival) -> None:
        """Another has told an author what we were going to, where airtime is dear."""
        outbox, at = self.desk.spool.outbox, self.runtime.unix()
        id = receipt_id(receipt.of, receipt.event, self.origin)
        self.publish(await self.desk.do(lambda: outbox.overheard(id, arrival.key, at)))

    def _went_on(self, passed: PassedOn) -> None:
        for event in passed.events:
            self.publish(event)
        self.publish(passed.passed)
        if passed.passed is not None or passed.again:
            self.on_passed(passed.links, passed.legs)

    async def _deliver(
        self, data: bytes, message: Message, arrival: Arrival
    ) -> tuple[Delivered, PassedOn]:
        spool, at = self.desk.spool, self.runtime.unix()
        answer = not arrival.confirmed and not arrival.keeps

        def op() -> tuple[Delivered, PassedOn]:
            delivered = spool.inbox.deliver(
                data,
                link=arrival.link,
                peer=arrival.peer,
                at=at,
                sinks=self.sinks,
                replayed=arrival.replayed or (not arrival.keeps and message.expires_at(at) <= at),
                keeps=arrival.keeps,
            )
            passed = self._pass_on(data, message, arrival, at, fresh=delivered.fresh)
            if delivered.fresh and answer and not passed.links:
                after = at + arrival.answer_in if arrival.answer_in else 0.0
                self.put_receipt(message, Event.DELIVERED, arrival.link, arrival.key, at, after)
            elif not delivered.fresh and arrival.slows and message.destination == self.origin:
                self._repeat_receipt(message, arrival, at)
            spool.peers.saw(message, arrival, at)
            return delivered, passed

        return await self.desk.do(op, partial(self._kept, message, arrival))

    def _pass_on(
        self, data: bytes, message: Message, arrival: Arrival, at: float, *, fresh: bool
    ) -> PassedOn:
        """Let a message for everyone go on, where this is a bridge; part of a transaction."""
        if self.transit is None or message.destination is not None:
            return PassedOn()
        if fresh:
            return self.transit.pass_on(data, message, arrival, at)
        return self.transit.again(data, message, arrival, at)

    def put_receipt(
        self, message: Message, event: Event, link: str, key: str, at: float, after: float = 0.0
    ) -> None:
        """Put a receipt into the outbox, to be sent not before then; part of a transaction."""
        receipt = receipt_for(message, event, self.origin, at)
        legs, expires_at = [LegSpec(key, link, after=after)], receipt.expires_at(at)
        self.desk.spool.outbox.put(
            receipt.to_bytes(), legs, kind=receipt.kind, expires_at=expires_at
        )

    def _repeat_receipt(self, message: Message, arrival: Arrival, at: float) -> None:
        """Say again that a message came: it came again, so what we said of it may be lost.

        Part of a transaction.
        """
        outbox = self.desk.spool.outbox
        id = receipt_for(message, Event.DELIVERED, self.origin, at).id
        if outbox.again(id, LegSpec(arrival.key, arrival.link)):
            return
        if outbox.find(id):  # other bytes, as its time is another
            outbox.drop(id)
        self.put_receipt(message, Event.DELIVERED, arrival.link, arrival.key, at)

    async def _receipt(self, message: Message, arrival: Arrival) -> None:
        """What became of a message of ours, told by a receipt."""
        receipt = Receipt.read(message)
        state = _STATES[receipt.event]
        outbox, by, at = self.desk.spool.outbox, message.id.origin, self.runtime.unix()

        def op() -> Progress | None:
            told = outbox.events(receipt.of)
            if any(event.state is state and event.by == by for event in told):
                return None  # the same receipt again
            legs = outbox.find(receipt.of)
            one = any(Message.from_bytes(leg.message).destination is not None for leg in legs[:1])
            key = None if one else arrival.key  # what is for one is there, whichever way it went
            done = state is not State.SENT
            return outbox.progress(receipt.of, key, state, at=at, by=by, done=done)

        await self.desk.do(op, self.publish)


_STATES = {
    Event.CUSTODY: State.SENT,
    Event.DELIVERED: State.DELIVERED,
    Event.PLAYED: State.PLAYED,
    Event.REFUSED: State.REFUSED,
    Event.EXPIRED: State.EXPIRED,
}
