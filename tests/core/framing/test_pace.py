"""The timers: finite, never negative, and they follow what was measured."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.framing.pace import (
    CONFIRM,
    HEARING,
    Gap,
    Loss,
    Pace,
    RoundTrip,
    answer_to,
    parity_to_all,
    parity_to_peer,
)

seconds = st.floats(0, 1e6)
shares = st.floats(0, 1)


def lora(n: int) -> float:
    return 0.3 + n / 100


@given(st.lists(seconds, max_size=30), st.integers(0, 10_000))
def test_a_time_out_stays_between_its_bounds(trips: list[float], silences: int) -> None:
    trip = RoundTrip()
    for measured in trips:
        trip.measured(measured)
    assert trip.least <= trip.timeout(silences) <= trip.most
    assert trip.timeout(silences) <= trip.timeout(silences + 1)


def test_a_steady_round_trip_is_waited_for_just_a_little_longer() -> None:
    trip = RoundTrip()
    assert trip.timeout(0) == trip.first
    for _ in range(60):
        trip.measured(0.2)
    assert 0.2 <= trip.timeout(0) < 0.21


@given(st.lists(seconds, min_size=1, max_size=40))
def test_one_long_gap_does_not_make_a_receiver_wait_for_ever(gaps: list[float]) -> None:
    gap = Gap()
    for measured in gaps:
        before = gap.smoothed
        gap.measured(measured)
        assert 0 <= gap.smoothed <= 3 * before + 0.01


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=40), shares)
def test_the_loss_that_is_told_stays_a_share(told: list[tuple[int, int]], start: float) -> None:
    loss = Loss(min(0.9, start))
    for lost, of in told:
        loss.told(min(lost, of), of)
        assert 0 <= loss.share <= 0.9


@pytest.mark.parametrize("airtime", [None, lora])
@given(left=st.integers(0, 127), silences=st.integers(0, 100), slot=st.floats(0, 1))
def test_every_wait_is_finite_and_never_negative(
    airtime: object, left: int, silences: int, slot: float
) -> None:
    pace = Pace(airtime=lora if airtime else None, slot=slot, shared=True)
    pace.random = random.Random(left)
    waits = [
        pace.control(), pace.silence(silences), pace.burst_end(left, 212),
        pace.spread_ask(), pace.spread_confirm(1), pace.longest_spread(),
        pace.spread_lend(left, 212), pace.unanswered(silences + 1),
    ]  # fmt: skip
    assert all(wait is not None and 0 <= wait < math.inf for wait in waits)


def test_with_airtime_the_waits_are_the_wire_s() -> None:
    pace = Pace(airtime=lora, slot=0.01)
    assert pace.silence(9) == pytest.approx(lora(12) + 0.14 + 0.7)
    assert pace.burst_end(3, 212) == pytest.approx(3 * (lora(212) + 0.07) + 0.1)


def test_a_question_without_an_answer_is_repeated_ever_more_rarely() -> None:
    pace, wire = Pace(airtime=lora, slot=0.01, random=random.Random(1)), Pace()
    assert [pace.unanswered(n) / pace.silence(0) for n in (1, 2, 3)] == pytest.approx([1, 2, 4])
    assert 0 <= pace.unanswered(4) - 8 * pace.silence(0) <= 2 * lora(14)
    assert 3600 <= pace.unanswered(1000) <= 3600 + 8 * lora(14)
    assert [wire.unanswered(n) for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]


def test_relays_take_their_time() -> None:
    pace = Pace(airtime=lora, slot=0.01, relays=2)
    assert pace.silence(0) == pytest.approx(3 * lora(12) + 0.14 + 2 * 0.64 + 0.7)
    assert pace.burst_end(3, 212) == pytest.approx(9 * (lora(212) + 0.07) + 2 * 0.32 + 0.1)
    assert pace.control() == pytest.approx(3 * (lora(14) + 0.07))
    pace.handed(200, 10.0)
    assert pace.clear == pytest.approx(10 + 3 * (lora(200) + 0.035))


def test_answers_are_spread_only_where_others_hear_them() -> None:
    alone, shared = Pace(), Pace(shared=True, random=random.Random(1))
    assert (alone.spread_ask(), alone.spread_confirm(64)) == (0.0, 0.0)
    assert all(5 * HEARING <= shared.spread_ask() <= 10 * HEARING for _ in range(50))
    waits = [shared.spread_confirm(1) for _ in range(50)]
    assert all(wait is not None and 0 <= wait <= CONFIRM * HEARING for wait in waits)


def test_of_a_crowd_about_one_draws_a_lot_to_confirm() -> None:
    shared = Pace(shared=True, random=random.Random(1))
    drawn = [shared.spread_confirm(8) for _ in range(8000)]
    assert 900 < sum(wait is not None for wait in drawn) < 1100


def test_what_is_handed_to_a_radio_goes_out_one_after_the_other() -> None:
    radio, wire = Pace(airtime=lora, slot=0.02), Pace()
    for pace in (radio, wire):
        pace.handed(200, 10.0)
        pace.handed(12, 10.1)
    assert radio.clear == pytest.approx(10 + lora(200) + lora(12) + 7 * 0.02)
    assert wire.clear == -math.inf
    radio.handed(12, 100.0)
    assert radio.clear == pytest.approx(100 + lora(12) + 3.5 * 0.02)


@given(st.integers(1, 127), shares)
def test_parity_and_answers_grow_with_the_loss_and_stay_few(k: int, loss: float) -> None:
    assert 0 <= parity_to_peer(k, loss) <= 1
    assert 0 <= parity_to_all(loss) <= 4
    assert k <= answer_to(k, loss) <= k + 1
    assert parity_to_all(loss) <= parity_to_all(min(1.0, loss + 0.1))
