"""From frames to messages: symbols of any links in, whole messages out.

The law of this module: what is held is bounded, per peer and in all, and no peer's frames can
spoil what another peer's frames make. Sans-I/O.

Symbols combine only within one (tag, k, size). What one peer gave of one such partial is its
*share*. A share with k symbols is tried by itself and then let go, so whatever others say, a
message of which one peer brings k symbols becomes whole. Shares of several peers are tried
together too: each set of peers once, when it first has k different symbols. So a wrong symbol
spoils the sets that its peer is in, and no others; who was wrong alone is tried with nobody again.

Each share takes part in at most ``MAX_TRIES`` trials, and a trial takes shares of k symbols or
more: so n frames cause at most n (MAX_TRIES + 1) / k of them, whoever sends what.

A tag is a CRC-32, which anybody can forge: two messages may have the same one, and share symbols.
So symbols that fit a message which is whole already are kept like others (an *echo*), until they
say something else or are let go.

What is held is counted with the memory that it really takes. When all of it is too much, the peer
that holds most loses its oldest share, if that peer holds more than the longest message needs;
if nobody does, the oldest share of all goes. So a few who flood (here up to 190) push out only each
other's, and more need to send ``total`` between two frames of somebody else's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import combinations

from ..link import Address
from ..message import MIN_MESSAGE, check_of, destination_of, is_message
from .fec import parity, recover
from .frame import MAX_K, Symbol, Whole
from .split import MAX_DATAGRAM, SYMBOL_SIZE, Cut, symbols_of

OVERHEAD = 128
"""Bytes that a held symbol is counted as, beyond its own."""

SHARE = 1024
"""Bytes that a peer's part in a partial is counted as, beyond its symbols."""

MODEST = MAX_K * (SYMBOL_SIZE + OVERHEAD) + SHARE
"""Bytes that the longest message is counted as; who holds no more is not pushed out by others
that do."""

MAX_MIXED = 8
"""Peers whose symbols are tried together; of more, those who gave most."""

MAX_TRIES = 8
"""Trials with others that a share takes part in: enough for all sets of four peers."""

MAX_SPEAKERS = 64
"""Peers of one partial up to which any are tried together; beyond, each only by itself."""

MAX_SAME_TAG = 4
"""Messages with the same tag that are remembered."""


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


class _Partial:
    """A message that is not whole yet: what each peer gave of it."""

    __slots__ = ("cut", "doubtful", "shares", "tag")

    def __init__(self, tag: int, cut: Cut) -> None:
        self.tag = tag
        self.cut = cut
        self.shares: dict[_Peer, _Share] = {}
        self.doubtful = False

    @property
    def mask(self) -> int:
        return _union(self.shares.values())

    @property
    def open(self) -> bool:
        """Whether it is more than an echo of what is whole."""
        return any(share.fresh for share in self.shares.values())


class _Share:
    """What one peer gave of one partial. Bit i of ``mask`` says that it holds symbol i."""

    __slots__ = ("fresh", "liar", "mask", "partial", "peer", "symbols", "touched", "tries")

    def __init__(self, partial: _Partial, peer: _Peer) -> None:
        self.partial = partial
        self.peer = peer
        self.symbols: dict[int, bytes] = {}
        self.mask = 0
        self.fresh = False
        self.liar = False
        self.tries = 0
        self.touched = 0.0

    @property
    def cost(self) -> int:
        return SHARE + len(self.symbols) * (self.partial.cut.size + OVERHEAD)


class _Peer:
    """What one peer holds here in all; its oldest share first."""

    __slots__ = ("shares", "used", "via")

    def __init__(self, via: Via) -> None:
        self.via = via
        self.used = 0
        self.shares: OrderedDict[_Share, None] = OrderedDict()


