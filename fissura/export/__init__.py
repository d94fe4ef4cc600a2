"""Model files for other engines, checked against torch before they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import cast, get_args

from fissura.export.calibration import seen_by
from fissura.export.check import Agreement
from fissura.graphs import GraphError
from fissura.types import InputError, UInt8Image
from fissura.weights import Precision, companion, resolve
from fissura.weights.files import IR_SUFFIX
from fissura.weights.parts import parts_of

FORMATS = {"onnx": ".onnx", "openvino": IR_SUFFIX}
PRECISIONS = get_args(Precision)


def export_model(
    model: str | Path,
    out: Path,
    fmt: str | None = None,
    pictures: Sequence[UInt8Image] = (),
    precision: str = "float32",
    calibrate: Sequence[str | Path] = (),
) -> Agreement:
    """Writes `model` (a shipped name or a safetensors file) as `out`; returns how well it agrees.

    The format, if it is not given, is that of the name of `out`. `pictures` are tried beside the
    random ones; int8 takes its ranges from those behind `calibrate`: files, folders, patterns.
    Nothing is left at `out` when the check fails.
    """
    _check_choices(out, fmt, precision, bool(calibrate))
    source = companion(resolve(model), ".safetensors")
    try:
        from fissura.export.onnx import export_onnx
        from fissura.weights.network import load_module
    except ImportError:
        raise InputError(
            "export: needs torch and onnx; install them with `pip install 'fissura[train]'`"
        ) from None
    module, card = load_module(source)
    seen = seen_by(card, calibrate) if calibrate else ()
    try:
        return export_onnx(module, card, out, pictures, cast("Precision", precision), seen)
    except GraphError as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{out}: not written, its graph does not run here ({reason}); see if memory is full"
        ) from None


def files_of(out: Path) -> list[Path]:
    """All that an export to `out` may write."""
    graphs = [out, *parts_of(out)]
    if out.suffix.lower() != IR_SUFFIX:
        return graphs
    return graphs + [path.with_suffix(".bin") for path in graphs]


def _check_choices(out: Path, fmt: str | None, precision: str, calibrates: bool) -> None:
    if fmt is not None and fmt not in FORMATS:
        raise InputError(f"format: {fmt!r} is unknown; choose from {', '.join(FORMATS)}")
    suffixes = tuple(FORMATS.values()) if fmt is None else (FORMATS[fmt],)
    if out.suffix not in suffixes:
        raise InputError(
            f"{out}: give the exported file a name that ends in {' or '.join(suffixes)}"
        )
    if out.suffix.lower() == IR_SUFFIX and find_spec("openvino") is None:
        raise InputError(
            f"{out}: needs OpenVINO; install it with `pip install 'fissura[openvino]'`"
        )
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        hint = "; bf16 is chosen when a file is run" if precision == "bf16" else ""
        raise InputError(f"precision: {precision!r} is unknown; choose from {known}{hint}")
    if precision == "int8" and not calibrates:
        raise InputError(
            "precision int8: needs pictures to take its ranges from; name some of your own with"
            " --calibrate"
        )
    if precision != "int8" and calibrates:
        raise InputError(f"calibrate: is for int8 alone, not for {precision}; leave it out")
