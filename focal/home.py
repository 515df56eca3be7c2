"""The home: the folder that is one node, its files and its locks.

The law of this module: every path in a home is made here, and what is wrong with the folder is
told here, in one line.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Protocol

from .core.errors import SpoolError
from .core.spool import Spool
from .where import PLUGINS
from .where import home_folder as home_folder

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"), Path("/etc/hostid"))


@dataclass(frozen=True, slots=True)
class Home:
    """A node's folder. Any number of processes may use it at once."""

    path: Path

    @classmethod
    def open(cls, folder: Path) -> Home:
        """Make the home if it is not there, and see that it can be written.

        Raises:
            SpoolError: it cannot: not ours, read-only, a file is in its place, the disk is full.
        """
        _make(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise SpoolError(
                f"the home {folder} cannot be written: make it yours, or use another --home"
            )
        return cls(folder)

    @property
    def spool_path(self) -> Path:
        """The outbox, the inbox and the peers."""
        return self.path / "spool.db"

    @property
    def ledger_path(self) -> Path:
        """The airtime that radios have spent."""
        return self.path / "ledger.db"

    @property
    def plugins(self) -> Path:
        """Single-file plugins; it need not exist."""
        return self.path / PLUGINS

    @property
    def links(self) -> Path:
        """The folder of the links' private folders; their transports make them on first use."""
        return self.path / "links"

    def spool(self, durability: str = "power", *, unix: Callable[[], float] = time.time) -> Spool:
        """Open the spool.

        Raises:
            SpoolError: see ``Spool.open``.
        """
        return Spool.open(
            self.spool_path,
            durability="process" if durability == "process" else "power",
            unix=unix,
            machine=machine_id(_ID_FILES),
        )

    @contextmanager
    def owning(self, things: Mapping[str, Keyed]) -> Generator[Owned]:
        """Try to own links or sinks for the time of the context; give those that are ours.

        Raises:
            SpoolError: the home cannot be written.
        """
        with ExitStack() as stack:
            owned = Owned(self, things, stack)
            owned.take()
            yield owned

    @contextmanager
    def lock(self, name: str) -> Generator[bool]:
        """Try to own something for the time of the context; do not wait for it.

        The lock ends with the process, however that ends. The same name again in the same process
        is as in another one: it is not owned twice.

        Args:
            name: of what: a link's canonical key, ``speaker``.

        Yields:
            Whether we own it.

        Raises:
            SpoolError: the home cannot be written.
        """
        file = self._lock_file(name)
        with file:  # closing it ends the lock; the file stays, so that all lock the same one
            yield _try_lock(file)

    def owned(self, name: str) -> bool:
        """Whether a process has this link or sink open now. Raises SpoolError as ``lock``."""
        with self.lock(name) as free:
            return not free

    def _lock_file(self, name: str) -> BinaryIO:
        path = self.path / "locks" / f"{_file_name(name)}.lock"
        _make(path.parent)
        try:
            return path.open("ab")
        except OSError as error:
            raise SpoolError(f"cannot lock {path}: {_reason(error)}") from error


class Keyed(Protocol):
    """A link or a sink: what has one owner at a time."""

    @property
    def key(self) -> str:
        """Its one name, whatever users call it."""
        ...


class Owned:
    """What is ours, and what other processes of the home own; ``Home.owning``.

    Attributes:
        names: the names of those that are ours.
    """

    def __init__(self, home: Home, things: Mapping[str, Keyed], stack: ExitStack) -> None:
        self.names: list[str] = []
        self._home = home
        self._things = things
        self._stack = stack

    @property
    def elsewhere(self) -> list[str]:
        """The names of what another process owns, as far as we know."""
        return [name for name in self._things if name not in self.names]

    def take(self) -> list[str]:
        """Own what nobody owns (any more); return the names that became ours by it.

        Raises:
            SpoolError: the home cannot be written.
        """
        taken = [name for name in self.elsewhere if self._try(self._things[name].key)]
        self.names += taken
        return taken

    def _try(self, key: str) -> bool:
        with ExitStack() as attempt:
            if attempt.enter_context(self._home.lock(key)):
                self._stack.push(attempt.pop_all())
                return True
        return False


def machine_id(files: Iterable[Path]) -> str:
    """Return what tells this machine from others, empty if nothing does.

    It is a hash: machine ids are not for writing down as they are (machine-id(5)).

    Args:
        files: that may hold it, the first that does counts; else the system is asked.
    """
    found = _from_files(files) or _from_system()
    return blake2b(found.encode(), digest_size=16, person=b"focal").hexdigest() if found else ""


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolError(
            f"cannot make the folder {folder}: {_reason(error)}; use another --home"
        ) from error


def _reason(error: OSError) -> str:
    known = {
        errno.EEXIST: "a file is in its place",
        errno.ENOTDIR: "a file is in its place",
        errno.ENOSPC: "the disk is full",
        errno.EROFS: "the disk is read-only",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
    }
    return known.get(error.errno or 0, error.strerror or str(error))


def _file_name(name: str) -> str:
    """Return a file name for any text: itself where it is plain, else readable and unique."""
    if _PLAIN.fullmatch(name):
        return name
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{readable}.{blake2b(name.encode(), digest_size=8).hexdigest()}"


def _from_files(files: Iterable[Path]) -> str:
    for file in files:
        with suppress(OSError, UnicodeDecodeError):  # not on this system; the next one may be
            text = file.read_text(encoding="ascii").strip()
            if text and text != "uninitialized":
                return text
    return ""


if sys.platform == "win32":
    import msvcrt
    import winreg

    def _try_lock(file: BinaryIO) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise SpoolError(f"cannot lock {file.name}: {_reason(error)}") from error
        return True

    def _from_system() -> str:
        with suppress(OSError):  # a Windows without the key tells nothing
            with winreg.OpenKey(
                winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography"
            ) as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        return ""

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise SpoolError(f"cannot lock {file.name}: {_reason(error)}") from error
        return True

    def _from_system() -> str:
        if sys.platform != "darwin":
            return ""
        asked = ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
        with suppress(OSError, subprocess.SubprocessError):  # then nothing tells it
            told = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True)
            found = re.search(r'"IOPlatformUUID" = "([^"]+)"', told.stdout)
            return found[1] if found else ""
        return ""