class Assembler:
    """Puts messages together. One for all links of a node.

    Args:
        per_peer: bytes held for one peer's symbols; beyond, it loses its oldest share.
        total: bytes held in all; beyond, who holds most loses its oldest share.
        patience: seconds after which a share that gets nothing new is forgotten.
        remembered: messages kept after they were whole, to know their frames again.
    """

    def __init__(
        self,
        *,
        per_peer: int = 2 * 1024 * 1024,
        total: int = 16 * 1024 * 1024,
        patience: float = 3600.0,
        remembered: int = 64,
    ) -> None:
        self.per_peer = per_peer
        self.total = total
        self.patience = patience
        self.remembered = remembered
        self.held_bytes = 0
        self.dropped = 0
        self._partials: dict[int, dict[Cut, _Partial]] = {}
        self._shares: OrderedDict[_Share, None] = OrderedDict()
        self._peers: dict[Via, _Peer] = {}
        self._heavy: dict[_Peer, None] = {}
        self._done: OrderedDict[bytes, None] = OrderedDict()
        self._done_by_tag: dict[int, list[bytes]] = {}

    def feed(self, frame: Whole | Symbol, via: Via, now: float) -> Complete | None:
        """Take a frame; return the message that is whole now, if one is."""
        self.expire(now)
        if isinstance(frame, Whole):
            return self._complete(frame.message, via, frame.hops)
        known = self._known(frame)
        message = self._add(frame, via, now, fresh=known is None)
        if message is not None and message != known:
            return self._complete(message, via, frame.hops)
        return Complete(known, via, frame.hops, again=True) if known is not None else None

    def _complete(self, message: bytes, via: Via, hops: int) -> Complete:
        again = message in self._done
        self.finish(message)
        return Complete(message, via, hops, again)

    def finish(self, message: bytes) -> None:
        """A message is whole, from wherever: end its partials and remember it for a while."""
        if message in self._done:
            self._done.move_to_end(message)
            return
        tag = check_of(message)
        for partial in self._partials.get(tag, {}).values():
            for share in partial.shares.values():
                share.fresh = share.fresh and not _explains(message, share)
        self._done[message] = None
        same = self._done_by_tag.setdefault(tag, [])
        same.append(message)
        if len(same) > MAX_SAME_TAG:
            self._forget(same[0])
        elif len(self._done) > self.remembered:
            self._forget(next(iter(self._done)))

    def whole(self, tag: int) -> bytes | None:
        """Return a remembered message with this tag."""
        messages = self._done_by_tag.get(tag)
        return messages[-1] if messages else None

    def held(self, tag: int, via: Via | None = None) -> Held | None:
        """Return what there is of a message.

        Args:
            tag: its check.
            via: a peer: what there is of the message that this peer speaks of. Without it, or if
                the peer gave nothing, the fullest partial with this tag.
        """
        share = self._newest(tag, via) if via else None
        if share is not None:
            return _held(share.partial, share)
        found = [p for p in self._partials.get(tag, {}).values() if p.open]
        return _held(max(found, key=lambda p: p.mask.bit_count())) if found else None

    def held_by(self, via: Via) -> int:
        """Return how many bytes are held for one peer; at most ``per_peer``."""
        peer = self._peers.get(via)
        return peer.used if peer else 0

    def expire(self, now: float) -> list[int]:
        """Forget shares that nothing came for; return the tags of the messages given up."""
        tags: list[int] = []
        while (at := self.next_deadline()) is not None and at <= now:
            share = next(iter(self._shares))
            self._leave_out(share)
            if share.fresh and not share.partial.open:
                tags.append(share.partial.tag)
        return tags

    def next_deadline(self) -> float | None:
        """Return when ``expire`` has something to do."""
        first = next(iter(self._shares), None)
        return first.touched + self.patience if first else None

    # Holding

    def _add(self, frame: Symbol, via: Via, now: float, *, fresh: bool) -> bytes | None:
        cut = Cut(frame.k, len(frame.data))
        if not _possible(cut):
            return None
        share = self._share(frame.tag, cut, via)
        if frame.index in share.symbols:
            return None
        share.symbols[frame.index] = frame.data
        share.mask |= 1 << frame.index
        share.fresh = share.fresh or fresh
        share.touched = now
        self._shares.move_to_end(share)
        share.peer.shares.move_to_end(share)
        self._charge(share.peer, cut.size + OVERHEAD)
        message = self._try(share, frame.index)
        self._make_room(share.peer)
        return message

    def _share(self, tag: int, cut: Cut, via: Via) -> _Share:
        """Return a peer's share in a partial; a new one is empty."""
        partial = self._partials.get(tag, {}).get(cut)
        if partial is None:
            partial = self._partials.setdefault(tag, {})[cut] = _Partial(tag, cut)
        peer = self._peers.get(via)
        if peer is None:
            peer = self._peers[via] = _Peer(via)
        share = partial.shares.get(peer)
        if share is None:
            share = partial.shares[peer] = _Share(partial, peer)
            self._shares[share] = peer.shares[share] = None
            self._charge(peer, SHARE)
        return share

    def _newest(self, tag: int, via: Via) -> _Share | None:
        peer = self._peers.get(via)
        shares = reversed(peer.shares) if peer else ()
        return next((s for s in shares if s.partial.tag == tag and s.fresh), None)

    def _charge(self, peer: _Peer, size: int) -> None:
        peer.used += size
        self.held_bytes += size
        if peer.used > MODEST:
            self._heavy[peer] = None
        else:
            self._heavy.pop(peer, None)

    def _make_room(self, peer: _Peer) -> None:
        while peer.used > self.per_peer:
            self._leave_out(next(iter(peer.shares)))
            self.dropped += 1
        while self.held_bytes > self.total:
            heaviest = max(self._heavy, key=lambda peer: peer.used, default=None)
            self._leave_out(next(iter(heaviest.shares if heaviest else self._shares)))
            self.dropped += 1

    def _leave_out(self, share: _Share) -> None:
        partial, peer = share.partial, share.peer
        self._charge(peer, -share.cost)
        del partial.shares[peer], peer.shares[share], self._shares[share]
        if not peer.shares:
            del self._peers[peer.via]
        if not partial.shares:
            del self._partials[partial.tag][partial.cut]
            if not self._partials[partial.tag]:
                del self._partials[partial.tag]

    # Trying

    def _try(self, share: _Share, index: int) -> bytes | None:
        partial = share.partial
        if len(share.symbols) == partial.cut.k:
            return self._try_alone(share)
        for symbols in _mixtures(share, index):
            message = _rebuild(symbols, partial)
            if message is not None:
                return message
            partial.doubtful = True
        return None

    def _try_alone(self, share: _Share) -> bytes | None:
        message = _rebuild(share.symbols, share.partial)
        if message is not None or len(share.partial.shares) == 1:
            self._leave_out(share)
        else:
            self._begin_anew(share)
        return message

    def _begin_anew(self, share: _Share) -> None:
        empty = _Share(share.partial, share.peer)
        self._charge(share.peer, empty.cost - share.cost)
        share.symbols, share.mask, share.fresh, share.liar = {}, 0, False, True

    # Knowing again

    def _known(self, frame: Symbol) -> bytes | None:
        cut = Cut(frame.k, len(frame.data))
        for message in self._done_by_tag.get(frame.tag, ()):
            if symbol_of(message, cut, frame.index) == frame.data:
                return message
        return None

    def _forget(self, message: bytes) -> None:
        tag = check_of(message)
        del self._done[message]
        self._done_by_tag[tag].remove(message)
        if not self._done_by_tag[tag]:
            del self._done_by_tag[tag]


