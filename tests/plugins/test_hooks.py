"""Each hook where it really happens: in a node, a command or a list; one test a hook.

A plugin of every test is registered as any other; what calls its hook is focal itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from focal.app import App
from focal.core.audio import Clip
from focal.core.codec import Codec, CodecSpec
from focal.core.draft import Draft
from focal.core.errors import CodecError
from focal.core.events import State
from focal.core.framing.split import frames_for
from focal.core.link import Limits, Transport, TransportSpec
from focal.core.message import Kind, Message, Speech
from focal.core.node import Node
from focal.core.ports import Delivery, Sink, SinkSpec, Source, SourceSpec
from focal.core.runtime import Runtime, run_virtual, virtual_runtime
from focal.core.spool import Spool
from focal.packets import decode_packet, encode_file
from focal.plugins import hookimpl
from focal.plugins.choice import Choice
from focal.plugins.findings import Finding
from focal.plugins.hookspecs import Command
from focal.plugins.installed import single_files
from focal.plugins.manager import Plugins
from focal.plugins.rules import HOOKS
from focal.serving import make_node
from focal.settings import Settings
from focal.stored import play
from focal.transports.memory import MemoryTransport, Mesh
from tests.cli.conftest import recording
from tests.core.world import Shelf, lossy, received, until
from tests.plugins.samples.waving import wave

C2 = "c2-1300"
TEXT = Draft.text("on my way")


def hooks(**functions: Callable[..., object]) -> object:
    """Make a plugin of functions, called as the hooks are without ``focal_``."""
    return SimpleNamespace(**{f"focal_{name}": hookimpl(f) for name, f in functions.items()})


def plugins(**functions: Callable[..., object]) -> Plugins:
    """Return focal's own plugins, and one with these hooks."""
    manager = Plugins()
    manager.register(hooks(**functions), "hooks.test")
    return manager


def speech(manager: Plugins, seconds: float = 1.0) -> Draft:
    """Return a spoken message."""
    spec = manager.codec(C2)
    with spec.load() as codec:
        tone = np.sin(np.arange(round(seconds * codec.rate)) / 9)
        payload = codec.encode(Clip(np.divide(tone, 4, dtype=np.float32), codec.rate))
    return Draft.voice([Speech(spec.wire_id, payload, seconds)])


@dataclass
class Pair:
    """Two nodes on one mesh, in virtual time; both show what passes to the plugins."""

    folder: Path
    plugins: Plugins
    sink: Shelf = field(default_factory=Shelf)
    mesh: Mesh = field(default_factory=lossy)

    def send(self, draft: Draft) -> list[Message]:
        """Send from the one to the other; return what was received."""
        return run_virtual(self._send(draft))

    async def _send(self, draft: Draft) -> list[Message]:
        runtime = virtual_runtime()
        async with self._node("a", runtime) as a, self._node("b", runtime, self.sink) as b:
            told, heard = a.events(), b.events()
            ids = await a.send(draft)
            messages = [event.message for event in await received(heard, len(ids))]
            await until(told, State.DELIVERED, *ids)
            return messages

    @asynccontextmanager
    async def _node(self, home: str, runtime: Runtime, *sinks: Sink) -> AsyncGenerator[Node]:
        path = self.folder / f"{home}.db"
        with Spool.open(path, durability="process", unix=runtime.unix) as spool:
            async with Node(
                links={"air": MemoryTransport(self.mesh)}, spool=spool, codecs=self.plugins,
                runtime=runtime, folder=self.folder / home, sinks=sinks, hooks=self.plugins,
            ) as node:  # fmt: skip
                yield node


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., App]:
    """Return a maker of apps in one home, with a plugin of these hooks."""

    def make(**functions: Callable[..., object]) -> App:
        return App(Settings().with_flags(quality=C2), plugins(**functions), tmp_path / "home")

    return make


def quieter(clip: Clip) -> Clip:
    return Clip(clip.samples * np.float32(0), clip.rate)


