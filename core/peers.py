"""Who was heard where: the persisted table from an origin to its addresses.

The law of this module: it is learned from what is heard, never from what is hoped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .arrival import Arrival
from .bridge import Sight
from .database import Database
from .link import Address
from .message import Message

_FRESH = 60.0  # seconds within which hearing the same again is not worth a write
MAX_LATELY = 256
"""Peers of whom is remembered what was learned in this minute, so that it is not written again."""

_PEERS = "SELECT origin, link, address, name, at FROM peer"


_Said: TypeAlias = tuple[Address | None, str | None, bool]


@dataclass(frozen=True, slots=True)
class Peer:
    """A node that was heard.

    Args:
        origin: who.
        link: the canonical key of the link that it was heard on.
        address: its address there, if that link has addresses.
        name: the display name it gave.
        at: when it was last heard, Unix seconds (to the minute).
    """

    origin: int
    link: str
    address: Address | None
    name: str | None
    at: float


class Peers:
    """The nodes that were heard; ``Spool.peers``. Foreign origins are not for this table.

    Every method is one transaction, or part of the one it is called in. All raise SpoolError when
    the spool cannot be read or written.
    """

    def __init__(self, database: Database, limit: int) -> None:
        self._db = database
        self._limit = limit
        self._lately: dict[tuple[int, str], tuple[_Said, float]] = {}

    def learn(
        self,
        origin: int,
        link: str,
        address: Address | None,
        name: str | None,
        at: float,
        *,
        near: bool | None = None,
    ) -> None:
        """Remember where an origin was heard; None for address or name leaves what is known.

        When the table is full, who was not heard for longest is forgotten.

        Args:
            origin: who.
            link: the link's key.
            address: its address there.
            name: the display name it gave.
            at: Unix seconds.
            near: it was heard itself, no bridge between; None: if its address is known.
        """
        heard = at if near or (near is None and address is not None) else None
        said = address, name, heard is None
        last, since = self._lately.get((origin, link), (None, 0.0))
        if last == said and since <= at <= since + _FRESH:
            return
        with self._db.transaction():
            touched = self._db.run(
                "INSERT INTO peer VALUES (?1, ?2, ?3, ?4, ?5, ?7)"
                " ON CONFLICT DO UPDATE SET address = coalesce(?3, address),"
                " name = coalesce(?4, name), at = max(at, ?5),"
                " near = coalesce(max(near, ?7), near, ?7)"
                " WHERE address IS NOT coalesce(?3, address) OR name IS NOT coalesce(?4, name)"
                " OR at + ?6 < ?5 OR coalesce(near, 0) + ?6 < ?7",
                *(origin, link, address, name, at, _FRESH, heard),
            )
            if touched:
                self._lately = dict([*self._lately.items()][-MAX_LATELY:])
                self._lately[origin, link] = said, at
                self._db.run(
                    "DELETE FROM peer WHERE rowid IN"
                    " (SELECT rowid FROM peer ORDER BY at DESC, rowid DESC LIMIT -1 OFFSET ?)",
                    self._limit,
                )

    def saw(self, message: Message, arrival: Arrival, at: float) -> None:
        """Learn where the author of a message is from how it came: an address, if no bridge did."""
        near = not arrival.hops
        address = arrival.peer if near else None
        self.learn(message.id.origin, arrival.key, address, message.sender, at, near=near)

    def address_of(self, origin: int, link: str) -> Address | None:
        """Return an origin's address on a link (its key), None if it is not known."""
        rows = self._db.rows("SELECT address FROM peer WHERE origin = ? AND link = ?", origin, link)
        return rows[0][0] if rows else None

    def heard(self, origin: int) -> dict[str, Sight]:
        """Return when an origin was last heard on each link (its key)."""
        rows = self._db.rows("SELECT link, at, near FROM peer WHERE origin = ?", origin)
        return {link: Sight(at, near) for link, at, near in rows}

    def origin_of(self, link: str, address: Address) -> int | None:
        """Return the origin last heard from an address of a link (its key), None if none was."""
        rows = self._db.rows(
            "SELECT origin FROM peer WHERE link = ? AND address = ? ORDER BY at DESC LIMIT 1",
            *(link, address),
        )
        return int(rows[0][0]) if rows else None

    def origins_named(self, name: str) -> list[int]:
        """Return the origins that gave this display name, last heard first; case is ignored."""
        rows = self._db.rows(
            "SELECT origin FROM peer WHERE name = ? COLLATE NOCASE"
            " GROUP BY origin ORDER BY max(at) DESC",
            name,
        )
        return [int(origin) for (origin,) in rows]

    def peers(self) -> list[Peer]:
        """Return everybody, last heard first."""
        return [Peer(*row) for row in self._db.rows(f"{_PEERS} ORDER BY at DESC, origin, link")]
