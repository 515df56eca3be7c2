"""From frames to messages: symbols of any links in, whole messages out.

The law of this module: what is held is bounded, per peer and in all, and no peer's frames can
spoil what another peer's frames make. Sans-I/O.

Symbols combine only within one (tag, k, size). Each is kept under the peer it came from; when the
message that they give fails its check, one peer's symbols at a time are left out, and a peer whose
own symbols alone are enough and fail is left out for good.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ..link import Address
from ..message import check_of, destination_of, is_message
from .fec import parity, recover
from .frame import Symbol, Whole
from .split import Cut, symbols_of

OVERHEAD = 128
"""Bytes that a held symbol is counted as, beyond its own."""

MAX_TRIES = 64
"""Mixed trials of one partial; after them only single peers' symbols are tried."""


@dataclass(frozen=True, slots=True)
class Via:
    """Where a frame came from: the link's name and the peer as that link spells it."""

    link: str
    peer: Address | None


@dataclass(frozen=True, slots=True)
class Complete:
    """A message is whole.

    Args:
        message: its bytes, check verified.
        via: whose frame completed it.
        hops: of that frame.
        again: it was whole before; this frame brought nothing new.
    """

    message: bytes = field(repr=False)
    via: Via
    hops: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """What a partial has.

    Args:
        k: symbols of data of the message.
        count: different symbols held.
        highest: the highest index held.
        known: whether its destination can be told yet.
        destination: the origin it is for; None is everyone.
    """

    k: int
    count: int
    highest: int
    known: bool
    destination: int | None


_Key: TypeAlias = tuple[int, int, int]


class _Partial:
    __slots__ = ("bad", "cut", "symbols", "tag", "touched", "tries")

    def __init__(self, tag: int, cut: Cut, now: float) -> None:
        self.tag = tag
        self.cut = cut
        self.symbols: dict[Via, dict[int, bytes]] = {}
        self.bad: set[Via] = set()
        self.tries = 0
        self.touched = now

    def indices(self) -> set[int]:
        return {index for own in self.symbols.values() for index in own}

    def mixed(self, without: Via | None = None) -> dict[int, bytes]:
        """Return one symbol for each index; peers with more symbols come first."""
        out: dict[int, bytes] = {}
        for via, own in sorted(self.symbols.items(), key=lambda item: -len(item[1])):
            if via != without:
                for index, data in own.items():
                    out.setdefault(index, data)
        return out

    def cost(self, via: Via) -> int:
        return len(self.symbols.get(via, ())) * (self.cut.size + OVERHEAD)


