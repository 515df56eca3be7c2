"""Playing from the inbox: what it writes down, and that it can be given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from focal.app import App
from focal.core.audio import Clip
from focal.core.codec import CodecSpec
from focal.core.errors import SinkError
from focal.core.inbox import TurnState
from focal.core.message import Kind, Message, MessageId
from focal.core.ports import Delivery, Sink, SinkSpec
from focal.core.runtime import Cancelled, check_cancelled
from focal.plugins import hookimpl
from focal.plugins.manager import Plugins
from focal.settings import Settings
from focal.stored import play
from tests.deadline import Deadline

MESSAGE = Message(MessageId(1, 2), Kind.VOICE, b"x", 230)


@dataclass
class Toy:
    """A codec and a sink that do as they are told."""

    work: Callable[[], object] = lambda: None
    refusal: str | None = None
    key: str = "toy:1"
    speaks: bool = False
    rate: int = 8000

    def encode(self, clip: Clip, /) -> bytes:
        return b"x"

    def decode(self, data: bytes, /) -> Clip:
        self.work()
        return Clip(np.zeros(8, np.float32), self.rate)

    async def accept(self, delivery: Delivery, /) -> str | None:
        if self.refusal is not None:
            raise SinkError(self.refusal)
        return "a.file"

    @asynccontextmanager
    async def open(self, rest: str) -> AsyncGenerator[Sink]:
        yield self

    def app(self, home: Path) -> App:
        """Return an app with this toy in which a message has arrived for it."""
        spec = CodecSpec("toy", 230, 8.0, lambda: nullcontext(self), lambda data: 0.001)
        plugins = Plugins()
        codecs = hookimpl(lambda: [spec], specname="focal_codecs")
        sinks = hookimpl(lambda: [SinkSpec("toy", "plays", self.open)], specname="focal_sinks")
        plugins.register(SimpleNamespace(focal_codecs=codecs), "codec.toy")
        plugins.register(SimpleNamespace(focal_sinks=sinks), "sink.toy")
        app = App(Settings(), plugins, home)
        with app.spool() as spool:
            spool.inbox.deliver(
                MESSAGE.to_bytes(), link="air", peer=None, at=1.8e9, sinks=[self.key]
            )
        return app


def turn(app: App) -> tuple[TurnState, str | None, str | None]:
    with app.spool() as spool:
        ((outcome,),) = (entry.outcomes for entry in spool.inbox.find(MESSAGE.id))
        return outcome.state, outcome.file, outcome.problem


def end_turn(app: App, problem: str | None) -> None:
    with app.spool() as spool:
        spool.inbox.end_turn(MESSAGE.id, 0, "toy:1", problem=problem)


def test_the_last_play_is_what_is_told_of_a_sink_that_had_its_turn(tmp_path: Path) -> None:
    toy = Toy()
    app = toy.app(tmp_path / "home")
    end_turn(app, "no decoder")
    assert asyncio.run(play(app, str(MESSAGE.id), "toy")) == "a.file"
    assert turn(app) == (TurnState.DONE, "a.file", None)
    toy.refusal = "the disk is full"
    with pytest.raises(SinkError, match="the disk is full"):
        asyncio.run(play(app, str(MESSAGE.id), "toy"))
    assert turn(app) == (TurnState.FAILED, None, "the disk is full")


def test_a_turn_that_is_still_to_come_is_left_to_whoever_gives_it(tmp_path: Path) -> None:
    app = Toy().app(tmp_path / "home")
    asyncio.run(play(app, str(MESSAGE.id), "toy"))
    assert turn(app) == (TurnState.PENDING, None, None)


def test_playing_can_be_given_up_while_it_decodes(tmp_path: Path) -> None:
    begun, told, deadline = threading.Event(), list[str](), Deadline()

    def work() -> None:
        begun.set()
        try:
            deadline.until("it was told", check_cancelled)
        except Cancelled:
            told.append("to end")
            raise

    async def main() -> None:
        app = Toy(work).app(tmp_path / "home")
        end_turn(app, "no decoder")
        playing = asyncio.ensure_future(play(app, str(MESSAGE.id), "toy"))
        await asyncio.to_thread(begun.wait)
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing
        assert turn(app) == (TurnState.FAILED, None, "no decoder")

    asyncio.run(main())
    assert told == ["to end"]
