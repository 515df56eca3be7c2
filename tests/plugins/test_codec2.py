"""Codec2 is pycodec2's own coding, frame by frame, with no bit more and no bit less."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pycodec2  # pyright: ignore[reportMissingTypeStubs]
import pytest
import soundfile  # pyright: ignore[reportMissingTypeStubs]
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from focal.core.audio import Clip
from focal.core.codec import CodecSpec
from focal.core.errors import CodecError
from focal.plugins.codecs.codec2 import MODES, Mode, focal_codecs, pack, unpack
from focal.plugins.sources.files import read_audio
from tests.deadline import ROOT, environment

bare: Any = pycodec2
sf: Any = soundfile
SPECS: dict[str, CodecSpec] = {spec.name: spec for spec in focal_codecs()}
SPEC = SPECS["c2-1300"]
SPEECH = Path(os.environ.get("FOCAL_SPEECH_DIR") or ROOT.parent / "shared" / "speech")
RECORDINGS = [ROOT / "examples" / "hello.wav", *sorted(SPEECH.glob("*.wav"))]

every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def voice(seconds: float, rate: int = 8000) -> NDArray[np.int16]:
    """Return a gliding, swelling pulse train with some breath, as int16."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (110 * t + 8 * np.sin(2 * np.pi * 0.7 * t))
    tone = sum(np.sin(k * phase) / k for k in range(1, 25))
    breath = np.random.default_rng(7).standard_normal(len(t))
    sound = (tone * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t)) + 0.2 * breath) * 4000
    samples: NDArray[np.int16] = np.clip(sound, -32768, 32767).astype(np.int16)
    return samples


def clip_of(samples: NDArray[np.int16], rate: int = 8000) -> Clip:
    return Clip(np.divide(samples, 32768, dtype=np.float32), rate)


def bare_frames(samples: NDArray[np.int16], mode: Mode) -> list[bytes]:
    coder, size = bare.Codec2(mode.number), mode.samples
    samples = np.pad(samples, (0, -len(samples) % size))
    return [coder.encode(samples[at : at + size]) for at in range(0, len(samples), size)]


def joined(frames: list[bytes], bits: int) -> bytes:
    """Put frames together as the specification says it, with strings of digits."""
    digits = "".join("".join(f"{byte:08b}" for byte in frame)[:bits] for frame in frames)
    digits += "0" * (-len(digits) % 8)
    return bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits), 8))


def test_names_ids_and_rates_are_those_of_the_wire() -> None:
    assert [(spec.name, spec.wire_id, spec.bits_per_second) for spec in focal_codecs()] == [
        ("c2-3200", 16, 3200),
        ("c2-2400", 17, 2400),
        ("c2-1600", 18, 1600),
        ("c2-1400", 19, 1400),
        ("c2-1300", 20, 1300),
        ("c2-1200", 21, 1200),
        ("c2-700c", 22, 700),
    ]


@every_mode
def test_frames_are_as_long_as_the_library_says(mode: Mode) -> None:
    coder = bare.Codec2(mode.number)
    assert (mode.bits, mode.samples) == (coder.bits_per_frame(), coder.samples_per_frame())
    assert SPECS[mode.name].step == mode.samples / 8000


@every_mode
def test_encoding_is_the_librarys_own(mode: Mode) -> None:
    samples = voice(3.03)
    with SPECS[mode.name].load() as codec:
        payload = codec.encode(clip_of(samples))
        assert payload == joined(bare_frames(samples, mode), mode.bits)
        assert payload == codec.encode(clip_of(samples)), "nothing is left over from the last clip"


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recordings_are_coded_as_they_stand_in_the_file(path: Path) -> None:
    sound = read_audio(path, 8000)
    samples = np.clip(np.rint(sound.samples * 32768), -32768, 32767).astype(np.int16)
    for mode in MODES:
        with SPECS[mode.name].load() as codec:
            payload = codec.encode(sound)
            assert payload == joined(bare_frames(samples, mode), mode.bits)
            assert codec.decode(payload).seconds == SPECS[mode.name].seconds(payload)
            assert 0 <= SPECS[mode.name].seconds(payload) - sound.seconds < 0.04


def test_every_int16_comes_back_from_a_wav_file_unchanged() -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    file = io.BytesIO()
    sf.write(file, samples, 8000, format="WAV", subtype="PCM_16")
    file.seek(0)
    read, rate = sf.read(file, dtype="float32")
    mode = MODES[0]
    with SPECS[mode.name].load() as codec:
        assert codec.encode(Clip(read, rate)) == joined(bare_frames(samples, mode), mode.bits)


DECODE_BARE = """
import sys, hashlib, numpy, pycodec2
for number, width, frames in (line.split() for line in sys.stdin):
    coder, raw, width = pycodec2.Codec2(int(number)), bytes.fromhex(frames), int(width)
    parts = [coder.decode(raw[at:at + width]) for at in range(0, len(raw), width)]
    print(hashlib.sha256(numpy.concatenate(parts).tobytes()).hexdigest())
"""
DECODE_OURS = """
import sys, hashlib, numpy
from focal.plugins.codecs.codec2 import focal_codecs
for name, payload in (line.split() for line in sys.stdin):
    with next(spec for spec in focal_codecs() if spec.name == name).load() as codec:
        sound = codec.decode(bytes.fromhex(payload)).samples
    whole = (sound * 32768).astype(numpy.int16)
    assert sound.dtype == numpy.float32 and (whole / numpy.float32(32768) == sound).all()
    print(hashlib.sha256(whole.tobytes()).hexdigest())
"""


