"""The microphone: one take, from the first sample to the last one wanted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from focal.core.audio import Clip
from focal.core.errors import SourceError
from focal.plugins.sources.microphone import (
    LONGEST,
    MicrophoneSource,
    PortAudio,
    Take,
    examined,
    focal_sources,
)
from tests.deadline import environment

Block = NDArray[np.float32]


class AudioError(Exception):
    """What the microphones below say."""


def ramp(*sizes: int) -> list[Block]:
    """Return blocks of these sizes, shape (n, 1), that count up from 0."""
    whole = np.arange(sum(sizes), dtype=np.float32).reshape(-1, 1)
    return np.split(whole, np.cumsum(sizes)[:-1])


class Microphone:
    """PortAudio with one input device, which gives ``blocks`` and then does ``after``.

    It hands out one buffer again and again, as PortAudio does.
    """

    PortAudioError = AudioError

    def __init__(
        self,
        blocks: Sequence[Block] = (),
        *,
        rates: Sequence[int] = (16000, 48000),
        after: Callable[[], object] = lambda: None,
        unplugged: bool = False,
        error: Exception | None = None,
    ) -> None:
        self.blocks = blocks
        self.rates = rates
        self.after = after
        self.unplugged = unplugged
        self.error = error
        self.settings: dict[str, object] = {}
        self.closed = False

    def query_devices(self, device: int | str | None, kind: str) -> dict[str, Any]:
        assert kind == "input"
        if self.error:
            raise self.error
        return {"default_samplerate": float(self.rates[-1])}

    def check_input_settings(
        self, *, device: int | str | None, channels: int, dtype: str, samplerate: int
    ) -> None:
        if samplerate not in self.rates:
            raise AudioError("Invalid sample rate")

    @contextmanager
    def InputStream(
        self,
        *,
        callback: Callable[[Block, int, object, object], None],
        finished_callback: Callable[[], None],
        **settings: object,
    ) -> Generator[None]:
        self.settings = settings
        for block in self.blocks:
            buffer = block.copy()
            callback(buffer, len(buffer), None, None)
            buffer[:] = np.nan
        if self.unplugged:
            finished_callback()
        self.after()
        yield
        self.closed = True
        finished_callback()


def load(microphone: Microphone) -> Callable[[], PortAudio]:
    return lambda: microphone


def recorded(source: MicrophoneSource) -> Clip:
    async def collect() -> list[Clip]:
        return [clip async for clip in source.clips()]

    (clip,) = asyncio.run(collect())
    return clip


def test_exactly_the_seconds_that_were_asked_for() -> None:
    microphone = Microphone(ramp(1000, 1000, 1000))
    clip = recorded(MicrophoneSource(2500 / 16000, load=load(microphone)))
    assert (clip.rate, clip.samples.tolist()) == (16000, list(range(2500)))
    assert microphone.closed
    assert microphone.settings == {
        "samplerate": 16000,
        "channels": 1,
        "dtype": "float32",
        "device": None,
    }


def test_a_device_that_knows_no_16_khz_records_at_its_own_rate() -> None:
    microphone = Microphone(ramp(44100), rates=(44100,))
    clip = recorded(MicrophoneSource(0.5, load=load(microphone)))
    assert (clip.rate, len(clip.samples)) == (44100, 22050)


@pytest.mark.parametrize(("device", "number"), [("3", 3), ("USB", "USB"), ("", None)])
def test_a_device_is_a_number_or_a_name(device: str, number: object) -> None:
    microphone = Microphone(ramp(160))
    recorded(MicrophoneSource(0.01, device, load(microphone)))
    assert microphone.settings["device"] == number


def test_stopped_it_gives_what_was_said_until_then() -> None:
    async def main() -> Clip:
        loop, speaking = asyncio.get_running_loop(), asyncio.Event()
        microphone = Microphone(
            ramp(300, 40), after=lambda: loop.call_soon_threadsafe(speaking.set)
        )
        source = MicrophoneSource(load=load(microphone))
        take = asyncio.create_task(anext(source.clips()))
        await speaking.wait()
        source.stop()
        clip = await take
        assert microphone.closed
        return clip

    assert asyncio.run(main()).samples.tolist() == list(range(340))


def test_stopped_before_it_began_it_ends_at_once() -> None:
    source = MicrophoneSource(load=load(Microphone(ramp(10))))
    source.stop()
    assert len(recorded(source).samples) == 10


def test_cancelled_it_closes_the_device() -> None:
    microphone = Microphone(ramp(10))

    async def main() -> None:
        loop, speaking = asyncio.get_running_loop(), asyncio.Event()
        microphone.after = lambda: loop.call_soon_threadsafe(speaking.set)
        clips = MicrophoneSource(load=load(microphone)).clips()
        take = asyncio.create_task(anext(clips))
        await speaking.wait()
        take.cancel()
        with pytest.raises(asyncio.CancelledError):
            await take
        await clips.aclose()

    asyncio.run(main())  # waits for the thread that closes it
    assert microphone.closed


def test_unplugged_it_gives_what_was_said_until_then() -> None:
    microphone = Microphone(ramp(500), unplugged=True)
    assert len(recorded(MicrophoneSource(load=load(microphone))).samples) == 500


def refusal(source: MicrophoneSource) -> str:
    with pytest.raises(SourceError) as caught:
        recorded(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_sound_at_all_is_told() -> None:
    assert "gave no sound" in refusal(MicrophoneSource(load=load(Microphone(unplugged=True))))


@pytest.mark.parametrize("error", [AudioError("Error -1\nmore"), ValueError("Error -1\nmore")])
def test_no_device_is_told(error: Exception) -> None:
    broken = load(Microphone(error=error))
    assert "no microphone can be opened (Error -1)" in refusal(MicrophoneSource(load=broken))
    assert "no microphone 'USB' can" in refusal(MicrophoneSource(device="USB", load=broken))


@pytest.mark.parametrize("seconds", [0, -1, LONGEST + 1, float("nan"), float("inf")])
def test_times_that_cannot_be_are_refused(seconds: float) -> None:
    with pytest.raises(SourceError, match="more than 0 and at most 3600 seconds"):
        MicrophoneSource(seconds)


def test_a_take_is_bounded() -> None:
    take = Take(5)
    for block in ramp(2, 2, 2, 2):
        take.feed(block)
    take.wait()
    assert take.clip(8000).samples.tolist() == [0, 1, 2, 3, 4]


def test_a_take_that_ended_takes_no_more() -> None:
    take = Take(100)
    first, second = ramp(3, 3)
    take.feed(first)
    take.end()
    take.end()
    take.feed(second)
    assert take.clip(8000).samples.tolist() == [0, 1, 2]


RECORD = """
import asyncio, sys
if sys.argv[1] == "missing":
    sys.modules["sounddevice"] = None
