"""FocalCodec's models for the benches: those of the folder that ``FOCAL_MODELS_DIR`` names.

The folder is a store, or has the files beside one another. The stand-ins that ``python -m
bench.fullsize DIR`` writes will do: what they cost does not depend on what the weights are.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from focal.plugins.codecs.focalcodec import Quality
from focal.plugins.models import Models
from focal.plugins.models.bring import bring, offered
from focal.plugins.models.catalogue import QUALITIES, Published
from focal.plugins.models.store import SHELVES, Shelf
from focal.plugins.models.where import VARIABLE


@contextmanager
def models() -> Generator[Models | None]:
    """Give a store of the models; None, and a line that says why, where there is none."""
    named = os.environ.get(VARIABLE)
    if not named:
        print(f"focalcodec: {VARIABLE} names no folder, so there are no models to measure")
        yield None
        return
    folder = Path(named).expanduser().absolute()
    if any((folder / shelf).is_dir() for shelf in SHELVES):
        yield Models(folder)
        return
    with TemporaryDirectory(prefix="focal-bench-") as name:
        found = Models(Path(name))
        files = offered(folder, found.store.sizes)
        whole = all(file.size == found.store.sizes[file.name] for file in files)
        bring(found.store, files, "published" if whole else "local")
        yield found


def qualities(models: Models) -> Iterator[Quality]:
    """Yield each rate whose three files are there: with the published weights, else others."""
    for one in QUALITIES:
        for shelf in SHELVES:
            if all(models.store.path(name, shelf).is_file() for name in one.files):
                yield _quality(models, one, shelf)
                break


def _quality(models: Models, one: Published, shelf: Shelf) -> Quality:
    encoder, compressor, decoder = (models.store.path(name, shelf) for name in one.files)
    if shelf == "published":
        return Quality(one.name, one.wire_id, one.frames, encoder, compressor, decoder)
    return Quality(f"{one.name}-local", one.local_id, one.frames, encoder, compressor, decoder)
