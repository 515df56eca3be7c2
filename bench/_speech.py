"""Real speech for the benches: ``examples/hello.wav``, said again until the time is filled."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from focal.core.audio import Clip
from focal.plugins.sources.resample import resample

HELLO = Path(__file__).parent.parent / "examples" / "hello.wav"


def speech(seconds: float, rate: int) -> Clip:
    """Return so much speech at this rate."""
    with wave.open(str(HELLO)) as file:
        said = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        clip = Clip(np.divide(said, 32768, dtype=np.float32), file.getframerate())
    samples = resample(clip, rate).samples
    return Clip(np.resize(samples, round(seconds * rate)), rate)
