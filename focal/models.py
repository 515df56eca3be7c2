"""``focal models``: what is here of FocalCodec, and how the rest gets here.

The law of this module: it says what there is and decides what to do; files are changed by the
store and by what brings them in, makes them smaller or pulls them (plugins/models).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .core.errors import ModelError, SettingsError
from .plugins.models import Models, Sessions
from .plugins.models.bring import Offered, bring, offered, see_inside, see_sizes
from .plugins.models.bring import can_look as can_look
from .plugins.models.bring import is_hearsay as is_hearsay
from .plugins.models.catalogue import ENCODER, QUALITIES, Published
from .plugins.models.disk import PART, lock, mega, telling
from .plugins.models.hub import LOCK, Progress, kept, part_path, pull
from .plugins.models.kinds import model_of, quality_of
from .plugins.models.slim import AlreadySlim, slim
from .plugins.models.store import SHELVES, Part, Shelf, Store
from .results import Lacking, Model, Optimized, Quality, Removed, Weights
from .settings import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Count: TypeAlias = Callable[[str, int, int], None]
"""Told what is worked on, how many of its bytes are done, and how many it has."""

LOCAL = "-local"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A quality that somebody named, and the shelf that it is on."""

    quality: Published
    shelf: Shelf

    @property
    def name(self) -> str:
        """As in ``--quality``."""
        return self.quality.name + (LOCAL if self.shelf == "local" else "")

    @property
    def to_send(self) -> tuple[str, ...]:
        """The files that it takes; payloads of local weights say which decoder they are for."""
        files = self.quality.files
        return files if self.shelf == "local" else files[:2]


ALL = tuple(Wanted(quality, shelf) for shelf in SHELVES for quality in QUALITIES)


PUBLISHED = tuple(one for one in ALL if one.shelf == "published")


def wanted(words: Iterable[str], choices: Iterable[Wanted] = ALL) -> list[Wanted]:
    """Return the qualities of these names.

    Args:
        words: the names.
        choices: what a wrong name is told to be one of; a right one may be another.

    Raises:
        SettingsError: one is not known.
    """
    known = {one.name: one for one in ALL}
    for word in words:
        if word not in known:
            near = nearest(word, [one.name for one in choices])
            raise SettingsError(f"there are no models of {word!r}{near}")
    return [known[word] for word in dict.fromkeys(words)]


# What there is ------------------------------------------------------------------------------


