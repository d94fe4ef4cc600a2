"""Reads what a model file says about itself, without loading the model and without its libraries.

All readers treat the file as hostile: every length is checked against what is there.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

from fissura.types import InputError

IR_SUFFIX = ".xml"
"""Of OpenVINO's files, whose weights stand in .bin beside them."""

BIN_NOTE = "fissura.bin_sha256"
"""Ties the weights to the file that they stand beside."""

MAX_IR_BYTES = 64 * 2**20
IR_BLOCK, IR_DEPTH, IR_NOTES = 2**20, 64, 200
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
NOTES = "fissura."
_NOTES_PLACE = ["net", "rt_info", "framework"]
_IR_CHECKED = "fissura.name"
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
    except (ValueError, LookupError, RecursionError, expat.ExpatError):
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
    notes = _IrNotes()
    with path.open("rb") as file:
        while block := file.read(IR_BLOCK):
            notes.parser.Parse(block)
        notes.parser.Parse(b"", True)
    if _IR_CHECKED in notes.found:
        _check_bin(path, notes.found.get(BIN_NOTE))
    return notes.found


class _IrNotes:
    """Collects the notes while an XML file is read, which may be neither deep nor full of them."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._within: list[str] = []
        self.parser = expat.ParserCreate("utf-8")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._within) >= IR_DEPTH:
            raise ValueError("too deep")
        if self._within == _NOTES_PLACE and tag.startswith(NOTES) and "value" in attributes:
            self.found[tag] = attributes["value"]
        if len(self.found) > IR_NOTES:
            raise ValueError("too many notes")
        self._within.append(tag)

    def _end(self, _tag: str) -> None:
        self._within.pop()

    def _refuse(self, *_: object) -> None:
        raise ValueError("a document type, and with it entities")


def _check_bin(path: Path, sha256: str | None) -> None:
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(f"{path}: needs its weights, {weights.name}, beside it; copy both")
    if hash_of(weights) != sha256:
        raise InputError(
            f"{weights}: belongs to another export than {path.name}; copy both or export again"
        )


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
