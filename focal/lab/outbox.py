"""What waits in a node for its client, in the order and the numbers of the firmware. Sans-I/O.

The law of this module: everything in it is bounded, and what does not fit is dropped as there: of
packets the new one, unless it is text, of answers the oldest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

PACKETS = 32
"""Packets that are kept for a client, also while there is none."""

ANSWERS = 2
"""Answers to packets (QueueStatus) that are kept: only the latest."""

NOTICES = 4
TEXT = 1
"""The port of text messages."""


class Outbox:
    """What a node has to tell its client; it begins once the client has asked for everything."""

    def __init__(self) -> None:
        self._config: deque[bytes] | None = None
        self._answers: deque[bytes] = deque(maxlen=ANSWERS)
        self._notices: deque[bytes] = deque(maxlen=NOTICES)
        self._packets: deque[tuple[bytes, int]] = deque()

    def __bool__(self) -> bool:
        """Tell whether ``next`` has something."""
        return self._config is not None and bool(
            self._config or self._answers or self._notices or self._packets
        )

    @property
    def packets(self) -> int:
        """How many packets wait."""
        return len(self._packets)

    @property
    def asked(self) -> bool:
        """Whether there is a client that has asked for everything."""
        return self._config is not None

    def begin(self, config: Iterable[bytes]) -> None:
        """Tell a client everything first; what waits for it comes after that."""
        self._config = deque(config)

    def end(self) -> None:
        """Forget the client; packets stay for the next one."""
        self._config = None
        self._answers.clear()
        self._notices.clear()

    def forget(self) -> None:
        """Forget the client and all that waits: the node was restarted."""
        self.end()
        self._packets.clear()

    def answer(self, message: bytes) -> None:
        """Put what became of a packet that the client handed over."""
        self._answers.append(message)

    def notice(self, message: bytes) -> None:
        """Put a word for people."""
        self._notices.append(message)

    def packet(self, message: bytes, port: int) -> bool:
        """Put a packet. Returns False where it was dropped."""
        if len(self._packets) >= PACKETS:
            if port != TEXT:
                return False
            self._packets.popleft()
        self._packets.append((message, port))
        return True

    def next(self) -> bytes | None:
        """Take the next message; None: nothing waits, or there is nobody to tell it."""
        if self._config is None:
            return None
        for waiting in (self._config, self._answers, self._notices):
            if waiting:
                return waiting.popleft()
        return self._packets.popleft()[0] if self._packets else None