def listing(store: Store) -> tuple[Weights, list[Quality], list[Model]]:
    """Return where models are, which qualities they make, and what they are.

    Raises:
        ModelError: they cannot be read.
    """
    models = [model for shelf in SHELVES for model in _models(store, shelf)]
    local = any(model.shelf == "local" for model in models)
    rows = [_quality(store, one) for one in ALL if one.shelf == "published" or local]
    size = sum(model.bytes or 0 for model in models if model.state == "good")
    return Weights(str(store.folder), len(models), size), rows, models


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A file in the store that is not whole.

    Args:
        path: of what there is.
        bytes: that it has.
        what: to do with it.
    """

    path: str
    bytes: int
    what: str

    def __str__(self) -> str:
        return f"{self.path} has {mega(self.bytes)}: {self.what}"


def unfinished(store: Store) -> list[Unfinished]:
    """Return what is there of files that are not whole. Raises ModelError: it cannot be read."""
    with telling(f"{store.folder} cannot be read"):
        return [
            one
            for shelf in SHELVES
            for name in store.sizes
            for path in sorted((store.folder / shelf).glob(f"*{name}*{PART}"))
            if (one := _unfinished(store, name, path))
        ]


def _unfinished(store: Store, name: str, path: Path) -> Unfinished | None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:  # it has become a file meanwhile
        return None
    if path.name.startswith("."):
        what = (
            "it is being made, or was left; the next `focal models import` or `optimize` removes it"
        )
    elif path != part_path(store, name) or store.look(name)[0] == "good":
        what = "no pull needs it any more, delete it"
    else:
        pull = f"`focal models pull {quality_of(name).name}` goes on from there"
        what = f"{name} has come so far of {mega(store.sizes[name])}; {pull}"
    return Unfinished(str(path), size, what)


def qualities_of(store: Store, those: Iterable[Wanted]) -> list[Quality]:
    """Return what is here of some qualities. Raises ModelError: it cannot be read."""
    return [_quality(store, one) for one in those]


def verify(store: Store, count: Count) -> Iterator[Model]:
    """Hash every file again and yield what it is. Raises ModelError: one cannot be read."""
    for shelf in SHELVES:
        yield from _models(store, shelf, count)


def _models(store: Store, shelf: Shelf, count: Count | None = None) -> Iterator[Model]:
    record = store.record(shelf)
    for name in store.sizes:
        if name in record or os.path.exists(store.path(name, shelf)):
            yield _model(store, name, shelf, count)


def _model(store: Store, name: str, shelf: Shelf, count: Count | None = None) -> Model:
    """Return what a file is; with ``count`` it is hashed again."""
    path = store.path(name, shelf)
    if count is None:
        state, entry = store.look(name, shelf)
    else:
        size = path.stat().st_size if os.path.exists(path) else 0
        state, entry = store.look(name, shelf, again=True, passed=_passing(name, size, count))
    if entry is None:
        return Model(name, shelf, state, str(path))
    return Model(
        file=name,
        shelf=shelf,
        state=state,
        path=str(path),
        bytes=entry.size,
        sha256=entry.sha256,
        source=entry.source,
        at=entry.at,
        optimized_from=entry.optimized_from,
        forced=entry.forced,
    )


def _passing(name: str, size: int, count: Count) -> Callable[[int], None]:
    """Return what is told how many bytes more have passed, and counts them together."""
    done = 0

    def passed(more: int) -> None:
        nonlocal done
        done += more
        count(name, done, size)

    return passed


def _quality(store: Store, one: Wanted) -> Quality:
    missing = [name for name in one.quality.files if store.look(name, one.shelf)[0] != "good"]
    return Quality(
        name=one.name,
        shelf=one.shelf,
        send=not any(name in missing for name in one.to_send),
        receive=one.quality.decoder not in missing,
        missing=tuple(_lacking(store, name, one.shelf) for name in missing),
    )


def _lacking(store: Store, name: str, shelf: Shelf = "published") -> Lacking:
    with telling(f"what is here of {name} cannot be read"):
        return Lacking(name, None if shelf == "local" else store.sizes[name] - kept(store, name))


# What comes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What a download is to bring.

    Args:
        names: of the files that the qualities take.
        missing: those of them that are not here, and what is to come of each.
        kept: bytes of each of these that are here already.
    """

    names: tuple[str, ...]
    missing: tuple[Lacking, ...]
    kept: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """That are to come."""
        return sum(one.bytes or 0 for one in self.missing)


def to_pull(store: Store, those: Iterable[Wanted], decoder_only: bool) -> Plan:
    """Return which files published qualities take, and which of them are missing.

    Args:
        store: where they go.
        those: the qualities.
        decoder_only: leave away what encodes.

    Raises:
        SettingsError: one is not published.
        ModelError: the store cannot be read.
    """
    names: dict[str, None] = {}
    for one in those:
        if one.shelf == "local":
            raise SettingsError(
                f"{one.name} is weights of your own: focal models import DIR --any-weights"
            )
        names |= dict.fromkeys([one.quality.decoder] if decoder_only else one.quality.files)
    missing = [_lacking(store, name) for name in names if store.look(name)[0] != "good"]
    here = [store.sizes[one.file] - (one.bytes or 0) for one in missing]
    return Plan(tuple(names), tuple(missing), tuple(here))


def fetch(
    store: Store, plan: Plan, tell: Callable[[Progress], None], *, endpoint: str | None = None
) -> list[Model]:
    """Download what is missing; return what all of the files are then.

    Args:
        store: where they go.
        plan: of ``to_pull``.
        tell: told how it goes.
        endpoint: the address of the hub; None: what huggingface_hub says (``HF_ENDPOINT``).

    Raises:
        ModelError: see ``focal.plugins.models.hub.pull``.
    """
    pull(store, [one.file for one in plan.missing], tell=tell, endpoint=endpoint)
    return [_model(store, name, "published") for name in plan.names]


@dataclass(frozen=True, slots=True)
class Imported:
    """What a folder gave.

    Args:
        took: the files that came in.
        had: those that were here already, as they are or optimised.
        qualities: that have a file among them.
    """

    took: list[Model]
    had: list[Model]
    qualities: list[Quality]


def look_over(
    store: Store,
    sessions: Sessions,
    folder: Path,
    say: Callable[[str], None],
    *,
    any_sizes: bool,
) -> list[Offered]:
    """Return the model files of a folder, each of which was looked at.

    Args:
        store: knows the published sizes.
        sessions: what the files are tried with.
        folder: that has them.
        say: told which file is looked at.
        any_sizes: they need not have the published sizes.

    Raises:
        ModelError: there are none, one is not the published file, or no model of its kind.
    """
    files = offered(folder, store.sizes)
    if not any_sizes:
        see_sizes(store, files)
    for file in files:
        say(f"looking at {file.name}")
        see_inside(file, sessions)
    return files


