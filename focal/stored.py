"""The spool as a person looks after it: what waits, what died, what came.

The law of this module: it sends nothing and receives nothing. Retrying puts a message back into
the queue; whichever process has the link sends it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING

from .core.backlog import TURN
from .core.errors import SinkError, SpoolError
from .core.events import State
from .core.inbox import Entry, TurnState
from .core.leg import Leg
from .core.message import Kind, Message, MessageId, origin_text
from .core.ports import Delivery
from .results import Held, Outgoing, PassedOn
from .serving import real_time
from .speech import decode, sound_of, why_silent

if TYPE_CHECKING:
    from .app import App
    from .core.events import Progress
    from .core.spool import Spool
    from .plugins.manager import Plugins


_OVER = (TurnState.DONE, TurnState.FAILED, TurnState.CUT_OFF)


def outgoing(app: App, *, all: bool = False, dead: bool = False) -> list[Outgoing]:
    """Return what waits, one for each message and link; ``all``: also what is done; ``dead``: what
    ended refused, expired or unknown."""
    with app.kept() as spool:
        legs = spool.outbox.dead() if dead else spool.outbox.legs(all=all)
        return _outgoing(app, spool, legs)


def history(app: App, id: str) -> tuple[list[Outgoing], list[Progress]]:
    """Return how far a message is on each link, and what happened to it.

    Raises:
        SpoolError: nothing is known of it.
    """
    with app.kept() as spool:
        number = MessageId.parse(id)
        legs, events = _outgoing(app, spool, spool.outbox.find(number)), spool.outbox.events(number)
    if not legs and not events:
        raise SpoolError(f"no message {id} in the outbox: see focal outbox list")
    return legs, events


def retry(app: App, id: str) -> list[Outgoing]:
    """Queue a message again on the links where it ended badly. Raises SpoolError."""
    with app.kept() as spool:
        return _outgoing(app, spool, spool.outbox.retry(MessageId.parse(id)))


def give_up(app: App, id: str) -> list[Outgoing]:
    """Drop a message from the outbox; return what it was. Raises SpoolError: it is not there."""
    with app.kept() as spool:
        number = MessageId.parse(id)
        legs = _outgoing(app, spool, spool.outbox.find(number))
        spool.outbox.drop(number)
        return legs


def held(app: App, limit: int) -> list[Held]:
    """Return the newest messages of the inbox, oldest of them first."""
    with app.kept() as spool:
        return [_held(app.plugins, entry) for entry in spool.inbox.entries(limit=limit)]


def look(app: App, id: str) -> list[Held]:
    """Return a message of the inbox, and other bytes under its id. Raises SpoolError."""
    return [_held(app.plugins, entry) for entry in _entries(app, id)]


def forget(app: App, id: str) -> list[Held]:
    """Delete a message from the inbox; its id stays known. Return what it was, with its twins.

    Raises:
        SpoolError: it is not there.
    """
    found = look(app, id)
    with app.kept() as spool:
        spool.inbox.drop(MessageId.parse(id))
    return found


async def play(app: App, id: str, sink: str) -> str | None:
    """Give a message of the inbox to a sink once more, whatever its turn; return what it wrote.

    How that ended is what ``focal inbox list`` tells of this sink from now on, if its turn is over.

    Raises:
        SpoolError: it is not there.
        CodecError: it has no sound, or nothing here decodes it.
        SinkError: the sink cannot be opened or fails.
    """
    entry, *_ = _entries(app, id)
    message = Message.from_bytes(entry.message)
    with real_time() as runtime:
        spec, clip = await runtime.run_blocking(lambda: decode(app.plugins, message))
    delivery = Delivery(
        message, clip, spec.name, clip.seconds, entry.link, entry.peer, entry.at, twin=entry.twin
    )
    async with app.plugins.sink(sink) as opened:
        try:
            file = await opened.accept(delivery)
        except SinkError as error:
            _write_down(app, entry, opened.key, None, str(error))
            raise
        _write_down(app, entry, opened.key, file, None)
        app.plugins.played(message, opened.key)
        return file


def _write_down(app: App, entry: Entry, sink: str, file: str | None, problem: str | None) -> None:
    """Note how a sink that had its turn with a message fared with it now."""
    with app.kept() as spool:
        for now in spool.inbox.find(entry.id):
            turns = {outcome.sink: outcome.state for outcome in now.outcomes}
            if now.twin == entry.twin and turns.get(sink) in _OVER:
                spool.inbox.end_turn(entry.id, entry.twin, sink, file=file, problem=problem)


def _entries(app: App, id: str) -> list[Entry]:
    with app.kept() as spool:
        if found := spool.inbox.find(MessageId.parse(id)):
            return found
    raise SpoolError(f"no message {id} in the inbox: see focal inbox list")


def _outgoing(app: App, spool: Spool, legs: Iterable[Leg]) -> list[Outgoing]:
    now, owned = time.time(), cache(app.home.owned)  # what is asked of each link at most once
    firsts = _firsts(spool, now)
    return [
        Outgoing(
            id=leg.id,
            kind=leg.kind.name.lower(),
            message_bytes=len(leg.message),
            link=leg.name,
            state=leg.state.value,
            attempts=leg.attempts,
            at=leg.queued_at,
            expires_at=leg.expires_at if math.isfinite(leg.expires_at) else None,
            reason=reason,
            until=until,
            passed_on=_passed_on(spool, leg),
        )
        for leg in legs
        for reason, until in [_wait(leg, firsts.get(leg.link), now, owned)]
    ]


def _firsts(spool: Spool, now: float) -> dict[str, Leg]:
    """Return, for each link, the first of those of which it is known why they wait now."""
    known = [leg for leg in spool.outbox.legs() if leg.until is not None and leg.until > now]
    last_first = sorted(known, key=lambda leg: (leg.priority, -leg.queued_at))
    return {leg.link: leg for leg in last_first if not (leg.reason or "").startswith(TURN)}


def _wait(
    leg: Leg, first: Leg | None, now: float, owned: Callable[[str], bool]
) -> tuple[str | None, float | None]:
    """Return why a message waits on a link, or how it ended, and until when it waits at least.

    ``owned`` tells whether a process has a link, by its key: what it said last is still so until
    it says otherwise.
    """
    until = leg.until if leg.until is not None and leg.until > now else None
    if leg.done or leg.state is not State.QUEUED:
        return leg.reason, until
    if leg.reason is not None and leg.until == until:
        return leg.reason, until
    if first is not None and first is not leg:
        return f"{TURN}: {first.reason}", first.until
    if owned(leg.link):
        return leg.reason or TURN, None
    if leg.origin is not None:
        return f"it goes out when the bridge has {leg.name} open and its limits let it", None
    return f"it goes out when a process of this home has {leg.name} open", None


def _passed_on(spool: Spool, leg: Leg) -> PassedOn | None:
    """Return how a message came that is passed on, None if it is ours."""
    if leg.origin is None:
        return None
    came = spool.crossings.of(leg.id)[:1]  # the first thing that is written down of it
    link = came[0].link if came else leg.origin.link
    return PassedOn(origin_text(leg.id.origin), link, leg.hops)


def _held(plugins: Plugins, entry: Entry) -> Held:
    message = Message.from_bytes(entry.message)
    codec, seconds = sound_of(plugins, message)
    return Held(
        id=entry.id,
        twin=entry.twin,
        kind=entry.kind.name.lower(),
        codec=codec,
        seconds=seconds,
        payload_bytes=len(message.payload),
        origin=origin_text(entry.id.origin),
        sender=entry.sender,
        link=entry.link,
        at=entry.at,
        text=message.payload.decode(errors="replace") if entry.kind is Kind.TEXT else None,
        problem=why_silent(plugins, message),
        turns=tuple(f"{done.sink} {done.state}" for done in entry.outcomes),
    )
