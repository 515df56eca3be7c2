"""The sliding hour: no hour, wherever it begins, holds more than the limit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.hour import HOUR, Hour, Sent


def most_in_an_hour(sent: Sequence[Sent]) -> float:
    """Return the most that any window of an hour holds; it ends with some transmission."""
    return max((in_the_hour_to(sent, one.end) for one in sent), default=0.0)


def in_the_hour_to(sent: Sequence[Sent], end: float) -> float:
    """Return the seconds of air in the hour that ends at ``end``, to the part of a frame."""
    start = end - HOUR
    parts = (min(one.end, end) - max(one.end - one.seconds, start) for one in sent)
    return sum(max(0.0, part) for part in parts)


def test_an_empty_hour_has_room_for_its_limit_and_no_more() -> None:
    hour = Hour([])
    assert hour.earliest(360.0, 5.0, 360.0) == 5.0
    assert hour.earliest(360.1, 5.0, 360.0) is None


def test_a_burst_waits_until_enough_has_left() -> None:
    hour = Hour([Sent(100.0, 20.0), Sent(200.0, 10.0)])
    assert hour.used(300.0) == 30.0
    assert hour.earliest(6.0, 300.0, 36.0) == 300.0
    assert hour.earliest(7.0, 300.0, 36.0) == pytest.approx(100.0 + HOUR - 7.0)
    assert hour.earliest(30.0, 300.0, 36.0) == pytest.approx(200.0 + HOUR - 30.0)


def test_what_is_promised_is_as_good_as_sent() -> None:
    hour = Hour([Sent(100.0, 20.0)], promised=10.0)
    assert hour.earliest(6.0, 200.0, 36.0) == 200.0
    assert hour.earliest(7.0, 200.0, 36.0) == pytest.approx(100.0 + HOUR - 7.0)
    assert hour.earliest(27.0, 200.0, 36.0) == 200.0 + HOUR


@given(
    st.lists(st.tuples(st.floats(0, 900), st.floats(0.01, 40), st.floats(0, 3)), max_size=60),
    st.floats(36, 360),
)
def test_no_window_ever_holds_more_than_the_limit(
    wanted: list[tuple[float, float, float]], limit: float
) -> None:
    sent: list[Sent] = []
    now = 0.0
    for pause, seconds, gap in wanted:  # each burst in two frames, with a gap between them
        now += pause
        at = Hour(sent).earliest(seconds, now, limit)
        if at is None:
            assert seconds > limit
            continue
        assert at >= now
        first = at + seconds / 2
        now = first + gap + seconds / 2
        sent += [Sent(first, seconds / 2), Sent(now, seconds / 2)]
    assert most_in_an_hour(sent) <= limit + 1e-6
