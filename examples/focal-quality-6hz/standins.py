"""Stand-ins for trained models: ``python standins.py FOLDER`` writes a compressor and a decoder.

They understand the encoder that ``focal.testing.small_models`` writes, whose first 64 channels are
the loudness of ``TONES``. Of every 160 ms a token keeps which tone was the loudest and how loud, in
steps of 1.5 dB: enough to hear that nothing was lost, mixed up or cut off on the way.
"""

from __future__ import annotations

import sys
from pathlib import Path

from onnx import ModelProto
from onnx.parser import parse_model

from focal.testing import TONES

COMPRESSOR = """
compressor (float[1,frames,1024] features) => (int64[1,tokens] tokens) {
    first = Constant <value_ints = [0]> ()
    end = Constant <value_ints = [64]> ()
    axis = Constant <value_ints = [2]> ()
    quiet = Constant <value_float = 1e-9> ()
    steps = Constant <value_float = 5.7707801> ()
    top = Constant <value_float = 127.0> ()
    none = Constant <value_float = 0.0> ()
    levels = Constant <value_int = 128> ()

    tones = Slice (features, first, end, axis)
    by_tone = Transpose <perm = [0, 2, 1]> (tones)
    pooled = MaxPool <kernel_shape = [8], strides = [8]> (by_tone)
    loudest = ArgMax <axis = 1, keepdims = 0> (pooled)
    peak = ReduceMax <axes = [1], keepdims = 0> (pooled)

    audible = Max (peak, quiet)
    nepers = Log (audible)
    below = Mul (nepers, steps)
    exactly = Add (below, top)
    rounded = Round (exactly)
    held = Clip (rounded, none, top)
    level = Cast <to = 7> (held)
    row = Mul (loudest, levels)
    tokens = Add (row, level)
}
"""
"""64 tones times 128 levels are the 8,192 tokens. 5.77 is 4 / ln 2: four steps halve the peak."""

DECODER = """
decoder (int64[1,tokens] tokens) =>
        (float[1,frames,513] magnitude, float[1,frames,513] phase) {
    last = Constant <value_ints = [2]> ()
    eight = Constant <value_ints = [1, 1, 8]> ()
    column = Constant <value_ints = [1, -1, 1]> ()
    row = Constant <value_ints = [1, 1, 513]> ()
    levels = Constant <value_int = 128> ()
    start = Constant <value_int = BEGIN> ()
    step = Constant <value_int = STEP> ()
    nought = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    bins = Constant <value_int = 513> ()
    hop = Constant <value_int = 320> ()
    size = Constant <value_int = 1024> ()
    turn = Constant <value_float = 0.0061359233> ()
    nepers = Constant <value_float = 0.1732868> ()
    top = Constant <value_float = 127.0> ()
    scale = Constant <value_float = 384.0> ()
    limit = Constant <value_float = 100.0> ()

    one_each = Unsqueeze (tokens, last)
    repeated = Tile (one_each, eight)
    frame = Reshape (repeated, column)
    tone = Div (frame, levels)
    above = Mul (tone, step)
    own = Add (above, start)
    level = Mod (frame, levels)

    level_float = Cast <to = 1> (level)
    below = Sub (level_float, top)
    exponent = Mul (below, nepers)
    peak = Exp (exponent)
    wide = Mul (peak, scale)
    cut = Min (wide, limit)
    bin = Range (nought, bins, one)
    here = Equal (bin, own)
    only = Cast <to = 1> (here)
    magnitude = Mul (cut, only)

    count = Size (frame)
    number = Range (nought, count, one)
    place = Reshape (number, column)
    samples = Mul (place, hop)
    turns = Mul (samples, own)
    part = Mod (turns, size)
    part_float = Cast <to = 1> (part)
    angle = Mul (part_float, turn)
    phase = Tile (angle, row)
}
"""
"""One bin a frame, its phase going on from frame to frame. 384 is 512 times 3/4, which is what the
windows of the inverse STFT make louder."""


def write(folder: Path) -> None:
    """Write both files; the folder is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    tones = DECODER.replace("BEGIN", str(TONES.start)).replace("STEP", str(TONES.step))
    for name, graph in (("compressor", COMPRESSOR), ("decoder", tones)):
        (folder / f"{name}.onnx").write_bytes(_model(graph).SerializeToString())


def _model(graph: str) -> ModelProto:
    return parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{graph}')


if __name__ == "__main__":
    write(Path(sys.argv[1]))
