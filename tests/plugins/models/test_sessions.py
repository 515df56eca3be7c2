"""Sessions: files are loaded once and late, tried before they are believed, refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from focal.core.errors import CodecError, CodecMissing
from focal.plugins.models import ModelSettings, Sessions
from focal.plugins.models.graph import COMPRESSOR, Model
from focal.plugins.models.sessions import Halt
from tests.deadline import environment
from tests.plugins.models.graphs import (
    FLOAT,
    INT64,
    asking,
    constant,
    decoder_at,
    endless,
    graph,
    node,
    nodes,
    out,
    sound,
)
from tests.plugins.models.hand import Hand

TELEMETRY = "ORT_DISABLE_TELEMETRY"
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def silent(capfd: pytest.CaptureFixture[str]) -> object:
    """Nothing that onnxruntime has to say may reach the terminal, whatever happens."""
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(ModelSettings())


def tokens(*values: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array([values], np.int64)


def written(folder: Path, model: ModelProto | bytes) -> Model:
    path = folder / "decoder.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return decoder_at(path)


def refusal(sessions: Sessions, model: Model) -> str:
    """Return the line with which a file is refused."""
    with sessions.hold(), pytest.raises(CodecMissing) as caught:
        sessions.run(model, np.zeros(model.given, np.int64))
    line = str(caught.value)
    assert str(model.path) in line
    assert line.isprintable() and len(line) < 400 + len(str(model.path))
    return line


def test_outputs_come_by_name_in_the_order_of_the_contract(
    sessions: Sessions, tmp_path: Path
) -> None:
    with sessions.hold():
        results = sessions.run(written(tmp_path, sound()), tokens(3, 1, 4, 1, 5))
    assert list(results) == ["magnitude", "phase"]
    assert results["magnitude"].shape == (1, 5, 513)
    assert results["magnitude"][0, :, 512].tolist() == [3, 1, 4, 1, 5]
    assert results["phase"][0, 2, 0] == -4


def test_running_while_nobody_holds_is_a_bug(sessions: Sessions, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="hold"):
        sessions.run(written(tmp_path, sound()), tokens(1))


def test_a_file_is_checked_when_it_is_loaded_and_loaded_once_while_held(
    sessions: Sessions, tmp_path: Path
) -> None:
    checks: list[None] = []
    model = written(tmp_path, sound())
    model = Model(model.path, model.graph, model.given, model.gives, lambda: checks.append(None))
    for held in range(1, 3):
        with sessions.hold(), sessions.hold():
            sessions.run(model, tokens(1))
            sessions.run(model, tokens(1, 2))
        assert len(checks) == held


def test_what_the_check_raises_comes_through(sessions: Sessions, tmp_path: Path) -> None:
    def check() -> None:
        raise CodecMissing("it was changed")

    sound = decoder_at(tmp_path / "decoder.onnx")
    model = Model(sound.path, sound.graph, sound.given, sound.gives, check)
    with sessions.hold(), pytest.raises(CodecMissing, match="it was changed"):
        sessions.run(model, tokens(1))


def test_a_file_that_was_replaced_is_loaded_again(sessions: Sessions, tmp_path: Path) -> None:
    model = written(tmp_path, sound())
    with sessions.hold():
        sessions.run(model, tokens(1))
        other = tmp_path / "other"
        other.write_bytes(graph(nodes("phase", "magnitude")).SerializeToString())
        os.replace(other, model.path)
        assert sessions.run(model, tokens(1))["magnitude"][0, 0, 0] == -1
        model.path.unlink()
        with pytest.raises(CodecMissing, match="is not there"):
            sessions.run(model, tokens(1))


def test_after_a_refusal_the_right_file_is_taken(sessions: Sessions, tmp_path: Path) -> None:
    with sessions.hold():
        with pytest.raises(CodecMissing):
            sessions.run(written(tmp_path, b"not yet"), tokens(1))
        assert sessions.run(written(tmp_path, sound()), tokens(7))["phase"][0, 0, 0] == -7


def test_an_idle_session_goes_and_comes_back(tmp_path: Path) -> None:
    hand, checks = Hand(), list[None]()
    sessions = Sessions(ModelSettings(idle=600), later=hand)
    model = written(tmp_path, sound())
    model = Model(model.path, model.graph, model.given, model.gives, lambda: checks.append(None))
    with sessions.hold():
        sessions.run(model, tokens(1))
        sessions.run(model, tokens(1))
        assert (len(checks), hand.waiting) == (1, [600])
        hand.ring()
        sessions.run(model, tokens(1))
        assert (len(checks), hand.waiting) == (2, [600])
    assert hand.waiting == []


# Files that are no model.


def test_a_missing_file(sessions: Sessions, tmp_path: Path) -> None:
    line = refusal(sessions, decoder_at(tmp_path / "decoder.onnx"))
    assert "cannot be used as decoder: it is not there" in line
    assert "focal models pull" in line


def test_an_unreadable_file(sessions: Sessions, tmp_path: Path) -> None:
    model = decoder_at(tmp_path / "decoder.onnx")
    model.path.symlink_to("decoder.onnx")
    assert "cannot be read: Too many levels of symbolic links" in refusal(sessions, model)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_something_that_is_no_file(
    make: Callable[[Path], None], sessions: Sessions, tmp_path: Path
) -> None:
    make(tmp_path / "decoder.onnx")
    assert "it is not a file" in refusal(sessions, decoder_at(tmp_path / "decoder.onnx"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>Not found</html>", "not an ONNX model"),
        (sound().SerializeToString()[:-1], "cut short"),
        (sound().SerializeToString()[:200], "cut short"),
        (bytes(100), "not an ONNX model"),
        (b"\x08\x08", "No graph was found"),
        (b"\x0b" * 50, "not an ONNX model"),
    ],
    ids=["empty", "a page", "short by a byte", "cut", "zeros", "no graph", "groups"],
)
def test_something_that_is_no_model(
    data: bytes, words: str, sessions: Sessions, tmp_path: Path
) -> None:
    assert words in refusal(sessions, written(tmp_path, data))


# Models that are not the one wanted.


def takes(*inputs: tuple[str, int, list[int | str]]) -> ModelProto:
    """Make a decoder that says that it takes so much, and uses none of it."""
    steps = [node("ConstantOfShape", "bins", "magnitude"), node("Neg", "magnitude", "phase")]
    return graph(steps, inputs=[helper.make_tensor_value_info(*one) for one in inputs])


def gives(bins: int) -> ModelProto:
    shapes = [out("magnitude", (1, "F", bins)), out("phase", (1, "F", bins))]
    return graph(nodes(bins="wide"), outputs=shapes, tensors=[constant("wide", 1, 1, bins)])


def reshaped(*shape: int) -> ModelProto:
    """Make a decoder whose magnitude has a shape that nobody knows before it runs."""
    steps = [
        *nodes(magnitude="all"),
        node("Sub", "tokens tokens", "zeros"),
        node("ReduceSum", "zeros", "zero", keepdims=0),
        node("Add", "given zero", "shape"),
        node("Reshape", "all shape", "magnitude"),
    ]
    said = [helper.make_tensor_value_info(name, FLOAT, None) for name in ("magnitude", "phase")]
    return graph(steps, outputs=said, tensors=[constant("given", *shape)])


OTHERS: dict[str, tuple[ModelProto, str]] = {
    "encoder": (takes(("audio", FLOAT, [1, "N"])), "it takes audio, not tokens"),
    "two inputs": (
        takes(("tokens", INT64, [1, "T"]), ("speaker", INT64, [1])),
        "it takes tokens and speaker, not tokens",
    ),
    "no input": (takes(), "it takes nothing, not tokens"),
    "floats": (
        graph(
            [node("Identity", "tokens", "floats"), *nodes()[1:]],
            inputs=[helper.make_tensor_value_info("tokens", FLOAT, [1, "T"])],
        ),
        "its tokens is float32[1, any], not int64[1, any]",
    ),
    "another rank": (takes(("tokens", INT64, [1, "T", 1])), "is int64[1, any, 1]"),
    "one length": (takes(("tokens", INT64, [1, 4])), "tokens of one length only: 4"),
    "two channels": (takes(("tokens", INT64, [2, "T"])), "is int64[2, any]"),
    "a name": (
        graph(nodes(phase="angle"), outputs=[out("magnitude"), out("angle")]),
        "it gives magnitude and angle, not phase",
    ),
    "another width": (gives(512), "its magnitude is float32[1, any, 512]"),
    "doubles": (
        graph(
            [*nodes(magnitude="m"), node("Cast", "m", "magnitude", to=TensorProto.DOUBLE)],
            outputs=[out("magnitude", kind=TensorProto.DOUBLE), out("phase")],
        ),
        "its magnitude is tensor(double)",
    ),
    "a hidden rank": (
        reshaped(1, -1),
        "its magnitude is float32[any, any], not float32[1, any, 513]",
    ),
    "a hidden width": (reshaped(1, -1, 27), "it gave magnitude as float32[1, 76, 27]"),
    "uneven lengths": (
        graph(
            [*nodes(phase="long"), node("Concat", "long long", "phase", axis=1)],
        ),
        "not all of one length",
    ),
    "another rate": (
        graph(nodes(bins="more"), tensors=[constant("more", 1, 2, 513)]),
        "it is of another rate: 4 tokens give 8 of magnitude, not 4",
    ),
    "an op that nobody has": (
        graph([*nodes(magnitude="m"), node("Magic", "m", "magnitude")]),
        "No Op registered for Magic",
    ),
    "an op of others": (
        graph([*nodes(magnitude="m"), node("Magic", "m", "magnitude", domain="org.example")]),
        "org.example",
    ),
    "an op that fails": (reshaped(1, 7, -1), "it failed: Non-zero status code"),
    "more memory than there is": (
        graph(
            [
                *nodes(magnitude="m"),
                node("Expand", "m huge", "e"),
                node("Slice", "e a b", "magnitude"),
            ],
            tensors=[
                constant("huge", 1 << 48, 4, 513),
                constant("a", 0, 0, 0),
                constant("b", 1, 4, 513),
            ],
        ),
        "memory",
    ),
    "words that move the cursor": (
        graph(nodes("\x1b[2Jm", "p" * 999), outputs=[out("\x1b[2Jm"), out("p" * 999)]),
        "it gives [2Jm and ppp",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_model_that_is_another_one(name: str, sessions: Sessions, tmp_path: Path) -> None:
    model, words = OTHERS[name]
    assert words in refusal(sessions, written(tmp_path, model))


def test_one_file_is_not_taken_for_two_models(sessions: Sessions, tmp_path: Path) -> None:
    model = written(tmp_path, sound())
    with sessions.hold():
        sessions.run(model, tokens(1))
        with pytest.raises(CodecMissing, match="cannot be used as compressor: it takes tokens"):
            sessions.run(
                Model(model.path, COMPRESSOR, (1, 4, 1024), 4), np.zeros((1, 4, 1024), np.float32)
            )
        with pytest.raises(CodecMissing, match="another rate"):
            sessions.run(decoder_at(model.path, gives=8), tokens(1))


# Sound models, and what they are given.


def test_an_input_that_the_model_refuses(sessions: Sessions, tmp_path: Path) -> None:
    model = written(tmp_path, sound())
    with sessions.hold():
        with pytest.raises(CodecError, match=r"decoder\.onnx: it failed: Invalid rank") as caught:
            sessions.run(model, np.zeros(4, np.int64))
        assert not isinstance(caught.value, CodecMissing)
        assert sessions.run(model, tokens(2))["magnitude"][0, 0, 0] == 2


def test_a_shape_that_only_some_inputs_bring_about(sessions: Sessions, tmp_path: Path) -> None:
    model = written(tmp_path, reshaped(-1, 4, 513))
    with sessions.hold(), pytest.raises(CodecError, match=r"it gave magnitude as float32\[2, 4"):
        sessions.run(model, tokens(*range(8)))


# Files that a model asks for.


def test_weights_in_a_file_beside_the_model(sessions: Sessions, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.float32(5).tobytes())
    with sessions.hold():
        results = sessions.run(written(tmp_path, asking("weights.bin")), tokens(1))
    assert results["magnitude"][0, 0, 0] == 6


def test_weights_in_a_file_elsewhere(sessions: Sessions, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.float32(5).tobytes())
    (tmp_path / "models").mkdir()
    for location in ("../weights.bin", str(tmp_path / "weights.bin")):
        line = refusal(sessions, written(tmp_path / "models", asking(location)))
        assert "which is not a file in its folder" in line


# What onnxruntime has and has not.


@pytest.mark.parametrize(("threads", "more"), [(1, 0), (3, 2)])
def test_a_model_gets_the_threads_of_the_settings(threads: int, more: int, tmp_path: Path) -> None:
    """The thread that runs it is one of them."""
    model = written(tmp_path, sound())
    one = Sessions(ModelSettings(threads=1, idle=0))
    several = Sessions(ModelSettings(threads=threads, idle=0))
    with one.hold(), several.hold():
        one.run(model, tokens(1))  # onnxruntime itself has some
        before = set(os.listdir("/proc/self/task"))
        several.run(model, tokens(1))
        assert len({*os.listdir("/proc/self/task")} - before) == more  # others may just have ended


def test_a_provider_that_is_not_there(tmp_path: Path) -> None:
    sessions = Sessions(ModelSettings(providers=("WishfulExecutionProvider",)))
    with sessions.hold(), pytest.raises(CodecMissing) as caught:
        sessions.run(written(tmp_path, sound()), tokens(1))
    assert "models.providers" in str(caught.value)
    assert "no WishfulExecutionProvider; it has" in str(caught.value)
    assert "CPUExecutionProvider" in str(caught.value)


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from focal.core.errors import CodecMissing
from focal.plugins.models import ModelSettings, Sessions
from tests.plugins.models.graphs import decoder_at

sessions = Sessions(ModelSettings(threads=1))
try:
    with sessions.hold():
        print(sessions.run(decoder_at(Path(sys.argv[1])), np.ones((1, 4), np.int64))["phase"].sum())
except CodecMissing as error:
    print(error)
"""


