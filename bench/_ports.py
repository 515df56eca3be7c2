"""Ports for benches that talk to themselves."""

from __future__ import annotations

import socket


def free_ports() -> tuple[int, int]:
    """Return two UDP ports of loopback that nobody uses now."""
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
