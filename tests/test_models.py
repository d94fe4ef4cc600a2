"""Every network of MODELS: sizes, gradients, names, saving and loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from small_models import small_arguments  # noqa: E402

from fissura.models import MODELS  # noqa: E402
from fissura.models.building import restart  # noqa: E402
from fissura.models.cssr import SEGMENTERS  # noqa: E402
from fissura.models.dbpn import bicubic  # noqa: E402
from fissura.models.deepcrack_zou import Pool, Unpool  # noqa: E402
from fissura.models.layers import mirror_to_stride  # noqa: E402
from fissura.models.pspnet import GridMean  # noqa: E402
from fissura.weights.network import load_module, new_card, save_safetensors  # noqa: E402

DETECTORS = [name for name, kind in MODELS.items() if hasattr(kind, "STRIDES")]
every_model = pytest.mark.parametrize("name", MODELS)
every_detector = pytest.mark.parametrize("name", DETECTORS)


def small(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS[name](**small_arguments(name))


def noise(name: str, *shape: int) -> torch.Tensor:
    """Pictures, or clips of five for a network of that many frames."""
    batch, height, width = shape
    frames = (5,) if name.startswith("beltcrackdet") else ()
    return torch.rand(batch, 3, *frames, height, width) * 255


OUTPUTS: dict[str, dict[str, tuple[int, int]]] = {
    "cssr": {"logits": (1, 2), "image": (3, 2)},
    "dbpn": {"image": (3, 2)},
    "pspnet": {"logits": (1, 1), "aux": (1, 1)},
    "unet_resnet34": {"logits": (1, 1)},
    "unet_resnet101": {"logits": (1, 1)},
    "unet_vgg16": {"logits": (1, 1)},
} | {
    name: dict.fromkeys(("logits", *(f"side{k}" for k in range(1, 6))), (1, 1))
    for name in ("deepcrack_liu", "deepcrack_zou")
}
"""Channels of each output, and its size over the input's; CGNet's is an eighth, rounded up."""
COUNTS = {
    "beltcrackdet": 54_614_899,
    "beltcrackdet_lite": 1_452_295,
    "cgnet": 491_956,
    "cssr": 38_302_127,
    "dbpn": 8_802_094,
    "deepcrack_liu": 14_720_389,
    "deepcrack_zou": 30_905_011,
    "pspnet": 28_091_141,
    "unet_resnet34": 34_604_897,
    "unet_resnet101": 74_621_025,
    "unet_vgg16": 29_500_033,
    "yolox_s": 8_937_682,
}


@pytest.mark.parametrize("name", [name for name in MODELS if name not in DETECTORS])
@pytest.mark.parametrize("size_hw", [(64, 96), (33, 41), (17, 8), (1, 1)])
def test_any_size_gives_the_same_form_in_both_modes(name: str, size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    x = torch.rand(2, 3, height, width) * 255
    network = small(name)
    for mode in (True, False):
        outputs = network.train(mode)(x)
        shapes = {key: tuple(values.shape) for key, values in outputs.items()}
        if name == "cgnet":
            assert shapes == {"logits": (2, 2, -(-height // 8), -(-width // 8))}
        else:
            assert list(outputs) == list(OUTPUTS[name])
            assert shapes == {
                key: (2, channels, factor * height, factor * width)
                for key, (channels, factor) in OUTPUTS[name].items()
            }
        assert all(torch.isfinite(values).all() for values in outputs.values())


@every_detector
@pytest.mark.parametrize("size_hw", [(64, 96), (128, 64), (160, 96)])
def test_detectors_answer_at_their_strides_in_both_modes(
    name: str, size_hw: tuple[int, int]
) -> None:
    height, width = size_hw
    network = small(name)
    for mode in (True, False):
        outputs = network.train(mode)(noise(name, 2, height, width))
        shapes = [tuple(values.shape) for values in outputs.values()]
        assert shapes == [(2, 6, height // s, width // s) for s in network.STRIDES]
        assert all(torch.isfinite(values).all() for values in outputs.values())
    for wrong in ((height, 48), (height - 8, width), (0, 64)):
        with pytest.raises(ValueError, match="multiples of 32"):
            network(noise(name, 1, *wrong))


@every_model
def test_every_parameter_gets_a_gradient(name: str) -> None:
    network = small(name)
    outputs = network(noise(name, 2, 64, 64) / 255)
    sum(values.square().sum() for values in outputs.values()).backward()
    missing = [key for key, value in network.named_parameters() if value.grad is None]
    assert not missing


@every_model
def test_the_published_size_is_the_default(name: str) -> None:
    with torch.device("meta"):
        network = MODELS[name]()
    assert sum(value.numel() for value in network.parameters()) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [
        ("dbpn", {"stages": 2}, 2_386_958),
        ("dbpn", {"stages": 4}, 5_578_142),
        ("dbpn", {"stages": 10}, 15_348_302),
        ("dbpn", {"scale": 2}, 5_017_390),
        ("dbpn", {"scale": 8}, 19_615_534),
        ("unet_vgg16", {"decoder": "deconv"}, 39_200_065),
        ("unet_vgg16", {"decoder": "bilinear"}, 34_956_609),
        ("unet_vgg16", {"decoder": "bilinear", "variant": "khanhha"}, 29_306_465),
        ("beltcrackdet", {"hsm": False, "atm": False, "wfm": False}, 7_226_310),
        ("cssr", {"segmenter": {"name": "pspnet"}}, 36_893_235),
        ("cssr", {"sr": {"name": "bicubic"}}, 29_500_033),
        ("cssr", {"scale": 1}, 29_500_033),
        ("yolox_s", {"classes": 80}, 8_968_255),
        ("yolox_s", {"classes": 80, "width": 0.75, "depth": 0.67}, 25_326_495),
    ],
)
def test_the_published_size_of_variants(name: str, arguments: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        network = MODELS[name](**arguments)
    assert sum(value.numel() for value in network.parameters()) == count


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
    x = noise(name, 1, 64, 96)
    with torch.no_grad():
        outputs, same = network(x), loaded(x)
    assert all(torch.equal(values, same[key]) for key, values in outputs.items())
    assert card.name == name
    assert len(card.weights_sha256) == 64


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("beltcrackdet", {"frames": 1}),
        ("beltcrackdet", {"frames": 1_000}),
        ("beltcrackdet", {"classes": 0}),
        ("beltcrackdet", {"rcu": (0, 1)}),
        ("beltcrackdet", {"width": 0.3}),
        ("beltcrackdet", {"width": 1_000_000.0}),
        ("beltcrackdet", {"width": float("nan")}),
        ("beltcrackdet_lite", {"frames": 1}),
        ("beltcrackdet_lite", {"classes": 0}),
        ("beltcrackdet_lite", {"width": 0.3}),
        ("beltcrackdet_lite", {"width": 0.0}),
        ("beltcrackdet_lite", {"width": 1_000_000.0}),
        ("beltcrackdet_lite", {"width": float("nan")}),
        ("cgnet", {"blocks": (3, 1_000_000)}),
        ("cgnet", {"classes": 0}),
        ("deepcrack_liu", {"width": 1_000_000}),
        ("deepcrack_liu", {"bn_mode": "none"}),
        ("deepcrack_zou", {"width": 0}),
        ("deepcrack_zou", {"init": "zero"}),
        ("cssr", {"scale": 3}),
        ("cssr", {"scale": 1, "order": "segmentation_first"}),
        ("cssr", {"clamp": True}),
        ("cssr", {"sr": {"name": "nearest"}}),
        ("cssr", {"sr": {"name": "bicubic", "stages": 2}}),
        ("cssr", {"segmenter": {"name": "cgnet"}}),
        ("cssr", {"segmenter": {"width": 1_000_000}}),
        ("dbpn", {"scale": 16}),
        ("dbpn", {"channels": 64}),
        ("dbpn", {"stages": 1}),
        ("dbpn", {"stages": 1_000}),
        ("dbpn", {"width": 1_000_000}),
        ("pspnet", {"width": 1_000_000}),
        ("unet_resnet34", {"decoder": "nearest"}),
        ("unet_resnet34", {"dropout": "sometimes"}),
        ("unet_resnet101", {"width": 1_000_000}),
        ("unet_vgg16", {"width": 3}),
        ("unet_vgg16", {"variant": "vgg19"}),
        ("yolox_s", {"classes": 100_000}),
        ("yolox_s", {"width": 0.001}),
        ("yolox_s", {"width": float("inf")}),
        ("yolox_s", {"depth": 1_000.0}),
    ],
)
def test_networks_beyond_any_use_are_not_built(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|has no settings"):
        MODELS[name](**arguments)


@pytest.mark.parametrize("part", ["sr", "segmenter"])
def test_cssr_says_which_of_its_networks_refuses_a_width(part: str) -> None:
    with pytest.raises(ValueError, match=f"^{part}: .*width"):
        MODELS["cssr"](**{part: {"width": 1_000}})


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
    assert torch.equal(mirror_to_stride(x, 16, 32), padded)


def test_the_first_of_equal_values_is_remembered() -> None:
    values, places = Pool()(torch.zeros(1, 1, 4, 4))
    assert places.flatten().tolist() == [0, 2, 8, 10]
    back = Unpool()(values + 1, places, torch.zeros(1, 1, 5, 4))
    assert back.shape == (1, 1, 5, 4)


def test_means_over_a_grid_equal_adaptive_pooling() -> None:
    x = torch.rand(2, 3, 13, 5)
    for cells in (1, 2, 3, 6):
        wanted = torch.nn.functional.adaptive_avg_pool2d(x, cells)
        assert torch.allclose(GridMean(cells)(x), wanted, atol=1e-6)


@pytest.mark.parametrize("decoder", ["pixel_shuffle", "deconv", "bilinear"])
@pytest.mark.parametrize("name", ["unet_vgg16", "unet_resnet34"])
def test_every_decoder_doubles(name: str, decoder: str) -> None:
    network = MODELS[name](decoder=decoder, width=4).eval()
    assert network(torch.rand(1, 3, 40, 70))["logits"].shape == (1, 1, 40, 70)


def test_dropout_is_random_only_where_asked_for() -> None:
    x = torch.rand(1, 3, 64, 64)
    for dropout, random in {"training": False, "always": True, "off": False}.items():
        torch.manual_seed(0)
        network = MODELS["unet_resnet34"](width=4, dropout=dropout).eval()
        runs = [network(x)["logits"] for _ in range(4)]
        assert any(not torch.equal(runs[0], run) for run in runs) == random


def test_with_a_skip_super_resolution_starts_as_bicubic_enlargement() -> None:
    x = torch.rand(1, 3, 9, 12)
    network = MODELS["dbpn"](scale=4, stages=2, width=4, skip=True)
    wanted = torch.nn.functional.interpolate(x, scale_factor=4, mode="bicubic")
    assert torch.allclose(network(x)["image"], wanted, atol=1e-6)


def cssr(**arguments: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS["cssr"](**(small_arguments("cssr") | arguments))


@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_segmenter_answers_at_the_enlarged_size(name: str) -> None:
    outputs = cssr(segmenter={"name": name, "width": 4}).eval()(torch.rand(1, 3, 9, 14))
    assert outputs["logits"].shape == (1, 1, 18, 28)
    assert outputs["image"].shape == (1, 3, 18, 28)


def test_the_enlarged_picture_is_clamped_in_use_only_and_only_as_released() -> None:
    x = torch.rand(1, 3, 12, 16) * 4 - 2
    for clamp, training, inside in (
        ("none", False, False),
        ("released", True, False),
        ("released", False, True),
    ):
        image = cssr(clamp=clamp).train(training)(x)["image"]
        assert bool(((image >= 0) & (image <= 1)).all()) == inside


def test_segmentation_forgets_light_and_contrast_when_each_picture_is_standardised() -> None:
    x = torch.rand(2, 3, 32, 48)
    dimmed = 0.3 * x + 0.1
    baseline = {"scale": 1, "sr": {"name": "bicubic"}}
    for normalisation, forgets in (("instance", True), ("fixed", False)):
        network = cssr(normalisation=normalisation, **baseline).eval()
        bright, dim = (network(part)["logits"].detach() for part in (x, dimmed))
        spread = float((bright - bright.mean()).abs().max())
        assert torch.allclose(bright, dim, atol=0.05 * spread) == forgets


def test_a_tile_is_standardised_as_its_picture() -> None:
    network = cssr().eval()
    x = torch.rand(1, 3, 40, 40)
    whole = network.enlarge(x)
    told = network.statistics(whole)
    top = network.segment(whole[..., :32, :], told)["logits"]
    outputs = network.segmentation_model((whole - told[0])[..., :32, :] / told[1])
    assert torch.equal(top, outputs["logits"])
    assert not torch.allclose(top, network.segment(whole[..., :32, :])["logits"])


def test_the_inverse_order_enlarges_the_map_of_cracks() -> None:
    network = cssr(order="segmentation_first", sr={"name": "bicubic"}).eval()
    outputs = network(torch.rand(1, 3, 20, 24))
    assert list(outputs) == ["logits", "map", "small_logits"]
    assert outputs["small_logits"].shape == (1, 1, 20, 24)
    assert torch.allclose(outputs["logits"].sigmoid(), outputs["map"].clamp(0, 1), atol=2e-6)


def test_he_start_leaves_silent_what_begins_silent() -> None:
    network = MODELS["dbpn"](scale=2, stages=2, width=8, skip=True)
    restart(network)
    x = torch.rand(1, 3, 8, 8)
    assert torch.allclose(network(x)["image"], bicubic(x, 2), atol=1e-6)
