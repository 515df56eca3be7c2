"""What a conversation is going to do: frames that wait to be sent, and when it looks again.

The law of this module: an agenda decides nothing. Control frames go first, and answers are
bounded; of each kind of alarm a message has at most one. Sans-I/O.
"""

from __future__ import annotations

import heapq
import math
from enum import Enum
from itertools import count
from typing import TypeAlias

from ..link import Address
from .effects import Effect, Out
from .frame import Frame, pack

MAX_CONTROLS = 64
"""Answers and questions that wait to be sent; what comes on top is not said."""


class What(Enum):
    """Why a message is looked at again."""

    SILENCE = "nobody has answered us"
    ASK = "something is missing"
    CONFIRM = "we have it"
    LEND = "somebody else lacks what we have"


Alarm: TypeAlias = tuple[What, int]
"""The reason, and the message's tag."""


class Agenda:
    """Frames, alarms and effects of one conversation."""

    def __init__(self) -> None:
        self._frames: list[tuple[bool, int, Out]] = []
        self._controls = 0
        self._order = count()
        self._alarms: dict[Alarm, float] = {}
        self._heap: list[tuple[float, int, Alarm]] = []
        self._effects: list[Effect] = []

    # Frames

    def send(self, out: Out) -> None:
        """Let a frame of a message of ours go out."""
        heapq.heappush(self._frames, (not out.control, next(self._order), out))

    def say(self, frame: Frame, to: Address | None, tag: int) -> None:
        """Let an answer or a question go out, if not too many wait already."""
        if self._controls >= MAX_CONTROLS:
            return  # somebody floods us; who needs an answer asks again
        self._controls += 1
        self.send(Out(pack(frame), to, tag, control=True, flight=False))

    def lend(self, data: bytes, tag: int) -> None:
        """Let a symbol of somebody else's message go out; it is bounded as answers are."""
        if self._controls < MAX_CONTROLS:
            self._controls += 1
            self.send(Out(data, None, tag, control=False, flight=False))

    def take(self) -> Out | None:
        """Return the frame that goes out next."""
        if not self._frames:
            return None
        _, _, out = heapq.heappop(self._frames)
        self._controls -= not out.flight
        return out

    # Effects

    def tell(self, effect: Effect) -> None:
        """Something came about that no frame brought."""
        self._effects.append(effect)

    def effects(self) -> list[Effect]:
        """Return, once, what was told."""
        effects, self._effects = self._effects, []
        return effects

    # Alarms

    def set(self, what: What, tag: int, at: float) -> None:
        """Look at a message again at this time, and not when it was said before."""
        self._alarms[what, tag] = at
        heapq.heappush(self._heap, (at, next(self._order), (what, tag)))

    def cancel(self, what: What, tag: int) -> None:
        """Do not look again. Again: nothing happens."""
        self._alarms.pop((what, tag), None)

    def at(self, what: What, tag: int) -> float | None:
        """Return when a message is looked at again for this reason."""
        return self._alarms.get((what, tag))

    def due(self, now: float) -> Alarm | None:
        """Return an alarm whose time has come, once."""
        at = self._next()
        if at is None or at > now:
            return None
        alarm = heapq.heappop(self._heap)[2]
        del self._alarms[alarm]
        return alarm

    @property
    def owes(self) -> bool:
        """Whether something is still to be said: a frame that waits, or a confirm."""
        return bool(self._frames) or any(what is What.CONFIRM for what, _ in self._alarms)

    def next_deadline(self) -> float | None:
        """Return when there is something to do; minus infinity means now."""
        return -math.inf if self._frames or self._effects else self._next()

    def _next(self) -> float | None:
        while self._heap and self._alarms.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # it was moved or cancelled
        return self._heap[0][0] if self._heap else None
