"""Bare onnxruntime, as somebody calls it who has nothing else: the reference for FocalCodec.

``python -m bench._bare ARRAY FILE...`` runs the first file on the array, the next one on what came
out, and so on. The law of this module: it imports nothing of focal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it reports over the network unless this is set before

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Bare:
    """A session on one file.

    Args:
        session: of onnxruntime.
    """

    session: Any

    @classmethod
    def load(cls, path: Path) -> Bare:
        """Open a file; with focal's threads, and without the spinning that costs others time."""
        library = cast(Any, onnxruntime)
        options = library.SessionOptions()
        options.intra_op_num_threads = min(4, os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = ["CPUExecutionProvider"]
        return cls(library.InferenceSession(str(path), options, providers=providers))

    def run(self, given: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Return the outputs by name."""
        (name,) = (port.name for port in self.session.get_inputs())
        names = [port.name for port in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, {name: given}), strict=True))


def main(array: str, *paths: str) -> None:
    """Run files one after the other; all of them stay loaded."""
    value, loaded = np.load(array), list[Bare]()
    for path in paths:
        loaded.append(Bare.load(Path(path)))
        value = next(iter(loaded[-1].run(value).values()))


if __name__ == "__main__":
    main(*sys.argv[1:])
