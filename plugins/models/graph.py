"""What a model file has to be: the names, types and shapes of what goes in and comes out.

The law of this module: values only; who opens a file (sessions.py) holds it to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Type: TypeAlias = Literal["tensor(float)", "tensor(int64)"]
"""As onnxruntime calls them: float32 and int64."""

Shape: TypeAlias = tuple[int | None, ...]
"""None: any number; a file may call it what it likes."""


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a graph."""

    name: str
    type: Type
    shape: Shape


@dataclass(frozen=True, slots=True)
class Graph:
    """The contract of a kind of model: one input, some outputs.

    Args:
        what: a word for it (``encoder``).
        input: what goes in.
        outputs: what comes out, in any order in the file.
    """

    what: str
    input: Port
    outputs: tuple[Port, ...]


ENCODER = Graph(
    "encoder",
    Port("audio", "tensor(float)", (1, None)),
    (Port("features", "tensor(float)", (1, None, 1024)),),
)
COMPRESSOR = Graph(
    "compressor",
    Port("features", "tensor(float)", (1, None, 1024)),
    (Port("tokens", "tensor(int64)", (1, None)),),
)
DECODER = Graph(
    "decoder",
    Port("tokens", "tensor(int64)", (1, None)),
    (
        Port("magnitude", "tensor(float)", (1, None, 513)),
        Port("phase", "tensor(float)", (1, None, 513)),
    ),
)


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Model:
    """A model file, and what is expected of it.

    Args:
        path: the file.
        graph: its contract.
        given: the shape of an input to try it on, all zeros.
        gives: the length of the second axis of what must come out then; it tells files of
            different rates apart, which have the same contract.
        check: called before the file is opened; raises CodecMissing where it is not what it was.
    """

    path: Path
    graph: Graph
    given: tuple[int, ...]
    gives: int
    check: Callable[[], None] = _nothing
