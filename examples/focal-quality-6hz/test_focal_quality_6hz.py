"""The quality keeps focal's contract of codecs, and focal itself encodes and decodes with it."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import standins
from focal_quality_6hz import focal_codecs

from focal.core.audio import Clip
from focal.core.codec import CodecSpec
from focal.plugins.models import Models
from focal.testing import TONES, CodecContract, heard, small_models, tone


def focal(*words: object, models: Path) -> str:
    """Run a command of focal with a home and models of its own; return what it says."""
    own = {"FOCAL_HOME": str(models / "home"), "FOCAL_MODELS_DIR": str(models)}
    done = subprocess.run(
        [sys.executable, "-m", "focal", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **own},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model folder with a small encoder in the place of the published one."""
    small, folder = (tmp_path_factory.mktemp(name) for name in ("small", "models"))
    small_models(small)
    focal("models", "import", small, "--as-published", models=folder)
    standins.write(folder / "focal-quality-6hz")
    return folder


def spec_in(folder: Path) -> CodecSpec:
    (spec,) = focal_codecs(Models(folder))
    return spec


class TestQuality(CodecContract):
    @pytest.fixture(autouse=True)
    def keep(self, models: Path) -> None:
        self.models = models

    def spec(self) -> CodecSpec:
        return spec_in(self.models)


def test_a_tone_comes_back_from_64_bytes(models: Path) -> None:
    with spec_in(models).load() as codec:
        payload = codec.encode(tone(TONES[20], 0.2, 5.76))
        sound = heard(codec.decode(payload))
    assert len(payload) == 4 + 1 + 59  # mark, header, 36 tokens
    assert {bin for bin, _ in sound} == {TONES[20]}
    assert all(abs(peak - 0.2) < 0.03 for _, peak in sound[4:-4])


def test_where_its_files_are_missing_it_says_what_to_do(tmp_path: Path) -> None:
    spec = spec_in(tmp_path)
    why_not, why_silent = spec.why_not() or "", spec.why_silent() or ""
    assert "encoder.onnx" in why_not and "focal models pull" in why_not
    assert str(tmp_path / "focal-quality-6hz" / "decoder.onnx") in why_silent
    assert "README" in why_silent


def test_focal_encodes_and_decodes_with_it(models: Path, tmp_path: Path) -> None:
    recording, packet, back = (tmp_path / name for name in ("a.wav", "a.focal", "b.wav"))
    save(tone(TONES[9], 0.3, 2.0), recording)
    focal("encode", recording, "-o", packet, "--quality", "6.25hz", models=models)
    assert "6.25hz" in focal("info", packet, models=models)
    focal("decode", packet, "-o", back, models=models)
    sound = heard(read(back))
    assert len(sound) == 100
    assert {bin for bin, _ in sound} == {TONES[9]}


def save(clip: Clip, path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, clip.rate, 0, "NONE", ""))
        file.writeframes(clip.pcm16().tobytes())


def read(path: Path) -> Clip:
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return Clip((samples / 32768).astype(np.float32), file.getframerate())
