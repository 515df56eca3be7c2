"""How it went on a simulated mesh, in words for people.

The law of this module: what is nothing is not said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..fit import in_frames
from ..results import Demo, Lab, Station
from ._air import percent


def demo_rows(done: Demo) -> dict[str, Any]:
    """Return what became of the message of ``focal demo``."""
    share = percent(done.airtime_share)
    frames = f"{in_frames(done.frames)}, {done.packet_bytes} bytes"
    return {
        "event": "demo",
        "speech": f"{done.seconds:.1f} s of {done.codec}: {done.payload_bytes} bytes",
        "message": f"{done.message_bytes} bytes",
        "radio": f"{done.preset} in {done.region}, {percent(done.loss)} of the frames are lost",
        "on the air": f"{frames}, in {done.air_seconds:.1f} s",
        "airtime": f"{done.airtime:.1f} s; the sender's part is {share} of an hour's air",
        "lost": in_frames(done.frames_lost),
        "repaired": f"{in_frames(done.frames_repaired)} of speech",
        "delivered": done.delivered,
        "heard in": done.out,
    }


def preset_lines(done: Demo) -> Iterator[str]:
    """Yield what its message costs with each preset."""
    yield f"{'if nothing is lost':18}  {'frames':>6}  {'airtime':>8}  {'of an hour':>10}  an hour"
    for one in done.presets:
        share = percent(one.airtime_share)
        figures = f"{one.frames:6}  {one.airtime:6.2f} s  {share:>10}  {one.per_hour:7}"
        yield f"{one.preset:18}  {figures}"


def station_line(station: Station) -> str:
    """Return a line on a node of a scenario."""
    said = filter(None, [_messages(station), _received(station), _air(station), _missed(station)])
    return f"{station.name:12} {'; '.join(said)}"


def lab_rows(lab: Lab) -> dict[str, Any]:
    """Return how all nodes of a scenario did."""
    return {
        "event": "lab",
        "simulated": f"{lab.seconds:g} s of {lab.preset} in {lab.region}, seed {lab.seed}",
        "messages": _messages(lab) or "none",
        "received": lab.received,
        "arrived in": _ranks(lab.latency_median, lab.latency_p90, lab.latency_max),
        "confirmed in": _ranks(lab.confirmed_median, lab.confirmed_p90, lab.confirmed_max),
        "on the air": f"{lab.packets} packets, {lab.airtime:.1f} s",
        "missed": _missed(lab) or "nothing",
    }


def _messages(one: Station | Lab) -> str:
    if not one.messages:
        return ""
    counts = {
        "delivered": one.delivered,
        "unknown": one.unknown,
        "expired": one.expired,
        "refused": one.refused,
        "waiting": one.waiting,
    }
    became = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    return f"{one.messages} sent: {became}"


def _received(station: Station) -> str:
    return f"{station.received} received" if station.received else ""


def _air(station: Station) -> str:
    if not station.packets:
        return "nothing on the air"
    most = f"{percent(station.share)} of the {station.limit:g} s that an hour allows"
    return (
        f"{station.packets} packets, {station.airtime:.1f} s of air, "
        f"at most {station.airtime_hour:.1f} s in an hour ({most})"
    )


def _missed(one: Station | Lab) -> str:
    said = [f"{one.lost} packets lost"] if one.lost else []
    said += [f"{one.collided} in collisions"] if one.collided else []
    return ", ".join(said)


def _ranks(median: float | None, p90: float | None, most: float | None) -> str | None:
    if median is None or p90 is None or most is None:
        return None
    return f"{median:.1f} s in the median, {p90:.1f} s nine times in ten, {most:.1f} s at most"
