"""LoRa through Meshtastic: real nodes, and simulated ones that cost the same.

The law of this package: the ``meshtastic`` library is imported by ``mesh`` alone, and ``mesh`` only
when a link is opened.
"""

from __future__ import annotations

from ...core.link import TransportSpec
from ...plugins import hookimpl


@hookimpl
def focal_transports() -> list[TransportSpec]:
    from .sim import SPEC
    from .transport import SPECS

    return [*SPECS, SPEC]
