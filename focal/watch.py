"""What a sender waits for, and whether it has happened. Sans-I/O.

The law of this module: events in, a verdict out; a message that was delivered has not failed,
whatever else became of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .core.events import Progress, State
from .core.message import MessageId

_DELIVERED = frozenset({State.DELIVERED, State.PLAYED})
_SENT = _DELIVERED | {State.SENT, State.HEARD}
REACHED = {"queued": frozenset(State), "sent": _SENT, "delivered": _DELIVERED}


@dataclass
class Watch:
    """The messages of one ``focal send``.

    Args:
        ids: the messages; a series has several.
        links: the names of the links that each goes to.
        wait: ``queued``, ``sent`` (on every link that does not fail) or ``delivered`` (by anyone).
    """

    ids: Iterable[MessageId]
    links: Iterable[str]
    wait: str
    _last: dict[tuple[MessageId, str], Progress | None] = field(init=False)

    def __post_init__(self) -> None:
        links = tuple(self.links)
        self._last = {(id, link): None for id in self.ids for link in links}

    def saw(self, event: Progress) -> bool:
        """Take an event; tell whether it is about one of these messages."""
        ours = [key for key in self._last if key[0] == event.id]
        for key in ours:
            if event.link in (None, key[1]) and not self._reached(key):
                self._last[key] = event
        return bool(ours)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to wait for: each message got there, or cannot any more."""
        return all(self._got_there(id) or self._failed(id) for id, _ in self._last)

    def failure(self) -> str | None:
        """Return one line about the first message that did not get there, None if all did."""
        for id, _ in self._last:
            if not self._got_there(id):
                return self._blame(id)
        return None

    def missing(self) -> list[MessageId]:
        """Return the messages that have neither got there nor failed."""
        ids = dict.fromkeys(id for id, _ in self._last)
        return [id for id in ids if not self._got_there(id) and not self._failed(id)]

    def _got_there(self, id: MessageId) -> bool:
        reached = [self._reached(key) for key in self._last if key[0] == id]
        if self.wait == "sent":
            ended = [self._final(key) for key in self._last if key[0] == id]
            return any(reached) and all(a or b for a, b in zip(reached, ended, strict=True))
        return any(reached)

    def _failed(self, id: MessageId) -> bool:
        return all(self._final(key) for key in self._last if key[0] == id)

    def _reached(self, key: tuple[MessageId, str]) -> bool:
        last = self._last[key]
        return last is not None and last.state in REACHED[self.wait] and not last.state.final

    def _final(self, key: tuple[MessageId, str]) -> bool:
        last = self._last[key]
        return last is not None and last.state.final

    def _blame(self, id: MessageId) -> str:
        for (of, link), last in self._last.items():
            if of == id and last is not None and last.state.final:
                why = f": {last.reason}" if last.reason else ""
                return f"message {id} ended {last.state} on {link}{why}"
        return f"message {id} is not {self.wait} yet; it stays in the outbox"
