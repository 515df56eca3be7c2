"""Files on a disk: hashed, locked, written whole; and what a disk's refusal means in one line.

The law of this module: a name has all of its file's bytes or those that it had before.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from ...core.errors import ModelError

PART = ".part"
"""How the names of files end that are not whole yet."""

_CHUNK = 1 << 20
_CURES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your disk quota is used up: free some space",
    errno.EFBIG: "the file would be larger than is allowed here (ulimit -f)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "it is not there",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "a file is in its place",
    errno.EISDIR: "it is a folder, not a file",
}


def part_of(path: Path) -> Path:
    """Return the name under which a file is made; a part is made under its own."""
    return path if path.name.endswith(PART) else path.with_name(f".{path.name}{PART}")


def mega(count: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"


def nothing(count: int) -> None:
    """Be told of bytes that passed, and do nothing."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that nobody has touched a file since, without reading it."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, file: Path | int) -> Stamp:
        """Return the stamp of a file, or of what a descriptor is open on. Raises OSError."""
        found = os.stat(file)
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@contextmanager
def telling(doing: str) -> Generator[None]:
    """Tell an OSError in this context in one line, which begins with ``doing``.

    Raises:
        ModelError: the disk refused something.
    """
    try:
        yield
    except OSError as error:
        cure = _CURES.get(error.errno or 0) or error.strerror or str(error)
        raise ModelError(f"{doing}: {cure}") from error


def hash_file(path: Path, passed: Callable[[int], None] = nothing) -> tuple[str, Stamp]:
    """Return a file's SHA-256 in hex digits, and the stamp of what was hashed.

    Args:
        path: the file.
        passed: told how many bytes were read since the last time.

    Raises:
        OSError: it cannot be read, or changes meanwhile.
    """
    hashed = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        stamp = Stamp.of(file.fileno())
        _pour(file, hashed.update, passed)
        if Stamp.of(file.fileno()) != stamp:
            raise OSError(f"{path} is being written")
    return hashed.hexdigest(), stamp


def copy_file(
    source: Path, target: Path, passed: Callable[[int], None] = nothing
) -> tuple[str, Stamp]:
    """Copy a file, safe on the disk when this returns; return SHA-256 and stamp of the copy.

    Raises:
        OSError: it cannot be read or written.
    """
    hashed = hashlib.sha256()
    with source.open("rb", buffering=0) as file, target.open("wb") as copy:

        def take(data: memoryview) -> None:
            hashed.update(data)
            copy.write(data)

        _pour(file, take, passed)
        copy.flush()
        os.fsync(copy.fileno())
    return hashed.hexdigest(), Stamp.of(target)


def _pour(
    file: FileIO, take: Callable[[memoryview], object], passed: Callable[[int], None]
) -> None:
    """Read a file to its end, a piece at a time, always into the same memory."""
    buffer = memoryview(bytearray(_CHUNK))
    while count := file.readinto(buffer):
        take(buffer[:count])
        passed(count)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that has all its bytes, or those of before. One process at a time. OSError."""
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):  # it may never have come to be; the first error is to be told
            part.unlink()
        raise


@contextmanager
def lock(path: Path, *, wait: bool = True) -> Generator[bool]:
    """Own a file for the time of the context, among the threads and processes of this machine.

    Args:
        path: an empty file; it is made, and stays.
        wait: until it is ours.

    Yields:
        Whether it is ours.

    Raises:
        OSError: it cannot be made, or locks do not work where it is.
    """
    with path.open("ab") as file:  # closing it ends the lock, however the process ends
        yield _lock(file, wait)


if sys.platform == "win32":
    import msvcrt
    import time

    def _lock(file: BinaryIO, wait: bool) -> bool:
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EDEADLK):
                    raise
                if not wait:
                    return False
                time.sleep(0.05)
            else:
                return True

else:
    import fcntl

    def _lock(file: BinaryIO, wait: bool) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True
