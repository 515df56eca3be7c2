"""The compressors and decoders: focal modulation around 13 bits, and Vocos.

Features (1, F, 1024) become tokens (1, floor(F / frames)); those become magnitudes and phases of
shape (1, frames * T, 513).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from onnx import helper

from ._net import FLOAT, INT64, Net

BITS, FEATURES = 13, 1024
WINDOWS = (14, 18)
WIDTHS = (1024, 512, 256)
BINS = 513
VOCOS, BLOCKS = 512, 8


def compressor(path: Path, factors: tuple[int, int, int], seed: int) -> None:
    """Write a compressor: 73 to 80 MB.

    Args:
        path: of the file.
        factors: by which the three levels shorten.
        seed: of the weights.
    """
    net, x = Net(seed), "features"
    for (given, width), factor in zip(pairwise((FEATURES, *WIDTHS)), factors, strict=True):
        short = net.conv(net.turned(x), given, width, factor, stride=factor)
        x = _block(net, net.snake(net.turned(short), width), width)
    _tokens(net, net.linear(x, WIDTHS[-1], BITS))
    given_ = helper.make_tensor_value_info("features", FLOAT, [1, "frames", FEATURES])
    net.save(path, given_, [helper.make_tensor_value_info("tokens", INT64, [1, "tokens"])])


def _tokens(net: Net, x: str) -> None:
    """Make numbers of the signs, the first one first."""
    up = net.op("Greater", x, net.number(0))
    values = net.numbers(*(1 << bit for bit in reversed(range(BITS))))
    each = net.op("Mul", net.op("Cast", up, to=INT64), values)
    net.op("ReduceSum", each, net.numbers(2), out="tokens", keepdims=0)


def decoder(path: Path, factors: tuple[int, int, int], seed: int) -> None:
    """Write a decoder: 141 to 147 MB.

    Args:
        path: of the file.
        factors: by which the three levels lengthen.
        seed: of the weights.
    """
    net = Net(seed)
    widths = WIDTHS[::-1]
    x = net.linear(_signs(net), BITS, widths[0])
    for (width, made), factor in zip(pairwise((*widths, FEATURES)), factors, strict=True):
        x = _longer(net, net.snake(_block(net, x, width), width), width, made, factor)
    _vocos(net, x)
    made_ = [
        helper.make_tensor_value_info(name, FLOAT, [1, "frames", BINS])
        for name in ("magnitude", "phase")
    ]
    net.save(path, helper.make_tensor_value_info("tokens", INT64, [1, "tokens"]), made_)


def _signs(net: Net) -> str:
    """Return the bits of the tokens as 13 numbers whose squares sum up to 1."""
    column = net.op("Unsqueeze", "tokens", net.numbers(2))
    values = net.numbers(*(1 << bit for bit in reversed(range(BITS))))
    bits = net.op("Mod", net.op("Div", column, values), net.numbers(2))
    two = net.op("Mul", net.op("Cast", bits, to=FLOAT), net.number(2 * BITS**-0.5))
    return net.op("Sub", two, net.number(BITS**-0.5))


def _longer(net: Net, x: str, width: int, made: int, factor: int) -> str:
    kernel = net.weights(width, made, factor, spread=width**-0.5)
    wide = net.op(
        "ConvTranspose",
        net.turned(x),
        kernel,
        net.weights(made, spread=0.01),
        kernel_shape=[factor],
        strides=[factor],
    )
    return net.turned(wide)


def _block(net: Net, x: str, width: int) -> str:
    """Add what focal modulation makes of a sequence, and then a feed-forward layer."""
    x = net.op("Add", x, _modulation(net, net.norm(x, width), width))
    return net.op("Add", x, net.feed_forward(net.norm(x, width), width, 4 * width))


def _modulation(net: Net, x: str, width: int) -> str:
    """Return frames times what is around them, near and far, each as its gate lets it in."""
    levels = len(WINDOWS)
    both = net.turned(net.linear(x, width, 2 * width + levels + 1))
    names = [f"{both}.{part}" for part in ("query", "context", "gates")]
    sizes = net.numbers(width, width, levels + 1)
    query, context, gates = net.ops("Split", both, sizes, out=names, axis=1)
    each = [f"{gates}.{level}" for level in range(levels + 1)]
    gate = net.ops("Split", gates, net.numbers(*(1,) * (levels + 1)), out=each, axis=1)
    parts: list[str] = []
    for level, size in enumerate(WINDOWS):
        pads = ((size - 1) // 2, size // 2)
        context = net.gelu(net.conv(context, width, width, size, groups=width, pads=pads))
        parts.append(net.op("Mul", context, gate[level]))
    mean = net.gelu(net.op("ReduceMean", context, axes=[2], keepdims=1))
    near = net.op("Add", *parts)
    around = net.op("Add", near, net.op("Mul", mean, gate[levels]))
    product = net.op("Mul", query, net.conv(around, width, width, 1))
    return net.linear(net.turned(product), width, width)


def _vocos(net: Net, x: str) -> None:
    """Make magnitudes and phases of features."""
    first = net.turned(net.conv(net.turned(x), FEATURES, VOCOS, 7, pads=(3, 3)))
    x = net.norm(first, VOCOS, 1e-6)
    for _ in range(BLOCKS):
        near = net.turned(net.conv(net.turned(x), VOCOS, VOCOS, 7, groups=VOCOS, pads=(3, 3)))
        more = net.feed_forward(net.norm(near, VOCOS, 1e-6), VOCOS, 3 * VOCOS)
        x = net.op("Add", x, net.op("Mul", net.weights(VOCOS, spread=1 / BLOCKS), more))
    both = net.linear(net.norm(x, VOCOS, 1e-6), VOCOS, 2 * BINS)
    magnitude, _ = net.ops("Split", both, out=["logarithm", "phase"], axis=-1)
    net.op("Clip", net.op("Exp", magnitude), "", net.number(100), out="magnitude")
