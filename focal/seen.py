"""What the node behind a LoRa link said of its radio when the link was last open.

The law of this module: a small file in the link's own folder, to reckon with while the link is not
open. Nothing is sent by it, so what cannot be written or read is only not known.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.airtime import Modem
from .core.node import folder_name
from .transports.lora.link import LoraLimits
from .transports.lora.plan import Air, region_named

if TYPE_CHECKING:
    from .core.link import Limits

FILE = "air.json"

_log = logging.getLogger("focal.seen")


def remember(links: Path, name: str, limits: Limits) -> None:
    """Keep how the radio of an open link is set, if it has one.

    Args:
        links: the folder of the links' own folders.
        name: what the user calls the link.
        limits: its limits.
    """
    if not isinstance(limits, LoraLimits) or last_seen(links, name) == limits.air:
        return
    path = links / folder_name(name) / FILE
    part = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(_told(limits.air)))
        part.replace(path)
    except OSError as error:
        _log.info("how the radio of %s is set is not remembered: %s", name, error)


def last_seen(links: Path, name: str) -> Air | None:
    """Return how the radio of a link was set when it was last open; None: that is not known."""
    try:
        return _read(json.loads((links / folder_name(name) / FILE).read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.debug("how the radio of %s is set is not known: %r", name, error)
        return None


def _told(air: Air) -> dict[str, Any]:
    return {"region": air.region.name, "preset": air.preset, "modem": asdict(air.modem)}


def _read(told: dict[str, Any]) -> Air:
    modem: dict[str, Any] = told["modem"]
    return Air(
        region_named(told["region"]),
        str(told["preset"]),
        Modem(
            float(modem["bandwidth"]),
            int(modem["spreading_factor"]),
            int(modem["coding_rate"]),
            int(modem["preamble"]),
        ),
    )
