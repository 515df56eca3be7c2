"""The encoder's table of positions, made small: the same bits come out of a file 268 MB smaller.

WavLM adds a value to every attention score that depends on one thing only: how far apart the two
frames are, up to a distance from which on it stays the same. Exported, that became a constant
``[heads, n, n]`` of all pairs of n = 2048 frames, which is cut down to the clip's by Slice; a
longer clip fails. One row of distances says the same, and the file then takes clips of any length.

The law of this module: nothing is rewritten that was not proven first, and nothing written gets
its name before it was tried. A file that is not understood is left alone, with the reason.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ...core.errors import ModelError
from .disk import part_of, telling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

Run: TypeAlias = "Callable[[Path, NDArray[np.float32]], NDArray[np.float32]]"
"""Runs an encoder file on samples of shape (1, n), and frees it; returns the features."""

MAX_BYTES = 2**31 - 1
"""Of one ONNX file: protobuf has no more."""

_SMALLEST = 32
"""Frames that a table has at least; what is smaller is not worth the work."""

_OPSET = 12  # since then Clip takes int64
_STANDARD = ("", "ai.onnx")  # the domain of the operators that are known here
_SAME_NUMBERS = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
_MARK = "focal_slim"
_SECOND = 16_000

_MISSING = "this needs onnx, which cannot be loaded here: pip install 'focal-voice[models]'"


class AlreadySlim(ModelError):
    """The file was made small before: there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Slimmed:
    """What became of a file.

    Args:
        before: bytes of the source.
        after: bytes of the target.
        frames: that the source takes at most; the target takes any number.
        reach: frames from which on a distance makes no difference any more.
    """

    before: int
    after: int
    frames: int
    reach: int


