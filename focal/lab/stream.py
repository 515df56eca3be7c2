"""Meshtastic's frames on a stream, TCP or serial: two marks, a length, a message. Sans-I/O.

The law of this module: any bytes are frames or a `FrameError`, in bounded memory.
"""

from __future__ import annotations

from ..core.errors import FrameError

START = b"\x94\xc3"
HEADER = 4
MOST = 512
"""Bytes of a message at most."""

STRAY = 1024
"""Bytes outside frames, one after the other, that are still no reason to hang up: a client wakes
its node with 32 of them."""


def frame(body: bytes) -> bytes:
    """Return a message as it goes on the stream. Raises FrameError: it is too long for that."""
    if len(body) > MOST:
        raise FrameError(f"a message of {len(body)} bytes, above {MOST}")
    return START + len(body).to_bytes(2, "big") + body


class Frames:
    """Finds the messages in what arrives, in any pieces."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._stray = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take what has arrived, and return the messages that are complete now.

        Raises:
            FrameError: too long a message, or too much that is none.
        """
        self._held += data
        found: list[bytes] = []
        while (body := self._next()) is not None:
            found.append(body)
        return found

    def _next(self) -> bytes | None:
        self._skip()
        if len(self._held) < HEADER:
            return None
        length = int.from_bytes(self._held[2:HEADER], "big")
        if length > MOST:
            raise FrameError(f"a message of {length} bytes, above {MOST}")
        if len(self._held) < HEADER + length:
            return None
        body = bytes(self._held[HEADER : HEADER + length])
        del self._held[: HEADER + length]
        self._stray = 0
        return body

    def _skip(self) -> None:
        """Drop what comes before the next frame."""
        begin = self._held.find(START)
        if begin < 0:  # the last byte may be the first of the two marks
            begin = len(self._held) - self._held.endswith(START[:1])
        del self._held[:begin]
        self._stray += begin
        if self._stray > STRAY:
            raise FrameError(f"{self._stray} bytes that are no messages")
