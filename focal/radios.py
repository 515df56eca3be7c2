"""Which serial ports there are, who may use them and who does: facts for the doctor.

The law of this module: it opens no port, because opening one restarts some boards. pyserial, which
comes with the extra ``lora``, is imported only where it is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from .checks import Port

PROC = Path("/proc")


def ports() -> list[Port] | None:
    """Return the serial ports that are on USB; None: that cannot be told without pyserial."""
    if find_spec("serial") is None:
        return None
    from serial.tools import list_ports

    found = sorted((one.device, one.description) for one in list_ports.comports() if one.vid)
    return [port(Path(device), description) for device, description in found]


def port(device: Path, description: str = "", proc: Path = PROC) -> Port:
    """Return what there is to know of a port without opening it.

    Args:
        device: as ``/dev/ttyUSB0``.
        description: what its driver says it is.
        proc: where the system tells of its processes.
    """
    return Port(
        str(device),
        description,
        usable=os.access(device, os.R_OK | os.W_OK),
        group=_group(device),
        holder=_holder(device, proc),
    )


def _group(device: Path) -> str | None:
    with suppress(OSError, KeyError, NotImplementedError):  # gone, no such group, Windows
        return device.group()
    return None


def _holder(device: Path, proc: Path) -> str | None:
    """Return which process has a port, ``meshtastic (4711)``; None: none that can be told.

    Locks are told of everybody's processes, open files of our own; root is told of all.
    """
    for pid in (*_locking(device, proc), *_opening(device, proc)):
        if pid != str(os.getpid()):
            return f"{_name(pid, proc)} ({pid})"
    return None


def _locking(device: Path, proc: Path) -> Iterator[str]:
    """Yield who has locked it, as who opens a port for himself alone does, see proc_locks(5)."""
    with suppress(OSError):  # no port, or another system
        found = device.stat()
        place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in (proc / "locks").read_text().splitlines():
            words = line.split()
            if place in words:
                yield words[words.index(place) - 1]


def _opening(device: Path, proc: Path) -> Iterator[str]:
    for process in proc.glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is not ours
            if any(os.readlink(file) == str(device) for file in (process / "fd").iterdir()):
                yield process.name


def _name(pid: str, proc: Path) -> str:
    with suppress(OSError):
        return (proc / pid / "comm").read_text().strip()
    return "a process"
