"""Narrow detectors with random weights that say something everywhere, as files."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from small_models import small_arguments

SIZE_HW = (64, 96)
SPREAD = {"beltcrackdet": 1.1, "beltcrackdet_lite": 1.5}
"""Of lively weights, times 1/√inputs: less and frames hardly tell, more and products grow."""


def saved(name: str, folder: Path, lively: bool = False, **notes: Any) -> Path:
    """NAME.safetensors; a `lively` one has larger weights, so that every part tells."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from fissura.models import MODELS
    from fissura.weights.network import new_card, save_safetensors

    arguments = small_arguments(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MODELS[name](**arguments).eval()
        for part, values in network.state_dict().items():
            if part.endswith("running_var"):
                values.uniform_(0.5, 2) if lively else values.uniform_(0.1, 0.5)
            elif "_preds" in part and part.endswith("weight"):
                values.normal_(0, 0.5)
            elif lively and values.is_floating_point():
                spread = SPREAD[name] * values[0].numel() ** -0.5 if values.ndim > 1 else 0.1
                values.add_(spread * torch.randn_like(values))
    path = folder / f"{name}.safetensors"
    save_safetensors(network, new_card(name, arguments, **{"size_hw": SIZE_HW} | notes), path)
    return path


def exported_into(name: str, folder: Path) -> Path:
    """NAME.onnx with all that belongs to it, copied to a folder."""
    for file in _exported(name).iterdir():
        shutil.copy(file, folder)
    return folder / f"{name}.onnx"


@cache
def _exported(name: str) -> Path:
    pytest.importorskip("onnxscript")
    from fissura.export import export_model

    _folders.append(tempfile.TemporaryDirectory())
    path = saved(name, Path(_folders[-1].name), lively=True)
    assert export_model(path, path.with_suffix(".onnx")).ok
    return path.parent


_folders: list[tempfile.TemporaryDirectory[str]] = []
