"""The peer protocol on a simulated channel: no clock, no loop, no socket."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count

import pytest

from focal.core.framing import frame as frames
from focal.core.framing.assemble import Assembler
from focal.core.framing.effects import Arrived, Asked, Confirmed, GaveUp
from focal.core.framing.frame import Verdict
from focal.core.framing.pace import Pace
from focal.core.framing.peer import Conversation
from focal.core.framing.split import Splitter, chance, redundancy
from focal.core.message import Kind, Message, MessageId, check_of, destination_of, id_of


@dataclass
class Air:
    """A channel between nodes: each frame is lost, doubled and delayed for each hearer."""

    seed: int
    loss: float = 0.0
    twice: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0
    now: float = 0.0
    sent: int = 0
    nodes: list[Node] = field(default_factory=lambda: [])
    queue: list[tuple[float, int, Node, bytes, str]] = field(default_factory=lambda: [])
    order: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def carry(self, sender: Node, data: bytes, to: str | None) -> None:
        self.sent += 1
        for node in self.nodes:
            if node is sender or to not in (None, node.name):
                continue
            for _ in range(2 if self.random.random() < self.twice else 1):
                if self.random.random() >= self.loss:
                    at = self.now + self.delay + self.random.random() * self.jitter
                    heapq.heappush(self.queue, (at, next(self.order), node, data, sender.name))

    def run(self, until: float) -> None:
        """Go on until nothing more is due before ``until``."""
        while True:
            for node in self.nodes:
                node.pump()
            times = [node.talk.next_deadline() for node in self.nodes]
            due = [at for at in times if at is not None] + [item[0] for item in self.queue[:1]]
            if not due or min(due) > until:
                self.now = until
                return
            self.now = max(self.now, min(due))
            while self.queue and self.queue[0][0] <= self.now:
                _, _, node, data, peer = heapq.heappop(self.queue)
                node.hear(data, peer)


class Node:
    """A conversation with an inbox that commits at once."""

    def __init__(
        self, air: Air, origin: int, *, replies: bool = True, own: int | None = None, **pace: object
    ) -> None:
        self.air, self.origin, self.name = air, origin, f"n{origin}"
        settings = Pace(random=random.Random(origin), **pace)  # type: ignore[arg-type]
        self.talk = Conversation("air", origin, settings, Assembler(), replies=replies, own=own)
        self.inbox: list[MessageId] = []
        self.confirmed: dict[int, int] = {}
        self.gave_up: list[int] = []
        self.heard_frames: list[frames.Frame] = []
        air.nodes.append(self)

    def say(self, number: int, size: int, to: int | None = None, extra: int | None = None) -> int:
        payload = random.Random(f"{self.origin}/{number}").randbytes(size)
        message = Message(
            MessageId(self.origin, number), Kind.DATA, payload, destination=to
        ).to_bytes()
        self.talk.begin(Splitter.of(message, 231), self.air.now, destination=to, extra=extra)
        return check_of(message)

    def pump(self) -> None:
        while (out := self.talk.take(self.air.now)) is not None:
            self.air.carry(self, out.data, out.to)
            self.talk.sent(out, self.air.now)
        self.gave_up += [e.tag for e in self.talk.effects() if isinstance(e, GaveUp)]

    def hear(self, data: bytes, peer: str) -> None:
        frame = frames.unpack(data)
        self.heard_frames.append(frame)
        for effect in self.talk.hear(frame, peer, self.air.now):
            if isinstance(effect, Arrived):
                self.commit(effect.complete.message, peer)
            elif isinstance(effect, Confirmed):
                self.confirmed[effect.tag] = effect.by
            elif isinstance(effect, Asked):
                self.talk.lacking(effect.poll, effect.peer, self.air.now)

    def commit(self, message: bytes, peer: str) -> None:
        destination = destination_of(message)[1]
        if destination not in (None, self.origin):
            return
        if id_of(message) not in self.inbox:
            self.inbox.append(id_of(message))
        self.talk.committed(
            check_of(message),
            Verdict.DELIVERED,
            self.air.now,
            to_all=destination is None,
            peer=peer,
        )


def test_a_thousand_messages_over_a_bad_channel_are_all_confirmed_and_each_once() -> None:
    air = Air(seed=5, loss=0.10, twice=0.05, delay=0.01, jitter=0.05)
    a, b = Node(air, 1), Node(air, 2)
    sizes = random.Random(9)
    tags: list[int] = []
    for number in range(1, 1001):
        tags.append(a.say(number, sizes.randint(20, 5000), to=2))
        air.run(air.now + 0.05)
    air.run(air.now + 600)
    assert set(a.confirmed) == set(tags)
    assert sorted(b.inbox) == [MessageId(1, number) for number in range(1, 1001)]
    assert b.talk.pace.gap.smoothed < 1


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_without_a_way_back_the_promised_share_arrives(loss: float) -> None:
    air = Air(seed=11, loss=loss)
    a, b = Node(air, 1, replies=False), Node(air, 2, replies=False)
    k = 4
    extra = redundancy(k, loss, 0.99)
    assert chance(k, k + extra, loss) >= 0.99 > chance(k, k + extra - 1, loss)
    for number in range(1, 1001):
        a.say(number, 600 + 150, extra=extra)
        air.run(air.now + 1)
    assert 0.98 <= len(b.inbox) / 1000 <= 1
    assert len(set(b.inbox)) == len(b.inbox)
    assert a.talk.flights == 0


def test_nothing_is_sent_twice_on_a_good_channel() -> None:
    air = Air(seed=1)
    a, b = Node(air, 1), Node(air, 2)
    tag = a.say(1, 577, to=2)
    air.run(60)
    assert a.confirmed == {tag: 2} and b.inbox == [MessageId(1, 1)]
    assert air.sent == 3 + 1


def test_a_lost_tail_is_asked_for_once_and_sent_once() -> None:
    air = Air(seed=1)
    a, b = Node(air, 1), Node(air, 2)
    a.say(1, 577, to=2)
    for index in range(3):
        out = a.talk.take(air.now)
        assert out is not None
        if index < 2:
            air.carry(a, out.data, out.to)
        a.talk.sent(out, air.now)
    air.run(60)
    assert b.inbox == [MessageId(1, 1)]
    needs = [frame for frame in a.heard_frames if isinstance(frame, frames.Need)]
    assert [need.count for need in needs] == [1]
    assert air.sent == 2 + 1 + 1 + 1  # two symbols, the request, the answer, the confirm


def test_a_receiver_that_comes_late_gets_it_after_a_poll() -> None:
    air = Air(seed=3)
    a = Node(air, 1)
    tag = a.say(1, 577, to=2)
    air.run(10)
    b = Node(air, 2)
    air.run(120)
    assert a.confirmed == {tag: 2} and b.inbox == [MessageId(1, 1)]


def test_a_hello_ends_the_waiting_of_a_sender() -> None:
    air = Air(seed=3)
    a = Node(air, 1)
    a.say(1, 577, to=2)
    air.run(100)
    b = Node(air, 2)
    b.talk.hello(7)
    air.run(100.5)
    assert b.inbox == [MessageId(1, 1)]


def hellos(node: Node) -> list[frames.Hello]:
    return [frame for frame in node.heard_frames if isinstance(frame, frames.Hello)]


@pytest.mark.parametrize(
    ("asked", "answer"), [(None, {1, 3}), (33, {3}), (44, set[int]()), (0, set[int]())]
)
def test_only_who_is_asked_answers_a_hello(asked: int | None, answer: set[int]) -> None:
    air = Air(seed=3)
    _, b, _ = Node(air, 1), Node(air, 2, own=22), Node(air, 3, own=33)
    b.talk.hello(7, None, asked)
    air.run(1)
    answers = [hello for hello in hellos(b) if not hello.question]
    assert {hello.speaker for hello in answers} == answer
    assert {hello.nonce for hello in answers} <= {7}


@pytest.mark.parametrize("origin", [2, 3])
def test_who_asks_for_one_is_there_for_who_waits_for_him_alone(origin: int) -> None:
    air = Air(seed=3)
    a = Node(air, 1)
    a.say(1, 577, to=2)
    air.run(100)
    Node(air, origin).talk.hello(7, None, 44)
    air.run(100.5)
    assert bool(a.confirmed) == (origin == 2)


def test_a_sender_that_hears_nothing_gives_up_where_airtime_is_dear() -> None:
    air = Air(seed=3)
    a = Node(air, 1, give_up=12)
    tag = a.say(1, 577, to=2)
    air.run(10_000)
    assert a.gave_up == [tag] and a.talk.flights == 0
    assert air.sent <= 3 + 12


def test_other_nodes_neither_ask_nor_confirm_what_is_for_one() -> None:
    air = Air(seed=8, loss=0.2)
    a, b, c = Node(air, 1, shared=True), Node(air, 2, shared=True), Node(air, 3, shared=True)
    for number in range(1, 101):
        a.say(number, 577, to=2)
        air.run(air.now + 30)
    assert len(b.inbox) == 100 and not c.inbox
    spoken = {f.speaker for f in a.heard_frames if isinstance(f, frames.Confirm)}
    assert spoken == {2}


def test_everyone_gets_what_is_for_everyone_and_mostly_one_confirms() -> None:
    air = Air(seed=8, loss=0.1)
    a = Node(air, 1, shared=True, assumed_loss=0.1)
    others = [Node(air, origin, shared=True) for origin in range(2, 10)]
    for number in range(1, 101):
        a.say(number, 577)
        air.run(air.now + 60)
    assert len(a.confirmed) == 100
    assert all(len(node.inbox) >= 99 for node in others)
    confirms = sum(isinstance(frame, frames.Confirm) for frame in a.heard_frames)
    assert confirms < 300


def test_a_sender_that_was_restarted_polls_and_does_not_start_again() -> None:
    air = Air(seed=2)
    a, b = Node(air, 1), Node(air, 2)
    tag = a.say(1, 577, to=2)
    while (out := a.talk.take(air.now)) is not None:  # the confirm will meet nobody
        air.carry(a, out.data, out.to)
        a.talk.sent(out, air.now)
    a.talk.abandon(tag)
    air.run(5)
    assert b.inbox and not a.confirmed
    message = Message(
        MessageId(1, 1), Kind.DATA, random.Random("1/1").randbytes(577), destination=2
    ).to_bytes()
    before = air.sent
    a.talk.resume(Splitter.of(message, 231), air.now, destination=2, to=None, first=3)
    air.run(30)
    assert a.confirmed == {tag: 2}
    assert air.sent == before + 2


@pytest.mark.parametrize(
    ("order", "missed"),
    [
        ([0, 1, 2, 3, 4], 0),
        ([1, 2, 3, 5, 6], 2),
        ([4, 3, 2, 1, 0], 0),
        ([6, 1, 3, 5, 2], 2),
        ([9, 8, 7, 6, 5], 5),
        ([2, 2, 2, 5, 0, 1, 3], 1),
    ],
)
def test_a_confirm_says_how_many_symbols_were_missed(order: list[int], missed: int) -> None:
    air = Air(seed=1)
    a, b = Node(air, 1), Node(air, 2)
    message = Message(MessageId(1, 1), Kind.DATA, bytes(900), destination=2).to_bytes()
    splitter = Splitter.of(message, 231)
    assert splitter.cut.k == 5
    for data in splitter.frames(order):
        b.hear(data, a.name)
    air.run(1)
    confirms = [frame for frame in a.heard_frames if isinstance(frame, frames.Confirm)]
    assert [confirm.missed for confirm in confirms] == [missed]


def test_loss_is_measured_from_what_receivers_tell() -> None:
    air = Air(seed=4, loss=0.3)
    a, b = Node(air, 1), Node(air, 2)
    for number in range(1, 301):
        a.say(number, 1500, to=2)
        air.run(air.now + 60)
    assert len(b.inbox) == 300
    assert 0.2 < a.talk.loss(2).share < 0.4
