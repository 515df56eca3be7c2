"""A scenario: which nodes there are, who hears whom, what is lost, and what happens when.

The law of this module: every key of the file is a field below, and whatever is not one is an error
that names the nearest. Values in, values out; nothing runs here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast
from zlib import crc32

from ..core.errors import SettingsError
from ..settings import nearest, read_toml
from ..transports.lora.channel import (
    DEFAULT_HOPS,
    EVERYONE,
    MAX_HOPS,
    Channel,
    Hearing,
    Role,
    Station,
)
from ..transports.lora.loss import Bursty, Independent, Loss
from ..transports.lora.plan import ALIASES, PRESETS, REGIONS, Air, air

MAX_NODES = 100
MAX_CHANNELS = 8
MAX_BYTES = 25_908
"""Bytes of a message that traffic may carry: what the wire takes on links of datagrams."""

LONGEST = 31 * 86_400.0
"""Seconds that anything in a scenario may take."""

ALL = "everyone"
RESERVED = 4
"""Numbers of nodes below this are Meshtastic's own."""

Deed: TypeAlias = Literal["reboot", "silence", "wake"]
DEEDS: tuple[Deed, ...] = ("reboot", "silence", "wake")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True)
class Bursts:
    """Bad times in which a path loses everything.

    Args:
        share: of all time that is bad, 0 to below 1: the mean loss.
        seconds: that a bad time lasts in the mean.
    """

    share: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the mesh.

    Args:
        name: what the scenario calls it, and its long name on the air.
        number: its number, 32 bits.
        hears: the names of those it hears.
        knows: the names of those whose node information, key included, it has at the start.
        role: whether it relays.
        key: whether it has a key pair; then what it sends to one node is encrypted for that one.
        signs: whether its firmware (2.8) signs what is for everyone, where that fits.
    """

    name: str
    number: int
    hears: frozenset[str]
    knows: frozenset[str]
    role: Role = Role.CLIENT
    key: bool = True
    signs: bool = False

    @property
    def public_key(self) -> bytes:
        """Its public key, 32 bytes; empty where it has none."""
        return _key_of(self.name) if self.key else b""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Messages that one node sends again and again.

    Args:
        sender: the name of the node.
        to: the name of the one that they are for; None: everyone.
        bytes: of a message's payload, codec header included.
        every: seconds from one message to the next.
        begin: seconds until the first.
        until: seconds from the start after which no more is sent; None: the scenario's end.
    """

    sender: str
    to: str | None
    bytes: int
    every: float
    begin: float = 0.0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Happens:
    """Something that is done to a node.

    Args:
        at: seconds from the start.
        node: its name.
        does: ``reboot``; ``silence``: it answers nobody, neither its client nor others; ``wake``:
            it does again.
    """

    at: float
    node: str
    does: Deed


@dataclass(frozen=True)
class Scenario:
    """Nodes on one frequency.

    Args:
        nodes: in the order of the file.
        air: the region and the preset.
        hop_limit: that nodes give their packets where a client says nothing.
        seed: where all chance comes from.
        loss: share of packets that each path loses, each by itself.
        bursts: bad times that each path has besides.
        channels: their names; the first is the primary one, whose name may be empty.
        traffic: what is sent.
        events: what is done to nodes, in order of time.
        duration: seconds that ``focal lab run`` simulates.
    """

    nodes: tuple[Node, ...]
    air: Air
    hop_limit: int = DEFAULT_HOPS
    seed: int = 0
    loss: float = 0.0
    bursts: Bursts | None = None
    channels: tuple[str, ...] = ("",)
    traffic: tuple[Traffic, ...] = ()
    events: tuple[Happens, ...] = ()
    duration: float = 3600.0

    @classmethod
    def read(cls, path: Path) -> Scenario:
        """Read a file. Raises SettingsError: what is wrong, where, and what was probably meant."""
        return cls.of(read_toml(path), str(path))

    @classmethod
    def of(cls, table: dict[str, Any], where: str) -> Scenario:
        """Make a scenario of a file's table; ``where`` names it. Raises SettingsError."""
        return _scenario(_Section(table, where, _KEYS))

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by their names."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def by_number(self) -> dict[int, Node]:
        """The nodes by their numbers."""
        return {node.number: node for node in self.nodes}

    def path(self) -> Loss:
        """Return what a path between two nodes loses: a new one for each path."""
        if self.bursts is None:
            return Independent(self.loss)
        return _Both(Independent(self.loss), Bursty(self.bursts.share, self.bursts.seconds))

    def channel(self) -> Channel:
        """Return the frequency with all nodes on it."""
        channel = Channel(self.air, seed=self.seed)
        for place, node in enumerate(self.nodes):
            self.join(channel, node, self.nodes[:place])
        return channel

    def join(self, channel: Channel, node: Node, there: Iterable[Node]) -> None:
        """Put a node on the frequency, beside those that are there already."""
        channel.join(Station(node.number, node.role))
        for other in there:
            if other.name in node.hears:
                channel.connect(other.number, node.number, Hearing(loss=self.path()))
            if node.name in other.hears:
                channel.connect(node.number, other.number, Hearing(loss=self.path()))


