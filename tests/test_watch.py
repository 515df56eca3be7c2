"""What a sender waits for: events in, a verdict out."""

from __future__ import annotations

import pytest

from focal.core.events import Progress, State
from focal.core.message import MessageId
from focal.watch import Watch

ONE, TWO = MessageId(1, 1), MessageId(1, 2)


def event(state: State, link: str | None = "hill", id: MessageId = ONE) -> Progress:
    return Progress(state, id, link, None, 0.0, reason="because" if state.final else None)


def watch(*states: State, wait: str = "sent") -> Watch:
    made = Watch([ONE], ["hill"], wait)
    for state in states:
        made.saw(event(state))
    return made


@pytest.mark.parametrize(
    ("wait", "states"),
    [
        ("queued", [State.QUEUED]),
        ("sent", [State.QUEUED, State.ON_AIR, State.SENT]),
        ("sent", [State.HEARD]),
        ("sent", [State.DELIVERED]),
        ("delivered", [State.SENT, State.DELIVERED]),
        ("delivered", [State.PLAYED]),
    ],
)
def test_what_is_waited_for_settles_it(wait: str, states: list[State]) -> None:
    assert not watch(*states[:-1], wait=wait).settled
    done = watch(*states, wait=wait)
    assert done.settled and done.failure() is None and not done.missing()


@pytest.mark.parametrize("state", [State.REFUSED, State.EXPIRED, State.UNKNOWN])
def test_an_end_that_is_none_of_it_is_a_failure_with_its_reason(state: State) -> None:
    ended = watch(State.SENT, state, wait="delivered")
    assert ended.settled
    assert ended.failure() == f"message {ONE} ended {state} on hill: because"


def test_what_was_delivered_has_not_failed_whatever_comes_after() -> None:
    assert watch(State.DELIVERED, State.UNKNOWN, wait="delivered").failure() is None


def test_sent_waits_for_every_link_that_does_not_fail() -> None:
    both = Watch([ONE], ["hill", "sea"], "sent")
    both.saw(event(State.SENT, "hill"))
    assert not both.settled
    both.saw(event(State.REFUSED, "sea"))
    assert both.settled and both.failure() is None


def test_delivered_by_any_link_is_delivered() -> None:
    both = Watch([ONE], ["hill", "sea"], "delivered")
    both.saw(event(State.REFUSED, "hill"))
    assert not both.settled
    both.saw(event(State.DELIVERED, "sea"))
    assert both.settled and both.failure() is None


def test_an_event_of_no_link_is_about_all_of_them() -> None:
    both = Watch([ONE], ["hill", "sea"], "delivered")
    both.saw(event(State.EXPIRED, None))
    assert both.settled and both.failure()


def test_every_message_of_a_series_is_waited_for() -> None:
    series = Watch([ONE, TWO], ["hill"], "sent")
    series.saw(event(State.SENT))
    assert not series.settled and series.missing() == [TWO]
    assert series.failure() == f"message {TWO} is not sent yet; it stays in the outbox"
    series.saw(event(State.SENT, id=TWO))
    assert series.settled


def test_other_messages_are_not_ours() -> None:
    assert not watch().saw(event(State.SENT, id=TWO))
    assert watch().saw(event(State.SENT))
