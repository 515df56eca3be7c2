"""The loudspeaker, through PortAudio (extra ``mic``).

The law of this module: one message sounds at a time, to its end or until it is cancelled; a message
that comes from history keeps silent.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol, cast

from ..core.errors import SinkError
from ..core.ports import Delivery, SinkSpec
from ..plugins import hookimpl
from ..plugins.findings import Finding

if TYPE_CHECKING:
    from ..core.audio import Clip, Samples

BLOCK = 0.1
"""Seconds handed to the device at a time: how long a cancelled message may sound on."""


class OutputStream(Protocol):
    """What is used of ``sounddevice.OutputStream``."""

    def write(self, data: Samples, /) -> bool: ...


class PortAudio(Protocol):
    """What is used of sounddevice, which ships no types."""

    @property
    def PortAudioError(self) -> type[Exception]: ...

    @property
    def OutputStream(self) -> Callable[..., AbstractContextManager[OutputStream]]: ...

    def query_devices(self, device: int | str | None, kind: str) -> object: ...


def portaudio() -> PortAudio:
    """Load sounddevice.

    Raises:
        SinkError: it, or the PortAudio library under it, is not installed.
    """
    try:
        import sounddevice  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise SinkError(
            "playing needs sounddevice, which is not installed: pip install 'focal-voice[mic]'"
        ) from error
    except OSError as error:  # the module is there, the library is not
        raise SinkError(
            "playing needs the PortAudio library: install it (Debian: apt install "
            "libportaudio2), and pip install 'focal-voice[mic]'"
        ) from error
    return cast("PortAudio", sounddevice)


class SpeakerSink:
    """Plays voice messages, one after another.

    Args:
        audio: PortAudio.
        device: a device's number or a part of its name; None is the default one.
    """

    speaks = True

    def __init__(self, audio: PortAudio, device: str | None = None) -> None:
        self._audio = audio
        self._device = int(device) if device and device.isdecimal() else device or None
        self._turn = asyncio.Lock()

    @property
    def key(self) -> str:
        """``speaker``, and the device if one was named."""
        return "speaker" if self._device is None else f"speaker:{self._device}"

    def check(self) -> None:
        """Raise SinkError where there is no such device."""
        try:
            self._audio.query_devices(self._device, "output")
        except (self._audio.PortAudioError, ValueError) as error:
            raise self._refused(error) from error

    async def accept(self, delivery: Delivery, /) -> str | None:
        """Play a message; what has no sound, or comes from history, is passed over.

        Raises:
            SinkError: the device is gone, or does not take this rate.
        """
        if delivery.clip is None or delivery.replayed:
            return None
        stop = threading.Event()
        async with self._turn:
            try:
                await asyncio.to_thread(self._play, delivery.clip, stop)
            finally:
                stop.set()
        return None

    def _play(self, clip: Clip, stop: threading.Event) -> None:
        step = max(1, round(BLOCK * clip.rate))
        try:
            with self._audio.OutputStream(
                samplerate=clip.rate, channels=1, dtype="float32", device=self._device
            ) as stream:
                for at in range(0, len(clip.samples), step):
                    if stop.is_set():
                        return
                    stream.write(clip.samples[at : at + step])
        except (self._audio.PortAudioError, ValueError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> SinkError:
        reason = str(error).partition("\n")[0]
        device = "no loudspeaker" if self._device is None else f"no loudspeaker {self._device!r}"
        return SinkError(
            f"{device} can be used ({reason}): plug one in, or choose one from the list that "
            "python -m sounddevice prints"
        )


@asynccontextmanager
async def open_speaker(rest: str) -> AsyncGenerator[SpeakerSink]:
    """Open the loudspeaker; ``rest`` names a device.

    Raises:
        SinkError: PortAudio is missing, or there is no such device.
    """
    sink = SpeakerSink(await asyncio.to_thread(portaudio), rest or None)
    await asyncio.to_thread(sink.check)
    yield sink


def examined(load: Callable[[], PortAudio] = portaudio) -> Finding:
    """Look for the default loudspeaker; nothing is played."""
    try:
        audio = load()
    except SinkError as error:
        detail, _, advice = str(error).partition(": ")
        absent = isinstance(error.__cause__, ImportError)
        return Finding("loudspeaker", "absent" if absent else "bad", detail, advice)
    try:
        device = cast("dict[str, object]", audio.query_devices(None, "output"))
    except (audio.PortAudioError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        return Finding("loudspeaker", "absent", f"there is none ({reason})", "plug one in")
    return Finding("loudspeaker", "good", str(device.get("name", "the default one")))


@hookimpl
def focal_doctor() -> list[Finding]:
    """Tell whether there is a loudspeaker."""
    return [examined()]


@hookimpl
def focal_sinks() -> list[SinkSpec]:
    """Give the loudspeaker."""
    return [SinkSpec("speaker", "plays voice messages: speaker or speaker:DEVICE", open_speaker)]
