"""Cutting a message into frames, the same way at every node.

The law of this module: the cut follows from the message's length alone (and, where the MTU is
too small for it, from that MTU), so that symbols that went different ways fit together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ..errors import TooLong
from ..message import check_of
from .fec import MAX_SYMBOLS, parity
from .frame import MAX_K, SYMBOL_HEAD, WHOLE_HEAD, Symbol, Whole, pack

SYMBOL_SIZE = 204
"""Bytes. With its 8 of head it fits every packet that Meshtastic carries, direct ones too."""

MAX_DATAGRAM = MAX_K * SYMBOL_SIZE
"""The longest message of datagram links, 25,908 bytes."""

MIN_MTU = 16


@dataclass(frozen=True, slots=True)
class Cut:
    """How a message is cut: ``k`` symbols of data, each of ``size`` bytes."""

    k: int
    size: int


def cut_for(length: int, mtu: int) -> Cut:
    """Return how a message of ``length`` bytes is cut for frames of at most ``mtu`` bytes.

    Raises:
        TooLong: more than 127 symbols.
    """
    k = math.ceil(length / SYMBOL_SIZE)
    cut = Cut(k, math.ceil(length / k))
    head = WHOLE_HEAD if k == 1 else SYMBOL_HEAD
    if cut.size + head > mtu:
        if mtu < MIN_MTU:
            raise TooLong(f"an MTU of {mtu} bytes carries no frames; {MIN_MTU} are the least")
        k = math.ceil(length / (mtu - SYMBOL_HEAD))
        cut = Cut(k, math.ceil(length / k))
    if cut.k > MAX_K:
        limit = min(MAX_DATAGRAM, MAX_K * (mtu - SYMBOL_HEAD))
        raise TooLong(f"a message of {length} bytes; this link carries at most {limit} in one")
    return cut


def symbols_of(message: bytes, cut: Cut) -> list[bytes]:
    """Return the k symbols of data; the last is filled with zeros."""
    filled = message.ljust(cut.k * cut.size, b"\0")
    return [filled[i : i + cut.size] for i in range(0, len(filled), cut.size)]


@dataclass(slots=True)
class Splitter:
    """Makes the frames of one message, data and parity, as they are asked for."""

    message: bytes
    cut: Cut
    hops: int = 0

    @classmethod
    def of(cls, message: bytes, mtu: int, hops: int = 0) -> Splitter:
        """Cut a message for an MTU. Raises TooLong."""
        return cls(message, cut_for(len(message), mtu), hops)

    @property
    def limit(self) -> int:
        """How many different frames there can be."""
        return MAX_SYMBOLS

    def frames(self, indices: Iterable[int]) -> list[bytes]:
        """Return the packed frames of these symbols; a message cut in 1 is sent whole each time."""
        if self.cut.k == 1:
            return [pack(Whole(self.message, self.hops)) for _ in indices]
        wanted = list(indices)
        data = symbols_of(self.message, self.cut)
        beyond = [index for index in wanted if index >= self.cut.k]
        coded = dict(zip(beyond, parity(data, beyond), strict=True))
        tag = check_of(self.message)
        return [
            pack(Symbol(tag, self.cut.k, i, coded[i] if i in coded else data[i], self.hops))
            for i in wanted
        ]


def frames_for(message: bytes, mtu: int, extra: int = 0, hops: int = 0) -> list[bytes]:
    """Return the frames of a message: its data, then ``extra`` frames of parity.

    Raises:
        TooLong: the message cannot be cut for this MTU.
    """
    splitter = Splitter.of(message, mtu, hops)
    return splitter.frames(range(splitter.cut.k + extra))


@lru_cache(maxsize=1024)
def chance(k: int, n: int, loss: float) -> float:
    """Return how likely at least ``k`` of ``n`` frames arrive when each is lost with ``loss``."""
    arrive = 1.0 - loss
    return sum(math.comb(n, i) * arrive**i * loss ** (n - i) for i in range(k, n + 1))


@lru_cache(maxsize=1024)
def redundancy(k: int, loss: float, target: float) -> int:
    """Return the fewest frames of parity with which a message arrives with chance ``target``."""
    for extra in range(MAX_SYMBOLS - k):
        if chance(k, k + extra, loss) >= target:
            return extra
    return MAX_SYMBOLS - k
