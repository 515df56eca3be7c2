"""Reassembly: every message once, whatever else is sent; and what is held and done is bounded.

Attackers have addresses of their own. They hear everything, and send what they like.
"""

from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice, zip_longest

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from focal.core.framing.assemble import (
    MAX_MIXED,
    MAX_SAME_TAG,
    MAX_SPEAKERS,
    SHARE,
    Assembler,
    Complete,
    Via,
    symbol_of,
)
from focal.core.framing.fec import parity
from focal.core.framing.frame import MAX_K, Symbol, Whole, pack, pad, unpack
from focal.core.framing.split import MAX_DATAGRAM, Cut, Splitter, cut_for, symbols_of
from focal.core.message import Kind, Message, MessageId, check_of

from ..outside import calls_of, forged, with_check

GENUINE = Via("lora:hill", "!0000000a")
OTHER = Via("udp:lan", "10.0.0.1:4403")
HEAD = 21  # bytes of a message that are not its payload

Fed = tuple[Via, Whole | Symbol]


def attacker(number: int) -> Via:
    return Via(("lora:hill", "udp:lan")[number % 2], f"attacker {number}")


def message_of(length: int, seed: int = 0) -> bytes:
    """Return a message that is so long."""
    payload = random.Random(seed).randbytes(length - HEAD)
    return Message(MessageId(1, seed), Kind.DATA, payload).to_bytes()


