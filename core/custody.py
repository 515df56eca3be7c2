"""Messages over message links: envelopes, whose custody the link itself confirms.

The law of this module: what the link has accepted is out of our hands; what is for one node stays
in the outbox until that node's receipt comes back, and is sent again where that takes too long.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .carrier import Carrier
from .envelope import Envelope
from .errors import FrameError, PacketTooBig, Withdrawn
from .events import State
from .framing.frame import Verdict
from .hub import Arrival, Hub
from .link import Accepted, Forgot, Heard, Link, Packet, Refused
from .message import Kind, Message, MessageId
from .outbox import Leg
from .transit import Crowded

WINDOW = 256
"""Messages on their way at once; many of them are written down by one commit."""

LOOK = 60.0
"""Seconds after which is looked again, whatever the wall clock said."""


AGAIN = 30.0
"""Seconds until what nobody has confirmed is sent again; then twice as long each time."""

BACK = 3.0
"""Seconds in which others come back, too, after the far end has forgotten us all."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a link has to send.

    Args:
        legs: to be sent now.
        unaddressed: those whose destination is not known.
        look_at: when more may go, Unix seconds; None: not by itself.
    """

    legs: Sequence[Leg]
    unaddressed: Sequence[Leg]
    look_at: float | None = None


class MessageCarrier(Carrier):
    """Serves a message link: envelopes, whose custody the link itself confirms."""

    def __init__(self, hub: Hub, name: str, key: str) -> None:
        super().__init__(hub, name, key)
        self._tickets: dict[int, Leg] = {}
        self._early: dict[int, Accepted | Refused | Heard] = {}
        self._gone: list[Leg] = []
        self._crowd = 0  # messages of this link that wait for room
        self._flying: set[MessageId] = set()
        self._picked: frozenset[MessageId] = frozenset()
        self._offered: deque[Leg] = deque()
        self._later: dict[MessageId, float] = {}
        self._look_at = math.inf
        self._drained = False  # nothing waits in the outbox that is not on its way

    @property
    def flying(self) -> Collection[MessageId]:
        return self._flying | self._picked

    @property
    def busy(self) -> bool:
        return super().busy or bool(self._flying)

    def drop(self, id: MessageId, tag: int) -> None:
        self._flying.discard(id)

    def offer(self, leg: Leg) -> None:
        if self._drained and not self._look and len(self._flying) < WINDOW:
            self._flying.add(leg.id)
            self._offered.append(leg)
            self._wake.set()
        else:
            self.wake()

    async def serve(self, link: Link) -> None:
        try:
            await super().serve(link)
        finally:
            self._begin_anew()  # all of it waits in the outbox again, and may give way there
            self._look = True

    def _begin_anew(self) -> None:
        self._tickets.clear()
        self._early.clear()
        self._offered.clear()
        self._gone.clear()
        self._flying.clear()
        self._picked = frozenset()
        self._look_at = math.inf
        self._drained = False

    async def _read(self) -> None:
        while True:
            packet = await self._link.receive()
            try:
                envelope = Envelope.from_bytes(packet.data)
            except FrameError as error:
                self.hub.stranger(self.name, error)
                packet.skip()
                continue
            await self._spawn(self._commit, envelope, packet)

    async def _commit(self, envelope: Envelope, packet: Packet) -> None:
        arrival = Arrival(
            self.name,
            self.key,
            packet.peer,
            envelope.hops,
            replayed=packet.replayed,
            keeps=self._link.limits.keeps,
            route=envelope.route,
            extra=envelope.extra,
            slows=not self._link.limits.keeps,
        )
        verdict = await self._accept_in_turn(envelope.message, arrival)
        if verdict is not Verdict.DELIVERED:
            packet.skip()  # it is for somebody else, and goes on if this is a bridge
            return
        packet.ack()
        self.wake()  # there may be a receipt to send

    async def _accept_in_turn(self, data: bytes, arrival: Arrival) -> Verdict | None:
        """Commit a message as soon as there is room for it; until then its link holds it.

        Where others wait already it is not even tried: it would be in vain, and has to be undone.
        """
        if self._crowd:
            await self._room()
        while True:
            try:
                return await self._accept(data, arrival)
            except Crowded:
                await self._room()

    async def _room(self) -> None:
        self._crowd += 1
        try:
            await self.hub.crowd.wait()
        finally:
            self._crowd -= 1

    async def _reports(self) -> None:
        async for report in self._link.reports():
            if isinstance(report, Accepted) and self._passed_on(report):
                await self._goes(self._tickets.pop(report.ticket))
            elif isinstance(report, Accepted | Refused | Heard):
                await self._spawn(self._report, report)  # many commits go to the disk as one
            elif isinstance(report, Forgot):
                await self._spawn(self._forgotten)

    def _passed_on(self, report: Accepted) -> bool:
        leg = self._tickets.get(report.ticket)
        return leg is not None and leg.origin is not None

    async def _goes(self, leg: Leg) -> None:
        """Write down that a message of others is gone, by one commit with those that follow."""
        self._gone.append(leg)
        if len(self._gone) == 1:
            await self._spawn(self._went)

    async def _went(self) -> None:
        """The link has custody; what becomes of these is their authors' to follow."""
        legs, self._gone = self._gone, []
        await self.hub.went([leg.id for leg in legs], self.key, self.name)
        for leg in legs:
            self._flying.discard(leg.id)  # only now: until this is written, it looks unsent
            self.hub.runtime.mark("burst-sent")
            self.hub.hooks.sent(Message.from_bytes(leg.message), self.name)
        if not self._drained:
            self.wake()

    async def _report(self, report: Accepted | Refused | Heard) -> None:
        leg = self._tickets.get(report.ticket)
        if leg is None:
            self._early[report.ticket] = report  # it came before send had returned
            return
        if isinstance(report, Heard):
            await self.hub.progress(leg.id, self.key, State.HEARD)
            return
        del self._tickets[report.ticket]
        if isinstance(report, Accepted) and leg.origin is not None:
            await self._goes(leg)
            return
        if isinstance(report, Accepted):
            await self._taken(leg)
        elif report.retry_after is None:
            await self.hub.progress(
                leg.id, self.key, State.REFUSED, reason=report.reason, done=True
            )
        else:
            await self._put_off(leg, report.reason, report.retry_after)
        self._flying.discard(leg.id)  # only now: until this is written, it looks unsent
        self.wake()

    async def _taken(self, leg: Leg) -> None:
        """The link has custody; what is for one node waits for that node's receipt."""
        message = Message.from_bytes(leg.message)
        wanted = message.destination is not None and leg.kind is not Kind.RECEIPT
        done = not wanted or not self._link.limits.replies
        after = None if done or self._link.limits.keeps else self._again(leg)
        await self.hub.progress(leg.id, self.key, State.SENT, done=done, after=after)
        self.hub.runtime.mark("burst-sent")
        self.hub.hooks.sent(message, self.name)

    def _again(self, leg: Leg) -> float:
        """Return when a message is sent again if nobody confirms it, Unix seconds."""
        pause = AGAIN * 2.0 ** min(leg.attempts, 16)  # as they were before it went out now
        self._look_in(pause)
        return self.hub.runtime.unix() + pause

    def _look_in(self, seconds: float) -> None:
        self._look_at = min(self._look_at, self.hub.runtime.now() + seconds)

    async def _forgotten(self) -> None:
        """Have what nobody has confirmed sent again, once those may be back that it is for."""
        outbox, at = self.hub.desk.spool.outbox, self.hub.runtime.unix()
        if self.hub.transit is not None:
            self.hub.transit.forgot(self.key, at)
        events = await self.hub.desk.do(lambda: outbox.forgotten(self.key, at + BACK))
        for event in events:
            self.hub.publish(event)
        if events:
            self._look_in(BACK)
            self.wake()

    async def _put_off(self, leg: Leg, reason: str, seconds: float) -> None:
        self._later[leg.id] = self.hub.runtime.now() + seconds
        until = self.hub.runtime.unix() + seconds
        await self.hub.progress(leg.id, self.key, State.QUEUED, reason=reason, until=until)

    async def _write(self) -> None:
        while True:
            await self._send_all(self._offered)
            if self._look:
                self._look = False
                await self._fill()
            now = self.hub.runtime.now()
            due = min([*self._later.values(), self._look_at])
            if due <= now:
                self._later = {id: at for id, at in self._later.items() if at > now}
                self._look_at = math.inf
                self._look = True
            else:
                await self._wait(None if due == math.inf else due - now)

    async def _fill(self) -> None:
        """Give messages of the outbox to the link until its window is full."""
        busy = frozenset([*self._flying, *self._later])
        room = WINDOW - len(self._flying)
        self._drained = False
        waiting = await self.hub.desk.do(lambda: self._waiting(busy, room))
        # Told apart before anything else is awaited: what ends meanwhile would look unsent.
        new = [leg for leg in waiting.legs if leg.id not in self._flying]
        self._drained = len(waiting.legs) < room and waiting.look_at is None
        self._flying.update(leg.id for leg in new)
        self._picked = frozenset()
        if waiting.look_at is not None:
            self._look_in(min(LOOK, waiting.look_at - self.hub.runtime.unix()))
        await self._send_all(deque(new))
        for leg in waiting.unaddressed:
            if leg.reason is None:
                reason = f"who {leg.to} is, is not known yet"
                await self.hub.progress(leg.id, self.key, State.QUEUED, reason=reason)

    def _waiting(self, busy: frozenset[MessageId], room: int) -> Waiting:
        """Return at most ``room`` legs that are not busy; part of a transaction."""
        outbox, transit = self.hub.desk.spool.outbox, self.hub.transit
        at, limit = self.hub.runtime.unix(), room + len(busy)
        unaddressed = outbox.waiting(self.key, limit=WINDOW, wants_destination=True)
        opens_at = at if transit is None else transit.opens_at(self.key, at)
        legs = outbox.waiting(
            self.key, limit=limit, wants_destination=False, unsent=True, passing=opens_at <= at
        )
        legs = [leg for leg in legs if leg.id not in busy][:room]
        if transit is None:
            known = self._look_at < math.inf
            return Waiting(legs, unaddressed, None if known else outbox.next_after(self.key))
        admitted = transit.admit(self.key, legs, at)
        self._picked = frozenset(leg.id for leg in admitted)  # from now on none of them gives way
        return Waiting(admitted, unaddressed, transit.next(self.key, at))

    async def _send_all(self, legs: deque[Leg]) -> None:
        while legs:
            leg = legs.popleft()
            if leg.id in self._flying:  # else it was dropped while those before it went out
                await self._send(leg)

    async def _send(self, leg: Leg) -> None:
        if leg.origin is None and not await self._begins(leg):
            self._flying.discard(leg.id)
            return
        try:
            ticket = await self._link.send(_envelope(leg))
        except PacketTooBig as error:
            self._flying.discard(leg.id)
            await self.hub.progress(leg.id, self.key, State.REFUSED, reason=str(error), done=True)
            return
        self.hub.runtime.mark("frame-sent")
        self._tickets[ticket] = leg
        if (report := self._early.pop(ticket, None)) is not None:
            await self._report(report)

    async def _begins(self, leg: Leg) -> bool:
        """Write down that a message of ours goes out now; False: it must not any more."""
        outbox = self.hub.desk.spool.outbox
        try:
            await self.hub.desk.do(
                lambda: outbox.burst(leg.id, self.key, attempts=leg.attempts + 1, next_index=1)
            )
        except Withdrawn:
            return False
        self.hub.runtime.mark("burst-recorded")
        await self.hub.progress(leg.id, self.key, State.ON_AIR)
        return True


def _envelope(leg: Leg) -> bytes:
    """Return a message in its envelope, which goes on as it came, where it is not ours."""
    if leg.origin is None:
        return Envelope(leg.message).to_bytes()
    origin = leg.origin
    return Envelope(leg.message, origin.hops, origin.route, origin.extra).to_bytes()
