"""What a bridge does with messages, at its spool: once for each link, within its limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focal.core.arrival import Arrival
from focal.core.bridge import Full, Gate, Rate, Router
from focal.core.errors import SpoolError
from focal.core.events import Progress, State
from focal.core.hour import HOUR
from focal.core.leg import Leg
from focal.core.message import Event, Kind, Message, MessageId, check_of
from focal.core.outbox import OutboxBounds
from focal.core.receipts import receipt_for
from focal.core.spool import Spool
from focal.core.transit import Crowded, PassedOn, Transit

from .spooling import EPOCH, Clock

LINKS = {"lora:a": "hill", "mqtt:b": "room", "udp:c": "hall"}
HILL, ROOM, HALL = LINKS
BRIDGE, AUTHOR, OTHER = 7, 8, 9


def gate(link: str, **rules: object) -> Gate:
    return Gate(link, LINKS[link], frozenset(LINKS), **rules)  # type: ignore[arg-type]


def text(sequence: int = 1, to: int | None = None, body: str = "hello", **more: object) -> Message:
    made: dict[str, object] = {"sent_at": int(EPOCH), "lifetime": 3600, "destination": to, **more}
    return Message(MessageId(AUTHOR, sequence), Kind.TEXT, body.encode(), **made)  # type: ignore[arg-type]


def by(link: str = HILL, **how: object) -> Arrival:
    return Arrival(LINKS[link], link, "!1", **how)  # type: ignore[arg-type]


@dataclass
class Hall:
    """A bridge's spool with what it decides, and what is on its way, dear or delayed."""

    path: Path
    gates: list[Gate] = field(default_factory=lambda: [gate(link) for link in LINKS])
    clock: Clock = field(default_factory=Clock)
    delays: dict[str, float] = field(default_factory=dict[str, float])
    dear: set[str] = field(default_factory=set[str])
    flying: set[MessageId] = field(default_factory=set[MessageId])
    bounds: OutboxBounds = field(default_factory=OutboxBounds)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.spool = Spool.open(
            self.path, durability="process", unix=self.clock, origin=BRIDGE, outbox=self.bounds
        )
        router = Router(BRIDGE, self.gates, LINKS)
        self.transit = Transit(
            router,
            self.spool,
            lambda link, size: self.delays.get(link, 0.0),
            self.dear.__contains__,
            lambda link: self.flying,
        )

    def reopen(self) -> None:
        self.spool.close()
        self.open()

    def do(self, op: Callable[[], PassedOn]) -> PassedOn:
        """Do it as the node does: in a transaction that is undone if it raises."""
        (result,) = self.spool.apply([op])
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, PassedOn)
        return result

    def hear(self, message: Message, came: Arrival | None = None) -> PassedOn:
        """A message for everyone, or for somebody else, was heard."""
        came, data, at = came or by(), message.to_bytes(), self.clock()
        if message.destination is not None:
            return self.do(lambda: self.transit.carry(data, message, came, at))
        return self.do(lambda: self.keep(data, message, came, at))

    def keep(self, data: bytes, message: Message, came: Arrival, at: float) -> PassedOn:
        inbox = self.spool.inbox
        kept = inbox.deliver(data, link=came.link, peer=came.peer, at=at, keeps=came.keeps)
        act = self.transit.pass_on if kept.fresh else self.transit.again
        return act(data, message, came, at)

    def waits(self, link: str) -> list[int]:
        """Return the sequences of what waits on a link, in sending order."""
        return [leg.id.sequence for leg in self.spool.outbox.waiting(link)]

    def legs(self, message: Message) -> dict[str, Leg]:
        return {leg.link: leg for leg in self.spool.outbox.find(message.id)}

    def said(self, message: Message) -> list[str]:
        return [f"{one.link}: {one.said}" for one in self.spool.crossings.of(message.id)]


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path / "spool.db")
    yield made
    made.spool.close()


def hall_with(path: Path, *gates: Gate, **how: object) -> Hall:
    return Hall(path / "spool.db", list(gates), **how)  # type: ignore[arg-type]


# Once for each link


