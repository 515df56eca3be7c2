"""The link over a room on a broker, whichever library talks to the broker.

The law of this module: what arrives is acknowledged when it is safe, or when it is known that
nobody here wants it, and never before; so what is not acknowledged stays with the broker, and comes
again. Nothing here waits for who reads the link.

A link is one connection. When that ends the link is lost; a node opens it again, after a pause, and
sends again what the broker had not acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from ...core.envelope import MAX_ENVELOPE, Envelope
from ...core.errors import (
    FrameError,
    LinkClosed,
    LinkLost,
    PacketTooBig,
    TransportError,
    TransportUnavailable,
)
from ...core.link import Accepted, Address, Forgot, Limits, LinkContext, Packet, Refused, Report
from ...core.link import Members as MembersReport
from ...core.mailbox import Mailbox
from ...core.message import Kind, Message, MessageId, id_of
from .past import Past
from .presence import Members, Status
from .reasons import (
    NO_REASON,
    PUT_OFF,
    UNSUPPORTED,
    failed,
    lost,
    no_broker,
    not_granted,
    put_off,
    reason,
    refused,
    usurped,
)
from .session import (
    FAILED,
    Account,
    Acknowledged,
    Arrived,
    Connected,
    Ended,
    Event,
    Filter,
    Granted,
    Note,
    NotMqtt,
    Session,
)
from .topics import Room, What

WINDOW = 128
"""Messages that may be on their way to the broker at once."""

BREATH = 16
"""Messages that are sent without letting others do something between them, at most."""

RECEIVE = 128
"""Messages that the broker may bring before the first of them is acknowledged."""

UNREAD = 256
"""Messages that wait for a reader, beyond which less is read from the broker."""

HELD = 1024
"""Messages that wait for a reader where the broker keeps to no such limit (MQTT 3.1.1, QoS 0)."""

RESUMED = 16 * HELD
"""As many while the link is being opened: some brokers bring all that they kept at once, before
they answer anything, and until then nobody reads."""

PATIENCE = 20.0
"""Seconds that a broker may take for each of its answers while the link is being opened."""

BESIDE = 128
"""Bytes of a packet beside topic and payload, at most."""

LARGEST = MAX_ENVELOPE + 4096
"""Bytes of the largest packet that is wanted; larger ones the broker keeps to itself (MQTT 5)."""

CONTENT = "application/x-focal-envelope"
JSON = "application/json"

_log = logging.getLogger("focal.mqtt")

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class _Flight:
    """A message that the broker has not acknowledged yet."""

    ticket: int
    id: MessageId
    topic: str
    size: int


class MqttLink:
    """An open link over a room, once ``begin`` has returned.

    Args:
        room: which.
        account: how the connection introduces itself.
        context: the node's.
        past: of the connections before.
        presence: say that the node is there.
    """

    def __init__(
        self,
        room: Room,
        account: Account,
        context: LinkContext,
        past: Past | None = None,
        *,
        presence: bool = True,
    ) -> None:
        self.ignored = 0  # what strangers published on our topics
        self.dropped = 0  # what came by QoS 0 while too much waited for the reader
        self._room = room
        self._account = account
        self._context = context
        self._past = past or Past()
        self._presence = presence
        self._limits = Limits("message", MAX_ENVELOPE)
        self._inbox: Mailbox[Packet] = Mailbox(2 * RESUMED)
        self._held = RESUMED
        self._reports: Mailbox[Report] = Mailbox()
        self._connected: Mailbox[Connected] = Mailbox()
        self._granted: Mailbox[Granted] = Mailbox()
        self._greeted: Mailbox[Acknowledged] = Mailbox()
        self._session: Session | None = None
        self._ended: Ended | None = None
        self._window = WINDOW
        self._tickets = 0
        self._flying: dict[int, _Flight] = {}
        self._freed = asyncio.Event()
        self._unacked: set[int] = set()
        self._members = Members()
        self._telling = False
        self._slow = False
        self._open = False
        self._greeting: int | None = None
        self._before: int | None = None  # since when we were here by the connection before
        self._here = False

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def unanswered(self) -> bool:
        """Whether the broker ended it as one does that does not know this version of MQTT."""
        ended = self._ended
        if ended is None or ended.connected:
            return False
        hung_up = ended.error is None or isinstance(ended.error, ConnectionResetError | NotMqtt)
        plain = not self._account.place.tls  # else it may well be that nobody speaks TLS there
        return ended.code == UNSUPPORTED or (ended.code is None and hung_up and plain)

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        """Publish an envelope on its author's topic; ``to`` means nothing here: all hear it.

        Raises:
            PacketTooBig, LinkLost, LinkClosed: as for every link.
            FrameError: these bytes are no envelope.
        """
        self._inbox.check()
        if len(data) > self._limits.size:
            raise PacketTooBig(len(data), self._limits.size)
        message = Message.from_bytes(Envelope.from_bytes(data).message)
        session = await self._place()
        self._tickets += 1
        if self._past.put_off(message.id):
            self._reports.put(Refused(self._tickets, put_off(len(data)), PUT_OFF))
        else:
            note = self._note(data, message)
            flight = _Flight(self._tickets, message.id, note.topic, len(data))
            self._flying[session.publish(note)] = flight
        return self._tickets

    async def receive(self) -> Packet:
        packet = await self._inbox.get()
        if self._slow and len(self._inbox) < UNREAD // 2:
            self._slow_down(False)
        return packet

    def _slow_down(self, on: bool) -> None:
        """Have less read from the broker: not every one keeps to what may be unacknowledged."""
        self._slow = on
        if self._session is not None:
            self._session.slow(on)

    def reports(self) -> AsyncIterator[Report]:
        return aiter(self._reports)

    async def aclose(self) -> None:
        """Say that we are gone, and end the connection."""
        here, session = self._here, self._session
        self._end(LinkClosed(f"the link to {self._room.root} is closed"))
        if session is not None:
            if here:
                session.publish(self._status(online=False, qos=0))
            await session.aclose()

    # Opening

    async def begin(self, session: Session) -> None:
        """Connect, ask for the room's topics, and say that we are there.

        Raises:
            TransportUnavailable: the broker is not there, or does not let us.
        """
        self._session = session
        session.start()
        self._suit(await self._answer(self._connected))
        filters = self._filters()
        session.subscribe(filters)
        if self._presence:
            self._before = self._past.since
            self._greeting = session.publish(self._status(online=True))
            self._here = True
        codes = (await self._answer(self._granted)).codes
        for code, asked in zip(codes, filters, strict=False):
            if code >= FAILED:
                raise TransportUnavailable(not_granted(code, asked.topics))
        if self._presence:
            self._welcomed(await self._answer(self._greeted))
        self._open, self._held = True, HELD + len(self._inbox)

    async def _answer(self, answers: Mailbox[S]) -> S:
        try:
            async with asyncio.timeout(PATIENCE):
                return await answers.get()
        except TimeoutError as error:
            raise TransportUnavailable(no_broker(self._account.place)) from error
        except LinkLost as error:  # it had taken us, and thought better of it
            raise TransportUnavailable(str(error)) from error

    def _suit(self, broker: Connected) -> None:
        """Keep to what a broker can do. Raises TransportUnavailable."""
        if self._account.keep and not broker.resumed:
            self._reports.put(Forgot())
        if broker.qos < 1:
            raise TransportUnavailable(f"the broker at {self._account.place}: {reason(0x9B)}")
        self._window = max(1, min(WINDOW, broker.window - 1))  # one is left for our presence
        if broker.size is not None:
            room = broker.size - len(self._room.root) - BESIDE
            self._limits = Limits("message", max(16, min(MAX_ENVELOPE, room)))

    def _filters(self) -> tuple[Filter, ...]:
        messages = [Filter(self._room.filter(what)) for what in ("message", "receipt")]
        # By QoS 0: of who came and went while we were away, only the last is worth knowing.
        return *messages, Filter(self._room.filter("status"), qos=0, own=True)

    def _welcomed(self, answer: Acknowledged) -> None:
        if answer.code >= FAILED:
            self._here = False
            why = reason(answer.code, answer.said)
            _log.warning("%s does not let us say that we are here: %s", self._account.place, why)

    # What the session tells

    def hear(self, event: Event) -> None:
        """Take what the session tells."""
        match event:
            case Connected():
                self._connected.put(event)
            case Granted():
                self._granted.put(event)
            case Acknowledged(number) if number == self._greeting:
                self._greeting = None
                self._greeted.put(event)
            case Acknowledged():
                self._acknowledged(event)
            case Arrived():
                self._arrived(event)
            case Ended():
                self._over(event)

    def _over(self, ended: Ended) -> None:
        self._ended = ended
        place, first = self._account.place, next(iter(self._flying.values()), None)
        if ended.connected and ended.code in NO_REASON:
            self._past.broke(first.id if first else None)
        if ended.connected:
            size = first.size if first else None
            self._end(LinkLost(lost(place, ended, self._account.client, size)))
        else:
            self._end(TransportUnavailable(failed(place, ended, self._account.user)))

    def _end(self, error: TransportError) -> None:
        for mailbox in (self._inbox, self._reports, self._connected, self._granted, self._greeted):
            mailbox.fail(error)
        self._here = False
        self._unacked.clear()
        self._flying.clear()
        self._freed.set()

    # Out

    def _note(self, data: bytes, message: Message) -> Note:
        """Return an envelope as it is published."""
        what: What = "receipt" if message.kind is Kind.RECEIPT else "message"
        now = self._context.runtime.unix()
        left = message.expires_at(now) - now
        # What is past its lifetime and is sent all the same was kept by a file or by paper.
        expiry = max(1, round(left if left > 0 else message.lifetime))
        topic = self._room.topic(message.id.origin, what)
        return Note(topic, data, expiry=expiry, content_type=CONTENT)

    async def _place(self) -> Session:
        """Wait until the broker takes one more."""
        if not self._tickets % BREATH:  # who floods must not starve who reads
            await self._context.runtime.sleep(0)
        self._inbox.check()
        while len(self._flying) >= self._window:
            self._freed.clear()
            await self._freed.wait()
            self._inbox.check()
        assert self._session is not None  # else it would not be open
        return self._session

    def _acknowledged(self, answer: Acknowledged) -> None:
        flight = self._flying.pop(answer.number, None)
        if flight is None:
            return
        self._freed.set()
        self._past.took(flight.id)
        if answer.code < FAILED:
            self._reports.put(Accepted(flight.ticket))
        else:
            why = refused(answer.code, answer.said, flight.topic)
            self._reports.put(Refused(flight.ticket, *why))

    def _status(self, *, online: bool, qos: Literal[0, 1] = 1) -> Note:
        if online:
            self._past.since = int(self._context.runtime.unix())
        since = self._past.since if online else None
        return status_note(self._room, self._context, online=online, since=since, qos=qos)

    # In

    def _arrived(self, event: Arrived) -> None:
        topic = self._room.read(event.topic)
        if topic is None:
            self._stranger(event, "nothing of ours is on such a topic")
        elif topic.what == "status":
            self._take_status(topic.origin, event)
        elif topic.origin == self._context.origin:
            self._wave_through(event)  # ours, where the broker does not leave it out
        else:
            self._take(topic.origin, event)

    def _take(self, origin: int, event: Arrived) -> None:
        try:
            author = id_of(Envelope.from_bytes(event.payload).message).origin
            if author != origin:
                raise FrameError(f"its author is {author:08x}")
        except FrameError as error:
            self._stranger(event, str(error))
            return
        if len(self._inbox) >= self._held and not event.number:
            self.dropped += 1
        elif len(self._inbox) >= self._held:
            self._end(LinkLost(f"{self._held} messages of {self._room.root} were not read"))
        else:
            done = partial(self._done, event.number)
            if event.number:
                self._unacked.add(event.number)
            peer = f"{origin:08x}"
            packet = Packet(event.payload, peer, replayed=event.retained, ack=done, skip=done)
            self._inbox.put(packet)
            if self._open and not self._slow and len(self._inbox) >= UNREAD:
                self._slow_down(True)

    def _done(self, number: int) -> None:
        """Let the broker forget what is safe, or is not for us; after the end, it comes again."""
        if number in self._unacked and self._session is not None:
            self._unacked.discard(number)
            self._session.ack(number)

    def _wave_through(self, event: Arrived) -> None:
        """Acknowledge what nobody here wants, so that it does not come again."""
        if event.number and self._session is not None:
            self._session.ack(event.number)

    def _stranger(self, event: Arrived, why: str) -> None:
        self._wave_through(event)
        self.ignored += 1
        if str(self.ignored).strip("0") == "1":  # the first, the tenth, the hundredth, ...
            size, topic = len(event.payload), event.topic[:200]
            _log.warning("%r: %d bytes ignored: %s (no. %d)", topic, size, why, self.ignored)

    def _take_status(self, origin: int, event: Arrived) -> None:
        self._wave_through(event)
        try:
            status = Status.from_bytes(event.payload)
        except ValueError as error:
            self._stranger(event, str(error))
            return
        if origin == self._context.origin:
            self._insist(status, event.retained)
        elif self._members.take(origin, status) and not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell_members)

    def _insist(self, status: Status, retained: bool) -> None:
        """Say it again if somebody says that we are gone: the will of a connection before this."""
        others = status.online and status.since not in (None, self._before)
        if retained and others and self._before is not None:
            _log.warning(usurped(self._account.place, self._account.client))
        if self._here and not (status.online or retained) and self._session is not None:
            self._session.publish(self._status(online=True, qos=0))

    def _tell_members(self) -> None:
        self._telling = False
        self._reports.put(MembersReport(self._members.names))


def status_note(
    room: Room,
    context: LinkContext,
    *,
    online: bool,
    since: int | None = None,
    qos: Literal[0, 1] = 1,
) -> Note:
    """Return how a node says that it is there, or that it is gone."""
    payload = Status(online, context.name, since).to_bytes(context.origin)
    topic = room.topic(context.origin, "status")
    return Note(topic, payload, qos, retain=True, content_type=JSON)