from focal.core.errors import SourceError
from focal.plugins.sources.microphone import focal_sources

async def main():
    async for clip in focal_sources()[0].open(sys.argv[2]).clips():
        print("recorded")

try:
    asyncio.run(main())
except SourceError as error:
    print(error)
"""


def said(how: str, rest: str = "") -> str:
    """Record in a process of its own and return the one line it says."""
    done = subprocess.run(
        [sys.executable, "-c", RECORD, how, rest],
        env=environment(),
        timeout=60,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    return line


def test_without_sounddevice_one_line_says_what_to_install() -> None:
    assert "pip install 'focal-voice[mic]'" in said("missing")


def test_a_device_that_nobody_has_is_one_line_whatever_is_installed() -> None:
    line = said("as it is", "1@no device has this name")
    assert "libportaudio2" in line or "no microphone 'no device has this name'" in line


@pytest.mark.parametrize("rest", ["", "5", "5@USB", "@USB"])
def test_the_microphone_is_found_by_name(rest: str) -> None:
    (spec,) = focal_sources()
    assert spec.name == "mic" and spec.open(rest)


def test_how_a_microphone_is_written_is_told() -> None:
    (spec,) = focal_sources()
    with pytest.raises(SourceError, match="mic:SECONDS@DEVICE, not mic:five"):
        spec.open("five")


# What focal doctor is told


def test_a_microphone_is_told_with_its_rate() -> None:
    found = examined(lambda: Microphone(rates=[48000]))
    assert (found.name, found.state) == ("microphone", "good")
    assert "48000 samples a second" in found.detail


def test_no_microphone_is_absent() -> None:
    found = examined(lambda: Microphone(error=AudioError("Error querying device -1\nmore")))
    assert (found.state, found.advice) == ("absent", "plug one in")
    assert "\n" not in found.detail


@pytest.mark.parametrize(("cause", "state"), [(ImportError(), "absent"), (OSError(), "bad")])
def test_without_the_library_it_says_what_to_install(cause: Exception, state: str) -> None:
    def load() -> PortAudio:
        raise SourceError("recording needs sounddevice: pip install it") from cause

    found = examined(load)
    assert (found.state, found.advice) == (state, "pip install it")
