"""Sessions of onnxruntime on model files: one a file, shared, warm while they are held.

The law of this module: nothing is loaded before it is needed; a file that is not what its graph
says is refused with one line that names it; and when nobody holds the sessions, all are freed.
All of onnxruntime is here, its exceptions included; none of it gets out.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ...core.errors import CodecError, CodecMissing
from .graph import Graph, Model, Port, Shape
from .outside import Unfit, inspect
from .settings import ModelSettings
from .warm import Later, Warm, timer

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DEFAULT_THREADS = 4
"""More than that do not make a model of this size faster."""

_MISSING = "FocalCodec needs onnxruntime: pip install 'focal-voice[focalcodec]'"
_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}
_SILENT = 4
"""Onnxruntime's severity "fatal": it writes all else to stderr as well, which we say in a line."""


class Halt:
    """Ends, from another thread, what runs in onnxruntime, and what is begun after that.

    One operator that is at work, and the loading of a file, go on to their ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self._halted = False

    def __call__(self) -> None:
        """End it."""
        with self._lock:
            self._halted = True
            for end in self._ends:
                end()

    @contextmanager
    def by(self, end: Callable[[], None]) -> Generator[None]:
        """Have what runs in this context ended by a call. Raises Unfit: it is not to begin."""
        with self._lock:
            if self._halted:
                raise Unfit("it was ended")
            self._ends.append(end)
        try:
            yield
        finally:
            with self._lock:
                self._ends.remove(end)


class Sessions:
    """The sessions of one program. Usable from any thread.

    Args:
        settings: threads, providers and the idle limit.
        later: for tests.
    """

    def __init__(self, settings: ModelSettings, *, later: Later = timer) -> None:
        self._settings = settings
        self._warm = Warm[_Loaded](settings.idle, later=later)

    def hold(self) -> AbstractContextManager[None]:
        """Keep sessions warm for the time of the context; the last one out frees them."""
        return self._warm.hold()

    def run(self, model: Model, given: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Run a model on one input; return its outputs by name, in the order of its graph.

        The file is loaded when it is first run, and again when it was idle for too long or is
        not the same file any more.

        Raises:
            CodecMissing: the file is not there or not what it should be, or onnxruntime is
                missing; says which file, what is wrong and what to do.
            CodecError: onnxruntime failed on this input.
            RuntimeError: nobody holds the sessions.
        """
        return self.run_until(Halt(), model, given)

    def run_until(
        self, halt: Halt, model: Model, given: NDArray[Any]
    ) -> Mapping[str, NDArray[Any]]:
        """As ``run``, unless it is ended: then it has failed."""
        key = (model.path, model.graph, model.given, model.gives)
        load = partial(_load, model, self._settings, halt)
        with self._warm.use(key, _state(model.path), load) as loaded:
            try:
                return loaded.run(given, halt)
            except Unfit as error:
                raise CodecError(f"{model.path}: {_line(str(error))}") from error