def run(home: Path, model: Path, *libraries: Path) -> tuple[str, str]:
    """Run a model in a process of its own; return what it wrote to stdout and stderr."""
    env = {"HOME": str(home), "PYTHONPATH": os.pathsep.join(map(str, [*libraries, ROOT]))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, model],
        env=env,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.strip(), done.stderr


def test_onnxruntime_reports_to_nobody(tmp_path: Path) -> None:
    """Since 1.29 it keeps a device id and a queue of events in the home, and sends them."""
    home = tmp_path / "home"
    home.mkdir()
    assert run(home, written(tmp_path, sound()).path) == ("-2052.0", "")
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("module", ["tests.conftest", "bench._bare"])
def test_whoever_imports_it_elsewhere_sees_to_that_too(module: str) -> None:
    code = f"import os, {module}; print(os.environ[{TELEMETRY!r}])"
    env = {name: value for name, value in environment().items() if name != TELEMETRY}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=120)
    assert done.stdout == b"1\n", done.stderr


def fake(folder: Path, text: str) -> Path:
    (folder / "libraries").mkdir()
    (folder / "libraries" / "onnxruntime.py").write_text(text)
    return folder / "libraries"


def test_without_onnxruntime_one_line_names_the_extra(tmp_path: Path) -> None:
    text = "raise ModuleNotFoundError('No module named onnxruntime')"
    said = run(tmp_path, written(tmp_path, sound()).path, fake(tmp_path, text))
    assert said == ("FocalCodec needs onnxruntime: pip install 'focal-voice[focalcodec]'", "")