def of_k(k: int, seed: int = 0) -> bytes:
    """Return a message that is cut in ``k``; not a multiple, so that its end is filled."""
    return message_of(204 * k - k // 2, seed)


def all_symbols(message: bytes, cut: Cut, indices: Iterable[int]) -> list[Symbol]:
    """Return symbols of a message; those of parity are computed in one go."""
    wanted, data = list(indices), symbols_of(message, cut)
    beyond = [index for index in wanted if index >= cut.k]
    coded = dict(zip(beyond, parity(data, beyond), strict=True))
    tag = check_of(message)
    return [Symbol(tag, cut.k, i, coded[i] if i in coded else data[i]) for i in wanted]


def symbols(message: bytes, number: int | None = None) -> list[Symbol]:
    """Return the first symbols of a message at the ordinary cut: k of them, or ``number``."""
    cut = cut_for(len(message), 231)
    return all_symbols(message, cut, range(number or cut.k))


def wrong(symbol: Symbol, index: int, seed: int) -> Symbol:
    """Return a symbol that fits to another one and is not of its message."""
    data = random.Random(f"{seed}/{index}").randbytes(len(symbol.data))
    return Symbol(symbol.tag, symbol.k, index, data)


def run(assembler: Assembler, fed: Iterable[Fed]) -> list[bytes]:
    """Feed frames; return the messages that became whole, and hold those against their tags."""
    found: list[bytes] = []
    for via, frame in fed:
        complete = assembler.feed(frame, via, 0.0)
        if complete is not None:
            assert check_of(complete.message) == frame.tag and complete.via == via
        if complete is not None and not complete.again:
            found.append(complete.message)
    return found


def from_peer(via: Via, frames: Iterable[Whole | Symbol]) -> list[Fed]:
    return [(via, frame) for frame in frames]


# Every message, exactly once


@st.composite
def some_messages(draw: st.DrawFn, mtu: int) -> bytes:
    """Return a message that fits an MTU; some end in zeros, and in a check of zeros."""
    limit = min(MAX_DATAGRAM, MAX_K * (mtu - 8))
    length = draw(st.integers(HEAD + 4, min(700, limit)) | st.integers(HEAD + 4, limit))
    message = message_of(length, draw(st.integers(0, 3)))
    zeros = draw(st.integers(0, min(300, length - HEAD - 4)))
    message = message[: length - 4 - zeros] + bytes(zeros) + message[-4:]
    check = draw(st.sampled_from([0, 1, 1 << 24, 0xAB00, 0xAB000000, (1 << 32) - 1, 0x12345678]))
    return with_check(message, HEAD - 4, check)


@settings(deadline=None)
@given(st.data())
def test_any_k_symbols_from_anywhere_in_any_order_give_the_message_once(
    draw: st.DataObject,
) -> None:
    mtu = draw.draw(st.integers(16, 1500))
    message = draw.draw(some_messages(mtu))
    chance = draw.draw(st.randoms(use_true_random=False))
    vias = [Via(f"link {n}", f"peer {n % 3}") for n in range(draw.draw(st.integers(1, MAX_MIXED)))]
    splitter = Splitter.of(message, mtu, hops=3)
    chosen = chance.sample(range(255), min(255, splitter.cut.k + draw.draw(st.integers(0, 3))))
    packed = splitter.frames(chosen + chosen[: draw.draw(st.integers(0, 4))])
    chance.shuffle(packed)
    assembler, found, seen = Assembler(), list[bytes](), set[bytes]()
    for data in packed:
        filling = draw.draw(st.integers(0, 3))
        frame = unpack(pad(data, len(data) + filling) if filling else data)
        assert isinstance(frame, Whole | Symbol)
        complete = assembler.feed(frame, chance.choice(vias), 0.0)
        seen.add(data)
        enough = splitter.cut.k == 1 or len(seen) >= splitter.cut.k
        assert (complete is not None) == enough
        if complete is not None:
            assert (complete.message, complete.hops) == (message, 3)
            found += [] if complete.again else [complete.message]
    assert found == [message]
    assert assembler.held(check_of(message)) is None


@pytest.mark.parametrize("k", [1, 2, 3, 50, MAX_K])
def test_parity_alone_is_enough(k: int) -> None:
    message = of_k(k)
    cut = cut_for(len(message), 231)
    coded = all_symbols(message, cut, range(k, 2 * k))
    assert run(Assembler(), from_peer(GENUINE, coded)) == [message]


@pytest.mark.parametrize("check", [0, 0x01000000, 0x00AB0000])
def test_a_check_of_zeros_does_not_blur_where_the_message_ends(check: int) -> None:
    for length in range(300, 520):
        message = with_check(message_of(length - 60)[:-4] + bytes(64), HEAD, check)
        assert run(Assembler(), from_peer(GENUINE, symbols(message))) == [message]


def test_what_fills_the_last_symbol_is_zeros_and_nothing_else() -> None:
    message = of_k(5)
    cut = cut_for(len(message), 231)
    room = cut.k * cut.size - len(message)
    assert room > 1
    for filling in (b"\1" * room, bytes(room - 1) + b"\1", b"\1" + bytes(room - 1)):
        last = (message + filling)[-cut.size :]
        fed = [*symbols(message)[:-1], Symbol(check_of(message), cut.k, cut.k - 1, last)]
        assert run(Assembler(), from_peer(GENUINE, fed)) == []


def test_a_whole_message_ends_the_partial_of_its_symbols() -> None:
    assembler, message = Assembler(), of_k(3)
    assert run(assembler, from_peer(GENUINE, symbols(message)[:2])) == []
    held = assembler.held(check_of(message))
    assert held is not None and (held.k, held.count, held.highest) == (3, 2, 1)
    assert run(assembler, [(OTHER, Whole(message))]) == [message]
    assert assembler.held(check_of(message)) is None
    late = assembler.feed(symbols(message)[2], GENUINE, 0.0)
    assert late == Complete(message, GENUINE, 0, again=True)


def test_a_message_that_came_another_way_ends_the_partial_too() -> None:
    assembler, message = Assembler(), of_k(3)
    run(assembler, from_peer(GENUINE, symbols(message)[:2]))
    assembler.finish(message)
    assert assembler.held(check_of(message)) is None and assembler.whole(check_of(message))


def test_a_partial_keeps_its_size_while_another_cut_arrives() -> None:
    assembler, message = Assembler(), of_k(4)
    ordinary, small = symbols(message), Splitter.of(message, 60)
    parts = [frame for frame in map(unpack, small.frames(range(9))) if isinstance(frame, Symbol)]
    mixed = [*from_peer(GENUINE, ordinary[:3]), *from_peer(GENUINE, parts)]
    assert run(assembler, mixed) == []
    assert run(assembler, from_peer(OTHER, ordinary[3:])) == [message]


def test_the_destination_is_known_with_the_first_symbol() -> None:
    assembler = Assembler()
    message = Message(MessageId(1, 2), Kind.DATA, bytes(600), destination=7).to_bytes()
    tag = check_of(message)
    first, second, third = symbols(message)[:3]
    assembler.feed(third, GENUINE, 0.0)
    held = assembler.held(tag)
    assert held is not None and (held.known, held.destination, held.highest) == (False, None, 2)
    assembler.feed(first, OTHER, 0.0)
    held = assembler.held(tag)
    assert held is not None and (held.known, held.destination, held.count) == (True, 7, 2)
    assert second not in (first, third)


def test_what_nothing_comes_for_is_forgotten_in_time() -> None:
    assembler, one, other = Assembler(patience=10), of_k(3, 1), of_k(3, 2)
    assembler.feed(symbols(one)[0], GENUINE, 0.0)
    assembler.feed(symbols(other)[0], GENUINE, 4.0)
    assert assembler.next_deadline() == 10.0
    assembler.feed(symbols(one)[1], GENUINE, 6.0)
    assert assembler.next_deadline() == 14.0
    assert assembler.expire(13.9) == []
    assert assembler.expire(14.0) == [check_of(other)]
    assert assembler.feed(symbols(one)[2], GENUINE, 20.0) is None  # feeding looks at the time too
    assert assembler.expire(math.inf) == [check_of(one)]
    assert (assembler.held_bytes, assembler.next_deadline()) == (0, None)


def test_old_messages_are_forgotten_and_their_frames_start_anew() -> None:
    assembler = Assembler(remembered=3)
    many = [of_k(2, seed) for seed in range(5)]
    for message in many:
        assert run(assembler, from_peer(GENUINE, symbols(message))) == [message]
    assert [assembler.whole(check_of(message)) for message in many] == [None, None, *many[2:]]
    assert run(assembler, from_peer(GENUINE, symbols(many[0]))) == [many[0]]


@given(st.integers(1, MAX_K), st.integers(1, 300), st.integers(0, 254))
def test_what_cannot_be_of_a_message_takes_no_room(k: int, size: int, index: int) -> None:
    assembler = Assembler()
    assembler.feed(Symbol(1, k, index, bytes(size)), GENUINE, 0.0)
    assume(k > 1)
    possible = any(0 <= k * size - n < k for n in (14, MAX_DATAGRAM, k * size - k + 1)) and (
        k * size >= 14 and k * size - k < MAX_DATAGRAM
    )
    assert bool(assembler.held_bytes) == possible


# Poisoning


def assaults(message: bytes, attackers: int, symbols_each: int) -> list[Fed]:
    """Return what attackers send under the tag of a message, one after the other."""
    model = symbols(message, 1)[0]
    return [
        (attacker(n), wrong(model, index, n))
        for index in range(symbols_each)
        for n in range(attackers)
    ]


@pytest.mark.parametrize("attackers", [1, 2, 7, 50])
@pytest.mark.parametrize("k", [2, 3, 20])
@pytest.mark.parametrize("share", [0.5, 0.99, 1, 2.5])
def test_wrong_symbols_before_between_and_after_spoil_nothing_of_one_peer(
    attackers: int, k: int, share: float
) -> None:
    message, assembler = of_k(k), Assembler()
    genuine = from_peer(GENUINE, symbols(message))
    noise = assaults(message, attackers, max(1, int(share * k)))
    third = len(noise) // 3
    between = chain.from_iterable(
        [one, *noise[third + n : 2 * third : k]] for n, one in enumerate(genuine)
    )
    assert run(assembler, noise[:third]) == []
    assert run(assembler, between) == [message]
    assert run(assembler, noise[2 * third :]) == []


def test_wrong_symbols_spoil_nothing_of_the_longest_message_either() -> None:
    message, assembler = of_k(MAX_K), Assembler()
    noise = assaults(message, 50, 20) + assaults(message, 1, MAX_K - 1)
    assert run(assembler, noise) == []
    assert run(assembler, from_peer(GENUINE, symbols(message))) == [message]


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.data())
def test_one_attacker_cannot_part_two_peers_on_two_links(k: int, draw: st.DataObject) -> None:
    message, assembler = of_k(k), Assembler()
    whose = draw.draw(st.lists(st.sampled_from([GENUINE, OTHER]), min_size=k, max_size=k))
    genuine = list(zip(whose, symbols(message), strict=True))
    model, evil, found = genuine[0][1], attacker(1), list[bytes]()
    orders = st.lists(st.integers(0, 254), max_size=4 * k)
    for via, symbol in genuine:
        noise = [wrong(model, index, draw.draw(st.integers(0, 2))) for index in draw.draw(orders)]
        assert run(assembler, from_peer(evil, noise)) == []
        found = run(assembler, [(via, symbol)])
    assert found == [message]


