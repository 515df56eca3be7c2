"""The peer protocol on a radio: the table of ``bench/lora.py`` made small, and its single rules."""

from __future__ import annotations

import random

import pytest

from bench import lora
from bench._mesh import Host, Mesh
from focal.core.framing import frame as frames
from focal.core.framing.agenda import MAX_CONTROLS
from focal.core.framing.assemble import Assembler
from focal.core.framing.effects import Effect, GaveUp, Out
from focal.core.framing.frame import Confirm, Frame, Need, Poll, Symbol, Verdict
from focal.core.framing.hearing import LENT, MAX_ASKS, MAX_LENT
from focal.core.framing.pace import Pace
from focal.core.framing.peer import Conversation
from focal.core.framing.sending import MAX_ANSWERS, lacking
from focal.core.framing.split import Splitter
from focal.core.message import Kind, Message, MessageId, check_of
from focal.transports.lora.loss import Independent
from focal.transports.lora.plan import air

LONG_FAST = air("US", "LONG_FAST")
FEW = 1500
"""Messages of a cell here; the bench has 4,000. Means of so few are some hundredths off."""


def pace(**more: object) -> Pace:
    """Return the timing of a radio."""
    settings: dict[str, object] = {
        "airtime": LONG_FAST.airtime, "slot": LONG_FAST.slot, "shared": True,
        "assumed_loss": 0.1, "give_up": 12, "random": random.Random(1),
    }  # fmt: skip
    return Pace(**settings | more)  # type: ignore[arg-type]


def talk(origin: int = 1) -> Conversation:
    return Conversation("lora", origin, pace(), Assembler())


def message(to: int | None = None, size: int = 577, by: int = 1) -> bytes:
    payload = random.Random(size).randbytes(size)
    return Message(MessageId(by, 1), Kind.DATA, payload, destination=to).to_bytes()


def frames_of(data: bytes, *indices: int) -> list[Frame]:
    return [frames.unpack(packed) for packed in Splitter.of(data, 231).frames(indices)]


def said(talk: Conversation, now: float) -> list[Frame]:
    """Hand over all that is to be sent now, and return it."""
    return [frames.unpack(out.data) for out in outs(talk, now)]


def outs(talk: Conversation, now: float) -> list[Out]:
    all: list[Out] = []
    while (out := talk.take(now)) is not None:
        talk.sent(out, now)
        all.append(out)
    return all


def later(talk: Conversation) -> float:
    """Return when this conversation has something to do next."""
    deadline = talk.next_deadline()
    assert deadline is not None
    return deadline


def commit(talk: Conversation, data: bytes, *, to_all: bool, now: float) -> None:
    talk.committed(check_of(data), Verdict.DELIVERED, now, to_all=to_all, peer="!1")


# The table


@pytest.mark.parametrize("loss", lora.PEER)
def test_messages_to_a_peer_take_no_more_than_they_may(loss: float) -> None:
    least, airtime, median, tail = lora.PEER[loss]
    figures = lora.to_a_peer(577, loss, FEW)
    assert figures.failed == 0
    assert 100 * figures.confirmed >= least - 0.2
    assert figures.airtime <= 1.02 * airtime
    assert figures.median <= (median if loss != 0.2 else 9.8)
    assert figures.tail <= 1.1 * tail  # a step of 2 s is near it
    if loss == 0.2:
        assert figures.soon > 0.44


def test_a_message_of_one_frame_takes_no_more_than_it_may() -> None:
    assert lora.blind(117) <= 1.5
    assert lora.to_a_peer(117, 0.3, FEW).airtime <= 1.03 * 3.75
    assert lora.to_a_peer(468, 0.3, FEW).airtime <= 1.02 * 10.1


def test_on_a_fast_channel_a_message_is_confirmed_in_a_second() -> None:
    figures = lora.to_a_peer(577, 0.0, FEW, preset="SHORT_FAST")
    assert figures.confirm_median <= 1.2
    assert figures.confirm_longest <= 1.5


