"""What was overheard of messages that wait to be passed on. Sans-I/O.

The law of this module: it counts frames; what follows from them, a bridge decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from .frame import Symbol, Whole

MAX_OVERHEARD = 256
"""Messages of which frames are counted; the one heard longest ago is forgotten first."""


class Overheard(Enum):
    """How much of a message somebody else has sent lately."""

    NOTHING = 0
    SOME = 1
    ALL = 2


@dataclass(slots=True)
class _Frames:
    k: int
    last: float
    indices: set[int] = field(default_factory=set[int])


class Overhearing:
    """Frames that others send on one link, counted by the message's tag."""

    def __init__(self) -> None:
        self._frames: dict[int, _Frames] = {}

    def heard(self, frame: Whole | Symbol, now: float) -> None:
        """Count a frame."""
        index, k = (frame.index, frame.k) if isinstance(frame, Symbol) else (0, 1)
        frames = self._frames.pop(frame.tag, None) or _Frames(k, now)
        if k != frames.k:  # cut otherwise, its symbols do not add up with those
            frames = _Frames(k, now)
        frames.last = now
        frames.indices.add(index)
        self._frames[frame.tag] = frames
        if len(self._frames) > MAX_OVERHEARD:
            del self._frames[next(iter(self._frames))]

    def of(self, tag: int, now: float, within: float) -> Overheard:
        """Return how much was heard of a message: all of it ever, or some in the last seconds."""
        frames = self._frames.get(tag)
        if frames is None:
            return Overheard.NOTHING
        if len(frames.indices) >= frames.k:
            return Overheard.ALL
        return Overheard.SOME if now < frames.last + within else Overheard.NOTHING
