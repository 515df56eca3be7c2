"""A folder as a link, ``file:DIR``: a USB stick, a shared directory, a synchronised one.

The law of this module: a file appears whole or not at all, and is never changed or deleted after.

===========================  ===================================================================
file                         what it is
===========================  ===================================================================
``<id>.focal``               a message in its envelope; the id is 16 hex digits
``<id>-<check>.focal``       another message under the same id, named by its check besides
``*.focal``                  read as well: people rename files
``<id>.<origin>.ack``        the receipt for it by that origin, in its envelope
``.*.tmp``                   half written; nobody reads it
===========================  ===================================================================
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Container
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, unquote

from ..core.envelope import MAX_ENVELOPE, Envelope
from ..core.errors import (
    LinkClosed,
    LinkLost,
    PacketTooBig,
    TransportError,
)
from ..core.link import (
    Accepted,
    Address,
    Limits,
    LinkContext,
    Packet,
    Refused,
    Report,
    TransportSpec,
)
from ..core.mailbox import Mailbox
from ..core.message import Event, Kind, Message, Receipt
from ..core.receipts import receipt_for
from ..core.url import Options, written
from ..plugins import hookimpl
from ._files import Content, Folder, why

HELD = 64
"""Messages read ahead of who reads the link."""
BATCH = 32
"""Files read in one go."""
PATIENCE = 60.0
"""Seconds after which a full disk may have room again."""

_HOW = "file:DIR, file:///ABSOLUTE/DIR or file:DIR?poll=SECONDS"
_FOCAL = re.compile(r"([0-9a-f]{8})[0-9a-f]{8}(?:-[0-9a-f]{8})?\.focal")
_ACK = re.compile(r"(([0-9a-f]{8})[0-9a-f]{8})(?:-[0-9a-f]{8})?\.([0-9a-f]{8})\.ack")

_log = logging.getLogger("focal.transports.folder")


class FolderLink:
    """An open folder: one task watches it, others write what is acknowledged."""

    limits = Limits("message", MAX_ENVELOPE, keeps=True)

    def __init__(self, folder: Folder, context: LinkContext, poll: float) -> None:
        self._folder = folder
        self._origin = f"{context.origin:08x}"
        self._context = context
        self._runtime = context.runtime
        self._poll = poll
        self._inbox: Mailbox[Packet] = Mailbox()
        self._reports: Mailbox[Report] = Mailbox()
        self._tickets = 0
        self._taken = asyncio.Event()
        self._known: set[str] = set()
        self._bad: dict[str, tuple[int, int]] = {}
        self._asked: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch the folder."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def send(self, data: bytes, /, *, to: Address | None = None) -> int:
        """Write an envelope into the folder; ``to`` means nothing here.

        Raises:
            PacketTooBig, LinkLost, LinkClosed: as for every link.
            FrameError: these bytes are no envelope.
        """
        self._inbox.check()
        if len(data) > MAX_ENVELOPE:
            raise PacketTooBig(len(data), MAX_ENVELOPE)
        write = self._writing(data)
        self._tickets += 1
        ticket = self._tickets
        try:
            await self._runtime.run_blocking(write)
        except LinkLost as error:
            self._end(error)
            raise
        except OSError as error:
            self._reports.put(refusal(ticket, self._folder.path, error))
        else:
            self._reports.put(Accepted(ticket))
        return ticket

    async def receive(self) -> Packet:
        packet = await self._inbox.get()
        self._taken.set()
        return packet

    def reports(self) -> AsyncIterator[Report]:
        return aiter(self._reports)

    async def aclose(self) -> None:
        """Close it; what was acknowledged is written first."""
        self._end(LinkClosed(f"the folder link {self._folder.path} is closed"))
        if self._watcher is not None:
            self._watcher.cancel()
            ends = await asyncio.gather(self._watcher, *self._tasks, return_exceptions=True)
            for bug in (end for end in ends if isinstance(end, Exception)):
                raise bug

    # out

    def _writing(self, data: bytes) -> partial[None]:
        """Return the work that puts an envelope in its place, by what is in it."""
        raw = Envelope.from_bytes(data).message
        message = Message.from_bytes(raw)
        if message.kind is Kind.RECEIPT:
            name = f"{Receipt.read(message).of}.{message.id.origin:08x}.ack"
            return partial(self._folder.store_ack, name, data)
        self._ask_for_acks(str(message.id))
        return partial(self._folder.store, data, raw)

    def _ask_for_acks(self, id: str) -> None:
        """Have the receipts for somebody else's message that we pass on (ours come unasked)."""
        if not id.startswith(self._origin) and id not in self._asked:
            self._asked.add(id)
            self._known = {n for n in self._known if not (n[:16] == id and n.endswith(".ack"))}

    def _ack(self, stem: str, message: Message) -> None:
        """Write that a message is safe with us; closed, it will come again instead."""
        with suppress(TransportError):
            self._inbox.check()
            task = asyncio.get_running_loop().create_task(self._write_ack(stem, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write_ack(self, stem: str, message: Message) -> None:
        ours = message.destination in (None, self._context.origin)
        event = Event.DELIVERED if ours else Event.CUSTODY
        receipt = receipt_for(message, event, self._context.origin, self._runtime.unix())
        name, data = f"{stem}.{self._origin}.ack", Envelope(receipt.to_bytes()).to_bytes()
        try:
            await self._runtime.run_blocking(partial(self._folder.store_ack, name, data))
        except (OSError, LinkLost) as error:
            _log.warning("%s: not acknowledged, will come again: %s", name, why(error))

    # in

    async def _watch(self) -> None:
        try:
            while True:
                await self._look()
                await self._runtime.sleep(self._poll)
        except LinkLost as error:
            self._end(error)
        except Exception as error:  # a bug, told by aclose; nobody shall wait for ever meanwhile
            self._end(LinkLost(f"watching {self._folder.path} failed: {error!r}"))
            raise

    async def _look(self) -> None:
        known = frozenset(self._known)
        look = partial(self._folder.listing, known, dict(self._bad))
        listing = await self._runtime.run_blocking(look)
        self._known &= listing.names
        self._bad = {name: v for name, v in self._bad.items() if name in listing.names}
        wanted = [f for f in listing.new if self._wants(f.name, listing.names)]
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            for content in await self._runtime.run_blocking(partial(self._folder.read, batch)):
                self._take(content, listing.names)
            await self._room()

    def _wants(self, name: str, names: Container[str]) -> bool:
        """Tell by its name whether a file may be for us; what is not, is known from now on."""
        if ack := _ACK.fullmatch(name):
            id, author, by = ack.groups()
            wanted = by != self._origin and (author == self._origin or id in self._asked)
        elif focal := _FOCAL.fullmatch(name):
            mark = f"{name.removesuffix('.focal')}.{self._origin}.ack"
            wanted = focal[1] != self._origin and mark not in names
        else:
            wanted = name.endswith(".focal")
        if not wanted or name in self._folder.written:
            self._known.add(name)
            return False
        return True

    def _take(self, content: Content, names: Container[str]) -> None:
        name, message = content.file.name, content.message
        if message is None:
            self._bad[name] = content.file.version
            _log.warning("%s is skipped: %s", self._folder.path / name, content.problem)
            return
        self._known.add(name)
        stem = name.removesuffix(".focal") if _FOCAL.fullmatch(name) else str(message.id)
        if name in self._folder.written or message.id.origin == self._context.origin:
            return
        if name.endswith(".ack") or message.kind is Kind.RECEIPT:
            self._inbox.put(Packet(content.data))
        elif f"{stem}.{self._origin}.ack" not in names:
            self._inbox.put(Packet(content.data, ack=partial(self._ack, stem, message)))

    async def _room(self) -> None:
        while len(self._inbox) >= HELD:
            self._taken.clear()
            await self._taken.wait()

    def _end(self, error: LinkLost | LinkClosed) -> None:
        self._inbox.fail(error)
        self._reports.fail(error)


@dataclass(frozen=True, slots=True)
class FolderTransport:
    """Settings of a folder link.

    Args:
        path: the folder.
        poll: seconds between two looks into it.
        make: make the folder, if its parent is there; without it a missing one is an error.
    """

    path: Path
    poll: float = 0.5
    make: bool = False

    @classmethod
    def from_url(cls, url: SplitResult) -> FolderTransport:
        """Read ``file:DIR``.

        Raises:
            ValueError: it is written otherwise.
        """
        with written(_HOW):
            if url.netloc not in ("", "localhost"):
                raise ValueError(f"{url.netloc!r} stands where a host would: a folder has none")
            if url.fragment or not url.path:
                raise ValueError("the folder is missing, or has a # that is not written %23")
            options = Options(url, "poll", "make")
            poll = options.number("poll", 0.5, least=0.05, most=3600)
            path = Path(unquote(url.path)).expanduser()
            return cls(path, poll, options.flag("make", False))

    @property
    def key(self) -> str:
        return f"file:{os.path.realpath(self.path)}"

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[FolderLink]:
        folder = Folder(self.path.absolute(), context.origin, self.make)
        await context.runtime.run_blocking(folder.enter)
        link = FolderLink(folder, context, self.poll)
        link.start()
        try:
            yield link
        finally:
            await link.aclose()


def refusal(ticket: int, path: Path, error: OSError) -> Refused:
    """Return the report on what the disk would not take."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return Refused(ticket, f"no room is left in {path}: free some", PATIENCE)
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return Refused(ticket, f"{path} cannot be written: {why(error)}")
        case _:
            return Refused(ticket, f"writing to {path} failed: {why(error)}")


@hookimpl
def focal_transports() -> list[TransportSpec]:
    return [
        TransportSpec(
            "file",
            "a folder: USB stick, shared directory",
            FolderTransport.from_url,
            settings=FolderTransport,
            limits=FolderLink.limits,
        )
    ]
