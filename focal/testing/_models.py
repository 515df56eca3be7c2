"""Small models in which sound survives, to test with what takes FocalCodec's large ones.

The law of this module: what goes into the encoder as a tone comes out of the inverse STFT as the
same tone, sample for sample, where everything between is done right, and nowhere else.

What is real in these models is the contract: the names of files, inputs and outputs, types, shapes
and lengths, what is too short and what is floored away; tokens of 13 bits; magnitudes of at most
100, phases in radians that nobody wrapped. What is not real is the speech. Of every frame of 20 ms
they keep which of 64 tones is the loudest and how loud it is, in 127 steps of half a decibel above
silence. Nothing else is kept, and every tone comes back as if it had been at its top at sample 0 of
what was encoded, which is where ``tone`` begins. So whoever cuts one sample too many, mirrors the
spectrum, conjugates the phase, or loses or swaps tokens of a melody gets another sound.

Each rate has its own order of the tokens, so that a decoder fed from the compressor of another rate
or of other weights gives other sounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.audio import Clip
from ..core.errors import ModelError

RATE = 16_000
HERTZ = RATE / 1024
"""From one bin of the STFT to the next."""

TONES = range(24, 472, 7)
"""The bins that survive: 375 to 7266 Hz. Those that 16 divides make whole turns in every frame, so
that such a tone goes on where one segment ends and the next begins."""

LOUDEST = 100 / 256
"""The highest peak that comes back: a bin's magnitude is at most 100."""

_RATES = {"50hz": 1, "25hz": 2, "12_5hz": 4}
_TOKENS = 8192
_LEVELS = _TOKENS // len(TONES)
_LEVELS_A_NEPER = 40 / math.log(10)
_TURN = 2 * math.pi

_Constants: TypeAlias = Mapping[str, int | float | tuple[int, ...]]


def small_models(folder: Path, *, shift: int = 0) -> None:
    """Write the seven model files under their published names.

    Args:
        folder: there already; files of these names are replaced.
        shift: 0 or more. Another one makes other weights: other files, and other tokens for the
            same sound.

    Raises:
        ModelError: the onnx package is missing.
    """
    graphs = {"encoder": _encoder(shift)}
    for rate, frames in _RATES.items():
        graphs[f"compressor_{rate}"] = _compressor(frames, shift)
        graphs[f"decoder_{rate}"] = _decoder(frames, shift)
    for name, graph in graphs.items():
        (folder / f"{name}.onnx").write_bytes(_model(graph))


def tone(bin: int, level: float, seconds: float, rate: int = RATE) -> Clip:
    """Return a cosine that begins at its top.

    Args:
        bin: its pitch, in steps of 15.625 Hz; the models know ``TONES``.
        level: its peak; the models keep what is from 0.0003 to ``LOUDEST``, to within 3 in 100.
        seconds: its length.
        rate: samples a second.
    """
    turns = bin * HERTZ / rate * np.arange(round(seconds * rate))
    return Clip((level * np.cos(_TURN * turns)).astype(np.float32), rate)


