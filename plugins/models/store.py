"""The model files in their folder: which are there, and whether they are what they were.

The law of this module: a file's SHA-256 is written down when it comes in, and a file that has
changed since is not used. Files come in whole and all together, or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ...core.errors import CodecMissing, ModelError
from .catalogue import SIZES
from .disk import PART, Stamp, hash_file, lock, nothing, part_of, telling
from .kinds import quality_of
from .record import Entry, read_record, write_record

Shelf: TypeAlias = Literal["published", "local"]
"""The published weights, or weights of somebody's own; each set in a folder of its name."""

SHELVES: tuple[Shelf, ...] = get_args(Shelf)

State: TypeAlias = Literal["good", "changed", "missing", "unknown"]
"""What a file is: what it was; other bytes than came in; not here; not known where it is from."""

FOUND = "the folder itself"
"""Where a file came from that somebody copied to its place."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is about to come in.

    Args:
        name: of the catalogue.
        path: where it is now, on the same disk; it is moved.
        source: where it came from.
        sha256: in hex digits; None: it is not hashed yet.
        stamp: what the file looked like when it was hashed; None: as it looks now.
        optimized_from: the SHA-256 of the published file that it was made of.
        forced: it counts as published though its size is another.
    """

    name: str
    path: Path
    source: str
    sha256: str | None = None
    stamp: Stamp | None = None
    optimized_from: str | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """The model files of one machine. Usable from any thread, and by several processes at once.

    Args:
        folder: has the folders ``published`` and ``local``; it need not exist.
        sizes: the published files by name, and how many bytes each has.
        unix: the wall clock.
    """

    folder: Path
    sizes: Mapping[str, int] = field(default_factory=lambda: SIZES)
    unix: Callable[[], float] = time.time
    _unkept: dict[Path, Entry] = field(default_factory=dict[Path, Entry], repr=False, compare=False)

    def path(self, name: str, shelf: Shelf = "published") -> Path:
        """Return where a file is, or would be."""
        return self.folder / shelf / name

    def check(self, name: str, shelf: Shelf = "published") -> None:
        """See that a file is what it was when it came in; quick where nothing has touched it.

        Raises:
            CodecMissing: it is not there, cannot be read, or has changed; says what to do.
        """
        self.entry(name, shelf)

    def sha256(self, name: str, shelf: Shelf = "published") -> bytes:
        """Return a file's hash as it was written down, 32 bytes.

        Raises:
            CodecMissing: as ``check``.
        """
        return bytes.fromhex(self.entry(name, shelf).sha256)

    def entry(self, name: str, shelf: Shelf = "published") -> Entry:
        """Return what is written down of a file, which is what it was.

        Raises:
            CodecMissing: as ``check``.
        """
        try:
            state, entry = self.look(name, shelf)
        except ModelError as error:
            raise CodecMissing(str(error)) from error
        if entry is None or state != "good":
            raise CodecMissing(self._trouble(name, shelf, state))
        return entry

    def look(
        self,
        name: str,
        shelf: Shelf = "published",
        *,
        again: bool = False,
        passed: Callable[[int], None] = nothing,
    ) -> tuple[State, Entry | None]:
        """Return what a file is, and what is written down of it.

        A published file without a record is written down now, if it has the published size.

        Args:
            name: of the catalogue.
            shelf: which of the two.
            again: hash it, also where nothing has touched it.
            passed: told how many bytes were hashed since the last time.

        Raises:
            ModelError: the file or the record cannot be read.
        """
        with telling(f"{self.path(name, shelf)} cannot be read"):
            state, entry = self._look(name, shelf, again, passed)
            if state in ("changed", "unknown") and self._settled():
                return self._look(name, shelf, again, nothing)
            return state, entry

    def _settled(self) -> bool:
        """Wait for who moves files to their places now; False where nobody can."""
        try:
            with lock(self.folder / "record.lock"):
                return True
        except OSError:
            return False

    def _look(
        self, name: str, shelf: Shelf, again: bool, passed: Callable[[int], None]
    ) -> tuple[State, Entry | None]:
        path = self.path(name, shelf)
        known = self._unkept.get(path) or self.record(shelf).get(name)
        try:
            stamp = Stamp.of(path)
        except FileNotFoundError:
            return "missing", known
        if known is not None and known.stamp == stamp and not again:
            return "good", known
        return self._hashed(name, shelf, known, stamp, passed)

    def _hashed(
        self,
        name: str,
        shelf: Shelf,
        known: Entry | None,
        stamp: Stamp,
        passed: Callable[[int], None],
    ) -> tuple[State, Entry | None]:
        if known is None and (shelf == "local" or stamp.size != self.sizes[name]):
            return "unknown", None
        if known is not None and known.size != stamp.size:
            return "changed", known
        sha256, stamp = hash_file(self.path(name, shelf), passed)
        if known is not None and known.sha256 != sha256:
            return "changed", known
        known = known or Entry(stamp.size, sha256, FOUND, self.unix(), 0, 0)
        entry = replace(known, mtime_ns=stamp.mtime_ns, inode=stamp.inode)
        self._keep_stamp(name, shelf, entry)
        return "good", entry

    def _keep_stamp(self, name: str, shelf: Shelf, entry: Entry) -> None:
        """Write down that a file was hashed; where nothing can be written, for this process."""
        path = self.path(name, shelf)
        try:
            with self._record(shelf) as record:
                if name not in record or record[name].sha256 == entry.sha256:
                    record[name] = entry  # else another process has brought in another one
            self._unkept.pop(path, None)
        except OSError:
            self._unkept[path] = entry

    def record(self, shelf: Shelf) -> dict[str, Entry]:
        """Return what is written down of a shelf's files. Raises ModelError: it cannot be read."""
        return read_record(self.folder / shelf)

    def _trouble(self, name: str, shelf: Shelf, state: State) -> str:
        path = self.path(name, shelf)
        bring = "`focal models import DIR --any-weights`"
        pull = f"`focal models pull {quality_of(name).name}`"
        match state, shelf:
            case "changed", "published":
                return f"{path} has changed since it came in: {pull} or import it again"
            case "changed", "local":
                return f"{path} has changed since it came in: import it again, {bring}"
            case "unknown", "published":
                cure = f"{pull}, or import it with --any-weights if these are weights of your own"
                return f"{path} has not the published {self.sizes[name]} bytes: {cure}"
            case "unknown", "local":
                return f"{path} was put there by hand: {bring} brings it in"
            case _:
                return f"{path} is not here: {pull if shelf == 'published' else bring}"

    # What comes and goes --------------------------------------------------------------------

    @contextmanager
    def changing(self, *, wait: bool = False) -> Generator[None]:
        """Be the only one that makes parts, for the time of the context.

        Parts that a killed process left are removed first.

        Raises:
            ModelError: another process is at it, or the folder cannot be written.
        """
        with ExitStack() as stack:
            with telling(f"the models in {self.folder} cannot be changed"):
                for shelf in SHELVES:
                    (self.folder / shelf).mkdir(parents=True, exist_ok=True)
                ours = stack.enter_context(lock(self.folder / "change.lock", wait=wait))
            if not ours:
                raise ModelError(
                    f"another process is changing the models in {self.folder}: wait for its end"
                )
            with telling(f"the models in {self.folder} cannot be changed"):
                for left in self.parts():
                    left.unlink(missing_ok=True)
            yield

    def parts(self) -> list[Path]:
        """Return what is being made, or was left by a killed process. Raises OSError."""
        return [
            path
            for shelf in SHELVES
            for name in self.sizes
            for path in sorted((self.folder / shelf).glob(f".*{name}*{PART}"))
        ]

    @contextmanager
    def part(self, name: str, shelf: Shelf = "published") -> Generator[Path]:
        """Give a name beside a file's place to make it under; what is left there is removed.

        Only for who is ``changing``: another process makes it under the same name.

        Raises:
            ModelError: it cannot be removed.
        """
        path = part_of(self.path(name, shelf))
        try:
            yield path
        finally:
            with telling(f"{path} cannot be removed"):
                path.unlink(missing_ok=True)

    def take(
        self,
        parts: Sequence[Part],
        shelf: Shelf = "published",
        passed: Callable[[int], None] = nothing,
    ) -> None:
        """Move files to their places and write down what they are, all together.

        Args:
            parts: the files; those without a hash are hashed first.
            shelf: which of the two.
            passed: told how many bytes were hashed since the last time.

        Raises:
            ModelError: the folder or the record cannot be written, or a part cannot be read.
        """
        with telling(f"the models in {self.folder} cannot be changed"):
            (self.folder / shelf).mkdir(parents=True, exist_ok=True)
            entries = {part.name: self._entry_of(part, passed) for part in parts}
            _to_its_end(partial(self._take, shelf, parts, entries))

    def _entry_of(self, part: Part, passed: Callable[[int], None]) -> Entry:
        sha256, stamp = part.sha256, part.stamp or Stamp.of(part.path)
        if sha256 is None:
            sha256, stamp = hash_file(part.path, passed)
        return Entry(
            size=stamp.size,
            sha256=sha256,
            source=part.source,
            at=self.unix(),
            mtime_ns=stamp.mtime_ns,
            inode=stamp.inode,
            optimized_from=part.optimized_from,
            forced=part.forced,
        )

    def _take(self, shelf: Shelf, parts: Sequence[Part], entries: Mapping[str, Entry]) -> None:
        with self._record(shelf) as record:
            for part in parts:
                part.path.replace(self.path(part.name, shelf))
                record[part.name] = entries[part.name]
                self._unkept.pop(self.path(part.name, shelf), None)

    def remove(self, names: Iterable[str], shelf: Shelf = "published") -> None:
        """Remove files, their parts, and what is written down of them; none of it need be there.

        Raises:
            ModelError: a file or the record cannot be changed.
        """
        with telling(f"the models in {self.folder} cannot be changed"):
            if (self.folder / shelf).is_dir():
                _to_its_end(partial(self._remove, shelf, tuple(names)))

    def _remove(self, shelf: Shelf, names: Sequence[str]) -> None:
        with self._record(shelf) as record:
            for name in names:
                self.path(name, shelf).unlink(missing_ok=True)
                for left in (self.folder / shelf).glob(f"*{name}*{PART}"):
                    left.unlink(missing_ok=True)
                record.pop(name, None)
                self._unkept.pop(self.path(name, shelf), None)

    @contextmanager
    def _record(self, shelf: Shelf) -> Generator[dict[str, Entry]]:
        """Give what is written down of a shelf, alone; what it says at the end is kept."""
        with lock(self.folder / "record.lock"):
            record = self.record(shelf)
            before = dict(record)
            try:
                yield record
            finally:  # also where the second of two files could not be moved: the first was
                if record != before:
                    write_record(self.folder / shelf, record)


def _to_its_end(work: Callable[[], None]) -> None:
    """Run what must not be left half done: Ctrl-C interrupts this thread only, after its end."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()
