"""Results and events as JSON objects, and as lines for people.

The law of this module: docs/events.md lists what is made here, key by key. An origin is printed
``~1a2b3c4d``, an id as 16 hex digits, a time as Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, TypeAlias

import click

from ..config import Config, Setting, toml
from ..core.events import Passed, Progress, Received
from ..core.message import Kind, origin_text
from ..crossing import Crossing, Decision, Tried
from ..lab.happened import Happened
from ..plugins.findings import Finding
from ..plugins.models.disk import mega
from ..plugins.report import Added
from ..results import (
    Airtime,
    Cost,
    Decoded,
    Demo,
    Encoded,
    Held,
    Info,
    Lab,
    Model,
    Optimized,
    Outgoing,
    Plugin,
    Price,
    Quality,
    Removed,
    Spent,
    Station,
    Weights,
)
from ._air import clock, cost_line, packet_rows, price_rows, spent_lines
from ._bridge import OfBridge, bridge_object, bridge_text, passed_on_text
from ._fared import demo_rows, lab_rows, preset_lines, station_line

OfMessage: TypeAlias = Progress | Received | Decoded | Encoded | Held | Info | Outgoing
OfModels: TypeAlias = Model | Optimized | Quality | Removed | Weights
OfAir: TypeAlias = Airtime | Cost | Price | Spent
OfHere: TypeAlias = Config | Finding | Plugin | Setting
OfLab: TypeAlias = Happened | Lab | Station
Result: TypeAlias = OfMessage | OfModels | OfAir | OfHere | OfLab | OfBridge | Demo
Object: TypeAlias = dict[str, Any]


def as_object(result: Result) -> Object:
    """Return the JSON object of a result or event; lengths of time in whole milliseconds."""
    return _rounded(_object(result))


def _rounded(said: Object) -> Object:
    lengths = {key: round(said[key], 3) for key in _LENGTHS if isinstance(said.get(key), float)}
    shares = {key: round(said[key], 6) for key in _SHARES if isinstance(said.get(key), float)}
    return {**said, **lengths, **shares}


_LENGTHS = (
    "seconds",
    "air_seconds",
    "airtime",
    "airtime_confirmed",
    "airtime_hour",
    "promised",
    "limit",
    "earliest",
    *(f"{what}_{rank}" for what in ("latency", "confirmed") for rank in ("median", "p90", "max")),
)
_SHARES = ("share", "airtime_share", "duty")


def _object(result: Result) -> Object:
    if isinstance(result, Progress):
        return _progress(result)
    if isinstance(result, Received):
        return _received(result)
    if isinstance(result, OfBridge):
        return bridge_object(result)
    if isinstance(result, Happened):
        return {**_known(asdict(result)), "at": round(result.at, 3)}
    fields = {name: value for name, value in asdict(result).items() if name != "id"}
    id = {"id": str(result.id)} if isinstance(result, OfMessage) else {}
    if isinstance(result, Price | Cost):
        air: Object = fields.pop("air") or {}
        fields |= {name: it for name, it in air.items() if name != "reason" or it is not None}
        fields["saves"] = [_known(saving) for saving in fields["saves"]]
    if isinstance(result, Demo):
        fields["presets"] = [_rounded(preset) for preset in fields["presets"]]
    return {"event": type(result).__name__.lower(), **id, **fields}


def _known(saving: Object) -> Object:
    return {name: value for name, value in saving.items() if value not in (None, False)}


def as_text(result: Result) -> str:
    """Return what a person reads: one line, or a small table for what is looked at in detail."""
    match result:
        case Progress():
            return _progress_line(result)
        case Received():
            return _received_line(result)
        case Encoded() as e:
            size = f"{e.payload_bytes} bytes of {e.codec}, {e.message_bytes} as a message"
            if e.form == "tinyvoice":
                size = f"{e.file_bytes} bytes, TinyVoice's packet of {e.codec}"
            return f"{e.out}: {e.seconds:.2f} s in {size}; id {e.id}"
        case Decoded() as d:
            guess = " (a guess: --quality overrides it)" if d.guessed else ""
            return f"{d.out}: {d.seconds:.2f} s of {d.codec}{guess}"
        case Held() as h:
            return " ".join([str(h.id), clock(h.at), h.origin, *_held(h)])
        case Outgoing() as o:
            return _outgoing(o, _waits(o.reason, o.until))
        case Demo() as d:
            return "\n".join([table(demo_rows(d)), "", *preset_lines(d)])
        case Lab() as one:
            return table(lab_rows(one))
        case Station() as s:
            return station_line(s)
        case Passed() | Decision() | Crossing() | Tried():
            return bridge_text(result)
        case Price() as p:
            return table(price_rows(p))
        case Cost() as c:
            return cost_line(c)
        case Spent() as s:
            return spent_lines(s)
        case Happened():
            return str(result)
        case Config(path):
            return path
        case Setting() as s:
            return _setting(s)
        case Finding() as f:
            return _finding(f)
        case Plugin() as p:
            return _plugin(p)
        case Weights() as w:
            return f"{w.folder}: {w.files} files, {mega(w.bytes)}"
        case Quality() as q:
            return _quality(q)
        case Model() as m:
            return _model(m)
        case Airtime() as a:
            return table(packet_rows(a))
        case Removed() as r:
            return f"removed {r.file} ({r.shelf}), {mega(r.bytes)}"
        case Optimized() as o:
            return f"{o.file} ({o.shelf}): {mega(o.bytes_before)} -> {mega(o.bytes)}"
        case _:
            return table(as_object(result))


def table(rows: Object) -> str:
    """Return names and values below one another; what is not known is left out."""
    known = [(name.replace("_", " "), value) for name, value in rows.items() if value is not None]
    wide = max(len(name) for name, _ in known[1:])
    return "\n".join(f"{name:{wide}}  {_plain(value)}" for name, value in known[1:])


def _setting(setting: Setting) -> str:
    """Return a line of TOML; what cannot be one in ``focal.toml`` is a comment."""
    if setting.key == "home" or setting.value is None:
        said = "is not set" if setting.value is None else f"is {setting.value}"
        return f"# {setting.key} {said} ({setting.origin})"
    return f"{setting.key} = {toml(setting.value)}  # {setting.origin}"


def _plugin(plugin: Plugin) -> str:
    """Return a line: name, state and where it comes from; below it, what is wrong with it."""
    whence = f"{plugin.distribution} {plugin.version or ''}".strip() if plugin.distribution else "-"
    line = f"{plugin.name:20} {plugin.state:8} {whence:24} {plugin.file or ''}".rstrip()
    return f"{line}\n    {plugin.reason}" if plugin.reason else line


def details(plugin: Plugin) -> str:
    """Return all that is known of a plugin."""
    took = None if plugin.import_ms is None else f"{plugin.import_ms:g} ms"
    hooks = ", ".join(plugin.hooks) or None
    rows: Object = {
        "event": "plugin",
        "name": plugin.name,
        "state": plugin.state,
        "reason": plugin.reason,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "file": plugin.file,
        "hooks": hooks,
        "import": took,
    }
    return "\n".join([table(rows), *(line for added in plugin.adds for line in _added(added))])


def _added(added: Added) -> Iterator[str]:
    yield f"\n{added.kind} {added.name}: {added.summary}"
    for name, fact in (added.facts or {}).items():
        yield f"  {name}: {fact}"
    if added.options:
        yield "  options in its URL:"
    wide = max((len(option.name) for option in added.options), default=0)
    for option in added.options:
        default = f" [{option.default}]" if option.default is not None else ""
        yield f"    {option.name:{wide}}  {option.type}{default}  {option.help}".rstrip()


def _quality(quality: Quality) -> str:
    """Return a line: what the quality can do, and what the rest would take."""
    can = {
        (True, True): "sends and receives",
        (True, False): "sends only",
        (False, True): "receives only",
        (False, False): "neither sends nor receives",
    }[quality.send, quality.receive]
    lacking = ", ".join(
        one.file if one.bytes is None else f"{one.file} ({mega(one.bytes)})"
        for one in quality.missing
    )
    return f"{quality.name:12} {can}" + (f"; missing: {lacking}" if lacking else "")


def _model(model: Model) -> str:
    """Return a line: file, shelf, state, size, the hash in short, what is special, whence it is."""
    size = "" if model.bytes is None else mega(model.bytes)
    hashed = (model.sha256 or "")[:12]
    start = f"{model.file:22} {model.shelf:9} {model.state:7} {size:>11}  {hashed:12}"
    return " ".join([start, *_of_model(model)]).rstrip()


def _of_model(model: Model) -> Iterator[str]:
    if model.optimized_from:
        yield "optimized"
    if model.forced:
        yield "counts as published"
    if model.source:
        yield f"from {model.source}"


def _finding(found: Finding) -> str:
    state = click.style(f"{found.state:6}", fg=_COLOURS[found.state])
    advice = f"\n{'':8}{'':16}  -> {found.advice}" if found.advice else ""
    return f"{state}  {found.name:16}  {found.detail}{advice}"


_COLOURS = {"good": "green", "bad": "red", "absent": "yellow"}


def _progress(event: Progress) -> Object:
    by = None if event.by is None else origin_text(event.by)
    said: Object = {"event": str(event.state), "id": str(event.id), "link": event.link, "by": by}
    why = {"reason": event.reason, "until": event.until, "ask": event.ask or None}
    return {**said, "at": event.at, **{name: it for name, it in why.items() if it is not None}}


def _received(event: Received) -> Object:
    message = event.message
    said: Object = {
        "event": "received",
        "id": str(message.id),
        "kind": message.kind.name.lower(),
        "codec": event.quality,
        "seconds": event.seconds,
        "payload_bytes": len(message.payload),
        "from": origin_text(message.id.origin),
        "name": message.sender,
        "link": event.link,
        "peer": event.peer,
        "at": event.at,
        "file": event.file,
    }
    return {**said, **dict(_seldom(event))}


def _seldom(event: Received) -> Iterator[tuple[str, Any]]:
    """Yield what is there only where it says something."""
    message = event.message
    if message.kind is Kind.TEXT:
        yield "text", message.payload.decode(errors="replace")
    if message.series:
        yield "series", f"{message.series.index + 1}/{message.series.count}"
    if message.destination is not None:
        yield "to", origin_text(message.destination)
    if event.problem is not None:
        yield "problem", event.problem
    if event.twin:
        yield "twin", event.twin


def _outgoing(row: Outgoing, why: str | None) -> str:
    start = f"{row.id} {clock(row.at)} {row.kind} {row.message_bytes} B {row.state} on {row.link}"
    how = f", {passed_on_text(row.passed_on)}" if row.passed_on else ""
    return f"{start}{how}" + (f" ({why})" if why else "")


def _progress_line(event: Progress) -> str:
    where = f" on {event.link}" if event.link else ""
    by = f" by {origin_text(event.by)}" if event.by is not None else ""
    why = _waits(event.reason, event.until)
    why = f": {why}" if why else ""
    return f"{clock(event.at)} {event.id} {event.state}{by}{where}{why}"


def _waits(reason: str | None, until: float | None) -> str:
    """Return why something waits, and until when by the clock."""
    return " ".join(filter(None, [reason, f"(until {clock(until)})" if until else None]))


def _received_line(event: Received) -> str:
    message = event.message
    name = f" ({message.sender})" if message.sender else ""
    start = f"{clock(event.at)} {origin_text(message.id.origin)}{name} on {event.link}:"
    what = f"{event.seconds:.1f} s of {event.quality}" if event.quality else ""
    if message.kind is Kind.TEXT:
        what = message.payload.decode(errors="replace")
    return " ".join([start, what or message.kind.name.lower(), *_after(event)])


def _after(event: Received) -> Iterator[str]:
    if event.problem:
        yield f"({event.problem})"
    if event.file:
        yield f"-> {event.file}"


def _held(row: Held) -> Iterator[str]:
    if row.sender:
        yield f"({row.sender})"
    yield f"{row.seconds:.1f} s of {row.codec}" if row.codec else row.text or row.kind
    if row.twin:
        yield f"(other bytes under this id, no. {row.twin})"
    if row.turns:
        yield f"[{', '.join(row.turns)}]"
    if row.problem:
        yield f"({row.problem})"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
