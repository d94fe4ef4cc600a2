"""Small networks with random weights as safetensors and ONNX, each written once per test run."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from small_models import small_arguments

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "liu": ("deepcrack_liu", {}),
    "liu_per_image": ("deepcrack_liu", {"bn_mode": "per_image"}),
    "zou": ("deepcrack_zou", {}),
}
"""Name of the file → network and the arguments that it has beside the small ones."""

CSSR_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "cssr": ("cssr", {"scale": 4}),
    "cssr_inverse": ("cssr", {"order": "segmentation_first"}),
}


@cache
def exported(case: str) -> Path:
    """CASE.onnx, with CASE.safetensors beside it; skips the test where torch is missing."""
    for module in ("torch", "safetensors", "onnx", "onnxscript"):
        pytest.importorskip(module)
    import torch

    from fissura.export import export_model
    from fissura.models import MODELS
    from fissura.weights.network import new_card, save_safetensors

    name, more = (CASES | CSSR_CASES)[case]
    arguments = small_arguments(name) | more
    _folders.append(tempfile.TemporaryDirectory())
    path = Path(_folders[-1].name) / f"{case}.onnx"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MODELS[name](**arguments).eval()
        for part, values in network.state_dict().items():
            if part.endswith(("running_mean", ".bias")):
                values.normal_(0, 0.1)
            elif part.endswith("running_var"):
                values.uniform_(0.5, 2)
            elif part.startswith("side_conv"):  # sides that matter, as after training
                values.normal_(0, 1)
    save_safetensors(network, new_card(name, arguments), path.with_suffix(".safetensors"))
    export_model(path.with_suffix(".safetensors"), path)
    return path


_folders: list[tempfile.TemporaryDirectory[str]] = []
