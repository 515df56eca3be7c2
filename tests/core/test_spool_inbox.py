"""The inbox: everything once, nothing deleted before its sinks had it."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from focal.core.errors import FrameError, SpoolError
from focal.core.inbox import Delivered, Outcome, TurnState
from focal.core.message import Kind, Message, MessageId, check_of
from focal.core.spool import Spool
from tests.core.spooling import EPOCH, Clock, message, small

WAV, SPEAKER = "wav:/home/a/in", "speaker:"
DAY = 86_400.0


@pytest.fixture
def spool(tmp_path: Path) -> Generator[Spool]:
    with Spool.open(tmp_path / "spool.db", durability="process", unix=Clock()) as spool:
        yield spool


@pytest.fixture
def tight(tmp_path: Path) -> Generator[Spool]:
    with small(tmp_path / "small.db", Clock()) as spool:
        yield spool


def deliver(
    spool: Spool,
    one: Message,
    *sinks: str,
    at: float = EPOCH,
    keeps: bool = False,
    foreign: bool = False,
) -> Delivered:
    return spool.inbox.deliver(
        one.to_bytes(),
        link="hill",
        peer="!1a2b3c4d",
        at=at,
        sinks=sinks,
        keeps=keeps,
        foreign=foreign,
    )


def held(spool: Spool) -> list[int]:
    return [entry.id.sequence for entry in spool.inbox.entries()]


def test_a_message_is_held_as_it_came(spool: Spool) -> None:
    one = Message(message(1).id, Kind.VOICE, b"abc", codec=17, sent_at=5, sender="Anna")
    spool.inbox.deliver(
        one.to_bytes(), link="hill", peer=None, at=EPOCH, sinks=[WAV], replayed=True, keeps=True
    )
    (entry,) = spool.inbox.find(one.id)
    assert (entry.id, entry.message, entry.kind) == (one.id, one.to_bytes(), Kind.VOICE)
    assert (entry.codec, entry.sender, entry.twin, entry.twins) == (17, "Anna", 0, 1)
    assert (entry.link, entry.peer, entry.at) == ("hill", None, EPOCH)
    assert entry.replayed and entry.keeps
    assert entry.outcomes == (Outcome(WAV, TurnState.PENDING, None, None),)
    assert spool.inbox.entries() == [entry]


def test_the_same_message_is_known_by_whatever_link(spool: Spool) -> None:
    assert deliver(spool, message(1), WAV) == Delivered(True, 0)
    assert deliver(spool, message(1), WAV, SPEAKER) == Delivered(False, 0)
    assert deliver(spool, message(1), keeps=True) == Delivered(False, 0)
    assert len(spool.inbox.turns([WAV, SPEAKER])) == 1
    tag = check_of(message(1).to_bytes())
    assert spool.inbox.knows(message(1).id, tag) and not spool.inbox.knows(message(1).id, tag ^ 1)
    assert spool.inbox.with_tag(tag, 7) == spool.inbox.with_tag(tag, 8) == MessageId(7, 1)
    assert spool.inbox.with_tag(tag ^ 1, 7) is None


def test_damaged_bytes_are_not_taken(spool: Spool) -> None:
    with pytest.raises(FrameError):
        spool.inbox.deliver(b"\xf1 nothing", link="hill", peer=None, at=EPOCH)


def test_other_bytes_under_an_id_are_kept_beside_the_first(spool: Spool) -> None:
    texts = ["one", "two", "three", "four", "five", "six"]
    results = [deliver(spool, message(1, text), WAV) for text in texts]
    assert results == [*(Delivered(True, n) for n in range(5)), Delivered(False, -1)]
    assert deliver(spool, message(1, "three")) == Delivered(False, 2)
    entries = spool.inbox.find(message(1).id)
    assert [(entry.twin, entry.twins) for entry in entries] == [(n, 5) for n in range(5)]
    assert [turn.twin for turn in spool.inbox.turns([WAV])] == [0, 1, 2, 3, 4]


def test_the_inbox_goes_on_from_a_row(spool: Spool) -> None:
    assert spool.inbox.last_entry() == 0
    for n in range(4):
        deliver(spool, message(n))
    rows = [entry.row for entry in spool.inbox.entries(limit=3)]
    assert rows[-1] == spool.inbox.last_entry()
    assert [entry.row for entry in spool.inbox.entries_after(rows[0])] == rows[1:]
    assert [entry.row for entry in spool.inbox.entries_after(rows[0], limit=1)] == rows[1:2]


# Turns


def test_each_sink_has_its_turn_in_the_order_of_arrival(spool: Spool) -> None:
    for n in (3, 1, 2):
        deliver(spool, message(n), WAV, SPEAKER)
    turns = spool.inbox.turns([WAV])
    assert [turn.id.sequence for turn in turns] == [3, 1, 2]
    assert (turns[0].message, turns[0].peer) == (message(3).to_bytes(), "!1a2b3c4d")
    assert len(spool.inbox.turns([WAV, SPEAKER])) == 6
    assert len(spool.inbox.turns([WAV, SPEAKER], limit=2)) == 2
    assert spool.inbox.turns([]) == []


def test_a_turn_ends_with_a_file_or_a_problem(spool: Spool) -> None:
    deliver(spool, message(1), WAV, SPEAKER)
    spool.inbox.end_turn(message(1).id, 0, WAV, file="a.wav")
    spool.inbox.end_turn(message(1).id, 0, SPEAKER, problem="no loudspeaker")
    assert spool.inbox.turns([WAV, SPEAKER]) == []
    assert spool.inbox.find(message(1).id)[0].outcomes == (
        Outcome(SPEAKER, TurnState.FAILED, None, "no loudspeaker"),
        Outcome(WAV, TurnState.DONE, "a.wav", None),
    )


def test_a_turn_is_begun_by_one_process_only(tmp_path: Path, spool: Spool) -> None:
    deliver(spool, message(1), SPEAKER)
    with Spool.open(tmp_path / "spool.db", unix=Clock()) as other:
        assert other.inbox.begin_turn(message(1).id, 0, SPEAKER)
        assert not spool.inbox.begin_turn(message(1).id, 0, SPEAKER)
        other.inbox.end_turn(message(1).id, 0, SPEAKER)
    assert not spool.inbox.begin_turn(message(1).id, 0, SPEAKER)
    assert not spool.inbox.begin_turn(message(2).id, 0, SPEAKER)


def test_what_a_crash_cut_off_is_told_once_and_not_played_again(spool: Spool) -> None:
    for n in (1, 2):
        deliver(spool, message(n), SPEAKER)
    spool.inbox.begin_turn(message(1).id, 0, SPEAKER)
    assert spool.inbox.cut_off([WAV]) == []
    assert [turn.id.sequence for turn in spool.inbox.cut_off([SPEAKER])] == [1]
    assert spool.inbox.cut_off([SPEAKER]) == []
    assert [turn.id.sequence for turn in spool.inbox.turns([SPEAKER])] == [2]
    (outcome,) = spool.inbox.find(message(1).id)[0].outcomes
    assert outcome.state is TurnState.CUT_OFF
    spool.inbox.end_turn(message(1).id, 0, SPEAKER)
    assert spool.inbox.find(message(1).id)[0].outcomes[0].state is TurnState.DONE


def test_a_process_that_did_not_receive_it_enlists_its_sinks(spool: Spool) -> None:
    deliver(spool, message(1), WAV)
    spool.inbox.end_turn(message(1).id, 0, WAV)
    (entry,) = spool.inbox.entries()
    spool.inbox.enlist(entry, [WAV, SPEAKER])
    assert [turn.sink for turn in spool.inbox.turns([WAV, SPEAKER])] == [SPEAKER]


# Room


def test_the_oldest_that_all_sinks_had_makes_room(tight: Spool) -> None:
    for n in range(3):
        deliver(tight, message(n), WAV)
    tight.inbox.end_turn(message(1).id, 0, WAV)
    assert deliver(tight, message(3), WAV) == Delivered(True, 0)
    assert held(tight) == [0, 2, 3]
    assert deliver(tight, message(1)) == Delivered(False, 0)  # the seen-table knows it


@pytest.mark.parametrize("state", ["pending", "playing", "cut off"])
def test_a_full_inbox_refuses_and_deletes_nothing(tight: Spool, state: str) -> None:
    for n in range(3):
        deliver(tight, message(n), SPEAKER)
        if state != "pending":
            tight.inbox.begin_turn(message(n).id, 0, SPEAKER)
    if state == "cut off":
        tight.inbox.cut_off([SPEAKER])
    with pytest.raises(SpoolError, match="the inbox is full"):
        deliver(tight, message(3), WAV)
    assert held(tight) == [0, 1, 2]
    tight.inbox.end_turn(message(2).id, 0, SPEAKER)
    assert deliver(tight, message(3), WAV).fresh


def test_enlisted_sinks_count_as_unfinished(tight: Spool) -> None:
    for n in range(3):
        deliver(tight, message(n))
    tight.inbox.enlist(tight.inbox.entries()[0], [SPEAKER])
    deliver(tight, message(3))
    assert held(tight) == [0, 2, 3]


def test_one_byte_too_many_makes_room_or_is_refused(tight: Spool) -> None:
    head = len(message(0, "").to_bytes())
    deliver(tight, message(0, "x" * (200 - head)))
    deliver(tight, message(1, "x" * (200 - head)))
    deliver(tight, message(2, "x" * (200 - head)))
    assert held(tight) == [1, 2]
    with pytest.raises(SpoolError, match="the inbox is full"):
        deliver(tight, message(3, "x" * (401 - head)))
    assert held(tight) == [1, 2]


def test_the_bounds_hold_within_a_batch(tight: Spool) -> None:
    tight.apply([partial(deliver, tight, message(n)) for n in range(5)])
    assert held(tight) == [2, 3, 4]


def test_what_is_dropped_in_a_batch_makes_room_in_it(tight: Spool) -> None:
    for n in range(3):
        deliver(tight, message(n), WAV)
    again = partial(deliver, tight, message(3), WAV)
    full, _, fresh = tight.apply([again, partial(tight.inbox.drop, message(1).id), again])
    assert isinstance(full, SpoolError) and fresh == Delivered(True, 0)


# What is known for how long


def test_seen_ids_are_kept_for_the_lifetime_and_a_day(tight: Spool) -> None:
    end = EPOCH + 3600 + DAY
    for n in range(4):  # the first one has to make room
        deliver(tight, message(n))
    tight.purge(end - 1)
    assert deliver(tight, message(0)) == Delivered(False, 0)
    tight.purge(end)
    assert deliver(tight, message(0), at=end) == Delivered(True, 0)


def test_an_old_message_is_known_for_a_day_at_least(tight: Spool) -> None:
    late = EPOCH + 30 * DAY
    for n in range(4):
        deliver(tight, message(n), at=late)
    tight.purge(late + DAY - 1)
    assert deliver(tight, message(0), at=late) == Delivered(False, 0)


def test_what_is_in_the_inbox_is_known_for_as_long(spool: Spool) -> None:
    deliver(spool, message(1))
    spool.purge(EPOCH + 1000 * DAY)
    assert deliver(spool, message(1)) == Delivered(False, 0)


def test_what_a_keeping_link_brought_is_known_by_its_row(tight: Spool) -> None:
    deliver(tight, message(0), keeps=True)
    deliver(tight, message(1))
    deliver(tight, message(1), keeps=True)  # came by a live link first
    for n in range(2, 5):
        deliver(tight, message(n))
    tight.purge(EPOCH + 1000 * DAY)
    assert held(tight) == [2, 3, 4]
    assert [deliver(tight, message(n)).fresh for n in (0, 1)] == [False, False]


def test_a_dropped_message_stays_known(spool: Spool) -> None:
    deliver(spool, message(1), WAV)
    deliver(spool, message(1, "twin"), WAV)
    deliver(spool, message(2), WAV)
    spool.inbox.drop(message(1).id)
    assert held(spool) == [2] and len(spool.inbox.turns([WAV])) == 1
    assert spool.inbox.find(message(1).id) == []
    spool.purge(EPOCH + 1000 * DAY)
    assert not deliver(spool, message(1)).fresh and not deliver(spool, message(1, "twin")).fresh
    assert deliver(spool, message(1, "third")) == Delivered(True, 2)
    spool.inbox.drop(message(1).id)
    with pytest.raises(SpoolError, match="no message 0000000700000001 in the inbox"):
        spool.inbox.drop(message(1).id)


def test_ids_of_dropped_messages_are_bounded(tight: Spool) -> None:
    for n in range(4):
        deliver(tight, message(n), keeps=True)
        tight.inbox.drop(message(n).id)
    assert [deliver(tight, message(n), keeps=True).fresh for n in (3, 2, 0)] == [False, False, True]


def flood(spool: Spool, origin: int, count: int, *, foreign: bool = False) -> None:
    for n in range(count):
        deliver(spool, message(n, origin=origin), foreign=foreign)


def known(spool: Spool, origin: int, sequence: int) -> bool:
    one = message(sequence, origin=origin)
    return spool.inbox.knows(one.id, check_of(one.to_bytes()))


def test_who_floods_pushes_out_only_their_own(tight: Spool) -> None:
    deliver(tight, message(1, origin=1))
    flood(tight, 2, 50)
    assert known(tight, 1, 1)
    assert [known(tight, 2, n) for n in (45, 46, 49)] == [False, True, True]


def test_the_seen_table_is_bounded_in_all(tight: Spool) -> None:
    flood(tight, 1, 3)
    flood(tight, 2, 4)
    flood(tight, 3, 3)
    assert [known(tight, 1, 2), known(tight, 2, 0)] == [False, False]
    assert known(tight, 3, 0) and known(tight, 2, 3)


def test_foreign_origins_count_together(tight: Spool) -> None:
    deliver(tight, message(1, origin=1))
    for origin in range(100, 150):
        deliver(tight, message(0, origin=origin), foreign=True)
    assert known(tight, 1, 1)
    assert [known(tight, origin, 0) for origin in (145, 146)] == [False, True]
    tight.purge(EPOCH + 1000 * DAY)
    tight.inbox.drop(MessageId(149, 0))
    flood(tight, 1, 4)
