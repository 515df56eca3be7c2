"""Who is there: what nodes publish of themselves, and what others' say. Sans-I/O.

The law of this module: what a stranger may publish is read within bounds, and never believed
further than that somebody says so.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast

from ...core.message import MAX_NAME, origin_text

MAX_STATUS = 1024
"""Bytes of a status; what is longer is not read."""

MAX_MEMBERS = 1000
"""Nodes that are remembered as being there; those heard of longest ago go."""


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a node is there.

    Args:
        online: it is.
        name: its display name, where it tells one.
        since: Unix seconds since when, where it tells that.
    """

    online: bool
    name: str | None = None
    since: int | None = None

    def to_bytes(self, origin: int) -> bytes:
        """Return it as JSON, as the node of this origin publishes it."""
        said: dict[str, object] = {"online": self.online, "origin": f"{origin:08x}"}
        if self.name is not None:
            said["name"] = self.name
        if self.since is not None:
            said["since"] = self.since
        return json.dumps(said, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Status:
        """Read what a node published; nothing at all is a status that was cleared.

        Raises:
            ValueError: it is no such JSON object.
        """
        if not data:
            return cls(online=False)
        if len(data) > MAX_STATUS:
            raise ValueError(f"a status of {len(data)} bytes; one has {MAX_STATUS} at most")
        try:
            said: object = json.loads(data)
        except RecursionError as error:
            raise ValueError("a status that is nested too deep") from error
        fields = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
        online = fields.get("online")
        if not isinstance(online, bool):
            raise ValueError("a status that does not say whether anybody is online")
        return cls(online, _name(fields.get("name")), _time(fields.get("since")))


class Members:
    """The other nodes that say that they are there."""

    def __init__(self) -> None:
        self._names: OrderedDict[int, str | None] = OrderedDict()

    def take(self, origin: int, status: Status) -> bool:
        """Learn of a node's status; return whether that changes who is there."""
        there, name = origin in self._names, self._names.pop(origin, None)
        if status.online:
            self._names[origin] = status.name
        if len(self._names) > MAX_MEMBERS:
            self._names.popitem(last=False)
        return there != status.online or name != self._names.get(origin)

    @property
    def names(self) -> tuple[str, ...]:
        """What they call themselves, or their origins; in the order of these."""
        return tuple(name or origin_text(origin) for origin, name in sorted(self._names.items()))


def _name(said: object) -> str | None:
    good = isinstance(said, str) and said.isprintable() and 0 < len(said) <= MAX_NAME
    return cast("str", said) if good else None


def _time(said: object) -> int | None:
    return said if type(said) is int else None
