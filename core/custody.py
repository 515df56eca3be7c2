"""Messages over message links: envelopes, whose custody the link itself confirms.

The law of this module: what the link has accepted is out of our hands; what is for one node stays
in the outbox until that node's receipt comes back.
"""

from __future__ import annotations

import math

from .carrier import WINDOW, Carrier
from .envelope import Envelope
from .errors import FrameError, PacketTooBig, Withdrawn
from .events import State
from .hub import Arrival, Hub
from .link import Accepted, Heard, Packet, Refused
from .message import Kind, Message, MessageId
from .outbox import Leg


class MessageCarrier(Carrier):
    """Serves a message link: envelopes, whose custody the link itself confirms."""

    def __init__(self, hub: Hub, name: str, key: str) -> None:
        super().__init__(hub, name, key)
        self._tickets: dict[int, Leg] = {}
        self._early: dict[int, Accepted | Refused | Heard] = {}
        self._flying: set[MessageId] = set()
        self._later: dict[MessageId, float] = {}

    @property
    def busy(self) -> bool:
        return super().busy or bool(self._flying)

    def drop(self, id: MessageId, tag: int) -> None:
        self._flying.discard(id)

    def _begin_anew(self) -> None:
        self._tickets.clear()
        self._early.clear()
        self._flying.clear()

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
        keeps = self._link.limits.keeps
        arrival = Arrival(self.name, self.key, packet.peer, envelope.hops, packet.replayed, keeps)
        accepted = await self._accept(envelope.message, arrival)
        if not accepted:
            packet.skip()
            return
        packet.ack()
        self.wake()  # there may be a receipt to send

    async def _reports(self) -> None:
        async for report in self._link.reports():
            if isinstance(report, Accepted | Refused | Heard):
                await self._report(report)

    async def _report(self, report: Accepted | Refused | Heard) -> None:
        leg = self._tickets.get(report.ticket)
        if leg is None:
            self._early[report.ticket] = report  # it came before send had returned
            return
        if isinstance(report, Heard):
            await self.hub.progress(leg.id, self.key, State.HEARD)
            return
        del self._tickets[report.ticket]
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
        done = (
            message.destination is None or not self._link.limits.replies or leg.kind is Kind.RECEIPT
        )
        await self.hub.progress(leg.id, self.key, State.SENT, done=done)
        self.hub.runtime.mark("burst-sent")
        self.hub.hooks.sent(message, self.name)

    async def _put_off(self, leg: Leg, reason: str, seconds: float) -> None:
        self._later[leg.id] = self.hub.runtime.now() + seconds
        until = self.hub.runtime.unix() + seconds
        await self.hub.progress(leg.id, self.key, State.QUEUED, reason=reason, until=until)

    async def _write(self) -> None:
        while True:
            if self._look:
                self._look = False
                await self._fill()
            now = self.hub.runtime.now()
            due = min(self._later.values(), default=math.inf)
            if due <= now:
                self._later = {id: at for id, at in self._later.items() if at > now}
                self._look = True
            else:
                await self._wait(None if due == math.inf else due - now)

    async def _fill(self) -> None:
        """Give messages of the outbox to the link until its window is full."""
        waiting, unaddressed = await self.hub.desk.do(self._waiting)
        # Told apart before anything else is awaited: what ends meanwhile would look unsent.
        new = [leg for leg in waiting if leg.id not in self._flying and leg.id not in self._later]
        for leg in new[: WINDOW - len(self._flying)]:
            await self._send(leg)
        for leg in unaddressed:
            if leg.reason is None:
                reason = f"who {leg.to} is, is not known yet"
                await self.hub.progress(leg.id, self.key, State.QUEUED, reason=reason)

    def _waiting(self) -> tuple[list[Leg], list[Leg]]:
        """Return legs to send, and legs whose destination is not known; part of a transaction."""
        outbox = self.hub.desk.spool.outbox
        limit = WINDOW + len(self._flying) + len(self._later)
        return (
            outbox.waiting(self.key, limit=limit, wants_destination=False, unsent=True),
            outbox.waiting(self.key, limit=WINDOW, wants_destination=True),
        )

    async def _send(self, leg: Leg) -> None:
        outbox = self.hub.desk.spool.outbox
        try:
            await self.hub.desk.do(
                lambda: outbox.burst(leg.id, self.key, attempts=leg.attempts + 1, next_index=1)
            )
        except Withdrawn:
            return
        self.hub.runtime.mark("burst-recorded")
        await self.hub.progress(leg.id, self.key, State.ON_AIR)
        self._flying.add(leg.id)
        try:
            ticket = await self._link.send(Envelope(leg.message).to_bytes())
        except PacketTooBig as error:
            self._flying.discard(leg.id)
            await self.hub.progress(leg.id, self.key, State.REFUSED, reason=str(error), done=True)
            return
        self.hub.runtime.mark("frame-sent")
        self._tickets[ticket] = leg
        if (report := self._early.pop(ticket, None)) is not None:
            await self._report(report)
