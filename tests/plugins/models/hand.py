"""Timers that a test sets off by hand."""

from __future__ import annotations

from collections.abc import Callable


class Hand:
    """A ``Later`` whose time passes when ``ring`` is called."""

    def __init__(self) -> None:
        self._set: dict[object, tuple[float, Callable[[], None]]] = {}

    def __call__(self, seconds: float, call: Callable[[], None], /) -> Callable[[], None]:
        timer = object()
        self._set[timer] = seconds, call

        def cancel() -> None:
            self._set.pop(timer, None)

        return cancel

    @property
    def waiting(self) -> list[float]:
        """The seconds of each timer that is set."""
        return [seconds for seconds, _ in self._set.values()]

    @property
    def calls(self) -> list[Callable[[], None]]:
        """What the timers would call, as if they had gone off before they could be cancelled."""
        return [call for _, call in self._set.values()]

    def ring(self) -> None:
        """Set off every timer."""
        rung, self._set = self._set, {}
        for _, call in rung.values():
            call()