def test_what_comes_is_put_there_once_for_each_other_link(hall: Hall) -> None:
    one = text()
    passed = hall.hear(one)
    assert passed.links == (ROOM, HALL)
    assert passed.passed is not None
    assert (passed.passed.to, passed.passed.kept_back) == (("room", "hall"), {})
    assert (hall.waits(HILL), hall.waits(ROOM), hall.waits(HALL)) == ([], [1], [1])
    leg = hall.legs(one)[ROOM]
    assert leg.origin is not None
    assert (leg.hops, leg.origin.link, leg.origin.route) == (1, HILL, (BRIDGE,))
    assert hall.said(one) == [
        "hill: came from !1: text for everyone, 26 bytes",
        "room: goes on",
        "hall: goes on",
    ]


def test_what_is_known_goes_nowhere_again(hall: Hall) -> None:
    for message in (text(1), text(2, OTHER)):
        hall.hear(message)
        again = hall.hear(message)
        assert (again.links, again.events, again.passed) == ((HILL,), (), None)
    assert hall.waits(ROOM) == [1, 2]


def test_what_is_heard_where_it_would_go_does_not_go_there(hall: Hall) -> None:
    hall.hear(text())
    passed = hall.hear(text(), by(ROOM))
    assert [(event.state, event.link) for event in passed.events] == [(State.HEARD, "room")]
    assert (hall.waits(ROOM), hall.waits(HALL)) == ([], [1])
    assert hall.said(text())[-1] == "room: was heard there, so it does not go there"


def test_what_was_heard_there_in_part_still_goes_there(hall: Hall) -> None:
    hall.hear(text())
    assert hall.hear(text(), by(ROOM, whole=False)).events == ()
    assert hall.waits(ROOM) == [1]


def test_what_went_there_is_no_more_ended_by_hearing_it(hall: Hall) -> None:
    hall.hear(text())
    hall.spool.outbox.burst(text().id, ROOM, attempts=1, next_index=2)
    assert hall.hear(text(), by(ROOM)).events == ()


def test_custody_of_what_is_for_one_node_is_said_only_where_it_came_from(hall: Hall) -> None:
    hall.hear(text(1, OTHER))
    assert hall.hear(text(1, OTHER), by(HILL)).links == (HILL,)
    assert hall.hear(text(1, OTHER), by(ROOM)).links == ()


def test_what_passed_this_bridge_or_too_many_goes_nowhere(hall: Hall) -> None:
    assert hall.hear(text(1), by(route=(5, BRIDGE))).links == ()
    assert hall.hear(text(2), by(hops=7)).links == ()
    assert hall.spool.outbox.legs() == []
    assert hall.hear(text(3), by(hops=6, route=tuple(range(100, 164)))).links == (ROOM, HALL)
    leg = hall.legs(text(3))[ROOM]
    assert leg.origin is not None
    assert leg.hops == 7
    assert leg.origin.route == (*range(101, 164), BRIDGE)  # the oldest goes


def test_what_is_known_of_an_envelope_goes_with_it(hall: Hall) -> None:
    extra = {"x": [1, b"2", None], "later": {"a": True}}
    hall.hear(text(), by(hops=1, route=(3,), extra=extra))
    hall.reopen()
    leg = hall.legs(text())[ROOM]
    assert leg.origin is not None
    assert (leg.origin.extra, leg.origin.route) == (extra, (3, BRIDGE))


def test_other_bytes_under_a_known_id_harm_nothing(hall: Hall) -> None:
    first, twin = text(), text(body="other")
    hall.hear(first)
    passed = hall.hear(twin, by(ROOM))
    assert passed.links == ()
    assert passed.passed is not None
    assert "other bytes" in passed.passed.kept_back["hall"]
    assert [leg.message for leg in hall.legs(first).values()] == [first.to_bytes()] * 2
    assert hall.hear(twin, by(HALL)).events == ()  # the first one was not heard there
    assert hall.hear(first).links == (HILL,)


def test_many_twins_of_what_is_for_another_are_not_all_remembered(hall: Hall) -> None:
    for number in range(20):
        hall.hear(text(1, OTHER, body=f"twin {number}"))
    assert len(hall.spool.inbox.find(text().id)) == 0
    assert len(hall.spool.outbox.find(text().id)) == 2  # of the first
    assert hall.hear(text(1, OTHER, body="twin 0")).links == (HILL,)


def test_a_restart_keeps_everything(hall: Hall) -> None:
    hall.hear(text(1))
    hall.hear(text(2, OTHER), by(hops=2, route=(3, 4)))
    before = hall.spool.outbox.legs()
    hall.reopen()
    assert hall.spool.outbox.legs() == before
    assert hall.hear(text(1)).passed is None
    assert hall.hear(text(2, OTHER)).passed is None
    hall.hear(text(1), by(ROOM))
    hall.reopen()
    assert hall.waits(ROOM) == [2]
    assert "was heard there" in hall.said(text(1))[-1]


