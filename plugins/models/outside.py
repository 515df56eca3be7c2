"""What a model file asks for outside of itself: the files that its tensors are read from.

The law of this module: a file says where, and nothing is opened that it names before it was seen
to lie in the file's own folder. Only the skeleton of the file is read: weights are stepped over.

An ONNX file is a protobuf ``ModelProto``. Its tensors, wherever they sit (initializers, sparse
ones, constants, attributes of nodes in the graphs of loops and functions), may name another file
in ``external_data``; the numbers of the fields that lead there are below.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import TypeAlias

WAYS: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {13: "StringStringEntryProto"},
    "StringStringEntryProto": {},
}
"""Which fields of a message are messages on the way to ``external_data``."""

_KEY, _VALUE = 1, 2

MAX_FIELDS = 1 << 20
"""More than any model has but for its weights, which count as one each; a second's work."""

MAX_NAME = 1 << 12
"""Bytes of a location that are read; no system opens a longer one."""

Bytes: TypeAlias = bytes | mmap.mmap


class Unfit(ValueError):
    """A file that is no model to open; says in some words why."""


def inspect(path: Path) -> None:
    """See that a path is a file, has the form of a model, and asks for nothing outside its folder.

    Raises:
        Unfit: otherwise.
    """
    try:
        _inspect(path)
    except FileNotFoundError as error:
        raise Unfit("it is not there") from error
    except OSError as error:
        raise Unfit(f"it cannot be read: {error.strerror or error}") from error


def _inspect(path: Path) -> None:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Unfit("it is not a file")
    if not found.st_size:
        raise Unfit("it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        asked = locations(data)
    for location in sorted(asked):
        _refuse_outside(path.parent, location)


def _refuse_outside(folder: Path, location: str) -> None:
    try:
        real = (folder / location).resolve(strict=True)
        inside = real.is_relative_to(folder.resolve(strict=True)) and real.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # missing; a zero byte; links in a ring
        raise Unfit(f"it asks for the file {location!r}, which is not there") from error
    if os.path.isabs(location) or not inside:
        raise Unfit(f"it asks for the file {location!r}, which is not a file in its folder")


def locations(data: Bytes) -> set[str]:
    """Return the files that the tensors of a model ask for.

    Args:
        data: the model file.

    Raises:
        Unfit: these bytes are no protobuf message, or one of more parts than a model has.
    """
    found: set[str] = set()
    rest, left = [("ModelProto", 0, len(data))], MAX_FIELDS
    while rest:
        kind, at, end = rest.pop()
        entry: dict[int, bytes] = {}
        for number, start, stop in _fields(data, at, end):
            left -= 1
            if not left:
                raise Unfit("it is not an ONNX model, or has too many parts for one")
            if inner := WAYS[kind].get(number):
                rest.append((inner, start, stop))
            elif kind == "StringStringEntryProto":
                entry[number] = data[start : min(stop, start + MAX_NAME)]
        if entry.get(_KEY) == b"location":
            found.add(_text(entry.get(_VALUE, b"")))
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Unfit("it asks for a file whose name is no text") from error


def _fields(data: Bytes, at: int, end: int) -> Generator[tuple[int, int, int]]:
    """Step through a message: give each field's number and where its content begins and ends.

    Numbers and such, which hold no message or text whatever their field, are given as field 0.
    """
    while at < end:
        tag, start = _varint(data, at, end)
        number = 0
        match tag & 7:
            case 0:
                _, at = _varint(data, start, end)
            case 1:
                at = start + 8
            case 2:
                size, start = _varint(data, start, end)
                number, at = (tag & 0xFFFFFFFF) >> 3, start + size  # parsers keep 32 bits of a tag
            case 5:
                at = start + 4
            case _:
                raise Unfit("it is damaged, or not an ONNX model")
        if tag < 8:  # field 0 is nobody's
            raise Unfit("it is damaged, or not an ONNX model")
        if at > end:
            raise Unfit("it is cut short, or not an ONNX model")
        yield number, start, at


def _varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number of at most 64 bits, seven a byte, and where it ends."""
    value = 0
    for place in range(at, min(at + 10, end)):
        value |= (data[place] & 127) << 7 * (place - at)
        if data[place] < 128:
            return value, place + 1
    raise Unfit("it is cut short, or not an ONNX model")