def is_slim(path: Path) -> bool:
    """Tell whether a file may be one that was made small: it has our mark. Raises OSError."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(f"{_MARK}.row".encode()) >= 0


def slim(source: Path, target: Path, run: Run | None = None) -> Slimmed:
    """Write the encoder ``source`` with a small table of positions to ``target``.

    One process at a time for a target. It takes memory of at most two and a half times the file.

    Args:
        source: the encoder; it is only read.
        target: what is written, whole or not at all; it may be ``source``. A part (disk.py) is
            written under its own name, and is gone where this fails.
        run: with it both files are run on one second of noise and compared, bit by bit.

    Raises:
        AlreadySlim: there is nothing to do.
        ModelError: the file is not understood or not proven equal, onnx is missing, or the disk
            refuses; ``target`` is as it was.
    """
    part = part_of(target)
    try:
        table = _rewrite(source, part)
        _check(part, target)
        if run is not None:
            _compare(source, part, run)
        with telling(f"{target} cannot be written"):
            after, before = part.stat().st_size, source.stat().st_size
            part.replace(target)
    except BaseException:
        with suppress(OSError):  # it may never have come to be; the first error is to be told
            part.unlink()
        raise
    return Slimmed(before, after, table.frames, table.reach)


# Reading and writing ---------------------------------------------------------------------------


def _rewrite(source: Path, part: Path) -> _Table:
    """Write the slim file; everything that was read is out of memory when this returns."""
    model = _read(source)
    try:
        if any(name.startswith(_MARK) for node in model.graph.node for name in node.output):
            raise AlreadySlim(f"{source} stays as it is: its table of positions is small already")
        table, cuts = _understand(model)
    except (_Reason, UnicodeDecodeError) as reason:  # the latter of a name that is no text
        raise ModelError(f"{source} stays as it is: {_line(reason)}") from reason
    _replace(model.graph, table, cuts)
    _write(part, model.SerializeToString())
    return table


def _read(source: Path) -> ModelProto:
    try:
        import onnx
    except ImportError as error:
        raise ModelError(_MISSING) from error
    with telling(f"{source} cannot be read"), source.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        raise ModelError(f"{source} is no ONNX file: it has more than 2 GB")
    _sound(source, f"{source} is no sound ONNX file")
    with telling(f"{source} cannot be read"):
        model: ModelProto = onnx.ModelProto.FromString(source.read_bytes())
    return model


def _sound(path: Path, trouble: str) -> None:
    """Have onnx look over a file, from its bytes to its last node."""
    from onnx import checker

    try:
        checker.check_model(str(path))  # pyright: ignore[reportUnknownMemberType]
    except (checker.ValidationError, UnicodeError) as error:
        raise ModelError(f"{trouble}: {_line(error)}") from error


def _line(error: Exception) -> str:
    """Return the first line of an error, in which names out of the file may stand."""
    said = next(iter(str(error).strip().splitlines()), "it does not say why")
    return "".join(letter if letter.isprintable() else "?" for letter in said)


def _write(part: Path, data: bytes) -> None:
    with telling(f"{part} cannot be written"), part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _check(part: Path, target: Path) -> None:
    _sound(part, f"{target} was not written, what came out is not sound")


def _compare(source: Path, part: Path, run: Run) -> None:
    """See that both files make the same of the same noise."""
    import numpy as np

    noise = np.random.default_rng(1).normal(0, 0.1, (1, _SECOND)).astype(np.float32)
    before, after = run(source, noise), run(part, noise)
    if before.shape != after.shape or before.tobytes() != after.tobytes():
        raise ModelError(f"{source} stays as it is: made small it does not give the same bits")


# Understanding ---------------------------------------------------------------------------------


class _Reason(Exception):
    """Why a graph is left alone."""


@dataclass(frozen=True, slots=True)
class _Table:
    """The table, and what was proven of it.

    Args:
        name: of the tensor in the graph.
        row: values by distance, shape (heads, 2 * reach + 1).
        frames: n of its shape (heads, n, n).
        reach: the distance from which on the value stays the same.
    """

    name: str
    row: NDArray[np.float32]
    frames: int
    reach: int


@dataclass(frozen=True, slots=True)
class _End:
    """Where an axis is cut: one number of a tensor that the graph computes."""

    tensor: str
    at: int


@dataclass(frozen=True, slots=True)
class _Cut:
    """The way from the table to one ``[heads, rows, columns]`` that the layers use.

    Args:
        slices: from the table on.
        ends: by axis.
    """

    slices: tuple[NodeProto, ...] = ()
    ends: tuple[tuple[int, _End], ...] = ()

    @property
    def done(self) -> bool:
        """Both axes of frames are cut."""
        return dict(self.ends).keys() == {1, 2}

    def through(self, node: NodeProto, ends: Sequence[tuple[int, _End]]) -> _Cut:
        """Return the way on through one more Slice."""
        return _Cut((*self.slices, node), (*self.ends, *ends))


def _understand(model: ModelProto) -> tuple[_Table, list[_Cut]]:
    """Find the table and all that is made of it, and prove what it is."""
    graph = model.graph
    opset = max((one.version for one in model.opset_import if one.domain in _STANDARD), default=0)
    if opset < _OPSET:
        raise _Reason(f"it is of opset {opset}, and this needs {_OPSET} or newer")
    wires = _Wires(graph)
    name, tensor = _find(graph, wires)
    if name in {one.name for one in graph.input}:
        raise _Reason(f"its table of positions ({name}) can be given from outside")
    cuts = list(_cuts(wires, name, tensor.dims, _Cut()))
    return _prove(name, tensor), cuts


class _Wires:
    """Who makes and who uses what in a graph."""

    def __init__(self, graph: GraphProto) -> None:
        self.users: dict[str, list[NodeProto]] = {}
        self.leaving = {one.name for one in graph.output}
        self._makers: dict[str, NodeProto] = {}
        self._tensors = dict(_tensors(graph))
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
            self._makers.update(dict.fromkeys(node.output, node))
            self.leaving.update(_inner(node))

    def numbers(self, name: str) -> list[int] | None:
        """Return the numbers of a constant in a flat list, or None where they are computed."""
        while (maker := self._makers.get(name)) and _is(maker, *_SAME_NUMBERS):
            name = maker.input[0]
        if name in self._tensors:
            values = _array(self._tensors[name])
            return (
                cast("list[int]", values.reshape(-1).tolist()) if values.dtype.kind == "i" else None
            )
        if maker is None or not _is(maker, "Constant"):
            return None
        given = {attribute.name: attribute for attribute in maker.attribute}
        return list(given["value_ints"].ints) if "value_ints" in given else None


def _is(node: NodeProto, *kinds: str) -> bool:
    return node.domain in _STANDARD and node.op_type in kinds


def _inner(node: NodeProto) -> Iterator[str]:
    """Yield what the graphs inside a node (of If, Loop, Scan) use."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for one in graph.node:
                yield from (*one.input, *_inner(one))
            yield from (one.name for one in graph.output)


