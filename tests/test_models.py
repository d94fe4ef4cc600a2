"""Every network of MODELS: sizes, gradients, names, saving and loading."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from small_models import small_arguments  # noqa: E402

from fissura.models import MODELS  # noqa: E402
from fissura.models.deepcrack_zou import Pool, Unpool, mirror_to_stride  # noqa: E402
from fissura.weights.network import load_module, new_card, save_safetensors  # noqa: E402

every_model = pytest.mark.parametrize("name", MODELS)


def small(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS[name](**small_arguments(name))


@every_model
@pytest.mark.parametrize("size_hw", [(64, 96), (33, 41), (17, 8), (1, 1)])
def test_any_size_gives_the_same_form_in_both_modes(name: str, size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    x = torch.rand(2, 3, height, width) * 255
    network = small(name)
    for mode in (True, False):
        outputs = network.train(mode)(x)
        if name == "cgnet":
            assert outputs["logits"].shape == (2, 2, -(-height // 8), -(-width // 8))
        else:
            assert list(outputs) == ["logits", *(f"side{k}" for k in range(1, 6))]
            assert {tuple(values.shape) for values in outputs.values()} == {(2, 1, height, width)}
        assert all(torch.isfinite(values).all() for values in outputs.values())


@every_model
def test_every_parameter_gets_a_gradient(name: str) -> None:
    network = small(name)
    network(torch.rand(2, 3, 64, 64))["logits"].square().sum().backward()
    missing = [key for key, value in network.named_parameters() if value.grad is None]
    assert not missing


@every_model
def test_the_published_size_is_the_default(name: str) -> None:
    counts = {"cgnet": 491_956, "deepcrack_liu": 14_720_389, "deepcrack_zou": 30_905_011}
    with torch.device("meta"):
        network = MODELS[name]()
    assert sum(value.numel() for value in network.parameters()) == counts[name]


@every_model
def test_normalisation_is_stated_beside_the_class(name: str) -> None:
    kind = MODELS[name]
    assert len(kind.MEAN_RGB) == len(kind.STD_RGB) == 3
    assert min(kind.STD_RGB) > 0
    assert kind.INPUT_SCALE > 0


@every_model
def test_saved_and_loaded_gives_the_same_answer(name: str, tmp_path: Path) -> None:
    network = small(name).eval()
    path = tmp_path / "network.safetensors"
    save_safetensors(network, new_card(name, small_arguments(name)), path)
    loaded, card = load_module(path)
    x = torch.rand(1, 3, 40, 48) * 255
    with torch.no_grad():
        assert torch.equal(network(x)["logits"], loaded(x)["logits"])
    assert card.name == name
    assert len(card.weights_sha256) == 64


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cgnet", {"blocks": (3, 1_000_000)}),
        ("cgnet", {"classes": 0}),
        ("deepcrack_liu", {"width": 1_000_000}),
        ("deepcrack_liu", {"bn_mode": "none"}),
        ("deepcrack_zou", {"width": 0}),
        ("deepcrack_zou", {"init": "zero"}),
    ],
)
def test_networks_beyond_any_use_are_not_built(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        MODELS[name](**arguments)


@pytest.mark.parametrize("name", ["deepcrack_liu", "deepcrack_zou"])
def test_the_releases_start_is_smaller_than_ours(name: str) -> None:
    arguments = small_arguments(name)
    spreads = []
    for init in ("released", "he"):
        torch.manual_seed(0)
        network = MODELS[name](**arguments, init=init)
        first = next(value for value in network.parameters() if value.ndim == 4)
        spreads.append(float(first.detach().std()))
    assert spreads[0] < 0.8 * spreads[1]


def test_pictures_of_a_batch_do_not_mix_when_each_is_normalised_by_itself() -> None:
    torch.manual_seed(0)
    network = MODELS["deepcrack_liu"](bn_mode="per_image", width=4).eval()
    x = torch.rand(2, 3, 48, 32)
    both = network(x)["logits"]
    alone = torch.cat([network(part)["logits"] for part in x.split(1)])
    assert torch.allclose(both, alone, atol=1e-5)


def test_mirroring_equals_reflection_padding() -> None:
    x = torch.rand(1, 3, 40, 50)
    padded = torch.nn.functional.pad(x, (0, 14, 0, 8), mode="reflect")
    assert torch.equal(mirror_to_stride(x), padded)


def test_the_first_of_equal_values_is_remembered() -> None:
    values, places = Pool()(torch.zeros(1, 1, 4, 4))
    assert places.flatten().tolist() == [0, 2, 8, 10]
    back = Unpool()(values + 1, places, torch.zeros(1, 1, 5, 4))
    assert back.shape == (1, 1, 5, 4)
