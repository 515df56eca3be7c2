"""What breaks connections is put off, and tried again; nothing else is."""

from __future__ import annotations

from focal.core.message import MessageId
from focal.transports.mqtt.past import TIMES, Past

POISON, OTHER = MessageId(1, 1), MessageId(1, 2)


def broken(past: Past, times: int, id: MessageId = POISON) -> Past:
    for _ in range(times):
        past.broke(id)
    return past


def test_what_breaks_connections_is_put_off_and_tried_again() -> None:
    past = broken(Past(), TIMES)
    assert past.put_off(POISON)
    assert not past.put_off(POISON), "it is never tried again"
    past.broke(POISON)
    assert past.put_off(POISON), "it may break every connection"


def test_what_was_there_a_few_times_is_not_put_off() -> None:
    assert not broken(Past(), TIMES - 1).put_off(POISON)


def test_others_pass() -> None:
    assert not broken(Past(), TIMES).put_off(OTHER)


def test_a_message_that_is_taken_is_not_suspected() -> None:
    past = broken(Past(), TIMES)
    past.took(OTHER)
    past.took(POISON)
    assert not past.put_off(POISON)


def test_only_times_in_a_row_count() -> None:
    past = broken(Past(), TIMES - 1)
    past.broke(OTHER)
    past.broke(POISON)
    assert not past.put_off(POISON)


def test_connections_that_break_with_nothing_on_its_way_say_nothing() -> None:
    past = broken(Past(), TIMES - 1)
    past.broke(None)
    past.broke(POISON)
    assert past.put_off(POISON)
