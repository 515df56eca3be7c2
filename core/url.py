"""What links are written like: the options and the address of a link's URL.

The law of this module: what is written wrong is a ValueError that names it, says what is expected
and, for a name that nobody knows, which known one is nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl

D = TypeVar("D")
N = TypeVar("N", int, float)

_YES = frozenset({"1", "yes", "true", "on"})
_NO = frozenset({"0", "no", "false", "off"})


class Options:
    """The query of a link's URL; each getter reads one option, or gives the default.

    Args:
        url: the link's URL.
        known: the names of all options that this kind of link has.

    Raises:
        ValueError: an unknown option, one given twice, or one without a value.
    """

    def __init__(self, url: SplitResult, *known: str) -> None:
        self._given: dict[str, str] = {}
        for name, value in parse_qsl(url.query, keep_blank_values=True, max_num_fields=64):
            if name not in known:
                raise ValueError(f"unknown option {name!r}{_suggest(name, known)}")
            if name in self._given:
                raise ValueError(f"option {name!r} is given twice")
            if not value:
                raise ValueError(f"option {name!r} needs a value: {name}=...")
            self._given[name] = value

    def __bool__(self) -> bool:
        """Whether any option is given."""
        return bool(self._given)

    def text(self, name: str, default: D, *, choices: tuple[str, ...] = ()) -> str | D:
        """Return an option's text, one of ``choices`` where there are any."""
        value = self._given.get(name)
        if value is None:
            return default
        if choices and value not in choices:
            raise ValueError(f"option {name}={value}: expected {_either(choices)}")
        return value

    def integer(
        self, name: str, default: D, *, least: int | None = None, most: int | None = None
    ) -> int | D:
        """Return an option's whole number, at least ``least`` and at most ``most``."""
        value = self._given.get(name)
        return (
            default if value is None else _number(int, "a whole number", name, value, least, most)
        )

    def number(
        self, name: str, default: D, *, least: float | None = None, most: float | None = None
    ) -> float | D:
        """Return an option's number, at least ``least`` and at most ``most``."""
        value = self._given.get(name)
        return default if value is None else _number(float, "a number", name, value, least, most)

    def flag(self, name: str, default: D) -> bool | D:
        """Return an option that is on or off: 1 or 0, yes or no, true or false, on or off."""
        value = self._given.get(name)
        if value is None:
            return default
        if value.lower() not in _YES | _NO:
            raise ValueError(f"option {name}={value}: expected 1 or 0")
        return value.lower() in _YES


def authority(url: SplitResult, default_port: int | None = None) -> tuple[str, int]:
    """Return host (lower case, IPv6 without brackets) and port of a URL.

    Raises:
        ValueError: the host is missing, or the port is missing, 0, or no port.
    """
    if not url.hostname:
        raise ValueError("the host is missing")
    try:
        port = url.port
    except ValueError as error:
        raise ValueError("the port is no number from 1 to 65535") from error
    if port is None:
        port = default_port
    if not port:
        raise ValueError("the port is missing: 1 to 65535")
    return url.hostname, port


@contextmanager
def written(how: str) -> Generator[None]:
    """Add to any ValueError inside how such a link is written (``udp://HOST:PORT``)."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}; such a link is written {how}") from error


def _number(
    kind: Callable[[str], N], what: str, name: str, text: str, least: N | None, most: N | None
) -> N:
    try:
        value = kind(text)
        fits = (least is None or value >= least) and (most is None or value <= most)
        if fits and value - value == 0:  # neither NaN nor infinite
            return value
    except ValueError:
        fits = False
    raise ValueError(f"option {name}={text}: expected {what}{_span(least, most)}") from None


def _span(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f", {most} at most"
    return f", {least} at least" if most is None else f" from {least} to {most}"


def _suggest(name: str, known: tuple[str, ...]) -> str:
    if not known:
        return ": this kind of link has none"
    near = get_close_matches(name, known, n=1)
    return f": did you mean {near[0]!r}?" if near else f": there are {', '.join(sorted(known))}"


def _either(choices: tuple[str, ...]) -> str:
    return " or ".join(choices)
