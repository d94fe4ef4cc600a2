"""Model files for other engines, checked against torch before they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fissura.export.check import Agreement
from fissura.types import InputError, UInt8Image
from fissura.weights import companion, resolve

FORMATS = ("onnx",)


def export_model(
    model: str | Path, out: Path, fmt: str = "onnx", pictures: Sequence[UInt8Image] = ()
) -> Agreement:
    """Writes `model` (a shipped name or a safetensors file) as `out`; returns how well it agrees.

    `pictures` are tried beside the random ones. Nothing is left at `out` when the check fails.
    """
    if fmt not in FORMATS:
        raise InputError(f"format: {fmt!r} is unknown; choose from {', '.join(FORMATS)}")
    if out.suffix.lower() != ".onnx":
        raise InputError(f"{out}: give the exported file a name that ends in .onnx")
    source = companion(resolve(model), ".safetensors")
    try:
        from fissura.export.onnx import export_onnx
        from fissura.weights.network import load_module
    except ImportError:
        raise InputError(
            "export: needs torch and onnx; install them with `pip install 'fissura[train]'`"
        ) from None
    module, card = load_module(source)
    return export_onnx(module, card, out, pictures)
