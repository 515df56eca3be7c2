"""``python -m bench.fullsize DIR``: write stand-ins for FocalCodec's files, in nearly their sizes.

They have the layers, shapes and operators of the architecture and random weights. So memory, load
times and speed can be measured where the trained weights cannot be had; what they say is noise.
Their sizes differ from the published ones by less than a percent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ._focal import compressor, decoder
from ._wavlm import encoder

RATES = {"50hz": (1, 1, 1), "25hz": (2, 1, 1), "12_5hz": (2, 2, 1)}
"""By how much the three levels of a compressor shorten; its decoder lengthens the other way."""


def writers() -> dict[str, Callable[[Path], None]]:
    """Return what writes each file."""
    found: dict[str, Callable[[Path], None]] = {"encoder.onnx": encoder}
    for seed, (rate, factors) in enumerate(RATES.items(), 1):
        back = (factors[2], factors[1], factors[0])
        found[f"compressor_{rate}.onnx"] = partial(compressor, factors=factors, seed=seed)
        found[f"decoder_{rate}.onnx"] = partial(decoder, factors=back, seed=10 + seed)
    return found


def main(arguments: list[str]) -> None:
    """Write the files into a folder, which is made; those that are there stay."""
    if len(arguments) != 1:
        sys.exit("usage: python -m bench.fullsize DIR")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in writers().items():
        path = folder / name
        if not path.exists():
            write(path)
        print(f"{path.stat().st_size:>12,}  {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
