"""The encoder's table of positions: the same bits from a smaller file, or the file as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.external_data_helper import (
    convert_model_to_external_data,
    write_external_data_tensors,
)

from focal.core.errors import ModelError
from focal.plugins.models.slim import AlreadySlim, Slimmed, is_slim, slim
from tests.deadline import ROOT, environment

HEADS, FRAMES, REACH = 4, 64, 20
HOP = 320
Table = NDArray[np.float32]


def positions(
    frames: int = FRAMES, reach: int = REACH, *, heads: int = HEADS, seed: int = 1
) -> Table:
    """Return a table (heads, frames, frames) of distances that stays the same from reach on."""
    row = np.random.default_rng(seed).normal(size=(heads, 2 * reach + 1)).astype(np.float32)
    at = np.arange(frames)
    return row[:, np.clip(at[None] - at[:, None], -reach, reach) + reach]


@dataclass(frozen=True)
class Graph:
    """How an encoder holds its table and cuts it.

    It gives, of n samples, the table's part of the n // 320 frames, each row times its number.
    """

    table: Table
    held: Literal["node", "initializer"] = "initializer"
    cut: Literal["twice", "once", "columns first", "whole first", "unfolded", "shared"] = "twice"
    opset: int = 17
    starts: int = 0
    steps: int = 1

    def save(self, path: Path) -> Path:
        """Write the file and return its path."""
        heads = self.table.shape[0]
        tensor = numpy_helper.from_array(self.table, "table")
        nodes = [*self._frames(), *self._cuts(), *_rows()]
        if self.held == "node":
            nodes.insert(0, helper.make_node("Constant", [], ["table"], value=tensor))
        sound = helper.make_tensor_value_info("audio", onnx.TensorProto.FLOAT, [1, "n"])
        made = helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [heads, "t", "t"])
        held = [tensor] if self.held == "initializer" else []
        graph = helper.make_graph(nodes, "encoder", [sound], [made], [*held, *self._numbers()])
        return save(graph, path, self.opset)

    def _numbers(self) -> list[onnx.TensorProto]:
        numbers = {
            "begin": [self.starts],
            "begins": [self.starts, self.starts],
            "step": [self.steps],
            "steps": [self.steps, self.steps],
            "rows": [1],
            "columns": [-1],
            "both": [1, 2],
            "all": [0],
            "far": [2**63 - 1],
            "scalar": 0,
            "hop": [HOP],
            "few": [40],
            "long": [1],
            "tall": [-1, 1],
            "none": 0,
            "next": 1,
            "first": [0],
        }
        return [numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()]

    def _frames(self) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Shape", ["audio"], ["shape"]),
            helper.make_node("Gather", ["shape", "long"], ["samples"]),
            helper.make_node("Div", ["samples", "hop"], ["frames"]),
        ]

    def _cuts(self) -> list[onnx.NodeProto]:
        def cut(*given: str, to: str) -> onnx.NodeProto:
            return helper.make_node("Slice", given, [to], name=f"cut to {to}")

        match self.cut:
            case "twice":
                return [
                    cut("table", "begin", "frames", "rows", "step", to="half"),
                    cut("half", "begin", "frames", "columns", "step", to="bias"),
                ]
            case "columns first":
                return [
                    cut("table", "begin", "frames", "columns", to="half"),
                    cut("half", "begin", "frames", "rows", to="bias"),
                ]
            case "once":
                return [
                    helper.make_node("Concat", ["frames", "frames"], ["ends"], axis=0),
                    cut("table", "begins", "ends", "both", "steps", to="bias"),
                ]
            case "whole first":
                return [
                    cut("table", "begin", "far", "all", to="whole"),
                    cut("whole", "begin", "frames", "rows", to="half"),
                    cut("half", "begin", "frames", "columns", to="bias"),
                ]
            case "unfolded":
                zero = helper.make_node("Constant", [], ["nil"], value_ints=[0])
                return [
                    helper.make_node("Unsqueeze", ["scalar", "first"], ["unfolded"]),
                    zero,
                    cut("table", "unfolded", "frames", "rows", to="half"),
                    cut("half", "nil", "frames", "columns", to="bias"),
                ]
            case "shared":
                return [
                    cut("table", "begin", "frames", "rows", to="half"),
                    cut("half", "begin", "frames", "columns", to="one"),
                    cut("half", "begin", "frames", "columns", to="other"),
                    cut("table", "begin", "frames", "columns", to="quarter"),
                    cut("quarter", "begin", "frames", "rows", to="third"),
                    helper.make_node("Max", ["one", "other", "third"], ["bias"]),
                ]


def _rows() -> list[onnx.NodeProto]:
    """Return what multiplies each row by its number: it fails where there are too few rows."""
    return [
        helper.make_node("Squeeze", ["frames"], ["count"]),
        helper.make_node("Range", ["none", "count", "next"], ["flat"]),
        helper.make_node("Reshape", ["flat", "tall"], ["tower"]),
        helper.make_node("Cast", ["tower"], ["numbers"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["bias", "numbers"], ["features"]),
    ]


def save(graph: onnx.GraphProto, path: Path, opset: int = 17) -> Path:
    """Write a graph that onnx's own checker finds sound."""
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    onnx.checker.check_model(model)  # pyright: ignore[reportUnknownMemberType]
    path.write_bytes(model.SerializeToString())
    return path


