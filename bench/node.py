"""How many messages a second two nodes pass.

Two nodes, one outbox and one inbox, every message for the other node and confirmed by it.

``mem``: over ``mem:`` in virtual time with durability ``process``, which is all processor. Its
reference is the two spools alone, doing for the same messages what nodes have them do, a window of
messages in each transaction.

``udp``: over UDP on loopback in real time with durability ``power``, which also waits for the disk.
Its reference is a bare program that does the same moves with nothing that focal promises: it
inserts a window of messages into one SQLite file, sends each as one datagram, inserts what arrives
into another file, answers each with one datagram, and deletes what was answered. It has no frames,
repairs, peers, events or lifetimes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from focal.core.carrier import WINDOW
from focal.core.codec import CodecSpec
from focal.core.database import Durability
from focal.core.draft import Draft
from focal.core.events import Progress, State
from focal.core.leg import LegSpec
from focal.core.link import Transport
from focal.core.message import Kind, Message, MessageId, origin_text
from focal.core.node import Node
from focal.core.runtime import Runtime, real_runtime, run_virtual, virtual_runtime
from focal.core.spool import Spool
from focal.transports.memory import MemoryTransport, Mesh
from focal.transports.udp import UdpTransport

from ._ports import free_ports
from ._turns import PROCESSOR, WALL, Clock

MESSAGES = 480
TURNS = 5
PAYLOAD = bytes(494)  # 5.6 s of c2-700c
AT_ONCE = 64  # drafts that are on their way into the outbox
ANSWER = bytes(14)
AT = 1.8e9  # Unix seconds


class NoCodecs:
    """What is sent here is data."""

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        return None


def bench() -> dict[str, float]:
    """Return messages a second of two nodes, of the reference, and the share of it."""
    pairs = {"mem": (over_mem, "spools", spools), "udp": (over_udp, "bare", bare)}
    found: dict[str, float] = {}
    for link, (ours, name, theirs) in pairs.items():
        turns = [(_rate(ours), _rate(theirs)) for _ in range(TURNS)]
        found[f"{link}, nodes / {name}"] = median(node / other for node, other in turns)
        found[f"{link}, nodes, messages a second"] = median(node for node, _ in turns)
        found[f"{link}, {name}, messages a second"] = median(other for _, other in turns)
    return found


def _rate(run: Callable[[Path], float]) -> float:
    with TemporaryDirectory() as name:
        return MESSAGES / run(Path(name))


# Two nodes


def over_mem(folder: Path) -> float:
    """Return the seconds that two nodes take over ``mem:``, in virtual time."""

    async def main() -> float:
        mesh = Mesh("air")
        links = (MemoryTransport(mesh), MemoryTransport(mesh))
        return await _nodes(folder, links, virtual_runtime(), "process", PROCESSOR)

    return run_virtual(main(), debug=False)


def over_udp(folder: Path) -> float:
    """Return the seconds that two nodes take over UDP."""
    one, two = free_ports()
    links = (UdpTransport("127.0.0.1", two, one), UdpTransport("127.0.0.1", one, two))
    with ThreadPoolExecutor(4) as executor:
        return asyncio.run(_nodes(folder, links, real_runtime(executor), "power"), debug=False)


async def _nodes(
    folder: Path,
    links: tuple[Transport, Transport],
    runtime: Runtime,
    durability: Durability,
    clock: Clock = WALL,
) -> float:
    async with AsyncExitStack() as stack:
        spools = stack.enter_context(_spools(folder, runtime.unix, durability))
        nodes = [_node(spool, link, runtime) for spool, link in zip(spools, links, strict=True)]
        for node in nodes:
            await stack.enter_async_context(node)
        start = clock()
        await _pass_all(*nodes)
        return clock() - start


@contextmanager
def _spools(
    folder: Path, unix: Callable[[], float], durability: Durability
) -> Generator[tuple[Spool, Spool]]:
    with (
        Spool.open(folder / "out.db", durability=durability, unix=unix) as outgoing,
        Spool.open(folder / "in.db", durability=durability, unix=unix) as incoming,
    ):
        yield outgoing, incoming


def _node(spool: Spool, link: Transport, runtime: Runtime) -> Node:
    folder = spool.database.path.parent
    return Node(
        links={"link": link},
        spool=spool,
        codecs=NoCodecs(),
        runtime=runtime,
        folder=folder,
        seed=1,
    )


async def _pass_all(one: Node, two: Node) -> None:
    """Send every message and wait until each was confirmed."""
    told, gate = one.events(), asyncio.Semaphore(AT_ONCE)
    draft = Draft(Kind.DATA, (PAYLOAD,), to=origin_text(two.origin))

    async def send() -> None:
        async with gate:
            await one.send(draft)

    async with asyncio.TaskGroup() as group:
        for _ in range(MESSAGES):
            group.create_task(send())
        left = MESSAGES
        async for event in told:
            if isinstance(event, Progress) and event.state is State.DELIVERED:
                left -= 1
                if not left:
                    return


# The spools alone


def spools(folder: Path) -> float:
    """Return the seconds that two spools take for what nodes have them do."""
    with _spools(folder, lambda: AT, "process") as (outgoing, incoming):
        start = PROCESSOR()
        for first in range(1, MESSAGES + 1, WINDOW):
            _pass_window(outgoing, incoming, range(first, first + WINDOW))
        return PROCESSOR() - start


def _pass_window(outgoing: Spool, incoming: Spool, numbers: range) -> None:
    """Do with a window of messages what happens to it, each step in one transaction."""
    outbox, inbox, peers = outgoing.outbox, incoming.inbox, incoming.peers
    ids = [MessageId(outgoing.origin, number) for number in numbers]
    messages = [Message(id, Kind.DATA, PAYLOAD).to_bytes() for id in ids]
    legs = [LegSpec("air", "air")]

    def put(message: bytes) -> None:
        outgoing.next_sequence()
        outbox.put(message, legs, kind=Kind.DATA, expires_at=2 * AT)

    def begin(id: MessageId) -> None:
        outbox.progress(id, "air", State.ON_AIR, at=AT)
        outbox.burst(id, "air", attempts=1, next_index=1)

    def deliver(message: bytes) -> None:
        inbox.deliver(message, link="air", peer="mem-1", at=AT, sinks=[])
        peers.learn(outgoing.origin, "air", "mem-1", None, AT)

    def told(id: MessageId, state: State) -> None:
        outbox.progress(id, "air", state, at=AT, done=state is State.DELIVERED)

    _apply(outgoing, [partial(put, message) for message in messages])
    _apply(outgoing, [partial(outbox.waiting, "air", limit=WINDOW)])
    _apply(outgoing, [partial(begin, id) for id in ids])
    _apply(incoming, [partial(deliver, message) for message in messages])
    _apply(outgoing, [partial(told, id, State.SENT) for id in ids])
    _apply(outgoing, [partial(told, id, State.DELIVERED) for id in ids])


def _apply(spool: Spool, ops: Sequence[Callable[[], object]]) -> None:
    for result in spool.apply(ops):
        if isinstance(result, Exception):
            raise result


# The bare program


def bare(folder: Path) -> float:
    """Return the seconds that the bare program takes."""

    async def main() -> float:
        async with _endpoint() as one, _endpoint() as two:
            with closing(_file(folder / "out.db")) as outbox:
                with closing(_file(folder / "in.db")) as inbox:
                    start = WALL()
                    for first in range(0, MESSAGES, WINDOW):
                        await _move(one, two, outbox, inbox, range(first, first + WINDOW))
                    return WALL() - start

    return asyncio.run(main(), debug=False)


async def _move(
    one: Endpoint,
    two: Endpoint,
    outbox: sqlite3.Connection,
    inbox: sqlite3.Connection,
    numbers: range,
) -> None:
    """Move a window of messages from one to the other, and the answers back."""
    rows = [(number, PAYLOAD) for number in numbers]
    with _commit(outbox):
        outbox.executemany("INSERT INTO message VALUES (?, ?)", rows)
    for _ in numbers:
        await one.send(PAYLOAD, to=two.address)
    arrived = [(number, await two.inbox.get()) for number in numbers]
    with _commit(inbox):
        inbox.executemany("INSERT INTO message VALUES (?, ?)", arrived)
    for _ in numbers:
        await two.send(ANSWER, to=one.address)
    for _ in numbers:
        await one.inbox.get()
    with _commit(outbox):
        outbox.executemany("DELETE FROM message WHERE id = ?", [(number,) for number in numbers])


@contextmanager
def _commit(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


def _file(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, message BLOB)")
    return connection


class Endpoint(asyncio.DatagramProtocol):
    """A bare UDP socket."""

    def __init__(self) -> None:
        self.inbox = asyncio.Queue[bytes]()
        self.transport: asyncio.DatagramTransport

    @property
    def address(self) -> Any:
        """Where it listens."""
        return self.transport.get_extra_info("sockname")

    async def send(self, data: bytes, *, to: Any) -> None:
        """Send a datagram, and let others run."""
        self.transport.sendto(data, to)
        await asyncio.sleep(0)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.inbox.put_nowait(data)


@asynccontextmanager
async def _endpoint() -> AsyncGenerator[Endpoint]:
    loop = asyncio.get_running_loop()
    endpoint = Endpoint()
    endpoint.transport, _ = await loop.create_datagram_endpoint(
        lambda: endpoint, local_addr=("127.0.0.1", 0)
    )
    try:
        yield endpoint
    finally:
        endpoint.transport.close()
