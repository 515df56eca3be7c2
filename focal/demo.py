"""The newcomer's minute: a recording crosses a radio that loses frames, and is heard.

The law of this module: two nodes as any other, with spools in a temporary folder; only the radio
and the clock are simulated, and both always in the same way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .core.draft import Draft, room
from .core.errors import FocalError, FrameError, SourceError
from .core.events import NodeEvent, Progress, Received, State
from .core.framing import frame as frames
from .core.message import Speech
from .core.node import Node
from .core.ports import Delivery, Sink
from .core.runtime import Runtime, run_virtual, virtual_runtime
from .core.spool import Spool
from .packets import write
from .plugins.sources.files import read_audio
from .results import Demo
from .sinks.wav import wav_bytes
from .speech import choose, encode
from .transports.memory import Conditions, MemoryTransport, Mesh

if TYPE_CHECKING:
    from .app import App
    from .core.audio import Clip

QUALITY = "c2-1300"
RADIO = Conditions(loss=0.25, bandwidth=134.0, delay=0.05, seed=1)
"""Every fourth frame is lost; 134 bytes a second are what Meshtastic's LongFast carries."""

PATIENCE = 600.0  # simulated seconds


@dataclass
class Ear:
    """A sink that keeps what it hears. Also counts the symbols that pass by, as a mesh's filter."""

    key: str = "demo"
    speaks: bool = False
    clip: Clip | None = None
    symbols: list[int] = field(default_factory=list[int])
    needed: int = 1

    async def accept(self, delivery: Delivery, /) -> str | None:
        """Keep the sound of a message."""
        self.clip = delivery.clip
        return None

    def overhear(self, data: bytes, sender: str, receiver: str, /) -> bytes:
        """Note which symbol a frame carries, if it carries one."""
        try:
            frame = frames.unpack(data)
        except FrameError:  # every frame is ours; a damaged one would be no symbol
            return data
        if isinstance(frame, frames.Symbol):
            self.symbols.append(frame.index)
            self.needed = frame.k
        return data


def run(app: App, out: str) -> Demo:
    """Send the recording from one node to another and write what arrives to ``out``.

    Raises:
        FocalError: the recording is missing, no such quality, or ``out`` cannot be written.
    """
    clip = read_audio(recording())
    chosen = app.settings.defaults.quality
    quality = QUALITY if chosen == "auto" else chosen
    spec = choose(app.plugins, quality, clip.seconds, {}).spec
    (speech,) = encode(app.plugins, spec, clip, room([RADIO.limits()]), parts=1)
    mesh, ear = Mesh("demo", RADIO), Ear()
    mesh.filter = ear.overhear
    with TemporaryDirectory(prefix="focal-demo-") as folder:
        received, took = run_virtual(_cross(app, speech, mesh, ear, Path(folder)))
    if received is None or ear.clip is None:
        raise FocalError("the message did not arrive: this must not happen, please report it")
    write(out, wav_bytes(ear.clip))
    return Demo(
        delivered=True,
        codec=spec.name,
        seconds=speech.seconds,
        payload_bytes=len(speech.payload),
        message_bytes=len(received.message.to_bytes()),
        frames=mesh.carried.frames,
        frames_lost=mesh.carried.lost,
        frames_repaired=max(0, len(ear.symbols) - ear.needed),
        air_bytes=mesh.carried.bytes,
        air_seconds=took,
        out=out,
    )


def recording() -> Path:
    """Return ``examples/hello.wav``, in an installation or in a checkout."""
    here = Path(__file__).parent
    for folder in (here / "examples", here.parent / "examples"):
        if (path := folder / "hello.wav").is_file():
            return path
    raise SourceError("examples/hello.wav is missing from this installation: install focal again")


async def _cross(
    app: App, speech: Speech, mesh: Mesh, ear: Ear, folder: Path
) -> tuple[Received | None, float]:
    """Return what arrived, None if it was not confirmed, and the seconds that it took."""
    runtime = virtual_runtime()
    async with AsyncExitStack() as stack:
        near = await stack.enter_async_context(_node(app, "near", mesh, folder, runtime))
        far = await stack.enter_async_context(_node(app, "far", mesh, folder, runtime, ear))
        told, heard = near.events(), far.events()
        await near.send(Draft.voice([speech], lifetime=PATIENCE))
        delivered, took = await _end(told), runtime.now()
        return (await _first(heard) if delivered else None), took


async def _end(told: AsyncIterator[NodeEvent]) -> bool:
    """Wait for a message's end and tell whether it was confirmed."""
    async for event in told:
        if isinstance(event, Progress) and (event.state is State.DELIVERED or event.state.final):
            return event.state is State.DELIVERED
    return False


async def _first(heard: AsyncIterator[NodeEvent]) -> Received | None:
    async for event in heard:
        if isinstance(event, Received):
            return event
    return None


@asynccontextmanager
async def _node(
    app: App, name: str, mesh: Mesh, folder: Path, runtime: Runtime, *sinks: Sink
) -> AsyncGenerator[Node]:
    path = folder / f"{name}.db"
    with Spool.open(path, durability="process", unix=runtime.unix) as spool:
        node = Node(
            links={"radio": MemoryTransport(mesh, node=name)},
            spool=spool,
            codecs=app.plugins,
            runtime=runtime,
            folder=folder / name,
            sinks=sinks,
            seed=RADIO.seed,
        )
        async with node:
            yield node
