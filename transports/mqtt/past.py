"""What a transport remembers from one connection to the next. Sans-I/O.

The law of this module: nobody is blamed for what happened once, and nothing is given up for good.

A broker that takes no message of a certain size may have no way to say so: MQTT 3.1.1 has none, and
some break the connection off. Sent again, such a message would break every connection, and nothing
behind it would ever get out. So it is put off after a few times.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.message import MessageId

TIMES = 3
"""Connections in a row that break while the same message is the first to be acknowledged."""


@dataclass(slots=True)
class Past:
    """What happened on the connections before this one.

    Args:
        since: when we last said that we are here, Unix seconds.
    """

    since: int | None = None
    _suspect: MessageId | None = None
    _times: int = 0

    def broke(self, first: MessageId | None) -> None:
        """A good connection broke without a reason; ``first`` was to be acknowledged next."""
        if first is not None:
            self._times = self._times + 1 if first == self._suspect else 1
            self._suspect = first

    def took(self, id: MessageId) -> None:
        """The broker took a message, or refused it in words."""
        if id == self._suspect:
            self._suspect, self._times = None, 0

    def put_off(self, id: MessageId) -> bool:
        """Tell whether a message is to be put off; the next time it is tried again."""
        if id != self._suspect or self._times < TIMES:
            return False
        self._times -= 1
        return True
