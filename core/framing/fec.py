"""Reed-Solomon over GF(256), systematic: any k of up to 255 symbols give the message back.

The law of this module: a symbol is the value of one polynomial at one point, nothing else. The k
symbols of data are its values at the first k points, and it is the one polynomial of degree below
k through them; parity is its values further on. So encoding and decoding are the same thing:
interpolation from k points to others (Lagrange).

Field: x^8 + x^4 + x^3 + x^2 + 1 (0x11D), generator 2. Symbol 0 stands at the point 0, symbol i at
2^(i-1). docs/wire.md (Symbols) is the specification. The same code as L. Rizzo, "Effective erasure
codes for reliable computer communication protocols" (1997), builds from a Vandermonde matrix.

Products of whole symbols are ``bytes.translate`` through the table of one factor, sums are XOR of
long integers: on symbols of 200 bytes that is several times faster than numpy, and imports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

MAX_SYMBOLS = 255

_EXP = [1] * 510
for _i in range(1, 510):
    _product = _EXP[_i - 1] << 1
    _EXP[_i] = _product ^ 0x11D if _product & 0x100 else _product
_LOG = {_EXP[_i]: _i for _i in range(255)}


def point(index: int) -> int:
    """Return the point of the field at which symbol ``index`` stands."""
    return _EXP[index - 1] if index else 0


def multiply(a: int, b: int) -> int:
    """Return the product of two field elements."""
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


@lru_cache(maxsize=256)
def _table(factor: int) -> bytes:
    return bytes(multiply(factor, value) for value in range(256))


@lru_cache(maxsize=64)
def _divisors(known: tuple[int, ...]) -> tuple[int, ...]:
    """Return, for each known symbol, the logarithm of its Lagrange divisor."""
    points = [point(index) for index in known]
    return tuple(sum(_LOG[xj ^ xm] for xm in points if xm != xj) % 255 for xj in points)


def weights(known: tuple[int, ...], wanted: int) -> list[int]:
    """Return by what each known symbol is multiplied in the sum that gives symbol ``wanted``."""
    x = point(wanted)
    gaps = [_LOG[x ^ point(index)] for index in known]
    whole = sum(gaps)
    return [
        _EXP[(whole - gap - divisor) % 255]
        for gap, divisor in zip(gaps, _divisors(known), strict=True)
    ]


def interpolate(known: Mapping[int, bytes], wanted: Sequence[int]) -> list[bytes]:
    """Return the symbols ``wanted`` of the polynomial through the symbols ``known``.

    Args:
        known: index -> symbol, exactly k of them, all of one size.
        wanted: indices, 0 to 254.
    """
    indices = tuple(sorted(known))
    size = len(known[indices[0]])
    out: list[bytes] = []
    for index in wanted:
        if index in known:
            out.append(known[index])
            continue
        total = 0
        for factor, j in zip(weights(indices, index), indices, strict=True):
            total ^= int.from_bytes(known[j].translate(_table(factor)), "little")
        out.append(total.to_bytes(size, "little"))
    return out


def parity(data: Sequence[bytes], indices: Sequence[int]) -> list[bytes]:
    """Return the parity symbols ``indices`` (each at least k) of k symbols of data."""
    return interpolate(dict(enumerate(data)), indices)


def recover(symbols: Mapping[int, bytes], k: int) -> list[bytes]:
    """Return the k symbols of data, in order, from any k symbols or more.

    Raises:
        ValueError: fewer than k symbols.
    """
    if len(symbols) < k:
        raise ValueError(f"{len(symbols)} symbols of {k}")
    chosen = {index: symbols[index] for index in sorted(symbols)[:k]}
    return interpolate(chosen, range(k))
