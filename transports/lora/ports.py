"""The ways to a node: which is meant, how long it may take, and why it cannot be used.

The law of this module: whatever is wrong is one line that says what to do. It opens nothing, and
knows no library.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...core.errors import TransportUnavailable


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a node may take, in seconds.

    Args:
        dial: to answer a TCP connection.
        greeting: to say its first word once it is connected.
        silence: between two messages while it tells its configuration.
        write: to take a packet.
        close: to end.
        beat: between two heartbeats; one that used to answer them is lost when it does not.
    """

    dial: float = 10.0
    greeting: float = 8.0
    silence: float = 15.0
    write: float = 10.0
    close: float = 3.0
    beat: float = 60.0


class Rivals:
    """Tells a node that restarted from one that another program takes, again and again.

    A node has one TCP client: whoever comes takes it from whoever is there, who comes back.
    """

    WITHIN = 300.0

    def __init__(self) -> None:
        self._closed: deque[float] = deque(maxlen=2)
        self._met = False

    def met(self) -> None:
        """It is a node that is there: it has spoken Meshtastic's protocol. From any thread."""
        self._met = True

    def closed(self, where: str, now: float) -> str:
        """Say why a node, or whatever is there in its place, closed the connection."""
        if not self._met:
            return f"{where} closed the connection and said nothing: is something else there?"
        self._closed.append(now)
        if len(self._closed) < 2 or self._closed[0] < now - self.WITHIN:
            return f"{where} closed the connection: it restarted, or another program took it"
        return (
            f"another program uses {where} too, and each takes it from the other (or it keeps "
            "restarting): end one of the two"
        )


class Finder:
    """Finds the one serial port at which there may be a radio.

    Args:
        ports: lists them.
    """

    def __init__(self, ports: Callable[[], Sequence[str]]) -> None:
        self._ports = ports
        self._looked = False
        self._first: str | None = None

    def first(self) -> str | None:
        """Return the one that there was when this was first asked; None: several, or none.

        Raises:
            TransportUnavailable: nobody can tell, because the library is missing.
        """
        if not self._looked:
            found = self._ports()
            self._looked, self._first = True, found[0] if len(found) == 1 else None
        return self._first

    def one(self) -> str:
        """Return the one that there is now: the first as long as it is there.

        Raises:
            TransportUnavailable: there are several, or none.
        """
        first = self.first()
        return first if first and os.path.exists(first) else the_one(self._ports())


def stranger(where: str, noise: bytes) -> str:
    """Say that what answers is no node, and what it says."""
    line = noise.decode("ascii", "replace").strip().splitlines()[:1]
    words = "".join(c for c in "".join(line) if c.isascii() and c.isprintable())
    said = f" (it says {words!r})" if words else ""
    return f"{where} does not speak Meshtastic's protocol{said}: is something else there?"


def the_one(ports: Sequence[str]) -> str:
    """Return the only serial port there is.

    Raises:
        TransportUnavailable: there are several, or none.
    """
    if len(ports) == 1:
        return ports[0]
    if ports:
        raise TransportUnavailable(
            f"several serial ports may be a radio: say which, as in lora://{ports[0]} "
            f"(found {', '.join(ports)})"
        )
    raise TransportUnavailable(
        "no radio was found at a serial port: plug one in (with a cable that carries data), or say "
        "where it is: lora:///dev/ttyUSB0, lora://HOST, lora+ble://NAME"
    )


def port_trouble(path: str, error: Exception) -> str:
    """Say why a serial port cannot be used, or what ended its use."""
    code = getattr(error, "errno", None) or (error.args[0] if error.args else None)
    match code:
        case errno.ENOENT | errno.ENXIO | errno.ENODEV:
            return f"there is no serial port {path}: is the radio plugged in?"
        case errno.EACCES | errno.EPERM:
            return _permission(path)
        case errno.EBUSY | errno.EAGAIN:
            return f"another program uses {path}: end it"
        case errno.ENOTTY | errno.EISDIR | errno.EINVAL:
            return f"{path} is no serial port"
        case errno.EIO:
            return f"{path} is gone: the radio was unplugged, or restarted"
        case str() if "no data" in code:  # what pyserial says of a port that is ready and empty
            return f"{path} gives no data: the radio was unplugged, or another program reads it too"
        case _:
            return f"the radio at {path}: {' '.join(str(error).split())}"


def _permission(path: str) -> str:
    try:
        about = os.stat(path)
    except OSError:  # in a folder that we may not even look into
        return f"no permission to use {path}"
    if about.st_mode & (stat.S_IRGRP | stat.S_IWGRP) != stat.S_IRGRP | stat.S_IWGRP:
        return f"no permission to use {path}: only its owner has it"
    group = _group(about.st_gid)
    return (
        f"no permission to use {path}: it is for the group {group}; join it by "
        f"sudo usermod -aG {group} $USER, and log in again"
    )


def _group(number: int) -> str:
    try:
        import grp
    except ImportError:  # a system without groups
        return str(number)
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
