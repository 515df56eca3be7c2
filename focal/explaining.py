"""``focal bridge --explain``: what is known of one message, from whoever wrote it down.

The law of this module: it reads the spool and opens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .core.errors import SpoolError
from .core.events import Progress
from .core.message import MessageId
from .crossing import Decision
from .results import Held
from .stored import look

if TYPE_CHECKING:
    from .app import App


Known: TypeAlias = Decision | Progress | Held


def explained(app: App, id: str) -> list[Known]:
    """Return what was decided on a message and what became of it, in order of time.

    Raises:
        SpoolError: nothing is known of it.
    """
    number = MessageId.parse(id)
    with app.kept() as spool:
        known: list[Known] = [
            Decision(number, passage.link, passage.said, passage.at)
            for passage in spool.crossings.of(number)
        ]
        known += spool.outbox.events(number)
        kept = spool.inbox.find(number)
    if kept:
        known += look(app, id)
    if not known:
        raise SpoolError(f"nothing is known here of a message {id}")
    return sorted(known, key=lambda one: one.at)
