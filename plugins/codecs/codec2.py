"""Codec2: the embedded default, seven rates from 3200 down to 700 bits a second.

The law of this module: a payload is frames and nothing else. Each frame gives its exact number of
bits, most significant first, one frame after another; zero bits fill the last byte. The number of
frames follows from the number of bytes, and every other shape is refused.

Samples are int16 / 32768 on both sides: a 16-bit recording read as float comes back to the very
same int16, so that what is coded is what was recorded.

Encoding is deterministic. Decoding is up to one thing: libcodec2 draws the phases of unvoiced sound
from a generator that all decoders of a process share. In a fresh process a payload always gives the
same samples; a second time in the same process it sounds the same and differs in its noise.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from ...core.codec import Codec, CodecSpec
from ...core.errors import CodecError
from .. import hookimpl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...core.audio import Clip

RATE = 8000
_MISSING = (
    "Codec2 needs pycodec2, which cannot be loaded here: pip install --force-reinstall pycodec2"
)


@dataclass(frozen=True, slots=True)
class Mode:
    """One of the rates.

    Args:
        name: the quality's name.
        wire_id: the codec byte; stable for ever.
        number: what pycodec2 calls it.
        bits: of one frame.
        samples: of one frame, at 8 kHz.
    """

    name: str
    wire_id: int
    number: int
    bits: int
    samples: int

    @property
    def width(self) -> int:
        """Bytes of one frame as the library gives it, filled up to a whole byte."""
        return -(-self.bits // 8)


MODES = (
    Mode("c2-3200", 16, 3200, 64, 160),
    Mode("c2-2400", 17, 2400, 48, 160),
    Mode("c2-1600", 18, 1600, 64, 320),
    Mode("c2-1400", 19, 1400, 56, 320),
    Mode("c2-1300", 20, 1300, 52, 320),
    Mode("c2-1200", 21, 1200, 48, 320),
    Mode("c2-700c", 22, 700, 28, 320),
)


class _Coder(Protocol):
    """One stream of pycodec2: it remembers the frames before, so each clip gets its own."""

    def encode(self, samples: NDArray[np.int16], /) -> bytes: ...

    def decode(self, frame: bytes, /) -> NDArray[np.int16]: ...


class _Library(Protocol):
    """What is used of pycodec2, which ships no types."""

    def Codec2(self, number: int, /) -> _Coder: ...


def _library() -> _Library:
    try:
        import pycodec2  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
    except ImportError as error:
        raise CodecError(_MISSING) from error
    return cast("_Library", pycodec2)


class Codec2:
    """A loaded mode of Codec2; see ``focal.core.codec.Codec``."""

    rate = RATE

    def __init__(self, mode: Mode, library: _Library) -> None:
        self._mode = mode
        self._library = library

    def encode(self, clip: Clip, /) -> bytes:
        """Return the frames of a clip at 8 kHz; zero samples fill the last frame.

        Raises:
            CodecError: the clip is empty or at another rate.
        """
        import numpy as np

        if clip.rate != RATE:
            raise CodecError(f"Codec2 takes {RATE} samples a second, not {clip.rate}: resample it")
        coder = self._library.Codec2(self._mode.number)
        frames = [coder.encode(frame) for frame in _cut(clip.pcm16(), self._mode.samples)]
        if not frames:
            raise CodecError("there is nothing to encode: the clip is empty")
        table = np.frombuffer(b"".join(frames), np.uint8).reshape(-1, self._mode.width)
        return pack(table, self._mode.bits)

    def decode(self, data: bytes, /) -> Clip:
        """Return the sound of a payload at 8 kHz.

        Raises:
            CodecError: not a whole number of frames, or filling bits that are not zero.
        """
        import numpy as np

        from ...core.audio import Clip

        count, width = frame_count(data, self._mode), self._mode.width
        raw = unpack(data, count, self._mode.bits).tobytes()
        coder = self._library.Codec2(self._mode.number)
        parts = [coder.decode(raw[at : at + width]) for at in range(0, len(raw), width)]
        return Clip(np.divide(np.concatenate(parts), 32768, dtype=np.float32), RATE)


def _cut(samples: NDArray[np.int16], size: int) -> NDArray[np.int16]:
    """Return the samples in the shape (frames, ``size``), zeros at the end of the last."""
    import numpy as np

    sound = np.zeros((-(-len(samples) // size), size), np.int16)
    sound.reshape(-1)[: len(samples)] = samples
    return sound


def pack(frames: NDArray[np.uint8], bits: int) -> bytes:
    """Return the first ``bits`` bits of each row, most significant first, without gaps.

    Args:
        frames: shape (frames, bytes of a frame).
        bits: of each row that mean something.
    """
    import numpy as np

    return np.packbits(np.unpackbits(frames, axis=1)[:, :bits]).tobytes()


def unpack(payload: bytes, count: int, bits: int) -> NDArray[np.uint8]:
    """Undo ``pack``: return ``count`` rows, each filled with zero bits to a whole byte."""
    import numpy as np

    stream = np.unpackbits(np.frombuffer(payload, np.uint8), count=count * bits)
    return np.packbits(stream.reshape(count, bits), axis=1)


def frame_count(payload: bytes, mode: Mode) -> int:
    """Return how many frames a payload holds.

    Raises:
        CodecError: a length that no number of frames gives, or filling bits that are not zero.
    """
    count = 8 * len(payload) // mode.bits
    if not count or -(-count * mode.bits // 8) != len(payload):
        raise CodecError(
            f"a damaged {mode.name} payload: {len(payload)} bytes are no whole number "
            f"of frames of {mode.bits} bits"
        )
    if payload[-1] & (1 << 8 * len(payload) - count * mode.bits) - 1:
        raise CodecError(f"a damaged {mode.name} payload: bits after its last frame are not zero")
    return count


def _seconds(mode: Mode, payload: bytes) -> float:
    return frame_count(payload, mode) * mode.samples / RATE


@contextmanager
def _load(mode: Mode) -> Generator[Codec]:
    yield Codec2(mode, _library())


def _why_not() -> str | None:
    return None if find_spec("pycodec2") else _MISSING


def _spec(mode: Mode) -> CodecSpec:
    return CodecSpec(
        name=mode.name,
        wire_id=mode.wire_id,
        bits_per_second=mode.bits * RATE / mode.samples,
        load=partial(_load, mode),
        seconds=partial(_seconds, mode),
        step=mode.samples / RATE,
        why_not=_why_not,
        summary=f"Codec2, {mode.bits} bits every {1000 * mode.samples // RATE} ms",
    )


@hookimpl
def focal_codecs() -> list[CodecSpec]:
    """Give the seven modes of Codec2."""
    return [_spec(mode) for mode in MODES]
