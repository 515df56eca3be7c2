"""What a served mesh tells of itself, as one value an event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Happened:
    """Something on the mesh, or between a node and its client.

    Args:
        event: ``serving``, ``connected``, ``left``; ``handed``, ``refused``, ``evicted``,
            ``on-air``, ``delivered``, ``lost``, ``collided``, ``relayed``, ``gave-up``,
            ``dropped``; ``silenced``, ``woken``, ``rebooting``, ``up``.
        at: seconds of the scenario.
        node: the name of the node that it happened to.
        sender: the name of the node whose packet it is.
        to: the name of the node that the packet is for, or ``everyone``.
        packet: the packet's id, 8 hex digits.
        bytes: of its payload.
        port: the number of its application.
        seconds: that it held the channel.
        snr_db: with which it was heard.
        number: the node's, as an address.
        host: where it serves.
        tcp: the TCP port there.
        reason: why.
    """

    event: str
    at: float
    node: str
    sender: str | None = None
    to: str | None = None
    packet: str | None = None
    bytes: int | None = None
    port: int | None = None
    seconds: float | None = None
    snr_db: float | None = None
    number: str | None = None
    host: str | None = None
    tcp: int | None = None
    reason: str | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        words = [f"{self.at:9.3f}", self.node, self.event]
        if self.number:
            words.append(f"{self.number} at {self.host}:{self.tcp}")
        if self.packet:
            words.append(f"{self.packet} of {self.sender} to {self.to}, {self.bytes} B")
        if self.seconds is not None:
            words.append(f"({self.seconds:.3f} s)")
        return " ".join(words) + (f": {self.reason}" if self.reason else "")
