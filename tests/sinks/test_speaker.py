"""The loudspeaker: one voice at a time, silent for history, each failure one line."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from focal.core.errors import SinkError
from focal.sinks.speaker import PortAudio, SpeakerSink, examined, focal_sinks
from tests.deadline import environment
from tests.sinks.deliveries import sound, text, voice


class AudioError(Exception):
    """What the loudspeakers below say."""


class Loudspeaker:
    """PortAudio with one output device, which keeps what it plays; ``error`` breaks it."""

    PortAudioError = AudioError

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.played: list[np.ndarray[Any, Any]] = []
        self.settings: list[dict[str, object]] = []
        self.open = 0
        self.most_open = 0
        self.on_write: Callable[[], object] = lambda: None

    def query_devices(self, device: int | str | None, kind: str) -> object:
        assert kind == "output"
        if self.error:
            raise self.error
        return {}

    @contextmanager
    def OutputStream(self, **settings: object) -> Generator[Loudspeaker]:
        if self.error:
            raise self.error
        self.settings.append(settings)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            yield self
        finally:
            self.open -= 1

    def write(self, data: np.ndarray[Any, Any], /) -> bool:
        self.played.append(data)
        self.on_write()
        return False


def speaker(device: str | None = None, **how: Any) -> tuple[Loudspeaker, SpeakerSink]:
    loudspeaker = Loudspeaker(**how)
    audio: PortAudio = loudspeaker
    return loudspeaker, SpeakerSink(audio, device)


def test_a_message_is_played_whole_at_its_rate() -> None:
    loudspeaker, sink = speaker()
    clip = sound(1.234, 16000)
    assert asyncio.run(sink.accept(voice(clip=clip))) is None
    assert np.array_equal(np.concatenate(loudspeaker.played), clip.samples)
    assert loudspeaker.settings == [
        {"samplerate": 16000, "channels": 1, "dtype": "float32", "device": None}
    ]
    assert loudspeaker.open == 0 and sink.speaks


def test_history_and_text_keep_silent() -> None:
    loudspeaker, sink = speaker()

    async def main() -> None:
        assert await sink.accept(voice(replayed=True)) is None
        assert await sink.accept(text()) is None

    asyncio.run(main())
    assert not loudspeaker.settings


def test_one_message_sounds_at_a_time() -> None:
    loudspeaker, sink = speaker()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(sink.accept(voice(number)))

    asyncio.run(main())
    assert (len(loudspeaker.settings), loudspeaker.most_open) == (4, 1)


def test_a_cancelled_message_stops_and_frees_the_device() -> None:
    loudspeaker, sink = speaker()

    async def main() -> None:
        loop, first = asyncio.get_running_loop(), asyncio.Event()
        loudspeaker.on_write = lambda: loop.call_soon_threadsafe(first.set)
        task = asyncio.create_task(sink.accept(voice(clip=sound(3600, 1000))))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert loudspeaker.open == 0 and len(loudspeaker.played) < 36_000


@pytest.mark.parametrize(
    ("device", "what"), [(None, "no loudspeaker can be used"), ("USB", "no loudspeaker 'USB' can")]
)
@pytest.mark.parametrize("error", [AudioError("gone\nmore"), ValueError("gone\nmore")])
def test_a_device_that_fails_is_one_line(device: str | None, what: str, error: Exception) -> None:
    _, sink = speaker(device, error=error)
    with pytest.raises(SinkError) as opening:
        sink.check()
    with pytest.raises(SinkError) as playing:
        asyncio.run(sink.accept(voice()))
    assert str(opening.value) == str(playing.value)
    assert what in str(opening.value) and "(gone)" in str(opening.value)
    assert "\n" not in str(opening.value)


def test_the_key_says_which_device() -> None:
    assert [speaker(device)[1].key for device in (None, "", "3", "USB")] == [
        "speaker",
        "speaker",
        "speaker:3",
        "speaker:USB",
    ]
    loudspeaker, sink = speaker("3")
    asyncio.run(sink.accept(voice()))
    assert loudspeaker.settings[0]["device"] == 3


OPEN = """
import asyncio, sys
if sys.argv[1] == "missing":
    sys.modules["sounddevice"] = None
from focal.core.errors import SinkError
from focal.sinks.speaker import focal_sinks

async def main():
    async with focal_sinks()[0].open(sys.argv[2]):
        print("open")

try:
    asyncio.run(main())
except SinkError as error:
    print(error)
"""


def opened(how: str, device: str = "") -> str:
    """Open the loudspeaker in a process of its own and return the one line it says."""
    done = subprocess.run(
        [sys.executable, "-c", OPEN, how, device],
        env=environment(),
        timeout=60,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    return line


def test_without_sounddevice_one_line_says_what_to_install() -> None:
    assert "pip install 'focal-voice[mic]'" in opened("missing")


def test_a_device_that_nobody_has_is_one_line_whatever_is_installed() -> None:
    line = opened("as it is", "no device has this name")
    assert "libportaudio2" in line or "no loudspeaker 'no device has this name'" in line


def test_the_speaker_is_found_by_name() -> None:
    assert [spec.name for spec in focal_sinks()] == ["speaker"]


# What focal doctor is told


def test_a_loudspeaker_is_told() -> None:
    found = examined(Loudspeaker)
    assert (found.name, found.state) == ("loudspeaker", "good")


def test_no_loudspeaker_is_absent() -> None:
    found = examined(lambda: Loudspeaker(AudioError("Error querying device -1\nmore")))
    assert (found.state, found.advice) == ("absent", "plug one in")
    assert "\n" not in found.detail


@pytest.mark.parametrize(("cause", "state"), [(ImportError(), "absent"), (OSError(), "bad")])
def test_without_the_library_it_says_what_to_install(cause: Exception, state: str) -> None:
    def load() -> PortAudio:
        raise SinkError("playing needs sounddevice: pip install it") from cause

    found = examined(load)
    assert (found.state, found.advice) == (state, "pip install it")
