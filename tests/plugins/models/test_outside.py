"""What a model asks for is seen wherever it is said, and any bytes are read to an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import pytest
from hypothesis import given, strategies
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    TrainingInfoProto,
    helper,
)

from focal.plugins.models.outside import MAX_FIELDS, WAYS, Unfit, inspect, locations
from tests.plugins.models.graphs import asking, outside, sound


class _Message(Protocol):
    """What is used of protobuf's descriptors, which have no types."""

    name: str
    fields: Sequence[_Field]


class _Field(Protocol):
    name: str
    number: int
    message_type: _Message | None


class _File(Protocol):
    message_types_by_name: Mapping[str, _Message]


FAR = outside("far.bin")
SPARSE = SparseTensorProto(values=TensorProto(), indices=FAR)


def test_every_way_to_a_tensor_is_walked() -> None:
    """The numbers are those of the onnx package that is here, and none is left out."""
    messages = cast("_File", ModelProto.DESCRIPTOR.file).message_types_by_name
    notes = ("metadata_props", "initialization_binding", "update_binding")  # texts, no tensors
    for name, fields in WAYS.items():
        described = {
            field.number: field.message_type.name
            for field in messages[name].fields
            if field.message_type is not None
            and field.message_type.name in WAYS
            and field.name not in notes
        }
        assert fields == described, name


def constant() -> GraphProto:
    return GraphProto(node=[helper.make_node("Constant", [], ["c"], value=FAR)])


def inside(*attributes: AttributeProto) -> GraphProto:
    return GraphProto(node=[NodeProto(op_type="If", attribute=attributes)])


PLACES: dict[str, ModelProto] = {
    "initializer": ModelProto(graph=GraphProto(initializer=[FAR])),
    "sparse initializer": ModelProto(graph=GraphProto(sparse_initializer=[SPARSE])),
    "constant": ModelProto(graph=constant()),
    "tensors": ModelProto(graph=inside(AttributeProto(tensors=[TensorProto(), FAR]))),
    "sparse": ModelProto(graph=inside(AttributeProto(sparse_tensor=SPARSE))),
    "branch": ModelProto(graph=inside(AttributeProto(g=inside(AttributeProto(g=constant()))))),
    "graphs": ModelProto(graph=inside(AttributeProto(graphs=[GraphProto(), constant()]))),
    "function": ModelProto(functions=[FunctionProto(node=constant().node)]),
    "default": ModelProto(functions=[FunctionProto(attribute_proto=[AttributeProto(t=FAR)])]),
    "training": ModelProto(training_info=[TrainingInfoProto(algorithm=constant())]),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_location_is_found(place: str) -> None:
    assert locations(PLACES[place].SerializeToString()) == {"far.bin"}


def test_a_sound_model_asks_for_nothing() -> None:
    assert locations(sound().SerializeToString()) == set()


def varint(number: int) -> bytes:
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def field(number: int, content: bytes) -> bytes:
    assert number < 16 and len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def tensor(*entry: bytes) -> bytes:
    return field(7, field(5, field(13, b"".join(entry))))


LOCATION, ELSEWHERE = field(1, b"location"), field(2, b"far.bin")


@pytest.mark.parametrize(
    "data",
    [
        tensor(ELSEWHERE, LOCATION),
        tensor(field(1, b"offset"), LOCATION, field(2, b"near.bin"), ELSEWHERE),
        tensor(LOCATION, ELSEWHERE, b"\x08\x01"),
        tensor(LOCATION, ELSEWHERE, b"\x0d\x01\x02\x03\x04", b"\x11" + bytes(8)),
        sound().SerializeToString() + tensor(LOCATION, ELSEWHERE),
        b"\xba\x80\x80\x80\x10" + tensor(LOCATION, ELSEWHERE)[1:],
    ],
    ids=["turned round", "twice", "a number between", "others between", "two graphs", "long tag"],
)
def test_an_odd_spelling_hides_nothing(data: bytes) -> None:
    """Parsers take the last of two and ignore a number where they want text; so does this one."""
    assert "far.bin" in locations(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x3a\x05ab", "cut short"),
        (b"\x3a", "cut short"),
        (b"\xff" * 20, "cut short"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "cut short"),
        (b"\x09abc", "cut short"),
        (b"\x3b\x3c", "damaged"),
        (b"\x02\x00", "damaged"),
        (tensor(LOCATION, field(2, b"\xff")), "no text"),
    ],
)
def test_bytes_that_are_no_message(data: bytes, words: str) -> None:
    with pytest.raises(Unfit, match=words):
        locations(data)


