"""What ``focal bridge`` prints: JSON objects, and lines for people.

The law of this module: docs/events.md lists what is made here, key by key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

from ..core.bridge import QUEUE, Full
from ..core.events import Passed, Progress
from ..core.message import origin_text
from ..crossing import Crossing, Decision, Tried
from ..results import Held, PassedOn
from ._air import clock

if TYPE_CHECKING:
    from ..explaining import Known

OfBridge: TypeAlias = Crossing | Decision | Passed | Tried
Object: TypeAlias = dict[str, Any]


def bridge_object(result: OfBridge) -> Object:
    """Return the JSON object of something that a bridge tells."""
    match result:
        case Passed():
            return _passed(result)
        case Decision():
            return {"event": "decision", **asdict(result), "id": str(result.id)}
        case Crossing():
            fields = asdict(result)
            return {"event": "crossing", "from": fields.pop("from_"), **fields}
        case Tried():
            return {"event": "tried", **asdict(result)}


def bridge_text(result: OfBridge) -> str:
    """Return a line for people."""
    match result:
        case Passed():
            return _passed_line(result)
        case Decision():
            return story(result)
        case Crossing():
            return _crossing_line(result)
        case Tried(link, public, _, reason):
            strangers = " (public)" if public else ""
            return f"{link}{strangers}: " + (f"does not open: {reason}" if reason else "opens")


def story(known: Known) -> str:
    """Return what is known of a message, with the day."""
    day = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(known.at))
    match known:
        case Decision(_, link, said):
            return f"{day}  {link}: {said}"
        case Held():
            return f"{day}  it is in the inbox, from {known.link}"
        case Progress():
            by = f" by {origin_text(known.by)}" if known.by is not None else ""
            why = f" ({known.reason})" if known.reason else ""
            return f"{day}  {known.link or 'any link'}: {known.state}{by}{why}"


def passed_on_text(passed_on: PassedOn) -> str:
    """Return how a message came that is passed on."""
    return f"by {passed_on.author}, came by {passed_on.link}, hops {passed_on.hops}"


def _passed(event: Passed) -> Object:
    return {
        "event": "passed",
        "id": str(event.message.id),
        "link": event.link,
        "by": None,
        "at": event.at,
        "to": list(event.to),
        "kept_back": dict(event.kept_back),
        "bytes": event.size,
        "kind": event.message.kind.name.lower(),
        "from": origin_text(event.message.id.origin),
        "peer": event.peer,
    }


def _passed_line(event: Passed) -> str:
    what = f"{event.message.kind.name.lower()}, {event.size} B"
    on = ", ".join(event.to) or "nothing"
    start = f"{clock(event.at)} {event.message.id} {what}, came by {event.link}, goes on to {on}"
    return "; ".join([start, *_kept_back(event)])


def _kept_back(event: Passed) -> Iterator[str]:
    for link, why in event.kept_back.items():
        yield f"kept back from {link}: {why}"


def _crossing_line(crossing: Crossing) -> str:
    start = f"{', '.join(crossing.from_)} -> {crossing.to}: "
    if crossing.closed:
        return (
            f"{start}nothing crosses, because strangers listen there: name what may "
            "(--allow KIND, or kinds, codecs or senders under [[bridge]])"
        )
    public = " (strangers listen there)" if crossing.public else ""
    return start + "; ".join([_what(crossing) + public, *_limits(crossing)])


def _what(crossing: Crossing) -> str:
    """Return what may cross, before any limits."""
    what = ", ".join(crossing.kinds) if crossing.kinds else "everything"
    if crossing.codecs:
        what += f", voice in codec {', '.join(map(str, crossing.codecs))}"
    return what + (f", from {', '.join(crossing.senders)}" if crossing.senders else "")


def _limits(crossing: Crossing) -> Iterator[str]:
    if crossing.size is not None:
        yield f"{crossing.size} B at most"
    if crossing.rate is not None:
        yield f"{crossing.rate} at most"
    if crossing.airtime is not None:
        yield f"{crossing.airtime:g} s on air an hour"
    if crossing.lifetime is not None:
        yield f"within {crossing.lifetime:g} s"
    if crossing.priority:
        yield f"priority {crossing.priority}"
    if (crossing.queue, crossing.full) != (QUEUE, Full.WAIT):
        yield f"at most {crossing.queue} wait, {_GIVES_WAY[Full(crossing.full)]}"


_GIVES_WAY = {
    Full.WAIT: "then the source waits, or the oldest gives way",
    Full.OLDEST: "oldest gives way",
    Full.NEWEST: "newest gives way",
    Full.LARGEST: "largest gives way",
}
