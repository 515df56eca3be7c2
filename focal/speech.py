"""Between sound and payloads: which quality, how it is cut, and the codec's turn.

The law of this module: whoever encodes or decodes outside of a node does it here, so that a file
and a message on the air are treated alike. All of it blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .core.errors import CodecError, SourceError, TooLong
from .core.message import Kind, Message, Speech
from .core.rack import Rack
from .plugins.sources.files import FileSource, read_audio

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


@dataclass(frozen=True, slots=True)
class Recording:
    """A file whose length is known and whose sound is not read yet.

    Args:
        path: the file.
        seconds: as its header says.
    """

    path: Path
    seconds: float


def encode(
    plugins: Plugins, spec: CodecSpec, sound: Clip | Recording, room: int, parts: int
) -> list[Speech]:
    """Encode sound in as many parts as it takes, each of at most ``room`` bytes.

    A recording is read at the rate that the codec wants: hours of it need no more memory than that.

    Raises:
        TooLong: more than ``parts``.
        SourceError: the recording cannot be read.
        CodecError: the codec refuses it, or there is not enough memory.
    """
    check_length(spec, sound.seconds, room, parts)
    try:
        with spec.load() as codec:
            clip = _captured(plugins, sound, codec.rate)
            check_length(spec, clip.seconds, room, parts)  # a header may be wrong
            pieces = _pieces(clip, longest(spec, room))
            return [Speech(spec.wire_id, codec.encode(piece), piece.seconds) for piece in pieces]
    except MemoryError as error:
        minutes = f"{sound.seconds / 60:.0f} minutes"
        raise CodecError(f"not enough memory for {minutes} of audio: cut it") from error


def _captured(plugins: Plugins, sound: Clip | Recording, rate: int) -> Clip:
    """Return sound as the plugins leave it, at a rate."""
    from .plugins.sources.resample import resample

    clip = read_audio(sound.path, rate) if isinstance(sound, Recording) else sound
    return resample(plugins.captured(clip), rate)


def _pieces(clip: Clip, seconds: float) -> Iterator[Clip]:
    length = round(seconds * clip.rate)
    for start in range(0, len(clip.samples), length):
        yield clip.part(start, min(start + length, len(clip.samples)))


async def sound_in(source: Source) -> Clip | Recording:
    """Return what a source gives; a file that tells its length is not read yet. Raises SourceError.

    So what is too long is refused before hours of it are read.
    """
    if isinstance(source, FileSource) and (seconds := await source.seconds()):
        return Recording(source.path, seconds)
    try:
        return await _only_clip(source)
    except MemoryError as error:
        raise SourceError("not enough memory for so much audio: cut it") from error


async def _only_clip(source: Source) -> Clip:
    """Return the one clip that a file, standard input or a microphone gives."""
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
