"""The cut: it follows from the length, fits the MTU, and says its limit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focal.core.errors import TooLong
from focal.core.framing.fec import MAX_SYMBOLS
from focal.core.framing.frame import MAX_K, Symbol, Whole, unpack
from focal.core.framing.split import (
    MAX_DATAGRAM,
    MIN_MTU,
    SYMBOL_SIZE,
    Cut,
    Splitter,
    chance,
    cut_for,
    frames_for,
    redundancy,
    symbols_of,
)
from focal.core.message import MIN_MESSAGE, Kind, Message, MessageId

mtus = st.integers(MIN_MTU, 1500)
lengths = st.integers(MIN_MESSAGE, MAX_DATAGRAM)


def message_of(length: int) -> bytes:
    """Return a message of at least 21 bytes that is so long."""
    return Message(MessageId(1, 2), Kind.DATA, bytes(length - 21)).to_bytes()


@given(lengths, mtus)
def test_a_cut_holds_the_message_and_fits_the_mtu(length: int, mtu: int) -> None:
    try:
        cut = cut_for(length, mtu)
    except TooLong:
        assert length > MAX_K * (mtu - 8)
        return
    assert 0 <= cut.k * cut.size - length < cut.k <= MAX_K
    assert cut.size + (2 if cut.k == 1 else 8) <= mtu


@given(lengths, st.integers(212, 1500), st.integers(212, 1500))
def test_the_cut_is_the_same_wherever_an_ordinary_symbol_fits(
    length: int, one: int, other: int
) -> None:
    assert cut_for(length, one) == cut_for(length, other)
    assert cut_for(length, one).size <= SYMBOL_SIZE


@given(mtus)
def test_the_limit_that_is_told_is_the_limit(mtu: int) -> None:
    limit = min(MAX_DATAGRAM, MAX_K * (mtu - 8))
    assert cut_for(limit, mtu).k <= MAX_K
    with pytest.raises(TooLong, match=f"at most {limit} in one"):
        cut_for(limit + 1, mtu)


@pytest.mark.parametrize("mtu", [0, 1, 8, 9, MIN_MTU - 1])
def test_an_mtu_that_is_too_small_is_told(mtu: int) -> None:
    with pytest.raises(TooLong, match="16 are the least"):
        cut_for(100, mtu)


@given(st.binary(min_size=MIN_MESSAGE, max_size=700), mtus)
def test_symbols_are_the_message_and_fewer_than_k_zeros(message: bytes, mtu: int) -> None:
    cut = cut_for(len(message), mtu)
    data = symbols_of(message, cut)
    assert [len(symbol) for symbol in data] == [cut.size] * cut.k
    assert b"".join(data) == message + bytes(cut.k * cut.size - len(message))


@settings(deadline=None)
@given(st.integers(21, 2000), mtus, st.integers(0, 4), st.integers(0, 7))
def test_frames_are_of_the_cut_and_at_most_the_mtu(
    length: int, mtu: int, extra: int, hops: int
) -> None:
    message = message_of(min(length, MAX_K * (mtu - 8)))
    cut = cut_for(len(message), mtu)
    packed = frames_for(message, mtu, extra, hops)
    assert len(packed) == cut.k + extra and max(map(len, packed)) <= mtu
    for place, frame in enumerate(map(unpack, packed)):
        if cut.k == 1:
            assert frame == Whole(message, hops)
        else:
            assert isinstance(frame, Symbol) and frame.hops == hops
            assert (frame.k, frame.index, len(frame.data)) == (cut.k, place, cut.size)


def test_the_longest_message_has_all_its_symbols() -> None:
    splitter = Splitter.of(message_of(MAX_DATAGRAM), 231)
    assert splitter.cut == Cut(MAX_K, SYMBOL_SIZE)
    (last,) = splitter.frames([splitter.limit - 1])
    frame = unpack(last)
    assert isinstance(frame, Symbol) and frame.index == MAX_SYMBOLS - 1


@given(st.integers(1, MAX_K), st.integers(0, 40), st.floats(0, 1))
def test_the_chance_to_arrive_is_one_and_grows_with_parity(k: int, extra: int, loss: float) -> None:
    now, more = chance(k, k + extra, loss), chance(k, k + extra + 1, loss)
    assert -1e-9 <= now <= more + 1e-9 <= 1 + 2e-9
    assert math.isclose(chance(k, k, loss), (1 - loss) ** k, abs_tol=1e-9)


@given(st.integers(1, MAX_K), st.floats(0, 0.4), st.sampled_from([0.9, 0.99]))
def test_redundancy_is_just_enough(k: int, loss: float, target: float) -> None:
    extra = redundancy(k, loss, target)
    assert extra <= MAX_SYMBOLS - k
    assert extra == MAX_SYMBOLS - k or chance(k, k + extra, loss) >= target
    assert not extra or chance(k, k + extra - 1, loss) < target
