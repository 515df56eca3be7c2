"""A log of every message that passes, as CSV: one row for each thing that happens to it.

``FOCAL_MESSAGE_LOG`` names the file; without it ``focal-messages.csv`` in the working directory.
"""

from __future__ import annotations

import csv
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from focal.core.audio import Clip
from focal.core.message import Message
from focal.plugins import hookimpl

FOCAL_CONTRACT = 1

COLUMNS = ("at", "event", "id", "kind", "sender", "bytes", "seconds", "where")


class MessageLog:
    """Appends to a file; each row is written whole, whichever thread it comes from.

    Args:
        path: the file; it is made with the first row, and may be moved away at any time.
        clock: gives Unix seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()

    @hookimpl(trylast=True)
    def focal_captured(self, clip: Clip) -> None:
        self._write("captured", seconds=f"{clip.seconds:.2f}")

    @hookimpl
    def focal_encoded(self, message: Message) -> None:
        self._write("encoded", message)

    @hookimpl
    def focal_framed(self, message: Message, frames: Sequence[bytes]) -> None:
        self._write("framed", message, where=f"{len(frames)} frames")

    @hookimpl
    def focal_sent(self, message: Message, link: str) -> None:
        self._write("sent", message, where=link)

    @hookimpl
    def focal_received(self, message: Message, link: str) -> None:
        self._write("received", message, where=link)

    @hookimpl(trylast=True)
    def focal_decoded(self, message: Message, clip: Clip) -> None:
        self._write("decoded", message, seconds=f"{clip.seconds:.2f}")

    @hookimpl
    def focal_played(self, message: Message, sink: str) -> None:
        self._write("played", message, where=sink)

    def _write(
        self, event: str, message: Message | None = None, *, seconds: str = "", where: str = ""
    ) -> None:
        row = [f"{self._clock():.3f}", event, *_about(message), seconds, where]
        with self._lock, self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(COLUMNS)
            writer.writerow(row)


def _about(message: Message | None) -> tuple[str, ...]:
    """Return id, kind, sender and bytes."""
    if message is None:  # a clip that is not yet a message
        return "", "", "", ""
    kind, sender = message.kind.name.lower(), message.sender or ""
    return str(message.id), kind, sender, str(len(message.to_bytes()))


log = MessageLog(Path(os.environ.get("FOCAL_MESSAGE_LOG") or "focal-messages.csv"))

# A plugin is a module: focal looks for the hooks among its attributes.
focal_captured = log.focal_captured
focal_encoded = log.focal_encoded
focal_framed = log.focal_framed
focal_sent = log.focal_sent
focal_received = log.focal_received
focal_decoded = log.focal_decoded
focal_played = log.focal_played
