"""The erasure code: any k of n, the same code as zfec's, and work that is counted."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focal.core.framing.fec import MAX_SYMBOLS, interpolate, multiply, parity, point, recover
from focal.core.framing.frame import MAX_K

zfec: Any = import_module("zfec")  # it has no types


def zfec_parity(data: Sequence[bytes], indices: Sequence[int]) -> list[bytes]:
    encoder = zfec.Encoder(len(data), MAX_SYMBOLS)
    return cast("list[bytes]", encoder.encode(data, indices))


def zfec_recover(symbols: Mapping[int, bytes], k: int) -> list[bytes]:
    decoder = zfec.Decoder(k, MAX_SYMBOLS)
    return cast("list[bytes]", decoder.decode(list(symbols.values()), list(symbols)))


def some(k: int, size: int) -> list[bytes]:
    chance = random.Random(f"{k}/{size}")
    return [chance.randbytes(size) for _ in range(k)]


@pytest.mark.parametrize("k", range(1, MAX_K + 1))
def test_parity_is_what_zfec_computes(k: int) -> None:
    data = some(k, 8)
    indices = sorted({k, (k + MAX_SYMBOLS) // 2, MAX_SYMBOLS - 1})
    assert parity(data, indices) == zfec_parity(data, indices)


@pytest.mark.parametrize("k", [*range(1, 12), 40, 85, MAX_K])
def test_what_zfec_rebuilds_is_what_we_rebuild(k: int) -> None:
    data, chance = some(k, 5), random.Random(k)
    indices = sorted(chance.sample(range(MAX_SYMBOLS), k))
    beyond = [index for index in indices if index >= k]
    coded = dict(zip(beyond, parity(data, beyond), strict=True))
    symbols = {i: coded[i] if i in coded else data[i] for i in indices}
    assert recover(symbols, k) == data
    spare = iter(beyond)  # zfec wants symbols of data in their own places
    placed = [i if i in symbols else next(spare) for i in range(k)]
    assert zfec_recover({i: symbols[i] for i in placed}, k) == data


@settings(deadline=None)
@given(st.integers(1, MAX_K), st.integers(1, 20), st.data())
def test_any_k_of_all_symbols_give_the_data_back(k: int, size: int, draw: st.DataObject) -> None:
    data = some(k, size)
    chance = draw.draw(st.randoms(use_true_random=False))
    kept = chance.sample(range(MAX_SYMBOLS), min(MAX_SYMBOLS, k + draw.draw(st.integers(0, 3))))
    beyond = [index for index in kept if index >= k]
    coded = dict(zip(beyond, parity(data, beyond), strict=True))
    assert recover({i: coded[i] if i in coded else data[i] for i in kept}, k) == data


@given(st.lists(st.binary(min_size=6, max_size=6), min_size=1, max_size=9), st.data())
def test_every_symbol_follows_from_any_k_others(data: list[bytes], draw: st.DataObject) -> None:
    k = len(data)
    whole = dict(enumerate(data + parity(data, range(k, k + 9))))
    chosen = draw.draw(st.permutations(sorted(whole)))[:k]
    known = {index: whole[index] for index in chosen}
    assert interpolate(known, sorted(whole)) == list(whole.values())


def test_the_field_is_a_field() -> None:
    for a in range(1, 256):
        assert multiply(a, 0) == multiply(0, a) == 0 and multiply(a, 1) == a
        assert sorted(multiply(a, b) for b in range(256)) == list(range(256))
    assert multiply(0x80, 2) == 0x1D
    assert len({point(index) for index in range(MAX_SYMBOLS)}) == MAX_SYMBOLS


def test_too_few_symbols_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="1 symbols of 2"):
        recover({0: b"x"}, 2)


class Counted(bytes):
    """A symbol that counts how often it is multiplied."""

    products = 0

    def translate(self, table: object, /, delete: object = b"") -> bytes:
        Counted.products += 1
        return super().translate(cast("bytes", table))


@pytest.mark.parametrize(
    ("k", "kept", "products"),
    [
        (MAX_K, range(MAX_K), 0),
        (MAX_K, range(1, MAX_K + 1), MAX_K),
        (MAX_K, range(MAX_K, 2 * MAX_K), MAX_K * MAX_K),
        (3, [0, 1, 200], 3),
    ],
)
def test_the_work_is_k_products_for_each_lost_symbol(
    k: int, kept: Sequence[int], products: int
) -> None:
    whole = some(k, 4)
    whole += parity(whole, range(k, MAX_SYMBOLS))
    Counted.products = 0
    assert recover({i: Counted(whole[i]) for i in kept}, k) == whole[:k]
    assert Counted.products == products