def test_what_went_out_and_is_history_does_not_go_again(hall: Hall) -> None:
    hall.hear(text())
    for link in (ROOM, HALL):
        hall.spool.outbox.progress(text().id, link, State.SENT, at=EPOCH, done=True)
    hall.reopen()
    hall.hear(text(), by(HALL))
    assert hall.spool.outbox.legs() == []


def test_a_full_outbox_refuses_all_of_it(tmp_path: Path) -> None:
    hall = hall_with(tmp_path, gate(ROOM), bounds=OutboxBounds(messages=1))
    hall.hear(text(1))
    with pytest.raises(SpoolError, match="the outbox is full"):
        hall.hear(text(2))
    assert not hall.spool.inbox.knows(text(2).id, check_of(text(2).to_bytes()))
    hall.spool.outbox.progress(text(1).id, ROOM, State.SENT, at=EPOCH, done=True)
    assert hall.hear(text(2)).links == (ROOM,)


# Where somebody is


def test_what_is_for_a_node_goes_where_that_was_heard(hall: Hall) -> None:
    hall.hear(replace(text(1, 10), id=MessageId(OTHER, 1)), by(HALL))
    assert hall.hear(text(2, OTHER)).links == (HALL,)
    hall.clock.now += 3600
    assert hall.hear(text(3, OTHER, sent_at=int(hall.clock.now))).links == (ROOM, HALL)


def test_a_node_that_moved_is_found_where_it_is_now(hall: Hall) -> None:
    def speaks(sequence: int, link: str, hops: int) -> None:
        message = text(sequence, 10, sent_at=int(hall.clock()))
        hall.hear(replace(message, id=MessageId(OTHER, sequence)), by(link, hops=hops))

    speaks(1, HALL, 0)
    hall.clock.now += 3000
    speaks(2, ROOM, 0)
    hall.clock.now += 1000
    speaks(3, HALL, 1)  # another bridge brings it there
    assert hall.hear(text(4, OTHER, sent_at=int(hall.clock()))).links == (ROOM,)


# Receipts


def receipt(of: Message, event: Event, who: int = OTHER) -> Message:
    return receipt_for(of, event, who, EPOCH)


def test_a_receipt_goes_the_way_back_alone(hall: Hall) -> None:
    one = text()
    hall.hear(one)
    passed = hall.hear(receipt(one, Event.DELIVERED), by(ROOM))
    assert passed.links == (HILL,)
    assert hall.hear(receipt(one, Event.DELIVERED, 10), by(HILL)).links == ()


def test_onto_dear_links_goes_the_first_word_of_each_kind(tmp_path: Path) -> None:
    hall = hall_with(tmp_path, *(gate(link) for link in LINKS), dear={HILL})
    one = text()
    hall.hear(one)
    for event in (Event.DELIVERED, Event.PLAYED):
        went = [hall.hear(receipt(one, event, who), by(ROOM)).links for who in (9, 10, 11)]
        assert went == [(HILL,), (), ()]
        hall.reopen()
    for event in (Event.CUSTODY, Event.EXPIRED, Event.REFUSED):
        assert hall.hear(receipt(one, event, 12), by(ROOM)).links == ()


def test_of_what_is_for_one_node_all_receipts_go_back(tmp_path: Path) -> None:
    hall = hall_with(tmp_path, *(gate(link) for link in LINKS), dear={HILL})
    hall.hear(text(1, OTHER))
    for event in Event:
        assert hall.hear(receipt(text(1, OTHER), event), by(ROOM)).links == (HILL,)


def test_onto_links_without_airtime_every_receipt_goes(hall: Hall) -> None:
    hall.hear(text())
    for who in (9, 10, 11):
        went = hall.hear(receipt(text(), Event.DELIVERED, who), by(ROOM))
        assert went.links == (HILL,)


def test_a_receipt_of_what_is_not_known_goes_as_any_message_for_one(hall: Hall) -> None:
    strange = receipt(text(77), Event.DELIVERED)
    assert hall.hear(strange, by(ROOM)).links == (HILL, HALL)


# Full legs


