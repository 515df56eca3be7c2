"""Codec2 keeps the contract of codecs, in each of its modes."""

from __future__ import annotations

import numpy as np
import pytest

from focal.core.audio import Clip
from focal.core.codec import CodecSpec
from focal.plugins.codecs.codec2 import focal_codecs
from focal.testing import CodecContract


@pytest.mark.parametrize("mode", focal_codecs(), ids=lambda spec: spec.name)
class TestCodec2(CodecContract):
    header = 1  # the bits that fill the last byte

    @pytest.fixture(autouse=True)
    def choose(self, mode: CodecSpec) -> None:
        self.mode = mode

    def spec(self) -> CodecSpec:
        return self.mode

    def assert_alike(self, one: Clip, other: Clip) -> None:
        # All decoders of a process draw the phases of unvoiced sound from one generator.
        loudness = [float(np.sqrt(np.mean(np.square(clip.samples)))) for clip in (one, other)]
        assert max(loudness) < 1.2 * min(loudness)
