"""The wire's test vectors, held against the code: both ways wherever there are two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from focal.core import tinyvoice
from focal.core.envelope import Envelope
from focal.core.errors import FrameError
from focal.core.framing import frame as frames
from focal.core.framing.assemble import Assembler, Via
from focal.core.framing.fec import parity, recover
from focal.core.framing.split import cut_for, frames_for
from focal.core.message import (
    LIFETIMES,
    Event,
    Kind,
    Message,
    MessageId,
    Receipt,
    Series,
    lifetime_for,
)
from focal.core.receipts import receipt_for
from focal.core.tokens import Segment, pack_segments, unpack_segments

FOLDER = Path(__file__).parent.parent / "vectors"
Vector = dict[str, Any]


def vectors(name: str) -> list[Vector]:
    loaded: list[Vector] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert loaded
    return loaded


def message_of(vector: Vector) -> Message:
    return Message(
        MessageId(vector["origin"], vector["sequence"]),
        Kind[vector["kind"].upper()],
        bytes.fromhex(vector["payload"]),
        vector["codec"],
        vector["time"],
        vector["lifetime"],
        vector["destination"],
        vector["sender"],
        Series(*vector["series"]) if vector["series"] else None,
        vector["clock_trusted"],
    )


@pytest.mark.parametrize("vector", vectors("messages"), ids=lambda v: v["what"])
def test_messages(vector: Vector) -> None:
    data = bytes.fromhex(vector["bytes"])
    assert Message.from_bytes(data) == message_of(vector)
    assert message_of(vector).to_bytes() == data


def test_lifetimes() -> None:
    table = vectors("lifetimes")
    assert [v["seconds"] for v in table] == list(LIFETIMES)
    assert lifetime_for(61) == 120 and lifetime_for(0.2) == 1 and lifetime_for(1e9) == 604_800


@pytest.mark.parametrize("vector", vectors("frames"), ids=lambda v: v["what"])
def test_control_frames(vector: Vector) -> None:
    frame = frames.unpack(bytes.fromhex(vector["bytes"]))
    assert type(frame).__name__.lower() == vector["type"]
    for name in frame.__dataclass_fields__:
        value = getattr(frame, name)
        assert (value.hex() if isinstance(value, bytes) else value) == vector[name]
    if "padded" not in vector["what"]:
        assert frames.pack(frame).hex() == vector["bytes"]


@pytest.mark.parametrize("vector", vectors("symbols"), ids=lambda v: f"k={v['k']}")
def test_symbols(vector: Vector) -> None:
    data = [bytes.fromhex(symbol) for symbol in vector["data"]]
    coded = {int(index): bytes.fromhex(s) for index, s in vector["parity"].items()}
    assert parity(data, list(coded)) == list(coded.values())
    left = {**dict(enumerate(data[len(coded) :], start=len(coded))), **coded}
    if len(left) >= vector["k"]:
        assert recover(left, vector["k"]) == data


@pytest.mark.parametrize("vector", vectors("cuts"), ids=str)
def test_cuts(vector: Vector) -> None:
    cut = cut_for(vector["length"], vector["mtu"])
    assert (cut.k, cut.size) == (vector["k"], vector["size"])


@pytest.mark.parametrize("vector", vectors("split"), ids=lambda v: v["what"])
def test_split_and_reassembly(vector: Vector) -> None:
    message = bytes.fromhex(vector["message"])
    packed = [bytes.fromhex(data) for data in vector["frames"]]
    assert frames_for(message, vector["mtu"], extra=2) == packed
    assembler, whole = Assembler(), None
    for data in packed[2:]:  # the first two are lost
        frame = frames.unpack(data)
        assert isinstance(frame, frames.Whole | frames.Symbol)
        whole = assembler.feed(frame, Via("link", "peer"), 0.0) or whole
    assert whole is not None and whole.message == message


@pytest.mark.parametrize("vector", vectors("tokens"), ids=lambda v: v["what"])
def test_tokens(vector: Vector) -> None:
    payload = bytes.fromhex(vector["payload"])
    segments = [Segment(tuple(s["tokens"]), s["trim"]) for s in vector["segments"]]
    assert unpack_segments(payload, vector["bits"]) == segments
    assert pack_segments(segments, vector["bits"]) == payload


@pytest.mark.parametrize("vector", vectors("envelopes"), ids=lambda v: v["what"])
def test_envelopes(vector: Vector) -> None:
    envelope = Envelope.from_bytes(bytes.fromhex(vector["bytes"]))
    assert envelope.message.hex() == vector["message"]
    assert (envelope.hops, list(envelope.route)) == (vector["hops"], vector["route"])
    assert dict(envelope.extra) == vector["extra"]
    assert envelope.to_bytes().hex() == vector["bytes"]


@pytest.mark.parametrize("vector", vectors("receipts"), ids=lambda v: f"{v['event']}-{v['by']}")
def test_receipts(vector: Vector) -> None:
    receipt = Message.from_bytes(bytes.fromhex(vector["bytes"]))
    read = Receipt.read(receipt)
    assert str(read.of) == vector["of"] and read.event is Event[vector["event"].upper()]
    assert receipt.id.origin == vector["by"] and receipt.payload.hex() == vector["payload"]
    of = Message(read.of, Kind.TEXT, b"whatever")
    assert receipt_for(of, read.event, vector["by"], vector["at"]) == receipt


@pytest.mark.parametrize("vector", vectors("tinyvoice"), ids=lambda v: v["what"])
def test_tinyvoice(vector: Vector) -> None:
    packet = bytes.fromhex(vector["packet"])
    message = tinyvoice.read_packet(
        packet,
        room=vector["room"],
        name=vector["name"],
        occurrence=vector["occurrence"],
        codec=vector.get("codec"),
    )
    assert message.to_bytes().hex() == vector["message"]
    bare = "codec" in vector
    back = tinyvoice.packet_of(Message.from_bytes(bytes.fromhex(vector["message"])))
    assert back == (b"\x01" + packet if bare else packet)


PARSERS: dict[str, Callable[[bytes], object]] = {
    "message": Message.from_bytes,
    "frame": frames.unpack,
    "envelope": Envelope.from_bytes,
    "tokens": lambda data: unpack_segments(data, 13),
}


@pytest.mark.parametrize("vector", vectors("refused"), ids=lambda v: f"{v['as']}: {v['why']}")
def test_refused(vector: Vector) -> None:
    with pytest.raises(FrameError):
        PARSERS[vector["as"]](bytes.fromhex(vector["bytes"]))
