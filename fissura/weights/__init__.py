"""The weights that ship, and what every model file says about itself.

ONNX, OpenVINO and safetensors files carry the same notes, one per field of `ModelCard`, under
"fissura.<field>" and encoded as JSON. `fissura.weights.network` writes and reads the tensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from fissura.types import InputError
from fissura.weights.files import IR_SUFFIX, read_metadata

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Above0 = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
_Side = Annotated[int, Field(ge=32, le=8192, multiple_of=32)]

Precision = Literal["float32", "fp16", "int8"]
"""In what the weights of a file are written."""

PREFIX = "fissura."
SUFFIXES = (".onnx", ".safetensors", IR_SUFFIX)
FOREIGN_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".pkl")


@dataclass(frozen=True)
class ModelCard:
    """What a model file says about itself.

    `name` and `arguments` rebuild the network from MODELS; `input_scale` enlarges a photograph
    before the network sees it, `output_scale` is how much larger than the picture its outputs are;
    `channels` is the order in which the network itself takes colours (what runs it is given RGB);
    `tile` and `overlap` are the longest side and the least overlap of a tile in network pixels,
    None where memory alone decides; `threshold` turns the crack map into a mask, and
    `threshold_from` says whether it was chosen on validation pictures; `weights_sha256` is the
    hash of the tensors (see `network.state_sha256`), the same in every file that is made of them,
    also where its own numbers are rounded to another `precision`.

    A detector names its `classes` (none: it segments), the `strides` of its outputs, the `frames`
    of a sequence that it takes at once, the size that it sees as `size_hw`, how a picture comes to
    that size (`resize`), and the overlap above which the weaker of two boxes is dropped, `nms_iou`;
    its `threshold` is the least score of a box.
    """

    name: str
    mean_rgb: tuple[_Finite, _Finite, _Finite]
    std_rgb: tuple[_Above0, _Above0, _Above0]
    arguments: dict[str, Any] = field(default_factory=dict)
    channels: Literal["rgb", "bgr"] = "rgb"
    input_scale: Annotated[float, Field(gt=0, le=16)] = 1.0
    output_scale: Literal[1, 2, 4, 8] = 1
    tile: Annotated[int, Field(ge=32, le=100_000)] | None = None
    overlap: Annotated[int, Field(ge=0, le=100_000)] | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    threshold_from: Literal["validation", "elsewhere"] = "validation"
    classes: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    strides: Annotated[tuple[Literal[8, 16, 32], ...], Field(max_length=3)] = ()
    frames: Annotated[int, Field(ge=1, le=64)] = 1
    size_hw: tuple[_Side, _Side] | None = None
    resize: Literal["letterbox", "stretch"] = "letterbox"
    nms_iou: Annotated[float, Field(gt=0, le=1)] = 0.65
    precision: Precision = "float32"
    weights_sha256: str = ""
    licence: str = ""
    summary: str = ""
    trained_on: str = ""
    path: Path | None = None

    @property
    def title(self) -> str:
        """How results name the model: "cgnet", or "cgnet int8" where its numbers are rounded."""
        return self.name if self.precision == "float32" else f"{self.name} {self.precision}"

    @property
    def network_hw(self) -> tuple[int, int]:
        """Height and width of what a detector sees, the published size where none is noted."""
        return self.size_hw or (512, 512)


METADATA_KEYS = tuple(item.name for item in fields(ModelCard) if item.name != "path")


def to_metadata(card: ModelCard) -> dict[str, str]:
    """The card as text pairs, as both file kinds store it."""
    return {f"{PREFIX}{key}": json.dumps(getattr(card, key)) for key in METADATA_KEYS}


def from_metadata(notes: Mapping[str, str], path: Path) -> ModelCard:
    """The card that a file's text pairs describe; InputError if they are not ours or not whole."""
    if f"{PREFIX}name" not in notes:
        raise InputError(
            f"{path}: was not written by fissura (no model name inside); write it with"
            " `fissura export`"
        )
    try:
        found = {
            key: json.loads(notes[f"{PREFIX}{key}"])
            for key in METADATA_KEYS
            if f"{PREFIX}{key}" in notes
        }
        return _card_adapter().validate_python(found | {"path": path})
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(f"{path}: its note {where!r} is not valid; export it again") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: its notes are not valid JSON; export it again") from None


@cache
def _card_adapter() -> TypeAdapter[ModelCard]:
    return TypeAdapter(ModelCard)


def read_card(path: Path) -> ModelCard:
    """The card of a model file."""
    return from_metadata(read_metadata(path), path)


def shipped() -> dict[str, Path]:
    """Name → ONNX file of the weights inside the package."""
    # NAME.frame.onnx and NAME.fusion.onnx are parts of NAME.
    paths = sorted(Path(__file__).parent.glob("*.onnx"))
    return {path.stem: path for path in paths if "." not in path.stem}


def resolve(model: str | Path) -> Path:
    """The model file behind a shipped name or a path."""
    names = shipped()
    if str(model) in names:
        return names[str(model)]
    path = Path(model)
    graph = path.with_suffix(IR_SUFFIX)
    if path.suffix.lower() == ".bin" and graph.is_file():
        raise InputError(f"{path}: holds the weights alone of {graph.name}; give that file")
    if path.suffix.lower() in FOREIGN_SUFFIXES and path.exists():
        raise InputError(
            f"{path}: is a checkpoint of another program; turn it into a file of fissura's own:"
            f" fissura import-weights {path} --model NAME --out {path.stem}.safetensors"
        )
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return path
    known = ", ".join(names) or "none"
    if path.exists():
        raise InputError(f"{path}: is no model file; give an .onnx, .xml or .safetensors file")
    if path.suffix.lower() in SUFFIXES:
        raise InputError(f"{path}: there is no such file; check the path")
    raise InputError(
        f"no model {str(model)!r}: give a file or one of the shipped names: {known}; weights"
        " of other networks come by `fissura import-weights` or `fissura train`"
    )


def _mend(path: Path, suffix: str) -> str:
    """What to do where there is no file with this suffix."""
    if suffix != ".safetensors":
        return "write it with `fissura export`"
    if read_card(path).precision != "float32":
        return "a rounded file runs on onnxruntime or openvino alone"
    return "torch and `fissura export` begin with the network itself"


def companion(path: Path, suffix: str) -> Path:
    """`path` itself, or the file beside it with this suffix, the same weights and precision."""
    if path.suffix.lower() == suffix:
        return path
    other = path.with_suffix(suffix)
    if not other.is_file():
        raise InputError(f"{path}: needs {other.name} beside it; {_mend(path, suffix)}")
    own, found = read_card(path), read_card(other)
    if found.weights_sha256 != own.weights_sha256:
        raise InputError(f"{other}: holds other weights than {path.name}; export it again")
    if found.precision != own.precision:
        raise InputError(
            f"{other}: is {found.precision} where {path.name} is {own.precision}; give the file"
            " that you mean under another name"
        )
    return other
