"""The envelope of message links, of ``file:`` and of ``.focal`` packet files.

The law of this module: an envelope carries a message and changes none of its bytes; what it does
not know, it keeps. ``docs/wire.md`` (Envelope) is the specification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from .errors import FrameError
from .message import MAX_MESSAGE, is_message

VERSION = 1
MAX_HOPS = 7
MAX_ROUTE = 64
MAX_ENVELOPE = MAX_MESSAGE + 4096
"""Bytes; what is longer is refused unread."""

MAX_DEPTH = 16
"""How deep values of unknown keys may be nested: who passes them on must walk them."""

_NOTHING: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message on its way over message links.

    Args:
        message: the message's bytes, as its origin made them.
        hops: bridges it has passed, 0 to 7.
        route: the origins of those bridges, oldest first.
        extra: keys of later versions, kept as they came.
    """

    message: bytes = field(repr=False)
    hops: int = 0
    route: tuple[int, ...] = ()
    extra: Mapping[str, object] = field(default_factory=lambda: _NOTHING)

    def to_bytes(self) -> bytes:
        """Return the msgpack map ``{v, m, h, r, …}``."""
        import msgpack

        known = {"v": VERSION, "m": self.message, "h": self.hops, "r": list(self.route)}
        return msgpack.packb({**known, **self.extra})

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """Read an envelope.

        Raises:
            FrameError: these bytes are no envelope of version 1 with a whole message in it.
        """
        fields = _unpack(data)
        version = fields.pop("v", None)
        if type(version) is not int:
            raise FrameError("a damaged envelope: it has no version")
        if version != VERSION:
            raise FrameError(f"an envelope of version {version}; this focal reads version 1")
        message, hops, route = (fields.pop(key, None) for key in ("m", "h", "r"))
        if not isinstance(message, bytes) or not is_message(message):
            raise FrameError("a damaged envelope: there is no whole message in it")
        if not all(_plain(value, MAX_DEPTH) for value in fields.values()):
            raise FrameError("an envelope with values that are no plain data, or nested too deep")
        return cls(message, _hops(hops), _route(route), fields or _NOTHING)


def pack_beside(hops: int, route: Sequence[int], extra: Mapping[str, object]) -> bytes:
    """Return what an envelope has beside its message, for the spool."""
    import msgpack

    return msgpack.packb([hops, [*route], {**extra}])


def unpack_beside(data: bytes) -> tuple[int, tuple[int, ...], Mapping[str, object]]:
    """Return hops, route and further keys of what ``pack_beside`` packed."""
    import msgpack

    hops, route, extra = msgpack.unpackb(data, max_ext_len=0)
    return hops, tuple(route), extra


def is_envelope(data: bytes) -> bool:
    """Tell by the first byte whether these bytes can be an envelope (a msgpack map)."""
    return bool(data) and (0x80 <= data[0] <= 0x8F or data[0] in (0xDE, 0xDF))


def _unpack(data: bytes) -> dict[str, Any]:
    import msgpack

    if len(data) > MAX_ENVELOPE:
        raise FrameError(f"{len(data)} bytes; an envelope has at most {MAX_ENVELOPE}")
    if not is_envelope(data):
        raise FrameError("a damaged envelope, or none: it does not begin like a map")
    fields: object
    try:
        fields = msgpack.unpackb(
            data, strict_map_key=True, max_map_len=64, max_array_len=256, max_ext_len=0
        )
    except msgpack.ExtraData as error:
        raise FrameError("a damaged envelope: extra bytes after its end") from error
    except Exception as error:  # msgpack raises many kinds for bytes from outside; all mean one
        reason = str(error) or type(error).__name__
        raise FrameError(f"a damaged envelope: {reason}") from error
    keys = cast("dict[object, Any]", fields) if isinstance(fields, dict) else None
    if keys is None or not all(isinstance(key, str) for key in keys):
        raise FrameError("an envelope is a map with text keys")
    return cast("dict[str, Any]", keys)


def _plain(value: object, depth: int) -> bool:
    """Tell whether a value is data that msgpack gives back, nested at most ``depth`` deep."""
    if isinstance(value, list):
        items = cast("list[object]", value)
    elif isinstance(value, dict):
        items = list(cast("dict[object, object]", value).values())
    else:
        return value is None or isinstance(value, bool | int | float | str | bytes)
    return depth > 0 and all(_plain(item, depth - 1) for item in items)


def _hops(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_HOPS:
        raise FrameError(f"an envelope whose hops are no number from 0 to {MAX_HOPS}")
    return value


def _route(value: object) -> tuple[int, ...]:
    items = cast("list[object]", value) if isinstance(value, list) else None
    if items is None or len(items) > MAX_ROUTE:
        raise FrameError("an envelope whose route is no short list")
    if not all(type(item) is int and 0 <= item < 1 << 32 for item in items):
        raise FrameError("an envelope whose route holds something else than origins")
    return tuple(cast("list[int]", items))
