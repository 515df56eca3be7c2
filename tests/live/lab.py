"""A ``focal lab serve`` in a process of its own, and clients of its nodes by the real library.

The law of this module: a client keeps whatever its node tells it, in order, and whoever waits for
something waits until it is there.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshtastic.protobuf import (  # pyright: ignore[reportMissingTypeStubs]
    mesh_pb2,
    portnums_pb2,
)
from meshtastic.tcp_interface import TCPInterface  # pyright: ignore[reportMissingTypeStubs]

from tests.deadline import Deadline, Process, focal, running

EVERYONE = 0xFFFFFFFF
PRIVATE = portnums_pb2.PortNum.PRIVATE_APP


@dataclass
class Lab:
    """A served scenario.

    Args:
        process: of ``focal lab serve``.
        deadline: until when all of a test must have happened.
        control: the port for commands.
    """

    process: Process
    deadline: Deadline
    control: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has told until now."""
        return [json.loads(line) for line in self.process.out[:] if line.endswith("\n")]

    def event(self, event: str, times: int = 1, **what: Any) -> dict[str, Any]:
        """Wait until something has happened so often, and return the last of them."""

        def found() -> list[dict[str, Any]]:
            told = [one for one in self.events if one["event"] == event]
            return [one for one in told if what.items() <= one.items()][:times]

        self.deadline.until(f"{event} {what}", lambda: len(found()) == times)
        return found()[-1]

    def port(self, node: str) -> int:
        """Return where a node is served."""
        port: int = self.event("serving", node=node)["tcp"]
        return port

    def command(self, text: str) -> str:
        """Have something done to a node."""
        with socket.create_connection(("127.0.0.1", self.control), self.deadline.left) as sock:
            sock.sendall(f"{text}\n".encode())
            with sock.makefile("r") as answers:
                return answers.readline().strip()


@contextmanager
def serving(
    scenario: str,
    folder: Path,
    deadline: Deadline,
    ports: int = 2,
    speed: float = 20,
    first: int = 0,
) -> Generator[Lab]:
    """Serve a scenario's first nodes for the time of the context; the first one at that port."""
    from focal.testing import free_ports

    path = folder / "scenario.toml"
    path.write_text(scenario)
    (control,) = free_ports(1, socket.SOCK_STREAM)
    listen = ",".join([str(first), *["0"] * (ports - 1)])
    options = ["--listen", listen, "--speed", str(speed), "--control", str(control)]
    command = focal("--json", "lab", "serve", str(path), *options)
    with running(command, deadline, cwd=folder) as process:
        lab = Lab(process, deadline, control)
        lab.event("serving", ports)
        yield lab


class _Interface(TCPInterface):
    """The library's own client; it keeps what the node tells, and can be closed at any time."""

    def __init__(self, port: int) -> None:
        self.told: list[mesh_pb2.FromRadio] = []
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "127.0.0.1", portNumber=port, timeout=20
        )

    def _handleFromRadio(self, fromRadioBytes: bytes) -> None:
        super()._handleFromRadio(fromRadioBytes)  # type: ignore[no-untyped-call]
        self.told.append(mesh_pb2.FromRadio.FromString(fromRadioBytes))

    def myConnect(self) -> None:
        """Connect; not, as the library does, after it was closed."""
        if self._wantExit:
            raise ConnectionError("it was closed meanwhile")
        super().myConnect()

    def close(self) -> None:
        """Hang up, also where the library has just come back."""
        # While its node has no places, it would wait for ever.
        self.queue.clear()  # pyright: ignore[reportUnknownMemberType]
        super().close()
        if self.socket is not None:
            self.socket.close()


class Client:
    """A client of a node; ``library`` is the library's, ``told`` what the node has told it."""

    def __init__(self, lab: Lab, node: str) -> None:
        interface = _Interface(lab.port(node))
        self.library: Any = interface
        self.told = interface.told
        self.deadline = lab.deadline

    @property
    def nodes(self) -> dict[str, Any]:
        """What the library knows of nodes, by their addresses."""
        nodes: dict[str, Any] = self.library.nodes
        return nodes

    def send(self, payload: bytes, to: str = "^all", **options: Any) -> int:
        """Send by the library's ``sendData``; return the packet's id."""
        id: int = self.library.sendData(payload, to, **options).id
        return id

    def wait(
        self, what: str, wanted: Callable[[mesh_pb2.FromRadio], object], times: int = 1
    ) -> mesh_pb2.FromRadio:
        """Wait until the node has told something so often, and return the last of them."""

        def found() -> Sequence[mesh_pb2.FromRadio]:
            return [one for one in self.told[:] if wanted(one)][:times]

        self.deadline.until(what, lambda: len(found()) == times)
        return found()[-1]

    def answer(self, packet: int) -> mesh_pb2.QueueStatus:
        """Wait for the node's answer to a packet that it was handed."""
        told = self.wait(
            f"an answer to {packet:08x}",
            lambda one: one.HasField("queueStatus") and one.queueStatus.mesh_packet_id == packet,
        )
        return told.queueStatus

    def routed(self, packet: int) -> tuple[int, str]:
        """Wait for what became of a packet; return who said it, and the error's name."""
        told = self.wait(
            f"what became of {packet:08x}",
            lambda one: (
                one.packet.decoded.portnum == portnums_pb2.PortNum.ROUTING_APP
                and one.packet.decoded.request_id == packet
            ),
        )
        error = mesh_pb2.Routing.FromString(told.packet.decoded.payload).error_reason
        return getattr(told.packet, "from"), mesh_pb2.Routing.Error.Name(error)

    def payload(self, payload: bytes, times: int = 1) -> mesh_pb2.MeshPacket:
        """Wait for a packet of an application."""
        told = self.wait(
            f"{payload[:16]!r}", lambda one: one.packet.decoded.payload == payload, times
        )
        return told.packet

    @property
    def packets(self) -> list[bytes]:
        """The payloads of the application's packets until now."""
        return [
            one.packet.decoded.payload
            for one in self.told[:]
            if one.packet.decoded.portnum == PRIVATE
        ]

    def hand(self, payload: bytes, to: int = EVERYONE, **more: Any) -> int:
        """Hand a packet over at once, whatever the library thinks of the queue; return its id."""
        data = mesh_pb2.Data(portnum=PRIVATE, payload=payload)
        id: int = self.library._generatePacketId()
        packet = mesh_pb2.MeshPacket(to=to, id=id, decoded=data, **more)
        self.library._sendToRadioImpl(mesh_pb2.ToRadio(packet=packet))
        return id

    def beat(self, nonce: int = 0) -> None:
        """Send a heartbeat; 1 has the node say who it is."""
        heartbeat = mesh_pb2.Heartbeat(nonce=nonce)
        self.library._sendToRadioImpl(mesh_pb2.ToRadio(heartbeat=heartbeat))


@contextmanager
def client(lab: Lab, node: str) -> Generator[Client]:
    """Be a node's client for the time of the context."""
    ours = Client(lab, node)
    try:
        yield ours
    finally:
        ours.library.close()
