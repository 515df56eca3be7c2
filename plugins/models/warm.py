"""Things that are dear to load, kept warm: one of a kind, shared by threads, dropped when idle.

The law of this module: each thing is loaded once for all who want it, never under the lock that
others wait for; what is in use is never dropped; and when nobody holds, nothing is left, neither
a thing nor a timer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Later(Protocol):
    """Calls a function once, so many seconds from now, in some thread; gives what cancels it."""

    def __call__(self, seconds: float, call: Callable[[], None], /) -> Callable[[], None]: ...


def timer(seconds: float, call: Callable[[], None], /) -> Callable[[], None]:
    """Call a function later, in a thread that does not keep the program from ending."""
    thread = threading.Timer(min(seconds, threading.TIMEOUT_MAX), call)
    thread.daemon = True
    thread.start()
    return thread.cancel


@dataclass(slots=True, eq=False)
class _Place(Generic[T]):
    """Where a thing is, or will be.

    Args:
        state: that it was loaded in.
        loading: held by who loads it.
        thing: None: not loaded yet.
        users: how many use it now, or wait for it.
        uses: how many there have been; a timer set after one use does nothing after the next.
        cancel: stops the timer.
    """

    state: object
    loading: threading.Lock = field(default_factory=threading.Lock)
    thing: T | None = None
    users: int = 0
    uses: int = 0
    cancel: Callable[[], None] | None = None

    def stop_timer(self) -> None:
        if self.cancel is not None:
            self.cancel()
            self.cancel = None


class Warm(Generic[T]):
    """Things by their keys. Usable from any thread.

    Args:
        idle: seconds after its last use that a thing is dropped; 0: never while somebody holds.
        later: for tests.
    """

    def __init__(self, idle: float, *, later: Later = timer) -> None:
        self._idle = idle
        self._later = later
        self._lock = threading.Lock()
        self._held = 0
        self._places: dict[Hashable, _Place[T]] = {}

    @contextmanager
    def hold(self) -> Generator[None]:
        """Keep things for the time of the context; the last one out drops them all."""
        with self._lock:
            self._held += 1
        try:
            yield
        finally:
            self._let_go()

    @contextmanager
    def use(self, key: Hashable, state: object, load: Callable[[], T]) -> Generator[T]:
        """Use a thing; it is loaded if nobody has, and stays for the time of the context.

        Args:
            key: things of one key are the same,
            state: as long as this is, too; one of another state goes when its users are done.
            load: may raise; whoever waited for it then tries for himself.

        Raises:
            RuntimeError: nobody holds.
        """
        place = self._enter(key, state)
        try:
            with place.loading:
                if place.thing is None:
                    place.thing = load()
                thing = place.thing
            yield thing
        finally:
            self._leave(key, place)

    def _let_go(self) -> None:
        gone: dict[Hashable, _Place[T]] = {}
        with self._lock:
            self._held -= 1
            if not self._held:
                gone, self._places = self._places, gone
            for place in gone.values():
                place.stop_timer()
        # What was loaded is freed here, when the lock is free again: it may take a while.

    def _enter(self, key: Hashable, state: object) -> _Place[T]:
        with self._lock:
            if not self._held:
                raise RuntimeError("used while nobody holds it: enter hold() first")
            place = self._places.get(key)
            if place is not None:
                place.stop_timer()
            if place is None or place.state != state:
                place = self._places[key] = _Place(state)
            place.users += 1
            place.uses += 1
            return place

    def _leave(self, key: Hashable, place: _Place[T]) -> None:
        with self._lock:
            place.users -= 1
            if place.users or self._places.get(key) is not place:
                return
            if place.thing is None:
                del self._places[key]
            elif self._idle:
                uses = place.uses
                place.cancel = self._later(self._idle, lambda: self._drop(key, place, uses))

    def _drop(self, key: Hashable, place: _Place[T], uses: int) -> None:
        with self._lock:
            # The timer may have gone off just before the next use could cancel it.
            if self._places.get(key) is place and not place.users and place.uses == uses:
                del self._places[key]
                place.cancel = None
        # Freed here, as above: ``place`` is the last that knows it.