def half(clip: Clip) -> Clip:
    return clip.part(0, len(clip.samples) // 2)


def test_every_hook_has_its_test() -> None:
    assert {f"test_hook_{hook}" for hook in HOOKS} == {
        name for name in globals() if name.startswith("test_hook_")
    }


# What exists ----------------------------------------------------------------------------------


def test_hook_focal_sources(app: Callable[..., App], tmp_path: Path) -> None:
    class Tone:
        async def clips(self) -> AsyncIterator[Clip]:
            yield Clip(np.full(8000, 0.1, np.float32), 8000)

    def open_(rest: str) -> Source:
        assert rest == "440"
        return Tone()

    async def first() -> Clip:
        async for clip in manager.source("tone:440").clips():
            return clip
        raise AssertionError("no clip")

    manager = plugins(sources=lambda: [SourceSpec("tone", "hums", open_)])
    assert asyncio.run(first()).seconds == 1.0


def test_hook_focal_codecs(tmp_path: Path) -> None:
    class Loudness:
        """A codec of one byte: how loud it was."""

        rate = 8000

        def encode(self, clip: Clip, /) -> bytes:
            return bytes([round(float(clip.samples.max()) * 100)])

        def decode(self, data: bytes, /) -> Clip:
            if len(data) != 1:
                raise CodecError("one byte is wanted")
            return Clip(np.full(8000, data[0] / 100, np.float32), 8000)

    def load() -> AbstractContextManager[Codec]:
        return nullcontext(Loudness())

    spec = CodecSpec("loud", 230, 8.0, load, lambda _: 1.0)
    manager = plugins(codecs=lambda: [spec])
    app = App(Settings().with_flags(quality="loud"), manager, tmp_path / "home")
    hello, chosen = recording(tmp_path / "a.wav", seconds=1), list[Choice]()
    encoding = encode_file(app, str(hello), str(tmp_path / "p"), "focal", None, chosen.append)
    done = asyncio.run(encoding)
    assert [choice.spec for choice in chosen] == [spec]
    assert (done.codec, done.payload_bytes) == ("loud", 1)
    assert decode_packet(app, str(tmp_path / "p"), str(tmp_path / "b.wav"), None).seconds == 1.0


def test_hook_focal_transports(tmp_path: Path) -> None:
    spec = TransportSpec("air", "a mesh", lambda url: MemoryTransport(url.netloc), "air://x")
    manager = plugins(transports=lambda: [spec])
    app = App(Settings().with_flags(via=("air", "air://y")), manager, tmp_path)
    assert [link.key for link in app.links().values()] == ["mem:x", "mem:y"]


def test_hook_focal_sinks(tmp_path: Path) -> None:
    basket = Shelf("basket:in")

    @asynccontextmanager
    async def open_(rest: str) -> AsyncGenerator[Sink]:
        assert rest == "in"
        yield basket

    async def main() -> None:
        async with manager.sink("basket:in") as sink:
            pair.sink = basket
            assert sink.key == basket.key

    manager = plugins(sinks=lambda: [SinkSpec("basket", "keeps", open_)])
    pair = Pair(tmp_path, manager)
    asyncio.run(main())
    pair.send(TEXT)
    assert [delivery.message.payload for delivery in basket.taken] == [b"on my way"]


def test_hook_focal_commands() -> None:
    def commands() -> list[Command]:
        return [wave]

    manager = Plugins(())
    manager.register(hooks(commands=commands), "command.wave")
    assert manager.command("wave") is wave
    assert manager.commands() == [wave]


def test_hook_focal_doctor() -> None:
    finding = Finding("antenna", "absent", "no antenna", "mount one")
    assert finding in plugins(doctor=lambda: [finding]).doctor()


# Which one ------------------------------------------------------------------------------------


def test_hook_focal_choose_codec() -> None:
    asked: list[tuple[int, float]] = []

    def choose(available: list[CodecSpec], limits: Sequence[Limits], seconds: float) -> str:
        asked.append((len(limits), seconds))
        return min(available, key=lambda spec: spec.bits_per_second).name

    chosen = plugins(choose_codec=choose).choose_codec([Limits("datagram", 231)], 3.0)
    assert (chosen.spec.name, chosen.plugin, asked) == ("c2-700c", "hooks.test", [(1, 3.0)])


def test_hook_focal_wrap_transport(tmp_path: Path) -> None:
    def wrap(name: str, transport: Transport) -> Transport:
        return MemoryTransport(f"{name}-around-{transport.key.partition(':')[2]}")

    app = App(Settings().with_flags(via=("mem://hill",)), plugins(wrap_transport=wrap), tmp_path)
    (link,) = app.links().values()
    assert link.key == "mem:mem://hill-around-hill"


# What passes ----------------------------------------------------------------------------------


def test_hook_focal_captured(app: Callable[..., App], tmp_path: Path) -> None:
    seen: list[float] = []

    def captured(clip: Clip) -> Clip:
        seen.append(clip.seconds)
        return half(clip)

    hello, out = recording(tmp_path / "hello.wav", seconds=1), tmp_path / "p.focal"
    done = asyncio.run(
        encode_file(app(captured=captured), str(hello), str(out), "focal", None, print)
    )
    assert (seen, done.seconds) == ([1.0], 0.5)


def test_hook_focal_encoded(tmp_path: Path) -> None:
    seen: list[Message] = []
    (message,) = Pair(tmp_path, plugins(encoded=seen_by(seen))).send(TEXT)
    assert seen == [message]


def test_hook_focal_framed(tmp_path: Path) -> None:
    seen: list[tuple[Message, list[bytes]]] = []

    def framed(message: Message, frames: Sequence[bytes]) -> None:
        seen.append((message, list(frames)))

    manager = plugins(framed=framed)
    (message,) = Pair(tmp_path, manager).send(speech(manager, 5.0))
    ((shown, frames),) = [(shown, frames) for shown, frames in seen if shown == message]
    assert shown.kind is Kind.VOICE
    assert frames[: len(list(frames_for(message.to_bytes(), 231)))] == list(
        frames_for(message.to_bytes(), 231)
    )


def test_hook_focal_sent(tmp_path: Path) -> None:
    seen: list[tuple[Message, str]] = []

    def sent(link: str, message: Message) -> None:
        seen.append((message, link))

    (message,) = Pair(tmp_path, plugins(sent=sent)).send(TEXT)
    assert seen == [(message, "air")]


def test_hook_focal_received(tmp_path: Path) -> None:
    seen: list[tuple[Message, str]] = []

    def received_(message: Message, link: str) -> None:
        seen.append((message, link))

    (message,) = Pair(tmp_path, plugins(received=received_), mesh=lossy(dup=0.5)).send(TEXT)
    assert seen == [(message, "air")]


def test_hook_focal_decoded(tmp_path: Path) -> None:
    seen: list[Message] = []

    def decoded(message: Message, clip: Clip) -> Clip:
        seen.append(message)
        return quieter(clip)

    manager = plugins(decoded=decoded)
    pair = Pair(tmp_path, manager)
    (message,) = pair.send(speech(manager))
    (delivery,) = pair.sink.taken
    assert seen == [message]
    assert delivery.clip is not None and not delivery.clip.samples.any()


def test_hook_focal_played(tmp_path: Path) -> None:
    seen: list[tuple[Message, str]] = []

    def played(message: Message, sink: str) -> None:
        seen.append((message, sink))

    manager = plugins(played=played)
    (message,) = Pair(tmp_path, manager).send(speech(manager))
    assert seen == [(message, "shelf:1")]


def seen_by(seen: list[Message]) -> Callable[[Message], None]:
    """Return a hook that notes the message."""

    def note(message: Message) -> None:
        seen.append(message)

    return note


# The same hooks, wherever else a message passes -----------------------------------------------


def test_a_packet_file_is_decoded_with_the_hook(app: Callable[..., App], tmp_path: Path) -> None:
    hello, packet = recording(tmp_path / "hello.wav", seconds=1), str(tmp_path / "p.focal")
    ours = app(decoded=half)
    done = asyncio.run(encode_file(ours, str(hello), packet, "focal", None, print))
    assert done.seconds == 1.0
    assert decode_packet(ours, packet, str(tmp_path / "out.wav"), None).seconds == 0.5


def test_what_the_inbox_plays_is_decoded_and_played_with_the_hooks(
    app: Callable[..., App], tmp_path: Path
) -> None:
    seen: list[object] = []
    taken: list[Delivery] = []

    class Basket(Shelf):
        async def accept(self, delivery: Delivery, /) -> str | None:
            taken.append(delivery)
            return None

    def played(message: Message, sink: str) -> None:
        seen.append((message.id, sink))

    @asynccontextmanager
    async def open_(rest: str) -> AsyncGenerator[Sink]:
        yield Basket("basket:1")

    ours = app(
        decoded=quieter,
        played=played,
        sinks=lambda: [SinkSpec("basket", "keeps", open_)],
    )
    (message,) = Pair(tmp_path, ours.plugins).send(speech(ours.plugins))
    seen.clear()
    with ours.spool() as spool:
        spool.inbox.deliver(message.to_bytes(), link="air", peer=None, at=1.8e9, sinks=[])
    asyncio.run(play(ours, str(message.id), "basket"))
    assert seen == [(message.id, "basket:1")]
    (delivery,) = taken
    assert delivery.clip is not None and not delivery.clip.samples.any()


def test_a_node_imports_the_hooks_before_its_first_message(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "plugins"
    folder.mkdir(parents=True)
    (folder / "hooks.note.py").write_text(
        "from focal.plugins import hookimpl\n@hookimpl\ndef focal_sent(message): pass\n"
    )
    app = App.start(tmp_path / "home", {})
    runtime = virtual_runtime()
    with app.spool() as spool:
        make_node(app, {}, (), spool, runtime)
    (note,) = single_files(folder)
    assert note.module in sys.modules


def test_one_that_raises_stops_no_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise ZeroDivisionError("oops")

    passing = ("encoded", "framed", "sent", "received", "decoded", "played")
    manager = plugins(**dict.fromkeys(passing, fails))
    pair = Pair(tmp_path, manager)
    (message,) = pair.send(speech(manager))
    assert [delivery.message for delivery in pair.sink.taken] == [message]
    for name in passing:
        assert f"plugin hooks.test: focal_{name} failed: ZeroDivisionError: oops" in caplog.text
