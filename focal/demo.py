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

from .core.draft import Draft, price_of, room
from .core.errors import CodecError, CodecMissing, FocalError, SourceError
from .core.events import NodeEvent, Progress, Received, State
from .core.framing import frame as frames
from .core.hour import HOUR
from .core.message import Speech
from .core.node import Node
from .core.ports import Delivery, Sink
from .core.runtime import Runtime, run_virtual, virtual_runtime
from .core.spool import Spool
from .packets import write
from .plugins.sources.files import read_audio
from .results import Demo, OnPreset
from .sinks.wav import Wav
from .speech import choose, encode
from .transports.lora.channel import Delivered, Gone, Happening, Missed
from .transports.lora.plan import PRESETS, PROFILES
from .transports.lora.sim import Conditions, SimMesh, SimTransport

if TYPE_CHECKING:
    from .app import App
    from .core.audio import Clip
    from .core.codec import CodecSpec

QUALITY = "c2-1300"
"""What is sent where FocalCodec's models are not."""

RADIO = Conditions(loss=0.25, seed=4)
"""Meshtastic's default, LONG_FAST, in Europe, where one node may send 360 s an hour."""

NEAR, FAR = 0x0000A001, 0x0000B001

PATIENCE = 600.0  # simulated seconds


@dataclass
class Ear:
    """A sink that keeps what it hears."""

    key: str = "demo"
    speaks: bool = False
    clip: Clip | None = None

    async def accept(self, delivery: Delivery, /) -> str | None:
        """Keep the sound of a message."""
        self.clip = delivery.clip
        return None


@dataclass
class Witness:
    """Sees what passes on the air, and what does not."""

    gone: list[Gone] = field(default_factory=lambda: [])
    lost: int = 0
    heard: set[int] = field(default_factory=lambda: set())
    needed: int = 0

    def watch(self, happening: Happening) -> None:
        """Take what happened."""
        match happening:
            case Gone():
                self.gone.append(happening)
            case Missed():
                self.lost += 1
            case Delivered(_, node, packet, _):
                if node == FAR:
                    self._hear(frames.unpack(packet.payload))
            case _:
                pass  # no relays here, and no acknowledgements of the mesh's own

    def _hear(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Symbol):
            self.needed = frame.k
            self.heard.add(frame.index)

    @property
    def repaired(self) -> int:
        """How many frames of speech never came, and were not missed in the end."""
        return self.needed - len(self.heard & set(range(self.needed)))

    def airtime(self, *nodes: int) -> float:
        """Return the seconds that nodes held the channel."""
        return sum(one.seconds for one in self.gone if one.node in nodes)


def run(app: App, out: str) -> Demo:
    """Send the recording from one node to another and write what arrives to ``out``.

    Raises:
        FocalError: the recording is missing, no such quality, or ``out`` cannot be written.
    """
    clip = read_audio(recording())
    spec = _quality(app, clip.seconds)
    (speech,) = encode(app.plugins, spec, clip, room([RADIO.limits()]), parts=1)
    mesh, ear, witness = SimMesh("demo", RADIO), Ear(), Witness()
    mesh.watchers.append(witness.watch)
    with TemporaryDirectory(prefix="focal-demo-") as folder:
        received, took = run_virtual(_cross(app, speech, mesh, ear, Path(folder)))
    if received is not None and received.problem is not None:
        raise CodecError(f"the message arrived, but cannot be heard: {received.problem}")
    if received is None or ear.clip is None:
        raise FocalError("the message did not arrive: this must not happen, please report it")
    write(out, Wav(ear.clip))
    size = len(received.message.to_bytes())
    return Demo(
        delivered=True,
        codec=spec.name,
        seconds=speech.seconds,
        payload_bytes=len(speech.payload),
        message_bytes=size,
        region=RADIO.region,
        preset=RADIO.preset,
        loss=RADIO.loss,
        frames=len(witness.gone),
        frames_lost=witness.lost,
        frames_repaired=witness.repaired,
        packet_bytes=sum(len(one.packet.payload) for one in witness.gone),
        airtime=witness.airtime(NEAR, FAR),
        airtime_share=witness.airtime(NEAR) / (HOUR * RADIO.air.region.duty),
        air_seconds=took,
        presets=tuple(_on(preset, size) for preset in _presets()),
        out=out,
    )


def recording() -> Path:
    """Return ``examples/hello.wav``, in an installation or in a checkout."""
    here = Path(__file__).parent
    for folder in (here / "examples", here.parent / "examples"):
        if (path := folder / "hello.wav").is_file():
            return path
    raise SourceError("examples/hello.wav is missing from this installation: install focal again")


def _quality(app: App, seconds: float) -> CodecSpec:
    """Return what is asked for; else FocalCodec where it can be used both ways, else ours.

    Raises:
        CodecMissing: what it sends could not be heard here; says what is missing.
    """
    chosen, radio = app.settings.defaults.quality, {"radio": RADIO.limits()}
    spec = choose(app.plugins, chosen, seconds, radio).spec
    if chosen == "auto" and (spec.name.startswith("c2-") or spec.why_silent()):
        spec = choose(app.plugins, QUALITY, seconds, radio).spec
    if why_silent := spec.why_silent():
        raise CodecMissing(why_silent)
    return spec


def _presets() -> list[str]:
    """Return the presets of the region, the fastest first."""
    there = PROFILES[RADIO.air.region.profile]
    return [preset for preset in PRESETS if preset in there]


def _on(preset: str, size: int) -> OnPreset:
    """Return what a message of so many bytes costs with a preset, to one that can ask again."""
    limits = Conditions(RADIO.region, preset).limits()
    price = price_of(size, limits, to_all=False)
    airtime = price.airtime or 0.0
    share = airtime / (HOUR * limits.duty)
    return OnPreset(preset, price.frames, airtime, share, int(1 / share))


async def _cross(
    app: App, speech: Speech, mesh: SimMesh, ear: Ear, folder: Path
) -> tuple[Received | None, float]:
    """Return what arrived, None if it was not confirmed, and the seconds that it took."""
    runtime = virtual_runtime()
    async with AsyncExitStack() as stack:
        near = await stack.enter_async_context(_node(app, NEAR, mesh, folder, runtime))
        far = await stack.enter_async_context(_node(app, FAR, mesh, folder, runtime, ear))
        told, heard = near.events(), far.events()
        await near.send(Draft.voice([speech], to=f"~{FAR:08x}", lifetime=PATIENCE))
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
    app: App, number: int, mesh: SimMesh, folder: Path, runtime: Runtime, *sinks: Sink
) -> AsyncGenerator[Node]:
    path, unix = folder / f"{number}.db", runtime.unix
    with Spool.open(path, durability="process", unix=unix, origin=number) as spool:
        node = Node(
            links={"radio": SimTransport(mesh, node=number)},
            spool=spool,
            codecs=app.plugins,
            runtime=runtime,
            folder=folder / str(number),
            sinks=sinks,
            seed=number,
        )
        async with node:
            yield node