def filled(tmp_path: Path, *gates: Gate, count: int = 3, **how: object) -> Hall:
    hall = hall_with(tmp_path, *gates, **how)
    for number in range(1, count + 1):
        hall.hear(text(number, body="x" * number))
        hall.clock.now += 1
    return hall


@pytest.mark.parametrize(
    ("full", "slows", "left", "gone"),
    [
        (Full.OLDEST, True, [2, 3, 4], 1),
        (Full.NEWEST, True, [1, 2, 3], 4),
        (Full.LARGEST, True, [1, 2, 4], 3),
        (Full.WAIT, False, [2, 3, 4], 1),
    ],
)
def test_on_a_full_leg_gives_way_what_was_named(
    tmp_path: Path, full: Full, slows: bool, left: list[int], gone: int
) -> None:
    hall = filled(tmp_path, gate(ROOM, queue=3, full=full))
    passed = hall.hear(text(4, body="xx"), by(slows=slows))
    assert hall.waits(ROOM) == left
    (event,) = passed.events
    assert (event.id.sequence, event.state, event.link) == (gone, State.REFUSED, "room")
    assert event.reason is not None
    assert event.reason.startswith("3 messages waited for room already: the")
    assert passed.links == (() if gone == 4 else (ROOM,))
    dead = hall.spool.outbox.dead()
    assert [leg.id.sequence for leg in dead] == [gone]
    assert "gave way" in hall.said(text(gone))[-1]


def test_what_gave_way_when_it_came_was_not_passed_on(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, queue=3, full=Full.NEWEST))
    hall.hear(text(4, body="xx"))
    assert hall.hear(text(4, body="xx")).links == ()
    assert hall.waits(ROOM) == [1, 2, 3]


def test_who_can_wait_waits_until_there_is_room(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, queue=3))
    for _ in range(3):
        with pytest.raises(Crowded):
            hall.hear(text(4), by(slows=True))
    assert hall.spool.inbox.find(text(4).id) == []
    assert hall.said(text(4)) == []
    hall.spool.outbox.progress(text(2).id, ROOM, State.SENT, at=EPOCH, done=True)
    assert hall.hear(text(4), by(slows=True)).links == (ROOM,)
    with pytest.raises(Crowded):
        hall.hear(text(5), by(slows=True))
    with pytest.raises(Crowded):
        hall.hear(text(6, OTHER), by(slows=True))
    assert hall.waits(ROOM) == [1, 3, 4]


def test_nobody_waits_where_another_leg_wants_it_or_has_room(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, queue=3), gate(HALL))
    assert hall.hear(text(4), by(slows=True)).links == (ROOM, HALL)
    hall.spool.peers.learn(OTHER, ROOM, "r", None, hall.clock())
    assert hall.hear(text(5, OTHER), by(slows=True)).links == (ROOM,)
    assert hall.waits(ROOM) == [3, 4, 5]


def test_who_can_wait_waits_when_all_is_full(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, queue=3), gate(HALL, queue=2), gate(HILL), count=2)
    hall.hear(text(3))
    with pytest.raises(Crowded):
        hall.hear(text(4), by(slows=True))
    assert hall.waits(HALL) == [2, 3]  # by one that could not wait


def test_a_leg_that_drops_is_no_reason_to_wait(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, queue=3), gate(HALL, queue=3, full=Full.NEWEST))
    assert hall.hear(text(4), by(slows=True)).links == (ROOM,)
    assert (hall.waits(ROOM), hall.waits(HALL)) == ([2, 3, 4], [1, 2, 3])


@pytest.mark.parametrize(("full", "gone"), [(Full.OLDEST, 1), (Full.NEWEST, 4)])
def test_what_waits_longer_before_it_may_go_is_not_newer(
    tmp_path: Path, full: Full, gone: int
) -> None:
    hall = hall_with(tmp_path, gate(ROOM, queue=3, full=full), dear={ROOM})
    events: list[Progress] = []
    for number, delay in enumerate([30.0, 20.0, 10.0, 0.0], 1):
        hall.delays[ROOM] = delay
        events += hall.hear(text(number)).events
        hall.clock.now += 1
    assert [event.id.sequence for event in events] == [gone]


