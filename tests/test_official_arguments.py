"""Networks are built as their files say, and only as large as the files are."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fissura.types import InputError
from fissura.weights import to_metadata

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import save  # noqa: E402  beside torch

from fissura.models import MODELS  # noqa: E402
from fissura.weights.network import (  # noqa: E402
    load_module,
    new_card,
    save_safetensors,
    state_sha256,
)


def _loads_as_built(name: str, arguments: dict[str, Any], folder: Path) -> None:
    torch.manual_seed(3)
    built = MODELS[name](**arguments).eval()
    path = folder / f"{name}.safetensors"
    save_safetensors(built, new_card(name, arguments), path)
    loaded, _ = load_module(path)
    kept = {**dict(built.named_parameters()), **dict(built.named_buffers())}
    found = {**dict(loaded.named_parameters()), **dict(loaded.named_buffers())}
    assert kept.keys() == found.keys()
    for key, values in kept.items():
        assert torch.equal(found[key], values), key
        assert found[key].requires_grad == values.requires_grad
    picture = torch.rand(1, 3, 40, 48)
    with torch.inference_mode():
        outputs, again = built(picture), loaded(picture)
    assert all(torch.equal(outputs[key], again[key]) for key in outputs)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_loads_as_it_was_built(name: str, tmp_path: Path) -> None:
    """Constants that no file holds are there as well."""
    arguments: dict[str, Any] = {"width": 2}
    if name == "cgnet":
        arguments = {"blocks": [2, 2]}
    if name == "cssr":
        sr, unet = {"stages": 2, "width": 4}, {"name": "unet_vgg16", "width": 4}
        arguments = {"sr": sr, "segmenter": unet, "normalisation": "fixed"}
    _loads_as_built(name, arguments, tmp_path)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("deepcrack_zou", {"width": 512}),
        ("deepcrack_zou", {"width": 128}),
        ("unet_resnet101", {"width": 128}),
        ("cssr", {"segmenter": {"name": "pspnet", "width": 128}}),
        ("cgnet", {"blocks": [100, 100]}),
    ],
)
def test_a_small_file_builds_no_large_network(
    name: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    state = {"a": torch.zeros(1)}
    card = replace(new_card(name, arguments), weights_sha256=state_sha256(state))
    path = tmp_path / "small.safetensors"
    path.write_bytes(save(state, to_metadata(card)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(InputError, match=r"width must be 1 to 128|does not fit the network"):
        load_module(path)
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
