"""Loaded codecs, kept warm: one of each, used by one call at a time.

The law of this module: nothing is loaded before it is needed, and everything is freed at the end.
It blocks; a node calls it in a worker thread.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from .codec import Codec, CodecSpec
from .errors import CodecMissing

if TYPE_CHECKING:
    from .audio import Clip


class Codecs(Protocol):
    """Where a node learns which codecs there are."""

    def codec_by_id(self, wire_id: int, /) -> CodecSpec | None:
        """Return the codec with this id on the wire, None if nothing here knows it."""
        ...


class Rack:
    """The codecs that a node has loaded."""

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs
        self._lock = threading.Lock()
        self._loaded: dict[int, Codec] = {}
        self._open = ExitStack()

    def spec(self, wire_id: int) -> CodecSpec:
        """Return what is known of a codec. Raises CodecMissing: nothing here decodes it."""
        spec = self._codecs.codec_by_id(wire_id)
        if spec is None:
            raise CodecMissing(f"nothing here decodes codec {wire_id}: a plugin is missing")
        return spec

    def decode(self, wire_id: int, payload: bytes) -> Clip:
        """Return the sound of a payload.

        Raises:
            CodecMissing: nothing here decodes it, and what to do.
            CodecError: the payload is damaged.
        """
        spec = self.spec(wire_id)
        with self._lock:
            if why_not := spec.why_silent(payload):  # also of a codec whose files went away since
                raise CodecMissing(why_not)
            codec = self._loaded.get(wire_id)
            if codec is None:
                codec = self._loaded[wire_id] = self._open.enter_context(spec.load())
            return codec.decode(payload)

    def close(self) -> None:
        """Free every codec. Again: nothing happens."""
        with self._lock:
            self._loaded.clear()
            self._open.close()
