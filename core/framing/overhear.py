"""What was overheard of messages that wait to be passed on. Sans-I/O.

The law of this module: only frames that the message itself would give count, so that nobody keeps
a message back by sending something else under its tag. What follows from them, a bridge decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from zlib import crc32

from ..message import check_of
from .assemble import symbol_of
from .frame import Symbol, Whole
from .split import Cut

MAX_OVERHEARD = 256
"""Messages of which frames are counted; the one heard longest ago is forgotten first."""


class Overheard(Enum):
    """How much of a message somebody else has sent lately."""

    NOTHING = 0
    SOME = 1
    ALL = 2


@dataclass(slots=True)
class _Frames:
    """Of each index the sum of what was heard last, and when."""

    cut: Cut
    heard: dict[int, tuple[int, float]] = field(default_factory=dict[int, tuple[int, float]])


class Overhearing:
    """Frames that others send on one link, by the message's tag."""

    def __init__(self) -> None:
        self._frames: dict[int, _Frames] = {}

    def heard(self, frame: Whole | Symbol, now: float) -> None:
        """Count a frame."""
        index, k, data = (
            (frame.index, frame.k, frame.data)
            if isinstance(frame, Symbol)
            else (0, 1, frame.message)
        )
        cut = Cut(k, len(data))
        frames = self._frames.pop(frame.tag, None)
        if frames is None or frames.cut != cut:  # cut otherwise, they do not add up with those
            frames = _Frames(cut)
        frames.heard[index] = crc32(data), now
        self._frames[frame.tag] = frames
        if len(self._frames) > MAX_OVERHEARD:
            del self._frames[next(iter(self._frames))]

    def of(self, message: bytes, now: float, within: float) -> Overheard:
        """Return how much was heard of a message: all of it ever, or some in the last seconds."""
        frames = self._frames.get(check_of(message))
        if frames is None:
            return Overheard.NOTHING
        times = [
            at
            for index, (sum, at) in frames.heard.items()
            if (symbol := symbol_of(message, frames.cut, index)) and crc32(symbol) == sum
        ]
        if len(times) >= frames.cut.k:
            return Overheard.ALL
        return Overheard.SOME if any(now < at + within for at in times) else Overheard.NOTHING