def fresh_process(program: str, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_decoding_is_the_librarys_own() -> None:
    # In fresh processes, because the library's noise goes on from one decoder to the next.
    coded = [(mode, bare_frames(voice(2.0), mode)) for mode in MODES]
    theirs = [f"{mode.number} {mode.width} {b''.join(frames).hex()}" for mode, frames in coded]
    ours = [f"{mode.name} {joined(frames, mode.bits).hex()}" for mode, frames in coded]
    sums = fresh_process(DECODE_OURS, "\n".join(ours))
    assert sums == fresh_process(DECODE_BARE, "\n".join(theirs))
    assert len(set(sums.split())) == len(MODES)


def test_5_62_seconds_at_700c_are_494_bytes() -> None:
    with SPECS["c2-700c"].load() as codec:
        payload = codec.encode(clip_of(voice(5.62)))
    assert len(payload) == 494
    assert SPECS["c2-700c"].seconds(payload) == pytest.approx(5.64)


def test_frames_of_28_bits_stand_without_gaps() -> None:
    frames = np.array([[0x12, 0x34, 0x56, 0x70], [0x89, 0xAB, 0xCD, 0xE0]], np.uint8)
    assert pack(frames, 28) == bytes.fromhex("1234567 89abcde".replace(" ", ""))
    assert pack(frames[:1], 28) == bytes.fromhex("12345670")
    assert pack(np.vstack([frames, frames[:1]]), 28) == bytes.fromhex("123456789abcde12345670")


def test_frames_of_52_bits_stand_without_gaps() -> None:
    row = bytes.fromhex("123456789abcd0")
    frames = np.frombuffer(row + bytes.fromhex("fedcba98765430"), np.uint8).reshape(2, 7)
    assert pack(frames, 52) == bytes.fromhex("123456789abcdfedcba9876543")
    assert pack(frames[:1], 52) == row
    assert np.array_equal(unpack(bytes.fromhex("123456789abcdfedcba9876543"), 2, 52), frames)


@every_mode
def test_only_byte_counts_of_whole_frames_are_taken(mode: Mode) -> None:
    spec = SPECS[mode.name]
    whole = {-(-count * mode.bits // 8): count for count in range(1, 40)}
    with spec.load() as codec:
        for length in range(min(max(whole), 120)):
            if length in whole:
                assert spec.seconds(bytes(length)) == whole[length] * mode.samples / 8000
                assert len(codec.decode(bytes(length)).samples) == whole[length] * mode.samples
            else:
                with pytest.raises(CodecError, match=f"damaged {mode.name}.*whole number"):
                    spec.seconds(bytes(length))
                with pytest.raises(CodecError, match="whole number"):
                    codec.decode(bytes(length))


@pytest.mark.parametrize(
    ("name", "payload"),
    [("c2-700c", "00000001"), ("c2-700c", "00000008"), ("c2-1300", "0" * 13 + "1")],
)
def test_filling_bits_must_be_zero(name: str, payload: str) -> None:
    spec = SPECS[name]
    with spec.load() as codec, pytest.raises(CodecError, match="after its last frame"):
        codec.decode(bytes.fromhex(payload))
    with pytest.raises(CodecError, match="after its last frame"):
        spec.seconds(bytes.fromhex(payload))


@every_mode
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_clip_or_a_codec_error(mode: Mode, data: bytes) -> None:
    with SPECS[mode.name].load() as codec:
        try:
            clip = codec.decode(data)
        except CodecError as error:
            assert "\n" not in str(error)
        else:
            assert clip.rate == 8000 and clip.seconds == SPECS[mode.name].seconds(data)


def test_an_empty_clip_is_refused() -> None:
    with SPEC.load() as codec, pytest.raises(CodecError, match="nothing to encode"):
        codec.encode(Clip(np.zeros(0, np.float32), 8000))


def test_another_rate_is_refused() -> None:
    with SPEC.load() as codec, pytest.raises(CodecError, match="8000 samples a second"):
        codec.encode(Clip(np.zeros(160, np.float32), 16000))


def test_one_sample_is_one_frame_and_too_loud_is_cut() -> None:
    with SPEC.load() as codec:
        assert len(codec.encode(Clip(np.zeros(1, np.float32), 8000))) == 7
        loud = Clip(np.full(640, 3e38, np.float32), 8000)
        assert codec.encode(loud) == codec.encode(Clip(np.ones(640, np.float32), 8000))


WITHOUT_PYCODEC2 = """
import sys
sys.modules["pycodec2"] = None
from focal.core.errors import CodecError
from focal.plugins.codecs.codec2 import focal_codecs
spec = focal_codecs()[0]
print(spec.why_not())
try:
    with spec.load():
        pass
except CodecError as error:
    print(error)
"""


def test_without_pycodec2_one_line_says_what_to_install() -> None:
    lines = fresh_process(WITHOUT_PYCODEC2).splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert "pip install" in lines[0] and "pycodec2" in lines[0]
    assert SPEC.why_not() is None


def test_knowing_the_codecs_loads_nothing_heavy() -> None:
    program = "import sys; from focal.plugins.codecs.codec2 import focal_codecs; focal_codecs();"
    heavy = fresh_process(program + "print({'numpy', 'pycodec2'} & set(sys.modules))")
    assert heavy.strip() == "set()"
