"""Bad weather between two UDP ports: datagrams are lost, doubled and overtaken, by seed.

The law of this module: it never looks into what it carries.
"""

from __future__ import annotations

import heapq
import random
import selectors
import socket
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to datagrams: probabilities, and the seconds that a late one is late at most."""

    loss: float = 0.15
    double: float = 0.1
    late: float = 0.2
    by: float = 0.1


@contextmanager
def weather(
    a: int, b: int, seed: int, conditions: Weather | None = None
) -> Generator[tuple[int, int]]:
    """Join the ports a and b for the time of the context; give the ports that they send to."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
            each.setblocking(False)
        relay = _Relay((a, b), sockets, random.Random(seed), conditions or Weather())
        thread = threading.Thread(target=relay.run)
        thread.start()
        try:
            yield sockets[0].getsockname()[1], sockets[1].getsockname()[1]
        finally:
            relay.ended.set()
            thread.join()


class _Relay:
    """Carries what comes to the first socket from a out of the second one to b, and back."""

    def __init__(
        self,
        ports: tuple[int, int],
        sockets: list[socket.socket],
        chance: random.Random,
        conditions: Weather,
    ) -> None:
        self.ended = threading.Event()
        self._ports = ports
        self._sockets = sockets
        self._chance = chance
        self._weather = conditions
        self._late: list[tuple[float, int, int, bytes]] = []
        self._order = count()

    def run(self) -> None:
        """Relay until the end."""
        with selectors.DefaultSelector() as selector:
            for side, each in enumerate(self._sockets):
                selector.register(each, selectors.EVENT_READ, 1 - side)
            while not self.ended.is_set():
                for key, _ in selector.select(0.01):
                    to: int = key.data
                    self._take(self._sockets[1 - to], to)
                self._pass_on(time.monotonic())

    def _take(self, came: socket.socket, to: int) -> None:
        try:
            data = came.recv(65_536)
        except OSError:  # nobody listens over there: as lost as the rest
            return
        if self._chance.random() < self._weather.loss:
            return
        for _ in range(2 if self._chance.random() < self._weather.double else 1):
            late = self._chance.random() < self._weather.late
            wait = self._chance.uniform(0, self._weather.by) if late else 0.0
            heapq.heappush(self._late, (time.monotonic() + wait, next(self._order), to, data))

    def _pass_on(self, now: float) -> None:
        while self._late and self._late[0][0] <= now:
            _, _, to, data = heapq.heappop(self._late)
            try:
                self._sockets[to].sendto(data, ("127.0.0.1", self._ports[to]))
            except OSError:
                continue
