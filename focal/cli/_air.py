"""What air costs, and what of it was spent, in words for people.

The law of this module: a time is said in local time, a share of the hour in percent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..fit import in_frames
from ..results import Air, Airtime, Cost, Price, Saving, Spent

NEXT = 5
"""How many of the next moments at which air becomes free are told."""


def price_rows(price: Price) -> dict[str, Any]:
    """Return what a person wants to know before it goes out."""
    air, speech = price.air, f"{price.seconds:.2f} s of {price.codec}" if price.codec else None
    rows: dict[str, Any] = {
        "event": "price",
        "link": price.link,
        "speech": speech,
        "payload": f"{price.payload_bytes} bytes",
        "message": _messages(price),
        "frames": f"{price.frames}{_parity(price.parity)}, {price.packet_bytes} bytes",
    }
    if air is not None:
        rows["airtime"] = f"{air.airtime:.2f} s{_confirmed(air)}"
        rows["share"] = f"{percent(air.airtime_share)} of an hour's air: {air.per_hour} an hour"
        rows["earliest"] = when(air.earliest) + (f": {air.reason}" if air.reason else "")
    return {**rows, "fewer frames": "; ".join(map(saving, price.saves)) or None}


def _messages(price: Price) -> str:
    size = f"{price.message_bytes} bytes"
    return f"{size} in {price.messages} messages" if price.messages > 1 else size


def _parity(count: int) -> str:
    return f" ({count} of them against loss)" if count else ""


def _confirmed(air: Air) -> str:
    known = air.airtime_confirmed
    return "" if known is None else f", {known:.2f} s with the confirmation"


def percent(share: float) -> str:
    """Return a share as people say it."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def packet_rows(packet: Airtime) -> dict[str, Any]:
    """Return what is to be known of one packet."""
    modem = f"{packet.bandwidth_khz:g} kHz, SF{packet.spreading_factor}, 4/{packet.coding_rate}"
    how = "encrypted for one node" if packet.direct else "on a channel"
    return {
        "event": "airtime",
        "radio": f"{packet.preset} in {packet.region}: {modem}",
        "payload": f"{packet.frame_bytes} bytes, {how}{', signed' if packet.signed else ''}",
        "over the air": f"{packet.air_bytes} bytes",
        "airtime": f"{packet.airtime_ms} ms",
        "symbol": f"{packet.symbol_ms:g} ms",
        "slot": f"{packet.slot_ms} ms",
        "duty": f"{100 * packet.duty:g} %",
        "share": f"{percent(packet.share)} of an hour's air",
    }


def cost_line(cost: Cost) -> str:
    """Return a line: a quality, what it makes, what that costs, and what would be cheaper."""
    return " ".join(filter(None, [f"{cost.codec or 'payload':10}", *_costs(cost)]))


def _costs(cost: Cost) -> Iterator[str]:
    air = cost.air
    yield f"{cost.payload_bytes:5} B, as a message {cost.message_bytes} B:"
    if air is None or cost.frames is None:
        yield "too long for one message"
        return
    parity = _parity(cost.parity)
    yield f"{in_frames(cost.frames)}{parity}, {cost.air_bytes} B on air,"
    yield f"{air.airtime:.2f} s{_confirmed(air)}"
    yield f"({percent(air.airtime_share)} of an hour's air, {air.per_hour} an hour),"
    yield f"earliest {when(air.earliest)}"
    if cost.saves:
        yield f"[{'; '.join(map(saving, cost.saves))}]"
    if cost.missing:
        yield f"({cost.missing})"


def saving(one: Saving) -> str:
    """Return what would make a message fewer frames, in a few words."""
    frames = in_frames(one.frames)
    if one.seconds is not None:
        return f"{one.seconds:.1f} s shorter: {frames}"
    if one.bytes is not None:
        return f"{one.bytes} bytes less: {frames}"
    return f"{one.codec}{' (not here yet)' if one.missing else ''}: {frames}"


def when(at: float | None) -> str:
    """Return when something can begin, in local time; ``None``: never."""
    if at is None:
        return "never: it is longer than an hour's limit"
    return "now" if at <= time.time() + 1 else clock(at)


def spent_lines(spent: Spent) -> str:
    """Return a line on a radio's hour, and when the next of its air is free again."""
    of = f" of {spent.limit:.1f} s" if spent.limit is not None else ""
    share = f" ({percent(spent.share)})" if spent.share is not None else ""
    kept = f", {spent.promised:.1f} s promised" if spent.promised else ""
    line = f"{spent.radio}: {spent.seconds:.1f} s{of} sent in the last hour{share}{kept}"
    free = [f"{one.seconds:.1f} s at {clock(one.at)}" for one in spent.frees[:NEXT]]
    more = f" and {len(spent.frees) - NEXT} times more" if len(spent.frees) > NEXT else ""
    return f"{line}\n    free again: {', '.join(free)}{more}" if free else line


def clock(at: float) -> str:
    """Return a time of this day, in local time."""
    return time.strftime("%H:%M:%S", time.localtime(at))
