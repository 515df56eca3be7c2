"""The two ends of the pipeline: where clips come from, where messages go.

Values and protocols only; nothing here opens a file or a device.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .link import Address
from .message import Message

if TYPE_CHECKING:
    from .audio import Clip


class Source(Protocol):
    """Something that gives sound."""

    def clips(self) -> AsyncIterator[Clip]:
        """Yield clips until the source ends; cancel to stop.

        Raises:
            SourceError: no such file, not audio, empty, no device.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A kind of source: ``open`` gets what stands after the name in ``name:rest``."""

    name: str
    summary: str
    open: Callable[[str], Source]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A received message on its way to a sink.

    Args:
        message: as it was received.
        clip: its sound; None for what is not voice, or has no decoder here.
        quality: the codec's name (``c2-1300``), None for what is not voice.
        seconds: how long it sounds, 0 for what is not voice.
        link: the name of the link that brought it.
        peer: who it came from, as that link spells it.
        received_at: Unix seconds.
        replayed: it comes from history: write it down, do not play it by yourself.
        twin: 0 for the first message of this id, 1 to 4 for other bytes under the same id.
    """

    message: Message
    clip: Clip | None
    quality: str | None
    seconds: float
    link: str
    peer: Address | None
    received_at: float
    replayed: bool = False
    twin: int = 0


class Sink(Protocol):
    """Something that takes messages.

    A sink that writes must be idempotent by message id and twin: after a crash it may be given a
    message a second time. A sink that speaks is never given one twice.
    """

    @property
    def key(self) -> str:
        """What it writes to (``wav:/home/a/in``): a message is given to each key once."""
        ...

    @property
    def speaks(self) -> bool:
        """True where a second time could be heard: its turn is marked before it begins."""
        ...

    async def accept(self, delivery: Delivery, /) -> str | None:
        """Take a message; return the name of the file it wrote, if it wrote one.

        Raises:
            SinkError: told to the user; it does not stop other sinks.
        """
        ...


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """A kind of sink: ``open`` gets what stands after the name in ``name:rest``."""

    name: str
    summary: str
    open: Callable[[str], AbstractAsyncContextManager[Sink]]
