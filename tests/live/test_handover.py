"""Several processes of one home on one link: when its owner ends, another one takes it over."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.deadline import Deadline, Process
from tests.deadline import focal as process
from tests.live.pair import LONG, SHORT, TEXT, Pair, free_ports, udp, via


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Return two homes joined by UDP."""
    a, b = free_ports(2)
    return Pair(tmp_path, [udp(b, a)], [udp(a, b)], Deadline(15))


def end(pair: Pair, owner: Process, killed: bool) -> None:
    """End the process that has the link open."""
    if killed:
        owner.signal(signal.SIGKILL)
        pair.dies(owner)
    else:
        owner.signal(signal.SIGINT)
        assert owner.wait() == 130, owner.story()


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
def test_a_sender_goes_on_where_another_one_ended(pair: Pair, killed: bool) -> None:
    with pair.sending(LONG) as first:
        first.line("queued")
        with pair.sending(SHORT) as second:
            second.line("queued")
            end(pair, first, killed)
            with pair.listening() as listener:
                assert second.wait() == 0, second.story()
                pair.settle(listener)
    pair.check()


def test_a_sender_sends_what_another_one_hands_over(pair: Pair) -> None:
    nobody = process(
        "--home", str(pair.a), "send", "--text", "x", "--to", "~00c0ffee", "--wait", "delivered"
    )
    with pair.running([*nobody, *via(pair.near)]) as owner, pair.listening() as listener:
        owner.line("waiting", "err")
        with pair.sending(SHORT) as second:
            assert second.wait() == 0, second.story()
        listener.line('"received"')


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
def test_a_listener_hears_on_where_another_process_ended(pair: Pair, killed: bool) -> None:
    say = ["--home", str(pair.b), "--json", "send", "--text", "x", "--wait", "delivered"]
    with pair.running(process(*say, *via(pair.far))) as owner:
        owner.line("sent")
        with pair.listening() as listener:
            listener.line("listening on", "err")
            end(pair, owner, killed)
            with pair.sending(TEXT) as sender:
                assert sender.wait() == 0, sender.story()
            assert ".txt" in listener.line('"received"')  # the first sink's, of two
