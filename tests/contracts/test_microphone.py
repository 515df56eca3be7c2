"""The microphone keeps the contract of sources, with a device that records a ramp."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from focal.core.ports import Source
from focal.plugins.sources.microphone import MicrophoneSource
from focal.testing import SourceContract


class Microphone:
    """PortAudio with one input device; it hands out one buffer again and again, and may be mute."""

    PortAudioError = RuntimeError

    def __init__(self) -> None:
        self.open = 0
        self.mute = False

    def query_devices(self, device: int | str | None, kind: str) -> dict[str, Any]:
        if device is not None:
            raise RuntimeError("no such device")
        return {"default_samplerate": 16000.0}

    def check_input_settings(self, **settings: object) -> None:
        pass

    @contextmanager
    def InputStream(
        self, *, callback: Callable[..., None], **settings: object
    ) -> Generator[Microphone]:
        self.open += 1
        buffer = np.zeros((160, 1), np.float32)
        for block in range(0 if self.mute else 20):
            buffer[:] = block / 20
            callback(buffer, len(buffer), None, None)
        try:
            yield self
        finally:
            self.open -= 1


class TestMicrophone(SourceContract):
    @pytest.fixture(autouse=True)
    def plug_in(self) -> None:
        self.device = Microphone()

    def open(self) -> Source:
        return MicrophoneSource(0.1, load=lambda: self.device)

    def missing(self) -> Source:
        return MicrophoneSource(0.1, device="USB", load=lambda: self.device)

    def waiting(self) -> Source:
        self.device.mute = True
        return self.open()

    def released(self) -> bool:
        return self.device.open == 0