@pytest.mark.parametrize("k", [2, 3, 30])
def test_an_attacker_who_begins_again_and_again_cannot_part_two_peers(k: int) -> None:
    message, assembler = of_k(k), Assembler()
    first, *rest = symbols(message)
    model, evil = first, attacker(1)
    assert run(assembler, [(GENUINE, first)]) == []
    for turn in range(40):
        noise = [wrong(model, (turn + n) % 255, turn) for n in range(k)]
        assert run(assembler, from_peer(evil, noise)) == []
    assert run(assembler, from_peer(OTHER, rest)) == [message]


def test_a_peer_that_was_wrong_once_can_still_bring_the_message_alone() -> None:
    message, assembler = of_k(3), Assembler()
    first, second, third = symbols(message)
    run(assembler, [(OTHER, first)])  # somebody else speaks of it too
    assert run(assembler, from_peer(GENUINE, [first, wrong(second, 1, 1), third])) == []
    assert run(assembler, from_peer(GENUINE, [first, second, third])) == [message]


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(0, 8), st.integers(0, 9), st.booleans(), st.data())
def test_a_forged_message_with_the_same_tag_does_not_swallow_the_genuine_one(
    k: int, where: int, before: int, whole: bool, draw: st.DataObject
) -> None:
    message = of_k(k)
    size = cut_for(len(message), 231).size
    at = min((where % k) * size + HEAD, len(message) - 30)
    other = forged(message, at, bytes((message[at] ^ 1,)))
    assert other != message and check_of(other) == check_of(message)
    assembler, genuine = Assembler(), from_peer(GENUINE, symbols(message))
    forgery = [Whole(other)] if whole else symbols(other)
    early, late = genuine[: before % k], genuine[before % k :]
    found = run(assembler, early)
    found += run(assembler, from_peer(attacker(1), forgery))
    found += run(assembler, late)
    assert found == [other, message]


