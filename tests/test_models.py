"""Every network of MODELS: sizes, gradients, names, saving and loading."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from fissura.models import MODELS  # noqa: E402
from fissura.weights.network import load_module, new_card, save_safetensors  # noqa: E402

every_model = pytest.mark.parametrize("name", MODELS)


@every_model
@pytest.mark.parametrize("size_hw", [(64, 96), (33, 41), (17, 8)])
def test_any_size_gives_two_classes_at_an_eighth_in_both_modes(
    name: str, size_hw: tuple[int, int]
) -> None:
    height, width = size_hw
    x = torch.rand(2, 3, height, width) * 255
    network = MODELS[name]()
    for mode in (True, False):
        logits = network.train(mode)(x)["logits"]
        assert logits.shape == (2, 2, -(-height // 8), -(-width // 8))
        assert torch.isfinite(logits).all()


@every_model
def test_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    network = MODELS[name]()
    network(torch.rand(2, 3, 64, 64))["logits"].square().sum().backward()
    missing = [key for key, value in network.named_parameters() if value.grad is None]
    assert not missing


@every_model
def test_normalisation_is_stated_beside_the_class(name: str) -> None:
    kind = MODELS[name]
    assert len(kind.MEAN_RGB) == len(kind.STD_RGB) == 3
    assert min(kind.STD_RGB) > 0
    assert kind.INPUT_SCALE > 0


@every_model
def test_saved_and_loaded_gives_the_same_answer(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = MODELS[name]().eval()
    path = tmp_path / "network.safetensors"
    save_safetensors(network, new_card(name), path)
    loaded, card = load_module(path)
    x = torch.rand(1, 3, 40, 48) * 255
    with torch.no_grad():
        assert torch.equal(network(x)["logits"], loaded(x)["logits"])
    assert card.name == name
    assert len(card.weights_sha256) == 64


@pytest.mark.parametrize("arguments", [{"blocks": (3, 1_000_000)}, {"classes": 0}])
def test_networks_beyond_any_use_are_not_built(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be 1 to"):
        MODELS["cgnet"](**arguments)
