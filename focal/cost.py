"""What a message costs on a radio: its share of the hour, when it could go, what would be less.

The law of this module: lengths, limits and an hour in, figures out; nothing is opened or sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .core.clocks import Moment
from .core.draft import Price, price_of
from .core.errors import TooLong
from .core.hour import HOUR, Hour
from .core.ledger import Ledger
from .fit import longest, payload_size
from .plugins.choice import best_first
from .results import Air, Saving

if TYPE_CHECKING:
    from .core.codec import CodecSpec
    from .core.link import Limits

COUNTED = 59 * 60.0
"""Seconds that a radio's own count of its hour covers at least: it counts in whole minutes."""

WORTH_CUTTING = 0.5
"""Share of a clip that it is no advice to cut away."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The hour of a radio.

    Args:
        hour: what it has sent.
        now: what the clocks say.
        whole: seconds of air that an hour without other traffic allows.
        left: seconds that this hour allows us, reserve and what others send by it taken off.
    """

    hour: Hour
    now: Moment
    whole: float
    left: float

    @classmethod
    def of(cls, limits: Limits, hour: Hour, now: Moment) -> Budget:
        """Return the hour of a link's radio: what it counts beyond what we sent is others'."""
        whole = HOUR * limits.duty
        others = (limits.used or 0.0) * HOUR - hour.used(now.awake, COUNTED)
        left = whole * (1 - limits.reserve) - max(0.0, others)
        return cls(hour, now, whole, max(0.0, left))

    @classmethod
    def kept(cls, limits: Limits, ledger: Ledger | None, now: Moment) -> Budget:
        """Return the hour that a ledger has for a link's radio. Raises SpoolError."""
        known = ledger is not None and limits.radio is not None
        hour = ledger.hour(limits.radio) if known and ledger and limits.radio else Hour(())
        return cls.of(limits, hour, now)

    def figures(self, airtime: float, confirmed: float | None) -> Air:
        """Return what a burst of so many seconds means for this hour."""
        at = self.hour.earliest(airtime, self.now.awake, self.left)
        return Air(
            airtime=airtime,
            airtime_confirmed=confirmed,
            airtime_share=airtime / self.whole,
            per_hour=int(self.whole / airtime + 1e-9),
            earliest=None if at is None else self.now.unix + at - self.now.awake,
        )


def air_of(prices: Sequence[Price], budget: Budget) -> Air | None:
    """Return what the messages of a series cost together; None where air costs nothing."""
    times = [price.airtime for price in prices if price.airtime is not None]
    if not times:
        return None
    answers = [price.confirmed for price in prices if price.confirmed is not None]
    return budget.figures(sum(times), sum(answers) if len(answers) == len(times) else None)


# What would save a frame --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Note:
    """A message as it is planned.

    Args:
        limits: of the link.
        head: bytes of the message beside its payload.
        to_all: whether it is for everyone.
        parity: the most frames of parity; None: as many as are planned.
    """

    limits: Limits
    head: int
    to_all: bool
    parity: int | None = None

    def price(self, payload: int) -> Price:
        """Return what a payload of so many bytes costs. Raises TooLong."""
        length = self.head + payload
        return price_of(length, self.limits, to_all=self.to_all, parity=self.parity)

    def frames(self, payload: int) -> int | None:
        """Return how many frames a payload makes; None: the link cannot carry it."""
        try:
            return self.price(payload).frames
        except TooLong:
            return None

    def room(self, payload: int) -> int:
        """Return the bytes of the longest payload that makes fewer frames; 0 where none does."""
        frames, low, high = self.frames(payload) or 0, 0, payload
        while low < high:
            middle = (low + high + 1) // 2
            if (self.frames(middle) or frames) < frames:
                low = middle
            else:
                high = middle - 1
        return low


def fewer_bytes(note: Note, payload: int) -> Iterator[Saving]:
    """Yield how many bytes less would save a frame, where not too many."""
    room = note.room(payload)
    if room > payload * WORTH_CUTTING:
        yield Saving(note.frames(room) or 0, bytes=payload - room)


def shorter(note: Note, spec: CodecSpec, seconds: float, payload: int) -> Iterator[Saving]:
    """Yield how much shorter a clip would save a frame, where not much."""
    room = note.room(payload)
    least = longest(spec, lambda size: size <= room, seconds)
    cut = math.ceil(10 * (seconds - least) - 1e-6) / 10
    if 0 < cut <= seconds * WORTH_CUTTING:
        yield Saving(note.frames(room) or 0, seconds=cut)


def other_qualities(
    note: Note, spec: CodecSpec, codecs: Iterable[CodecSpec], seconds: float, frames: int
) -> Iterator[Saving]:
    """Yield the qualities at which a clip makes fewer frames: those here, then one that is not.

    Of those that can be used here the best, and the one with the fewest frames; of those whose
    models are missing the best with the fewest, where that is fewer still.
    """
    counts = {one: note.frames(payload_size(one, seconds)) for one in codecs if _comparable(one)}
    fewer = {one: count for one, count in counts.items() if count and count < frames}
    here = best_first(one for one in fewer if one.why_not() is None)
    elsewhere = [one for one in best_first(fewer) if one not in here]
    least = min((fewer[one] for one in here), default=frames)
    for one in dict.fromkeys([*here[:1], *_first(here, lambda one: fewer[one] == least)]):
        if one is not spec:
            yield Saving(fewer[one], codec=one.name)
    fewest = min((fewer[one] for one in elsewhere), default=least)
    if fewest < least:
        (one,) = _first(elsewhere, lambda one: fewer[one] == fewest)
        yield Saving(fewest, codec=one.name, missing=True)


def _comparable(spec: CodecSpec) -> bool:
    """Tell whether a quality is worth naming: one that only some can decode, if it is here."""
    return spec.wire_id < 224 or spec.why_not() is None


def _first(codecs: Sequence[CodecSpec], wanted: Callable[[CodecSpec], bool]) -> list[CodecSpec]:
    return [one for one in codecs if wanted(one)][:1]
