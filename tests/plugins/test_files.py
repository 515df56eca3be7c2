"""Files and standard input: sound out of anything that is sound, one line for anything else."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import subprocess
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
import soundfile  # pyright: ignore[reportMissingTypeStubs]
import soxr  # pyright: ignore[reportMissingTypeStubs]
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from focal.core.audio import Clip
from focal.core.errors import FocalError, SourceError
from focal.core.ports import Source
from focal.plugins.sources.files import (
    BLOCK,
    FileSource,
    Readable,
    StdinSource,
    audio_blocks,
    focal_sources,
    length_of,
    read_audio,
    read_audio_bytes,
)
from focal.plugins.sources.resample import HIGHEST, LOWEST, resample, resampled
from tests.deadline import environment
from tests.unprivileged import ordinary_user

sf: Any = soundfile
bare_soxr: Any = soxr


def noise(seconds: float, rate: int, channels: int = 1) -> NDArray[np.float32]:
    """Return soft noise, shape (n, channels)."""
    shape = (round(seconds * rate), channels)
    return np.random.default_rng(3).uniform(-0.5, 0.5, shape).astype(np.float32)


def saved(path: Path, sound: NDArray[np.float32], rate: int, **how: str) -> Path:
    sf.write(path, sound, rate, **how)
    return path


def wav(sound: NDArray[np.float32], rate: int) -> bytes:
    file = io.BytesIO()
    sf.write(file, sound, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def one_clip(source: Source) -> Clip:
    async def collect() -> list[Clip]:
        return [clip async for clip in source.clips()]

    (clip,) = asyncio.run(collect())
    return clip


def refused(path: Path) -> str:
    """Return what is said of a file that cannot be read: one line that names it."""
    with pytest.raises(SourceError) as caught:
        read_audio(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# Files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_a_clip_comes_out_of_every_format(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path / f"tone.{ending}", noise(1.5, 16000), 16000)
    clip = read_audio(path)
    assert clip.rate == 16000 and clip.samples.dtype == np.float32
    assert clip.seconds == pytest.approx(1.5, abs=0.1)


def test_sixteen_bit_samples_are_divided_by_32768(tmp_path: Path) -> None:
    path = tmp_path / "all.wav"
    samples = np.arange(-32768, 32768).astype(np.int16)
    sf.write(path, samples, 8000, subtype="PCM_16")
    assert np.array_equal(read_audio(path).samples * 32768, samples)


def test_stereo_at_96_khz_is_mixed_down(tmp_path: Path) -> None:
    sound = noise(2.0, 96000, 2)
    clip = read_audio(saved(tmp_path / "a.wav", sound, 96000, subtype="FLOAT"))
    assert clip.rate == 96000
    assert np.allclose(clip.samples, sound.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("rate", [LOWEST, 11025, 44100, HIGHEST])
def test_any_rate_of_sound_is_read(tmp_path: Path, rate: int) -> None:
    clip = read_audio(saved(tmp_path / "a.wav", noise(0.5, rate), rate), rate=8000)
    assert clip.rate == 8000
    assert clip.seconds == pytest.approx(0.5, abs=0.001)


def test_the_ending_of_a_name_means_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(0.2, 8000), 8000)
    assert read_audio(path.rename(tmp_path / "a.raw")).seconds == pytest.approx(0.2)


def test_resampling_while_reading_equals_resampling_at_once(tmp_path: Path) -> None:
    sound = noise(1.0, 3 * BLOCK + 77)[:, 0]
    path = saved(tmp_path / "a.wav", sound, 48000, subtype="FLOAT")
    at_once = bare_soxr.resample(sound, 48000, 8000)
    for clip in (read_audio(path, rate=8000), resample(read_audio(path), 8000)):
        assert len(clip.samples) == len(at_once)
        assert np.abs(clip.samples - at_once).max() <= 1e-6


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "hello.wav")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"Dear diary,\n" * 50, b"\xff\xfb\x90\x00" * 99, bytes(9000)])
def test_what_is_not_audio(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.wav"
    path.write_bytes(content)
    assert "not audio that can be read: give WAV, FLAC, Ogg or MP3" in refused(path)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    assert "empty (0 bytes)" in refused(path)


def test_a_file_without_samples(tmp_path: Path) -> None:
    assert "0 samples" in refused(saved(tmp_path / "a.wav", noise(0, 8000), 8000))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    sound = noise(1.0, 8000, 2)
    sound[4000] = value, -value
    path = saved(tmp_path / "a.wav", sound, 8000, subtype="FLOAT")
    assert "NaN or infinity" in refused(path)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(0.1, 8000), 8000)
    path.chmod(0)
    with ordinary_user():
        assert "may not be read" in refused(path)


def test_a_rate_that_no_sound_has(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(1, 100), 100)
    with pytest.raises(SourceError, match="100 samples a second is no rate of sound"):
        read_audio(path)


def test_a_file_that_breaks_off_is_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.flac", noise(5, 16000), 16000)
    path.write_bytes(path.read_bytes()[:100_000])
    assert "is damaged (flac decoder lost sync): export it again" in refused(path)


def test_a_named_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = wav(noise(3, 16000), 16000)
    program = "import sys; d = sys.stdin.buffer.read(); open(sys.argv[1], 'wb').write(d)"
    with subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE) as writer:
        assert writer.stdin
        writer.stdin.write(data)
        writer.stdin.close()
        assert read_audio(path).seconds == pytest.approx(3)


WAV = wav(noise(0.02, 8000, 2), 8000)


def with_byte(at: int, byte: int) -> bytes:
    return WAV[:at] + bytes([byte]) + WAV[at + 1 :]


damaged_wavs = st.builds(with_byte, st.integers(0, 60), st.integers(0, 255))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | damaged_wavs)
def test_any_bytes_give_a_clip_or_one_line(data: bytes) -> None:
    try:
        clip = read_audio_bytes(data)
    except FocalError as error:
        assert "\n" not in str(error)
    else:
        assert len(clip.samples)


def test_a_file_source_gives_its_one_clip(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(1, 16000), 16000)
    assert np.array_equal(one_clip(FileSource(path)).samples, read_audio(path).samples)
    assert one_clip(FileSource(path, rate=8000)).rate == 8000


def test_a_file_tells_its_length_unread(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(1.5, 16000), 16000)
    assert length_of(path) == asyncio.run(FileSource(path).seconds()) == 1.5
    none = tmp_path / "none.wav"
    none.touch()
    assert length_of(none) is None
    with pytest.raises(SourceError, match="no such file"):
        length_of(tmp_path / "nosuch.wav")


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 48_000])
@pytest.mark.parametrize("ending", ["wav", "mp3"])
def test_a_file_in_blocks_is_the_file_in_one(tmp_path: Path, rate: int, ending: str) -> None:
    path = saved(tmp_path / f"long.{ending}", noise(9.7, rate, 2), rate)
    blocks = list(audio_blocks(path, 16_000))
    whole = read_audio(path, 16_000)
    assert {block.rate for block in blocks} == {16_000}
    assert max(len(block.samples) for block in blocks) <= 2 * BLOCK
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), whole.samples)


def test_a_file_in_blocks_is_closed_where_it_is_left(tmp_path: Path) -> None:
    path = saved(tmp_path / "long.wav", noise(20, 16_000), 16_000)
    blocks = audio_blocks(path, 16_000)
    next(blocks)
    blocks.close()
    path.unlink()
    assert list(blocks) == []


def test_what_is_wrong_with_a_file_in_blocks_is_told_as_with_one_in_one(tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_text("no sound at all")
    sf.write(tmp_path / "none.wav", np.zeros((0, 1), np.float32), 8000)
    broken = saved(tmp_path / "broken.flac", noise(20, 8000), 8000)
    broken.write_bytes(broken.read_bytes()[:9000])
    late = noise(20, 8000)
    late[-5] = np.nan
    saved(tmp_path / "late.wav", late, 8000, subtype="FLOAT")
    for name in ("absent.wav", ".", "words.wav", "none.wav", "broken.flac", "late.wav"):
        with pytest.raises(SourceError) as told:
            list(audio_blocks(tmp_path / name, 16_000))
        assert str(told.value) == refused(tmp_path / name)


def test_sources_are_found_by_name(tmp_path: Path) -> None:
    specs = {spec.name: spec for spec in focal_sources()}
    assert set(specs) == {"file", "stdin", "-"}
    assert specs["file"].open("~/a.wav") == FileSource(Path("~/a.wav").expanduser())
    assert specs["-"].open("raw:8000") == StdinSource("raw:8000")
    for wrong in ("", "~nobody-of-this-name/a.wav"):
        with pytest.raises(SourceError, match="write file:PATH"):
            specs["file"].open(wrong)


# Bytes and standard input -----------------------------------------------------------------------


def test_bare_samples_are_sixteen_bit_little_endian() -> None:
    clip = read_audio_bytes(struct.pack("<3h", 1, -32768, 32767), 16000)
    assert clip.rate == 16000
    assert (clip.samples * 32768).tolist() == [1, -32768, 32767]


def test_half_a_sample_at_the_end_is_dropped() -> None:
    assert len(read_audio_bytes(bytes(2 * BLOCK + 3), 8000).samples) == BLOCK + 1
    with pytest.raises(SourceError, match="0 samples"):
        read_audio_bytes(b"\0", 8000)


def test_bytes_are_resampled_on_the_way() -> None:
    sound = noise(1, 48000)
    clip = read_audio_bytes(wav(sound, 48000), to=8000)
    assert (clip.rate, len(clip.samples)) == (8000, 8000)


def piped(data: bytes) -> Readable:
    """Return a pipe that holds ``data`` and ends."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return cast("Readable", os.fdopen(reader, "rb"))