def test_a_forgery_made_with_genuine_symbols_does_not_swallow_the_genuine_message() -> None:
    message = of_k(6)
    size = cut_for(len(message), 231).size
    other = forged(message, 5 * size + 9, b"forged")
    assembler, genuine = Assembler(), symbols(message)
    evil = from_peer(attacker(1), symbols(other)[3:])
    assert run(assembler, [*from_peer(GENUINE, genuine[:3]), *evil]) == [other]
    assert run(assembler, from_peer(GENUINE, genuine[3:])) == [message]


def test_a_forged_message_does_not_end_the_partial_of_another() -> None:
    message, assembler = of_k(4), Assembler()
    run(assembler, from_peer(GENUINE, symbols(message)[:2]))
    assembler.finish(forged(message, 40, b"forged"))
    held = assembler.held(check_of(message))
    assert held is not None and held.count == 2


def test_of_many_messages_with_one_tag_a_few_are_remembered() -> None:
    message, assembler = of_k(3), Assembler()
    others = [forged(message, 40, bytes((n, 1))) for n in range(40)]
    assert run(assembler, from_peer(attacker(1), map(Whole, others))) == others
    assert assembler.whole(check_of(message)) == others[-1]
    again = run(assembler, from_peer(GENUINE, map(Whole, reversed(others))))
    assert again == others[-MAX_SAME_TAG - 1 :: -1]
    assert run(assembler, from_peer(GENUINE, symbols(message))) == [message]


def test_a_liar_does_not_hide_what_a_peer_still_lacks() -> None:
    message, assembler = of_k(5), Assembler()
    tag, genuine = check_of(message), symbols(message)
    run(assembler, from_peer(attacker(1), [wrong(genuine[0], n, 1) for n in range(1, 5)]))
    run(assembler, from_peer(GENUINE, genuine[:2]))  # together they had enough, and it was wrong
    held = assembler.held(tag, GENUINE)
    assert held is not None and (held.count, held.highest) == (2, 1)


# Flooding


def flood(addresses: int | None, size: int = 204, k: int = MAX_K) -> Iterator[Fed]:
    """Send one symbol each of ever new messages; from so many addresses, or always new ones."""
    chance = random.Random(addresses)
    for number in count():
        via = attacker(number % addresses if addresses else number)
        yield via, Symbol(chance.getrandbits(32), k, number % 255, chance.randbytes(size))


