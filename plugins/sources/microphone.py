"""The microphone, through PortAudio (extra ``mic``).

The law of this module: threads meet in ``Take`` and nowhere else. PortAudio's thread feeds it, any
thread may end it, and one worker thread opens the device, waits for the end and closes it, so that
the event loop never waits for a device.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, cast

from ...core.errors import SourceError
from ...core.ports import SourceSpec
from .. import hookimpl
from ..findings import Finding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...core.audio import Clip, Samples

RATE = 16_000
"""Samples a second asked for first: what speech codecs need, at a third of the memory of 48 kHz."""
LONGEST = 3600.0
"""Seconds after which a take ends by itself."""


class PortAudio(Protocol):
    """What is used of sounddevice, which ships no types."""

    @property
    def PortAudioError(self) -> type[Exception]: ...

    @property
    def InputStream(self) -> Callable[..., AbstractContextManager[object]]: ...

    def query_devices(self, device: int | str | None, kind: str) -> dict[str, Any]: ...

    def check_input_settings(
        self, *, device: int | str | None, channels: int, dtype: str, samplerate: int
    ) -> None: ...


def portaudio() -> PortAudio:
    """Load sounddevice.

    Raises:
        SourceError: it, or the PortAudio library under it, is not installed.
    """
    try:
        import sounddevice  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise SourceError(
            "recording needs sounddevice, which is not installed: pip install 'focal-voice[mic]'"
        ) from error
    except OSError as error:  # the module is there, the library is not
        raise SourceError(
            "recording needs the PortAudio library: install it (Debian: apt install "
            "libportaudio2), and pip install 'focal-voice[mic]'"
        ) from error
    return cast("PortAudio", sounddevice)


class Take:
    """The blocks of one recording, from the first sample to the last one wanted.

    Args:
        size: samples after which the take is complete; what comes later is dropped.
    """

    def __init__(self, size: int) -> None:
        self._room = size
        self._blocks: list[Samples] = []
        self._ended = threading.Event()

    def feed(self, block: NDArray[np.float32], *_: object) -> None:
        """Add a block of shape ``(n, 1)``; PortAudio reuses its memory, so it is copied."""
        if self._ended.is_set():
            return
        kept = block[: self._room, 0].copy()
        self._blocks.append(kept)
        self._room -= len(kept)
        if not self._room:
            self.end()

    def end(self) -> None:
        """End the take; what was fed so far is kept. Again: nothing happens."""
        self._ended.set()

    def wait(self) -> None:
        """Wait, in a thread of your own, until the take has ended."""
        self._ended.wait()

    def clip(self, rate: int) -> Clip:
        """Return what was recorded.

        Raises:
            SourceError: nothing was.
        """
        import numpy as np

        from ...core.audio import Clip

        if not self._blocks:
            raise SourceError("the microphone gave no sound: speak before you stop, or plug it in")
        return Clip(np.concatenate(self._blocks), rate)


class MicrophoneSource:
    """One take from a microphone; make a new source for the next one.

    Args:
        seconds: how long to record; None is until ``stop``, and at most an hour.
        device: a device's number or a part of its name; None is the default one.
        load: gives PortAudio.

    Attributes:
        endless: no length was said: somebody has to call ``stop``.

    Raises:
        SourceError: seconds that are not above 0 and at most 3600.
    """

    def __init__(
        self,
        seconds: float | None = None,
        device: str | None = None,
        load: Callable[[], PortAudio] = portaudio,
    ) -> None:
        if seconds is not None and not 0 < seconds <= LONGEST:
            raise SourceError(f"a recording has more than 0 and at most {LONGEST:.0f} seconds")
        self.endless = seconds is None
        self._seconds = seconds or LONGEST
        self._device = int(device) if device and device.isdecimal() else device or None
        self._load = load
        self._take: Take | None = None
        self._stopped = False

    async def clips(self) -> AsyncGenerator[Clip]:
        """Record, and yield one clip when the time is over or ``stop`` was called.

        Cancelled, it closes the device and yields nothing.

        Raises:
            SourceError: PortAudio missing, no such device, or no sound from it.
        """
        try:
            clip = await asyncio.to_thread(self._record)
        finally:
            self.stop()
        yield clip

    def stop(self) -> None:
        """End the take, from any thread; ``clips`` then yields what was said until now."""
        self._stopped = True
        if self._take:
            self._take.end()

    def _record(self) -> Clip:
        audio = self._load()
        try:
            rate = _rate(audio, self._device)
            take = self._take = Take(max(1, round(self._seconds * rate)))
            with audio.InputStream(
                samplerate=rate,
                channels=1,
                dtype="float32",
                device=self._device,
                callback=take.feed,
                finished_callback=take.end,  # unplugged: what was said until then is kept
            ):
                if not self._stopped:  # stopped before there was a take to end
                    take.wait()
        except (audio.PortAudioError, ValueError) as error:
            raise SourceError(_refusal(self._device, error)) from error
        return take.clip(rate)


def _rate(audio: PortAudio, device: int | str | None) -> int:
    """Return the rate to record at: ours where the device takes it, else the device's own."""
    own = audio.query_devices(device, "input")["default_samplerate"]
    try:
        audio.check_input_settings(device=device, channels=1, dtype="float32", samplerate=RATE)
    except audio.PortAudioError:
        return int(own)
    return RATE


def _refusal(device: int | str | None, error: Exception) -> str:
    reason = str(error).partition("\n")[0]
    if device is None:
        return f"no microphone can be opened ({reason}): plug one in, or name one with its device"
    return (
        f"no microphone {device!r} can be opened ({reason}): list them with python -m sounddevice"
    )


def _microphone(rest: str) -> MicrophoneSource:
    seconds, _, device = rest.partition("@")
    try:
        return MicrophoneSource(float(seconds) if seconds else None, device or None)
    except ValueError as error:
        raise SourceError(f"a microphone is written mic:SECONDS@DEVICE, not mic:{rest}") from error


def examined(load: Callable[[], PortAudio] = portaudio) -> Finding:
    """Look for the default microphone; nothing is recorded."""
    try:
        audio = load()
    except SourceError as error:
        detail, _, advice = str(error).partition(": ")
        absent = isinstance(error.__cause__, ImportError)
        return Finding("microphone", "absent" if absent else "bad", detail, advice)
    try:
        name = audio.query_devices(None, "input").get("name", "the default one")
        return Finding("microphone", "good", f"{name}, {_rate(audio, None)} samples a second")
    except (audio.PortAudioError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        return Finding("microphone", "absent", f"there is none ({reason})", "plug one in")


@hookimpl
def focal_doctor() -> list[Finding]:
    """Tell whether there is a microphone."""
    return [examined()]


@hookimpl
def focal_sources() -> list[SourceSpec]:
    """Give the microphone."""
    return [SourceSpec("mic", "the microphone: mic, mic:5, mic:5@USB, mic:@USB", _microphone)]
