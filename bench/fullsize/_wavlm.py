"""The encoder: the first six layers of WavLM-large, with the table of positions as exported.

Samples of shape (1, n) become features (1, floor((n - 80) / 320), 1024).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from ._net import FLOAT, Net

WIDTH, HEADS, LAYERS, FRAMES = 1024, 16, 6, 2048
DEPTH = WIDTH // HEADS
BUCKETS, FAR = 320, 800
CONVS = ((1, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2)
"""Channels that come in, size, stride."""


def encoder(path: Path) -> None:
    """Write the encoder: about 623 MB."""
    net = Net(0)
    x = _listening(net)
    frames = net.op("Slice", net.op("Shape", x), *map(net.numbers, (1, 2)))
    x = net.op("Add", x, _places(net, x))
    bias = _bias(net, frames)
    for layer in range(LAYERS):
        x = _layer(net, x, bias, "features" if layer == LAYERS - 1 else None)
    given = helper.make_tensor_value_info("audio", FLOAT, [1, "samples"])
    net.save(path, given, [helper.make_tensor_value_info("features", FLOAT, [1, "frames", WIDTH])])


def _listening(net: Net) -> str:
    """Return the frames of the samples: seven convolutions, each with norm and GELU."""
    x = net.op("Unsqueeze", "audio", net.numbers(1))
    for channels, size, stride in CONVS:
        x = net.turned(net.conv(x, channels, 512, size, stride=stride, bias=False))
        x = net.turned(net.gelu(net.norm(x, 512)))
    return net.linear(net.norm(net.turned(x), 512), 512, WIDTH)


def _places(net: Net, x: str) -> str:
    """Return what tells each frame where it is: a convolution over 128 frames."""
    wide = net.conv(net.turned(x), WIDTH, WIDTH, 128, groups=HEADS, pads=(64, 64))
    cut = net.op("Slice", wide, net.numbers(0), net.numbers(-1), net.numbers(2))
    return net.turned(net.gelu(cut))


def _bias(net: Net, frames: str) -> str:
    """Return the table of positions of the clip: a constant of 268 MB, cut twice."""
    table = net.constant(positions())
    for axis in (1, 2):
        table = net.op("Slice", table, net.numbers(0), frames, net.numbers(axis), net.numbers(1))
    return table


def positions() -> NDArray[np.float32]:
    """Return the table (heads, 2048, 2048): a value for each bucket of distances.

    A bucket is one distance up to 79, and then a range that widens with the logarithm of the
    distance; one half of the buckets is for what comes later, the other for what was before.
    """
    half, exact = BUCKETS // 2, BUCKETS // 4
    distance = np.arange(1 - FRAMES, FRAMES)
    far = np.maximum(np.abs(distance), 1)
    scale = np.log(far / exact) / np.log(FAR / exact) * (half - exact)
    large = np.minimum(exact + scale.astype(np.int64), half - 1)
    bucket = (distance > 0) * half + np.where(far < exact, np.abs(distance), large)
    values = np.random.default_rng(7).standard_normal((HEADS, BUCKETS), np.float32)
    at = np.arange(FRAMES)
    return values[:, bucket][:, at[None] - at[:, None] + FRAMES - 1]


def _layer(net: Net, x: str, bias: str, out: str | None) -> str:
    x = net.op("Add", x, _attention(net, net.norm(x, WIDTH), bias))
    return net.op("Add", x, net.feed_forward(net.norm(x, WIDTH), WIDTH, 4 * WIDTH), out=out)


def _attention(net: Net, x: str, bias: str) -> str:
    """Return what each frame takes from all others."""
    query, key, value = (_headed(net, part) for part in _split(net, net.linear(x, WIDTH, 3072)))
    scores = net.op("MatMul", query, net.op("Transpose", key, perm=[0, 1, 3, 2]))
    scores = net.op("Mul", scores, net.number(DEPTH**-0.5))
    gated = net.op("Mul", _gate(net, x), bias)
    shares = net.op("Softmax", net.op("Add", scores, gated), axis=-1)
    mixed = net.op("Transpose", net.op("MatMul", shares, value), perm=[0, 2, 1, 3])
    return net.linear(net.op("Reshape", mixed, net.numbers(1, -1, WIDTH)), WIDTH, WIDTH)


def _split(net: Net, x: str) -> list[str]:
    return list(net.ops("Split", x, out=[f"{x}.{part}" for part in "qkv"], axis=-1))


def _headed(net: Net, x: str) -> str:
    """Return a sequence in the shape (1, heads, frames, depth)."""
    cut = net.op("Reshape", x, net.numbers(1, -1, HEADS, DEPTH))
    return net.op("Transpose", cut, perm=[0, 2, 1, 3])


def _gate(net: Net, x: str) -> str:
    """Return by how much positions count, for each head and frame."""
    eight = net.linear(_headed(net, x), DEPTH, 8)
    two = net.op("Reshape", eight, net.numbers(1, HEADS, -1, 2, 4))
    open_ = net.op("Sigmoid", net.op("ReduceSum", two, net.numbers(4), keepdims=0))
    first, second = net.ops("Split", open_, out=[f"{open_}.a", f"{open_}.b"], axis=-1)
    scaled = net.op("Sub", net.op("Mul", second, net.ones(1, HEADS, 1, 1)), net.number(1))
    return net.op("Add", net.op("Mul", first, scaled), net.number(2))
