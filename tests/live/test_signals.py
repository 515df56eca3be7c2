"""A user or a supervisor ends a process: it closes everything in order, and loses nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.deadline import Deadline
from tests.live.pair import LONG, SHORT, TEXT, Pair, free_ports, udp

SIGNALS = pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Return two homes joined by UDP."""
    a, b = free_ports(2)
    return Pair(tmp_path, [udp(b, a)], [udp(a, b)], Deadline(60))


@SIGNALS
def test_a_sender_that_is_ended_has_its_message_in_the_outbox(
    pair: Pair, number: signal.Signals, code: int
) -> None:
    with pair.sending(LONG) as sender:
        sender.line('"sent"')
        sender.signal(number)
        assert sender.wait() == code, sender.story()
        assert "stays in the outbox" in sender.err[-1] and "Traceback" not in sender.story()
    with pair.listening() as listener:
        pair.settle(listener)
    pair.check()


@SIGNALS
def test_a_listener_that_is_ended_goes_on_where_it_was(
    pair: Pair, number: signal.Signals, code: int
) -> None:
    pair.queue(*[TEXT, LONG, SHORT] * 5)
    with pair.listening() as first, pair.sending(SHORT) as sender:
        first.line('"received"')
        first.signal(number)
        assert first.wait() == code, first.story()
        assert len(first.err) == 1, first.story()
        with pair.listening() as second:
            assert sender.wait() == 0, sender.story()
            pair.settle(second)
    pair.check()


def test_a_second_signal_ends_a_listener_at_once(pair: Pair) -> None:
    with pair.listening() as listener:
        listener.line("listening on", "err")
        listener.signal(signal.SIGTERM)
        listener.signal(signal.SIGTERM)
        assert listener.wait() == -signal.SIGTERM
        assert "Traceback" not in listener.story()
