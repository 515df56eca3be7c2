"""What fits: how big a message becomes before it is encoded, and which quality a burst allows.

The law of this module: sizes are told from lengths alone; nothing is encoded, opened or sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .core.draft import Price, planned_parity, price_of
from .core.errors import SettingsError, TooLong
from .core.framing.split import cut_for
from .core.message import Kind, Message, MessageId
from .plugins.choice import Choice, best_first

if TYPE_CHECKING:
    from .core.codec import CodecSpec
    from .core.link import Limits

PIECE, SHORTEST_PIECE = 20.0, 15.0
"""Seconds that FocalCodec encodes in one segment at most, and at least where there are more."""

_SEGMENT, _LAST_SEGMENT, _MARK = 3, 1, 4  # bytes, see docs/wire.md
_TOKENS, _LOCAL = range(1, 16), range(224, 256)
_WORD = re.compile(r"(\d+)frames?|(\d+(?:\.\d+)?)s-air")


@dataclass(frozen=True, slots=True)
class Fit:
    """What the burst of a message may take on each link, as ``--fit`` says it.

    Args:
        frames: packets at most; what a message link carries is one.
        airtime: seconds of air at most; what costs none fits.
    """

    frames: int | None = None
    airtime: float | None = None

    @classmethod
    def parse(cls, word: str) -> Fit:
        """Read ``1frame``, ``2frames`` or ``3s-air``. Raises SettingsError."""
        found = _WORD.fullmatch(word)
        if found is None or not float(found[1] or found[2]):
            raise SettingsError(
                f"--fit is a number of frames (1frame, 2frames) or of seconds of air (3s-air), "
                f"not {word!r}"
            )
        return cls(int(found[1])) if found[1] else cls(airtime=float(found[2]))

    def __str__(self) -> str:
        return f"{self.airtime:g} s of air" if self.airtime else in_frames(self.frames or 0)

    def takes(self, price: Price) -> bool:
        """Tell whether a burst of this price is small enough."""
        if self.frames is not None:
            return price.frames <= self.frames
        return price.airtime is None or price.airtime <= (self.airtime or 0.0)

    def parity(self, length: int, limits: Limits, *, to_all: bool) -> int | None:
        """Return how much parity a message of ``length`` bytes may have; None: it does not fit.

        Not more than is planned on this link. Raises TooLong: the link cannot carry it.
        """
        planned = 0
        if limits.kind == "datagram":
            planned = planned_parity(cut_for(length, limits.mtu(None)).k, limits, to_all=to_all)
        for parity in range(planned, -1, -1):
            if self.takes(price_of(length, limits, to_all=to_all, parity=parity)):
                return parity
        return None


def in_frames(count: int) -> str:
    """Return a number of frames in words."""
    return "one frame" if count == 1 else f"{count} frames"


# Sizes --------------------------------------------------------------------------------------------


def payload_size(spec: CodecSpec, seconds: float) -> int:
    """Return the bytes of payload that sound becomes at a quality.

    Exact for the codecs of focal up to 20 s; for longer sound, which FocalCodec cuts where it is
    quiet, a few bytes more than it may become.
    """
    steps = max(1, math.ceil(seconds / spec.step - 1e-6))
    size = math.ceil(round(steps * spec.step * spec.bits_per_second, 3) / 8)
    if spec.wire_id not in _TOKENS and spec.wire_id not in _LOCAL:
        return size
    more = math.ceil(seconds / SHORTEST_PIECE) - 1 if seconds > PIECE else 0
    mark = _MARK if spec.wire_id in _LOCAL else 0
    return mark + _LAST_SEGMENT + more * (_SEGMENT + 1) + size


def message_head(kind: Kind, destination: int | None, sender: str | None) -> int:
    """Return the bytes that a message has beside its payload."""
    codec = 1 if kind is Kind.VOICE else 0
    empty = Message(MessageId(1, 1), kind, b"", codec, destination=destination, sender=sender)
    return len(empty.to_bytes())


def longest(spec: CodecSpec, fits: Callable[[int], bool], most: float) -> float:
    """Return the seconds, at most ``most``, whose payload still fits; 0 where none does.

    Args:
        spec: the quality, in whole steps of which is told.
        fits: whether a payload of so many bytes does; one that is shorter does too.
        most: seconds.
    """
    low, high = 0, max(1, math.ceil(most / spec.step - 1e-6))
    while low < high:
        middle = (low + high + 1) // 2
        if fits(payload_size(spec, middle * spec.step)):
            low = middle
        else:
            high = middle - 1
    return min(most, low * spec.step)


# The best quality that fits -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Space:
    """Where a message is to fit.

    Args:
        fit: what ``--fit`` says.
        links: the limits of every link that it goes to, by their names.
        head: bytes of the message beside its payload.
        to_all: whether it is for everyone.
    """

    fit: Fit
    links: Mapping[str, Limits]
    head: int
    to_all: bool

    def holds(self, payload: int) -> bool:
        """Tell whether a payload of so many bytes fits on every link."""
        return self.parity(payload) is not None

    def parity(self, payload: int) -> int | None:
        """Return how much parity it may have on every link; None: it does not fit."""
        length = self.head + payload
        try:
            allowed = [
                self.fit.parity(length, limits, to_all=self.to_all)
                for limits in self.links.values()
            ]
        except TooLong:
            return None
        known = [one for one in allowed if one is not None]
        return min(known, default=0) if len(known) == len(allowed) else None

    def takes(self, spec: CodecSpec) -> bool:
        """Tell whether every link takes messages of a quality."""
        return all(
            limits.codecs is None or spec.wire_id in limits.codecs for limits in self.links.values()
        )


def choose_to_fit(space: Space, codecs: Iterable[CodecSpec], seconds: float) -> Choice:
    """Return the best quality that can be used here and of which a clip fits.

    Args:
        space: where it is to fit.
        codecs: all that there are.
        seconds: how long the clip is.

    Raises:
        TooLong: none does; says how long a clip that fits may be.
    """
    taken = [spec for spec in codecs if space.takes(spec)]
    for spec in best_first(spec for spec in taken if spec.why_not() is None):
        if space.holds(payload_size(spec, seconds)):
            return Choice(spec, f"the best quality of which {seconds:.1f} s fit {space.fit}")
    raise refused(space, taken, seconds)


def refused(space: Space, codecs: Sequence[CodecSpec], seconds: float) -> TooLong:
    """Return what to say of a clip that fits at none of these qualities: how long one may be."""
    return TooLong(f"{seconds:.1f} s do not fit {space.fit}: {_what_fits(space, codecs, seconds)}")


def _what_fits(space: Space, codecs: Sequence[CodecSpec], seconds: float) -> str:
    usable = [spec for spec in codecs if spec.why_not() is None]
    said = _most(space, usable, seconds)
    lacking = [spec for spec in codecs if spec not in usable and spec.wire_id in _TOKENS]
    more = [spec for spec in lacking if space.holds(payload_size(spec, seconds))]
    if more:
        said += f"; {best_first(more)[0].name} fits, whose models are not here"
    return said


def _most(space: Space, usable: Sequence[CodecSpec], seconds: float) -> str:
    """Say how much fits at the quality at which most does."""
    lengths = {spec.name: longest(spec, space.holds, seconds) for spec in usable}
    name = max(lengths, key=lengths.__getitem__, default="")
    if not name or not lengths[name]:
        return f"nothing fits {space.fit} here"
    return f"at most {math.floor(10 * lengths[name] + 1e-6) / 10:.1f} s at {name} fit {space.fit}"
