"""FocalCodec's pipeline: samples to tokens and back, around the models.

The law of this module: what a model gives is looked at before it is used; what is wrong with it is
a CodecError that names the file.

Encoding fills each piece with zeros to whole blocks and 80 samples more, of which every model of
the family makes an exact number of tokens. How much of that is filling goes with the tokens, in
steps of 20 ms, so a clip comes back less than 20 ms longer than it went. Decoding adds the frames
of all segments up to one sound, so that two segments meet under the windows of their frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.audio import Clip, Samples
from ....core.errors import CodecError, CodecMissing
from ....core.runtime import check_cancelled
from ....core.tokens import Segment
from ...models import Sessions
from ...models.graph import Model
from .cutting import pieces
from .files import Files
from .istft import Overlap
from .payload import mark_of, read, sounding, write
from .quality import HOP, RATE, Quality

TAIL = 80
"""Samples that the encoder needs beyond its frames."""


class FocalCodec:
    """A quality of the FocalCodec family; see ``focal.core.codec.BlockCodec``.

    Args:
        quality: its rate.
        files: its models; each is opened when it is first used.
        sessions: that run them.
    """

    rate = RATE

    def __init__(self, quality: Quality, files: Files, sessions: Sessions) -> None:
        self._quality = quality
        self._files = files
        self._sessions = sessions

    def encode(self, clip: Clip, /) -> bytes:
        """Return the payload of a clip at 16 kHz.

        Raises:
            CodecError: the clip is empty or at another rate, or a model gives what it must not.
            CodecMissing: a model cannot be used.
        """
        return self.encode_blocks((clip,))

    def encode_blocks(self, blocks: Iterable[Clip], /) -> bytes:
        """Return the payload that ``encode`` returns for the same sound in one clip.

        Args:
            blocks: at 16 kHz, of any lengths; at most 21 s of them are held.

        Raises:
            CodecError: as ``encode``.
            CodecMissing: as ``encode``.
        """
        mark = self._files.mark()
        cut = pieces(_samples(blocks), self._quality.block)
        segments = [self._segment(piece) for piece in cut]
        if not segments:
            raise CodecError("there is nothing to encode: the clip is empty")
        return write(segments, self._quality, mark)

    def decode(self, data: bytes, /) -> Clip:
        """Return the sound of a payload at 16 kHz.

        Raises:
            CodecError: the payload is damaged, or the decoder gives what it must not.
            CodecMissing: the decoder cannot be used, or another one made this payload.
        """
        self._same_weights(mark_of(data, self._quality))
        segments = read(data, self._quality)
        kept = [sounding(segment, self._quality) for segment in segments]
        kept[-1] += segments[-1].trim  # its last frames still sound into those before them
        overlap = Overlap(sum(kept))
        for segment, frames in zip(segments, kept, strict=True):
            magnitude, phase = self._spectrum(segment.tokens)
            overlap.add(magnitude[:frames], phase[:frames])
        sound = overlap.sound()[: HOP * (sum(kept) - segments[-1].trim)]
        return Clip(np.clip(sound, -1, 1, out=sound), RATE)

    # one segment

    def _segment(self, piece: Samples) -> Segment:
        check_cancelled()
        block = self._quality.block
        whole = -(-len(piece) // block) * block
        audio = np.zeros((1, whole + TAIL), np.float32)
        audio[0, : len(piece)] = piece
        return Segment(self._tokens(audio), (whole - len(piece)) // HOP)

    def _tokens(self, audio: Samples) -> tuple[int, ...]:
        """Return the tokens of samples, shape (1, whole blocks and 80)."""
        frames = audio.shape[1] // HOP
        compressor = self._files.compressor
        (features,) = self._run(self._files.encoder, audio, frames)
        (tokens,) = self._run(compressor, features, frames // self._quality.frames)
        if tokens.min() < 0 or tokens.max() >= 1 << self._quality.bits:
            raise CodecError(
                f"{compressor.path} gave a token that has no {self._quality.bits} bits: "
                f"it is no compressor of {self._quality.name}"
            )
        return tuple(tokens[0].tolist())

    def _spectrum(self, tokens: Sequence[int]) -> tuple[Samples, Samples]:
        """Return magnitude and phase, each of shape (frames, 513)."""
        check_cancelled()
        given = np.array([tokens], np.int64)
        frames = len(tokens) * self._quality.frames
        magnitude, phase = self._run(self._files.decoder, given, frames)
        return magnitude[0], phase[0]

    def _run(self, model: Model, given: NDArray[Any], length: int) -> Iterator[NDArray[Any]]:
        """Yield the outputs of a model, in the order of its contract, ``length`` long each."""
        outputs = self._sessions.run(model, given)
        for port in model.graph.outputs:
            values = outputs[port.name]
            _shaped(model, port.name, values, (1, length, *port.shape[2:]))
            yield values

    def _same_weights(self, mark: bytes) -> None:
        """See that a local payload is of our decoder. Raises CodecMissing: it is not."""
        ours = self._files.mark()
        if mark != ours:
            raise CodecMissing(
                f"this message was made with other weights of {self._quality.name}: its decoder's "
                f"SHA-256 begins with {mark.hex()}, that of the one here with {ours.hex()}"
            )


def _samples(blocks: Iterable[Clip]) -> Iterator[Samples]:
    for clip in blocks:
        if clip.rate != RATE:
            raise CodecError(
                f"FocalCodec takes {RATE} samples a second, not {clip.rate}: resample it"
            )
        yield clip.samples


def _shaped(model: Model, name: str, values: NDArray[Any], shape: Sequence[int | None]) -> None:
    if values.shape != tuple(shape):
        raise CodecError(f"{model.path} gave {name} of shape {values.shape} instead of {shape}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise CodecError(f"{model.path} gave {name} that are not numbers (NaN or infinity)")