class Assembler:
    """Puts messages together. One for all links of a node.

    Args:
        per_peer: bytes held for one peer's symbols; beyond, its oldest partial loses them.
        total: bytes held in all; beyond, the partial that was touched longest ago goes.
        patience: seconds after which a partial that gets nothing new is forgotten.
        remembered: messages kept after they were whole, to know their frames again.
    """

    def __init__(
        self,
        *,
        per_peer: int = 256 * 1024,
        total: int = 8 * 1024 * 1024,
        patience: float = 3600.0,
        remembered: int = 64,
    ) -> None:
        self.per_peer = per_peer
        self.total = total
        self.patience = patience
        self.remembered = remembered
        self.held_bytes = 0
        self.dropped = 0
        self._partials: OrderedDict[_Key, _Partial] = OrderedDict()
        self._used: dict[Via, int] = {}
        self._done: OrderedDict[bytes, None] = OrderedDict()
        self._done_by_tag: dict[int, list[bytes]] = {}

    def feed(self, frame: Whole | Symbol, via: Via, now: float) -> Complete | None:
        """Take a frame; return the message that is whole now, if one is."""
        if isinstance(frame, Whole):
            again = frame.message in self._done
            self.finish(frame.message)
            return Complete(frame.message, via, frame.hops, again)
        known = self._known(frame)
        if known is not None:
            return Complete(known, via, frame.hops, again=True)
        message = self._add(frame, via, now)
        if message is None:
            return None
        self.finish(message)
        return Complete(message, via, frame.hops)

    def finish(self, message: bytes) -> None:
        """A message is whole, from wherever: end its partials and remember it for a while."""
        tag = check_of(message)
        for partial in [p for p in self._partials.values() if p.tag == tag]:
            for via in [via for via in partial.symbols if _explains(message, partial, via)]:
                self._leave_out(partial, via)
        if message in self._done:
            self._done.move_to_end(message)
            return
        self._done[message] = None
        self._done_by_tag.setdefault(tag, []).append(message)
        if len(self._done) > self.remembered:
            oldest, _ = self._done.popitem(last=False)
            self._forget(oldest)

    def whole(self, tag: int) -> bytes | None:
        """Return a remembered message with this tag."""
        messages = self._done_by_tag.get(tag)
        return messages[-1] if messages else None

    def held(self, tag: int) -> Held | None:
        """Return what the fullest partial with this tag has."""
        found = [partial for key, partial in self._partials.items() if key[0] == tag]
        if not found:
            return None
        partial = max(found, key=lambda partial: len(partial.indices()))
        indices = partial.indices()
        first = next((own[0] for own in partial.symbols.values() if 0 in own), b"")
        known, destination = destination_of(first)
        return Held(partial.cut.k, len(indices), max(indices, default=0), known, destination)

    def missed(self, tag: int) -> int:
        """Return how many symbols below the highest one held are missing."""
        held = self.held(tag)
        return max(0, held.highest + 1 - held.count) if held else 0

    def expire(self, now: float) -> list[int]:
        """Forget partials that nothing came for; return their tags."""
        old = [key for key, p in self._partials.items() if p.touched + self.patience <= now]
        for key in old:
            self._drop(key)
        return [key[0] for key in old]

    def next_deadline(self) -> float | None:
        """Return when ``expire`` has something to do."""
        first = next(iter(self._partials.values()), None)
        return first.touched + self.patience if first else None

    # Holding

    def _add(self, frame: Symbol, via: Via, now: float) -> bytes | None:
        key = (frame.tag, frame.k, len(frame.data))
        partial = self._partials.get(key)
        if partial is None:
            partial = _Partial(frame.tag, Cut(frame.k, len(frame.data)), now)
            self._partials[key] = partial
        own = partial.symbols.setdefault(via, {})
        if via in partial.bad or frame.index in own:
            return None
        own[frame.index] = frame.data
        self._charge(via, len(frame.data) + OVERHEAD)
        partial.touched = now
        self._partials.move_to_end(key)
        message = self._try(partial, via)
        if message is None:
            self._make_room(via)
        return message

    def _charge(self, via: Via, size: int) -> None:
        self.held_bytes += size
        used = self._used.get(via, 0) + size
        if used:
            self._used[via] = used
        else:
            self._used.pop(via, None)

    def _make_room(self, via: Via) -> None:
        while self._used.get(via, 0) > self.per_peer:
            self._leave_out(next(p for p in self._partials.values() if p.symbols.get(via)), via)
            self.dropped += 1
        while self.held_bytes > self.total:
            self._drop(next(iter(self._partials)))
            self.dropped += 1

    def _leave_out(self, partial: _Partial, via: Via) -> None:
        self._charge(via, -partial.cost(via))
        partial.symbols.pop(via, None)
        if not partial.symbols:
            self._partials.pop((partial.tag, partial.cut.k, partial.cut.size), None)

    def _drop(self, key: _Key) -> None:
        partial = self._partials.pop(key)
        for via in list(partial.symbols):
            self._charge(via, -partial.cost(via))

    # Trying

    def _try(self, partial: _Partial, via: Via) -> bytes | None:
        own = partial.symbols[via]
        if len(own) >= partial.cut.k:
            message = _rebuild(own, partial)
            if message is None:
                partial.bad.add(via)
                self._leave_out(partial, via)
            return message
        if len(partial.symbols) < 2 or len(partial.indices()) < partial.cut.k:
            return None
        return next(self._mixtures(partial), None)

    def _mixtures(self, partial: _Partial) -> Iterator[bytes]:
        for without in (None, *partial.symbols):
            if partial.tries >= MAX_TRIES:
                return
            symbols = partial.mixed(without)
            if len(symbols) >= partial.cut.k:
                partial.tries += 1
                message = _rebuild(symbols, partial)
                if message is not None:
                    yield message

    # Knowing again

    def _known(self, frame: Symbol) -> bytes | None:
        cut = Cut(frame.k, len(frame.data))
        for message in self._done_by_tag.get(frame.tag, ()):
            if symbol_of(message, cut, frame.index) == frame.data:
                return message
        return None

    def _forget(self, message: bytes) -> None:
        tag = check_of(message)
        left = [other for other in self._done_by_tag[tag] if other != message]
        if left:
            self._done_by_tag[tag] = left
        else:
            del self._done_by_tag[tag]


def symbol_of(message: bytes, cut: Cut, index: int) -> bytes | None:
    """Return one symbol of a message, or None if it cannot be cut like that."""
    if not 0 <= cut.k * cut.size - len(message) < cut.k:
        return None
    if index < cut.k:
        return message[index * cut.size : (index + 1) * cut.size].ljust(cut.size, b"\0")
    return parity(symbols_of(message, cut), [index])[0]


def _explains(message: bytes, partial: _Partial, via: Via) -> bool:
    """Tell whether all that a peer gave for this partial is of this message."""
    own = partial.symbols[via].items()
    return all(symbol_of(message, partial.cut, index) == data for index, data in own)


def _rebuild(symbols: Mapping[int, bytes], partial: _Partial) -> bytes | None:
    return _message_in(b"".join(recover(symbols, partial.cut.k)), partial.tag, partial.cut.k)


def _message_in(filled: bytes, tag: int, k: int) -> bytes | None:
    """Cut off the zeros that fill the last symbol: the message ends in its tag."""
    ending = tag.to_bytes(4, "big")
    for end in _ends(filled, k):
        if filled[end - 4 : end] == ending and is_message(filled[:end]):
            return filled[:end]
    return None


def _ends(filled: bytes, k: int) -> Iterable[int]:
    for zeros in range(k):
        yield len(filled) - zeros
        if filled[len(filled) - zeros - 1] != 0:
            return
