"""Rooms as topics: what is where, and how a room is written. Sans-I/O.

The law of this module: a topic says who the author is and what kind of thing it carries, and
nothing else; who publishes it, and what is inside, does not change its name.

=============================  =========================================================
topic                          what is published there
=============================  =========================================================
``PREFIX/ROOM/ORIGIN``         messages by that author, in envelopes
``PREFIX/ROOM/ORIGIN/receipt`` receipts by that author, in envelopes
``PREFIX/ROOM/ORIGIN/status``  whether that node is there (`presence`); retained
=============================  =========================================================
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import unquote

PREFIX = "focal"
MAX_ROOM = 128
"""Bytes of UTF-8 that a room's name has at most."""
MAX_PREFIX = 256
"""The same of a prefix."""

What: TypeAlias = Literal["message", "receipt", "status"]

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_TOPIC = re.compile(r"([0-9a-f]{8})(?:/(receipt|status))?")


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic of a room says.

    Args:
        origin: the author's.
        what: what is published there.
    """

    origin: int
    what: What


@dataclass(frozen=True, slots=True)
class Room:
    """A room on a broker.

    Args:
        name: as people call it.
        prefix: the topic's levels before it.

    Raises:
        ValueError: one of them cannot be a room's, or a topic's.
    """

    name: str
    prefix: str = PREFIX

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", unicodedata.normalize("NFC", self.name))
        _check_room(self.name)
        _check_prefix(self.prefix)

    @classmethod
    def from_path(cls, path: str) -> Room:
        """Read ``/[PREFIX/]ROOM``, percent-encoded as a URL's path. Raises ValueError."""
        *prefix, room = [_decoded(level) for level in path.removeprefix("/").split("/")]
        return cls(room, "/".join(prefix)) if prefix else cls(room)

    @property
    def level(self) -> str:
        """The room's level in topics: its name, percent-encoded outside ``A-Za-z0-9_-``."""
        return "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in self.name.encode())

    @property
    def root(self) -> str:
        """What all topics of the room begin with."""
        return f"{self.prefix}/{self.level}"

    def topic(self, origin: int, what: What = "message") -> str:
        """Return where something by an author is published."""
        author = f"{self.root}/{origin:08x}"
        return author if what == "message" else f"{author}/{what}"

    def filter(self, what: What) -> str:
        """Return the filter of all topics of a kind in this room."""
        return f"{self.root}/+" if what == "message" else f"{self.root}/+/{what}"

    def read(self, topic: str) -> Topic | None:
        """Return what a topic says; None: it is none of this room."""
        rest = topic.removeprefix(f"{self.root}/")
        found = _TOPIC.fullmatch(rest) if rest != topic else None
        if found is None:
            return None
        what: What = "receipt" if found[2] == "receipt" else "status" if found[2] else "message"
        return Topic(int(found[1], 16), what)


def _decoded(level: str) -> str:
    try:
        return unquote(level, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"{level!r} is no UTF-8") from error


def _check_room(name: str) -> None:
    if not name:
        raise ValueError("the room is missing")
    if not name.isprintable() or name != name.strip():
        raise ValueError(f"{name!r} is no room: its name has characters that nobody sees")
    if len(name.encode(errors="replace")) > MAX_ROOM or not _is_utf8(name):
        raise ValueError(f"a room's name has at most {MAX_ROOM} bytes of UTF-8")


def _check_prefix(prefix: str) -> None:
    levels = prefix.split("/")
    if not all(levels):
        raise ValueError("the prefix has an empty level: two slashes in a row, or one too many")
    if any(c in "+#" for c in prefix) or prefix.startswith("$"):
        raise ValueError(f"the prefix {prefix!r} has a wildcard or begins with $: no topic does")
    if not prefix.isprintable() or not _is_utf8(prefix):
        raise ValueError("the prefix has characters that nobody sees")
    if len(prefix.encode()) > MAX_PREFIX:
        raise ValueError(f"a prefix has at most {MAX_PREFIX} bytes")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, from a command line that is no UTF-8
        return False
    return True