def _tensors(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield the constants by name: initializers, and what Constant nodes give."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if _is(node, "Constant"):
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield node.output[0], attribute.t


def _array(tensor: TensorProto) -> NDArray[Any]:
    """Return what a tensor holds; the larger ones are copied."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        raise _Reason("it keeps its weights in other files")
    try:
        return numpy_helper.to_array(tensor)
    except (KeyError, TypeError, ValueError) as error:  # of a type, or of sizes that do not fit
        raise _Reason(f"it holds a damaged tensor ({tensor.name}: {error})") from error


def _find(graph: GraphProto, wires: _Wires) -> tuple[str, TensorProto]:
    """Return the largest square table that is cut by Slice."""
    tables = [
        (name, tensor)
        for name, tensor in _tensors(graph)
        if _square(tensor) and any(_cutting(user, name) for user in wires.users.get(name, ()))
    ]
    if not tables:
        raise _Reason("it has no table of positions [heads, n, n] that is cut to the clip's frames")
    return max(tables, key=lambda table: table[1].dims[1])


def _square(tensor: TensorProto) -> bool:
    from onnx import TensorProto

    dims = tensor.dims
    return (
        tensor.data_type == TensorProto.FLOAT and len(dims) == 3 and dims[1] == dims[2] >= _SMALLEST
    )


def _cutting(node: NodeProto, name: str) -> bool:
    return _is(node, "Slice") and node.input[0] == name and list(node.input).count(name) == 1


def _cuts(wires: _Wires, name: str, shape: Sequence[int], so_far: _Cut) -> Iterator[_Cut]:
    """Yield every way from a tensor to where both axes of frames are cut."""
    if name in wires.leaving:
        raise _Reason(f"its table of positions ({name}) is used in a way that is not understood")
    for node in wires.users.get(name, ()):
        if not _cutting(node, name):
            raise _Reason(f"its table of positions ({name}) goes uncut into {node.op_type}")
        cut = so_far.through(node, list(_ends(wires, node, shape)))
        if len(dict(cut.ends)) < len(cut.ends):
            raise _Reason(f"an axis of its table of positions ({name}) is cut twice")
        if cut.done:
            yield cut
        else:
            yield from _cuts(wires, node.output[0], shape, cut)


def _ends(wires: _Wires, node: NodeProto, shape: Sequence[int]) -> Iterator[tuple[int, _End]]:
    """Yield the axes that a Slice cuts, and where; those that it leaves whole are left out."""
    given = dict(zip(("starts", "ends", "axes", "steps"), node.input[1:], strict=False))
    starts, ends = wires.numbers(given["starts"]), wires.numbers(given["ends"])
    axes = wires.numbers(given["axes"]) if given.get("axes") else [*range(len(starts or ()))]
    steps = wires.numbers(given["steps"]) if given.get("steps") else [1]
    if starts is None or any(starts) or steps is None or set(steps) != {1}:
        raise _Reason(f"its table of positions is not cut from the first frame on ({node.name})")
    if axes is None or not set(axes) <= {-3, -2, -1, 0, 1, 2} or len(axes) != len(starts):
        raise _Reason(f"it is not clear where its table of positions is cut ({node.name})")
    for at, axis in enumerate(axes):
        if ends is None and axis % 3:
            yield axis % 3, _End(given["ends"], at)
        elif ends is None or len(ends) != len(axes) or ends[at] < shape[axis]:
            raise _Reason(f"its table of positions is not cut to the clip's frames ({node.name})")


def _prove(name: str, tensor: TensorProto) -> _Table:
    """Return the table by distances, once it is proven that distances are all there is to it."""
    import numpy as np

    # As whole numbers, because the very bits are to be the same: also of zeros and of no numbers.
    bits = _array(tensor).view(np.uint32)
    if not all(np.array_equal(head[1:, 1:], head[:-1, :-1]) for head in bits):
        raise _Reason(f"its table of positions ({name}) depends on more than distances")
    frames = bits.shape[1]
    row = np.concatenate([bits[:, :0:-1, 0], bits[:, 0, :]], axis=1)  # distances 1 - n to n - 1
    reach = _reach(row, frames)
    if 2 * reach > frames:
        raise _Reason(f"its table of positions ({name}) does not stay the same far away")
    kept = row[:, frames - 1 - reach : frames + reach]
    return _Table(name, kept.copy().view(np.float32), frames, reach)


def _reach(row: NDArray[np.uint32], frames: int) -> int:
    """Return the least distance from which on the value stays the same, on both sides."""
    import numpy as np

    distances = np.arange(1 - frames, frames)
    edges = np.where(distances < 0, row[:, :1], row[:, -1:])
    differs = distances[(row != edges).any(axis=0)]
    return int(np.abs(differs).max()) + 1 if len(differs) else 1


# Replacing -------------------------------------------------------------------------------------


def _replace(graph: GraphProto, table: _Table, cuts: Sequence[_Cut]) -> None:
    """Put the row of distances into the table's place.

    Nodes are put in and taken out one by one: weights may be nodes too, and a new list of nodes
    would copy them all.
    """
    slices = {node.output[0]: node for cut in cuts for node in cut.slices}
    last = {cut.slices[-1].output[0]: cut for cut in cuts}
    for at in reversed(range(len(graph.node))):
        name = next(iter(graph.node[at].output), "")
        if name in slices:
            graph.node.pop(at)
            _put(graph, at, _distances(last[name], f"{_MARK}.{at}") if name in last else ())
    _sweep(graph, {name for node in slices.values() for name in node.input})
    _put(graph, 0, _shared(table))


def _put(graph: GraphProto, at: int, nodes: Iterable[NodeProto]) -> None:
    for offset, node in enumerate(nodes):
        graph.node.insert(at + offset, node)


def _sweep(graph: GraphProto, names: set[str]) -> None:
    """Take out of ``names`` the constants and the notes that nobody uses any more."""
    dead = names - _Wires(graph).users.keys()
    for at in reversed(range(len(graph.node))):
        if _is(graph.node[at], "Constant") and graph.node[at].output[0] in dead:
            graph.node.pop(at)
    for listed in (graph.initializer, graph.value_info):
        for at in reversed(range(len(listed))):
            if listed[at].name in dead:
                listed.pop(at)


def _shared(table: _Table) -> Iterator[NodeProto]:
    """Yield the constants: the row of distances, and the numbers that the reckoning takes."""
    import numpy as np

    yield _constant("row", table.row)
    yield _constant("zero", np.array(0))
    yield _constant("one", np.array(1))
    yield _constant("least", np.array(-table.reach))
    yield _constant("most", np.array(table.reach))
    yield _constant("down", np.array([-1, 1]))
    yield _constant("across", np.array([1, -1]))


def _constant(name: str, value: NDArray[Any]) -> NodeProto:
    from onnx import helper, numpy_helper

    tensor = numpy_helper.from_array(value)
    return helper.make_node("Constant", [], [f"{_MARK}.{name}"], value=tensor)


def _distances(cut: _Cut, prefix: str) -> Iterator[NodeProto]:
    """Yield the nodes that make what a way of cuts made: ``row[clip(j - i) + reach]``."""
    ends = dict(cut.ends)
    yield from _count(ends[1], "down", f"{prefix}.rows")
    yield from _count(ends[2], "across", f"{prefix}.columns")
    yield _node("Sub", [f"{prefix}.columns", f"{prefix}.rows"], f"{prefix}.distance")
    bounds = [f"{_MARK}.least", f"{_MARK}.most"]
    yield _node("Clip", [f"{prefix}.distance", *bounds], f"{prefix}.near")
    yield _node("Add", [f"{prefix}.near", bounds[1]], f"{prefix}.index")
    yield _node("Gather", [f"{_MARK}.row", f"{prefix}.index"], cut.slices[-1].output[0], axis=1)


def _count(end: _End, way: str, name: str) -> Iterator[NodeProto]:
    """Yield the nodes that count the frames from 0 up to an end: a column or a row."""
    import numpy as np
    from onnx import TensorProto

    yield _constant(f"{name[len(_MARK) + 1 :]}.at", np.array(end.at))
    yield _node("Gather", [end.tensor, f"{name}.at"], f"{name}.end", axis=0)
    yield _node("Cast", [f"{name}.end"], f"{name}.long", to=TensorProto.INT64)
    limits = [f"{_MARK}.zero", f"{name}.long", f"{_MARK}.one"]
    yield _node("Range", limits, f"{name}.flat")
    yield _node("Reshape", [f"{name}.flat", f"{_MARK}.{way}"], name)


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    from onnx import helper

    return helper.make_node(kind, inputs, [output], name=output, **attributes)
