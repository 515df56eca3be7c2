"""Models whose store has files, for tests of what uses them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from focal.core.codec import CodecSpec
from focal.plugins.codecs.focalcodec import focal_codecs
from focal.plugins.models import Models
from focal.plugins.models.catalogue import SIZES
from focal.plugins.models.store import Part, Shelf


def stock(
    models: Models, source: Path, shelf: Shelf = "published", names: Iterable[str] = SIZES
) -> None:
    """Bring copies of files into a store, as what they are called."""
    coming = models.folder / "coming"
    coming.mkdir(parents=True, exist_ok=True)
    parts = [Part(name, Path(shutil.copy(source / name, coming)), "a test") for name in names]
    models.store.take(parts, shelf)


def spec_named(name: str, models: Models) -> CodecSpec:
    """Return one of focal's own qualities."""
    return next(spec for spec in focal_codecs(models) if spec.name == name)
