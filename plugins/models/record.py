"""What is written down of the model files of a shelf: ``record.json`` beside them.

The law of this module: what cannot be read is told and never thought away; whoever writes has read
while it had the lock (store.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

from ...core.errors import ModelError
from .disk import Stamp, telling, write_whole

RECORD = "record.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one file.

    Args:
        size: in bytes.
        sha256: as hex digits.
        source: where it came from: ``repository@revision``, or the file that was brought in.
        at: when it came in, Unix seconds.
        mtime_ns: with size and inode the stamp of the file when it was last hashed.
        inode: of the file.
        optimized_from: the SHA-256 of the published file that it was made of; None: as it came.
        forced: whether it counts as published though its size is another.
    """

    size: int
    sha256: str
    source: str
    at: float
    mtime_ns: int
    inode: int
    optimized_from: str | None = None
    forced: bool = False

    @property
    def stamp(self) -> Stamp:
        """What the file looked like when it was last hashed."""
        return Stamp(self.size, self.mtime_ns, self.inode)


def read_record(folder: Path) -> dict[str, Entry]:
    """Return what is written down of the files of a folder, by name; nothing where nothing is.

    Raises:
        ModelError: it cannot be read, is damaged, or a newer focal wrote it.
    """
    path = folder / RECORD
    with telling(f"{path} cannot be read"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # then there are no models either
            return {}
    return _parsed(data, path)


def write_record(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Write down what is known of the files of a folder. Raises OSError."""
    files = {name: asdict(entry) for name, entry in sorted(entries.items())}
    text = json.dumps({"version": VERSION, "files": files}, indent=1)
    write_whole(folder / RECORD, text.encode())


def parse_record(data: bytes) -> dict[str, Entry]:
    """Return the entries of a record's bytes.

    Raises:
        ValueError: they are none; says why.
    """
    said: object = json.loads(data)
    if not isinstance(said, dict):
        raise ValueError("no object")
    table = cast("dict[str, Any]", said)
    if table.get("version") != VERSION:
        raise ValueError(f"version {table.get('version')!r}, and this focal reads {VERSION}")
    files: object = table.get("files")
    if not isinstance(files, dict):
        raise ValueError("no files")
    return {name: _entry(one) for name, one in cast("dict[str, object]", files).items()}


def _parsed(data: bytes, path: Path) -> dict[str, Entry]:
    try:
        return parse_record(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is damaged ({error}): remove it, and bring the models in again"
        ) from error


def _entry(said: object) -> Entry:
    if not isinstance(said, dict):
        raise ValueError("a file without facts")
    table = cast("dict[str, object]", said)
    facts = {field.name: table.get(field.name, field.default) for field in fields(Entry)}
    for field in fields(Entry):
        fact = facts[field.name]
        if fact is MISSING:
            raise ValueError(f"{field.name} is missing")
        if not isinstance(fact, _TYPES[str(field.type)]):
            raise ValueError(f"{field.name} is {_short(fact)}")
    entry = Entry(**cast("dict[str, Any]", facts))
    _check(entry)
    return entry


def _check(entry: Entry) -> None:
    """See that facts of the right types can be what they say. Raises ValueError."""
    for name, digits in (("sha256", entry.sha256), ("optimized_from", entry.optimized_from)):
        if digits is not None and not _SHA256.fullmatch(digits):
            raise ValueError(f"{name} is {_short(digits)}")
    if not 0 <= entry.at < _YEAR_10000:
        raise ValueError(f"at is {_short(entry.at)}")


def _short(fact: object) -> str:
    """Return a fact as it may stand in a line."""
    said = ascii(fact)
    return said if len(said) <= _MAX_SAID else f"{said[:_MAX_SAID]}…"


_MAX_SAID = 60
_YEAR_10000 = 253_402_300_800
_SHA256 = re.compile("[0-9a-f]{64}")

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
}
