"""From a spectrum frame by frame to sound: the inverse short-time Fourier transform.

The law of this module: the sum is exact, and is kept once. A frame is what ``numpy.fft.irfft``
gives of its 513 bins, under a periodic Hann window; frames stand 320 samples apart, their sum is
divided by the sum of the squared windows, and 352 samples fall away at either end, so that F
frames are 320 F samples.

It works in float32, within 1e-6 of full scale of the same formula in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from ....core.audio import Samples

SIZE = 1024
HOP = 320
EDGE = (SIZE - HOP) // 2
REACH = SIZE // HOP
"""A frame reaches into so many hops after its own."""

SLAB = 256
"""Frames that are transformed at a time: what bounds the memory."""
LOUDEST = 1e4
"""Larger magnitudes are none (models stop at 100); below it float32 cannot overflow."""

WINDOW = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE)


class Overlap:
    """Sound that is added up from frames, one stretch of them after another.

    Args:
        frames: how many there will be, at least 1.
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._at = 0
        self._rows = _zeros(frames + REACH)

    def add(self, magnitude: Samples, phase: Samples) -> None:
        """Add the next frames.

        Args:
            magnitude: shape (frames, 513), finite.
            phase: the same shape, in radians, finite.
        """
        for start in range(0, len(magnitude), SLAB):
            part = slice(start, start + SLAB)
            waves = _waves(magnitude[part], phase[part])
            _add(self._rows[self._at :], waves)
            self._at += len(waves)

    def sound(self) -> Samples:
        """Return the sound of all frames, shape (320 times frames,). To be called once."""
        _level(self._rows)
        return self._rows.reshape(-1)[EDGE : EDGE + HOP * self._frames]


def _zeros(rows: int) -> Samples:
    """Return zeros, shape (rows, 320), in memory that goes back to the system with the array.

    In a heap it would stay with each thread that has ever decoded a long message. Raises
    MemoryError.
    """
    try:
        room = mmap(-1, 4 * HOP * rows)
    except OSError as error:
        raise MemoryError from error
    return np.frombuffer(room, np.float32).reshape(rows, HOP)


def _waves(magnitude: Samples, phase: Samples) -> Samples:
    """Return the frames as sound under their window, shape (frames, 1024)."""
    magnitude = np.clip(magnitude, -LOUDEST, LOUDEST)
    spectrum = np.empty(magnitude.shape, np.complex64)
    np.multiply(magnitude, np.cos(phase), out=spectrum.real)
    np.multiply(magnitude, np.sin(phase), out=spectrum.imag)
    waves: Samples = np.fft.irfft(spectrum, SIZE, axis=1).astype(np.float32, copy=False)
    waves *= WINDOW.astype(np.float32)
    return waves


def _add(rows: NDArray[np.floating], waves: NDArray[np.floating]) -> None:
    """Add frames to rows of one hop each; the first frame begins with the first row."""
    for late, part in enumerate(_hops(waves)):
        rows[late : late + len(waves), : part.shape[1]] += part


def _hops(waves: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
    """Yield the part of each frame that falls into its first hop, into its second, and so on."""
    for start in range(0, SIZE, HOP):
        yield waves[:, start : start + HOP]


def _level(rows: Samples) -> None:
    """Divide a whole sum by that of the squared windows.

    That sum is the same in every row but the first and last three, where frames are missing.
    """
    frames = min(len(rows) - REACH, 2 * REACH)
    weights = np.zeros((frames + REACH, HOP))
    _add(weights, np.tile(WINDOW**2, (frames, 1)))
    weights = np.maximum(weights, 1e-8).astype(np.float32)  # zeros only in what falls away
    if len(rows) == len(weights):
        rows /= weights
        return
    rows[:REACH] /= weights[:REACH]
    rows[REACH:-REACH] /= weights[REACH]
    rows[-REACH:] /= weights[-REACH:]