def run(path: Path, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run an encoder; it is freed on return."""
    library: Any = pytest.importorskip("onnxruntime")
    options = library.SessionOptions()
    options.log_severity_level = 4
    session = library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(["features"], {"audio": audio})
    return np.asarray(found, np.float32)


def features(path: Path, frames: int) -> NDArray[np.float32]:
    """Run an encoder on so many frames."""
    return run(path, np.zeros((1, frames * HOP), np.float32))


def expected(table: Table, frames: int) -> NDArray[np.float32]:
    """Return what numpy makes of a table of at least so many frames."""
    return table[:, :frames, :frames] * np.arange(frames, dtype=np.float32)[:, None]


def refusal(path: Path, run: Callable[..., Any] | None = None) -> str:
    """Return why a file is not made small; see that it and the target are as they were."""
    before, target = path.read_bytes(), path.with_name("target.onnx")
    target.write_bytes(b"as it was")
    with pytest.raises(ModelError) as raised:
        slim(path, target, run)
    assert path.read_bytes() == before
    assert target.read_bytes() == b"as it was"
    assert sorted(one.name for one in path.parent.iterdir()) == sorted({path.name, "target.onnx"})
    said = str(raised.value)
    assert "\n" not in said
    assert said.startswith((str(path), str(target)))
    return said


@pytest.mark.parametrize("opset", [14, 17, 18])
@pytest.mark.parametrize("held", ["node", "initializer"])
@pytest.mark.parametrize("cut", ["twice", "once", "columns first", "whole first", "unfolded"])
def test_the_same_bits_come_out_at_every_length_and_longer_ones_work(
    tmp_path: Path, held: Any, cut: Any, opset: int
) -> None:
    source = Graph(positions(), held, cut, opset).save(tmp_path / "encoder.onnx")
    target = tmp_path / "slim.onnx"
    done = slim(source, target, run)
    assert done == Slimmed(source.stat().st_size, target.stat().st_size, FRAMES, REACH)
    assert done.before - done.after > positions().nbytes * 0.9
    for frames in (1, 2, REACH, REACH + 1, REACH + 2, FRAMES - 1, FRAMES):
        assert features(source, frames).tobytes() == features(target, frames).tobytes()
    for frames in (FRAMES + 1, 10 * FRAMES):
        with pytest.raises(Exception, match="broadcast"):
            features(source, frames)
        longer = expected(positions(frames), frames)
        assert features(target, frames).tobytes() == longer.tobytes()


def test_every_length_in_the_usual_form(tmp_path: Path) -> None:
    source, target = Graph(positions()).save(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    slim(source, target)
    for frames in range(1, FRAMES + 1):
        assert features(source, frames).tobytes() == features(target, frames).tobytes()


def test_a_table_that_is_cut_several_times_goes_all_the_same(tmp_path: Path) -> None:
    source = Graph(positions(), cut="shared").save(tmp_path / "a.onnx")
    slim(source, tmp_path / "b.onnx", run)
    for frames in (1, 40, FRAMES):
        assert features(source, frames).tobytes() == features(tmp_path / "b.onnx", frames).tobytes()
    assert (tmp_path / "b.onnx").stat().st_size < positions().nbytes / 10


@given(reach=st.integers(1, 32), odd=st.integers(0, 1), seed=st.integers(0, 9))
def test_the_reach_is_found_in_the_values(
    reach: int, odd: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("reach")
    table = positions(FRAMES + odd, reach, heads=1, seed=seed)
    done = slim(Graph(table).save(folder / "a.onnx"), folder / "b.onnx")
    assert (done.frames, done.reach) == (FRAMES + odd, reach)


def test_two_sides_that_stay_the_same_from_different_distances_on(tmp_path: Path) -> None:
    at = np.arange(FRAMES)
    distances = np.clip(at[None] - at[:, None], -3, 17).astype(np.float32)[None]
    source, target = Graph(distances).save(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    assert slim(source, target, run).reach == 17
    assert features(target, FRAMES).tobytes() == features(source, FRAMES).tobytes()


def test_before_and_after_is_all_that_some_tables_tell(tmp_path: Path) -> None:
    at = np.arange(FRAMES)
    sides = (at[None] < at[:, None]).astype(np.float32)[None]
    source, target = Graph(sides).save(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    assert slim(source, target, run).reach == 1
    assert features(target, FRAMES).tobytes() == features(source, FRAMES).tobytes()


def test_the_bits_of_no_number_and_of_a_negative_zero_stay(tmp_path: Path) -> None:
    table = positions()
    at = np.arange(FRAMES)
    table[:, at[None] - at[:, None] == 3] = np.float32(np.nan)
    table[:, at[None] - at[:, None] == 4] = np.float32(-0.0)
    source, target = Graph(table).save(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    slim(source, target, run)
    assert features(target, FRAMES).tobytes() == features(source, FRAMES).tobytes()


def test_a_file_is_made_small_in_its_place(tmp_path: Path) -> None:
    path = Graph(positions()).save(tmp_path / "encoder.onnx")
    done = slim(path, path, run)
    assert path.stat().st_size == done.after < done.before
    assert [one.name for one in tmp_path.iterdir()] == ["encoder.onnx"]


def test_a_part_is_written_under_its_own_name(tmp_path: Path) -> None:
    source, part = Graph(positions()).save(tmp_path / "encoder.onnx"), tmp_path / ".x.onnx.part"
    there: list[set[str]] = []

    def look(path: Path, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        there.append({one.name for one in tmp_path.iterdir()})
        return run(path, audio)

    slim(source, part, look)
    assert there == [{"encoder.onnx", ".x.onnx.part"}] * 2
    assert is_slim(part) and not is_slim(source)
    with pytest.raises(AlreadySlim):
        slim(part, tmp_path / ".y.onnx.part")
    assert {one.name for one in tmp_path.iterdir()} == there[0]


def test_an_empty_file_is_not_small(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    assert not is_slim(tmp_path / "x")


def test_what_is_small_already_is_told_apart(tmp_path: Path) -> None:
    path = Graph(positions()).save(tmp_path / "encoder.onnx")
    slim(path, path)
    small = path.read_bytes()
    with pytest.raises(AlreadySlim, match="small already"):
        slim(path, path)
    assert path.read_bytes() == small


@pytest.mark.parametrize("at", [(0, 10, 11), (3, 63, 63), (1, 0, 62), (2, 62, 0)])
def test_a_table_of_more_than_distances_is_left_alone(
    tmp_path: Path, at: tuple[int, int, int]
) -> None:
    table = positions()
    table[at] = np.nextafter(table[at], np.float32(9))
    said = refusal(Graph(table).save(tmp_path / "encoder.onnx"))
    assert said.endswith(
        "stays as it is: its table of positions (table) depends on more than distances"
    )


@pytest.mark.parametrize("at", [(1, 0, FRAMES - 1), (2, FRAMES - 1, 0), None])
def test_a_table_that_does_not_level_off_is_left_alone(
    tmp_path: Path, at: tuple[int, int, int] | None
) -> None:
    table = positions() if at else positions(FRAMES, 33)
    if at:
        table[at] += 1  # the one pair of its distance
    said = refusal(Graph(table).save(tmp_path / "encoder.onnx"))
    assert said.endswith("does not stay the same far away")


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (Graph(positions(), starts=1), "is not cut from the first frame on (cut to half)"),
        (Graph(positions(), steps=2), "is not cut from the first frame on (cut to half)"),
        (Graph(positions(), opset=11), "it is of opset 11, and this needs 12 or newer"),
        (Graph(positions(16, 4)), "it has no table of positions"),
        (Graph(positions()[:, :, :48].copy()), "it has no table of positions"),
    ],
)
def test_what_is_not_understood_is_left_alone(tmp_path: Path, graph: Graph, why: str) -> None:
    assert why in refusal(graph.save(tmp_path / "encoder.onnx"))


def changed(path: Path, change: Callable[[onnx.GraphProto], object]) -> Path:
    """Change the graph of a file."""
    model = onnx.ModelProto.FromString(path.read_bytes())
    change(model.graph)
    path.write_bytes(model.SerializeToString())
    return path


def put_in(node: onnx.NodeProto) -> Callable[[onnx.GraphProto], object]:
    """Add a node after the first cut."""
    return lambda graph: graph.node.insert(4, node)


def input_of_its_own(graph: onnx.GraphProto) -> None:
    value = helper.make_tensor_value_info("table", onnx.TensorProto.FLOAT, [HEADS, FRAMES, FRAMES])
    graph.input.append(value)


def given_out(graph: onnx.GraphProto) -> None:
    value = helper.make_tensor_value_info("half", onnx.TensorProto.FLOAT, [HEADS, "t", FRAMES])
    graph.output.append(value)


def used_inside(graph: onnx.GraphProto) -> None:
    told = helper.make_tensor_value_info("told", onnx.TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Neg", ["half"], ["told"])], "body", [], [told])
    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    graph.node.insert(4, helper.make_node("If", ["yes"], ["x"], then_branch=body, else_branch=body))
    graph.node.insert(4, yes)


def cut_again(graph: onnx.GraphProto) -> None:
    graph.node[4].input[3] = "rows"


def cut_to_a_constant(graph: onnx.GraphProto) -> None:
    graph.node[4].input[2] = "few"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put_in(helper.make_node("Neg", ["half"], ["x"])), "(half) goes uncut into Neg"),
        (put_in(helper.make_node("Neg", ["table"], ["x"])), "(table) goes uncut into Neg"),
        (input_of_its_own, "(table) can be given from outside"),
        (given_out, "(half) is used in a way that is not understood"),
        (used_inside, "(half) is used in a way that is not understood"),
        (cut_again, "is cut twice"),
        (cut_to_a_constant, "is not cut to the clip's frames (cut to bias)"),
    ],
)
def test_a_table_with_other_uses_is_left_alone(
    tmp_path: Path, change: Callable[[onnx.GraphProto], object], why: str
) -> None:
    path = changed(Graph(positions()).save(tmp_path / "encoder.onnx"), change)
    assert why in refusal(path)


def test_weights_in_other_files_are_left_alone(tmp_path: Path) -> None:
    path = Graph(positions()).save(tmp_path / "encoder.onnx")
    model = onnx.ModelProto.FromString(path.read_bytes())
    convert_model_to_external_data(model, location="weights", size_threshold=0)
    write_external_data_tensors(model, str(tmp_path))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"it keeps its weights in other files"):
        slim(path, path)


@pytest.mark.parametrize("data", [b"", b"RIFF\x24\0\0\0WAVEfmt ", b"\0" * 100, b"not a model\n"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "encoder.onnx"
    path.write_bytes(data)
    assert "is no sound ONNX file: " in refusal(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, part: float) -> None:
    path = Graph(positions()).save(tmp_path / "encoder.onnx")
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * part)])
    assert "is no sound ONNX file: " in refusal(path)


def test_a_file_larger_than_any_onnx_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # a hole: it takes no room on the disk
    with pytest.raises(ModelError, match="more than 2 GB"):
        slim(path, path)


def test_a_missing_file_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.onnx cannot be read: "):
        slim(tmp_path / "nothing.onnx", tmp_path / "b.onnx")
    source = Graph(positions()).save(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match="cannot be written"):
        slim(source, tmp_path / "nowhere" / "b.onnx")


def test_other_bits_when_it_is_run_are_refused(tmp_path: Path) -> None:
    def wrong(path: Path, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        found = run(path, audio)
        return found if path.name == "encoder.onnx" else np.nextafter(found, np.float32(9))

    path = Graph(positions()).save(tmp_path / "encoder.onnx")
    assert refusal(path, wrong).endswith("made small it does not give the same bits")


def test_an_error_of_the_run_leaves_everything_as_it_was(tmp_path: Path) -> None:
    def broken(path: Path, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        raise ModelError(f"{path}: onnxruntime is missing")

    refusal(Graph(positions()).save(tmp_path / "encoder.onnx"), broken)


def child(*lines: str) -> int:
    """Run Python in a process of its own; return how it ended."""
    setup = ["from pathlib import Path", "from focal.plugins.models.slim import slim"]
    code = "\n".join([*setup, *lines])
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=ROOT, timeout=60)
    return done.returncode


def test_killed_in_the_middle_it_leaves_no_half_file(tmp_path: Path) -> None:
    source, target = Graph(positions()).save(tmp_path / "a.onnx"), tmp_path / "b.onnx"
    target.write_bytes(b"as it was")
    before = source.read_bytes()
    die = "lambda path, audio: os._exit(9)"
    assert child("import os", f"slim(Path({str(source)!r}), Path({str(target)!r}), {die})") == 9
    assert target.read_bytes() == b"as it was"
    assert source.read_bytes() == before
    slim(source, target, run)  # and what was left over is in nobody's way
    assert {one.name for one in tmp_path.iterdir()} == {"a.onnx", "b.onnx"}


def test_without_onnx_one_line_names_the_extra(tmp_path: Path) -> None:
    source = Graph(positions()).save(tmp_path / "a.onnx")
    hide = "sys.modules['onnx'] = None"
    call = f"slim(Path({str(source)!r}), Path({str(source)!r}))"
    told = "sys.exit(7 if str(error).endswith(\"pip install 'focal-voice[models]'\") else 8)"
    assert (
        child(
            "import sys", hide, "try:", f"    {call}", "except Exception as error:", f"    {told}"
        )
        == 7
    )


@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_files_are_told_in_a_line_or_still_understood(
    places: list[tuple[float, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = Graph(positions(32, 5, heads=1)).save(folder / "a.onnx")
    data = bytearray(path.read_bytes())
    for where, byte in places:
        data[round(where * (len(data) - 1))] = byte
    path.write_bytes(data)
    try:
        slim(path, folder / "b.onnx")
    except ModelError as error:
        assert "\n" not in str(error)
