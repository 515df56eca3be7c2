"""The files of a folder link, as they are on the disk.

The law of this module: everything in it blocks, so everything in it is called in a worker thread;
and a file appears whole or not at all, and is never changed or deleted after.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from ..core.envelope import MAX_ENVELOPE, Envelope
from ..core.errors import FrameError, LinkLost, TransportUnavailable
from ..core.message import Message, Receipt, check_of, id_of


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A file as a listing shows it; the oldest sorts first."""

    mtime: int
    name: str
    size: int

    @property
    def version(self) -> tuple[int, int]:
        """What changes when somebody writes it anew."""
        return self.mtime, self.size


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: an envelope's bytes and its message, or a problem."""

    file: File
    data: bytes = b""
    message: Message | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """All names in a folder, and the files to look into, oldest first."""

    names: set[str]
    new: list[File]


class Folder:
    """The files themselves; every method blocks, so it is called in a worker thread.

    Raises:
        LinkLost: any method, when the folder is not there any more.
    """

    def __init__(self, path: Path, origin: int, make: bool = False) -> None:
        self.path = path
        self._make = make
        self.written: set[str] = set()
        self._origin = f"{origin:08x}"
        self._identity: tuple[int, int] | None = None
        self._writing = Lock()

    def enter(self) -> None:
        """Find the folder; only if it was told to, make it where its parent is there.

        Where a stick is mounted, a folder that is not there is a stick that is not plugged in:
        one that is made would keep on this machine what is to be carried away.

        Raises:
            TransportUnavailable: it cannot be had.
        """
        try:
            if self._make:
                self.path.mkdir(exist_ok=True)
            self._identity = _identity(self.path)
            names = os.listdir(self.path)
        except (FileExistsError, NotADirectoryError) as error:
            raise TransportUnavailable(
                f"{self.path} is, or is in, a file; this link needs a folder"
            ) from error
        except FileNotFoundError as error:
            raise TransportUnavailable(
                f"no folder {self.path}: plug in what it is on, or make it"
                + ("" if self._make else ", or add ?make=1")
            ) from error
        except OSError as error:
            raise TransportUnavailable(f"{self.path} is no folder to use: {why(error)}") from error
        for name in names:
            if name.startswith(".") and name.endswith(f".{self._origin}.tmp"):
                with suppress(OSError):  # ours, of a crash; on a read-only folder it may stay
                    (self.path / name).unlink()

    def listing(self, known: Container[str], bad: Mapping[str, tuple[int, int]]) -> Listing:
        """Return all names, and the files that are not ``known`` nor as ``bad`` as they were."""
        self._check()
        names: set[str] = set()
        new: list[File] = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    names.add(entry.name)
                    if entry.name not in known and _is_name(entry.name):
                        new += _file(entry)
        except OSError as error:
            raise self._lost(error) from error
        return Listing(names, sorted(file for file in new if bad.get(file.name) != file.version))

    def read(self, files: Iterable[File]) -> list[Content]:
        """Read files; those that went meanwhile are left out."""
        self._check()
        return [content for file in files for content in self._read(file)]

    def _read(self, file: File) -> Iterable[Content]:
        try:
            with open(self.path / file.name, "rb") as stream:
                data = stream.read(MAX_ENVELOPE + 1)
            message = Message.from_bytes(Envelope.from_bytes(data).message)
            if file.name.endswith(".ack"):
                Receipt.read(message)
        except FileNotFoundError:
            return ()
        except (OSError, FrameError) as error:
            return (Content(file, problem=why(error)),)
        return (Content(file, data, message),)

    def store(self, data: bytes, message: bytes) -> None:
        """Put a message's envelope in place, unless the message is there.

        Raises:
            OSError: the disk is full, or read-only.
        """
        stem = str(id_of(message))
        twin = f"{stem}-{check_of(message):08x}.focal"
        with self._writing:
            for name in (f"{stem}.focal", twin):
                there = self._message_in(name)
                if there == message:
                    return
                if there is None:
                    return self._put(name, data)
            self._put(twin, data)  # this name is of these bytes: what is in it is damaged

    def store_ack(self, name: str, data: bytes) -> None:
        """Put a receipt in place, unless there is one.

        Raises:
            OSError: the disk is full, or read-only.
        """
        with self._writing:
            if not (self.path / name).exists():
                self._put(name, data)

    def _message_in(self, name: str) -> bytes | None:
        """Return the message in a file: empty if it is damaged, None if there is no such file."""
        try:
            return Envelope.from_bytes((self.path / name).read_bytes()).message
        except FileNotFoundError:
            return None
        except FrameError:
            return b""

    def _put(self, name: str, data: bytes) -> None:
        self._check()
        half = self.path / f".{name}.{self._origin}.tmp"
        self.written.add(name)
        try:
            with open(half, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(half, self.path / name)
            _sync(self.path)
        except OSError:
            with suppress(OSError):  # the first error is the one to tell
                half.unlink(missing_ok=True)
            self._check()
            raise

    def _check(self) -> None:
        """See that it is still the folder that was opened, not the empty place it hung on."""
        try:
            here = _identity(self.path)
        except OSError as error:
            raise self._lost(error) from error
        if here != self._identity:
            raise self._lost(OSError(errno.ENODEV, "another one is in its place"))

    def _lost(self, error: OSError) -> LinkLost:
        return LinkLost(f"the folder {self.path} went away ({why(error)}): plug it in again")


def _identity(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def _file(entry: os.DirEntry[str]) -> Iterable[File]:
    """Return what a listing says of a file: nothing, where it is none."""
    with suppress(OSError):  # just gone, or a link to nowhere
        if entry.is_file():
            stat = entry.stat()
            return (File(stat.st_mtime_ns, entry.name, stat.st_size),)
    return ()


def _is_name(name: str) -> bool:
    return name.endswith((".focal", ".ack")) and not name.startswith(".")


def _sync(path: Path) -> None:
    """Have the folder's own entries on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(handle)


def why(error: Exception) -> str:
    """Say an error in a few words, to stand within a line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error)
