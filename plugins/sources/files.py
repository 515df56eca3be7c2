"""Recordings: audio files, and audio on standard input.

The law of this module: sound is read, mixed down and resampled in blocks, so that what it costs is
the clip that comes out and not the file that goes in; what cannot be read is told in one line.
"""

from __future__ import annotations

import asyncio
import io
import os
import stat
import sys
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from ...core.errors import FocalError, SourceError
from ...core.ports import SourceSpec
from .. import hookimpl
from .resample import check_rate, resampled

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

    from ...core.audio import Clip, Samples

BLOCK = 1 << 16
"""Samples of each channel, or bytes of a stream, that are read at a time."""
UNKNOWN = (1 << 63) - 1
"""Samples of a file whose header does not say how many it has."""
STDIN_LIMIT = 2 << 30
"""The most bytes taken from standard input: over three hours of 48 kHz stereo."""


class Readable(Protocol):
    """What is used of a stream of bytes: ``sys.stdin.buffer``, a pipe, a ``BytesIO``."""

    def isatty(self) -> bool: ...

    def fileno(self) -> int: ...

    def read1(self, size: int, /) -> bytes: ...


class _Sound(Protocol):
    """What is used of ``soundfile.SoundFile``."""

    @property
    def samplerate(self) -> int: ...

    @property
    def frames(self) -> int: ...

    def blocks(
        self, blocksize: int, *, dtype: str, always_2d: bool
    ) -> Iterable[NDArray[np.float32]]: ...


def read_audio(path: Path, rate: int | None = None) -> Clip:
    """Read a WAV, FLAC, Ogg or MP3 file as mono.

    Args:
        path: the file; what libsndfile reads beyond these formats is taken too.
        rate: samples a second to resample to while reading; None keeps the file's.

    Raises:
        SourceError: no such file, a folder, not readable, not audio, empty, NaN or infinity.
    """
    try:
        with path.open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode) and path.stat().st_size:
                return _read(str(path), file.fileno(), rate)
            data = file.read(STDIN_LIMIT)  # a pipe under a name: libsndfile wants to seek
    except OSError as error:
        raise SourceError(_refusal(path, error)) from error
    if not data:
        raise SourceError(f"{path} is empty (0 bytes): record it again")
    return _read(str(path), io.BytesIO(data), rate)


def audio_blocks(path: Path, rate: int) -> Generator[Clip]:
    """Read an audio file on disk as mono, a few seconds at a time.

    Args:
        path: a regular file, not a pipe.
        rate: samples a second to resample to while reading.

    Yields:
        clips whose samples, one after another, are those that ``read_audio`` gives.

    Raises:
        SourceError: as ``read_audio``; NaN and infinity once the reading has come to them.
    """
    from ...core.audio import Clip

    some = False
    try:
        with path.open("rb") as file, _opened(str(path), file.fileno()) as sound:
            for block in resampled(_mono(str(path), sound), sound.samplerate, rate):
                if len(block):
                    some = True
                    yield Clip(block, rate)
    except OSError as error:
        raise SourceError(_refusal(path, error)) from error
    if not some:
        raise SourceError(_no_sound(str(path)))


def length_of(path: Path) -> float | None:
    """Return how many seconds an audio file has by its header; None where only reading it tells.

    Raises:
        SourceError: no such file, a folder, not readable, not audio.
    """
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not path.stat().st_size:
                return None
            with _opened(str(path), file.fileno()) as sound:
                known = 0 < sound.frames < UNKNOWN
                return sound.frames / sound.samplerate if known else None
    except OSError as error:
        raise SourceError(_refusal(path, error)) from error


def read_audio_bytes(data: bytes, rate: int | None = None, to: int | None = None) -> Clip:
    """Read audio that is in memory as mono.

    Args:
        data: the bytes of an audio file, or bare samples.
        rate: None for a file; else ``data`` is mono samples (16-bit little-endian) at this rate.
        to: samples a second to resample to; None keeps the rate.

    Raises:
        SourceError: not audio, empty, NaN or infinity, a rate outside 1 kHz to 384 kHz.
    """
    if not data:
        raise SourceError("the audio is empty (0 bytes): check the program that should write it")
    if rate is None:
        return _read("what was given", io.BytesIO(data), to)
    return _collect("what was given", _bare(data), rate, to)


