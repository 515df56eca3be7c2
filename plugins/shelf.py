"""The kinds of thing that plugins add: how each is asked for, and what tells two of them apart.

The law of this module: whatever differs between a transport, a codec, a source and a sink when it
is looked up stands in one ``Shelf``; the manager treats them all alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..core.codec import CodecSpec
from ..core.link import TransportSpec
from ..core.ports import SinkSpec, SourceSpec

Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True)
class Shelf(Generic[Spec]):
    """One kind of thing that plugins add: how it is asked for and what tells two apart.

    ``marks`` gives what no two may share; the first is what users call it, with its word.
    """

    kind: str
    hook: str
    spec: type[Spec]
    word: str
    name: Callable[[Spec], str]
    marks: Callable[[Spec], tuple[str, ...]]


TRANSPORTS = Shelf(
    "transport",
    "focal_transports",
    TransportSpec,
    "link scheme",
    lambda spec: spec.scheme,
    lambda spec: (f"the scheme {spec.scheme!r}",),
)
CODECS = Shelf(
    "codec",
    "focal_codecs",
    CodecSpec,
    "quality",
    lambda spec: spec.name,
    lambda spec: (f"the quality {spec.name!r}", f"the wire id {spec.wire_id}"),
)
SOURCES = Shelf(
    "source",
    "focal_sources",
    SourceSpec,
    "source",
    lambda spec: spec.name,
    lambda spec: (f"the source {spec.name!r}",),
)
SINKS = Shelf(
    "sink",
    "focal_sinks",
    SinkSpec,
    "sink",
    lambda spec: spec.name,
    lambda spec: (f"the sink {spec.name!r}",),
)


def no_such(word: str, name: str, names: Iterable[str]) -> str:
    """Say that nothing is called ``name``, which is the nearest, and what there is."""
    there = sorted(names)
    listed = f"there are {', '.join(there)}" if there else "none is installed"
    return f"there is no {word} {name!r}{nearest(name, there)}; {listed}"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``: did you mean 'udp'?`` where one name is near, else nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else ""
