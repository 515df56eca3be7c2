"""The loudspeaker keeps the contract of sinks, with a device that keeps what it plays."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import pytest

from focal.core.audio import Samples
from focal.core.errors import SinkError
from focal.core.ports import Delivery, Sink
from focal.sinks.speaker import PortAudio, SpeakerSink
from focal.testing import SinkContract


class Loudspeaker:
    """PortAudio with one output device; unplugged, it refuses."""

    PortAudioError = RuntimeError

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.plugged = True
        self.busy = False

    def query_devices(self, device: int | str | None, kind: str) -> object:
        if not self.plugged:
            raise RuntimeError("unplugged")
        return {}

    @contextmanager
    def OutputStream(self, **settings: object) -> Generator[Loudspeaker]:
        self.query_devices(None, "output")
        assert not self.busy, "two voices at a time"
        self.busy = True
        self.heard.append(b"")
        yield self
        self.busy = False

    def write(self, data: Samples, /) -> bool:
        self.heard[-1] += data.tobytes()
        return False


class TestSpeaker(SinkContract):
    speaks = True

    @pytest.fixture(autouse=True)
    def plug_in(self) -> None:
        self.device = Loudspeaker()

    def open(self) -> AbstractAsyncContextManager[Sink]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[Sink]:
        audio: PortAudio = self.device
        sink = SpeakerSink(audio)
        sink.check()
        yield sink

    def held(self) -> list[Hashable]:
        return [*self.device.heard]

    def takes(self, delivery: Delivery) -> bool:
        return delivery.clip is not None

    def dead(self) -> AbstractAsyncContextManager[Sink]:
        self.device.plugged = False
        return self._opened()

    def fail(self) -> None:
        self.device.plugged = False


def test_the_device_refuses_when_it_is_unplugged() -> None:
    device = Loudspeaker()
    device.plugged = False
    with pytest.raises(SinkError):
        SpeakerSink(device).check()
