"""What a bridge overhears on a radio, and when it speaks for somebody else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focal.core.framing import frame as frames
from focal.core.framing.assemble import Assembler
from focal.core.framing.effects import Arrived, Asked, Confirmed, Effect
from focal.core.framing.frame import Confirm, Frame, Need, Poll, Symbol, Verdict, Whole
from focal.core.framing.hearing import LENT
from focal.core.framing.overhear import MAX_OVERHEARD, Overheard, Overhearing
from focal.core.framing.pace import ASK, POLLED, Pace
from focal.core.framing.peer import Conversation
from focal.core.framing.split import Splitter
from focal.core.message import Kind, Message, MessageId, check_of
from focal.transports.lora.plan import air

LONG_FAST = air("US", "LONG_FAST")
AUTHOR, BRIDGE, OTHER, DESTINATION = 1, 5, 6, 9


def message(size: int = 577, to: int | None = None, number: int = 1) -> bytes:
    payload = random.Random(size).randbytes(size)
    return Message(MessageId(AUTHOR, number), Kind.DATA, payload, destination=to).to_bytes()


def frames_of(data: bytes, *indices: int, hops: int = 0) -> list[Whole | Symbol]:
    packed = Splitter.of(data, 231, hops).frames(indices)
    unpacked = [frames.unpack(each) for each in packed]
    return [each for each in unpacked if isinstance(each, Whole | Symbol)]


# Overhearing


def overhearing(*heard: tuple[Whole | Symbol, float]) -> Overhearing:
    made = Overhearing()
    for frame, at in heard:
        made.heard(frame, at)
    return made


def test_some_of_a_message_fades_and_all_of_it_stays() -> None:
    data = message()
    zero, one, parity = frames_of(data, 0, 1, 7)
    assert Overhearing().of(data, 0.0, 10.0) is Overheard.NOTHING
    some = overhearing((zero, 1.0), (zero, 2.0), (one, 3.0))
    assert some.of(data, 12.9, 10.0) is Overheard.SOME
    assert some.of(data, 13.0, 10.0) is Overheard.NOTHING
    some.heard(parity, 1000.0)  # any three of them are the message
    assert some.of(data, 9999.0, 10.0) is Overheard.ALL


def test_a_whole_frame_is_all_of_it() -> None:
    data = message(100)
    assert overhearing((frames_of(data, 0)[0], 0.0)).of(data, 99.0, 1.0) is Overheard.ALL


def test_what_is_something_else_under_its_tag_keeps_no_message_back() -> None:
    data = message()
    tag, k = check_of(data), Splitter.of(data, 231).cut.k
    junk = [
        (Symbol(tag, k, index, bytes(Splitter.of(data, 231).cut.size)), 0.0) for index in (0, 1, 2)
    ]
    short = [(Symbol(tag, 1, 0, b"x"), 0.0)]
    for others in (junk, short):
        assert overhearing(*others).of(data, 0.0, 10.0) is Overheard.NOTHING


def test_symbols_of_another_cut_do_not_add_up() -> None:
    data = message()
    small = [frames.unpack(each) for each in Splitter.of(data, 120).frames([0, 1])]
    heard = overhearing(*((frame, 0.0) for frame in frames_of(data, 0, 1)))
    for frame in small:
        assert isinstance(frame, Symbol)
        heard.heard(frame, 1.0)
    assert heard.of(data, 1.0, 10.0) is Overheard.SOME
    for frame in frames_of(data, 2):
        heard.heard(frame, 1.0)
    assert heard.of(data, 1.0, 10.0) is Overheard.SOME


def test_of_many_messages_the_one_heard_longest_ago_is_forgotten() -> None:
    every = [message(100, number=number) for number in range(MAX_OVERHEARD + 1)]
    heard = Overhearing()
    for data in every[:-1]:
        heard.heard(frames_of(data, 0)[0], 0.0)
    heard.heard(frames_of(every[0], 0)[0], 1.0)
    heard.heard(frames_of(every[-1], 0)[0], 1.0)
    states = [heard.of(data, 1.0, 1.0) for data in every]
    assert states[:2] == [Overheard.ALL, Overheard.NOTHING]
    assert set(states[2:]) == {Overheard.ALL}


@given(
    st.integers(1, 900),
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=12),
    st.floats(0.0, 30.0),
)
def test_as_much_is_heard_as_was_said(
    size: int, said: list[tuple[int, bool]], within: float
) -> None:
    data = message(size)
    k = Splitter.of(data, 231).cut.k
    heard, good = Overhearing(), dict[int, float]()
    for at, (index, right) in enumerate(said):
        frame = frames_of(data, index)[0]
        if isinstance(frame, Symbol) and not right:
            frame = Symbol(frame.tag, frame.k, index, bytes(len(frame.data)))
        heard.heard(frame, float(at))
        if right or isinstance(frame, Whole):
            good[index if k > 1 else 0] = float(at)
        else:
            good.pop(index, None)
    now = float(len(said))
    lately = any(now < at + within for at in good.values())
    some = Overheard.SOME if lately else Overheard.NOTHING
    assert heard.of(data, now, within) is (Overheard.ALL if len(good) >= k else some)


# Speaking for somebody else


def pace(seed: int = 1) -> Pace:
    return Pace(
        airtime=LONG_FAST.airtime, slot=LONG_FAST.slot, shared=True, assumed_loss=0.1, give_up=12,
        random=random.Random(seed),
    )  # fmt: skip


def talk(origin: int = BRIDGE, *, carries: bool = True, seed: int = 1) -> Conversation:
    return Conversation("hill", origin, pace(seed), Assembler(), carries=carries)


def hear(talk: Conversation, now: float, *heard: Frame) -> list[Effect]:
    return [effect for frame in heard for effect in talk.hear(frame, "!1", now)]


def said(talk: Conversation, now: float) -> list[Frame]:
    """Hand over all that is to be sent now, and return it."""
    all: list[Frame] = []
    while (out := talk.take(now)) is not None:
        talk.sent(out, now)
        all.append(frames.unpack(out.data))
    return all


def all_said(talk: Conversation, until: float) -> list[tuple[float, Frame]]:
    """Return what is said until then, and when."""
    all: list[tuple[float, Frame]] = []
    now = 0.0
    while (deadline := talk.next_deadline()) is not None and deadline <= until:
        now = max(now, deadline)
        all += [(now, frame) for frame in said(talk, now)]
    return all


def took_on(talk: Conversation, data: bytes, now: float, verdict: Verdict) -> None:
    to_all = Message.from_bytes(data).destination is None
    talk.committed(check_of(data), verdict, now, to_all=to_all, peer="!1")


def poll(data: bytes, to: int = DESTINATION) -> Poll:
    return Poll(check_of(data), AUTHOR, to)


@pytest.mark.parametrize("seed", range(20))
def test_custody_of_what_is_for_another_is_told_when_that_one_was_polled_in_vain(
    seed: int,
) -> None:
    bridge, data = talk(seed=seed), message(100, DESTINATION)
    (arrived,) = hear(bridge, 0.0, *frames_of(data, 0))
    assert isinstance(arrived, Arrived)
    took_on(bridge, data, 0.1, Verdict.CUSTODY)
    assert all_said(bridge, 500.0) == []
    assert hear(bridge, 500.0, poll(data))[1:] == []
    ((at, confirm),) = all_said(bridge, 600.0)
    assert confirm == Confirm(check_of(data), BRIDGE, Verdict.CUSTODY, 0)
    least, most = (500.0 + part * bridge.pace.control() for part in POLLED)
    assert least <= at <= most


def test_a_destination_that_confirms_is_spoken_for_by_nobody() -> None:
    for others in (Verdict.DELIVERED, Verdict.CUSTODY):  # it, or another bridge
        bridge, data = talk(), message(100, DESTINATION)
        hear(bridge, 0.0, *frames_of(data, 0))
        took_on(bridge, data, 0.1, Verdict.CUSTODY)
        hear(bridge, 10.0, poll(data))
        hear(bridge, 10.3, Confirm(check_of(data), DESTINATION, others, 0))
        assert all_said(bridge, 600.0) == []
        hear(bridge, 20.0, poll(data))  # it was not heard
        assert len(all_said(bridge, 600.0)) == 1


def test_a_destination_answers_a_poll_before_a_bridge_does() -> None:
    data = message(100, DESTINATION)
    there, bridge = talk(DESTINATION, carries=False), talk()
    for each in (there, bridge):
        hear(each, 0.0, *frames_of(data, 0))
    took_on(there, data, 0.1, Verdict.DELIVERED)
    took_on(bridge, data, 0.1, Verdict.CUSTODY)
    said(there, 0.1)  # lost
    for each in (there, bridge):
        hear(each, 5.0, poll(data))
    (confirm,) = said(there, 5.0)
    heard_at = 5.0 + there.pace.control()
    assert (deadline := bridge.next_deadline()) is not None
    assert deadline >= heard_at
    hear(bridge, heard_at, confirm)
    assert all_said(bridge, 600.0) == []


def test_the_author_takes_the_word_of_a_bridge_or_of_the_destination() -> None:
    for who, verdict, counts in (
        (BRIDGE, Verdict.CUSTODY, True),
        (DESTINATION, Verdict.DELIVERED, True),
        (BRIDGE, Verdict.DELIVERED, False),
    ):
        author, data = talk(AUTHOR, carries=False), message(100, DESTINATION)
        author.begin(Splitter.of(data, 231), 0.0, destination=DESTINATION)
        said(author, 0.0)
        effects = hear(author, 2.0, Confirm(check_of(data), who, verdict, 0))
        assert [e for e in effects if isinstance(e, Confirmed)] == (
            [Confirmed(check_of(data), who, verdict)] if counts else []
        )


def test_what_is_for_another_is_asked_for_after_the_wait_of_those_to_everyone() -> None:
    bridge, data = talk(), message(577, DESTINATION)
    hear(bridge, 0.0, *frames_of(data, 0, 1))
    ((at, need),) = all_said(bridge, 20.0)[:1]
    assert need == Need(check_of(data), BRIDGE, 3, 1)
    assert at >= ASK[0] * bridge.pace.control()


def test_a_destination_that_asks_is_not_spoken_over() -> None:
    bridge, data = talk(), message(577, DESTINATION)
    hear(bridge, 0.0, *frames_of(data, 0, 1))
    before = bridge.next_deadline()
    assert before is not None
    asked = before - 0.1
    hear(bridge, asked, Need(check_of(data), DESTINATION, 3, 1))
    after = bridge.next_deadline()
    assert after is not None
    assert after > before + bridge.pace.control()
    hear(bridge, asked + 1, *frames_of(data, 3))
    took_on(bridge, data, asked + 1, Verdict.CUSTODY)
    assert all_said(bridge, 600.0) == []


def test_once_the_destination_has_it_a_bridge_asks_no_more() -> None:
    bridge, data = talk(), message(577, DESTINATION)
    hear(bridge, 0.0, *frames_of(data, 0, 1))
    hear(bridge, 1.0, Confirm(check_of(data), DESTINATION, Verdict.DELIVERED, 0))
    assert all_said(bridge, 600.0) == []


def test_of_what_is_for_everyone_a_bridge_still_asks_when_somebody_has_it() -> None:
    bridge, data = talk(), message(577)
    hear(bridge, 0.0, *frames_of(data, 0, 1))
    hear(bridge, 1.0, Confirm(check_of(data), OTHER, Verdict.DELIVERED, 0))
    assert isinstance(all_said(bridge, 60.0)[0][1], Need)


def test_a_poll_for_what_it_never_heard_lets_a_bridge_ask_unless_another_has_it() -> None:
    bridge, data = talk(), message(577, DESTINATION)
    effects = hear(bridge, 0.0, poll(data))
    assert effects[1:] == [Asked(poll(data), "!1")]
    bridge.lacking(poll(data), "!1", 0.1)
    first, *_ = all_said(bridge, 20.0)
    assert first[1] == Need(check_of(data), BRIDGE, 0, 0)
    assert first[0] >= ASK[0] * bridge.pace.control()
    bridge.lacking(poll(data), "!1", 500.0)
    hear(bridge, 500.5, Confirm(check_of(data), DESTINATION, Verdict.DELIVERED, 0))
    assert all_said(bridge, 900.0) == []


def test_who_is_no_bridge_has_nothing_to_do_with_what_is_for_another() -> None:
    node, data = talk(carries=False), message(577, DESTINATION)
    hear(node, 0.0, *frames_of(data, 0, 1))
    assert [e for e in hear(node, 1.0, poll(data)) if isinstance(e, Asked)] == []
    assert all_said(node, 600.0) == []


@pytest.mark.parametrize("seed", range(10))
def test_custody_of_what_is_for_everyone_waits_for_listeners(seed: int) -> None:
    bridge, data = talk(seed=seed), message(100)
    hear(bridge, 0.0, *frames_of(data, 0))
    took_on(bridge, data, 0.0, Verdict.CUSTODY)
    longest = bridge.pace.longest_spread()
    ((at, confirm),) = all_said(bridge, 600.0)
    assert isinstance(confirm, Confirm)
    assert confirm.verdict is Verdict.CUSTODY
    assert longest / 2 <= at <= longest + bridge.pace.burst_end(5, 231)


def test_a_listener_that_confirms_silences_a_bridge() -> None:
    bridge, data = talk(), message(100)
    hear(bridge, 0.0, *frames_of(data, 0))
    took_on(bridge, data, 0.0, Verdict.CUSTODY)
    hear(bridge, 1.0, Confirm(check_of(data), OTHER, Verdict.DELIVERED, 0))
    assert all_said(bridge, 600.0) == []


def test_what_a_neighbour_lends_says_how_many_bridges_it_passed() -> None:
    neighbour, data = talk(OTHER, carries=False), message(577)
    hear(neighbour, 0.0, *frames_of(data, 0, 1, 2, hops=2))
    took_on(neighbour, data, 0.0, Verdict.DELIVERED)
    all_said(neighbour, 100.0)
    for at in (101.0, 102.0):  # in vain the first time
        hear(neighbour, at, Need(check_of(data), 77, 3, 1))
    ((_, lent),) = all_said(neighbour, 600.0)
    assert isinstance(lent, Symbol)
    assert lent.index in LENT
    assert lent.hops == 2
