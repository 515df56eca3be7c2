"""Bringing model files in from a folder: a stick, a cache, another machine's store.

The law of this module: all that is found there comes in, or nothing does; and nothing comes in
that was not looked at.
"""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from ...core.errors import CodecError, ModelError
from .catalogue import REVISION
from .disk import copy_file, hash_file, mega, nothing, telling
from .graph import Model
from .kinds import model_of
from .outside import Unfit, inspect, locations
from .record import RECORD, Entry, read_record
from .sessions import Sessions
from .store import Part, Shelf, Store

PLACES = ("", "published", f"snapshots/{REVISION}")
"""Where in a folder the files may be: in it, in a store, in a cache of the hub."""

FLAG = "--any-weights"


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that may be brought in.

    Args:
        name: in the catalogue.
        path: where it is, links followed.
        size: in bytes.
        entry: what a record beside it says of a file of this size.
    """

    name: str
    path: Path
    size: int
    entry: Entry | None = None

    @property
    def optimized_from(self) -> str | None:
        """The SHA-256 of the published file that it says to be made of."""
        return self.entry.optimized_from if self.entry else None


def offered(folder: Path, names: Iterable[str]) -> list[Offered]:
    """Return the files of these names in a folder, or in a folder in it where they usually are.

    Raises:
        ModelError: there is no such folder, none of them is in it, or one is no file.
    """
    with telling(f"{folder} cannot be read"):
        os.listdir(folder)  # says why it cannot be
        for place in PLACES:
            within = folder / place
            if found := [name for name in names if os.path.lexists(within / name)]:
                record = read_record(within)
                return [_offered(within / name, record.get(name)) for name in found]
    raise ModelError(f"there are no models in {folder}: none of {', '.join(names)}")


def _offered(path: Path, entry: Entry | None) -> Offered:
    if not path.is_file():
        broken = "a link to nothing" if path.is_symlink() and not path.exists() else "no file"
        raise ModelError(f"{path} is {broken}")
    real = path.resolve()
    size = real.stat().st_size
    return Offered(path.name, real, size, entry if entry and entry.size == size else None)


def see_sizes(store: Store, files: Iterable[Offered]) -> None:
    """See that files have the published sizes, or were optimised from published ones.

    Raises:
        ModelError: one has not; names file, size and published size.
    """
    for file in files:
        published = store.sizes[file.name]
        if file.size != published and not file.optimized_from:
            raise ModelError(
                f"{file.path} has {file.size:,} bytes and the published {file.name} "
                f"{published:,}: {FLAG} if these are weights of your own; nothing was taken"
            )


def can_look() -> bool:
    """Tell whether what is in a model file can be looked at here."""
    return find_spec("onnxruntime") is not None


def see_inside(file: Offered, sessions: Sessions) -> None:
    """See that a file is a model of its kind, by trying it on zeros where that can be done.

    Raises:
        ModelError: it is no model, one of another kind, or keeps its weights in other files.
    """
    try:
        inspect(file.path)
        with file.path.open("rb") as opened:
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
                asked = sorted(locations(data))
    except Unfit as error:
        raise ModelError(f"{file.path}: {error}; nothing was taken") from error
    if asked:
        raise ModelError(f"{file.path} keeps weights in {asked[0]!r}: make it one file first")
    if can_look():
        _try(model_of(file.name, file.path), sessions)


def _try(model: Model, sessions: Sessions) -> None:
    import numpy as np

    kind = np.int64 if model.graph.input.type == "tensor(int64)" else np.float32
    try:
        with sessions.hold():  # for this one only: seven at once take gigabytes
            sessions.run(model, np.zeros(model.given, kind))
    except CodecError as error:
        # What is to be done about it is said for files that came in; this one has not.
        why = error.__cause__ if isinstance(error.__cause__, Unfit) else error
        raise ModelError(
            f"{model.path} cannot be used as {model.graph.what}: {why}; nothing was taken"
        ) from error


def bring(
    store: Store,
    files: Sequence[Offered],
    shelf: Shelf,
    *,
    forced: bool = False,
    passed: Callable[[int], None] = nothing,
    link: Callable[[Path, Path], None] = os.link,
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> list[str]:
    """Bring files in: each as a hard link where that can be, else as a copy.

    Args:
        store: where they go.
        files: what was looked at.
        shelf: which of the two.
        forced: they count as published, whatever their sizes.
        passed: told how many bytes were copied or hashed since the last time.
        link: gives a file a second name; OSError where that cannot be.
        free: returns the bytes that may still be written to a folder's disk.

    Returns:
        The names of those that came in; the others were here, as they are or optimised.

    Raises:
        ModelError: one cannot be read or copied; nothing came in.
    """
    with store.changing(), ExitStack() as stack:
        places = {file.name: stack.enter_context(store.part(file.name, shelf)) for file in files}
        linked = {file.name for file in files if _linked(link, file.path, places[file.name])}
        _see_room(store, [file for file in files if file.name not in linked], free)
        parts: list[Part] = []
        for file in files:
            part = _part(file, places[file.name], file.name in linked, passed)
            if not _is_here(store, part, shelf):
                other = file.size != store.sizes[file.name] and not file.optimized_from
                parts.append(replace(part, forced=forced and other))
        store.take(parts, shelf)
    return [part.name for part in parts]


def _linked(link: Callable[[Path, Path], None], source: Path, target: Path) -> bool:
    """Give a file a second name; False where that cannot be, for whatever reason: then copy it."""
    try:
        link(source, target)
    except OSError:
        return False
    return True


def _see_room(store: Store, files: Iterable[Offered], free: Callable[[Path], int]) -> None:
    need = sum(file.size for file in files)
    with telling(f"{store.folder} cannot be read"):
        room = free(store.folder)
    if need > room:
        raise ModelError(
            f"no room in {store.folder}: {mega(need)} are to come and {mega(room)} are free; "
            "nothing was taken"
        )


def _part(file: Offered, place: Path, linked: bool, passed: Callable[[int], None]) -> Part:
    """Copy a file to its part, unless it is one already, and say what came."""
    with telling(f"{file.path} cannot be copied to {place.parent}"):
        if linked:
            sha256, stamp = hash_file(place, passed)
        else:
            sha256, stamp = copy_file(file.path, place, passed)
    origin = file.optimized_from
    if file.entry and origin and file.entry.sha256 != sha256:
        raise ModelError(f"{file.path} is not what {RECORD} beside it says; nothing was taken")
    return Part(file.name, place, str(file.path.parent), sha256, stamp, origin)


def _is_here(store: Store, part: Part, shelf: Shelf) -> bool:
    """Tell whether a file is on the shelf already, as it is or optimised."""
    state, entry = store.look(part.name, shelf)
    return (
        state == "good"
        and entry is not None
        and part.sha256 in (entry.sha256, entry.optimized_from)
    )