@pytest.mark.parametrize("full", [Full.OLDEST, Full.NEWEST, Full.LARGEST])
def test_the_lowest_priority_gives_way_first(tmp_path: Path, full: Full) -> None:
    def rules(kind: Kind, priority: int) -> Gate:
        return gate(ROOM, kinds=frozenset([kind]), priority=priority, queue=3, full=full)

    hall = hall_with(tmp_path, rules(Kind.TEXT, 1), rules(Kind.DATA, 0))
    data = replace(text(1, body="d"), kind=Kind.DATA)
    hall.hear(data)
    for number in (2, 3):
        hall.hear(text(number, body="longer than that"))
    passed = hall.hear(text(4, body="longer than that"))
    assert [event.id.sequence for event in passed.events] == [1]
    late = replace(text(5, body="even longer than all of that"), kind=Kind.DATA)
    assert hall.hear(late).links == ()  # it is itself the lowest


def test_what_is_on_its_way_does_not_give_way(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, queue=3, full=Full.OLDEST))
    hall.flying = {text(1).id}
    hall.hear(text(4))
    assert hall.waits(ROOM) == [1, 3, 4]
    hall.flying = {text(number).id for number in range(1, 6)}
    assert hall.hear(text(5)).events == ()  # for a moment it is one too many
    hall.flying = set()
    hall.spool.outbox.burst(text(3).id, ROOM, attempts=1, next_index=2)
    assert [event.id.sequence for event in hall.hear(text(6)).events] == [1]
    assert [event.id.sequence for event in hall.hear(text(7)).events] == [4]  # 3 is on air


def test_two_gates_to_a_link_have_each_their_own_bound(tmp_path: Path) -> None:
    hall = hall_with(
        tmp_path,
        gate(ROOM, kinds=frozenset([Kind.DATA]), queue=100),
        gate(ROOM, queue=2, full=Full.NEWEST),
    )
    for number in range(1, 6):
        hall.hear(replace(text(number), kind=Kind.DATA))
    assert hall.hear(text(6)).links == ()
    assert hall.hear(replace(text(7), kind=Kind.DATA)).links == (ROOM,)


def test_those_that_left_make_room(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, queue=3))
    for number in (1, 2, 3):
        hall.spool.outbox.progress(text(number).id, ROOM, State.SENT, at=EPOCH, done=True)
    assert [hall.hear(text(number)).events for number in (4, 5, 6)] == [(), (), ()]
    assert len(hall.hear(text(7)).events) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(Full),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.booleans()), max_size=25),
)
def test_a_leg_never_holds_more_than_its_queue(
    full: Full, steps: list[tuple[int, int, bool]]
) -> None:
    kinds = [Kind.TEXT, Kind.DATA, Kind.VOICE]
    gates = [
        gate(ROOM, kinds=frozenset([kind]), priority=rank, queue=4, full=full)
        for rank, kind in enumerate(kinds)
    ]
    with TemporaryDirectory() as folder:
        hall = hall_with(Path(folder), *gates)
        alive: dict[int, tuple[int, int]] = {}
        for number, (rank, size, slows) in enumerate(steps):
            message = replace(text(number, body="x" * size), kind=kinds[rank])
            hall.clock.now += 1
            lowest = min([rank, *(rank for rank, _ in alive.values())])
            try:
                passed = hall.hear(message, by(slows=slows))
            except Crowded:
                assert (full, slows, len(alive)) == (Full.WAIT, True, 4)
                continue
            alive[number] = rank, size
            for event in passed.events:
                gone, _ = alive[event.id.sequence]
                assert gone == lowest
                rivals = {n: size for n, (rank, size) in alive.items() if rank == gone}
                if full is Full.LARGEST:
                    assert rivals[event.id.sequence] == max(rivals.values())
                else:
                    first = max if full is Full.NEWEST else min
                    assert event.id.sequence == first(rivals)
                del alive[event.id.sequence]
            assert sorted(hall.waits(ROOM)) == sorted(alive)
            assert len(alive) <= 4
        hall.spool.close()


# When it goes


def test_a_leg_waits_for_its_delay_and_ends_with_its_lifetime(tmp_path: Path) -> None:
    hall = hall_with(tmp_path, gate(ROOM, lifetime=60.0), gate(HALL), delays={ROOM: 10.0})
    hall.hear(text())
    assert (hall.waits(ROOM), hall.waits(HALL)) == ([], [1])
    assert hall.transit.next(ROOM, hall.clock()) == EPOCH + 10
    hall.clock.now += 10
    assert hall.waits(ROOM) == [1]
    hall.clock.now += 50
    assert hall.waits(ROOM) == []  # also before it is found to be over
    assert hall.spool.outbox.next_expiry() == EPOCH + 60
    (ended,) = hall.spool.outbox.expire(hall.clock())
    assert (ended.link, ended.state) == (ROOM, State.EXPIRED)
    assert hall.waits(HALL) == [1]


