"""An ONNX model as a file: of ONNX itself, or OpenVINO's NAME.xml with its weights in NAME.bin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fissura.graphs import Graph, OnnxRuntimeGraph, OpenVinoGraph
from fissura.weights.files import IR_SUFFIX


def open_proto(proto: Any, path: Path) -> Graph:
    """The model before it is a file, in the engine that `path` is for."""
    model = proto.SerializeToString()
    opens: Callable[..., Graph] = OpenVinoGraph if is_ir(path) else OnnxRuntimeGraph
    return opens(path, model=model)


def write(proto: Any, notes: Mapping[str, str], path: Path) -> None:
    """Writes the model with its notes, in one step; notes that it has already are kept."""
    for key, value in notes.items():
        proto.metadata_props.add(key=key, value=value)
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_ir(path):
        _write_ir(proto, path)
        return
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(proto.SerializeToString())
    unfinished.replace(path)


def _write_ir(proto: Any, path: Path) -> None:
    """OpenVINO takes the notes of an ONNX model over by itself."""
    import openvino

    unfinished = path.with_name(f"{path.stem}.part{IR_SUFFIX}")
    model = openvino.Core().read_model(proto.SerializeToString())
    openvino.save_model(model, unfinished, compress_to_fp16=False)
    unfinished.with_suffix(".bin").replace(path.with_suffix(".bin"))
    unfinished.replace(path)


def is_ir(path: Path) -> bool:
    """Whether the file is OpenVINO's own."""
    return path.suffix.lower() == IR_SUFFIX