def test_more_parts_than_any_model_has() -> None:
    with pytest.raises(Unfit, match="too many parts"):
        locations(b"\x08\x00" * (MAX_FIELDS + 1))


def test_graphs_in_graphs_in_graphs_are_walked_to_the_end() -> None:
    deep = GraphProto(initializer=[FAR]).SerializeToString()
    for _ in range(2000):
        for number in (6, 5, 1):  # a graph, in an attribute, in a node
            deep = bytes([number << 3 | 2]) + varint(len(deep)) + deep
    assert locations(b"\x3a" + varint(len(deep)) + deep) == {"far.bin"}


@given(strategies.binary(max_size=400))
def test_any_bytes_end_in_an_answer(data: bytes) -> None:
    try:
        assert locations(data) is not None
    except Unfit as error:
        assert str(error)


@given(strategies.data())
def test_a_damaged_model_ends_in_an_answer(data: strategies.DataObject) -> None:
    whole = bytearray(asking("far.bin").SerializeToString())
    for _ in range(data.draw(strategies.integers(1, 4))):
        at = data.draw(strategies.integers(0, len(whole) - 1))
        whole[at] = data.draw(strategies.integers(0, 255))
    try:
        assert locations(bytes(whole)) is not None
    except Unfit as error:
        assert str(error)


# On the disk.


def model(folder: Path, location: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "decoder.onnx"
    path.write_bytes(asking(location).SerializeToString())
    return path


def linked(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)


def test_a_file_beside_the_model_may_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "models" / "more").mkdir(parents=True)
    (tmp_path / "models" / "more" / "far.bin").write_bytes(bytes(4))
    linked(tmp_path / "models", "more")
    for location in ("more/far.bin", "link/far.bin", "more/../more/far.bin"):
        inspect(model(tmp_path / "models", location))


def test_a_model_may_be_a_link_from_elsewhere(tmp_path: Path) -> None:
    """So it is in the cache of the hub, and in a folder that was imported without copying."""
    path = model(tmp_path, "far.bin")
    (tmp_path / "far.bin").write_bytes(bytes(4))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "decoder.onnx").symlink_to(path)
    with pytest.raises(Unfit, match="asks for the file"):
        inspect(tmp_path / "models" / "decoder.onnx")
    path.write_bytes(sound().SerializeToString())
    inspect(tmp_path / "models" / "decoder.onnx")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("../far.bin", None),
        ("more/../../far.bin", None),
        ("link", "../far.bin"),
        ("link/far.bin", ".."),
        ("link", "link"),
        ("missing.bin", None),
        ("more", None),
        ("", None),
        (".", None),
        ("a\0b", None),
        ("*/_ORT_MEM_ADDR_/*", None),
        ("/dev/zero", None),
        ("x" * 5000, None),
    ],
)
def test_no_other_file_may_be_asked_for(location: str, target: str | None, tmp_path: Path) -> None:
    (tmp_path / "far.bin").write_bytes(bytes(4))
    path = model(tmp_path / "models", location)
    (tmp_path / "models" / "more").mkdir()
    if target is not None:
        linked(tmp_path / "models", target)
    with pytest.raises(Unfit, match="it asks for the file"):
        inspect(path)


def test_not_even_one_in_the_folder_by_its_full_path(tmp_path: Path) -> None:
    (tmp_path / "far.bin").write_bytes(bytes(4))
    with pytest.raises(Unfit, match="not a file in its folder"):
        inspect(model(tmp_path, str(tmp_path / "far.bin")))


def test_weights_are_stepped_over(tmp_path: Path) -> None:
    """A hole of a gigabyte stands for them; what comes after it is found all the same."""
    size = 1 << 30
    tail = field(13, LOCATION + ELSEWHERE)
    head = b"\x4a" + varint(size)
    head = b"\x2a" + varint(len(head) + size + len(tail)) + head
    head = b"\x3a" + varint(len(head) + size + len(tail)) + head
    with (tmp_path / "large.onnx").open("wb") as file:
        file.write(head)
        file.seek(size, 1)
        file.write(tail)
    with pytest.raises(Unfit, match="asks for the file"):
        inspect(tmp_path / "large.onnx")