def test_a_wav_comes_through_a_pipe() -> None:
    sound = noise(1, 16000)
    stream = cast("io.BufferedReader", piped(wav(sound, 16000)))
    with stream:
        clip = one_clip(StdinSource(stream=stream))
    assert (clip.rate, clip.seconds) == (16000, 1.0)
    assert np.allclose(clip.samples, sound[:, 0], atol=1e-4)


def test_standard_input_of_a_process_may_be_pipe_or_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(10, 16000, 2), 16000)
    program = """
import asyncio, sys
from focal.plugins.sources.files import focal_sources
async def main():
    spec = next(spec for spec in focal_sources() if spec.name == "-")
    async for clip in spec.open(sys.argv[1]).clips():
        print(clip.rate, len(clip.samples))
asyncio.run(main())
"""

    def said(format: str, given: bytes | None = None, file: BinaryIO | None = None) -> str:
        command = [sys.executable, "-W", "error", "-c", program, format]
        process = subprocess.Popen(
            command, stdin=file or subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        )
        return process.communicate(given, timeout=60)[0].decode()

    assert said("wav", path.read_bytes()) == "16000 160000\n"
    assert said("raw:8000", bytes(2 * BLOCK * 3)) == f"8000 {3 * BLOCK}\n"
    with path.open("rb") as file:
        assert said("", file=file) == "16000 160000\n"


