"""The peer protocol while somebody with an address of his own does what he likes."""

from __future__ import annotations

import random

from focal.core.framing import frame as frames
from focal.core.framing.assemble import Assembler
from focal.core.framing.effects import GaveUp
from focal.core.framing.frame import Hello, Poll, Symbol
from focal.core.framing.pace import Gap, Pace
from focal.core.framing.peer import MAX_CONTROLS, Conversation
from focal.core.framing.split import Splitter
from focal.core.message import Kind, Message, MessageId, check_of

from .test_peer import Air, Node


def voice(size: int, to: int | None) -> bytes:
    return Message(MessageId(1, 1), Kind.DATA, bytes(size), destination=to).to_bytes()


def lora(n: int) -> float:
    return 0.3 + n / 100


def test_what_is_lost_is_repaired_while_somebody_lies_about_it() -> None:
    sent: list[int] = []
    for attacked in (False, True):
        air = Air(seed=3, loss=0.25)
        a, b = Node(air, 1), Node(air, 2)
        tag = a.say(1, 4000, to=2)
        chance = random.Random(1)
        for step in range(300):
            if attacked and not a.confirmed:
                lie = Symbol(tag, 20, chance.randrange(255), chance.randbytes(202))
                b.hear(frames.pack(lie), "liar")
            air.run(step / 20)
        air.run(60)
        assert a.confirmed == {tag: 2} and b.inbox == [MessageId(1, 1)]
        sent.append(air.sent)
    assert sent[1] < 2 * sent[0]


def test_many_greetings_do_not_make_a_sender_give_up() -> None:
    talk = Conversation("air", 1, Pace(airtime=lora, give_up=12), Assembler())
    talk.begin(Splitter.of(voice(100, 2), 231), 0.0, destination=2)
    gone, now = 0, 0.0
    while now < 8:
        while (out := talk.take(now)) is not None:
            talk.sent(out, now)
        gone += sum(isinstance(effect, GaveUp) for effect in talk.effects())
        now += 0.2
        talk.hear(Hello(1, 66, True), "stranger", now)
    assert not gone and talk.flights == 1


def test_a_flood_of_questions_fills_no_queue() -> None:
    talk = Conversation("air", 1, Pace(airtime=lora), Assembler())
    for nonce in range(10 * MAX_CONTROLS):
        talk.hear(Hello(nonce, 66, True), "stranger", 0.0)
    answers = 0
    while talk.take(0.0) is not None:
        answers += 1
    assert answers == MAX_CONTROLS
    talk.hear(Hello(1, 66, True), "stranger", 0.0)
    assert talk.take(0.0) is not None


def test_the_same_answer_waits_once() -> None:
    talk = Conversation("air", 1, Pace(), Assembler())
    message = voice(100, 1)
    for _ in range(5):
        talk.hear(frames.Whole(message), "peer", 0.0)
        talk.committed(check_of(message), frames.Verdict.DELIVERED, 0.0, to_all=False, peer="peer")
        talk.hear(Poll(check_of(message), 2, 1), "peer", 0.0)
    assert talk.take(0.0) is not None and talk.take(0.0) is None


def test_slow_symbols_do_not_teach_a_receiver_to_wait_for_ever() -> None:
    gap = Gap()
    for _ in range(100):
        gap.measured(1e6)
    assert gap.smoothed <= gap.most