@pytest.mark.parametrize("loss", lora.CAST)
def test_messages_to_everyone_reach_all_at_the_price_that_they_may_have(loss: float) -> None:
    least, most = lora.CAST[loss]
    figures = lora.to_everyone(577, loss, 400)
    assert figures.failed == 0
    assert 100 * figures.played >= least - 0.5
    assert figures.airtime / lora.blind(577) <= 1.02 * most


def test_hidden_senders_and_bursts_of_loss_are_got_over() -> None:
    assert lora.hidden(577, 0.0, 200).played > 0.97
    assert lora.to_a_peer(577, 0.3, 200, bursty=True).played > 0.97


# A sender


def test_timers_wait_for_what_was_handed_over_to_go_out() -> None:
    sender = talk()
    data = message(to=2)
    sender.begin(Splitter.of(data, 231), 100.0, destination=2)
    assert len(said(sender, 100.0)) == 3
    burst = 3 * (LONG_FAST.airtime(209) + 3.5 * LONG_FAST.slot)
    silence = LONG_FAST.airtime(12) + 14 * LONG_FAST.slot + 0.7
    assert later(sender) == pytest.approx(100 + burst + silence, abs=0.1)


def test_a_request_that_comes_while_the_burst_goes_out_is_ignored() -> None:
    sender, data = talk(), message(to=2)
    sender.begin(Splitter.of(data, 231), 0.0, destination=2)
    said(sender, 0.0)
    sender.hear(Need(check_of(data), 2, 3, 1), "!2", 3.0)
    assert not said(sender, 3.0)
    sender.hear(Need(check_of(data), 2, 3, 1), "!2", 7.0)
    assert len(said(sender, 7.0)) == 1


def test_only_whom_a_message_is_for_may_ask_for_more() -> None:
    sender, data = talk(), message(to=2)
    sender.begin(Splitter.of(data, 231), 0.0, destination=2)
    said(sender, 0.0)
    sender.hear(Need(check_of(data), 3, 3, 1), "!3", 7.0)
    assert not said(sender, 7.0)


def test_a_receiver_that_does_not_get_on_is_answered_only_so_often() -> None:
    sender, data, now, answers = talk(), message(to=2), 0.0, 0
    sender.begin(Splitter.of(data, 231), now, destination=2)
    said(sender, now)
    for _ in range(3 * MAX_ANSWERS):
        now += 60
        sender.hear(Need(check_of(data), 2, 3, 1), "!2", now)
        answers += len([f for f in said(sender, now) if isinstance(f, Symbol)])
    assert answers <= 2 * MAX_ANSWERS
    ends: list[Effect] = []
    for _ in range(13):
        now = max(now, later(sender)) if sender.flights else now
        said(sender, now)
        ends += sender.effects()
    assert ends == [GaveUp(check_of(data))]


def test_one_that_gets_on_is_answered_again() -> None:
    sender, data = talk(), message(to=2, size=1500)
    sender.begin(Splitter.of(data, 231), 0.0, destination=2)
    said(sender, 0.0)
    for number in range(MAX_ANSWERS):
        sender.hear(Need(check_of(data), 2, 8, 5), "!2", 60.0 * (number + 1))
        said(sender, 60.0 * (number + 1))
    sender.hear(Need(check_of(data), 2, 8, 5), "!2", 5000.0)
    assert len(said(sender, 5000.0)) == 1  # a poll, for it was silent so long
    sender.hear(Need(check_of(data), 2, 8, 4), "!2", 6000.0)
    assert len(said(sender, 6000.0)) >= 4


def test_a_silent_stranger_is_polled_with_the_symbol_that_says_whom_it_is_for() -> None:
    sender, data = talk(), message(to=2)
    sender.begin(Splitter.of(data, 231), 0.0, destination=2)
    said(sender, 0.0)
    (poll,) = said(sender, later(sender))
    assert isinstance(poll, Symbol) and poll.index == 0