def _state(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is replaced; None where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None  # loading it says why
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class _Argument(Protocol):
    """An input or output of a session; ``shape`` is empty where the file does not say."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class _Session(Protocol):
    """What is used of ``onnxruntime.InferenceSession``, which ships no types."""

    def get_inputs(self) -> Sequence[_Argument]: ...

    def get_outputs(self) -> Sequence[_Argument]: ...

    def run(
        self, names: Sequence[str], given: Mapping[str, NDArray[Any]], options: _RunOptions, /
    ) -> Sequence[NDArray[Any]]: ...


class _RunOptions(Protocol):
    """What is set of ``onnxruntime.RunOptions``."""

    terminate: bool
    log_severity_level: int


class _Options(Protocol):
    """What is set of ``onnxruntime.SessionOptions``."""

    intra_op_num_threads: int
    inter_op_num_threads: int
    log_severity_level: int
    enable_mem_pattern: bool

    def add_session_config_entry(self, key: str, value: str, /) -> None: ...


class _Library(Protocol):
    """What is used of the module."""

    def SessionOptions(self) -> _Options: ...

    def RunOptions(self) -> _RunOptions: ...

    def InferenceSession(
        self, path: str, options: _Options, /, *, providers: list[str], enable_fallback: int
    ) -> _Session: ...

    def get_available_providers(self) -> list[str]: ...

    def set_default_logger_severity(self, severity: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A session on a file that was tried."""

    model: Model
    session: _Session
    library: _Library

    def run(self, given: NDArray[Any], halt: Halt) -> dict[str, NDArray[Any]]:
        """Return the outputs by name.

        Raises:
            Unfit: the session failed, or its outputs are not what the graph says.
        """
        graph = self.model.graph
        results = self._run([port.name for port in graph.outputs], {graph.input.name: given}, halt)
        for port, result in zip(graph.outputs, results, strict=True):
            if wrong := _misfit(port, result):
                raise Unfit(wrong)
        if len({result.shape[1] for result in results}) > 1:
            raise Unfit("what it gave is not all of one length")
        return {port.name: array for port, array in zip(graph.outputs, results, strict=True)}

    def _run(
        self, names: Sequence[str], given: Mapping[str, NDArray[Any]], halt: Halt
    ) -> Sequence[NDArray[Any]]:
        options = self.library.RunOptions()
        options.log_severity_level = _SILENT
        with halt.by(partial(setattr, options, "terminate", True)):
            try:
                return self.session.run(names, given, options)
            except Exception as error:  # onnxruntime's have no common ancestor but this one
                raise Unfit(f"it failed: {_words(error)}") from error


def _misfit(port: Port, result: NDArray[Any]) -> str | None:
    """Say what is wrong with an output, if anything."""
    if result.dtype == _DTYPES[port.type] and _fits(result.shape, port.shape):
        return None
    return f"it gave {port.name} as {result.dtype}{list(result.shape)}, not {_described(port)}"


def _fits(found: Sequence[int | str | None], wanted: Shape) -> bool:
    """Tell whether a shape can be the wanted one; names and None in ``found`` stand for any."""
    return len(found) == len(wanted) and all(
        want is None or not isinstance(have, int) or have == want
        for have, want in zip(found, wanted, strict=True)
    )


def _described(array: Port | _Argument) -> str:
    shape = ", ".join(str(size) if isinstance(size, int) else "any" for size in array.shape)
    return f"{_DTYPES.get(array.type, array.type)}[{shape}]"


# Loading.


def _load(model: Model, settings: ModelSettings, halt: Halt) -> _Loaded:
    """Open a model file and try it.

    Raises:
        CodecMissing: as ``Sessions.run`` says.
    """
    model.check()
    library = _library()
    providers = _providers(library, settings)
    try:
        inspect(model.path)
        session = _opened(library, model.path, _options(library, settings), providers)
        _compare(session, model.graph)
        loaded = _Loaded(model, session, library)
        _try(loaded, halt)
    except Unfit as error:
        raise CodecMissing(_refusal(model, str(error))) from error
    return loaded


def _refusal(model: Model, why: str) -> str:
    return (
        f"{model.path} cannot be used as {model.graph.what}: {_line(why)}; see 'focal models "
        f"verify', then get it again with 'focal models pull' or 'focal models import'"
    )


def _opened(library: _Library, path: Path, options: _Options, providers: list[str]) -> _Session:
    if not _is_text(path):
        raise Unfit("its path is not UTF-8, and onnxruntime opens no such file: rename its folder")
    try:
        # Without its fallback: that one prints to stdout, and goes on with another provider.
        return library.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's have no common ancestor but this one
        raise Unfit(_words(error)) from error


def _is_text(path: Path) -> bool:
    """Tell whether a path can be written in UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _compare(session: _Session, graph: Graph) -> None:
    """See that a session takes and gives what its graph says.

    Raises:
        Unfit: otherwise.
    """
    taken = {argument.name: argument for argument in session.get_inputs()}
    given = {argument.name: argument for argument in session.get_outputs()}
    if list(taken) != [graph.input.name]:
        raise Unfit(f"it takes {_names(taken)}, not {graph.input.name}")
    if missing := [port.name for port in graph.outputs if port.name not in given]:
        raise Unfit(f"it gives {_names(given)}, not {' and '.join(missing)}")
    _compare_port(taken[graph.input.name], graph.input)
    for port in graph.outputs:
        _compare_port(given[port.name], port)
    for have, want in zip(taken[graph.input.name].shape, graph.input.shape, strict=False):
        if want is None and isinstance(have, int):
            raise Unfit(f"it takes {graph.input.name} of one length only: {have}")


def _compare_port(found: _Argument, port: Port) -> None:
    """Compare what a file says of itself; where it says no shape, the trial tells."""
    if found.type != port.type or (found.shape and not _fits(found.shape, port.shape)):
        raise Unfit(f"its {port.name} is {_described(found)}, not {_described(port)}")


def _names(arguments: Mapping[str, _Argument]) -> str:
    return " and ".join(arguments) or "nothing"


def _try(loaded: _Loaded, halt: Halt) -> None:
    """Run a model once on zeros, to see that it runs and is of its rate.

    Raises:
        Unfit: it does not, or is not.
    """
    import numpy as np

    model = loaded.model
    results = loaded.run(np.zeros(model.given, _DTYPES[model.graph.input.type]), halt)
    for name, result in results.items():
        if result.shape[1] != model.gives:
            raise Unfit(
                f"it is of another rate: {model.given[1]} {model.graph.input.name} give "
                f"{result.shape[1]} of {name}, not {model.gives}"
            )


# Onnxruntime itself.

_loading = threading.Lock()


def _library() -> _Library:
    """Return the module onnxruntime, told to write nothing and to send nothing.

    Raises:
        CodecMissing: it is not installed, or cannot be loaded.
    """
    # From 1.29 on it reports to its maker over the network, unless this is set before the import:
    # a program for thin links, and for what is said in private, cannot have that.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        with _loading, _hushed():
            import onnxruntime  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
    except ModuleNotFoundError as error:
        raise CodecMissing(_MISSING) from error
    except (ImportError, OSError) as error:
        raise CodecMissing(f"onnxruntime cannot be loaded here: {_words(error)}") from error
    library = cast("_Library", onnxruntime)
    library.set_default_logger_severity(_SILENT)
    return library


@contextmanager
def _hushed() -> Generator[None]:
    """Keep onnxruntime's warnings from stderr while it is imported; let the rest through.

    On some machines it complains of devices that it did not find, before it can be told not to.
    """
    if "onnxruntime" in sys.modules or sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        yield
        return
    with tempfile.TemporaryFile() as said:
        saved = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            said.seek(0)
            os.write(2, b"".join(line for line in said if b"[W:onnxruntime:" not in line))


def _options(library: _Library, settings: ModelSettings) -> _Options:
    options = library.SessionOptions()
    options.intra_op_num_threads = settings.threads or _cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    # Clips are of all lengths, and a pattern of memory is kept for each length that came: after 60
    # of them a small encoder had 530 MB instead of 260, at the same speed. The arena is worth it:
    # without it new lengths take 80 % longer, and 15 % if it is made to shrink after each run. It
    # stays as large as the longest clip needed until the session goes.
    options.enable_mem_pattern = False
    for key, value in _ENTRIES.items():
        options.add_session_config_entry(key, value)
    return options


_ENTRIES = {
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
    "session.load_model_format": "ONNX",
}


def _cores() -> int:
    """Return how many threads a model gets by default: one a core that we may use, at most 4."""
    if hasattr(os, "sched_getaffinity"):
        return min(MAX_DEFAULT_THREADS, len(os.sched_getaffinity(0)))
    return min(MAX_DEFAULT_THREADS, os.cpu_count() or 1)


def _providers(library: _Library, settings: ModelSettings) -> list[str]:
    """Return the execution providers of the settings.

    Raises:
        CodecMissing: this onnxruntime does not have one of them.
    """
    here = library.get_available_providers()
    for name in settings.providers:
        if name not in here:
            raise CodecMissing(
                f"models.providers: this onnxruntime has no {name}; it has {', '.join(here)}"
            )
    return list(settings.providers)


# Words.

_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : "
    r"|Load model from .*? failed:"
    r"|\S+\.(?:cc|h):\d+ [^()]*\([^()]*\)(?: const)? "
)
"""What onnxruntime puts around a cause: numbers, the path once more, places in its source code."""

MAX_WORDS, MAX_READ = 200, 4096
"""Characters that are shown of a cause, and looked at: a name in a file can have millions."""


def _words(error: Exception) -> str:
    """Return what a foreign exception says, in one short line."""
    return _line(_NOISE.sub("", str(error)[:MAX_READ])) or type(error).__name__


def _line(text: str) -> str:
    """Fold a text into one short line; what it quotes from a file may be anything."""
    line = "".join(char if char.isprintable() else " " for char in text[:MAX_READ])
    line = " ".join(line.split())
    return line if len(line) <= MAX_WORDS else f"{line[: MAX_WORDS - 1]}…"
