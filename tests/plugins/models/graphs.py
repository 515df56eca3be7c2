"""Graphs of a few bytes, sound ones and others, to be opened as a decoder of one frame a token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from focal.plugins.models.graph import DECODER, Model

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
TOKENS = helper.make_tensor_value_info("tokens", INT64, [1, "T"])
BINS = helper.make_tensor("bins", INT64, [3], [1, 1, 513])
LAST = helper.make_tensor("last", INT64, [1], [2])


def decoder_at(path: Path, gives: int = 4) -> Model:
    """Say of a file that it is a decoder that makes so many frames of four tokens."""
    return Model(path, DECODER, (1, 4), gives)


def out(name: str, shape: Sequence[int | str] = (1, "F", 513), kind: int = FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name: str, *values: int) -> TensorProto:
    return helper.make_tensor(name, INT64, [len(values)], values)


def node(
    kind: str,
    inputs: str,
    outputs: str,
    *,
    domain: str | None = None,
    **attributes: int | Sequence[int] | GraphProto,
) -> NodeProto:
    made = helper.make_node(kind, inputs.split(), outputs.split(), domain=domain)
    made.attribute.extend(helper.make_attribute(*one) for one in attributes.items())
    return made


def nodes(
    magnitude: str = "magnitude", phase: str = "phase", bins: str = "bins"
) -> list[NodeProto]:
    """Give frames of 513 times the token, and of 513 times its negative."""
    return [
        node("Cast", "tokens", "floats", to=FLOAT),
        node("Unsqueeze", "floats last", "column"),
        node("Tile", f"column {bins}", magnitude),
        node("Neg", magnitude, phase),
    ]


def graph(
    nodes: Sequence[NodeProto],
    *,
    inputs: Sequence[ValueInfoProto] = (TOKENS,),
    outputs: Sequence[ValueInfoProto] = (out("magnitude"), out("phase")),
    tensors: Sequence[TensorProto] = (),
) -> ModelProto:
    made = helper.make_graph(nodes, "small", inputs, outputs, [BINS, LAST, *tensors])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sound() -> ModelProto:
    """Make a decoder to which nothing is wrong; its outputs come in the other order."""
    return graph(nodes(), outputs=[out("phase"), out("magnitude")])


def restless(kind: str) -> ModelProto:
    """Make a decoder whose magnitude is an operator on minus a token, or one more than that."""
    more = helper.make_tensor("more", FLOAT, [], [1.0 if kind == "Log" else 0.0])
    steps = [
        *nodes(magnitude="near"),
        node("Sub", "more near", "less"),
        node(kind, "less", "magnitude"),
    ]
    return graph(steps, tensors=[more])


def endless() -> ModelProto:
    """Make a sound decoder but for the time that it takes."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", "going", "goes"), node("Neg", "before", "after")],
        "round",
        [value("at", INT64, []), value("going", TensorProto.BOOL, []), out("before")],
        [value("goes", TensorProto.BOOL, []), out("after")],
    )
    steps = [
        *nodes(magnitude="near"),
        node("Loop", "rounds always near", "magnitude", body=body),
    ]
    rounds = helper.make_tensor("rounds", INT64, [], [2**62])
    always = helper.make_tensor("always", TensorProto.BOOL, [], [True])
    return graph(steps, tensors=[rounds, always])


def outside(location: str, name: str = "far") -> TensorProto:
    """Make a tensor of one float that is read from another file."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def asking(location: str) -> ModelProto:
    """Make a sound decoder but for what it adds to the magnitude: what is in another file."""
    steps = [*nodes(magnitude="near"), node("Add", "near far", "magnitude")]
    return graph(steps, tensors=[outside(location)])
