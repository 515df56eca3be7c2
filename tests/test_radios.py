"""Ports are looked at without being opened; who has one is told from what the system shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from focal.radios import port, ports
from tests.needs import needs

LOCK = """
import fcntl, sys
file = open(sys.argv[1], "rb+", buffering=0)
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Return a file in the place of a port."""
    path = tmp_path / "ttyUSB0"
    path.touch()
    return path


def told(proc: Path, pid: int, *, locks: str = "", opened: Path | None = None) -> Path:
    """Write what a system would tell of a process."""
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text("meshtastic\n")
    (proc / "locks").write_text(locks)
    if opened:
        (proc / str(pid) / "fd" / "5").symlink_to(opened)
    return proc


def test_a_free_port_is_usable(device: Path, tmp_path: Path) -> None:
    found = port(device, "CP2102", tmp_path / "proc")
    assert (found.device, found.description, found.usable) == (str(device), "CP2102", True)
    assert (found.group, found.holder) == (device.group(), None)


def test_a_port_that_is_gone_is_not_usable(tmp_path: Path) -> None:
    found = port(tmp_path / "gone", proc=tmp_path)
    assert (found.usable, found.group, found.holder) == (False, None, None)


def test_who_has_opened_a_port_is_told(device: Path, tmp_path: Path) -> None:
    proc = told(tmp_path / "proc", 4711, opened=device)
    assert port(device, proc=proc).holder == "meshtastic (4711)"


def test_who_has_locked_a_port_is_told_though_he_is_somebody_else(
    device: Path, tmp_path: Path
) -> None:
    found = device.stat()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    lines = (
        f"1: POSIX  ADVISORY  READ  7 00:01:1 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 {place} 0 EOF"
    )
    proc = told(tmp_path / "proc", 4711, locks=lines)
    assert port(device, proc=proc).holder == "meshtastic (4711)"
    (proc / "4711" / "comm").unlink()
    assert port(device, proc=proc).holder == "a process (4711)"


def test_we_do_not_stand_in_our_own_way(device: Path, tmp_path: Path) -> None:
    proc = told(tmp_path / "proc", os.getpid(), opened=device)
    assert port(device, proc=proc).holder is None


def test_a_real_process_is_found(device: Path) -> None:
    needs("/proc", Path("/proc/locks").exists())
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(device)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == b"locked\n"
        found = port(device)
        holder.communicate()
    assert found.holder is not None and str(holder.pid) in found.holder
    assert port(device).holder is None


def test_the_ports_of_this_machine_can_be_listed() -> None:
    needs("serial")
    assert ports() is not None
