"""The three files of a quality: what each must be, which are missing, and how to get them.

The law of this module: whether a file is there is asked of the disk each time, so that a message
plays as soon as its decoder has come.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ....core.errors import CodecMissing
from ...models import Models
from ...models.catalogue import QUALITIES, Published
from ...models.graph import COMPRESSOR, DECODER, ENCODER, Model
from ...models.store import SHELVES, Shelf
from .payload import MARK, mark_of
from .quality import HOP, Quality

_NO_RUNTIME = (
    "FocalCodec needs onnxruntime, which is not installed here: "
    "pip install 'focal-voice[focalcodec]'"
)


class Files:
    """The files of one quality on this machine. Usable from any thread.

    Args:
        quality: what they make.
        models: focal's store, in which they may be.
    """

    def __init__(self, quality: Quality, models: Models) -> None:
        self._quality = quality
        self._store = models.store
        self._digest = b""
        frames = quality.frames
        self.encoder = Model(
            quality.encoder, ENCODER, (1, 4 * HOP + 80), 4, self._check(quality.encoder)
        )
        self.compressor = Model(
            quality.compressor,
            COMPRESSOR,
            (1, 4 * frames, 1024),
            4,
            self._check(quality.compressor),
        )
        self.decoder = Model(
            quality.decoder, DECODER, (1, 4), 4 * frames, self._check(quality.decoder)
        )

    def mark(self) -> bytes:
        """Return what a payload begins with: four bytes of the decoder's hash if it is local.

        Raises:
            CodecMissing: the decoder cannot be read, or is not what it was.
        """
        if not self._quality.local:
            return b""
        path = self._quality.decoder
        if shelf := self._shelf(path):
            return self._store.sha256(path.name, shelf)[:MARK]
        self._digest = self._digest or _sha256(path)
        return self._digest[:MARK]

    # what is missing

    def why_not(self) -> str | None:
        """Return one line that says why nothing can be encoded and what to do, or None.

        Local qualities need their decoder for that too: they say which it is.
        """
        quality = self._quality
        needed = [quality.encoder, quality.compressor]
        return self._lacking([*needed, quality.decoder] if quality.local else needed)

    def why_not_decode(self) -> str | None:
        """Return one line that says why nothing can be decoded and what to do, or None."""
        return self._lacking([self._quality.decoder])

    def why_not_payload(self, payload: bytes) -> str | None:
        """Return the same line, and which decoder a local payload was made for."""
        why_not, mark = self.why_not_decode(), mark_of(payload, self._quality)
        if why_not is None or not mark:
            return why_not
        return f"{why_not}; this message wants the decoder whose SHA-256 begins with {mark.hex()}"

    def _lacking(self, needed: Sequence[Path]) -> str | None:
        if not find_spec("onnxruntime"):
            return _NO_RUNTIME
        missing = [path for path in needed if not os.path.isfile(path)]
        if not missing:
            return None
        *names, last = [path.name if self._shelf(path) else str(path) for path in missing]
        them = f"{', '.join(names)} and {last}, which are" if names else f"{last}, which is"
        said = f"{self._quality.name} needs {them} not here"
        remedy = ", and ".join(self._remedies(missing))
        return f"{said}: {remedy}" if remedy else said

    def _remedies(self, missing: Sequence[Path]) -> Iterator[str]:
        """Yield what to do, once for all files that come from one place."""
        places = {path.name: self._shelf(path) for path in missing}
        if published := {name for name, shelf in places.items() if shelf == "published"}:
            yield self._pull(published)
        if "local" in places.values():
            yield "focal models import DIR --any-weights"
        if None in places.values() and self._quality.remedy:
            yield self._quality.remedy

    def _pull(self, missing: set[str]) -> str:
        """Return the command that brings published files, with the size of the download."""
        owner = self._owner(missing)
        only = missing == {owner.decoder}
        wanted = [owner.decoder] if only else owner.files
        size = sum(
            self._store.sizes[name] for name in wanted if not os.path.isfile(self._store.path(name))
        )
        option = " --decoder-only" if only else ""
        command = f"focal models pull {owner.name}{option} ({size / 1e6:.0f} MB)"
        return f"{command}, or focal models import DIR"

    def _owner(self, names: set[str]) -> Published:
        """Return the published quality with most of these files: this one, else the first."""
        ours = self._quality.name
        return max(QUALITIES, key=lambda one: (len(names & set(one.files)), one.name == ours))

    # where they are

    def _check(self, path: Path) -> Callable[[], None]:
        if shelf := self._shelf(path):
            return partial(self._store.check, path.name, shelf)
        return partial(self._quality.check, path)

    def _shelf(self, path: Path) -> Shelf | None:
        """Return in which part of the store a file is; None: it is not the store's."""
        if path.name not in self._store.sizes:
            return None
        return next((one for one in SHELVES if path == self._store.path(path.name, one)), None)


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise CodecMissing(f"{path} cannot be read: {error.strerror or error}") from error