@dataclass(slots=True)
class _Both:
    """Lost by itself, or in a bad time."""

    one: Loss
    other: Loss

    def lost(self, now: float, draw: Any, /) -> bool:
        bad = self.other.lost(now, draw)  # asked always: it keeps its own time
        return self.one.lost(now, draw) or bad


def _key_of(name: str) -> bytes:
    return sha256(f"public key of {name}".encode()).digest()


def _default_number(name: str) -> int:
    """Return the number of a node that none is given: as in firmware 2.8, of its public key."""
    number = crc32(_key_of(name))
    return number if RESERVED <= number < EVERYONE else number ^ 0x5A5A5A5A


class _Section:
    """A table of the file, read key by key.

    Raises:
        SettingsError: it is no table, or has a key that is none of ``known``.
    """

    def __init__(self, table: object, where: str, known: Sequence[str]) -> None:
        if not isinstance(table, dict):
            raise SettingsError(f"{where}: a table is wanted here")
        self.table = cast("dict[str, object]", table)
        self.where = where
        for key in self.table:
            if key not in known:
                raise SettingsError(f"{where}: there is no {key!r}{nearest(key, known)}")

    def __contains__(self, key: str) -> bool:
        return key in self.table

    def wrong(self, key: str, what: str) -> SettingsError:
        """Return the error for a value that is not what it should be."""
        if key not in self.table:
            return SettingsError(f"{self.where}: {key} is missing: {what}")
        return SettingsError(f"{self.where}: {key} is {what}, not {self.table[key]!r}")

    def number(
        self, key: str, default: float | None = None, *, least: float = 0.0, most: float = LONGEST
    ) -> float:
        """Return a number; without a default it must be there."""
        value = self.table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a number")
        if not least <= value <= most or not math.isfinite(value):
            raise self.wrong(key, f"a number from {least:g} to {most:g}")
        return float(value)

    def share(self, key: str, default: float | None = None) -> float:
        """Return a share, 0 to below 1."""
        value = self.number(key, default, most=1.0)
        if value == 1:
            raise self.wrong(key, "a share, 0 to below 1")
        return value

    def seconds(self, key: str) -> float:
        """Return a time that is longer than nothing."""
        value = self.number(key)
        if not value:
            raise self.wrong(key, "a number of seconds above 0")
        return value

    def whole(self, key: str, default: int | None = None, *, least: int, most: int) -> int:
        """Return a whole number; without a default it must be there."""
        value = self.table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.table.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def word(self, key: str, known: Sequence[str], default: str | None = None) -> str:
        """Return one of the words there are."""
        value = self.table.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, f"one of {', '.join(known)}")
        return self.known(key, value, known)

    def known(self, key: str, word: str, known: Sequence[str]) -> str:
        """Return the word. Raises SettingsError: it is none of those."""
        if word not in known:
            raise SettingsError(f"{self.where}: {key}: there is no {word!r}{nearest(word, known)}")
        return word

    def words(self, key: str, default: Sequence[str], what: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.table.get(key, list(default))
        items = cast("list[object]", value) if isinstance(value, list) else [None]
        texts = tuple(item for item in items if isinstance(item, str))
        if len(texts) < len(items):
            raise self.wrong(key, what)
        return texts

    def names(self, key: str, known: Sequence[str]) -> frozenset[str]:
        """Return names of nodes: a list of them, or everyone."""
        if self.table.get(key, ALL) == ALL:
            return frozenset(known)
        words = self.words(key, (), f'"{ALL}", or a list of names of nodes')
        return frozenset(self.known(key, word, known) for word in words)

    def sections(self, key: str, known: Sequence[str]) -> list[_Section]:
        """Return the tables of ``[[key]]``."""
        value = self.table.get(key, [])
        if not isinstance(value, list):
            raise SettingsError(f"{self.where}: write [[{key}]]")
        tables = cast("list[object]", value)
        return [
            _Section(each, f"{self.where}, [[{key}]] {place}", known)
            for place, each in enumerate(tables, 1)
        ]


_KEYS = "region preset hop_limit seed loss bursts channels nodes traffic events duration".split()


def _scenario(file: _Section) -> Scenario:
    nodes = _nodes(file)
    names = [node.name for node in nodes]
    events = [_happens(each, names) for each in file.sections("events", _HAPPENS)]
    return Scenario(
        nodes,
        _air(file),
        file.whole("hop_limit", DEFAULT_HOPS, least=0, most=MAX_HOPS),
        file.whole("seed", 0, least=0, most=(1 << 63) - 1),
        file.share("loss", 0.0),
        _bursts(file),
        _channels(file),
        tuple(_traffic(each, names) for each in file.sections("traffic", _TRAFFIC)),
        tuple(sorted(events, key=lambda event: event.at)),
        file.seconds("duration") if "duration" in file else Scenario.duration,
    )


def _air(file: _Section) -> Air:
    region = file.word("region", (*REGIONS, *ALIASES), "EU_868")
    preset = file.word("preset", tuple(PRESETS)) if "preset" in file else None
    try:
        return air(region, preset)
    except ValueError as error:
        raise SettingsError(f"{file.where}: {error}") from error


def _bursts(file: _Section) -> Bursts | None:
    if "bursts" not in file:
        return None
    section = _Section(file.table["bursts"], f"{file.where}, [bursts]", ("share", "seconds"))
    return Bursts(section.share("share"), section.seconds("seconds"))


def _channels(file: _Section) -> tuple[str, ...]:
    what = f"a list of 1 to {MAX_CHANNELS} different names of at most 11 bytes"
    names = file.words("channels", Scenario.channels, what)
    fit = all(len(name.encode()) <= 11 for name in names)
    if not 0 < len(names) <= MAX_CHANNELS or len(set(names)) < len(names) or not fit:
        raise file.wrong("channels", what)
    return names


_NODE = ("number", "hears", "knows", "role", "key", "signs")


def _nodes(file: _Section) -> tuple[Node, ...]:
    tables = file.table.get("nodes")
    if not isinstance(tables, dict) or not tables:
        raise SettingsError(f"{file.where}: there are no nodes: write [nodes.NAME] for each")
    names = list(cast("dict[str, object]", tables))
    if len(names) > MAX_NODES:
        raise SettingsError(f"{file.where}: {len(names)} nodes are more than {MAX_NODES}")
    for name in names:
        if not _NAME.fullmatch(name) or name == ALL:
            what = f"a name is up to 31 of a-z 0-9 _ - and not {ALL!r}"
            raise SettingsError(f"{file.where}, [nodes]: {name!r} is no name of a node: {what}")
    sections = [
        _Section(table, f"{file.where}, [nodes.{name}]", _NODE)
        for name, table in cast("dict[str, object]", tables).items()
    ]
    nodes = [_node(name, each, names) for name, each in zip(names, sections, strict=True)]
    _check_numbers(nodes, file.where)
    return tuple(nodes)


def _node(name: str, section: _Section, names: list[str]) -> Node:
    others = [other for other in names if other != name]
    return Node(
        name,
        _number(section, name),
        section.names("hears", others),
        section.names("knows", others),
        Role(section.word("role", [role.value for role in Role], Role.CLIENT.value)),
        section.flag("key", True),
        section.flag("signs", False),
    )


def _number(section: _Section, name: str) -> int:
    value = section.table.get("number", _default_number(name))
    if isinstance(value, str) and re.fullmatch(r"![0-9a-f]{8}", value):
        value = int(value[1:], 16)
    in_range = isinstance(value, int) and not isinstance(value, bool)
    if not in_range or not RESERVED <= cast(int, value) < EVERYONE:
        raise section.wrong("number", f'"!{RESERVED:08x}" to "!{EVERYONE - 1:08x}"')
    return cast(int, value)


def _check_numbers(nodes: Sequence[Node], where: str) -> None:
    seen: dict[int, str] = {}
    for node in nodes:
        other = seen.setdefault(node.number, node.name)
        if other != node.name:
            raise SettingsError(f"{where}: {other} and {node.name} have one number")


_TRAFFIC = ("from", "to", "bytes", "every", "begin", "until")


def _traffic(section: _Section, names: list[str]) -> Traffic:
    sender = section.word("from", names)
    to = section.word("to", [name for name in (*names, ALL) if name != sender], ALL)
    return Traffic(
        sender,
        None if to == ALL else to,
        section.whole("bytes", least=1, most=MAX_BYTES),
        section.seconds("every"),
        section.number("begin", 0.0),
        section.seconds("until") if "until" in section else None,
    )


_HAPPENS = ("at", "node", "does")


def _happens(section: _Section, names: list[str]) -> Happens:
    does = section.word("does", DEEDS)
    return Happens(section.number("at"), section.word("node", names), cast("Deed", does))