def heard(clip: Clip) -> list[tuple[int, float]]:
    """Return the loudest tone of each whole 20 ms of a clip: its bin (0 to 512) and its peak."""
    ear = _ear(clip.rate)
    size = len(ear)
    frames = clip.samples[: len(clip.samples) // size * size].reshape(-1, size)
    levels = np.abs(frames @ ear)
    return [(int(bin), float(row[bin])) for bin, row in zip(levels.argmax(1), levels, strict=True)]


@lru_cache(maxsize=4)
def _ear(rate: int) -> NDArray[np.complex64]:
    """Return what 20 ms are multiplied by to give the peaks of all bins up to half the rate."""
    size, highest = rate // 50, min(RATE, rate) / 2
    window = np.sin(np.pi * np.arange(size) / size) ** 2
    turns = np.outer(np.arange(size), np.arange(int(highest / HERTZ) + 1)) * (HERTZ / rate)
    waves = np.exp(-1j * _TURN * turns) * (2 * window / window.sum())[:, np.newaxis]
    ear: NDArray[np.complex64] = waves.astype(np.complex64)
    return ear


_ENCODER = """
    # filters [128, 1, 400]: a cosine and a sine of each tone under a Hann window
    at = Range (zero, size, one)
    window_angle = Mul (at, window_turn)
    window_cosine = Cos (window_angle)
    window_rest = Sub (one, window_cosine)
    window = Mul (window_rest, window_scale)
    number = Range (zero, tones, one)
    above = Mul (number, step)
    turn = Add (above, first)
    turns = Unsqueeze (turn, axis1)
    angle = Mul (turns, at)
    cosines = Cos (angle)
    sines = Sin (angle)
    waves = Concat <axis = 0> (cosines, sines)
    windowed = Mul (waves, window)
    filters = Unsqueeze (windowed, axis1)

    # the peak of each tone in each frame [1, 64, frames]
    sound = Unsqueeze (audio, axis1)
    parts = Conv <strides = [320]> (sound, filters)
    real, imaginary = Split <axis = 1> (parts, halves)
    real_square = Mul (real, real)
    imaginary_square = Mul (imaginary, imaginary)
    power = Add (real_square, imaginary_square)
    peak = Sqrt (power)

    # in some of 1024 channels, zeros in the others
    by_frame = Transpose <perm = [0, 2, 1]> (peak)
    features = Pad (by_frame, around)
"""

_COMPRESSOR = """
    # the frames of a token side by side [1, 64, {frames}, tokens], by a convolution as wide as its
    # stride: what is left over is dropped, too few frames are refused
    peak = Slice (features, begin, end, axis2)
    by_tone = Transpose <perm = [0, 2, 1]> (peak)
    square = ConstantOfShape (sides)
    one_of = EyeLike (square)
    tap = Unsqueeze (one_of, axis1)
    taps = Tile (tap, each)
    apart = Conv <group = 64, strides = [{frames}]> (by_tone, taps)
    grouped = Reshape (apart, groups)

    # which tone is the loudest, and how many steps above silence it is
    tops = ReduceMax <axes = [2], keepdims = 0> (grouped)
    number = ArgMax <axis = 1, keepdims = 0> (tops)
    top = ReduceMax <axes = [1], keepdims = 0> (tops)
    share = Mul (top, scale)
    above_zero = Max (share, tiny)
    nepers = Log (above_zero)
    below = Mul (nepers, levels_a_neper)
    exactly = Add (below, highest)
    rounded = Round (exactly)
    clipped = Clip (rounded, zero, highest)
    level = Cast <to = 7> (clipped)

    # both as one number, then as the token that stands for it
    row = Mul (number, levels)
    index = Add (row, level)
    spread = Mul (index, factor)
    moved = Add (spread, offset)
    tokens = Mod (moved, all)
"""

_DECODER = """
    # tone and level of each frame [1, frames, 1]
    moved = Sub (tokens, offset)
    spread = Mul (moved, inverse)
    index = Mod (spread, all)
    token = Unsqueeze (index, axis2)
    repeated = Tile (token, repeats)
    frame = Reshape (repeated, column)
    number = Div (frame, levels)
    above = Mul (number, step)
    centre = Add (above, first)
    level = Mod (frame, levels)

    # a tone under a Hann window is three bins: 1/2, 1, 1/2
    centre_float = Cast <to = 1> (centre)
    bin = Range (zero, bins, one)
    away = Sub (bin, centre_float)
    distance = Abs (away)
    fall = Mul (distance, half)
    slope = Sub (one, fall)
    lobe = Max (slope, zero)
    level_float = Cast <to = 1> (level)
    below = Sub (level_float, highest)
    nepers = Mul (below, nepers_a_level)
    share = Exp (nepers)
    sounding = Min (level_float, one)
    audible = Mul (share, sounding)
    peak = Mul (audible, limit)
    magnitude = Mul (peak, lobe)

    # where the tone is when the frame begins, and the bins beside it half a turn away; whole turns
    # are counted in integers, and a few of them are left in
    count = Size (frame)
    place = Range (nought, count, next)
    places = Unsqueeze (place, axis1)
    samples = Mul (places, hop)
    begin = Sub (samples, cut)
    ticks = Mul (begin, centre)
    raised = Add (ticks, two_turns)
    few = Mod (raised, four_turns)
    lowered = Sub (few, two_turns)
    lowered_float = Cast <to = 1> (lowered)
    radians = Mul (lowered_float, tick)
    sides = Mul (away, half_turn)
    phase = Add (radians, sides)
"""


def _encoder(shift: int) -> str:
    """Return the graph from sound to the peaks of all tones."""
    first = _channel(shift)
    constants: _Constants = {
        "zero": 0.0,
        "one": 1.0,
        "size": 400.0,
        "window_turn": _TURN / 400,
        "window_scale": 1 / 200,  # of a tone, 400 samples under it sum up to the peak
        "tones": float(len(TONES)),
        "step": TONES.step * _TURN / 1024,
        "first": TONES.start * _TURN / 1024,
        "axis1": (1,),
        "halves": (len(TONES), len(TONES)),
        "around": (0, 0, first, 0, 0, 1024 - first - len(TONES)),
    }
    ports = "(float[1,samples] audio) => (float[1,frames,1024] features)"
    return _text("encoder", ports, constants, _ENCODER)


def _compressor(frames: int, shift: int) -> str:
    """Return the graph from the peaks of so many frames to a token."""
    first = _channel(shift)
    constants: _Constants = {
        **_coding(frames, shift),
        "factor": _factor(frames, shift),
        "begin": (first,),
        "end": (first + len(TONES),),
        "sides": (frames, frames),
        "each": (len(TONES), 1, 1),
        "groups": (1, len(TONES), frames, -1),
        "scale": 1 / LOUDEST,
        "tiny": 1e-9,
        "levels_a_neper": _LEVELS_A_NEPER,
    }
    ports = "(float[1,frames,1024] features) => (int64[1,tokens] tokens)"
    return _text("compressor", ports, constants, _COMPRESSOR.format(frames=frames))


def _decoder(frames: int, shift: int) -> str:
    """Return the graph from a token to the STFT of so many frames."""
    constants: _Constants = {
        **_coding(frames, shift),
        "inverse": pow(_factor(frames, shift), -1, _TOKENS),
        "repeats": (1, 1, frames),
        "column": (1, -1, 1),
        "step": TONES.step,
        "first": TONES.start,
        "half": 0.5,
        "one": 1.0,
        "bins": 513.0,
        "nepers_a_level": 1 / _LEVELS_A_NEPER,
        "limit": 256 * LOUDEST,
        "nought": 0,
        "next": 1,
        "hop": 320,
        "cut": 352,  # what is cut off at the beginning: half of what 1024 is more than 320
        "two_turns": 2 * 1024,
        "four_turns": 4 * 1024,
        "tick": _TURN / 1024,
        "half_turn": _TURN / 2,
    }
    ports = "(int64[1,tokens] tokens) => (float[1,frames,513] magnitude, float[1,frames,513] phase)"
    return _text("decoder", ports, constants, _DECODER)


def _coding(frames: int, shift: int) -> _Constants:
    """Return what compressor and decoder have in common."""
    return {
        "axis1": (1,),
        "axis2": (2,),
        "zero": 0.0,
        "levels": _LEVELS,
        "highest": float(_LEVELS - 1),
        "offset": 977 * frames + 1009 * shift + 500,
        "all": _TOKENS,
    }


def _factor(frames: int, shift: int) -> int:
    """Return the odd number that spreads tones and levels over the tokens, modulo 8192."""
    return (8 * (37 * frames + 101 * shift) + 2731) % _TOKENS


def _channel(shift: int) -> int:
    """Return the first of the channels that hold the tones."""
    return shift % 15 * len(TONES)


def _text(name: str, ports: str, constants: _Constants, nodes: str) -> str:
    """Return a model in ONNX's own syntax: opset 17, which onnxruntime 1.20 reads."""
    given = "".join(f"    {key} = {_constant(value)}\n" for key, value in constants.items())
    return f'<ir_version: 8, opset_import: ["": 17]>\n{name} {ports} {{\n{given}{nodes}}}\n'


def _constant(value: int | float | tuple[int, ...]) -> str:
    match value:
        case int():
            return f"Constant <value_int = {value}> ()"
        case float():
            return f"Constant <value_float = {value}> ()"
        case _:
            listed = ", ".join(map(str, value))
            return f"Constant <value = int64[{len(value)}] {{{listed}}}> ()"


def _model(text: str) -> bytes:
    try:
        from onnx.parser import parse_model
    except ImportError as error:
        raise ModelError("small models need onnx: pip install 'focal-voice[models]'") from error
    written: bytes = parse_model(text).SerializeToString(deterministic=True)
    return written
