"""What a link does with what a broker says; in virtual time, without a broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from focal.core.envelope import MAX_ENVELOPE, Envelope
from focal.core.errors import FrameError, LinkClosed, LinkLost, PacketTooBig, TransportUnavailable
from focal.core.link import Accepted, Forgot, Link, Members, Refused, Report
from focal.core.message import Event, Kind, Message, MessageId, Receipt
from focal.core.receipts import receipt_for
from focal.core.runtime import run_virtual
from focal.testing import FAR, NEAR, context, envelope_of
from focal.transports.mqtt.link import HELD, PATIENCE, WINDOW
from focal.transports.mqtt.past import TIMES, Past
from focal.transports.mqtt.presence import Status
from focal.transports.mqtt.session import Arrived, Connected, Ended, Filter
from tests.transports.mqtt.session import ROOM, ScriptedSession, opened

THIRD = 0x0C0C0C0C
NOW = 1_800_000_000


def run(check: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(3600):
            await check()

    run_virtual(limited())


def arrived(data: bytes, author: int = FAR, number: int = 0, *, retained: bool = False) -> Arrived:
    return Arrived(ROOM.topic(author), data, number, retained)


def status(author: int, status: Status, *, retained: bool = False) -> Arrived:
    return Arrived(ROOM.topic(author, "status"), status.to_bytes(author), 0, retained)


async def reported(link: Link, count: int) -> list[Report]:
    reports = link.reports()
    return [await anext(reports) for _ in range(count)]


async def turn() -> None:
    """Let everybody go on who can."""
    for _ in range(5):
        await asyncio.sleep(0)


# opening


def test_it_asks_for_the_room_and_says_that_it_is_here() -> None:
    async def check() -> None:
        _, session = await opened(context(origin=NEAR, name="Ada"))
        assert [(f.topics, f.qos, f.own) for f in session.filters] == [
            ("focal/lobby/+", 1, False),
            ("focal/lobby/+/receipt", 1, False),
            ("focal/lobby/+/status", 0, True),
        ]
        [note] = session.notes
        assert (note.topic, note.qos, note.retain) == ("focal/lobby/0a0a0a0a/status", 1, True)
        assert note.content_type == "application/json" and note.expiry is None
        wanted = {"online": True, "origin": "0a0a0a0a", "name": "Ada", "since": NOW}
        assert json.loads(note.payload) == wanted

    run(check)


@pytest.mark.parametrize(
    ("resumed", "keep", "told"), [(False, 60, 1), (True, 60, 0), (False, 0, 0)]
)
def test_a_broker_that_forgot_what_it_was_to_keep_is_told_of(
    resumed: bool, keep: int, told: int
) -> None:
    async def check() -> None:
        link, _ = await opened(broker=Connected(resumed=resumed), keep=keep)
        await link.aclose()
        assert [report async for report in link.reports()] == [Forgot()] * told

    run(check)


def test_it_says_that_it_goes() -> None:
    async def check() -> None:
        link, session = await opened()
        await link.aclose()
        assert session.closed and session.notes[-1].retain and session.notes[-1].qos == 0
        assert json.loads(session.notes[-1].payload)["online"] is False

    run(check)


def test_without_presence_it_says_nothing_of_itself() -> None:
    async def check() -> None:
        link, session = await opened(presence=False)
        session.hear(status(NEAR, Status(False)))
        await link.aclose()
        assert session.notes == []

    run(check)


def test_a_broker_that_says_nothing_is_told() -> None:
    async def check() -> None:
        before = asyncio.get_running_loop().time()
        with pytest.raises(TransportUnavailable, match="1883 does not answer as a broker"):
            await opened(broker=None)
        assert asyncio.get_running_loop().time() - before == PATIENCE

    run(check)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Ended(0x87), "wants a login"),
        (Ended(0x89, "come back at ten"), "it is busy .it says: come back at ten"),
        (Ended(error=ConnectionRefusedError()), "nobody listens at"),
        (Connected(qos=0), "has no QoS 1"),
    ],
)
def test_a_broker_that_does_not_take_us_is_told(said: Connected | Ended, words: str) -> None:
    async def check() -> None:
        with pytest.raises(TransportUnavailable, match=words):
            await opened(broker=said)

    run(check)


@pytest.mark.parametrize("which", range(3))
def test_a_subscription_that_is_refused_is_told(which: int) -> None:
    async def check() -> None:
        codes = tuple(0x87 if n == which else 1 for n in range(3))
        with pytest.raises(TransportUnavailable, match="refuses the subscription to focal/lobby/"):
            await opened(codes=codes)

    run(check)


def test_presence_that_is_refused_is_told_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def check() -> None:
        link, session = await opened(greeting=0x87)
        await link.send(envelope_of(60, 1))
        await link.aclose()
        assert len(session.notes) == 2, "it said that it goes, though it may not"

    run(check)
    assert "does not let us say that we are here" in caplog.text


@pytest.mark.parametrize(
    ("said", "older"),
    [
        (Ended(0x84), True),
        (Ended(), True),
        (Ended(error=ConnectionResetError()), True),
        (Ended(0x87), False),
        (Ended(error=ConnectionRefusedError()), False),
        (Ended(error=TimeoutError()), False),
    ],
)
def test_it_is_known_when_an_older_version_may_help(said: Ended, older: bool) -> None:
    async def check() -> None:
        link, session = await opened()
        session.hear(said)
        assert link.unanswered is older
        assert not (await opened())[0].unanswered

    run(check)


# out


def test_a_message_goes_to_its_authors_topic_with_its_lifetime() -> None:
    async def check() -> None:
        link, session = await opened()
        for author, sent_at, lifetime in ((NEAR, NOW - 20, 60), (FAR, NOW + 999, 3600)):
            said = Message(MessageId(author, 1), Kind.TEXT, b"hi", 0, sent_at, lifetime)
            await link.send(Envelope(said.to_bytes()).to_bytes())
        assert [(note.topic, note.qos, note.retain, note.expiry) for note in session.messages] == [
            ("focal/lobby/0a0a0a0a", 1, False, 40),
            ("focal/lobby/0b0b0b0b", 1, False, 3600),
        ]
        assert {note.content_type for note in session.messages} == {"application/x-focal-envelope"}

    run(check)


def test_what_is_past_its_lifetime_lives_from_now() -> None:
    async def check() -> None:
        link, session = await opened()
        old = Message(MessageId(FAR, 1), Kind.TEXT, b"from a stick", 0, NOW - 9999, 120)
        await link.send(Envelope(old.to_bytes()).to_bytes())
        assert session.messages[0].expiry == 120

    run(check)


def test_a_receipt_goes_to_its_own_authors_topic() -> None:
    async def check() -> None:
        link, session = await opened()
        message = Message(MessageId(FAR, 1), Kind.TEXT, b"hi")
        receipt = receipt_for(message, Event.DELIVERED, NEAR, NOW)
        await link.send(Envelope(receipt.to_bytes()).to_bytes())
        assert session.messages[0].topic == "focal/lobby/0a0a0a0a/receipt"
        assert Receipt.read(receipt).of == message.id

    run(check)


def test_what_is_no_envelope_is_not_sent() -> None:
    async def check() -> None:
        link, session = await opened()
        with pytest.raises(FrameError):
            await link.send(b"a string")
        assert session.messages == []

    run(check)


@pytest.mark.parametrize(
    ("code", "retry"), [(0x87, None), (0x97, 60.0), (0x80, 15.0), (0x95, None), (0x99, None)]
)
def test_a_refusal_says_why_and_whether_to_try_again(code: int, retry: float | None) -> None:
    async def check() -> None:
        link, session = await opened()
        ticket = await link.send(envelope_of(60, 1))
        session.answer(2, code, "no more today")
        [report] = await reported(link, 1)
        assert isinstance(report, Refused)
        assert (report.ticket, report.retry_after) == (ticket, retry)
        assert "focal/lobby/0a0a0a0a" in report.reason and "no more today" in report.reason

    run(check)


@pytest.mark.parametrize("code", [0, 0x10])
def test_what_the_broker_has_is_accepted(code: int) -> None:
    async def check() -> None:
        link, session = await opened()
        tickets = [await link.send(envelope_of(60, seed)) for seed in (1, 2)]
        session.answer(3, code)
        session.answer(3, code)
        session.answer(2, code)
        session.answer(99, code)
        assert await reported(link, 2) == [Accepted(tickets[1]), Accepted(tickets[0])]

    run(check)


@pytest.mark.parametrize(("given", "window"), [(65_535, WINDOW), (10, 9), (1, 1)])
def test_no_more_is_on_its_way_than_the_broker_takes(given: int, window: int) -> None:
    async def check() -> None:
        link, session = await opened(broker=Connected(window=given))
        sending = [asyncio.ensure_future(link.send(envelope_of(60, s))) for s in range(window + 3)]
        await turn()
        assert len(session.messages) == window
        session.answer(2)
        await turn()
        assert len(session.messages) == window + 1
        await link.aclose()
        ends = await asyncio.gather(*sending, return_exceptions=True)
        assert sum(isinstance(end, LinkClosed) for end in ends) == 2

    run(check)


def test_the_brokers_limit_is_the_links() -> None:
    async def check() -> None:
        link, session = await opened(broker=Connected(size=2000))
        limit = link.limits.mtu(None)
        assert 1500 < limit < 2000
        with pytest.raises(PacketTooBig):
            await link.send(envelope_of(limit + 1, 1))
        await link.send(envelope_of(limit, 1))
        note = session.messages[0]
        beside = 5 + 2 + len(note.topic) + 2 + 1 + 5 + 3 + len(note.content_type or "")
        assert len(note.payload) + beside <= 2000
        assert (await opened())[0].limits.size == MAX_ENVELOPE

    run(check)


def test_what_breaks_every_connection_is_put_off_and_lets_others_pass() -> None:
    async def check() -> None:
        past = Past()
        for _ in range(TIMES):
            link, session = await opened(past=past)
            await link.send(envelope_of(60, 1))
            await link.send(envelope_of(60, 2))
            session.hear(Ended(connected=True))
        link, session = await opened(past=past)
        first, second = [await link.send(envelope_of(60, seed)) for seed in (1, 2)]
        session.answer(2)
        refused, accepted = await reported(link, 2)
        assert isinstance(refused, Refused) and refused.ticket == first and refused.retry_after
        assert "60 bytes" in refused.reason
        assert accepted == Accepted(second)

    run(check)


def test_connections_that_end_for_a_reason_blame_no_message() -> None:
    async def check() -> None:
        past = Past()
        for _ in range(TIMES + 1):
            link, session = await opened(past=past)
            await link.send(envelope_of(60, 1))
            session.hear(Ended(0x8B, connected=True))
        link, session = await opened(past=past)
        await link.send(envelope_of(60, 1))
        assert len(session.messages) == 1

    run(check)


# in


def test_what_arrives_is_acknowledged_when_it_is_safe_and_once() -> None:
    async def check() -> None:
        link, session = await opened()
        session.hear(arrived(envelope_of(60, 1, FAR), number=7))
        packet = await link.receive()
        assert packet.data == envelope_of(60, 1, FAR) and packet.peer == "0b0b0b0b"
        assert not packet.replayed and session.acked == []
        packet.ack()
        packet.ack()
        assert session.acked == [7]

    run(check)


def test_what_nobody_here_wants_is_acknowledged_too() -> None:
    async def check() -> None:
        link, session = await opened()
        session.hear(arrived(envelope_of(60, 1, FAR), number=7))
        (await link.receive()).skip()
        assert session.acked == [7]

    run(check)


def test_an_ack_after_the_end_does_nothing() -> None:
    async def check() -> None:
        link, session = await opened()
        session.hear(arrived(envelope_of(60, 1, FAR), number=7))
        packet = await link.receive()
        session.hear(Ended(connected=True))
        packet.ack()
        assert session.acked == []

    run(check)


def test_what_comes_by_qos_0_has_nothing_to_acknowledge() -> None:
    async def check() -> None:
        link, session = await opened()
        session.hear(arrived(envelope_of(60, 1, FAR)))
        (await link.receive()).ack()
        assert session.acked == []

    run(check)


def test_what_was_retained_is_history() -> None:
    async def check() -> None:
        link, session = await opened()
        session.hear(arrived(envelope_of(60, 1, FAR), retained=True))
        assert (await link.receive()).replayed

    run(check)


def test_our_own_is_dropped_whoever_publishes_it() -> None:
    async def check() -> None:
        link, session = await opened()
        session.hear(arrived(envelope_of(60, 1, NEAR), NEAR, 3))
        session.hear(arrived(envelope_of(60, 2, FAR), FAR, 4))
        assert (await link.receive()).data == envelope_of(60, 2, FAR)
        assert session.acked == [3] and link.ignored == 0

    run(check)


@pytest.mark.parametrize(
    "event",
    [
        Arrived("focal/lobby/0b0b0b0b", b"hello?", 5),
        Arrived("focal/lobby/0b0b0b0b", b"", 5),
        Arrived("focal/lobby/0b0b0b0b", b"\x81" * 1_000_000, 5),
        Arrived("focal/lobby/nobody", envelope_of(60, 1, FAR), 5),
        Arrived("", envelope_of(60, 1, FAR), 5),
        Arrived("focal/lobby/0c0c0c0c", envelope_of(60, 1, FAR), 5),
        Arrived("focal/lobby/0b0b0b0b/status", b"[" * 1000, 5),
    ],
    ids=["garbage", "empty", "1 MB", "no origin", "no topic", "another author", "status"],
)
def test_a_strangers_garbage_is_counted_and_does_not_come_again(
    event: Arrived, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        link, session = await opened()
        for _ in range(25):
            session.hear(event)
        session.hear(arrived(envelope_of(60, 2, FAR), number=6))
        assert (await link.receive()).data == envelope_of(60, 2, FAR)
        assert link.ignored == 25 and set(session.acked) == {5}

    run(check)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and all("\n" not in line and len(line) < 400 for line in said)
    assert "(no. 1)" in said[0] and "(no. 10)" in said[1]


def test_a_reader_who_does_not_read_is_bounded() -> None:
    async def check() -> None:
        link, session = await opened()
        for seed in range(HELD + 10):
            session.hear(arrived(envelope_of(60, seed, FAR)))
        assert link.dropped == 10
        session.hear(arrived(envelope_of(60, 1, FAR), number=8))
        for _ in range(HELD):
            await link.receive()
        with pytest.raises(LinkLost, match=f"{HELD} messages of focal/lobby were not read"):
            await link.receive()
        assert session.acked == []  # so that it comes again

    run(check)


def test_what_a_broker_brings_before_it_answers_is_held_for_who_reads_later() -> None:
    class Eager(ScriptedSession):
        def subscribe(self, filters: tuple[Filter, ...], /) -> None:
            for number in range(1, 2 * HELD + 1):
                self.hear(arrived(envelope_of(60, number, FAR), number=number))
            super().subscribe(filters)

    async def check() -> None:
        link, session = await opened(make=Eager)
        assert session.slowed == []  # the answers would be slow, too
        session.hear(arrived(envelope_of(60, 0, FAR), number=2 * HELD + 1))
        assert session.slowed == [True]
        for _ in range(2 * HELD + 1):
            (await link.receive()).ack()
        assert session.slowed == [True, False]
        assert session.acked == list(range(1, 2 * HELD + 2))

    run(check)


# who is there


def test_members_are_reported_once_for_many_at_once() -> None:
    async def check() -> None:
        link, session = await opened()
        session.hear(status(FAR, Status(True, "Bo"), retained=True))
        session.hear(status(THIRD, Status(True), retained=True))
        session.hear(status(NEAR, Status(True, "we ourselves")))
        assert await reported(link, 1) == [Members(("Bo", "~0c0c0c0c"))]
        session.hear(status(FAR, Status(True, "Bo")))
        session.hear(Arrived("focal/lobby/0c0c0c0c/status", b""))
        assert await reported(link, 1) == [Members(("Bo",))]

    run(check)


def test_who_is_said_to_be_gone_says_that_it_is_here() -> None:
    async def check() -> None:
        _, session = await opened()
        session.hear(status(NEAR, Status(False), retained=True))  # of before we came
        assert len(session.notes) == 1
        session.hear(status(NEAR, Status(False)))  # the will of a connection before this one
        session.hear(status(NEAR, Status(True)))
        assert len(session.notes) == 2
        assert json.loads(session.notes[1].payload)["online"] is True

    run(check)


def test_another_client_in_our_name_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        past = Past()
        _, session = await opened(past=past)
        session.hear(status(NEAR, Status(True, since=5), retained=True))  # a process before this
        session.hear(Ended(connected=True))
        _, session = await opened(past=past)
        session.hear(status(NEAR, Status(True, since=NOW), retained=True))  # ours
        assert not caplog.records
        session.hear(Ended(connected=True))
        _, session = await opened(past=past)
        session.hear(status(NEAR, Status(True, since=NOW + 3), retained=True))

    run(check)
    assert "another client" in caplog.text and "is a copy of this home in use" in caplog.text


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended(0x8E, connected=True), "gave our session to another client"),
        (Ended(0x8B, connected=True), "it is shutting down"),
        (Ended(connected=True), "went away"),
        (Ended(error=ConnectionResetError(), connected=True), "broke the connection off"),
    ],
)
def test_a_connection_that_ends_loses_the_link(ended: Ended, words: str) -> None:
    async def check() -> None:
        link, session = await opened()
        waiting = asyncio.ensure_future(link.receive())
        await turn()
        session.hear(ended)
        with pytest.raises(LinkLost, match=words):
            await waiting
        with pytest.raises(LinkLost, match=words):
            await link.send(envelope_of(60, 1))
        assert [report async for report in link.reports()] == []
        await link.aclose()
        assert session.closed and len(session.notes) == 1

    run(check)


def test_a_broker_that_thinks_better_of_it_is_not_there() -> None:
    class Fickle(ScriptedSession):
        def subscribe(self, filters: object, /) -> None:
            self.hear(Ended(0x87, connected=True))

    async def check() -> None:
        link, _ = await opened()
        with pytest.raises(TransportUnavailable, match="this login is not allowed"):
            await link.begin(Fickle(link.hear))

    run(check)
