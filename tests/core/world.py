"""Nodes on a mesh in virtual time, with real spools: what the tests of nodes build on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from focal.core.bridge import Gate
from focal.core.codec import CodecSpec
from focal.core.events import NodeEvent, Progress, Received, State
from focal.core.hub import Hooks, Subscription
from focal.core.ledger import Ledger
from focal.core.link import Transport
from focal.core.message import MessageId
from focal.core.node import Node
from focal.core.ports import Delivery, Sink
from focal.core.rack import Codecs
from focal.core.runtime import Runtime, virtual_runtime
from focal.core.spool import Spool
from focal.transports.memory import Conditions, MemoryTransport, Mesh


class NoCodecs:
    """No decoders: for messages that are data or text."""

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        return None


@dataclass
class Shelf:
    """A sink that keeps what it is given, and may refuse."""

    key: str = "shelf:1"
    speaks: bool = False
    refuse: Callable[[Delivery], None] = lambda delivery: None
    taken: list[Delivery] = field(default_factory=lambda: [])

    async def accept(self, delivery: Delivery, /) -> str | None:
        self.refuse(delivery)
        self.taken.append(delivery)
        return f"{delivery.message.id}.{self.key}"


@dataclass
class World:
    """A folder of homes, a runtime and codecs."""

    folder: Path
    runtime: Runtime = field(default_factory=virtual_runtime)
    codecs: Codecs = field(default_factory=NoCodecs)

    def spool(self, home: str) -> Spool:
        return Spool.open(self.folder / f"{home}.db", durability="process", unix=self.runtime.unix)

    @asynccontextmanager
    async def node(
        self,
        home: str,
        *meshes: Mesh,
        links: dict[str, Transport] | None = None,
        sinks: Sequence[Sink] = (),
        hooks: Hooks | None = None,
        name: str | None = None,
        ledger: Callable[[], Ledger] | None = None,
        bridge: Callable[[dict[str, Transport]], Sequence[Gate]] | None = None,
    ) -> AsyncGenerator[Node]:
        """Run a node on these meshes; its links are called as the meshes are."""
        made: dict[str, Transport] = {mesh.name: MemoryTransport(mesh) for mesh in meshes}
        every = {**made, **(links or {})}
        with self.spool(home) as spool:
            async with Node(
                links=every,
                spool=spool,
                codecs=self.codecs,
                runtime=self.runtime,
                folder=self.folder / home,
                sinks=sinks,
                hooks=hooks,
                name=name,
                seed=sum(home.encode()),
                ledger=ledger,
                bridge=bridge(every) if bridge else (),
            ) as node:
                yield node


def all_to_all(links: dict[str, Transport]) -> list[Gate]:
    """Return gates that let everything cross between all links."""
    keys = frozenset(link.key for link in links.values())
    return [Gate(link.key, name, keys) for name, link in links.items()]


def lossy(seed: int = 1, **conditions: object) -> Mesh:
    """Return a mesh with 10 % loss, doubles and overtaking, changed as asked."""
    usual: dict[str, object] = {
        "loss": 0.10,
        "dup": 0.05,
        "reorder": 0.05,
        "delay": 0.02,
        "jitter": 0.02,
        "seed": seed,
    }
    return Mesh("air", Conditions(**{**usual, **conditions}))  # type: ignore[arg-type]


def air(name: str = "air", **conditions: object) -> Mesh:
    """Return a radio channel: 231 bytes a frame, everybody in hearing."""
    usual: dict[str, object] = {"loss": 0.1, "bandwidth": 120.0, "slot": 0.03, "seed": 3}
    return Mesh(name, Conditions(**{**usual, **conditions}))  # type: ignore[arg-type]


def room(name: str = "room") -> Mesh:
    """Return a room: messages in envelopes, none of them lost."""
    return Mesh(name, Conditions(kind="message", delay=0.01))


async def until(events: Subscription, state: State, *ids: MessageId) -> list[Progress]:
    """Read events until each of these messages has reached a state; return those events."""
    left, found = set(ids), list[Progress]()
    async for event in events:
        if isinstance(event, Progress) and event.state is state and event.id in left:
            left.discard(event.id)
            found.append(event)
            if not left:
                break
    return found


async def received(events: Subscription, count: int) -> list[Received]:
    """Read events until so many messages were told of; return them."""
    found: list[Received] = []
    async for event in events:
        if isinstance(event, Received):
            found.append(event)
            if len(found) == count:
                break
    return found


async def first(events: Subscription, kind: type[NodeEvent]) -> NodeEvent:
    """Return the first event of a kind."""
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")