def test_a_cancelled_reader_leaves_no_thread_behind() -> None:
    reader, writer = os.pipe()

    async def cancel() -> None:
        with os.fdopen(reader, "rb") as stream:
            task = asyncio.create_task(anext(StdinSource(stream=stream).clips()))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    try:
        asyncio.run(cancel())  # would wait for ever for a thread that reads
    finally:
        os.close(writer)


def stdin_refused(stream: Readable, format: str = "wav", limit: int = 1 << 20) -> str:
    with pytest.raises(SourceError) as caught:
        one_clip(StdinSource(format, stream=stream, limit=limit))
    assert "standard input" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_wrong_with_standard_input_is_told() -> None:
    assert "more than 100 bytes" in stdin_refused(io.BytesIO(bytes(101)), limit=100)
    assert "empty (0 bytes)" in stdin_refused(io.BytesIO())
    assert "not audio" in stdin_refused(io.BytesIO(b"hello\n"))
    assert "0 samples" in stdin_refused(io.BytesIO(b"x"), "raw:16000")


def test_exactly_the_limit_is_taken() -> None:
    stream = io.BytesIO(bytes(100))
    assert len(one_clip(StdinSource("raw:8000", stream=stream, limit=100)).samples) == 50


def test_a_terminal_is_no_audio() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0), os.fdopen(theirs, "rb") as terminal:
        assert "pipe a WAV file into it" in stdin_refused(terminal)