def test_a_lifetime_of_its_own_that_is_shorter_counts(tmp_path: Path) -> None:
    hall = hall_with(tmp_path, gate(ROOM, lifetime=7200.0))
    hall.hear(text())
    assert hall.spool.outbox.next_expiry() == EPOCH + 3600


def test_a_rate_lets_so_many_through_in_each_time(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, rate=Rate(2, 10.0)), count=5)
    start = hall.clock()
    went: list[float] = []
    while hall.waits(ROOM):
        at = hall.clock()
        for leg in hall.transit.admit(ROOM, hall.spool.outbox.waiting(ROOM), at):
            hall.spool.outbox.progress(leg.id, ROOM, State.SENT, at=at, done=True)
            went.append(at - start)
        if (next := hall.transit.next(ROOM, at)) is not None:
            assert next > at
            hall.clock.now = next
        hall.reopen()
    assert went == [0, 0, 10, 10, 20]


def test_what_is_ours_waits_for_no_rate(tmp_path: Path) -> None:
    hall = filled(tmp_path, gate(ROOM, rate=Rate(1, 10.0)), count=2)
    own = replace(text(9), id=MessageId(BRIDGE, 1))
    leg = replace(hall.legs(text(1))[ROOM], id=own.id, message=own.to_bytes(), origin=None)
    passing = hall.spool.outbox.waiting(ROOM)
    admitted = hall.transit.admit(ROOM, [*passing, leg], hall.clock())
    assert [one.id for one in admitted] == [text(1).id, own.id]


def test_a_message_that_alone_is_over_the_budget_never_goes(tmp_path: Path) -> None:
    hall = hall_with(tmp_path, gate(ROOM, airtime=36.0))
    assert hall.transit.opens_at(ROOM, EPOCH, 36.1) == math.inf
    assert hall.transit.opens_at(ROOM, EPOCH, 36.0) <= EPOCH


def test_a_clock_that_was_wrong_closes_no_leg_for_ever(tmp_path: Path) -> None:
    hall = hall_with(tmp_path, gate(ROOM, rate=Rate(1, 60.0)))
    hall.transit.cross(ROOM, EPOCH + 10 * 365 * 86_400)
    hall.spool.purge(EPOCH)
    assert hall.transit.opens_at(ROOM, EPOCH) <= EPOCH


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([1.0, 60.0, 3600.0])), max_size=2),
    st.none() | st.floats(1.0, 20.0),
    st.lists(st.tuples(st.floats(0.0, 900.0), st.floats(0.0, 8.0)), min_size=1, max_size=30),
    st.booleans(),
)
def test_no_window_is_ever_exceeded(
    rates: list[tuple[int, float]],
    budget: float | None,
    steps: list[tuple[float, float]],
    patient: bool,
) -> None:
    gates = [gate(ROOM, rate=Rate(*rate)) for rate in rates] or [gate(ROOM)]
    gates.append(gate(ROOM, airtime=budget))
    with TemporaryDirectory() as folder:
        hall = hall_with(Path(folder), *gates)
        went: list[tuple[float, float]] = []
        for pause, airtime in steps:
            hall.clock.now += pause
            opens_at = hall.transit.opens_at(ROOM, hall.clock(), airtime)
            if opens_at == math.inf:
                assert budget is not None
                assert airtime > budget
                continue
            if opens_at > hall.clock() and patient:
                hall.clock.now = opens_at
                assert hall.transit.opens_at(ROOM, opens_at, airtime) <= opens_at
            if hall.transit.opens_at(ROOM, hall.clock(), airtime) <= hall.clock():
                hall.transit.cross(ROOM, hall.clock(), airtime)
                went.append((hall.clock(), airtime))
                hall.spool.purge(hall.clock())
        hall.spool.close()
    for end, _ in went:
        for messages, seconds in rates:
            assert sum(end - seconds < at <= end for at, _ in went) <= messages
        if budget is not None:
            used = sum(airtime for at, airtime in went if end - HOUR < at <= end)
            assert used <= budget + 1e-9