def test_what_it_writes_on_import_is_kept_from_stderr_and_nothing_else_is(tmp_path: Path) -> None:
    text = """
import os
os.write(2, b"2026-02-06 09:30:47 [W:onnxruntime:Default, device_discovery.cc:131] No GPU\\n")
os.write(2, b"somebody else\\n")
raise ImportError("libgomp.so.1: cannot open shared object file\\nNo such file")
"""
    out, err = run(tmp_path, written(tmp_path, sound()).path, fake(tmp_path, text))
    assert out == (
        "onnxruntime cannot be loaded here: "
        "libgomp.so.1: cannot open shared object file No such file"
    )
    assert err == "somebody else\n"


# What is ended.


def test_what_is_to_end_does_not_begin(sessions: Sessions, tmp_path: Path) -> None:
    halt = Halt()
    with sessions.hold():
        sessions.run_until(halt, written(tmp_path, sound()), tokens(1))
        halt()
        with pytest.raises(CodecError, match="it was ended"):
            sessions.run_until(halt, written(tmp_path, sound()), tokens(1))
        sessions.run(written(tmp_path, sound()), tokens(1))


class Begun(Halt):
    """A halt that tells when something runs that it could end."""

    def __init__(self) -> None:
        super().__init__()
        self.event = threading.Event()

    @contextmanager
    def by(self, end: Callable[[], None]) -> Generator[None]:
        """As ``Halt.by``."""
        with super().by(end):
            self.event.set()
            yield


def test_a_run_that_does_not_end_is_ended(sessions: Sessions, tmp_path: Path) -> None:
    model, halt = written(tmp_path, endless()), Begun()
    with sessions.hold(), ThreadPoolExecutor(1) as pool:
        running = pool.submit(sessions.run_until, halt, model, tokens(1))
        halt.event.wait()
        halt()
        with pytest.raises(CodecMissing, match="cannot be used as decoder: it failed: "):
            running.result()