def test_everyone_is_polled_with_a_bare_frame() -> None:
    sender, data = talk(), message()
    sender.begin(Splitter.of(data, 231), 0.0, destination=None)
    assert len(said(sender, 0.0)) == 3 + 2
    (poll,) = said(sender, later(sender))
    assert isinstance(poll, Poll) and poll.destination == 0


@pytest.mark.parametrize("lacked", [1, 3, 20])
@pytest.mark.parametrize("firsts", [0, 1, 2])
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.5, 0.9])
def test_what_a_silent_receiver_lacks_is_a_chance(lacked: int, firsts: int, loss: float) -> None:
    for sent in range(firsts, 60):
        first, others = lacking(lacked, sent, firsts, loss)
        assert -1e-9 <= first <= 1 + 1e-9
        assert -1e-9 <= others <= 1 + 1e-9
        assert first + others <= 1 + 1e-9


def test_senders_that_go_on_hearing_nothing_do_not_stay_in_step() -> None:
    waits: set[float] = set()
    for origin in range(2, 6):
        sender = Conversation("lora", 1, pace(random=random.Random(origin)), Assembler())
        sender.begin(Splitter.of(message(to=2), 231), 0.0, destination=2)
        now = 0.0
        for _ in range(4):
            now = max(0.0, later(sender))
            said(sender, now)
        waits.add(round(later(sender) - now, 3))
    assert len(waits) == 4


# A listener


def test_who_was_meant_before_asks_at_once_though_it_cannot_tell_yet() -> None:
    for before, wait in ((message(to=2, size=100), 0.2), (message(size=100), 3.0)):
        listener, data = talk(2), message(to=2)
        for frame in frames_of(before, 0):
            listener.hear(frame, "!1", 0.0)
        for frame in frames_of(data, 1, 2):
            listener.hear(frame, "!1", 10.0)
        asked = later(listener)
        assert (asked < 10 + wait) == (wait == 0.2)
        needs = [f for f in said(listener, asked) if isinstance(f, Need)]
        assert [need.count for need in needs] == [1]


def test_parity_that_is_expected_is_waited_for() -> None:
    listener, data = talk(2), message(to=2)
    for lost in range(30):  # it has measured that much of what this peer sends is lost
        for frame in frames_of(message(to=2, size=500 + lost), 0, 2, 4):
            listener.hear(frame, "!1", 0.0)
    while listener.take(0.0):
        pass
    for frame in frames_of(data, 0, 2):
        listener.hear(frame, "!1", 10.0)
    assert later(listener) == pytest.approx(10 + LONG_FAST.airtime(209) + 0.3, abs=0.1)


def test_a_frame_of_the_burst_after_the_last_needed_is_not_taken_for_a_poll() -> None:
    listener, data = talk(2), message(to=2)
    for lost in range(30):
        for frame in frames_of(message(to=2, size=500 + lost), 0, 2, 4):
            listener.hear(frame, "!1", 0.0)
    while listener.take(0.0):
        pass
    for frame in frames_of(data, 0, 1, 2):
        listener.hear(frame, "!1", 10.0)
    commit(listener, data, to_all=False, now=10.0)
    assert len(said(listener, 10.0)) == 1
    for index, at, answers in ((3, 12.0, 0), (4, 18.0, 1)):
        for frame in frames_of(data, index):
            listener.hear(frame, "!1", at)
        assert len(said(listener, at)) == answers


def test_who_hears_somebody_confirm_keeps_silent_and_steps_back() -> None:
    listener, data = talk(2), message()
    for frame in frames_of(data, 0, 1, 2):
        listener.hear(frame, "!1", 0.0)
    commit(listener, data, to_all=True, now=0.0)
    assert listener.owes
    listener.hear(Confirm(check_of(data), 3, Verdict.DELIVERED, 0), "!3", 0.5)
    assert not listener.owes
    listener.hear(Poll(check_of(data), 1, 0), "!1", 20.0)  # it was lost on its way to the sender
    listener.hear(Poll(check_of(data), 1, 0), "!1", 40.0)
    assert listener.owes


