"""What goes out next: never over the limit, never idle without a reason, nobody forgotten."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focal.core.hour import HOUR, Hour, Sent
from focal.core.scheduler import (
    PATIENCE,
    Conditions,
    Courtesy,
    Go,
    Job,
    Never,
    Scheduler,
    Wait,
)
from tests.core.test_hour import most_in_an_hour

QUIET = Conditions(360.0)


def job(key: str, seconds: float, at: float = 0.0, priority: int = 0, until: float = 1e9) -> Job:
    return Job(key, seconds, at, until, priority)


def queue(*jobs: Job) -> Scheduler:
    scheduler = Scheduler()
    for each in jobs:
        scheduler.add(each)
    return scheduler


def order(scheduler: Scheduler, now: float = 0.0) -> list[object]:
    """Return the keys in the order in which they go where there is room for all."""
    keys: list[object] = []
    while (decision := scheduler.next(now, Hour([]), QUIET)) is not None:
        assert isinstance(decision, Go)
        keys.append(decision.job.key)
    return keys


def test_priority_goes_before_age() -> None:
    jobs = job("old", 5.0, 0.0), job("new", 1.0, 5.0), job("urgent", 9.0, 9.0, priority=1)
    assert order(queue(*jobs), 10.0) == ["urgent", "old", "new"]


def test_what_another_process_queued_earlier_goes_earlier() -> None:
    jobs = job("new", 5.0, 9.0), job("old", 5.0, 1.0), job("middle", 5.0, 5.0)
    assert order(queue(*jobs), 10.0) == ["old", "middle", "new"]


def test_what_was_dropped_or_has_expired_is_gone() -> None:
    scheduler = queue(job("a", 5.0), job("b", 5.0, until=3.0), job("c", 5.0, 1.0))
    scheduler.drop("a")
    scheduler.drop("a")
    assert order(scheduler, 4.0) == ["c"]
    assert len(scheduler) == 0


def test_a_burst_that_does_not_fit_waits_and_says_until_when() -> None:
    hour = Hour([Sent(100.0, 355.0)])
    decision = queue(job("a", 6.0)).next(200.0, hour, QUIET)
    assert isinstance(decision, Wait)
    assert decision.at == pytest.approx(100.0 + HOUR - 6.0)
    assert "355.0 s of the 360.0 s of air" in decision.reason
    assert not decision.ask


def test_a_smaller_one_passes_the_first_for_a_while() -> None:
    hour = Hour([Sent(100.0, 355.0)])
    jobs = job("big", 6.0, 200.0), job("small", 1.5, 201.0)
    decision = queue(*jobs).next(202.0, hour, Conditions(360.0))
    assert isinstance(decision, Go)
    assert decision.job.key == "small"


def test_later_it_passes_only_where_the_first_does_not_wait_longer() -> None:
    late = 200.0 + PATIENCE
    tight = Hour([Sent(100.0, 30.0), Sent(150.0, 325.0)])
    jobs = job("big", 34.5, 200.0), job("small", 1.5, 201.0)
    assert isinstance(queue(*jobs).next(late, tight, QUIET), Wait)
    jobs = job("big", 33.0, 200.0), job("small", 1.5, 201.0)
    decision = queue(*jobs).next(late, tight, QUIET)
    assert isinstance(decision, Go)
    assert decision.job.key == "small"


def test_what_no_hour_has_room_for_is_told_and_leaves() -> None:
    scheduler = queue(job("huge", 361.0), job("small", 1.5, 1.0))
    decision = scheduler.next(2.0, Hour([]), QUIET)
    assert isinstance(decision, Never)
    assert decision.job.key == "huge"
    assert "may send 360.0 s in an hour" in decision.reason
    assert order(scheduler, 2.0) == ["small"]


def test_what_has_no_room_beside_others_waits_for_them() -> None:
    crowded = Conditions(4.0, whole=360.0, until=50.0)
    scheduler = queue(job("big", 6.0), job("small", 1.5, 1.0))
    decision = scheduler.next(2.0, Hour([]), crowded)
    assert isinstance(decision, Go)
    assert decision.job.key == "small"
    decision = scheduler.next(4.0, Hour([]), crowded)
    assert isinstance(decision, Wait)
    assert (decision.at, decision.look_at) == (50.0, 19.0)
    assert "what others send by this radio leaves 4.0 s" in decision.reason
    assert order(scheduler, 60.0) == ["big"]


def test_what_expires_before_there_is_room_holds_nobody_up() -> None:
    hour = Hour([Sent(100.0, 355.0)])
    jobs = job("big", 6.0, 0.0, until=1000.0), job("small", 1.5, 1.0)
    decision = queue(*jobs).next(900.0, hour, QUIET)
    assert isinstance(decision, Go)
    assert decision.job.key == "small"
    big = job("big", 6.0, until=1000.0)
    decision = queue(big).next(900.0, hour, QUIET)
    assert decision == Wait(big, 1000.0, "there is no airtime before it expires")


@pytest.mark.parametrize(
    ("busy", "agreed", "goes", "asks"),
    [
        (0.25, False, True, False),
        (0.26, False, False, True),
        (0.26, True, True, False),
        (0.40, True, True, False),
        (0.41, True, False, False),
        (0.41, False, False, False),
    ],
)
def test_the_neighbours_come_first(busy: float, agreed: bool, goes: bool, asks: bool) -> None:
    conditions = Conditions(360.0, busy, agreed=agreed)
    decision = queue(job("a", 6.0)).next(0.0, Hour([]), conditions)
    assert isinstance(decision, Go) == goes
    if isinstance(decision, Wait):
        assert decision.ask == asks
        assert f"others use the channel {busy:.0%} of the time" in decision.reason


def courteous(now: float, hour: Hour, conditions: Conditions) -> Wait | None:
    """Return why courtesy holds a burst."""
    return Courtesy(now, hour, conditions).holds(job("a", 6.0))


def test_relays_of_what_we_sent_count() -> None:
    hour = Hour([Sent(10.0, 9.0)])
    assert courteous(20.0, hour, Conditions(360.0)) is None
    wait = courteous(20.0, hour, Conditions(360.0, relays=2.0))
    assert wait is not None
    assert "others use the channel 30% of the time" in wait.reason
    assert wait.at == pytest.approx(70.0)


def test_we_do_not_wait_for_ourselves_before_the_channel_is_full() -> None:
    hour = Hour([Sent(10.0, 10.0), Sent(18.0, 8.0)])  # 30 %
    assert courteous(20.0, hour, Conditions(360.0)) is None
    full = courteous(20.0, hour, Conditions(360.0, busy=0.2))
    assert full is not None
    assert not full.ask
    assert "the channel is used 50% of the time, by us 30%" in full.reason
    assert full.at == pytest.approx(70.0)


def test_until_when_others_use_it_is_known_when_the_radio_tells_again() -> None:
    conditions = Conditions(360.0, busy=0.3, until=50.0)
    waits = [courteous(now, Hour([]), conditions) for now in (0.0, 20.0, 45.0)]
    assert [wait and wait.at for wait in waits] == [50.0, 50.0, 50.0]
    assert [wait and wait.look_at for wait in waits] == [15.0, 35.0, 50.0]


def test_of_two_reasons_to_wait_the_one_that_lasts_is_told() -> None:
    hour = Hour([Sent(100.0, 355.0)])
    decision = queue(job("a", 6.0)).next(110.0, hour, QUIET)
    assert isinstance(decision, Wait)
    assert decision.at == pytest.approx(100.0 + HOUR - 6.0)
    assert "355.0 s of the 360.0 s of air" in decision.reason
    assert decision.look_at == pytest.approx(160.0)


def test_what_was_agreed_to_or_begun_passes_what_courtesy_holds() -> None:
    busy = Conditions(360.0, busy=0.3, until=50.0)
    jobs = job("a", 6.0), replace(job("b", 6.0, 1.0), agreed=True)
    decision = queue(*jobs).next(5.0, Hour([]), busy)
    assert isinstance(decision, Go)
    assert decision.job.key == "b"
    full = Conditions(360.0, busy=0.9, until=50.0)
    jobs = replace(job("a", 6.0), agreed=True), replace(job("b", 0.5, 1.0), begun=True)
    decision = queue(*jobs).next(5.0, Hour([]), full)
    assert isinstance(decision, Go)
    assert decision.job.key == "b"


def test_another_look_is_worth_it_when_any_of_two_may_go() -> None:
    hour = Hour([Sent(0.0, 355.0)])
    busy = Conditions(360.0, busy=0.3, until=4000.0)
    jobs = job("a", 6.0, 3580.0), replace(job("b", 6.0, 3581.0), begun=True)
    decision = queue(*jobs).next(3585.0, hour, busy)
    assert isinstance(decision, Wait)
    assert (decision.job.key, decision.at) == ("a", 4000.0)
    assert decision.look_at == pytest.approx(3594.0)
    jobs = job("a", 6.0, 3582.0), replace(job("b", 6.0, 3581.0), begun=True)
    decision = queue(*jobs).next(3585.0, hour, busy)
    assert isinstance(decision, Wait)
    assert decision.job.key == "b"
    assert "of air that an hour allows" in decision.reason


def test_what_was_dropped_is_not_kept_in_line() -> None:
    scheduler = queue(job("first", 5.0))
    for number in range(1000):
        scheduler.add(job(str(number), 5.0, 1.0 + number))
        scheduler.drop(str(number))
    assert sum(map(len, scheduler._lines.values())) < 10  # pyright: ignore[reportPrivateUsage]
    assert order(scheduler, 2000.0) == ["first"]


def backlog(limit: float, hours: float, seed: int) -> tuple[list[Sent], float]:
    """Work off a backlog of 5.9 s and 1.5 s bursts; return what was sent, and the share used.

    The share is that of the limit, over all whole hours after the first two.
    """
    chance, scheduler = Random(seed), Scheduler()
    sent: list[Sent] = []
    now, made = 0.0, 0
    while now < hours * HOUR:
        while len(scheduler) < 50:
            scheduler.add(job(str(made), chance.choice((5.9, 1.5)), now))
            made += 1
        recent = [one for one in sent if one.end > now - HOUR]
        match scheduler.next(now, Hour(recent), Conditions(limit, agreed=True)):
            case Go(one):
                now += one.seconds + chance.uniform(0, 0.5)
                sent.append(Sent(now, one.seconds))
            case Wait() as wait:
                assert wait.look_at > now
                now = wait.look_at
            case other:
                raise AssertionError(other)
    counted = [one.seconds for one in sent if 2 * HOUR < one.end <= hours * HOUR]
    return sent, sum(counted) / (limit * (hours - 2))


@pytest.mark.parametrize(
    ("duty", "least"), [(0.1, 0.99), (0.025, 0.98), (0.01, 0.95)], ids=["10%", "2.5%", "1%"]
)
def test_a_backlog_uses_the_budget(duty: float, least: float) -> None:
    for seed in range(3):
        sent, share = backlog(duty * HOUR, 12.0, seed)
        assert most_in_an_hour(sent) <= duty * HOUR + 1e-6
        assert share >= least


@settings(max_examples=60)
@given(st.data())
def test_whatever_comes_no_window_is_exceeded_and_nobody_waits_for_nothing(
    data: st.DataObject,
) -> None:
    limit = data.draw(st.floats(20, 200))
    scheduler, sent, now = Scheduler(), list[Sent](), 0.0
    for number in range(data.draw(st.integers(1, 40))):
        seconds = data.draw(st.floats(0.05, limit))
        priority = data.draw(st.integers(-1, 1))
        scheduler.add(job(str(number), seconds, now, priority))
        now += data.draw(st.floats(0, 400))
        while isinstance(decision := scheduler.next(now, Hour(sent), Conditions(limit)), Go):
            now += decision.job.seconds
            sent.append(Sent(now, decision.job.seconds))
    while (decision := scheduler.next(now, Hour(sent), Conditions(limit))) is not None:
        if isinstance(decision, Wait):
            assert now < decision.at < math.inf
            now = decision.at
        else:
            assert isinstance(decision, Go)
            now += decision.job.seconds
            sent.append(Sent(now, decision.job.seconds))
    assert len(scheduler) == 0
    assert most_in_an_hour(sent) <= limit + 1e-6


def test_ten_thousand_in_the_queue_are_looked_at_once() -> None:
    scheduler = queue(*(job(str(n), 1.5 + n % 7, n) for n in range(10_000)))
    looks = sum(1 for _ in range(1000) if scheduler.next(20_000.0, Hour([]), QUIET))
    assert looks == 1000
    assert len(scheduler) == 9_000
