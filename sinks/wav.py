"""Voice messages as 16-bit WAV files: one for each in a folder, or the latest in one file.

The law of this module: a message's file is told by its id and twin, which end its name; so a
message that is given a second time is found, and a half-written one is removed.
"""

from __future__ import annotations

import asyncio
import struct
import unicodedata
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import SinkError
from ..core.message import Kind
from ..core.ports import Delivery, SinkSpec
from ..plugins import hookimpl
from ._disk import make_folder, named, probe, refused, to_its_end, write_whole

if TYPE_CHECKING:
    from ..core.audio import Clip

_TIME_END = 253_402_300_800.0  # the year 10000, which no file name of ours reaches


_HEAD = struct.Struct("<4sI4s 4sIHHIIHH 4sI")
_BLOCK = 1 << 16
"""Samples that are made 16-bit at a time, so that a long clip needs no second copy."""


@dataclass(frozen=True, slots=True)
class Wav:
    """A clip as a WAV file of 16-bit samples at its rate, block by block, as often as it is asked.

    What is louder than full scale is cut.
    """

    clip: Clip

    def __iter__(self) -> Iterator[bytes]:
        yield _head(len(self.clip.samples), self.clip.rate)
        for start in range(0, len(self.clip.samples), _BLOCK):
            yield self.clip.part(start, start + _BLOCK).pcm16().astype("<i2").tobytes()


def _head(samples: int, rate: int) -> bytes:
    """Return what stands before the samples: the file's size, its form, the samples' size."""
    size = 2 * samples
    form = (b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)  # PCM, one channel, 2 bytes, 16 bits
    return _HEAD.pack(b"RIFF", _HEAD.size - 8 + size, b"WAVE", *form, b"data", size)


def wav_bytes(clip: Clip) -> bytes:
    """Return a clip as the bytes of a WAV file; see ``Wav``, which needs less memory."""
    return b"".join(Wav(clip))


def file_name(delivery: Delivery) -> str:
    """Return the name of a message's file: when (UTC), who, how long, which.

    It is made of ASCII letters, digits and ``.-_`` alone, whatever the sender calls themselves:
    ``20270115-080000Z_Ana_5.6s_1a2b3c4d00000001.wav``.
    """
    message = delivery.message
    parts = [_when(delivery), _plain(message.sender or "") or f"{message.id.origin:08x}"]
    if message.kind is Kind.VOICE:
        parts.append(f"{delivery.seconds:.1f}s")
    return "_".join([*parts, _tail(delivery)])


def _tail(delivery: Delivery) -> str:
    twin = f"-twin{delivery.twin}" if delivery.twin else ""
    ending = "wav" if delivery.message.kind is Kind.VOICE else "txt"
    return f"{delivery.message.id}{twin}.{ending}"


def _when(delivery: Delivery) -> str:
    message = delivery.message
    known = message.sent_at and message.clock_trusted
    at = message.sent_at if known else delivery.received_at
    moment = datetime.fromtimestamp(min(max(at, 0.0), _TIME_END - 1), UTC)
    return moment.strftime("%Y%m%d-%H%M%SZ")


def _plain(name: str) -> str:
    """Return what is left of a name in ASCII letters and digits, the rest as single hyphens."""
    ascii = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "-".join("".join(c if c.isalnum() else " " for c in ascii).split())


def _content(delivery: Delivery) -> Iterable[bytes] | None:
    """Return the blocks of a message's file; None for what is neither sound nor text."""
    if delivery.clip is not None:
        return Wav(delivery.clip)
    if delivery.message.kind is Kind.TEXT:
        return (delivery.message.payload.decode("utf-8", "replace").encode(),)
    return None


class FolderSink:
    """Writes each voice message as a WAV and each text as a ``.txt`` into a folder.

    Args:
        folder: it is there and can be written; ``open_folder`` sees to that.
    """

    speaks = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._turn = asyncio.Lock()

    @property
    def key(self) -> str:
        """The folder, by its one real path."""
        return f"wav:{self._folder.resolve()}"

    async def accept(self, delivery: Delivery, /) -> str | None:
        """Write a message's file, unless it is there already; return its path.

        Raises:
            SinkError: disk full, read-only, the folder is gone.
        """
        async with self._turn:
            return await to_its_end(partial(self._accept, delivery))

    def _accept(self, delivery: Delivery) -> str | None:
        blocks = _content(delivery)
        if blocks is None:
            return None
        # The time of reception may be another one the second time, and with it the name: look
        # for the end of the name, which says which message it is.
        tail = _tail(delivery)
        for found in self._folder.glob(f"*_{tail}"):
            return str(found)
        path = self._folder / file_name(delivery)
        write_whole(path, blocks, tail)
        return str(path)


class FileSink:
    """Keeps the latest voice message as one WAV file.

    Args:
        path: the file; its folder is there and can be written (``open_file`` sees to that).
    """

    speaks = False

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._turn = asyncio.Lock()

    @property
    def key(self) -> str:
        """The file, by its one real path."""
        return f"wavfile:{self._path.resolve()}"

    async def accept(self, delivery: Delivery, /) -> str | None:
        """Replace the file by a message's sound and return its path; None without sound.

        Raises:
            SinkError: disk full, read-only, the folder is gone.
        """
        if delivery.clip is None:
            return None
        async with self._turn:
            await to_its_end(partial(self._write, delivery.clip))
        return str(self._path)

    def _write(self, clip: Clip) -> None:
        write_whole(self._path, Wav(clip))


@asynccontextmanager
async def open_folder(rest: str) -> AsyncGenerator[FolderSink]:
    """Open a folder for messages; it is made where its parent is there.

    Raises:
        SinkError: it cannot be made or written.
    """
    folder = named(rest, "wav:FOLDER")
    await asyncio.to_thread(make_folder, folder)
    yield FolderSink(folder)


@asynccontextmanager
async def open_file(rest: str) -> AsyncGenerator[FileSink]:
    """Open one file for the latest message.

    Raises:
        SinkError: it cannot be written, is a folder, or its folder is missing.
    """
    path = named(rest, "wavfile:FILE")
    await asyncio.to_thread(_check_file, path)
    yield FileSink(path)


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise SinkError(f"{path} is a folder: name a file in it, or write wav:{path}")
        if path.exists() and not path.is_file():  # a rename would put a file in its place
            raise SinkError(f"{path} is a device or a pipe: name a file")
        probe(path.parent)
    except OSError as error:
        raise refused(path, error) from error


@hookimpl
def focal_sinks() -> list[SinkSpec]:
    """Give the folder and the single file."""
    return [
        SinkSpec(
            "wav", "each voice message as a WAV file, each text as .txt: wav:FOLDER", open_folder
        ),
        SinkSpec("wavfile", "the latest voice message as one WAV file: wavfile:FILE", open_file),
    ]
