"""What a long queue costs on a radio.

Two nodes on a mesh with airtime, in virtual time, with durability ``process``, so that all is
processor. The reference is the same with a short queue: a message that goes out past ten thousand
others should cost what it costs past a few.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from focal.core.codec import CodecSpec
from focal.core.events import Progress, State
from focal.core.leg import LegSpec
from focal.core.message import Kind, Message, MessageId
from focal.core.node import Node
from focal.core.runtime import Runtime, run_virtual, virtual_runtime
from focal.core.spool import Spool
from focal.transports.memory import Conditions, MemoryTransport, Mesh

from ._turns import PROCESSOR

LONG, SHORT = 10_000, 100
MESSAGES = 40  # that are delivered while it is looked at the clock
TURNS = 3
AIR = Conditions(bandwidth=200.0, duty=0.1)
LIFETIME = 7 * 86_400
SIZES = 64  # of messages, so that the queue has many different ones


class NoCodecs:
    """What is sent here is data."""

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        return None


def bench() -> dict[str, float]:
    """Return what a message costs past a long queue, over what it costs past a short one."""
    turns = [(_run(LONG), _run(SHORT)) for _ in range(TURNS)]
    opened = median(long.opened for long, _ in turns)
    return {
        f"{LONG} queued / {SHORT} queued, a message": median(
            long.each / short.each for long, short in turns
        ),
        f"{LONG} queued, milliseconds a message": 1000 * median(long.each for long, _ in turns),
        f"{LONG} queued, seconds until the first is out": opened,
    }


class _Took:
    """Seconds of processor time."""

    opened: float
    each: float


def _run(queued: int) -> _Took:
    with TemporaryDirectory() as name:
        return run_virtual(_pass(Path(name), queued), debug=False)


async def _pass(folder: Path, queued: int) -> _Took:
    runtime, mesh, took = virtual_runtime(), Mesh("air", AIR), _Took()
    with _spools(folder, runtime) as (outgoing, incoming):
        _fill(outgoing, MemoryTransport(mesh).key, queued, incoming.origin, runtime.unix())
        async with _node(incoming, mesh, runtime):
            start = PROCESSOR()
            async with _node(outgoing, mesh, runtime) as node:
                told, left = node.events(), MESSAGES
                async for event in told:
                    if isinstance(event, Progress) and event.state is State.DELIVERED:
                        if left == MESSAGES:
                            took.opened, start = PROCESSOR() - start, PROCESSOR()
                        left -= 1
                        if left < 0:
                            break
                took.each = (PROCESSOR() - start) / MESSAGES
    return took


@contextmanager
def _spools(folder: Path, runtime: Runtime) -> Generator[tuple[Spool, Spool]]:
    with (
        Spool.open(folder / "out.db", durability="process", unix=runtime.unix) as outgoing,
        Spool.open(folder / "in.db", durability="process", unix=runtime.unix) as incoming,
    ):
        yield outgoing, incoming


def _fill(spool: Spool, key: str, queued: int, to: int, now: float) -> None:
    with spool.database.transaction():
        for number in range(queued):
            message = Message(
                MessageId(spool.origin, 1 + number),
                Kind.DATA,
                bytes(100 + number % SIZES),
                sent_at=int(now),
                lifetime=LIFETIME,
                destination=to,
            )
            legs = [LegSpec(key, "link")]
            spool.outbox.put(message.to_bytes(), legs, kind=message.kind, expires_at=now + LIFETIME)


def _node(spool: Spool, mesh: Mesh, runtime: Runtime) -> Node:
    return Node(
        links={"link": MemoryTransport(mesh)},
        spool=spool,
        codecs=NoCodecs(),
        runtime=runtime,
        folder=spool.database.path.parent,
        seed=1,
    )
