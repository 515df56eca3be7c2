"""How much time and memory FocalCodec takes in focal, beside bare onnxruntime.

The reference runs the same models on the same arrays; nothing is cut, filled up, packed, checked
or made into sound. *Outside onnxruntime* is the rest of the way from a recording at 48 kHz to a
payload and back to sound: resampling, filling up, packing; unpacking, the inverse STFT, joining. It
is what the codec takes less what its sessions take, and three times what ``Sessions`` adds to a
call, which is measured on a small model where it does not drown in the noise.

Ratios are of processor time, "real time" is by the clock. Peaks of memory are Linux's, in MB of
1000 kB, of processes of their own, and the highest of three runs: with one and the same file
onnxruntime has one of two peaks, 50 MB apart.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from focal.core.audio import Clip
from focal.core.message import Speech
from focal.core.tokens import Segment
from focal.plugins.codecs.focalcodec import Quality
from focal.plugins.codecs.focalcodec.files import Files
from focal.plugins.codecs.focalcodec.istft import Overlap
from focal.plugins.codecs.focalcodec.payload import write
from focal.plugins.codecs.focalcodec.pipeline import FocalCodec
from focal.plugins.models import Models, ModelSettings, Sessions
from focal.plugins.models.graph import DECODER, Model
from focal.plugins.models.where import VARIABLE
from focal.plugins.sources.resample import resample
from focal.testing import small_models
from focal.transports.udp import UdpTransport

from ._bare import Bare
from ._models import models, qualities
from ._peak import STATUS, peak, told, watched
from ._ports import free_ports
from ._speech import speech
from ._turns import PROCESSOR, WALL, medians, seconds
from .memory import listening, say

SECONDS = 5.76
FRAMES = 288
TURNS = 5
MANY = 25
SEGMENT = 1000
"""Frames of 20 s, the longest that a model is given."""

Figures = dict[str, float]
P = ParamSpec("P")


def bench() -> Figures:
    """Return times and peaks of each quality that is there, and their ratios."""
    with models() as found:
        if found is None:
            return {}
        figures, added = Figures(), overhead()
        for quality in (there := list(qualities(found))):
            figures |= _named(quality, speeds(found, quality, added))
            if STATUS.exists():
                figures |= _named(quality, receivers(found, quality))
        if STATUS.exists() and there:
            figures |= _named(there[0], senders(found, there[0]))
        return figures


def _named(quality: Quality, figures: Mapping[str, float]) -> Figures:
    return {f"{quality.name} {what}": number for what, number in figures.items()}


# Time ------------------------------------------------------------------------------------------


class Clocked(Sessions):
    """Sessions that add up how long they run."""

    inside = 0.0

    def run(self, model: Model, given: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """As ``Sessions.run``."""
        start = WALL()
        try:
            return super().run(model, given)
        finally:
            self.inside += WALL() - start


def speeds(models: Models, quality: Quality, added: float) -> Figures:
    """Return what a clip of 5.76 s takes.

    Args:
        models: the store.
        quality: of it.
        added: seconds that ``Sessions`` adds to a call.
    """
    encoder, compressor, decoder = map(
        Bare.load, (quality.encoder, quality.compressor, quality.decoder)
    )
    with (sessions := Clocked(ModelSettings())).hold():
        codec = FocalCodec(quality, Files(quality, models), sessions)
        recorded = speech(SECONDS, 48_000)
        clip = resample(recorded, codec.rate)
        audio, payload = _padded(clip, quality), codec.encode(clip)
        tokens = compressor.run(encoder.run(audio)["features"])["tokens"]
        ours: dict[str, Callable[[], object]] = {
            "encode": partial(codec.encode, clip),
            "decode": partial(codec.decode, payload),
        }
        took = medians(
            TURNS,
            PROCESSOR,
            bare_encode=lambda: compressor.run(encoder.run(audio)["features"]),
            bare_decode=partial(decoder.run, tokens),
            **ours,
        )
        waited = medians(TURNS, WALL, **ours)
        outside = median(_outside(codec, sessions, recorded) for _ in range(TURNS))
    return {
        "encode / bare": took["encode"] / took["bare_encode"],
        "decode / bare": took["decode"] / took["bare_decode"],
        "encode / real time": waited["encode"] / SECONDS,
        "decode / real time": waited["decode"] / SECONDS,
        "outside onnxruntime, encode and decode, ms": 1000 * (outside + 3 * added),
        "iSTFT of 5.76 s, ms": 1000 * _istft(**decoder.run(tokens)),
    }


def _padded(clip: Clip, quality: Quality) -> NDArray[np.float32]:
    """Return what the encoder is given of a clip: whole blocks and 80 samples more."""
    return np.pad(clip.samples, (0, -len(clip.samples) % quality.block + 80))[None]


def _outside(codec: FocalCodec, sessions: Clocked, recorded: Clip) -> float:
    """Return how long it takes from recording to sound, less what the sessions take."""
    before = sessions.inside
    took = seconds(lambda: codec.decode(codec.encode(resample(recorded, codec.rate))))
    return took - (sessions.inside - before)


def _istft(magnitude: NDArray[np.float32], phase: NDArray[np.float32]) -> float:
    """Return how long it takes to make sound of a spectrum of shape (1, frames, 513)."""

    def once() -> None:
        overlap = Overlap(magnitude.shape[1])
        overlap.add(magnitude[0], phase[0])
        overlap.sound()

    return medians(MANY, once=once)["once"]


def overhead() -> float:
    """Return how much longer a call of ``Sessions.run`` takes than one of onnxruntime."""
    with TemporaryDirectory() as name:
        small_models(Path(name))
        path, tokens = Path(name) / "decoder_50hz.onnx", np.zeros((1, 4), np.int64)
        bare, model, sessions = (
            Bare.load(path),
            Model(path, DECODER, (1, 4), 4),
            Sessions(ModelSettings()),
        )
        with sessions.hold():
            took = medians(
                10 * MANY,
                bare=partial(bare.run, tokens),
                ours=partial(sessions.run, model, tokens),
            )
    return took["ours"] - took["bare"]


# Memory ----------------------------------------------------------------------------------------


def receivers(models: Models, quality: Quality) -> Figures:
    """Return the peaks of programs that receive a message, and of the decoder that it needs."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        bare_decode = highest(bare, folder, _tokens(quality, FRAMES), quality.decoder)
        decode = highest(receiving, models, quality, folder, [FRAMES])
        bare_long = highest(bare, folder, _tokens(quality, SEGMENT), quality.decoder)
        long = highest(receiving, models, quality, folder, [SEGMENT] * 3)
    return {
        "bare decoder, peak MB": bare_decode,
        "focal listen - bare decoder, peak MB": decode - bare_decode,
        "the same with a minute in segments of 20 s, peak MB": long - bare_long,
    }