def test_a_neighbour_repairs_what_its_sender_does_not() -> None:
    neighbour, data = talk(2), message()
    for frame in frames_of(data, 0, 1, 2):
        neighbour.hear(frame, "!1", 0.0)
    commit(neighbour, data, to_all=True, now=0.0)
    neighbour.hear(Confirm(check_of(data), 4, Verdict.DELIVERED, 0), "!4", 1.0)
    need = Need(check_of(data), 3, 3, 2)
    neighbour.hear(need, "!3", 10.0)
    assert neighbour.next_deadline() is None  # its sender comes first
    neighbour.hear(need, "!3", 20.0)
    (first,) = said(neighbour, later(neighbour))
    assert isinstance(first, Symbol) and first.index in LENT
    for frame in frames_of(data, 5):  # somebody else was faster with the second
        neighbour.hear(frame, "!1", 40.0)
    assert neighbour.next_deadline() is None


def test_a_neighbour_repairs_a_message_only_so_often() -> None:
    neighbour, data, now, lent = talk(2), message(), 10.0, 0
    for frame in frames_of(data, 0, 1, 2):
        neighbour.hear(frame, "!1", 0.0)
    commit(neighbour, data, to_all=True, now=0.0)
    neighbour.hear(Confirm(check_of(data), 4, Verdict.DELIVERED, 0), "!4", 1.0)
    for _ in range(20):
        neighbour.hear(Need(check_of(data), 3, 3, 3), "!3", now)
        while (at := neighbour.next_deadline()) is not None:
            now = max(now, at)
            lent += len(said(neighbour, now))
        now += 60
    assert lent == MAX_LENT <= MAX_CONTROLS


def test_a_listener_asks_by_itself_only_so_often() -> None:
    listener, data, asks = talk(2), message(), 0
    for frame in frames_of(data, 0, 1):
        listener.hear(frame, "!1", 0.0)
    while (at := listener.next_deadline()) is not None:
        asks += len(said(listener, at))
    assert asks == MAX_ASKS


def mesh_of(*pairs: tuple[int, int], loss: float = 0.0) -> Mesh:
    mesh = Mesh(LONG_FAST, seed=3)
    for number in sorted({number for pair in pairs for number in pair}):
        mesh.add(number)
    for a, b in pairs:
        mesh.join(a, b, Independent(loss), Independent(loss))
    return mesh


def test_who_hears_the_sender_badly_gets_it_from_a_neighbour() -> None:
    mesh = mesh_of((1, 2), (2, 3))
    mesh.join(1, 3, _AllBut(2), Independent(1.0))  # 3 hears two frames of 1, and 1 hears 3 never
    spoken = mesh.hosts[1].say(random.Random(1).randbytes(577), None)
    mesh.run(120)
    assert set(spoken.played) == {2, 3}


def test_many_neighbours_do_not_storm() -> None:
    numbers = range(2, 12)
    mesh = mesh_of(*((a, b) for a in numbers for b in numbers if a < b), loss=0.1)
    mesh.add(1)
    for number in numbers:
        path = _AllBut(2) if number == 11 else Independent(0.1)
        mesh.join(1, number, path, Independent(1.0 if number == 11 else 0.1))
    spoken = mesh.hosts[1].say(random.Random(1).randbytes(577), None)
    mesh.run(300)
    assert set(spoken.played) == set(numbers)
    assert spoken.airtime < 4 * lora.blind(577)


class _AllBut:
    """Loses all but the first frames."""

    def __init__(self, heard: int) -> None:
        self.left = heard

    def lost(self, now: float, draw: random.Random, /) -> bool:
        self.left -= 1
        return self.left < 0


def test_hosts_of_a_mesh_speak_one_message_after_the_other() -> None:
    mesh = mesh_of((1, 2))
    host: Host = mesh.hosts[1]
    first, second = host.say(bytes(300), 2), host.say(bytes(100), 2)
    mesh.run(60)
    assert first.confirmed is not None and second.confirmed is not None
    assert not mesh.hosts[2].talk.owes
