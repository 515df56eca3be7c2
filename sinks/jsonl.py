"""Messages as JSON lines, in a file or on standard output.

The law of this module: a file holds each message once, and whole lines only. Before a line is added
the file is read on to its end, under a lock, so that the lines of another process and of one that
was killed count like our own. What a kill cut short is cut away; what focal did not write is never
touched.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import stat
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from ..core.errors import SinkError
from ..core.message import Kind, origin_text
from ..core.ports import Delivery, SinkSpec
from ..plugins import hookimpl
from ._disk import named, refused, to_its_end

LONGEST_LINE = 1 << 20
"""Bytes; the longest message makes less than half of it."""
REMEMBERED = 1 << 16
"""How many messages of a file are known again; a crash gives back only the newest few."""
_START = b'{"id": "'

Key: TypeAlias = tuple[str, int]
"""Which message: id and twin."""


def json_line(delivery: Delivery) -> bytes:
    """Return a message as one line of JSON, its newline included.

    The payload is under ``text`` for text, and for all else in base64 under ``payload``.
    """
    message = delivery.message
    fields: dict[str, object] = {
        "id": str(message.id),
        "twin": delivery.twin,
        "kind": message.kind.name.lower(),
        "origin": origin_text(message.id.origin),
        "sender": message.sender,
        "to": None if message.destination is None else origin_text(message.destination),
        "sent_at": message.sent_at or None,
        "received_at": delivery.received_at,
        "link": delivery.link,
        "peer": delivery.peer,
        "replayed": delivery.replayed,
        "codec": message.codec,
        "quality": delivery.quality,
        "seconds": round(delivery.seconds, 3),
        "payload_bytes": len(message.payload),
    }
    if message.kind is Kind.TEXT:
        fields["text"] = message.payload.decode("utf-8", "replace")
    else:
        fields["payload"] = base64.b64encode(message.payload).decode()
    return json.dumps(fields).encode() + b"\n"


def _key(line: bytes) -> Key | None:
    """Return which message a line holds; None where it is not ours, or not whole."""
    if not line.startswith(_START):
        return None
    try:
        fields = json.loads(line)
        return str(fields["id"]), int(fields["twin"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class _Known:
    """The newest messages of a file, at most ``REMEMBERED``."""

    def __init__(self) -> None:
        self._keys: dict[Key, None] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def add(self, key: Key) -> None:
        self._keys[key] = None
        if len(self._keys) > REMEMBERED:
            del self._keys[next(iter(self._keys))]


class Lines(Protocol):
    """Where lines go; used by one thread at a time."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    def add(self, key: Key, line: bytes, /) -> None:
        """Add a message's line unless it is there.

        Raises:
            OSError: it cannot be written.
            SinkError: it holds something else.
        """
        ...


class FileLines:
    """The lines of a regular file.

    Args:
        path: what the user calls it.
        file: its number, open for reading and appending.
    """

    def __init__(self, path: Path, file: int) -> None:
        self.name = str(path)
        self._file = file
        self._at = 0  # all before it has been read
        self._known = _Known()

    def add(self, key: Key, line: bytes, /) -> None:
        with self._locked():
            self._read_on()
            if key not in self._known:
                _write_all(self._file, line)
                os.fsync(self._file)

    def check(self) -> None:
        """Read the file; SinkError where it is not ours, OSError where it cannot be read."""
        with self._locked():
            self._read_on()

    @contextmanager
    def _locked(self) -> Generator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read_on(self) -> None:
        if os.fstat(self._file).st_size < self._at:
            self._at = 0  # somebody emptied it
        with os.fdopen(os.dup(self._file), "rb") as reader:
            reader.seek(self._at)
            while line := reader.readline(LONGEST_LINE):
                self._read(line)

    def _read(self, line: bytes) -> None:
        key = _key(line)
        if key:
            self._known.add(key)
            self._at += len(line)
        if key and not line.endswith(b"\n"):
            self._at += _write_all(self._file, b"\n")
        elif not key:
            self._cut_away(line)

    def _cut_away(self, line: bytes) -> None:
        """Drop the beginning of a line of ours, which a kill left at the end of the file."""
        torn = not line.endswith(b"\n") and len(line) < LONGEST_LINE
        if not torn or line[: len(_START)] != _START[: len(line)]:
            raise SinkError(f"{self.name} holds something else than focal's lines: name a new file")
        os.ftruncate(self._file, self._at)


class StreamLines:
    """Lines on a pipe, a terminal or a device, which cannot be read back.

    Args:
        name: what the user calls it.
        stream: open for writing.
    """

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name = name
        self._stream = stream
        self._known = _Known()

    def add(self, key: Key, line: bytes, /) -> None:
        if key in self._known:
            return
        self._stream.write(line)
        self._stream.flush()
        self._known.add(key)


def _write_all(file: int, data: bytes) -> int:
    """Write all bytes, which a nearly full disk takes in parts, and return how many."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    return len(data)


class JsonLinesSink:
    """Adds each message to ``lines``, once."""

    speaks = False

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._turn = asyncio.Lock()
        self._file = None if lines.name == "-" else str(Path(lines.name).absolute())

    @property
    def key(self) -> str:
        """The file, by its one real path, or ``jsonl:-``."""
        name = self._lines.name
        return f"jsonl:{name if name == '-' else Path(name).resolve()}"

    async def accept(self, delivery: Delivery, /) -> str | None:
        """Add a message's line; return the file's name, None for standard output.

        Raises:
            SinkError: disk full, nobody reads any more, somebody else wrote into the file.
        """
        key = (str(delivery.message.id), delivery.twin)
        try:
            async with self._turn:
                await to_its_end(partial(self._lines.add, key, json_line(delivery)))
        except OSError as error:
            raise refused(self._lines.name, error) from error
        return self._file


@asynccontextmanager
async def open_lines(rest: str) -> AsyncGenerator[JsonLinesSink]:
    """Open a file for JSON lines; nothing, or ``-``, is standard output.

    Raises:
        SinkError: it cannot be written, or holds something else.
    """
    if rest in ("", "-"):
        yield JsonLinesSink(StreamLines("-", sys.stdout.buffer))
        return
    path = named(rest, "jsonl:FILE")
    try:
        file = await asyncio.to_thread(os.open, path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise refused(path, error) from error
    with os.fdopen(file, "ab", buffering=0, closefd=True) as stream:
        yield JsonLinesSink(await asyncio.to_thread(_lines, path, stream))


def _lines(path: Path, stream: BinaryIO) -> Lines:
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return StreamLines(str(path), stream)
    lines = FileLines(path, stream.fileno())
    try:
        lines.check()
    except OSError as error:
        raise refused(path, error) from error
    return lines


@hookimpl
def focal_sinks() -> list[SinkSpec]:
    """Give JSON lines."""
    return [SinkSpec("jsonl", "each message as a line of JSON: jsonl:FILE, jsonl:-", open_lines)]