def bring_in(
    store: Store, files: Sequence[Offered], shelf: Shelf, count: Count, *, forced: bool = False
) -> Imported:
    """Bring files in that were looked at: all of them, or none.

    Args:
        store: where they go.
        files: of ``look_over``.
        shelf: which of the two.
        count: told how much is done.
        forced: they count as the published ones, whatever their sizes.

    Raises:
        ModelError: they cannot be copied.
    """
    passed = _passing("models", sum(file.size for file in files), count)
    took = bring(store, files, shelf, forced=forced, passed=passed)
    return _imported(store, shelf, files, took)


def _imported(store: Store, shelf: Shelf, files: Iterable[Offered], took: list[str]) -> Imported:
    names = [file.name for file in files]
    rows = {name: _model(store, name, shelf) for name in names}
    mine = [one for one in ALL if one.shelf == shelf and {*one.quality.files} & {*names}]
    return Imported(
        [rows[name] for name in names if name in took],
        [rows[name] for name in names if name not in took],
        qualities_of(store, mine),
    )


# What goes, and what gets smaller -----------------------------------------------------------


def remove(store: Store, those: Sequence[Wanted]) -> list[Removed]:
    """Remove what encodes and decodes some qualities, and encoders that nothing needs any more.

    Raises:
        ModelError: another process changes the models, or a file cannot be removed.
    """
    if not store.folder.exists():
        return []
    with store.changing(), _no_pull(store):
        return [row for shelf in SHELVES for row in _remove(store, those, shelf)]


@contextmanager
def _no_pull(store: Store) -> Generator[None]:
    """Keep downloads away for the time of the context. Raises ModelError: one is going on."""
    with ExitStack() as stack:
        with telling(f"the models in {store.folder} cannot be changed"):
            ours = stack.enter_context(lock(store.folder / LOCK, wait=False))
        if not ours:
            raise ModelError(f"another process pulls models into {store.folder}: wait for its end")
        yield


def _remove(store: Store, those: Sequence[Wanted], shelf: Shelf) -> list[Removed]:
    gone = [one.quality for one in those if one.shelf == shelf]
    names = [name for quality in gone for name in (quality.compressor, quality.decoder)]
    left = [one for one in QUALITIES if one not in gone]
    if gone and not any(store.path(one.compressor, shelf).exists() for one in left):
        names.append(ENCODER)
    rows = [row for name in names if (row := _removed(store.path(name, shelf), shelf))]
    store.remove(names, shelf)
    return rows


def _removed(path: Path, shelf: Shelf) -> Removed | None:
    if not path.exists():
        return None
    found = path.stat()
    freed = found.st_size if found.st_nlink == 1 else 0
    return Removed(path.name, shelf, found.st_size, freed)


def optimize(models: Models) -> Iterator[Optimized]:
    """Make the encoders smaller that are here, and yield what became of each.

    Raises:
        ModelError: there is none, each is small already, or one stays as it is; says why.
        CodecMissing: one has changed since it came in.
    """
    there: list[Shelf] = [one for one in SHELVES if models.store.path(ENCODER, one).exists()]
    if not there:
        raise ModelError("there is no encoder here: focal models pull 50hz downloads it")
    failed: list[ModelError] = []
    for shelf in there:
        try:
            yield _optimize(models, shelf)
        except ModelError as error:
            failed.append(error)
    worse = [error for error in failed if not isinstance(error, AlreadySlim)]
    if worse or len(failed) == len(there):
        raise [*worse, *failed][0]


def _optimize(models: Models, shelf: Shelf) -> Optimized:
    store, path = models.store, models.store.path(ENCODER, shelf)
    before = store.entry(ENCODER, shelf)
    if before.optimized_from:
        raise AlreadySlim(f"{path} is optimized already")
    with store.changing(), store.part(ENCODER, shelf) as part:
        slim(path, part, _runner(models) if can_look() else None)
        slimmed = Part(
            ENCODER, part, before.source, optimized_from=before.sha256, forced=before.forced
        )
        store.take([slimmed], shelf)
    after = store.entry(ENCODER, shelf)
    return Optimized(ENCODER, shelf, before.size, after.size, after.sha256, before.sha256)


def _runner(models: Models) -> Callable[[Path, NDArray[np.float32]], NDArray[Any]]:
    """Return what runs an encoder on samples and gives its features."""

    def run(path: Path, samples: NDArray[np.float32]) -> NDArray[Any]:
        with models.sessions.hold():
            return models.sessions.run(model_of(ENCODER, path), samples)["features"]

    return run
