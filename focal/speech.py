"""Between sound and payloads: which quality, how it is cut, and the codec's turn.

The law of this module: whoever encodes or decodes outside of a node does it here, so that a file
and a message on the air are treated alike. All of it blocks.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .core.codec import BlockCodec
from .core.errors import CodecError, CodecMissing, SourceError, TooLong
from .core.message import Kind, Message, Speech
from .core.rack import Rack
from .core.runtime import check_cancelled
from .plugins.choice import Choice, explained
from .plugins.sources.files import FileSource, audio_blocks, read_audio

if TYPE_CHECKING:
    from .core.audio import Clip
    from .core.codec import Codec, CodecSpec
    from .core.link import Limits
    from .core.ports import Source
    from .plugins.manager import Plugins

MAX_PARTS = 255
"""Messages of one series."""

PART_SECONDS = 300.0
"""Of sound in a message of a series, at most: whoever decodes it holds its sound whole, which is
19 MB at 16 kHz, and a listener may hold two such messages, the one that is played and another."""

BLOCK = 1 << 16
"""Samples of a clip that are encoded between two looks at whether they are still wanted."""

SEGMENT_BITS = 2.2  # a second: 3 bytes of segment header and a byte's filling, every 15 s or more
SLACK = 12  # bytes: a codec's own header, and the last segment or frame that is filled


def choose(plugins: Plugins, quality: str, seconds: float, links: Mapping[str, Limits]) -> Choice:
    """Return the codec of a quality and why it is this one.

    ``auto`` asks the plugins what these links carry best. A quality that cannot encode here gives
    way to the one that its plugin names instead, where that one can.

    Args:
        plugins: what there is to choose from.
        quality: a quality's name, or ``auto``.
        seconds: how long the sound is.
        links: the limits of every link that it goes to, by their names.

    Raises:
        SettingsError: there is no such quality; names the nearest.
        CodecError: it cannot be used here, and why.
    """
    if quality == "auto":
        return _best(plugins, seconds, links)
    spec = plugins.codec(quality)
    why_not = spec.why_not()
    if why_not is None:
        return Choice(spec, "asked for")
    for other in plugins.codecs():
        if other.name == spec.instead and other.why_not() is None:
            return Choice(other, f"in place of {spec.name}, which cannot encode here")
    raise CodecError(why_not)


def _best(plugins: Plugins, seconds: float, links: Mapping[str, Limits]) -> Choice:
    chosen = plugins.choose_codec(list(links.values()), seconds)
    if chosen.plugin is not None:
        return Choice(chosen.spec, f"chosen by the plugin {chosen.plugin}")
    lacking = [spec for spec in plugins.codecs() if spec not in chosen.available]
    return explained(chosen.spec, chosen.available, lacking, links, seconds)


def longest(spec: CodecSpec, room: int, parts: int = 1) -> float:
    """Return how many seconds of this codec a message can have, in whole steps.

    Args:
        spec: the codec.
        room: bytes of payload at most.
        parts: how many messages there may be; where it is more than one, none is very long.
    """
    seconds = (room - SLACK) * 8 / (spec.bits_per_second + SEGMENT_BITS)
    if parts > 1:
        seconds = min(seconds, PART_SECONDS)
    return max(1, int(seconds / spec.step)) * spec.step


def check_length(spec: CodecSpec, seconds: float, room: int, parts: int) -> None:
    """See that sound fits ``parts`` messages of ``room`` bytes.

    Raises:
        TooLong: it does not; says how many seconds there can be.
    """
    most = longest(spec, room, parts) * parts
    if seconds > most:
        raise _too_long(spec, f"{seconds:.0f} s", most)


def _too_long(spec: CodecSpec, length: str, most: float) -> TooLong:
    return TooLong(
        f"{length} of audio; at {spec.name} at most {int(most)} s can go: "
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

    A recording is read at the rate that the codec wants, and no more than a part of it is held at a
    time; where the codec takes sound in blocks, no more than seconds. A plugin that wants to see
    clips is shown a whole one.

    Args:
        plugins: are shown the sound.
        spec: the codec.
        sound: what to encode.
        room: bytes of payload in a part.
        parts: how many there may be.

    Raises:
        TooLong: more than ``parts``.
        SourceError: the recording cannot be read.
        CodecError: the codec refuses it, or there is not enough memory.
        Cancelled: see ``check_cancelled``, which is asked between blocks.
    """
    check_length(spec, sound.seconds, room, parts)
    try:
        with spec.load() as codec, _blocks(plugins, sound, codec.rate) as blocks:
            speech = list(_parts(codec, spec, blocks, room, parts))
    except MemoryError as error:
        minutes = f"{sound.seconds / 60:.0f} minutes"
        raise CodecError(f"not enough memory for {minutes} of audio: cut it") from error
    if not speech:
        raise CodecError("there is nothing to encode: the clip is empty")
    return speech


