"""A plugin as a module: two schemes of one transport."""

from __future__ import annotations

from urllib.parse import SplitResult

from focal.core.link import Transport, TransportSpec
from focal.plugins import hookimpl


def from_url(url: SplitResult) -> Transport:
    raise ValueError(f"{url.scheme}:// hums; it cannot be opened")


@hookimpl
def focal_transports() -> list[TransportSpec]:
    return [
        TransportSpec("hum", "hums", from_url),
        TransportSpec("hums", "hums under cover", from_url),
    ]