@pytest.mark.parametrize("addresses", [1, 30, 300, None])
def test_a_flood_of_partials_does_not_push_out_a_long_message(addresses: int | None) -> None:
    assembler = Assembler(total=1024 * 1024)
    message, noise = of_k(MAX_K), flood(addresses)
    assert run(assembler, islice(noise, 3000)) == []
    found: list[bytes] = []
    for symbol in symbols(message):
        found += run(assembler, islice(noise, 40))
        found += run(assembler, [(GENUINE, symbol)])
        assert assembler.held_bytes <= assembler.total
    assert found == [message] and assembler.dropped > 1000


def test_a_few_fast_ones_push_out_each_other_and_no_slow_one() -> None:
    assembler, message, noise = Assembler(total=2 * 1024 * 1024), of_k(MAX_K), flood(30)
    first, *rest = symbols(message)
    run(assembler, [(GENUINE, first)])
    run(assembler, islice(noise, 20_000))  # far more than fits, and nothing of ours between
    assert run(assembler, from_peer(GENUINE, rest)) == [message]


def test_a_peer_that_floods_pushes_out_its_own() -> None:
    assembler, message = Assembler(), of_k(MAX_K)
    first, *rest = symbols(message)
    run(assembler, [(GENUINE, first)])
    evil = attacker(1)
    for _, symbol in islice(flood(1), 5000):
        assembler.feed(symbol, evil, 0.0)
        assert assembler.held_by(evil) <= assembler.per_peer
    assert run(assembler, from_peer(GENUINE, rest)) == [message]


def test_of_one_peer_s_partials_those_go_that_got_nothing_new() -> None:
    assembler, message = Assembler(per_peer=64 * 1024), of_k(100)
    noise, found = flood(1), list[bytes]()
    for symbol in symbols(message):
        found = run(assembler, [(GENUINE, symbol)])
        run(assembler, from_peer(GENUINE, [other for _, other in islice(noise, 5)]))
    assert found == [message] and assembler.dropped > 400


def test_who_was_wrong_where_nobody_else_speaks_leaves_nothing_behind() -> None:
    assembler, model = Assembler(), Symbol(7, 3, 0, bytes(40))
    run(assembler, from_peer(attacker(1), [wrong(model, index, 1) for index in range(3)]))
    assert assembler.held_bytes == 0


def deep() -> Iterator[Fed]:
    """Fill partials with symbols of two bytes, all but one, each from a new address."""
    for number in count():
        who, index = divmod(number, MAX_K - 1)
        yield attacker(who), Symbol(who, MAX_K, index, number.to_bytes(2, "big"))


def of_one_tag(size: int, k: int = MAX_K) -> Iterator[Fed]:
    """Send under one tag, each symbol from another address."""
    for number in count():
        yield attacker(number), Symbol(7, k, number % 254, bytes((number % 251,)) * size)