@contextmanager
def _blocks(plugins: Plugins, sound: Clip | Recording, rate: int) -> Generator[Generator[Clip]]:
    """Give sound block by block, as the plugins leave it."""
    if isinstance(sound, Recording) and not plugins.captures:
        blocks = audio_blocks(sound.path, rate)
    else:
        blocks = _cut(_captured(plugins, sound, rate))
    with closing(blocks):
        yield blocks


def _captured(plugins: Plugins, sound: Clip | Recording, rate: int) -> Clip:
    """Return sound as the plugins leave it, at a rate."""
    from .plugins.sources.resample import resample

    clip = read_audio(sound.path, rate) if isinstance(sound, Recording) else sound
    return resample(plugins.captured(clip), rate)


def _cut(clip: Clip) -> Generator[Clip]:
    for start in range(0, len(clip.samples), BLOCK):
        yield clip.part(start, start + BLOCK)


def _joined(blocks: Iterator[Clip], rate: int) -> Clip:
    import numpy as np

    from .core.audio import Clip

    return Clip(np.concatenate([block.samples for block in blocks]), rate)


def _parts(
    codec: Codec, spec: CodecSpec, blocks: Iterator[Clip], room: int, parts: int
) -> Iterator[Speech]:
    most, stream = longest(spec, room, parts), _Stream(blocks)
    for _ in range(parts):
        if stream.ended:
            return
        start = stream.samples
        payload = _encode(codec, stream.blocks(round(most * codec.rate)))
        yield Speech(spec.wire_id, payload, (stream.samples - start) / codec.rate)
    if not stream.ended:  # the header said less
        raise _too_long(spec, f"more than {most * parts:.0f} s", most * parts)


def _encode(codec: Codec, blocks: Iterator[Clip]) -> bytes:
    if isinstance(codec, BlockCodec):
        return codec.encode_blocks(blocks)
    return codec.encode(_joined(blocks, codec.rate))


class _Stream:
    """Sound that is read once, a number of samples at a time.

    Attributes:
        samples: how many were taken so far.
    """

    def __init__(self, blocks: Iterator[Clip]) -> None:
        self._blocks = blocks
        self._next = next(blocks, None)
        self.samples = 0

    @property
    def ended(self) -> bool:
        """Whether there is no more."""
        return self._next is None

    def blocks(self, count: int) -> Iterator[Clip]:
        """Take ``count`` samples, or what there is, in one or more clips."""
        end = self.samples + count
        while self._next is not None and self.samples < end:
            check_cancelled()
            block, left = self._next, end - self.samples
            self.samples += min(left, len(block.samples))
            rest = block.part(left, len(block.samples))
            self._next = rest if len(rest.samples) else next(self._blocks, None)
            yield block.part(0, left)


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


def why_silent(plugins: Plugins, message: Message) -> str | None:
    """Return one line that says why a message cannot be heard here now and what to do, or None.

    Nothing is decoded: a damaged payload is not noticed.
    """
    if message.kind is not Kind.VOICE:
        return None
    try:
        return Rack(plugins).spec(message.codec).why_silent(message.payload)
    except CodecMissing as error:
        return str(error)


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
