"""The outbox: nothing leaves it without a word on what became of it."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from focal.core.changed import REMEMBERED, Mark
from focal.core.errors import FrameError, SpoolError
from focal.core.events import Progress, State
from focal.core.leg import LegSpec
from focal.core.message import Kind, Message, MessageId
from focal.core.spool import Spool
from tests.core.spooling import EPOCH, HILL, ROOM, Clock, message, put, small

WEEK = 7 * 86_400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Generator[Spool]:
    with Spool.open(tmp_path / "spool.db", durability="process", unix=clock) as spool:
        yield spool


@pytest.fixture
def tight(tmp_path: Path, clock: Clock) -> Generator[Spool]:
    with small(tmp_path / "small.db", clock) as spool:
        yield spool


def sequences(spool: Spool, link: LegSpec = HILL) -> list[int]:
    return [leg.id.sequence for leg in spool.outbox.waiting(link.link)]


def finish(spool: Spool, id: MessageId, state: State = State.SENT) -> None:
    spool.outbox.progress(id, HILL.link, state, at=EPOCH, done=True)


def test_a_message_waits_on_each_of_its_links(spool: Spool) -> None:
    one = message(1)
    put(spool, one, HILL, ROOM, priority=2)
    (leg,) = spool.outbox.waiting(ROOM.link)
    assert (leg.id, leg.message, leg.kind) == (one.id, one.to_bytes(), Kind.TEXT)
    assert (leg.link, leg.name, leg.to) == (ROOM.link, "room", "anna")
    assert (leg.state, leg.attempts, leg.next_index) == (State.QUEUED, 0, 0)
    assert (leg.queued_at, leg.expires_at, leg.priority) == (EPOCH, EPOCH + 3600, 2)
    assert not leg.sent and not leg.done and not leg.wants_destination
    assert [other.link for other in spool.outbox.find(one.id)] == [HILL.link, ROOM.link]


def test_urgent_ones_go_first_then_older_ones(spool: Spool, clock: Clock) -> None:
    for n, priority in ((5, 0), (4, 1), (3, 0), (2, 1)):
        put(spool, message(n), priority=priority)
        clock.now += 1
    assert sequences(spool) == [4, 2, 5, 3]
    assert len(spool.outbox.waiting(HILL.link, limit=3)) == 3


def test_ids_of_all_origins_come_back(spool: Spool) -> None:
    ids = [
        MessageId(origin, n)
        for origin in (1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        for n in (1, 0xFFFFFFFF)
    ]
    for id in ids:
        put(spool, Message(id, Kind.TEXT, b"."))
    assert sorted(leg.id for leg in spool.outbox.legs()) == ids
    assert [spool.outbox.find(id)[0].id for id in ids] == ids


def test_only_messages_with_a_leg_are_taken(spool: Spool) -> None:
    with pytest.raises(FrameError):
        spool.outbox.put(b"\xf1 no message", [HILL], kind=Kind.TEXT, expires_at=0)
    with pytest.raises(ValueError):
        spool.outbox.put(message(1).to_bytes(), [], kind=Kind.TEXT, expires_at=0)


def test_the_same_message_again_adds_links_and_nothing_else(spool: Spool) -> None:
    put(spool, message(1))
    put(spool, message(1), HILL, ROOM)
    assert sequences(spool) == sequences(spool, ROOM) == [1]
    finish(spool, message(1).id)
    put(spool, message(1), HILL)
    assert sequences(spool) == []


def test_history_becomes_unfinished_by_a_further_link(spool: Spool) -> None:
    put(spool, message(1))
    finish(spool, message(1).id)
    assert spool.outbox.legs() == []
    put(spool, message(1), ROOM)
    assert [leg.done for leg in spool.outbox.legs()] == [True, False]


def test_other_bytes_under_an_id_are_refused(spool: Spool) -> None:
    put(spool, message(1))
    with pytest.raises(SpoolError, match="another message with the id 0000000700000001"):
        put(spool, message(1, "other"))


# Its bounds


def test_one_message_too_many_is_refused_until_one_is_done(tight: Spool) -> None:
    for n in range(3):
        put(tight, message(n))
    with pytest.raises(SpoolError, match="the outbox is full: 3 messages"):
        put(tight, message(3))
    put(tight, message(2), ROOM)  # no further message
    finish(tight, message(0).id)
    put(tight, message(3))
    tight.outbox.drop(message(3).id)
    put(tight, message(4))


def test_one_byte_too_many_is_refused(tight: Spool) -> None:
    head = len(message(0, "").to_bytes())
    put(tight, message(1, "x" * (200 - head)))
    with pytest.raises(SpoolError, match="of 200 bytes"):
        put(tight, message(2, "x" * (201 - head)))
    put(tight, message(2, "x" * (200 - head)))


def test_the_bounds_hold_within_a_batch(tight: Spool) -> None:
    results = tight.apply([partial(put, tight, message(n)) for n in range(5)])
    assert [isinstance(result, SpoolError) for result in results] == [False] * 3 + [True] * 2
    assert sequences(tight) == [0, 1, 2]


def test_what_ends_in_a_batch_makes_room_in_it(tight: Spool) -> None:
    for n in range(3):
        put(tight, message(n))
    results = tight.apply(
        [
            partial(put, tight, message(3)),
            partial(finish, tight, message(0).id),
            partial(put, tight, message(3)),
            partial(tight.outbox.drop, message(1).id),
            partial(put, tight, message(4)),
        ]
    )
    assert [isinstance(result, SpoolError) for result in results] == [True] + [False] * 4
    assert sequences(tight) == [2, 3, 4]


def test_history_is_bounded_and_the_oldest_goes(tight: Spool) -> None:
    for n in range(4):
        finish(tight, put(tight, message(n)))
    assert [leg.id.sequence for leg in tight.outbox.legs(all=True)] == [2, 3]


def test_history_and_events_go_after_a_week(spool: Spool, clock: Clock) -> None:
    finish(spool, put(spool, message(1)))
    put(spool, message(2))
    spool.purge(EPOCH + WEEK - 1)
    assert len(spool.outbox.legs(all=True)) == 2 and len(spool.outbox.events(message(1).id)) == 1
    spool.purge(EPOCH + WEEK)
    assert [leg.id.sequence for leg in spool.outbox.legs(all=True)] == [2]
    assert spool.outbox.events(message(1).id) == []


# How far they are


def test_a_burst_is_written_down_before_it_begins(spool: Spool) -> None:
    id = put(spool, message(1))
    spool.outbox.burst(id, HILL.link, attempts=2, next_index=17)
    (leg,) = spool.outbox.find(id)
    assert (leg.attempts, leg.next_index, leg.sent) == (2, 17, True)


def test_no_burst_begins_of_what_is_done_or_dropped_or_has_no_destination(spool: Spool) -> None:
    done, dropped = put(spool, message(1)), put(spool, message(2))
    finish(spool, done)
    spool.outbox.drop(dropped)
    unknown = message(3)
    spool.outbox.put(
        unknown.to_bytes(), [HILL], kind=Kind.TEXT, expires_at=9e9, wants_destination=True
    )
    for id in (done, dropped, unknown.id):
        with pytest.raises(SpoolError, match="not to be sent"):
            spool.outbox.burst(id, HILL.link, attempts=1, next_index=1)
    assert not spool.outbox.find(unknown.id)[0].sent


def test_progress_is_kept_and_told_as_an_event(spool: Spool) -> None:
    id = put(spool, message(1))
    told = spool.outbox.progress(
        id, HILL.link, State.QUEUED, at=EPOCH, reason="the channel is busy", until=EPOCH + 9
    )
    assert told == Progress(State.QUEUED, id, "hill", None, EPOCH, "the channel is busy", EPOCH + 9)
    assert spool.outbox.events(id) == [told]
    (leg,) = spool.outbox.find(id)
    assert (leg.reason, leg.until, leg.done) == ("the channel is busy", EPOCH + 9, False)


def test_a_message_is_history_when_its_last_leg_is_done(spool: Spool) -> None:
    id = put(spool, message(1), HILL, ROOM)
    finish(spool, id)
    assert sequences(spool) == [] and sequences(spool, ROOM) == [1]
    assert len(spool.outbox.legs()) == 2
    spool.outbox.progress(id, ROOM.link, State.DELIVERED, at=EPOCH, by=9, done=True)
    assert spool.outbox.legs() == []
    assert [leg.state for leg in spool.outbox.legs(all=True)] == [State.SENT, State.DELIVERED]


def test_a_receipt_by_another_way_counts_for_every_link(spool: Spool) -> None:
    id = put(spool, message(1), HILL, ROOM)
    told = spool.outbox.progress(id, None, State.DELIVERED, at=EPOCH, by=9, done=True)
    assert told is not None and told.link is None
    assert spool.outbox.legs() == []
    assert len(spool.outbox.events(id)) == 1


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ((State.DELIVERED, State.UNKNOWN), State.DELIVERED),
        ((State.UNKNOWN, State.DELIVERED), State.DELIVERED),
        ((State.EXPIRED, State.PLAYED), State.PLAYED),
        ((State.PLAYED, State.DELIVERED), State.PLAYED),
        ((State.DELIVERED, State.PLAYED), State.PLAYED),
        ((State.DELIVERED, State.SENT), State.DELIVERED),
        ((State.HEARD, State.ON_AIR), State.ON_AIR),
    ],
)
def test_what_was_confirmed_is_not_taken_back(
    spool: Spool, told: tuple[State, State], state: State
) -> None:
    id = put(spool, message(1))
    for one in told:
        spool.outbox.progress(id, HILL.link, one, at=EPOCH, done=one.final)
    assert spool.outbox.find(id)[0].state is state


def test_progress_of_what_is_not_here_is_none(spool: Spool) -> None:
    assert spool.outbox.progress(message(1).id, HILL.link, State.SENT, at=EPOCH) is None
    put(spool, message(1))
    assert spool.outbox.progress(message(1).id, ROOM.link, State.SENT, at=EPOCH) is None
    assert spool.outbox.last_event() == 0


def test_events_are_bounded_by_message_and_in_all(tight: Spool) -> None:
    ids = [put(tight, message(n)) for n in range(3)]
    for n in range(6):
        for id in ids:
            tight.outbox.progress(id, HILL.link, State.ON_AIR, at=float(n))
    assert [event.at for event in tight.outbox.events(ids[2])] == [2, 3, 4, 5]
    assert [event.at for event in tight.outbox.events(ids[0])] == [3, 4, 5]
    assert len(tight.outbox.events_after(0)) == 10


def test_another_process_follows_the_events(spool: Spool) -> None:
    id, mark = put(spool, message(1)), spool.outbox.last_event()
    for state in (State.ON_AIR, State.SENT):
        spool.outbox.progress(id, HILL.link, state, at=EPOCH)
    (first, event), (second, _) = spool.outbox.events_after(mark)
    assert mark < first < second == spool.outbox.last_event()
    assert event.state is State.ON_AIR
    assert spool.outbox.events_after(first, limit=1)[0][1].state is State.SENT
    assert spool.outbox.events_after(second) == []


# A destination that is found late


def test_the_destination_is_filled_in_before_it_first_goes_out(spool: Spool) -> None:
    open_, addressed = message(1), Message(message(1).id, Kind.TEXT, b"hello", destination=5)
    spool.outbox.put(
        open_.to_bytes(), [HILL], kind=Kind.TEXT, expires_at=9e9, wants_destination=True
    )
    assert spool.outbox.waiting(HILL.link)[0].wants_destination
    spool.outbox.rewrite(open_.id, addressed.to_bytes())
    (leg,) = spool.outbox.waiting(HILL.link)
    assert (leg.message, leg.wants_destination) == (addressed.to_bytes(), False)
    spool.outbox.burst(open_.id, HILL.link, attempts=1, next_index=1)
    with pytest.raises(SpoolError, match="has gone out already"):
        spool.outbox.rewrite(open_.id, open_.to_bytes())


def test_only_the_bytes_of_the_same_message_are_written_over_it(spool: Spool) -> None:
    id = put(spool, message(1))
    with pytest.raises(ValueError):
        spool.outbox.rewrite(id, message(2).to_bytes())
    with pytest.raises(FrameError):
        spool.outbox.rewrite(id, b"nothing")
    with pytest.raises(SpoolError, match="no message 0000000700000002"):
        spool.outbox.rewrite(message(2).id, message(2).to_bytes())


# Their end


def test_what_never_went_out_expires_and_what_did_is_unknown(spool: Spool) -> None:
    waited, sent, later = (put(spool, message(n), expires_in=n) for n in (1, 2, 3))
    spool.outbox.progress(waited, HILL.link, State.QUEUED, at=EPOCH, reason="no airtime left")
    spool.outbox.burst(sent, HILL.link, attempts=1, next_index=1)
    assert spool.outbox.next_expiry() == EPOCH + 1
    assert spool.outbox.expire(EPOCH) == []
    ended = spool.outbox.expire(EPOCH + 2)
    assert {leg.id: leg.state for leg in ended} == {waited: State.EXPIRED, sent: State.UNKNOWN}
    assert [spool.outbox.find(leg.id)[0] for leg in ended] == ended
    assert "no airtime left" in str(spool.outbox.find(waited)[0].reason)
    assert sequences(spool) == [later.sequence]
    assert spool.outbox.events(sent)[-1].state is State.UNKNOWN
    assert spool.outbox.next_expiry() == EPOCH + 3


def test_what_was_delivered_does_not_expire_as_unknown(spool: Spool) -> None:
    id = put(spool, message(1))
    spool.outbox.burst(id, HILL.link, attempts=1, next_index=1)
    spool.outbox.progress(id, HILL.link, State.DELIVERED, at=EPOCH, by=9)
    (leg,) = spool.outbox.expire(EPOCH + WEEK)
    assert leg.state is State.DELIVERED
    assert spool.outbox.dead() == []


def test_what_a_link_keeps_does_not_expire(spool: Spool) -> None:
    spool.outbox.put(message(1).to_bytes(), [HILL], kind=Kind.TEXT, expires_at=math.inf)
    assert spool.outbox.next_expiry() is None
    assert spool.outbox.expire(9e12) == []
    assert spool.outbox.waiting(HILL.link)[0].expires_at == math.inf


def test_the_dead_are_listed_with_their_reasons(spool: Spool) -> None:
    finish(spool, put(spool, message(1)))
    id = put(spool, message(2))
    spool.outbox.progress(
        id, HILL.link, State.REFUSED, at=EPOCH, reason="the room is locked", done=True
    )
    ((leg,), waiting) = spool.outbox.dead(), sequences(spool)
    assert (leg.id, leg.reason, waiting) == (id, "the room is locked", [])


def test_a_retry_queues_again_what_ended_badly(spool: Spool) -> None:
    id = put(spool, message(1), HILL, ROOM)
    spool.outbox.burst(id, HILL.link, attempts=3, next_index=20)
    spool.outbox.progress(id, HILL.link, State.REFUSED, at=EPOCH, reason="no", done=True)
    spool.outbox.progress(id, ROOM.link, State.DELIVERED, at=EPOCH, done=True)
    (leg,) = spool.outbox.retry(id)
    assert spool.outbox.waiting(HILL.link) == [leg]
    assert (leg.state, leg.attempts, leg.next_index, leg.sent) == (State.QUEUED, 0, 20, True)
    assert sequences(spool, ROOM) == []
    assert spool.outbox.events(id)[-1].state is State.QUEUED
    assert [again.link for again in spool.outbox.retry(id, "room")] == [ROOM.link]


def test_a_retry_forgets_the_shorter_lifetime_of_a_leg(spool: Spool, clock: Clock) -> None:
    data = message(1).to_bytes()
    leg = replace(HILL, expires_at=EPOCH + 1)
    spool.outbox.put(data, [leg], kind=Kind.VOICE, expires_at=EPOCH + WEEK)
    clock.now += 2
    [dead] = spool.outbox.expire(clock.now)
    assert dead.state is State.EXPIRED
    [again] = spool.outbox.retry(message(1).id)
    assert spool.outbox.waiting(HILL.link) == [again] and again.expires_at == EPOCH + WEEK
    assert spool.outbox.expire(clock.now) == []


def test_a_retry_that_cannot_be_says_why(spool: Spool, clock: Clock) -> None:
    id = put(spool, message(1))
    with pytest.raises(SpoolError, match="nothing to retry"):
        spool.outbox.retry(id)
    spool.outbox.expire(EPOCH + WEEK)
    with pytest.raises(SpoolError, match="nothing to retry on room"):
        spool.outbox.retry(id, "room")
    clock.now += WEEK
    with pytest.raises(SpoolError, match=r"lifetime .* has ended"):
        spool.outbox.retry(id)
    with pytest.raises(SpoolError, match="no message"):
        spool.outbox.retry(message(2).id)


def test_a_message_that_went_out_is_not_refused_when_it_is_dropped(spool: Spool) -> None:
    id = put(spool, message(1))
    spool.outbox.burst(id, HILL.link, attempts=1, next_index=1)
    spool.outbox.progress(id, HILL.link, State.SENT, at=EPOCH)
    spool.outbox.drop(id)
    last = spool.outbox.events(id)[-1]
    assert (last.state, last.reason) == (State.UNKNOWN, "it went out, then it was dropped here")


def test_a_dropped_message_is_gone_and_its_events_say_so(spool: Spool) -> None:
    id = put(spool, message(1), HILL, ROOM)
    finish(spool, id)
    spool.outbox.drop(id)
    assert spool.outbox.legs(all=True) == [] == spool.outbox.find(id)
    last = spool.outbox.events(id)[-1]
    assert (last.state, last.link, last.reason) == (
        State.REFUSED,
        "room",
        "dropped from the outbox",
    )
    with pytest.raises(SpoolError, match="no message"):
        spool.outbox.drop(id)


def test_what_waits_out_of_courtesy_may_be_agreed_to(spool: Spool) -> None:
    id = put(spool, message(1), HILL, ROOM)
    wait = spool.outbox.progress(
        id, HILL.link, State.QUEUED, at=EPOCH, reason="busy", until=EPOCH + 9, ask=True
    )
    assert wait is not None
    assert wait.ask
    assert spool.outbox.events(id) == [wait]
    spool.outbox.agree(id, HILL.link)
    assert [leg.agreed for leg in spool.outbox.find(id)] == [True, False]


def weighed(spool: Spool, since: Mark | None = None) -> tuple[bool, list[int], list[int]]:
    """Return whether it is all that waits, the sequences of what does, and of what does no more."""
    found = spool.outbox.weights(HILL.link, since)
    waiting = [weight.id.sequence for weight in found.waiting]
    return found.whole, waiting, [id.sequence for id in found.gone]


def test_after_the_first_look_only_what_changed_is_weighed(spool: Spool) -> None:
    for sequence in (1, 2, 3):
        put(spool, message(sequence), priority=sequence)
    found = spool.outbox.weights(HILL.link)
    assert [weight.length for weight in found.waiting] == [len(message(1).to_bytes())] * 3
    assert weighed(spool) == (True, [3, 2, 1], [])
    assert weighed(spool, found.mark) == (False, [], [])
    put(spool, message(4))
    put(spool, message(5), ROOM)
    finish(spool, message(2).id)
    spool.outbox.drop(message(1).id)
    spool.outbox.agree(message(3).id, HILL.link)
    whole, waiting, gone = weighed(spool, found.mark)
    assert not whole
    assert (sorted(waiting), sorted(gone)) == ([3, 4], [1, 2, 5])
    assert weighed(spool) == (True, [3, 4], [])
    assert weighed(spool, spool.outbox.weights(HILL.link).mark) == (False, [], [])
    spool.outbox.retry(message(2).id, HILL.link)
    assert weighed(spool, found.mark)[1].count(2) == 1


def test_what_another_process_wrote_is_looked_for_among_all(spool: Spool, tmp_path: Path) -> None:
    put(spool, message(1))
    mark = spool.outbox.weights(HILL.link).mark
    with Spool.open(tmp_path / "spool.db", durability="process", unix=Clock()) as other:
        put(other, message(2))
    assert weighed(spool, mark) == (True, [1, 2], [])
    mark = spool.outbox.weights(HILL.link).mark
    assert weighed(spool, mark) == (False, [], [])


def test_of_too_much_that_changed_nothing_is_overlooked(spool: Spool) -> None:
    mark = spool.outbox.weights(HILL.link).mark
    with spool.database.transaction():
        for sequence in range(1, REMEMBERED + 2):
            put(spool, message(sequence))
    whole, waiting, gone = weighed(spool, mark)
    assert whole
    assert waiting == list(range(1, REMEMBERED + 2))
    assert not gone


def test_what_waits_is_counted_without_being_read(spool: Spool, clock: Clock) -> None:
    assert spool.outbox.backlog(HILL.link) == (0, 0, None)
    for sequence in (1, 2, 3):
        put(spool, message(sequence), HILL, ROOM)
        clock.now += 10
    length = len(message(1).to_bytes())
    assert spool.outbox.backlog(HILL.link) == (3, 3 * length, EPOCH)
    finish(spool, message(1).id)
    assert spool.outbox.backlog(HILL.link) == (2, 2 * length, EPOCH + 10)
    assert spool.outbox.backlog(ROOM.link) == (3, 3 * length, EPOCH)
    assert spool.totals()["outbox"] == (3, 3 * length)


def test_dead_letters_are_counted_by_link(spool: Spool) -> None:
    assert spool.outbox.dead_letters() == {}
    for sequence, state in enumerate((State.REFUSED, State.UNKNOWN, State.SENT), 1):
        put(spool, message(sequence), HILL, ROOM)
        finish(spool, message(sequence).id, state)
    assert spool.outbox.dead_letters() == {HILL.link: 2}
    assert len(spool.outbox.dead()) == 2
    spool.outbox.retry(message(1).id)
    assert spool.outbox.dead_letters() == {HILL.link: 1}
    spool.outbox.expire(EPOCH + 3600)
    assert spool.outbox.dead_letters() == {HILL.link: 2, ROOM.link: 3}
