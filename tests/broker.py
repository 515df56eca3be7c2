"""A real broker on the loopback interface: Mosquitto, with a configuration of its own.

The law of this module: what runs here is the program that users run, started, restarted and killed
as they do it. Whoever uses it calls ``needs_broker`` first; ``tests.needs`` says when that skips.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from focal.testing import free_ports
from tests.deadline import Deadline
from tests.needs import needs

HOST = "127.0.0.1"
PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
"""Debian's package puts it where only root's path leads."""


def needs_broker() -> None:
    """Go on only where Mosquitto is installed (Debian: ``apt-get install mosquitto``)."""
    needs("mosquitto", PROGRAM is not None)


class Broker:
    """A broker; made by ``broker``.

    Args:
        folder: where its configuration, its log and what it keeps are.
        port: where it listens.
        lines: further lines of its configuration.
        persistence: whether it saves, on SIGTERM, what it has to keep.
        anonymous: whether anybody may come in.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *lines: str,
        persistence: bool = False,
        anonymous: bool = True,
    ) -> None:
        self.folder = folder
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        said = [
            f"listener {port} {HOST}",
            f"allow_anonymous {str(anonymous).lower()}",
            f"persistence {str(persistence).lower()}",
            f"persistence_location {folder}/",
            f"log_dest file {folder / 'mosquitto.log'}",
            "log_type all",
            *(["user root"] if os.geteuid() == 0 else []),
            *lines,
        ]
        self._config.write_text("\n".join(said) + "\n")

    @property
    def log(self) -> str:
        """What it has written to its log."""
        path = self.folder / "mosquitto.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert PROGRAM is not None and self._process is None
        with (self.folder / "stderr").open("ab") as errors:
            self._process = subprocess.Popen(
                [PROGRAM, "-c", str(self._config)], stdin=subprocess.DEVNULL, stderr=errors
            )
        Deadline(10).until(f"Mosquitto listens; {self.log}", self._listens)

    def stop(self) -> None:
        """End it as a system does when it goes down; it saves what it has to keep."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it: what it has not saved is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(10)

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._story()
        with socket.socket() as sock:
            return sock.connect_ex((HOST, self.port)) == 0

    def _story(self) -> str:
        return f"it ended: {(self.folder / 'stderr').read_text()}; {self.log}"


@contextmanager
def broker(
    folder: Path,
    *lines: str,
    persistence: bool = False,
    anonymous: bool = True,
    port: int | None = None,
) -> Generator[Broker]:
    """Run a broker for the time of the context; skips where there is none."""
    needs_broker()
    folder.mkdir(parents=True, exist_ok=True)
    listens = free_ports(1)[0] if port is None else port
    running = Broker(folder, listens, *lines, persistence=persistence, anonymous=anonymous)
    running.start()
    try:
        yield running
    finally:
        running.kill()


def password_file(folder: Path, **users: str) -> Path:
    """Write a file of users and their passwords, as Mosquitto wants it."""
    path = folder / "passwords"
    path.write_text("".join(f"{user}:{secret}\n" for user, secret in users.items()))
    subprocess.run(
        [str(Path(PROGRAM or "").parent.parent / "bin" / "mosquitto_passwd"), "-U", path],
        check=True,
    )
    return path
