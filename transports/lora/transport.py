"""``lora:`` and ``lora+ble:``, links over real Meshtastic nodes.

The law of this module: settings only. ``mesh``, and with it the ``meshtastic`` library, is imported
when a link is opened, not before.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, unquote

from ...core.errors import TransportUnavailable
from ...core.link import Address, LinkContext, TransportSpec
from ...core.runtime import Runtime
from ...core.url import Options, authority, written
from .link import LoraLink, LoraOptions, number_of
from .ports import Finder, Patience, Rivals

if TYPE_CHECKING:
    from .mesh import MeshRadio

TCP_PORT = 4403
"""Where a Meshtastic node listens."""

_HOW = "lora:///dev/ttyUSB0?channel=1 or lora://HOST:4403?channel=1"
_HOW_BLE = "lora+ble://NAME?channel=1"

Opening: TypeAlias = AbstractAsyncContextManager["MeshRadio"]


def _ports() -> Sequence[str]:
    """Return the serial ports at which there may be a node. Raises TransportUnavailable."""
    found: Sequence[str] = _load().serial_ports()
    return found


def _finder() -> Finder:
    return Finder(_ports)


@dataclass(frozen=True, slots=True)
class Cable:
    """A serial port; without a path the only one at which there may be a radio."""

    path: str | None = None
    finder: Finder = field(default_factory=_finder, compare=False, repr=False)

    @property
    def key(self) -> str:
        """One for all names that the system has for a port.

        Without a path it is that of the port that is found when this is first asked, and stays so.
        """
        try:
            path = self.path or self.finder.first()
        except TransportUnavailable:  # who opens it is told
            path = None
        return f"lora:{os.path.realpath(path)}" if path else "lora:serial"

    @asynccontextmanager
    async def open(self, runtime: Runtime, patience: Patience) -> AsyncGenerator[MeshRadio]:
        """Open it. Raises TransportUnavailable."""
        mesh = await _library(runtime)
        path = self.path or await runtime.run_blocking(self.finder.one)
        async with mesh.by_cable(path, runtime, patience) as radio:
            yield radio


@dataclass(frozen=True, slots=True)
class Tcp:
    """A node on the network."""

    host: str
    port: int = TCP_PORT
    rivals: Rivals = field(default_factory=Rivals, compare=False, repr=False)

    @property
    def key(self) -> str:
        """Host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"lora:{host}:{self.port}"

    @asynccontextmanager
    async def open(self, runtime: Runtime, patience: Patience) -> AsyncGenerator[MeshRadio]:
        """Open it. Raises TransportUnavailable."""
        mesh = await _library(runtime)
        there = (self.host, self.port)
        async with mesh.by_tcp(*there, runtime, patience, self.rivals) as radio:
            yield radio


@dataclass(frozen=True, slots=True)
class Ble:
    """A node near by, by its Bluetooth name or address."""

    name: str

    @property
    def key(self) -> str:
        """Its name."""
        return f"lora:ble:{self.name}"

    @asynccontextmanager
    async def open(self, runtime: Runtime, patience: Patience) -> AsyncGenerator[MeshRadio]:
        """Open it. Raises TransportUnavailable."""
        mesh = await _library(runtime)
        async with mesh.by_ble(self.name, runtime, patience) as radio:
            yield radio


@dataclass(frozen=True, slots=True)
class LoraTransport:
    """Settings of a link over a Meshtastic node.

    Args:
        way: how the node is reached.
        options: which channel, and how packets go.
        patience: how long the node may take.
    """

    way: Cable | Tcp | Ble
    options: LoraOptions = field(default_factory=LoraOptions)
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def from_url(cls, url: SplitResult) -> LoraTransport:
        """Read ``lora:``, ``lora:///dev/PORT`` or ``lora://HOST[:PORT]``. Raises ValueError."""
        with written(_HOW):
            return cls(_way(url), _options(url))

    @classmethod
    def from_ble_url(cls, url: SplitResult) -> LoraTransport:
        """Read ``lora+ble://NAME``. Raises ValueError."""
        with written(_HOW_BLE):
            _refuse_users(url)
            name = unquote(url.netloc)  # addresses have colons, names capitals
            if not name or url.path not in ("", "/"):
                raise ValueError(
                    "a node's Bluetooth name or address is missing, or too much is said"
                )
            return cls(Ble(name), _options(url))

    @property
    def key(self) -> str:
        return self.way.key

    def misspelled(self, to: Address, /) -> str | None:
        """Say that what begins as a node's number is none."""
        if not to.startswith("!") or number_of(to) is not None:
            return None
        return f"{to!r} is no node's number: one is written !1a2b3c4d"

    def radio(self, runtime: Runtime) -> Opening:
        """Open the node alone, to look at it. Raises TransportUnavailable."""
        return self.way.open(runtime, self.patience)

    @asynccontextmanager
    async def open(self, context: LinkContext, /) -> AsyncGenerator[LoraLink]:
        async with self.radio(context.runtime) as radio:
            link = LoraLink(radio, self.options, context.runtime)
            try:
                yield link
            finally:
                await link.aclose()


def _refuse_users(url: SplitResult) -> None:
    if "@" in url.netloc or "@" in url.path:
        raise ValueError("a radio has no users and no passwords")


def _way(url: SplitResult) -> Cable | Tcp:
    _refuse_users(url)
    if not url.netloc:
        return Cable(unquote(url.path) or None)
    if url.path not in ("", "/"):
        raise ValueError("a radio on the network has host and port, and no path")
    return Tcp(*authority(url, TCP_PORT))


def _options(url: SplitResult) -> LoraOptions:
    return LoraOptions.read(Options(url, *LoraOptions.__dataclass_fields__))


async def _library(runtime: Runtime) -> ModuleType:
    """Load what talks to nodes; it takes some tenths of a second. Raises TransportUnavailable."""
    return await runtime.run_blocking(_load)


def _load() -> ModuleType:
    try:
        from . import mesh
    except ImportError as error:
        raise TransportUnavailable(
            f"LoRa needs the meshtastic library ({error}): pip install 'focal-voice[lora]'"
        ) from error
    return mesh


SPECS = (
    TransportSpec(
        "lora",
        "a Meshtastic node, by cable or network",
        LoraTransport.from_url,
        default="lora:",
        settings=LoraOptions,
    ),
    TransportSpec(
        "lora+ble",
        "a Meshtastic node, by Bluetooth",
        LoraTransport.from_ble_url,
        settings=LoraOptions,
    ),
)
