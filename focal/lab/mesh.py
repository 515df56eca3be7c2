"""All nodes of a scenario, with the air between them and what is done to them. Sans-I/O.

The law of this module: ``now`` comes in, in seconds of the scenario; nothing happens but in
``take``, ``run`` and ``do``. What clients are to be told waits in their nodes' outboxes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import Enum
from functools import partial
from itertools import count

from ..transports.lora.channel import (
    Delivered,
    Gone,
    Happening,
    Missed,
    Refused,
    Relayed,
    Unacknowledged,
)
from .firmware import Ether, Firmware, Reboot
from .happened import Happened
from .outbox import Outbox
from .scenario import Deed, Node, Scenario

BOOT = 5.0
"""Seconds from a reboot until a node is there again."""

REPORTS = 60.0
"""Seconds from one telling of what a node measured to the next."""

LONGEST = 3600.0
"""Seconds that a client may put a reboot off."""


class State(Enum):
    """How a node is."""

    UP = "up"
    SILENT = "silent"  # it hangs: there is power, and it does nothing
    DOWN = "down"  # it starts anew


class Mesh:
    """The nodes of a scenario.

    Args:
        scenario: what there is.
        unix: the wall clock at a time of the scenario.

    Raises:
        SettingsError: the meshtastic library does not know the region or the preset.
    """

    def __init__(self, scenario: Scenario, unix: Callable[[float], float]) -> None:
        self.scenario = scenario
        self._ether = Ether(scenario, unix)
        self._channel = self._ether.channel
        self._firmware = {node.number: Firmware(node, self._ether) for node in scenario.nodes}
        self._states = dict.fromkeys(self._firmware, State.UP)
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        for event in scenario.events:
            self._at(event.at, partial(self._do, event.node, event.does))
        self._at(REPORTS, self._report)

    def outbox(self, number: int) -> Outbox:
        """Return what a node has to tell its client."""
        return self._firmware[number].outbox

    def state(self, number: int) -> State:
        """Return how a node is; one that is not up hears no client."""
        return self._states[number]

    def take(self, number: int, body: bytes, now: float) -> bool:
        """Do what a client says to its node. Returns False where it wants to leave.

        Raises:
            FrameError: it is no message of Meshtastic's.
        """
        wish = self._firmware[number].take(body, now)
        if isinstance(wish, Reboot):
            seconds = min(wish.seconds, LONGEST)
            self._at(now + seconds, partial(self._do, self._node(number).name, "reboot"))
        return wish is None or isinstance(wish, Reboot)

    def do(self, name: str, does: Deed, now: float) -> None:
        """Do something to a node. Raises KeyError: there is none called so."""
        self._do(name, does, now)

    def next_event(self) -> float | None:
        """Return when ``run`` has something to do."""
        times = (self._channel.next_event(), self._timers[0][0] if self._timers else None)
        return min((at for at in times if at is not None), default=None)

    def run(self, now: float) -> list[Happened]:
        """Do all that is due up to now; return what happened since the last time, in order."""
        while (at := self.next_event()) is not None and at <= now:
            if self._timers and self._timers[0][0] == at:
                heapq.heappop(self._timers)[2](at)
            for happening in self._channel.run(at):
                self._happen(happening)
        for firmware in self._up():
            firmware.look_at_queue()
        happened = self._ether.happened[:]
        self._ether.happened.clear()
        return happened

    def _at(self, at: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._timers, (at, next(self._order), act))

    def _node(self, number: int) -> Node:
        return self.scenario.by_number[number]

    def _up(self) -> list[Firmware]:
        states = self._states.items()
        return [self._firmware[number] for number, state in states if state is State.UP]

    def _happen(self, happening: Happening) -> None:
        """Tell what happened on the air, and let the node know whom it concerns."""
        at, number, packet = happening.at, happening.node, happening.packet
        firmware, tell = self._firmware[number], self._ether.tell_of
        match happening:
            case Gone(seconds=seconds):
                tell("on-air", at, number, packet, seconds=seconds)
                firmware.sent(at, seconds)
            case Delivered(snr_db=snr_db):
                tell("delivered", at, number, packet, snr_db=snr_db)
                firmware.hear(happening)
            case Missed(collided=collided):
                tell("collided" if collided else "lost", at, number, packet)
            case Refused():
                tell("evicted", at, number, packet)
            case Relayed():
                tell("relayed", at, number, packet)
                firmware.overheard(packet, at)
            case Unacknowledged():
                tell("gave-up", at, number, packet)
                firmware.gave_up(packet, at)

    def _report(self, now: float) -> None:
        for firmware in self._up():
            firmware.report(now)
        self._at(now + REPORTS, self._report)

    # What is done to nodes

    def _do(self, name: str, does: Deed, now: float) -> None:
        node = self.scenario.by_name[name]
        state = self._states[node.number]
        match does:
            case "reboot" if state is not State.DOWN:
                self._reboot(node, state, now)
            case "silence" if state is State.UP:
                self._leave(node, State.SILENT, "silenced", now)
            case "wake" if state is State.SILENT:
                self._join(node, "woken", now)
            case _:
                pass  # it is so already

    def _reboot(self, node: Node, state: State, now: float) -> None:
        if state is State.UP:
            self._channel.leave(node.number)
        self._states[node.number] = State.DOWN
        self._firmware[node.number].restart(now)
        self._ether.tell("rebooting", now, node.number)
        self._at(now + BOOT, partial(self._join, node, "up"))

    def _leave(self, node: Node, state: State, event: str, now: float) -> None:
        self._channel.leave(node.number)
        self._states[node.number] = state
        self._ether.tell(event, now, node.number)

    def _join(self, node: Node, event: str, now: float) -> None:
        there = [other for other in self.scenario.nodes if self._is_up(other)]
        self.scenario.join(self._channel, node, there)
        self._states[node.number] = State.UP
        self._ether.tell(event, now, node.number)

    def _is_up(self, node: Node) -> bool:
        return self._states[node.number] is State.UP