def cuts_of_one_tag() -> Iterator[Fed]:
    """Send under one tag, each symbol of another cut."""
    for number in count():
        yield attacker(number), Symbol(7, 2 + number % 126, 3, bytes(14 + number // 126 % 190))


def liars() -> Iterator[Fed]:
    """Be wrong alone, from ever new addresses, beside a partial that keeps it in mind."""
    for number in count():
        for index in range(2):
            yield attacker(number // 2), Symbol(number % 50, 2, index, b"wrong!!")


def echoes() -> Iterator[Fed]:
    """Repeat symbols of a message that is whole, from ever new addresses."""
    message = of_k(3)
    yield GENUINE, Whole(message)
    for number in count():
        yield attacker(number), symbols(message)[number % 3]


FLOODS: dict[str, Callable[[], Iterator[Fed]]] = {
    "new addresses, symbols of 1 byte": lambda: flood(None, size=1),
    "new addresses, symbols of 204": lambda: flood(None),
    "new addresses, symbols of 5000": lambda: flood(None, 5000, 5),
    "thirty addresses": lambda: flood(30, size=1),
    "one symbol is enough": lambda: flood(None, 30, 1),
    "all symbols but one, of 2 bytes": deep,
    "one tag": lambda: of_one_tag(1),
    "one tag, two symbols": lambda: of_one_tag(100, 2),
    "one tag, many cuts": cuts_of_one_tag,
    "liars": liars,
    "echoes": echoes,
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_is_counted_is_about_what_is_taken(name: str) -> None:
    fed = list(islice(FLOODS[name](), 3000))  # with its own memory, which is not counted
    total = 64 * 1024
    run(Assembler(total=total), fed)  # fill the caches of the code
    tracemalloc.start()
    try:
        assembler = Assembler(total=total, per_peer=32 * 1024)
        run(assembler, ((Via(via.link, f"{via.peer}"), frame) for via, frame in fed))
        taken, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert assembler.held_bytes <= total
    assert taken < 2 * total and peak < 3 * total


def test_remembered_messages_are_few_however_long() -> None:
    assembler = Assembler(remembered=8)
    tracemalloc.start()
    try:
        for seed in range(100):
            assembler.feed(Whole(message_of(20_000, seed)), attacker(seed), 0.0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 9 * 21_000 + 10_000


class Siege(RuleBasedStateMachine):
    """Attackers do what they like; what is held stays within its bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.assembler = Assembler(total=24_000, per_peer=8_000, patience=50, remembered=4)
        self.messages = [of_k(k, k) for k in (1, 2, 3, 5)]
        self.now = 0.0
        self.vias: set[Via] = set()

    def feed(self, frame: Whole | Symbol, number: int) -> None:
        via = attacker(number)
        self.vias.add(via)
        complete = self.assembler.feed(frame, via, self.now)
        assert complete is None or check_of(complete.message) == frame.tag

    @rule(number=st.integers(0, 40), which=st.integers(0, 3), index=st.integers(0, 12))
    def genuine(self, number: int, which: int, index: int) -> None:
        message = self.messages[which]
        cut = cut_for(len(message), 231)
        self.feed(all_symbols(message, cut, [index])[0], number)

    @rule(
        number=st.integers(0, 40), which=st.integers(0, 3), index=st.integers(0, 254),
        seed=st.integers(0, 3),
    )  # fmt: skip
    def poison(self, number: int, which: int, index: int, seed: int) -> None:
        self.feed(wrong(symbols(self.messages[which], 1)[0], index, seed), number)

    @rule(
        number=st.integers(0, 40), tag=st.integers(0, 9), k=st.integers(1, 127),
        index=st.integers(0, 254), data=st.binary(min_size=1, max_size=300),
    )  # fmt: skip
    def junk(self, number: int, tag: int, k: int, index: int, data: bytes) -> None:
        self.feed(Symbol(tag, k, index, data), number)

    @rule(number=st.integers(0, 40), tags=st.integers(1, 60), size=st.integers(1, 300))
    def many(self, number: int, tags: int, size: int) -> None:
        for tag in range(tags):
            self.feed(Symbol(tag, 20, 0, bytes(size)), number)

    @rule(number=st.integers(0, 40), which=st.integers(0, 3), new=st.binary(max_size=8))
    def whole(self, number: int, which: int, new: bytes) -> None:
        message = self.messages[which]
        self.feed(Whole(forged(message, 30, new) if new else message), number)

    @rule(seconds=st.floats(0, 60))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def bounded(self) -> None:
        shares = [self.assembler.held_by(via) for via in self.vias]
        assert all(share == 0 or SHARE <= share <= self.assembler.per_peer for share in shares)
        assert sum(shares) == self.assembler.held_bytes <= self.assembler.total
        known = [message for message in self.messages if self.assembler.whole(check_of(message))]
        assert len(known) <= self.assembler.remembered

    def teardown(self) -> None:
        self.assembler.expire(math.inf)
        assert self.assembler.held_bytes == 0
        assert not any(self.assembler.held(check_of(message)) for message in self.messages)


test_what_is_held_is_bounded = Siege.TestCase
test_what_is_held_is_bounded.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None
)


# Work


TRIALS = 9  # of which a symbol is in at most: eight with others and one alone


def trials(fed: Iterable[Fed], assembler: Assembler | None = None) -> int:
    """Count how often frames make the assembler rebuild a message."""
    return calls_of(lambda: run(assembler or Assembler(), fed), "recover")


def exact_hits(k: int, addresses: int) -> list[Fed]:
    """Some hold all symbols but one; then ever new addresses send that one."""
    model = Symbol(7, k, 0, bytes(40))
    known = [(n, index) for n in range(MAX_MIXED) for index in range(k - 1)]
    known += [(n, k - 1) for n in range(MAX_MIXED, addresses)]
    return [(attacker(n), wrong(model, index, n)) for n, index in known]


@pytest.mark.parametrize("k", [2, 3, 12])
@pytest.mark.parametrize("addresses", [9, MAX_SPEAKERS, 300])
def test_trials_are_bounded_by_the_symbols_sent_for_them(k: int, addresses: int) -> None:
    fed = exact_hits(k, addresses)
    assert trials(fed) * k <= len(fed) * TRIALS


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 8)), max_size=300))
def test_trials_are_bounded_whoever_sends_what(k: int, order: list[tuple[int, int]]) -> None:
    model = Symbol(7, k, 0, bytes(40))
    fed = [(attacker(who), wrong(model, index, who)) for who, index in order]
    assert trials(fed) * k <= len(fed) * TRIALS


def test_one_frame_causes_few_trials() -> None:
    fed = exact_hits(4, 60)
    assembler = Assembler()
    assert max(trials([one], assembler) for one in fed) < TRIALS


def test_a_set_of_peers_is_tried_once() -> None:
    model = Symbol(7, 3, 0, bytes(40))
    one = from_peer(attacker(1), [wrong(model, index, 1) for index in (0, 1)])
    other = from_peer(attacker(2), [wrong(model, index, 2) for index in (2, 0)])
    assert trials([*one, *other]) == 1


def test_a_peer_causes_one_trial_for_each_k_symbols() -> None:
    model = Symbol(7, 10, 0, bytes(40))
    alone = from_peer(attacker(1), [wrong(model, n % 255, n) for n in range(1000)])
    assert trials(alone) == 100
    one = symbols(of_k(1))[0]
    tags = from_peer(attacker(1), [Symbol(tag, 1, 0, one.data) for tag in range(50)])
    assert trials(tags) == 50


@pytest.mark.parametrize("known", [1, MAX_SAME_TAG, 30])
def test_knowing_a_symbol_again_costs_one_symbol_for_each_message_of_its_tag(known: int) -> None:
    message, assembler = of_k(MAX_K), Assembler()
    others = [forged(message, 40, bytes((n, 1))) for n in range(known)]
    run(assembler, from_peer(attacker(1), map(Whole, others)))
    last = all_symbols(message, cut_for(len(message), 231), [254])
    products = calls_of(lambda: run(assembler, from_peer(GENUINE, last)), "translate")
    assert products == min(known, MAX_SAME_TAG) * MAX_K


def test_the_longest_message_from_parity_alone_is_rebuilt_once() -> None:
    message = of_k(MAX_K)
    coded = all_symbols(message, cut_for(len(message), 231), range(MAX_K, 254))
    assert trials(from_peer(GENUINE, coded)) == 1


@pytest.mark.parametrize("name", FLOODS)
def test_a_frame_of_a_flood_takes_few_steps(name: str) -> None:
    fed = list(islice(FLOODS[name](), 4000))
    assembler = Assembler(total=1024 * 1024)
    run(assembler, fed[:3900])
    late = fed[3900:]
    assert calls_of(lambda: run(assembler, late)) < 400 * len(late)


def test_shares_of_many_do_not_slow_down_what_one_peer_brings() -> None:
    assembler, message = Assembler(), of_k(3)
    run(assembler, islice(of_one_tag(100, 2), 3000))
    steps = calls_of(lambda: run(assembler, from_peer(GENUINE, symbols(message))))
    assert steps < 1500


# Symbols


@given(st.integers(21, 3000), st.integers(16, 300), st.integers(0, 254))
def test_one_symbol_of_a_message_is_the_one_that_is_sent(length: int, mtu: int, index: int) -> None:
    assume(length <= MAX_K * (mtu - 8))
    message = message_of(length)
    cut = cut_for(length, mtu)
    sent = unpack(Splitter.of(message, mtu).frames([index])[0])
    if isinstance(sent, Symbol):
        assert symbol_of(message, cut, index) == sent.data
        assert pack(sent) == Splitter.of(message, mtu).frames([index])[0]
    assert symbol_of(message, Cut(cut.k, cut.size + 2), index) is None
    assert symbol_of(message, Cut(cut.k + 1, cut.size * 2), index) is None


def test_two_messages_at_once_do_not_mix() -> None:
    one, other = of_k(5, 1), of_k(5, 2)
    pairs = zip_longest(symbols(one), symbols(other))
    fed = from_peer(GENUINE, [symbol for pair in pairs for symbol in pair])
    assert sorted(run(Assembler(), fed)) == sorted([one, other])