def symbol_of(message: bytes, cut: Cut, index: int) -> bytes | None:
    """Return one symbol of a message, or None if it cannot be cut like that."""
    if not 0 <= cut.k * cut.size - len(message) < cut.k:
        return None
    if index < cut.k:
        return message[index * cut.size : (index + 1) * cut.size].ljust(cut.size, b"\0")
    return parity(symbols_of(message, cut), [index])[0]


def _possible(cut: Cut) -> bool:
    """Tell whether any message can be cut like that."""
    filled = cut.k * cut.size
    return filled >= MIN_MESSAGE and filled - cut.k < MAX_DATAGRAM


def _union(shares: Iterable[_Share]) -> int:
    mask = 0
    for share in shares:
        mask |= share.mask
    return mask


def _mixtures(share: _Share, index: int) -> Iterator[dict[int, bytes]]:
    """Yield the symbols of each set of peers that symbol ``index`` of this share made enough."""
    for chosen in _companies(share):
        group, before = (*chosen, share), _union(chosen)
        enough = (before | share.mask).bit_count() == share.partial.cut.k
        if enough and not before >> index & 1 and all(peer.tries < MAX_TRIES for peer in group):
            for peer in group:
                peer.tries += 1
            yield {i: data for peer in group for i, data in peer.symbols.items()}


def _companies(share: _Share) -> Iterator[tuple[_Share, ...]]:
    """Yield the sets of other peers with which a share can be tried."""
    shares = share.partial.shares.values()
    if share.liar or not 1 < len(shares) <= MAX_SPEAKERS:
        return
    if _union(shares).bit_count() < share.partial.cut.k:
        return
    free = [s for s in shares if s is not share and not s.liar and s.tries < MAX_TRIES]
    most = nlargest(MAX_MIXED - 1, free, key=lambda other: len(other.symbols))
    for number in range(1, len(most) + 1):
        yield from combinations(most, number)


def _held(partial: _Partial, own: _Share | None = None) -> Held:
    """Say what there is; of a partial where somebody lies, only what the peer itself gave."""
    if own is not None and partial.doubtful:
        shares = [own]
    else:
        shares = [own, *partial.shares.values()] if own else [*partial.shares.values()]
    mask = _union(shares)
    first = next((share.symbols[0] for share in shares if share.mask & 1), b"")
    known, destination = destination_of(first)
    highest = max(0, mask.bit_length() - 1)
    return Held(partial.cut.k, mask.bit_count(), highest, known, destination)


def _explains(message: bytes, share: _Share) -> bool:
    """Tell whether the symbols of data that a peer gave are all of this message."""
    cut = share.partial.cut
    if symbol_of(message, cut, 0) is None:
        return False
    own = share.symbols.items()
    return all(symbol_of(message, cut, i) == data for i, data in own if i < cut.k)


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
