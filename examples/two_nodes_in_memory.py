"""Two nodes on a channel that loses one frame in five, in virtual time: nothing else is needed.

Prints:

    on-air
    sent
    delivered to ~…
    b heard: the bridge is out, take the ford
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from focal import Draft, Node, Plugins, Progress, Received, Spool, State
from focal.core.runtime import Runtime, run_virtual, virtual_runtime
from focal.transports.memory import Conditions, MemoryTransport, Mesh

TEXT = "the bridge is out, take the ford"


def node(folder: Path, mesh: Mesh, spool: Spool, runtime: Runtime) -> Node:
    return Node(
        links={"air": MemoryTransport(mesh)},
        spool=spool,
        codecs=Plugins(),
        runtime=runtime,
        folder=folder,
    )


async def main(folder: Path) -> None:
    runtime = virtual_runtime()
    mesh = Mesh("hills", Conditions(loss=0.2, delay=0.1, seed=7))
    with (
        Spool.open(folder / "a.db", unix=runtime.unix) as spool_a,
        Spool.open(folder / "b.db", unix=runtime.unix) as spool_b,
    ):
        async with (
            node(folder / "a", mesh, spool_a, runtime) as a,
            node(folder / "b", mesh, spool_b, runtime) as b,
        ):
            sent, heard = a.events(), b.events()
            await a.send(Draft.text(TEXT, to=f"~{b.origin:08x}"))
            async for event in sent:
                if isinstance(event, Progress) and event.state is State.DELIVERED:
                    print(f"delivered to ~{event.by:08x}")
                    break
                if isinstance(event, Progress) and event.state is not State.QUEUED:
                    print(event.state)
            async for event in heard:
                if isinstance(event, Received):
                    print("b heard:", event.message.payload.decode())
                    break


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run_virtual(main(Path(folder)))
