"""The model files in their folder: which are there, and whether they are what they were.

The law of this module: a file's SHA-256 is written down when it comes in, and a file that has
changed since is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Shelf: TypeAlias = Literal["published", "local"]
"""The published weights, or weights of somebody's own; each set in a folder of its name."""


@dataclass(frozen=True, slots=True)
class Store:
    """The model files of one machine.

    Args:
        folder: has the folders ``published`` and ``local``; it need not exist.
    """

    folder: Path

    def path(self, name: str, shelf: Shelf = "published") -> Path:
        """Return where a file is, or would be."""
        return self.folder / shelf / name

    def check(self, name: str, shelf: Shelf = "published") -> None:
        """See that a file is what it was when it came in; quick where nothing has touched it.

        Raises:
            CodecMissing: it is not there, cannot be read, or has changed; says what to do.
        """

    def sha256(self, name: str, shelf: Shelf = "published") -> bytes:
        """Return a file's hash as it was written down, 32 bytes.

        Raises:
            CodecMissing: as ``check``.
        """
        raise NotImplementedError
