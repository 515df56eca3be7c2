"""Sessions of onnxruntime on model files: one a file, shared, warm while they are held.

The law of this module: nothing is loaded before it is needed; a file that is not what its graph
says is refused with one line that names it; and when nobody holds the sessions, all are freed.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .graph import Model
from .settings import ModelSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Sessions:
    """The sessions of one program. Usable from any thread."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._held = 0
        self._open: dict[Path, Any] = {}

    @contextmanager
    def hold(self) -> Generator[None]:
        """Keep sessions warm for the time of the context; the last one out frees them."""
        with self._lock:
            self._held += 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                if not self._held:
                    self._open.clear()

    def run(self, model: Model, given: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Run a model on one input; return its outputs by name.

        Raises:
            CodecMissing: the file is not there or not what it should be, or onnxruntime is
                missing; says which file, what is wrong and what to do.
            CodecError: onnxruntime failed on this input.
        """
        session = self._session(model)
        names = [port.name for port in model.graph.outputs]
        results = session.run(names, {model.graph.input.name: given})
        return dict(zip(names, cast("list[NDArray[Any]]", results), strict=True))

    def _session(self, model: Model) -> Any:
        import onnxruntime

        with self._lock:
            if model.path not in self._open:
                model.check()
                self._open[model.path] = onnxruntime.InferenceSession(
                    model.path, providers=list(self._settings.providers)
                )
            return self._open[model.path]