def _refusal(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file: check the name"
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder: name an audio file in it"
    if isinstance(error, PermissionError):
        return f"{path} may not be read: change its permissions (chmod +r)"
    return f"{path} cannot be read: {error.strerror or error}"


def _read(name: str, file: int | BinaryIO, rate: int | None) -> Clip:
    with _opened(name, file) as sound:
        return _collect(name, _mono(name, sound), sound.samplerate, rate)


@contextmanager
def _opened(name: str, file: int | BinaryIO) -> Generator[_Sound]:
    """Open what libsndfile knows; its complaints about the sound become ours."""
    library = _soundfile()
    try:
        # A number and not a name: libsndfile must look at the bytes, never at the file's ending.
        sound = library.SoundFile(file, closefd=False)
    except library.LibsndfileError as error:
        raise SourceError(
            f"{name} is not audio that can be read: give WAV, FLAC, Ogg or MP3"
        ) from error
    with sound:
        try:
            yield cast("_Sound", sound)
        except library.LibsndfileError as error:
            reason = error.error_string.removeprefix("Error : ").rstrip(".")
            raise SourceError(f"{name} is damaged ({reason}): export it again") from error


def _soundfile() -> ModuleType:
    try:
        import soundfile  # pyright: ignore[reportMissingTypeStubs]
    except (ImportError, OSError) as error:  # OSError: the module is there, libsndfile is not
        raise SourceError(
            "reading audio needs soundfile and libsndfile, which cannot be loaded here: "
            "pip install --force-reinstall soundfile (Debian: apt install libsndfile1)"
        ) from error
    return cast("ModuleType", soundfile)


def _mono(name: str, sound: _Sound) -> Iterator[Samples]:
    """Yield the mean of all channels, block by block."""
    import numpy as np

    for block in sound.blocks(BLOCK, dtype="float32", always_2d=True):
        if not bool(np.isfinite(block).all()):
            raise SourceError(
                f"{name} holds samples that are no numbers (NaN or infinity): export it again "
                "as 16-bit WAV"
            )
        yield block @ np.full(block.shape[1], 1 / block.shape[1], np.float32)


def _bare(data: bytes) -> Iterator[Samples]:
    """Yield 16-bit samples as float; half a sample at the end of a cut-off stream is no sound."""
    import numpy as np

    for at in range(0, len(data) - 1, 2 * BLOCK):
        count = min(BLOCK, (len(data) - at) // 2)
        block = np.frombuffer(data, "<i2", count, at)
        yield np.divide(block, 32768, dtype=np.float32)


def _collect(name: str, blocks: Iterable[Samples], rate: int, to: int | None) -> Clip:
    """Put blocks together; a bytearray grows in place, where a list would need twice the room."""
    import numpy as np

    from ...core.audio import Clip

    check_rate(rate)
    sound = bytearray()
    for block in resampled(blocks, rate, to or rate):
        sound += block.tobytes()
    if not sound:
        raise SourceError(_no_sound(name))
    return Clip(np.frombuffer(sound, np.float32), to or rate)


def _no_sound(name: str) -> str:
    return f"{name} holds no sound (0 samples): record it again"


@dataclass(frozen=True, slots=True)
class FileSource:
    """An audio file as a source of one clip.

    Args:
        path: the file.
        rate: samples a second to resample to while reading; None keeps the file's.
    """

    path: Path
    rate: int | None = None

    async def seconds(self) -> float | None:
        """Return its length, told without reading the sound; None where that cannot be.

        Raises:
            SourceError: as ``length_of``.
        """
        return await asyncio.to_thread(length_of, self.path)

    async def clips(self) -> AsyncGenerator[Clip]:
        """Yield the file's sound.

        Raises:
            SourceError: as ``read_audio``.
        """
        yield await asyncio.to_thread(read_audio, self.path, self.rate)


@dataclass(frozen=True, slots=True)
class StdinSource:
    """Audio on standard input, up to its end, as a source of one clip.

    Args:
        format: ``wav`` (or any other file that ``read_audio`` takes), or ``raw:RATE`` for mono
            16-bit little-endian samples.
        rate: samples a second to resample to; None keeps what comes.
        stream: where to read instead of standard input.
        limit: the most bytes to take.

    Raises:
        SourceError: a format that is neither.
    """

    format: str = "wav"
    rate: int | None = None
    stream: Readable | None = None
    limit: int = STDIN_LIMIT

    def __post_init__(self) -> None:
        _raw_rate(self.format)

    async def clips(self) -> AsyncGenerator[Clip]:
        """Yield the sound that stands there when the stream ends.

        Raises:
            SourceError: a terminal, too much, or as ``read_audio_bytes``.
        """
        data = await self._all()
        try:
            raw = _raw_rate(self.format)
            clip = await asyncio.to_thread(read_audio_bytes, data, raw, self.rate)
        except FocalError as error:
            raise SourceError(f"standard input: {error}") from error
        yield clip

    async def _all(self) -> bytes:
        stream = self.stream or _stdin()
        if stream is None or stream.isatty():
            raise SourceError("standard input is no audio: pipe a WAV file into it, or name a file")
        data = bytearray()
        while chunk := await _next(stream):
            data += chunk
            if len(data) > self.limit:
                raise SourceError(
                    f"standard input gives more than {self.limit} bytes: send it in parts"
                )
        return bytes(data)


def _stdin() -> Readable | None:
    return cast("Readable", sys.stdin.buffer) if sys.stdin else None  # None: started without one


async def _next(stream: Readable) -> bytes:
    await _readable(stream)
    try:
        return await asyncio.to_thread(stream.read1, BLOCK)
    except OSError as error:
        raise SourceError(f"standard input cannot be read: {error.strerror or error}") from error


async def _readable(stream: Readable) -> None:
    """Wait for the first byte, so that a cancelled reader leaves no thread waiting for it."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(stream, ready.set)
    except (OSError, ValueError, NotImplementedError):
        return  # a regular file or a buffer never keeps a reader waiting
    try:
        await ready.wait()
    finally:
        loop.remove_reader(stream)


def _raw_rate(format: str) -> int | None:
    """Return the rate of ``raw:RATE``; None for what has a header of its own."""
    if format in ("", "wav"):
        return None
    kind, _, rate = format.partition(":")
    if kind != "raw" or not rate.isascii() or not rate.isdigit():
        raise SourceError(f"audio on standard input is wav or raw:RATE (raw:16000), not {format!r}")
    check_rate(int(rate))
    return int(rate)


def _file(rest: str) -> FileSource:
    try:
        if rest:
            return FileSource(Path(rest).expanduser())
    except RuntimeError as error:
        raise SourceError(f"{rest}: there is no such user's folder; write file:PATH") from error
    raise SourceError("no file was named: write file:PATH")


@hookimpl
def focal_sources() -> list[SourceSpec]:
    """Give files and standard input (also under its usual name, ``-``)."""
    return [
        SourceSpec("file", "an audio file: WAV, FLAC, Ogg, MP3", _file),
        SourceSpec("stdin", "audio on standard input: stdin:wav or stdin:raw:16000", StdinSource),
        SourceSpec("-", "the same as stdin", StdinSource),
    ]
