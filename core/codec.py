"""The codec seam: sound in, bytes out, and back.

Codecs are synchronous and use the processor; a node calls them in a worker thread, one call at a
time for each loaded codec. What takes more than a second calls ``check_cancelled`` of
``focal.core.runtime`` between its steps, so that Ctrl-C and SIGTERM need not wait for its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .audio import Clip


class Codec(Protocol):
    """A loaded codec."""

    @property
    def rate(self) -> int:
        """Samples a second that ``encode`` wants and ``decode`` gives."""
        ...

    def encode(self, clip: Clip, /) -> bytes:
        """Return the payload of a voice message, codec header included.

        Args:
            clip: at ``rate``.

        Raises:
            CodecError: the clip cannot be encoded.
        """
        ...

    def decode(self, data: bytes, /) -> Clip:
        """Return the sound of a payload, at ``rate``.

        Raises:
            CodecError: on any damaged input; never anything else.
        """
        ...


@runtime_checkable
class BlockCodec(Codec, Protocol):
    """A codec that takes long sound piece by piece, in memory that does not grow with it."""

    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        """Return the payload that ``encode`` returns for the same sound in one clip.

        Args:
            blocks: at ``rate``, of any lengths, one after another.

        Raises:
            CodecError: the sound cannot be encoded.
        """
        ...


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """What is known of a codec before it is loaded.

    Args:
        name: the quality's name, as in ``--quality``.
        wire_id: the codec byte on the wire, 1 to 255; stable for ever, see docs/wire.md.
        bits_per_second: of payload, headers left out.
        load: gives the codec as a context; models live inside it.
        seconds: how long a payload sounds, told from its bytes alone (CodecError if damaged).
        step: the shortest stretch of sound it codes by itself, in seconds (a frame); where long
            audio is cut for a series, it is cut at whole steps.
        why_not: one line that says why it cannot encode here now and what to do, or None.
        summary: one line for lists.
        why_not_decode: the same for decoding, where that needs other things than encoding.
        instead: the quality to encode with where this one cannot, and that one can.
        why_not_payload: what ``why_not_decode`` says and what else one payload asks for, where
            payloads of this codec ask for more than the codec.
    """

    name: str
    wire_id: int
    bits_per_second: float
    load: Callable[[], AbstractContextManager[Codec]]
    seconds: Callable[[bytes], float]
    step: float = 0.02
    why_not: Callable[[], str | None] = lambda: None
    summary: str = ""
    why_not_decode: Callable[[], str | None] | None = None
    instead: str | None = None
    why_not_payload: Callable[[bytes], str | None] | None = None

    def why_silent(self, payload: bytes | None = None) -> str | None:
        """Return one line that says why it cannot decode here now and what to do, or None.

        Args:
            payload: what is to be decoded, if anything is.
        """
        if payload is not None and self.why_not_payload is not None:
            return self.why_not_payload(payload)
        return (self.why_not_decode or self.why_not)()
