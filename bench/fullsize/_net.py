"""A graph that is written down layer by layer, with random weights.

The law of this module: it knows what layers are, in the operators that exporters write them in, and
nothing of the models that are built of them. Every sequence has the shape (1, frames, channels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64


class Net:
    """A graph under construction; its methods add to it and return the name of what comes out.

    Args:
        seed: of the weights.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[NodeProto] = []
        self._tensors: list[TensorProto] = []
        self._constants: dict[tuple[str, bytes], str] = {}

    def save(self, path: Path, given: ValueInfoProto, made: Sequence[ValueInfoProto]) -> None:
        """Write the file."""
        graph: GraphProto = helper.make_graph(self._nodes, path.stem, [given], made, self._tensors)
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        path.write_bytes(model.SerializeToString())

    # values

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Add a node of one output."""
        return self.ops(kind, *inputs, out=[out or f"{kind}.{len(self._nodes)}"], **attributes)[0]

    def ops(self, kind: str, *inputs: str, out: Sequence[str], **attributes: Any) -> Sequence[str]:
        """Add a node of several outputs."""
        self._nodes.append(helper.make_node(kind, inputs, out, name=out[0], **attributes))
        return out

    def constant(self, value: NDArray[Any]) -> str:
        """Add a Constant node, as the older exporter does; such a value may be as large as any."""
        name = f"Constant.{len(self._nodes)}"
        return self.op("Constant", out=name, value=numpy_helper.from_array(value, name))

    def numbers(self, *values: int) -> str:
        """Return a small constant: a list of whole numbers."""
        return self._small(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Return a small constant: one float."""
        return self._small(np.array(value, np.float32))

    def _small(self, value: NDArray[Any]) -> str:
        key = (value.dtype.str + str(value.shape), value.tobytes())
        if key not in self._constants:
            self._constants[key] = self._tensor(value)
        return self._constants[key]

    def weights(self, *shape: int, spread: float = 1.0) -> str:
        """Add random weights."""
        values = self._random.standard_normal(shape, np.float32)
        values *= np.float32(spread)
        return self._tensor(values)

    def ones(self, *shape: int) -> str:
        """Add weights that are all 1, as norms and scales have them at first."""
        return self._tensor(np.ones(shape, np.float32))

    def _tensor(self, value: NDArray[Any]) -> str:
        name = f"tensor.{len(self._tensors)}"
        self._tensors.append(numpy_helper.from_array(value, name))
        return name

    # layers

    def linear(self, x: str, given: int, made: int) -> str:
        """Multiply by a matrix and add."""
        product = self.op("MatMul", x, self.weights(given, made, spread=given**-0.5))
        return self.op("Add", product, self.weights(made, spread=0.01))

    def conv(
        self,
        x: str,
        given: int,
        made: int,
        size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        pads: tuple[int, int] = (0, 0),
        bias: bool = True,
    ) -> str:
        """Convolve a sequence of shape (1, channels, frames)."""
        fan = given // groups
        kernel = self.weights(made, fan, size, spread=(fan * size) ** -0.5)
        inputs = [x, kernel, *([self.weights(made, spread=0.01)] if bias else [])]
        return self.op(
            "Conv",
            *inputs,
            kernel_shape=[size],
            strides=[stride],
            group=groups,
            pads=list(pads),
            dilations=[1],
        )

    def norm(self, x: str, width: int, epsilon: float = 1e-5) -> str:
        """Normalise each frame."""
        shift = self.weights(width, spread=0.01)
        return self.op("LayerNormalization", x, self.ones(width), shift, axis=-1, epsilon=epsilon)

    def gelu(self, x: str) -> str:
        """Apply the exact GELU, written out with Erf."""
        error = self.op("Erf", self.op("Div", x, self.number(math.sqrt(2))))
        product = self.op("Mul", x, self.op("Add", error, self.number(1)))
        return self.op("Mul", product, self.number(0.5))

    def feed_forward(self, x: str, width: int, hidden: int) -> str:
        """Widen, GELU, narrow."""
        return self.linear(self.gelu(self.linear(x, width, hidden)), hidden, width)

    def turned(self, x: str) -> str:
        """Swap frames and channels."""
        return self.op("Transpose", x, perm=[0, 2, 1])

    def snake(self, x: str, width: int) -> str:
        """Add a periodic part, of a frequency for each channel."""
        wave = self.op("Sin", self.op("Mul", x, self.ones(1, width)))
        return self.op("Add", x, self.op("Mul", self.op("Mul", wave, wave), self.ones(1, width)))
