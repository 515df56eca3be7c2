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
from .catalogue import ENCODER, REPOSITORY, REVISION
from .disk import copy_file, hash_file, mega, nothing, telling
from .kinds import model_of
from .outside import Unfit, inspect, locations
from .record import RECORD, Entry, read_record
from .sessions import Sessions
from .slim import is_slim
from .store import Part, Shelf, Store
from .trial import LIMIT, try_out

PLACES = ("", "published", f"snapshots/{REVISION}")
"""Where in a folder the files may be: in it, in a store, in a cache of the hub."""

FLAG, WORD = "--any-weights", "--as-published"


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that may be brought in.

    Args:
        name: in the catalogue.
        path: where it is, links followed.
        size: in bytes.
        entry: what a record beside it says of a file of this size. That it was optimized is left
            away where that cannot be.
    """

    name: str
    path: Path
    size: int
    entry: Entry | None = None

    @property
    def optimized_from(self) -> str | None:
        """The SHA-256 of the published file that it is said to be made of."""
        return self.entry.optimized_from if self.entry else None

    @property
    def forced(self) -> bool:
        """Whether it came to where it is as a published one on somebody's word alone."""
        return self.entry is not None and self.entry.forced


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
    if entry is None or entry.size != size:
        return Offered(path.name, real, size)
    if entry.optimized_from and not (path.name == ENCODER and is_slim(real)):
        entry = replace(entry, optimized_from=None)
    return Offered(path.name, real, size, entry)


def see_sizes(store: Store, files: Iterable[Offered]) -> None:
    """See that files are the published ones, as far as that can be seen: by their sizes.

    The encoder may also be one that was optimized from the published one. What is so on somebody's
    word alone is not.

    Raises:
        ModelError: one is not; names the file and says why.
    """
    for file in files:
        if doubt := _doubt(store, file):
            raise ModelError(f"{file.path} {doubt}; nothing was taken")


def _doubt(store: Store, file: Offered) -> str | None:
    """Return why a file cannot count as published, if there is a reason."""
    published = store.sizes[file.name]
    if file.size == published:
        return None
    if file.forced:
        return f"came to where it is by {WORD}: say so again if you too know what it is"
    if not file.optimized_from or file.size > published:
        return (
            f"has {file.size:,} bytes and the published {file.name} {published:,}: "
            f"{FLAG} if these are weights of your own"
        )
    hubs = _encoder_here(store, of_the_hub=True)
    if hubs and file.optimized_from not in hubs:
        return "was optimized from another encoder than the hub's"
    return None


def is_hearsay(store: Store, file: Offered) -> bool:
    """Tell whether nothing but a record beside it says which file one was optimized from."""
    return (
        file.size != store.sizes[file.name]
        and file.optimized_from is not None
        and file.optimized_from not in _encoder_here(store)
    )


def _encoder_here(store: Store, *, of_the_hub: bool = False) -> set[str]:
    """Return the SHA-256 of the published encoder as it came here; nothing where none did."""
    entry = store.record("published").get(ENCODER)
    if entry is None or entry.forced:
        return set()
    if of_the_hub and entry.source != f"{REPOSITORY}@{REVISION}":
        return set()
    return {entry.optimized_from or entry.sha256}


def can_look() -> bool:
    """Tell whether what is in a model file can be looked at here."""
    return find_spec("onnxruntime") is not None


def see_inside(file: Offered, sessions: Sessions, limit: float = LIMIT) -> None:
    """See that a file is a model of its kind, by trying it where that can be done.

    Args:
        file: what is offered.
        sessions: that it is tried with.
        limit: seconds that the trial may take.

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
        _try(file, sessions, limit)


def _try(file: Offered, sessions: Sessions, limit: float) -> None:
    model = model_of(file.name, file.path)
    try:
        try_out(model, sessions, limit)
    except (CodecError, Unfit) as error:
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
        other = [
            file for file in files
            if file.name in linked or not _was_here(store, file, shelf, passed)
        ]  # fmt: skip
        _see_room(store, [file for file in other if file.name not in linked], free)
        parts: list[Part] = []
        for file in other:
            part = _part(file, places[file.name], file.name in linked, passed)
            if not _is_here(store, part.name, part.sha256, shelf):
                word = forced and _doubt(store, file) is not None
                parts.append(replace(part, forced=word))
        store.take(parts, shelf)
    return [part.name for part in parts]


def _linked(link: Callable[[Path, Path], None], source: Path, target: Path) -> bool:
    """Give a file a second name; False where that cannot be, for whatever reason: then copy it."""
    try:
        link(source, target)
    except OSError:
        return False
    return True


def _was_here(store: Store, file: Offered, shelf: Shelf, passed: Callable[[int], None]) -> bool:
    """Tell whether a file need not be copied; it is hashed only where that may be so."""
    state, entry = store.look(file.name, shelf)
    if state != "good" or entry is None:
        return False
    if file.size != entry.size and not entry.optimized_from:
        return False
    with telling(f"{file.path} cannot be read"):
        return _is_here(store, file.name, hash_file(file.path, passed)[0], shelf)


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
    return Part(file.name, place, _as_text(file.path.parent), sha256, stamp, origin)


def _as_text(path: Path) -> str:
    """Return a path that can be shown, also where its name is none in UTF-8."""
    return os.fsencode(path).decode(errors="replace")


def _is_here(store: Store, name: str, sha256: str | None, shelf: Shelf) -> bool:
    """Tell whether a file is on the shelf already, as it is or optimised."""
    state, entry = store.look(name, shelf)
    if sha256 is None or state != "good" or entry is None:
        return False
    return sha256 in (entry.sha256, entry.optimized_from)