@pytest.mark.parametrize("format", ["mp3", "raw", "raw:", "raw:fast", "raw:-8000", "raw:²"])
def test_a_format_that_is_none_is_refused_at_once(format: str) -> None:
    with pytest.raises(SourceError, match=r"wav or raw:RATE"):
        StdinSource(format)


@pytest.mark.parametrize("rate", [LOWEST - 1, HIGHEST + 1])
def test_bare_samples_need_a_rate_of_sound(rate: int) -> None:
    with pytest.raises(SourceError, match="no rate of sound"):
        StdinSource(f"raw:{rate}")


# Resampling -------------------------------------------------------------------------------------


def test_the_same_rate_gives_the_same_clip() -> None:
    clip = Clip(noise(0.1, 8000)[:, 0], 8000)
    assert resample(clip, 8000) is clip


@pytest.mark.parametrize(
    ("old", "new"), [(44100, 8000), (8000, 48000), (1000, 384000), (384000, 1000)]
)
def test_a_tone_keeps_its_pitch_and_length(old: int, new: int) -> None:
    tone = np.sin(2 * np.pi * 100 * np.arange(old) / old).astype(np.float32)
    clip = resample(Clip(tone, old), new)
    assert clip.samples.dtype == np.float32 and len(clip.samples) == new
    assert np.abs(np.fft.rfft(clip.samples)).argmax() == 100


def test_an_empty_clip_stays_empty() -> None:
    assert len(resample(Clip(np.zeros(0, np.float32), 8000), 16000).samples) == 0


@pytest.mark.parametrize("size", [1, 777, 10_000])
@pytest.mark.parametrize(("old", "new"), [(48000, 8000), (11025, 8000), (8000, 16000)])
def test_block_by_block_equals_at_once(old: int, new: int, size: int) -> None:
    sound = noise(0.3, old)[:, 0]
    blocks: Sequence[NDArray[np.float32]] = [
        sound[at : at + size] for at in range(0, len(sound), size)
    ]
    streamed = np.concatenate(list(resampled(blocks, old, new)))
    at_once = bare_soxr.resample(sound, old, new)
    assert len(streamed) == len(at_once)
    assert np.abs(streamed - at_once).max() <= 1e-6


@pytest.mark.parametrize(("old", "new"), [(999, 8000), (8000, 384_001), (8000, 0)])
def test_rates_of_nothing_are_refused(old: int, new: int) -> None:
    with pytest.raises(SourceError, match="no rate of sound"):
        resample(Clip(np.zeros(10, np.float32), old), new)


# Loading ----------------------------------------------------------------------------------------


def fresh_process(program: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.check_output(command, env=environment(), timeout=60, text=True)


def test_knowing_the_sources_loads_nothing_heavy() -> None:
    program = """
import sys
from focal.plugins.sources.files import focal_sources
focal_sources()
print({"numpy", "soundfile", "soxr"} & set(sys.modules))
"""
    assert fresh_process(program).strip() == "set()"


@pytest.mark.parametrize("missing", ["soundfile", "soxr"])
def test_a_missing_library_is_one_line(tmp_path: Path, missing: str) -> None:
    program = """
import sys
sys.modules[sys.argv[1]] = None
from pathlib import Path
from focal.core.errors import SourceError
from focal.plugins.sources.files import read_audio
try:
    read_audio(Path(sys.argv[2]), 16000)
except SourceError as error:
    print(error)
"""
    path = saved(tmp_path / "a.wav", noise(0.1, 8000), 8000)
    (line,) = fresh_process(program, missing, str(path)).splitlines()
    assert missing in line and "pip install" in line


def test_what_python_itself_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 22050, 0, "NONE", ""))
        file.writeframes(struct.pack("<4h", 100, 300, -5, 5))
    assert (read_audio(path).samples * 32768).tolist() == [200, 0]
