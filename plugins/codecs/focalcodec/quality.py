"""What makes a quality of the FocalCodec family: its name, its rate, its three files.

The law of this module: values only. Nothing is opened or looked for here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RATE = 16_000
HOP = 320
"""Samples of one encoder frame: 20 ms."""
FIRST_LOCAL = 224
"""Wire ids from here on are local: each payload says which decoder it was made for."""
MAX_FRAMES = 16
"""With more in a token, docs/wire.md could not say where a clip ends."""


def _unchecked(path: Path, /) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Quality:
    """A quality of the FocalCodec family: models that focal runs in FocalCodec's pipeline.

    The three files are ONNX graphs with the contract of ``focal.plugins.models.graph``:

    =============  ===================================  ============================================
    file           takes                                gives
    =============  ===================================  ============================================
    encoder        ``audio`` float32 (1, samples),      ``features`` float32 (1, F, 1024), with
                   16 kHz, full scale -1 to 1           F = floor((samples - 80) / 320)
    compressor     ``features``                         ``tokens`` int64 (1, F / frames)
    decoder        ``tokens`` int64 (1, T)              ``magnitude`` and ``phase`` float32
                                                        (1, T * frames, 513), see below
    =============  ===================================  ============================================

    Magnitude and phase (radians) are those of frames 20 ms apart, from which focal makes the sound
    (``istft.py``). The samples that the encoder is given are always whole blocks of at least four
    frames and at least one token, and 80 more, so that F is a multiple of ``frames``.

    The encoder may be the published one, which all qualities can share: then it is in memory only
    once. It is ``models.store.path("encoder.onnx")``. Files of focal's store are checked by the
    store, and where one is missing, users are told how to get it. Other files, such as those in a
    plugin's own folder, are checked by ``check``, and ``remedy`` says how to get them.

    Args:
        name: as in ``--quality``; printable, without ``/``, ``:``, ``,`` and spaces.
        wire_id: the codec byte on the wire. 224 to 255 is for everybody: there a payload begins
            with the first four bytes of the decoder file's SHA-256, so that it is never decoded
            with other weights. Two plugins that are installed together cannot share one.
        frames: encoder frames of 20 ms that one token stands for, 1 to 16.
        encoder: the file.
        compressor: the file.
        decoder: the file.
        bits: of a token, 1 to 16; tokens are below ``2 ** bits``.
        summary: one line for lists; without it one is made of bits and frames.
        check: called with the path of a file that is not in focal's store before it is opened;
            raises CodecMissing where it is not what it should be.
        remedy: what to do where such a file is missing (``pip install --force-reinstall ...``).
        instead: the quality to encode with where this one cannot, and that one can.

    Raises:
        ValueError: a number that the wire cannot carry.
    """

    name: str
    wire_id: int
    frames: int
    encoder: Path
    compressor: Path
    decoder: Path
    bits: int = 13
    summary: str = ""
    check: Callable[[Path], None] = _unchecked
    remedy: str = ""
    instead: str | None = None

    def __post_init__(self) -> None:
        for what, value, most in (
            ("wire id", self.wire_id, 255),
            ("number of frames in a token", self.frames, MAX_FRAMES),
            ("number of bits in a token", self.bits, 16),
        ):
            if not 1 <= value <= most:
                raise ValueError(f"quality {self.name}: a {what} is 1 to {most}, not {value}")

    @property
    def local(self) -> bool:
        """Whether its payloads say which decoder they were made for."""
        return self.wire_id >= FIRST_LOCAL

    @property
    def block(self) -> int:
        """Samples that a clip is filled up to a multiple of: whole tokens, and at least 80 ms."""
        return HOP * self.frames * -(-4 // self.frames)

    @property
    def bits_per_second(self) -> float:
        """Of tokens."""
        return self.bits * RATE / (HOP * self.frames)

    @property
    def told(self) -> str:
        """The summary, or one made of bits and frames."""
        return self.summary or f"FocalCodec, {self.bits} bits every {20 * self.frames} ms"
