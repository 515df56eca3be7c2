"""Sound as focal passes it on: mono float32 samples and their rate.

The law of this module: a ``Clip`` is always mono, finite and float32; whatever is not is refused
here, so that no codec has to ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import CodecError

Samples: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A piece of sound.

    Args:
        samples: shape ``(n,)``, float32, full scale at -1 and 1.
        rate: samples a second, at least 1.

    Raises:
        CodecError: the samples are not mono, or hold NaN or infinity.
    """

    samples: Samples
    rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise CodecError("a clip holds mono float32 samples: mix down and convert first")
        if self.rate < 1:
            raise CodecError(f"a clip cannot have {self.rate} samples a second")
        if not _finite(self.samples):
            raise CodecError("the audio holds samples that are not numbers (NaN or infinity)")

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    def pcm16(self) -> NDArray[np.int16]:
        """Return the samples as 16-bit integers, shape ``(n,)``; beyond full scale they are cut.

        A 16-bit recording that was read as int16 / 32768 comes back to the very same integers.
        """
        scaled = np.clip(self.samples, -1, 1)
        scaled *= 32768
        np.rint(scaled, out=scaled)
        return np.minimum(scaled, 32767, out=scaled).astype(np.int16)

    def part(self, start: int, stop: int) -> Clip:
        """Return the samples from ``start`` up to ``stop`` (sample numbers) as a clip."""
        return Clip(self.samples[start:stop], self.rate)


def _finite(samples: Samples) -> bool:
    """Tell whether all samples are numbers; in no memory, as there may be very many."""
    ends = np.min(samples, initial=0), np.max(samples, initial=0)  # NaN comes through as well
    return bool(np.isfinite(ends).all())


Resample: TypeAlias = Callable[[Clip, int], Clip]
"""How codecs get a clip at the rate they want; the sources have the library for it."""
