"""The inverse STFT is the formula, to 1e-6, for any number of frames that come in any stretches."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from focal.core.audio import Samples
from focal.plugins.codecs.focalcodec.istft import SLAB, Overlap


def formula(magnitude: Samples, phase: Samples) -> NDArray[np.float64]:
    """Return the sound of frames as the specification says it, one after another in float64."""
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 1024) for n in range(1024)])
    total = np.zeros(320 * (len(magnitude) - 1) + 1024)
    weight = np.zeros_like(total)
    for at, (size, angle) in enumerate(zip(magnitude, phase, strict=True)):
        spectrum = size.astype(np.float64) * np.exp(1j * angle.astype(np.float64))
        total[320 * at : 320 * at + 1024] += np.fft.irfft(spectrum) * window
        weight[320 * at : 320 * at + 1024] += window**2
    return total[352:-352] / weight[352:-352]


def noise(frames: int, seed: int = 1) -> tuple[Samples, Samples]:
    """Return the magnitude and phase of noise at about full scale, shape (frames, 513) each."""
    draw = np.random.default_rng(seed)
    magnitude = np.exp(draw.normal(0, 1.5, (frames, 513))).astype(np.float32)
    return magnitude, draw.uniform(-20, 20, (frames, 513)).astype(np.float32)


def sound_of(*stretches: tuple[Samples, Samples]) -> Samples:
    overlap = Overlap(sum(len(magnitude) for magnitude, _ in stretches))
    for magnitude, phase in stretches:
        overlap.add(magnitude, phase)
    return overlap.sound()


@pytest.mark.parametrize("frames", [*range(1, 12), 288, SLAB - 1, SLAB, SLAB + 1, 3 * SLAB])
def test_it_is_the_formula(frames: int) -> None:
    magnitude, phase = noise(frames)
    exact = formula(magnitude, phase)
    sound = sound_of((magnitude, phase))
    assert sound.dtype == np.float32
    assert sound.shape == exact.shape == (320 * frames,)
    assert np.abs(exact).max() > 0.3
    assert np.abs(sound - exact).max() < 1e-6


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3, 1), (4, 1, 7), (SLAB, 2), (300, 300)])
def test_stretches_make_one_sound(sizes: tuple[int, ...]) -> None:
    magnitude, phase = noise(sum(sizes))
    ends = np.cumsum(sizes)
    stretches = [
        (magnitude[end - size : end], phase[end - size : end])
        for size, end in zip(sizes, ends, strict=True)
    ]
    assert np.abs(sound_of(*stretches) - formula(magnitude, phase)).max() < 1e-6


def test_a_spectrum_of_a_sound_gives_the_sound() -> None:
    # The two tones stand in other bins: a mirrored or shifted spectrum has another sound.
    t = np.arange(320 * 50)
    exact = 0.5 * np.cos(2 * np.pi * 0.0123 * t) + 0.2 * np.sin(2 * np.pi * 0.31 * t + 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    around = np.pad(exact, (352, 352))
    spectrum = np.fft.rfft(
        [around[320 * at : 320 * at + 1024] * window for at in range(50)], axis=1
    )
    magnitude, phase = np.abs(spectrum), np.angle(spectrum)
    sound = sound_of((magnitude.astype(np.float32), phase.astype(np.float32)))
    assert np.abs(sound - exact).max() < 1e-6


def test_the_largest_numbers_there_are_stay_numbers() -> None:
    largest = np.full((5, 513), np.finfo(np.float32).max)
    with warnings.catch_warnings(action="error"):
        assert np.isfinite(sound_of((largest, largest))).all()
