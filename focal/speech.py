"""Between sound and payloads: which quality, how it is cut, and the codec's turn.

The law of this module: whoever encodes or decodes outside of a node does it here, so that a file
and a message on the air are treated alike. All of it blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .core.errors import CodecError, SourceError, TooLong
from .core.message import Kind, Message, Speech
from .core.rack import Rack

if TYPE_CHECKING:
    from .core.audio import Clip
    from .core.codec import CodecSpec
    from .core.link import Limits
    from .core.ports import Source
    from .plugins.manager import Plugins

MAX_PARTS = 255
"""Messages of one series."""

SEGMENT_BITS = 1.2  # a second: 3 bytes of segment header every 20 s
SLACK = 8  # bytes: a codec's own header, and the last frame that is filled


def choose(plugins: Plugins, quality: str, seconds: float, limits: Sequence[Limits]) -> CodecSpec:
    """Return the codec of a quality; ``auto`` asks the plugins what these links carry best.

    Raises:
        SettingsError: there is no such quality; names the nearest.
        CodecError: it cannot be used here, and why.
    """
    spec = plugins.choose_codec(limits, seconds) if quality == "auto" else plugins.codec(quality)
    if why_not := spec.why_not():
        raise CodecError(why_not)
    return spec


def longest(spec: CodecSpec, room: int) -> float:
    """Return how many seconds of this codec fit ``room`` bytes of payload, in whole steps."""
    seconds = (room - SLACK) * 8 / (spec.bits_per_second + SEGMENT_BITS)
    return max(1, int(seconds / spec.step)) * spec.step


def check_length(spec: CodecSpec, seconds: float, room: int, parts: int) -> None:
    """See that sound fits ``parts`` messages of ``room`` bytes.

    Raises:
        TooLong: it does not; says how many seconds there can be.
    """
    most = longest(spec, room) * parts
    if seconds > most:
        raise TooLong(
            f"{seconds:.0f} s of audio; at {spec.name} at most {int(most)} s can go: "
            "cut it, or choose a quality with a lower rate"
        )


def encode(plugins: Plugins, spec: CodecSpec, clip: Clip, room: int, parts: int) -> list[Speech]:
    """Encode a clip in as many parts as it takes, each of at most ``room`` bytes.

    Raises:
        TooLong: more than ``parts``.
        CodecError: the codec refuses it.
    """
    check_length(spec, clip.seconds, room, parts)
    from .plugins.sources.resample import resample

    clip = plugins.captured(clip)
    with spec.load() as codec:
        pieces = _pieces(resample(clip, codec.rate), longest(spec, room))
        return [Speech(spec.wire_id, codec.encode(piece), piece.seconds) for piece in pieces]


def _pieces(clip: Clip, seconds: float) -> Iterator[Clip]:
    length = round(seconds * clip.rate)
    for start in range(0, len(clip.samples), length):
        yield clip.part(start, min(start + length, len(clip.samples)))


async def only_clip(source: Source) -> Clip:
    """Return the one clip that a file or standard input is. Raises SourceError."""
    async for clip in source.clips():
        return clip
    raise SourceError("there is no sound in it: record it again")


def sound_of(plugins: Plugins, message: Message) -> tuple[str | None, float]:
    """Return quality and seconds of a message, as far as they can be told without decoding it."""
    spec = plugins.codec_by_id(message.codec) if message.kind is Kind.VOICE else None
    if spec is None:
        return None, 0.0
    try:
        return spec.name, spec.seconds(message.payload)
    except CodecError:  # a damaged payload is listed too; decoding it says what is wrong
        return spec.name, 0.0


def decode(plugins: Plugins, message: Message) -> tuple[CodecSpec, Clip]:
    """Return the codec of a voice message and its sound.

    Raises:
        CodecMissing: nothing here decodes it, and what to do.
        CodecError: it is no voice, or damaged.
    """
    if message.kind is not Kind.VOICE:
        raise CodecError(f"a message of kind {message.kind.name.lower()} has no sound")
    rack = Rack(plugins)
    try:
        clip = rack.decode(message.codec, message.payload)
        return rack.spec(message.codec), plugins.decoded(message, clip)
    finally:
        rack.close()