def senders(models: Models, quality: Quality) -> Figures:
    """Return the peaks of programs that encode: a clip of 5.76 s, one minute and five."""
    with TemporaryDirectory() as name:
        folder, clip = Path(name), speech(SECONDS, 16_000)
        both = quality.encoder, quality.compressor
        reference = highest(bare, folder, _padded(clip, quality), *both)
        short = highest(encoding, models, quality, folder, clip)
        one = highest(encoding, models, quality, folder, speech(60, 16_000))
        five = encoding(models, quality, folder, speech(300, 16_000))
    return {
        "bare encoder and compressor, peak MB": reference,
        "focal encode, peak MB": short,
        "focal encode, 1 minute, peak MB": one,
        "focal encode, 5 minutes, peak MB": five,
    }


def highest(run: Callable[P, float], *args: P.args, **kwargs: P.kwargs) -> float:
    """Return the highest peak of three runs."""
    return max(run(*args, **kwargs) for _ in range(3))


def bare(folder: Path, given: NDArray[Any], *paths: Path) -> float:
    """Return the peak of onnxruntime on some files."""
    array = folder / "given.npy"
    np.save(array, given)
    return peak("bench._bare", str(array), *map(str, paths), extra={})


def encoding(models: Models, quality: Quality, folder: Path, clip: Clip) -> float:
    """Return the peak of ``focal encode``."""
    path = folder / "clip.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, clip.rate, 0, "NONE", "not compressed"))
        file.writeframes(clip.pcm16().tobytes())
    home = ["--home", str(folder / "home")]
    command = ["encode", str(path), "-o", str(folder / "packet"), "--quality", quality.name]
    return peak("focal", *home, *command, extra={VARIABLE: str(models.folder)})


def receiving(models: Models, quality: Quality, folder: Path, frames: list[int]) -> float:
    """Return the peak of ``focal listen``, which receives a message and writes a sound file.

    Args:
        models: the store.
        quality: of the message.
        folder: for files.
        frames: of 20 ms, in each segment.
    """
    ours, theirs = free_ports()
    segments = [Segment(tuple(_tokens(quality, count)[0].tolist()), 0) for count in frames]
    payload = write(segments, quality, Files(quality, models).mark())
    said = Speech(quality.wire_id, payload, sum(frames) / 50)
    link = ["--via", f"udp://127.0.0.1:{theirs}?listen={ours}"]
    home = ["--home", str(folder / "home")]
    listen = [*home, "listen", *link, "--save", str(folder / "heard"), "--count", "1"]
    extra = {VARIABLE: str(models.folder)}
    with listening(*watched("focal", *listen), extra=extra) as process:
        asyncio.run(say(folder, UdpTransport("127.0.0.1", ours, theirs), said, 1))
        assert process.stderr is not None
        return told(process.stderr.read())


def _tokens(quality: Quality, frames: int) -> NDArray[np.int64]:
    return np.zeros((1, frames // quality.frames), np.int64)
