"""Messages over datagram links: frames between a link, its conversation and the hub.

The law of this module: it decides nothing about repairs and timers (``framing.peer`` does) and
keeps nothing (the spool does).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .carrier import GIVE_UP, WINDOW, Args, Carrier, pace_of
from .draft import BLIND_LOSS, blind_parity, burst_airtime, padded_size
from .errors import FrameError, PacketTooBig, SpoolError, TooLong, Withdrawn
from .events import State
from .framing import frame as frames
from .framing.assemble import Complete
from .framing.effects import Arrived, Asked, Confirmed, Effect, GaveUp, Greeted, Met, Out
from .framing.frame import Poll, Symbol, Verdict, Whole
from .framing.overhear import Overheard, Overhearing
from .framing.peer import Conversation
from .framing.split import Splitter
from .hub import Arrival, Hub
from .link import Address, Packet, Refused
from .message import Message, MessageId, check_of, destination_of
from .outbox import Leg, Weight

HOLD = 3600.0
"""Seconds after which what is held back is looked at again, whatever the wall clock said."""

ANSWERED_BY_SILENCE = 2
"""Silences in a row after which a message holds back no other, where airtime is dear."""

UNANSWERED = 16
"""Messages that may wait for an answer at once there."""

MAX_ASKING = 64
"""Messages without a destination that are looked at once."""


@dataclass(slots=True)
class Sending:
    """A leg in flight."""

    leg: Leg
    recorded: int
    attempts: int
    sent: bool


@dataclass(frozen=True, slots=True)
class _Question:
    """An address is asked who is there: with which nonce, how often so far, and when again."""

    nonce: int
    times: int
    again: float


class DatagramCarrier(Carrier):
    """Serves a datagram link: frames, by the peer protocol."""

    def __init__(self, hub: Hub, name: str, key: str) -> None:
        super().__init__(hub, name, key)
        self._talk: Conversation | None = None
        self._sending: dict[int, Sending] = {}
        self._ending: set[int] = set()
        self._asked: dict[Address, _Question] = {}
        self._questions: dict[int, Address] = {}
        self._early: dict[int, Refused] = {}
        self._overhearing = Overhearing()
        self._passing_at = math.inf

    @property
    def flying(self) -> Collection[MessageId]:
        return {sending.leg.id for sending in [*self._sending.values()]}  # asked in a thread

    @property
    def busy(self) -> bool:
        owes = self._talk is not None and self._talk.owes
        return super().busy or bool(self._sending) or bool(self._ending) or owes

    @property
    def talk(self) -> Conversation:
        """The conversation on the link that is open."""
        assert self._talk is not None
        return self._talk

    def drop(self, id: MessageId, tag: int) -> None:
        if self._talk is not None:
            self._talk.abandon(tag)
        self._sending.pop(tag, None)
        self.wake()

    def _begin_anew(self) -> None:
        limits = self._link.limits
        self._talk = Conversation(
            self.name,
            self.hub.origin,
            pace_of(limits, self.hub),
            self.hub.assembler,
            replies=limits.replies,
            own=limits.own,
            carries=self.hub.transit is not None,
        )
        self._sending.clear()
        if limits.replies and not limits.dear:
            self._talk.hello(self.hub.random.getrandbits(32))  # who waits for us need not wait on

    # In

    async def _read(self) -> None:
        while True:
            packet = await self._link.receive()
            try:
                frame = frames.unpack(packet.data)
            except FrameError as error:
                self.hub.stranger(self.name, error)
                continue
            now = self.hub.runtime.now()
            if self.hub.transit is not None and isinstance(frame, Whole | Symbol):
                self._overhearing.heard(frame, now)
            for effect in self.talk.hear(frame, packet.peer, now):
                await self._on(effect, packet)
            self._wake.set()

    async def _reports(self) -> None:
        async for report in self._link.reports():
            if isinstance(report, Refused):
                await self._refused(report)

    async def _refused(self, report: Refused) -> None:
        address = self._questions.pop(report.ticket, None)
        if address is not None and report.retry_after is None:
            await self._nobody_at(address, report.reason)
            return
        self.hub.trouble(self.name, report.reason)
        # It may be known only in a moment which frame had this ticket.
        self._early = dict([*self._early.items(), (report.ticket, report)][-WINDOW:])

    async def _nobody_at(self, address: Address, reason: str) -> None:
        """The link has no such address: what is for it will never go out here."""
        self._asked.pop(address, None)
        outbox = self.hub.desk.spool.outbox
        reason = f"no node called {address!r} was ever heard, and {reason}"
        for leg in await self.hub.desk.do(lambda: outbox.waiting(self.key, wants_destination=True)):
            if leg.to == address:
                await self.hub.progress(leg.id, self.key, State.REFUSED, reason=reason, done=True)

    async def _on(self, effect: Effect, packet: Packet | None) -> None:
        match effect:
            case Arrived():
                await self._spawn(self._if_spooled, self._commit, effect, packet)
            case Confirmed():
                await self._spawn(self._confirmed, effect)
            case GaveUp(tag):
                await self._spawn(self._gave_up, tag)
            case Asked():
                await self._spawn(self._if_spooled, self._asked_for, effect)
            case Met(origin, peer):
                await self._spawn(self._if_spooled, self._met, origin, peer)
            case Greeted(nonce, origin):
                address = self._answered(nonce, packet.peer if packet is not None else None)
                if address is not None:
                    await self._spawn(self._if_spooled, self._met, origin, address)

    def _answered(self, nonce: int, peer: Address | None) -> Address | None:
        """Return the address that was asked, if this is its answer; others hear a question too."""
        limits = self._link.limits
        for address, question in self._asked.items():
            if question.nonce == nonce:
                return None if limits.shared and peer != limits.spelled(address) else address
        return None

    async def _if_spooled(
        self, answer: Callable[[*Args], Coroutine[Any, Any, None]], *args: *Args
    ) -> None:
        """Answer what was heard if the spool lets us; if not, whoever said it will say it again."""
        try:
            await answer(*args)
        except SpoolError as error:
            self.hub.trouble(self.name, f"what arrives is not accepted, nor confirmed: {error}")

    async def _commit(self, arrived: Arrived, packet: Packet | None) -> None:
        complete = arrived.complete
        heard = self._overhearing.of(complete.message, self.hub.runtime.now(), 0.0)
        arrival = Arrival(
            self.name,
            self.key,
            complete.via.peer,
            complete.hops,
            replayed=packet.replayed if packet else False,
            keeps=self._link.limits.keeps,
            confirmed=not complete.hops or not self._link.limits.replies,
            answer_in=self._answers_in(complete),
            whole=heard is Overheard.ALL,
        )
        verdict = await self._accept(complete.message, arrival)
        if verdict is None:
            return
        if packet is not None:
            packet.ack()
        self._confirm(complete.message, verdict, complete.via.peer)
        self._look |= not arrival.confirmed  # there may be a receipt to send

    def _answers_in(self, complete: Complete) -> float:
        """Return the seconds in which somebody else may tell its author what we would."""
        if not complete.hops or destination_of(complete.message)[1] is not None:
            return 0.0
        return self.talk.answers_in(check_of(complete.message), self.hub.runtime.now())

    def _confirm(self, message: bytes, verdict: Verdict, peer: Address | None) -> None:
        to_all = destination_of(message)[1] is None
        now = self.hub.runtime.now()
        tag = check_of(message)
        self.talk.committed(tag, verdict, now, to_all=to_all, peer=peer)
        self._wake.set()

    async def _asked_for(self, asked: Asked) -> None:
        """Somebody polls for what this process knows nothing of; the spool may."""
        poll = asked.poll
        known, verdict = await self.hub.desk.do(lambda: self._known(poll))
        now = self.hub.runtime.now()
        if verdict is not None:
            to_all = poll.destination == 0
            self.talk.committed(poll.tag, verdict, now, to_all=to_all, peer=asked.peer)
        elif not known:
            self.talk.lacking(poll, asked.peer, now)
        self._wake.set()

    def _known(self, poll: Poll) -> tuple[bool, Verdict | None]:
        """Return whether a message that is polled for came, and what was done with it.

        Part of a transaction.
        """
        inbox = self.hub.desk.spool.inbox
        id = inbox.with_tag(poll.tag, poll.speaker)
        if id is None:
            return False, None
        way = inbox.passed(id, poll.tag)
        if way is not None and (way.to_all or way.source == self.key):
            return True, Verdict.CUSTODY
        return True, Verdict.DELIVERED if poll.destination in (0, self.hub.origin) else None

    async def _met(self, origin: int, peer: Address) -> None:
        """An origin spoke: remember where, and free what waited to know who is there."""
        spool, at = self.hub.desk.spool, self.hub.runtime.unix()
        await self.hub.desk.do(lambda: spool.peers.learn(origin, self.key, peer, None, at))
        if peer not in self._asked:
            return
        for leg in await self.hub.desk.do(
            lambda: spool.outbox.waiting(self.key, wants_destination=True)
        ):
            if leg.to == peer:
                await self._address(leg, origin)
        self._asked.pop(peer, None)
        self.wake()

    async def _address(self, leg: Leg, origin: int) -> None:
        message = Message.from_bytes(leg.message).addressed_to(origin).to_bytes()
        with suppress(Withdrawn):  # dropped meanwhile, or another link was faster
            await self.hub.desk.do(lambda: self.hub.desk.spool.outbox.rewrite(leg.id, message))

    async def _confirmed(self, effect: Confirmed) -> None:
        sending = self._sending.pop(effect.tag, None)
        if sending is None:
            return
        states = {
            Verdict.DELIVERED: State.DELIVERED,
            Verdict.CUSTODY: State.SENT,
            Verdict.REFUSED: State.REFUSED,
        }
        state, reason = states[effect.verdict], None
        if state is State.REFUSED:
            reason = "the far end refused it"
        await self._end(effect.tag, sending.leg, state, by=effect.by, reason=reason)

    async def _gave_up(self, tag: int) -> None:
        sending = self._sending.pop(tag, None)
        if sending is not None:
            reason = f"nobody confirmed it, {GIVE_UP} times asked"
            await self._end(tag, sending.leg, State.UNKNOWN, reason=reason)

    async def _end(
        self, tag: int, leg: Leg, state: State, *, by: int | None = None, reason: str | None = None
    ) -> None:
        """Write down what became of a message; until that is committed, it looks unsent."""
        self._ending.add(tag)
        try:
            await self.hub.progress(leg.id, self.key, state, by=by, reason=reason, done=True)
        finally:
            self._ending.discard(tag)
        self.wake()

    # Out

    async def _write(self) -> None:
        while True:
            if self.talk.pace.airtime and self.talk.falls_silent(self.hub.runtime.now()):
                self._look = True  # another may begin before that one is asked after again
            while self._look:  # what was not begun after all leaves room for what is behind it
                self._look = False
                await self._fill()
            out = self.talk.take(self.hub.runtime.now())
            for effect in self.talk.effects():
                await self._on(effect, None)
            if out is not None:
                await self._send(out)
            else:
                deadline = self.talk.next_deadline()
                wait = None if deadline is None else deadline - self.hub.runtime.now()
                await self._wait(self._soonest(wait))

    def _soonest(self, wait: float | None) -> float | None:
        """Return when to look again: at the protocol's time, or for what waits for its own."""
        times = [each.again for each in self._asked.values()]
        again = min([*times, self._passing_at]) - self.hub.runtime.now()
        if math.isinf(again):
            return wait
        if again <= 0:
            self._look, self._passing_at = True, math.inf
        return max(0.0, again) if wait is None else min(wait, max(0.0, again))

    async def _fill(self) -> None:
        """Ask for destinations, and take messages from the outbox until the window is full."""
        limit = WINDOW + len(self._sending) + len(self._ending) + 1
        waiting, places = await self.hub.desk.do(lambda: self._waiting(limit))
        before = set(self._sending)
        # Told apart before anything else is awaited: what ends meanwhile would look new.
        new = [leg for leg in waiting if self._is_new(leg)]
        await self._ask_for([leg for leg in new if leg.wants_destination])
        for leg in new:
            if not leg.wants_destination and self._may_begin():
                await self._begin(leg, places)
        # All their bursts in one commit; the writer would else wait for the disk once for each.
        begun = [each for each in self._sending.items() if each[0] not in before]
        await asyncio.gather(*(self._recorded(*each) for each in begun))

    def _may_begin(self) -> bool:
        """Tell whether another message may begin: where airtime is dear, one after the other.

        One that nobody answers does not hold back those behind it.
        """
        if self.talk.pace.airtime is None:
            return len(self._sending) < WINDOW
        return len(self._sending) < UNANSWERED and self._only_unanswered()

    def _only_unanswered(self) -> bool:
        """Whether nobody has answered for anything on its way, its burst and a poll at least."""
        now = self.hub.runtime.now()
        return all(self.talk.silences(tag, now) >= ANSWERED_BY_SILENCE for tag in self._sending)

    async def _ask_for(self, legs: Sequence[Leg | Weight]) -> None:
        """Ask who is at the addresses that these legs are for."""
        wanted = {leg.to for leg in legs}
        self._asked = {to: each for to, each in self._asked.items() if to in wanted}
        for leg in legs:
            await self._ask_who(leg)

    def _waiting(self, limit: int) -> tuple[list[Leg], dict[int, Address | None]]:
        """Return legs to send, and where their destinations are; part of a transaction."""
        outbox, transit, at = self.hub.desk.spool.outbox, self.hub.transit, self.hub.runtime.unix()
        passing = transit is None or transit.opens_at(self.key, at) <= at
        # Who waits for a destination waits beside the others: however many, they hold nothing up.
        legs = outbox.waiting(self.key, limit=MAX_ASKING, wants_destination=True)
        legs += outbox.waiting(self.key, limit=limit, wants_destination=False, passing=passing)
        look_at = transit.next(self.key, at) if transit else outbox.next_after(self.key)
        if look_at is not None:
            self._passing_at = self.hub.runtime.now() + min(HOLD, look_at - at)
        return legs, self._places(leg.message for leg in legs)

    def _places(self, heads: Iterable[bytes]) -> dict[int, Address | None]:
        """Return where the destinations of messages are on this link; part of a transaction."""
        peers = self.hub.desk.spool.peers
        origins = {destination_of(head)[1] for head in heads}
        return {
            origin: peers.address_of(origin, self.key) for origin in origins if origin is not None
        }

    def _is_new(self, leg: Leg) -> bool:
        tag = check_of(leg.message)
        return tag not in self._sending and tag not in self._ending

    async def _ask_who(self, leg: Leg | Weight) -> None:
        """Ask an address whose origin we do not know; until it answers, the message waits."""
        if leg.to is None or (len(self._asked) >= WINDOW and leg.to not in self._asked):
            return
        asked = self._asked.get(leg.to)
        if asked is not None and self.hub.runtime.now() < asked.again:
            return
        # The same nonce again, so that an answer that comes late is one, too.
        nonce = asked.nonce if asked else self.hub.random.getrandbits(32)
        self._wait_for_answer(leg.to, nonce, asked.times + 1 if asked else 1)
        self.talk.hello(nonce, leg.to, self._link.limits.number(leg.to))
        if asked is None:
            reason = f"asking who is at {leg.to}"
            await self.hub.progress(leg.id, self.key, State.QUEUED, reason=reason)

    def _wait_for_answer(self, address: Address, nonce: int, times: int) -> None:
        """Ask an address again unless an answer comes in time."""
        pace = self.talk.pace
        out_at = max(self.hub.runtime.now(), pace.clear)
        self._asked[address] = _Question(nonce, times, out_at + pace.unanswered(times))

    async def _begin(self, leg: Leg, places: Mapping[int, Address | None]) -> None:
        limits, now = self._link.limits, self.hub.runtime.now()
        destination = destination_of(leg.message)[1]
        to = None if destination is None else places[destination]
        try:
            splitter = Splitter.of(leg.message, limits.mtu(to), leg.hops)
        except TooLong as error:
            await self.hub.progress(leg.id, self.key, State.REFUSED, reason=str(error), done=True)
            return
        resumed = leg.sent and limits.replies and leg.next_index > 0
        if leg.origin is not None and not resumed and not await self._goes_on(leg, to):
            return
        tag = check_of(leg.message)
        self._sending[tag] = Sending(leg, leg.next_index, leg.attempts, sent=resumed)
        if resumed:
            self.talk.resume(splitter, now, destination=destination, to=to, first=leg.next_index)
            return
        k = splitter.cut.k
        extra = self._parity(k, destination, leg.parity)
        self.talk.begin(splitter, now, destination=destination, to=to, extra=extra)
        self.hub.hooks.framed(Message.from_bytes(leg.message), splitter.frames(range(k + extra)))
        await self._spawn(self.hub.progress, leg.id, self.key, State.ON_AIR)

    async def _goes_on(self, leg: Leg, to: Address | None) -> bool:
        """Tell whether a message of others is to be sent here now: not if somebody else does it."""
        now, at = self.hub.runtime.now(), self.hub.runtime.unix()
        airtime = burst_airtime(len(leg.message), self._link.limits, to, 0)
        heard = self._overhearing.of(leg.message, now, airtime)
        if heard is Overheard.NOTHING:
            return await self._crosses(leg.id, airtime)
        outbox = self.hub.desk.spool.outbox
        if heard is Overheard.ALL:
            ended = await self.hub.desk.do(lambda: outbox.overheard(leg.id, self.key, at))
            self.hub.publish(ended)
        else:
            await self.hub.desk.do(lambda: outbox.put_off(leg.id, self.key, at + airtime))
        self._look = True
        return False

    async def _crosses(self, id: MessageId, airtime: float) -> bool:
        """Tell whether a message of others may go now; else all of them wait, or it never does."""
        opens_in = await self.hub.desk.do(lambda: self._admit(airtime))
        if opens_in == math.inf:
            reason = f"its burst takes {airtime:.1f} s of air, more than may cross in an hour"
            await self.hub.progress(id, self.key, State.REFUSED, reason=reason, done=True)
        self._look |= opens_in > 0
        return opens_in <= 0

    def _admit(self, airtime: float) -> float:
        """Count a message of others if it may go now, else hold all; part of a transaction.

        Returns:
            The seconds until it may go; infinity: it never may.
        """
        transit, at = self.hub.transit, self.hub.runtime.unix()
        if transit is None:
            return 0.0
        opens_at = transit.opens_at(self.key, at, airtime)
        if opens_at <= at:
            transit.cross(self.key, at, airtime)
        elif opens_at < math.inf:
            self.hub.desk.spool.outbox.hold(self.key, min(opens_at, at + HOLD))
        return opens_at - at

    def _parity(self, k: int, destination: int | None, most: int | None) -> int:
        """Return how many frames of parity go up front with a message cut in ``k``."""
        replies = self._link.limits.replies
        planned = self.talk.plan(k, destination) if replies else blind_parity(k, BLIND_LOSS)
        return planned if most is None else min(planned, most)

    async def _send(self, out: Out) -> None:
        sending = self._sending.get(out.tag) if out.flight else None
        if sending is not None and not await self._recorded(out.tag, sending):
            return
        limits = self._link.limits
        data, length = out.data, padded_size(len(out.data), limits, out.to)
        if length > len(data):
            data = frames.pad(data, length)
        try:
            ticket = await self._hand(out, data)
        except PacketTooBig:
            await self._too_big(out, sending)
            return
        if ticket is None:
            return
        self.hub.runtime.mark("frame-sent")
        ended = self.talk.sent(out, self.hub.runtime.now())
        if not out.flight and out.to in self._asked:
            await self._question_is_out(out, self._asked[out.to], ticket)
        if ended:
            await self._burst_ended(out.tag)
        if ended and sending is not None and not sending.sent:
            sending.sent = True
            await self._spawn(self._burst_is_out, out.tag, sending)

    async def _question_is_out(self, out: Out, question: _Question, ticket: int) -> None:
        """Wait for the answer from now on; the radio, or the hour, may have taken its time."""
        if out.to is None or out.tag != question.nonce:
            return
        self._wait_for_answer(out.to, question.nonce, question.times)
        self._questions = dict([*self._questions.items(), (ticket, out.to)][-WINDOW:])
        if (early := self._early.pop(ticket, None)) is not None:
            await self._refused(early)

    async def _hand(self, out: Out, data: bytes) -> int | None:
        """Give a frame to the link, and return its ticket; None: it did not go out."""
        return await self._link.send(data, to=out.to)

    async def _burst_ended(self, tag: int) -> None:
        """The last frame of a burst was given to the link."""

    async def _recorded(self, tag: int, sending: Sending) -> bool:
        """Write down the next index before the burst that ends there; False: it was dropped."""
        index = self.talk.next_index(tag)
        if index is None or index == sending.recorded:
            return True
        sending.recorded, sending.attempts = index, sending.attempts + 1
        outbox, leg = self.hub.desk.spool.outbox, sending.leg
        try:
            await self.hub.desk.do(
                lambda: outbox.burst(leg.id, self.key, attempts=sending.attempts, next_index=index)
            )
        except Withdrawn as error:
            self.hub.trouble(self.name, error)
            self.drop(leg.id, tag)
            return False
        self.hub.runtime.mark("burst-recorded")
        return True

    async def _burst_is_out(self, tag: int, sending: Sending) -> None:
        done = not self._link.limits.replies
        await self.hub.progress(sending.leg.id, self.key, State.SENT, done=done)
        self.hub.runtime.mark("burst-sent")
        self.hub.hooks.sent(Message.from_bytes(sending.leg.message), self.name)
        if done:
            self._sending.pop(tag, None)
            self.wake()

    async def _too_big(self, out: Out, sending: Sending | None) -> None:
        """The link's MTU shrank while a message was on its way: cut it anew."""
        self.talk.sent(out, self.hub.runtime.now())
        if sending is not None:
            self.talk.abandon(out.tag)
            del self._sending[out.tag]
            self.wake()
