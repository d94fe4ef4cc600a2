"""An ONNX model as a file: of ONNX itself, or OpenVINO's NAME.xml with its weights in NAME.bin."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onnx.helper import set_model_props

from fissura.graphs import Graph, OnnxRuntimeGraph, OpenVinoGraph, read_by_openvino
from fissura.types import InputError
from fissura.weights.files import BIN_NOTE, IR_SUFFIX, hash_of, read_metadata
from fissura.weights.parts import TOGETHER_NOTE

Notes = Mapping[str, str]


def is_ir(path: Path) -> bool:
    """Whether the file is OpenVINO's own."""
    return path.suffix.lower() == IR_SUFFIX


def open_proto(proto: Any, path: Path) -> Graph:
    """The model before it is a file, in the engine that `path` is for."""
    model = proto.SerializeToString()
    opens: Callable[..., Graph] = OpenVinoGraph if is_ir(path) else OnnxRuntimeGraph
    return opens(path, model=model)


def write_all(protos: Mapping[Path, tuple[Any, Notes]]) -> None:
    """Writes the models with their notes, all in full beside their places before any goes there.

    The first, which the others belong to, comes last. Each is told which others it was made with.
    """
    first = next(iter(protos))
    first.parent.mkdir(parents=True, exist_ok=True)
    together = {TOGETHER_NOTE: _hash_of_all(protos)}
    with tempfile.TemporaryDirectory(prefix=".export-", dir=first.parent) as name:
        folder = Path(name)
        for path, (proto, notes) in protos.items():
            _write(proto, {**notes, **together}, folder / path.name)
        for path in reversed(list(protos)):
            made = folder / path.name
            if is_ir(path):
                path.unlink(missing_ok=True)  # never one file's notes over another's weights
                made.with_suffix(".bin").replace(path.with_suffix(".bin"))
            made.replace(path)


def _hash_of_all(protos: Mapping[Path, tuple[Any, Notes]]) -> str:
    found = hashlib.sha256()
    for proto, _ in protos.values():
        found.update(proto.SerializeToString(deterministic=True))
    return found.hexdigest()


def _write(proto: Any, notes: Notes, path: Path) -> None:
    if is_ir(path):
        _write_ir(proto, notes, path)
        return
    own = {entry.key: entry.value for entry in proto.metadata_props}
    set_model_props(proto, own | dict(notes))
    path.write_bytes(proto.SerializeToString())


def _write_ir(proto: Any, notes: Notes, path: Path) -> None:
    """Twice, for the notes hold the hash of the weights."""
    import openvino

    model = read_by_openvino(proto.SerializeToString())
    weights = path.with_suffix(".bin")
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
        for key, value in (*notes.items(), (BIN_NOTE, hash_of(weights))):
            model.set_rt_info(value, ["framework", key])
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # as of a full disk
        reason = " ".join(str(error).split())[-160:]
        raise InputError(
            f"{path.name}: OpenVINO cannot write it ({reason}); see if the disk is full"
        ) from None
    if not notes.items() <= read_metadata(path).items():
        raise InputError(
            f"{path.name}: this OpenVINO ({openvino.__version__}) keeps no notes; update it"
        )
