"""The kinds of thing that plugins add: how each is asked for, and what tells two of them apart.

The law of this module: whatever differs between a transport, a codec, a source and a sink when it
is looked up stands in one ``Shelf``; the manager treats them all alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..core.codec import CodecSpec
from ..core.link import TransportSpec
from ..core.ports import SinkSpec, SourceSpec
from .hookspecs import Command

Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True)
class Shelf(Generic[Spec]):
    """One kind of thing that plugins add.

    Args:
        kind: the plugins that add it, as in ``kind.name``.
        hook: what they are asked.
        spec: the class of what they answer with.
        word: what users call it.
        name: gives what it is asked for by.
        marks: gives what no two may share; the first is the name, with its word.
        fields: what the parts of such an answer have to be.
    """

    kind: str
    hook: str
    spec: type[Any]
    word: str
    name: Callable[[Spec], str]
    marks: Callable[[Spec], tuple[str, ...]]
    fields: Mapping[str, Callable[[object], bool]]

    def fault(self, offer: object) -> str | None:
        """Say why an answer is none of these; None if it is one."""
        if not isinstance(offer, self.spec):
            return f"{_a(type(offer))} is no {self.spec.__name__}"
        for name, sound in self.fields.items():
            value: object = getattr(offer, name)
            if not sound(value):
                return f"the {name} of its {self.spec.__name__} is {value!r}"
        return None


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _wire_id(value: object) -> bool:
    return isinstance(value, int) and 0 < value < 256


def _rate(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


def _callable_or_none(value: object) -> bool:
    return value is None or callable(value)


def _text_or_none(value: object) -> bool:
    return value is None or _text(value)


TRANSPORTS: Shelf[TransportSpec] = Shelf(
    "transport",
    "focal_transports",
    TransportSpec,
    "link scheme",
    lambda spec: spec.scheme,
    lambda spec: (f"the scheme {spec.scheme!r}",),
    {"scheme": _text, "summary": _text, "from_url": callable},
)
CODECS: Shelf[CodecSpec] = Shelf(
    "codec",
    "focal_codecs",
    CodecSpec,
    "quality",
    lambda spec: spec.name,
    lambda spec: (f"the quality {spec.name!r}", f"the wire id {spec.wire_id}"),
    {
        "name": _text,
        "wire_id": _wire_id,
        "bits_per_second": _rate,
        "load": callable,
        "seconds": callable,
        "why_not": callable,
        "why_not_decode": _callable_or_none,
        "instead": _text_or_none,
        "why_not_payload": _callable_or_none,
    },
)
SOURCES: Shelf[SourceSpec] = Shelf(
    "source",
    "focal_sources",
    SourceSpec,
    "source",
    lambda spec: spec.name,
    lambda spec: (f"the source {spec.name!r}",),
    {"name": _text, "summary": _text, "open": callable},
)
SINKS: Shelf[SinkSpec] = Shelf(
    "sink",
    "focal_sinks",
    SinkSpec,
    "sink",
    lambda spec: spec.name,
    lambda spec: (f"the sink {spec.name!r}",),
    {"name": _text, "summary": _text, "open": callable},
)
COMMANDS: Shelf[Command] = Shelf(
    "command",
    "focal_commands",
    Command,
    "command",
    lambda command: command.name or "",
    lambda command: (f"the command {command.name!r}",),
    {"name": _text},
)
SHELVES: tuple[Shelf[Any], ...] = (TRANSPORTS, CODECS, SOURCES, SINKS, COMMANDS)


def no_such(word: str, name: str, names: Iterable[str]) -> str:
    """Say that nothing is called ``name``, which is the nearest, and what there is."""
    there = sorted(names)
    listed = f"there are {', '.join(there)}" if there else "none is installed"
    return f"there is no {word} {name!r}{nearest(name, there)} ({listed})"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``: did you mean 'udp'?`` where one name is near, else nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else ""


def _a(kind: type[object]) -> str:
    name = kind.__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
