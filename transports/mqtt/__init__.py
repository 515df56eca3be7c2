"""MQTT: rooms as topics on a broker, ``mqtt://HOST/ROOM`` and ``mqtts://HOST/ROOM``.

The law of this package: the ``paho`` library is imported by ``client`` alone, and ``client`` only
when a link is opened. ``docs/mqtt.md`` says what is on which topic.
"""

from __future__ import annotations

from ...core.link import TransportSpec
from ...plugins import hookimpl


@hookimpl
def focal_transports() -> list[TransportSpec]:
    from .settings import SPECS

    return list(SPECS)
