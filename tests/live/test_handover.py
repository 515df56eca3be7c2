"""Several processes of one home on one link: when its owner ends, another one takes it over."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from focal.core.inbox import TurnState
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


def saving(pair: Pair, folder: str) -> list[str]:
    """Return the command of one more listener of b, which saves into a folder."""
    options = ["--save", str(pair.folder / folder), *via(pair.far)]
    return process("--home", str(pair.b), "--json", "listen", *options)


def test_listeners_that_save_into_one_folder_write_once_and_tell_all(pair: Pair) -> None:
    commands = [saving(pair, folder) for folder in ("in", "other", "in")]
    with ExitStack() as stack:
        listeners = [stack.enter_context(pair.running(command)) for command in commands]
        for listener in listeners:
            listener.line("listening on", "err")
        pair.queue(*[SHORT, TEXT] * 5)
        ids = {str(leg.id) for leg in pair.outgoing()}
        with pair.owning() as owner:
            pair.deadline.until(
                "all is told", lambda: min(len(each.out) for each in listeners) >= len(ids)
            )
            pair.ends(owner)
        for listener in listeners:
            pair.ends(listener)
            received = [json.loads(line) for line in listener.out]
            assert sorted(one["id"] for one in received) == sorted(ids)
            assert all(one["file"] and "problem" not in one for one in received)
            assert len(listener.err) == 1, listener.story()
    states = {outcome.state for entry in pair.held() for outcome in entry.outcomes}
    assert len(list(pair.saved.iterdir())) == len(ids) and states == {TurnState.DONE}


def test_a_listener_writes_what_another_one_was_to_write(pair: Pair) -> None:
    with pair.running(saving(pair, "in"), fail="sink-done:1") as first:
        first.line("listening on", "err")
        with pair.running(saving(pair, "in")) as second:
            second.line("listening on", "err")
            with pair.sending(TEXT) as sender:
                pair.dies(first)
                assert sender.wait() == 0, sender.story()
            assert ".txt" in second.line('"received"')
            pair.ends(second)
    assert len(list(pair.saved.iterdir())) == 1
