"""Files that are there whole or not at all, and what a disk's refusal means in one line.

The law of this module: a file gets its name only after its bytes are safe on the disk; a process
that is killed on the way leaves at most one hidden file, which the next attempt removes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..core.errors import SinkError

T = TypeVar("T")

_ATTEMPTS = 3
"""To write a file that another process writes too: each takes away the other's half of it."""

_CURES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your disk quota is used up: free some space",
    errno.EFBIG: "the file would be larger than is allowed here (ulimit -f)",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.EACCES: "it may not be written: change its permissions or choose another place",
    errno.EPERM: "it may not be written: change its permissions or choose another place",
    errno.ENOENT: "there is no such folder: make it first",
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another place",
    errno.EEXIST: "it is a file, not a folder: choose another place",
    errno.EISDIR: "it is a folder, not a file: choose another name",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


def refused(path: Path | str, error: OSError) -> SinkError:
    """Return the error that tells the user why ``path`` cannot be written and what to do."""
    cure = _CURES.get(error.errno or 0) or error.strerror or str(error)
    return SinkError(f"{path} cannot be written: {cure}")


def named(rest: str, usage: str) -> Path:
    """Return the path that stands after a sink's name.

    Raises:
        SinkError: nothing stands there, or ``~somebody`` has no home; ``usage`` is what to write.
    """
    try:
        if rest:
            return Path(rest).expanduser()
    except RuntimeError as error:
        raise SinkError(f"{rest}: there is no such user's folder; write {usage}") from error
    raise SinkError(f"no name was given: write {usage}")


def make_folder(folder: Path) -> None:
    """Make a folder, where it is not there yet, and prove that it can be written.

    Raises:
        SinkError: it cannot be made or written, or its parent is missing.
    """
    try:
        if not folder.is_dir():
            folder.mkdir()
        probe(folder)
    except OSError as error:
        raise refused(folder, error) from error


def probe(folder: Path) -> None:
    """Write one byte into a file without a name; OSError where that cannot be done."""
    # Resolved, because tempfile drops ``x/..`` from a path even where x is a link.
    with tempfile.TemporaryFile(dir=folder.resolve()) as file:
        file.write(b"?")
        file.flush()


async def to_its_end(work: Callable[[], T]) -> T:
    """Run a function that writes in a thread and return its result; cancelled, wait for its end.

    A thread cannot be stopped. Whoever comes next, or closes the file, must not meet one that
    still writes.
    """
    task = asyncio.create_task(asyncio.to_thread(work))
    cut: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cut = error
    if cut is not None:
        task.exception()  # looked at, so that nobody reports it: who cancelled does not want it
        raise cut
    return task.result()


def write_whole(path: Path, blocks: Iterable[bytes], stem: str | None = None) -> None:
    """Write a file that appears under its name with all its bytes or not at all.

    Several processes may write it at once: each has a half of its own, and one of the whole files
    stays.

    Args:
        path: its name; a file that stands there is replaced.
        blocks: its bytes, one block after another; they are gone through again in a new attempt.
        stem: what tells the halves of this file in its folder; by default ``path``'s name.

    Raises:
        SinkError: disk full, read-only, no such folder.
    """
    stem = f".{stem or path.name}."
    for left in reversed(range(_ATTEMPTS)):
        part = path.with_name(f"{stem}{secrets.token_hex(4)}.part")
        try:
            _clear(path.parent, stem)
            _write(part, blocks)
            part.replace(path)
            return _sync_folder(path.parent)
        except OSError as error:
            with suppress(OSError):  # it may never have come to be; the first error is to be told
                part.unlink()
            if left and isinstance(error, FileNotFoundError) and path.parent.is_dir():
                continue  # another process took our half for one of a dead one
            raise refused(path, error) from error
        except BaseException:  # Ctrl-C, or whoever makes the blocks: no half is left behind
            part.unlink(missing_ok=True)
            raise


def _clear(folder: Path, stem: str) -> None:
    """Remove the halves of a file that processes left which were killed."""
    for name in os.listdir(folder):
        if name.startswith(stem) and name.endswith(".part"):
            (folder / name).unlink(missing_ok=True)


def _write(path: Path, blocks: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(blocks)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself safe; only POSIX lets a folder be opened for that."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
