"""Ports for benches that talk to themselves."""

from __future__ import annotations

import socket

from focal import testing


def free_ports() -> tuple[int, int]:
    """Return two UDP ports of loopback that nobody uses now."""
    one, two = testing.free_ports(2, socket.SOCK_DGRAM)
    return one, two
