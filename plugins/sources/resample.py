"""From one rate to another, with soxr at its high quality.

The law of this module: a clip resampled at once and the same clip resampled block by block give
the same samples, so that long audio may be read in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, cast

from ...core.errors import SourceError

if TYPE_CHECKING:
    from ...core.audio import Clip, Samples

LOWEST, HIGHEST = 1_000, 384_000
"""Samples a second that audio may have."""


class _Stream(Protocol):
    """What is used of ``soxr.ResampleStream``."""

    def resample_chunk(self, x: Samples, last: bool = False) -> Samples: ...


def check_rate(rate: int) -> None:
    """Refuse a rate that no recording has.

    Raises:
        SourceError: it is outside 1 kHz to 384 kHz.
    """
    if not LOWEST <= rate <= HIGHEST:
        raise SourceError(
            f"{rate} samples a second is no rate of sound: {LOWEST} to {HIGHEST} can be used"
        )


def resample(clip: Clip, rate: int) -> Clip:
    """Return the clip at ``rate`` samples a second; the very same one where it has that rate.

    Raises:
        SourceError: a rate outside 1 kHz to 384 kHz.
    """
    if clip.rate == rate:
        return clip
    import numpy as np

    from ...core.audio import Clip as Resampled

    blocks = list(resampled([clip.samples], clip.rate, rate))
    return Resampled(np.concatenate(blocks), rate)


def resampled(blocks: Iterable[Samples], old: int, new: int) -> Iterator[Samples]:
    """Yield blocks of sound at ``new`` samples a second, from blocks at ``old``.

    Raises:
        SourceError: a rate outside 1 kHz to 384 kHz, or soxr is missing.
    """
    check_rate(old)
    check_rate(new)
    if old == new:
        yield from blocks
        return
    import numpy as np

    stream = _stream(old, new)
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _stream(old: int, new: int) -> _Stream:
    try:
        import soxr  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise SourceError(
            "changing the rate of sound needs soxr, which cannot be loaded here: "
            "pip install --force-reinstall soxr"
        ) from error
    return cast("_Stream", soxr.ResampleStream(old, new, 1, dtype="float32", quality="HQ"))
