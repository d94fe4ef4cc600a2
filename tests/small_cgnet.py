"""A small CGNet with random weights, written once per test run as safetensors and ONNX."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest

ARGUMENTS = {"blocks": [2, 2]}


@cache
def model_folder() -> Path:
    """A folder with cgnet.safetensors and cgnet.onnx; skips the test where torch is missing."""
    for module in ("torch", "safetensors", "onnx", "onnxscript"):
        pytest.importorskip(module)
    import torch

    from fissura.export import export_model
    from fissura.models import MODELS
    from fissura.weights.network import new_card, save_safetensors

    _folders.append(tempfile.TemporaryDirectory())
    folder = Path(_folders[-1].name)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = MODELS["cgnet"](**ARGUMENTS).eval()
        for name, values in network.named_parameters():
            if "activate" in name or name.endswith(".1.weight"):
                torch.nn.init.uniform_(values, 0.1, 0.4)
        # Logits of a trained network's size, so that errors of precision show.
        torch.nn.init.normal_(network.decode_head.conv_seg.weight, std=0.5)
    card = new_card("cgnet", ARGUMENTS, threshold=0.4, licence="none", summary="random weights")
    save_safetensors(network, card, folder / "cgnet.safetensors")
    export_model(folder / "cgnet.safetensors", folder / "cgnet.onnx")
    return folder


_folders: list[tempfile.TemporaryDirectory[str]] = []
