"""Reads what a model file says about itself, without loading the model and without its libraries.

All readers treat the file as hostile: every length is checked against what is there.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

from fissura.types import InputError

IR_SUFFIX = ".xml"
"""Of OpenVINO's files, whose weights stand in .bin beside them."""

MAX_IR_BYTES = 64 * 2**20
MAX_HEADER_BYTES = 16 * 2**20
MAX_ONNX_BYTES = 2 * 2**30  # Protobuf, which ONNX is written in, ends there too.

# Which fields of each ONNX message lead, by field number, to further messages with tensors inside.
_CHILDREN: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
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
    "TensorProto": {},
}
_NOTES_PLACE = ["net", "rt_info", "framework"]
_METADATA_PROPS = 14  # of ModelProto
_EXTERNAL_DATA = 13  # of TensorProto


def read_metadata(path: Path) -> dict[str, str]:
    """The file's metadata as text; damaged files and references out of its folder are refused."""
    readers: dict[str, Callable[[Path], dict[str, str]]] = {
        ".onnx": _onnx_metadata,
        ".safetensors": _safetensors_metadata,
        IR_SUFFIX: _ir_metadata,
    }
    try:
        return readers[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError, expat.ExpatError):
        kind = "model" if path.suffix.lower() == IR_SUFFIX else path.suffix.lower().lstrip(".")
        raise InputError(f"{path}: is damaged or not a {kind} file; fetch it again") from None


def _safetensors_metadata(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if length > min(MAX_HEADER_BYTES, path.stat().st_size - 8):
            raise ValueError("header longer than the file")
        header = json.loads(file.read(length))
    notes = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(notes, dict) or not all(isinstance(v, str) for v in notes.values()):
        raise ValueError("no tensor index")
    return notes


def _ir_metadata(path: Path) -> dict[str, str]:
    """Notes stand as <KEY value="…"/> in <framework>, where OpenVINO keeps those of ONNX."""
    if path.stat().st_size > MAX_IR_BYTES:
        raise ValueError("too large")
    if not path.with_suffix(".bin").is_file():
        raise InputError(f"{path}: needs its weights, {path.stem}.bin, beside it; copy both")
    notes: dict[str, str] = {}
    within: list[str] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if within == _NOTES_PLACE and "value" in attributes:
            notes[tag] = attributes["value"]
        within.append(tag)

    def refuse(*_: object) -> None:
        raise ValueError("a document type, and with it entities")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: within.pop()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(path.read_bytes(), True)
    return notes


def _onnx_metadata(path: Path) -> dict[str, str]:
    if path.stat().st_size > MAX_ONNX_BYTES:
        raise ValueError("too large")
    data = memoryview(path.read_bytes())
    fields = list(_fields(data))
    if not any(number == 7 for number, _ in fields):
        raise ValueError("no graph")
    for location in _external_files("ModelProto", data):
        if not (path.parent / location).resolve().is_relative_to(path.parent.resolve()):
            raise InputError(
                f"{path}: asks for weights outside its own folder ({location!r}) and is refused;"
                " export it again with its weights inside"
            )
    return dict(_text_pair(value) for number, value in fields if number == _METADATA_PROPS)


def _external_files(message: str, data: memoryview) -> Iterator[str]:
    children = _CHILDREN[message]
    for number, value in _fields(data):
        if number in children:
            yield from _external_files(children[number], value)
        elif message == "TensorProto" and number == _EXTERNAL_DATA:
            key, text = _text_pair(value)
            if key == "location":
                yield text


def _text_pair(data: memoryview) -> tuple[str, str]:
    fields = {number: bytes(value).decode() for number, value in _fields(data)}
    return fields.get(1, ""), fields.get(2, "")


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Field numbers and contents of one protobuf message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        if not 8 <= key < 2**32:  # Other readers cut such a number off and see another field.
            raise ValueError("no such field")
        start = position
        if key & 7 == 0:
            _, position = _varint(data, position)
        elif key & 7 == 2:
            length, start = _varint(data, position)
            position = start + length
        elif key & 7 in (1, 5):
            position += 8 if key & 7 == 1 else 4
        else:
            raise ValueError("unknown wire type")
        if position > len(data):
            raise ValueError("a field is longer than its message")
        yield key >> 3, data[start:position]


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number does not end")
