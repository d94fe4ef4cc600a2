"""Files of CSSR, khanhha's U-Nets and torchvision come in as what they are, or are refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fissura.cli import app
from fissura.types import InputError
from fissura.weights import read_card

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from official_states import State  # noqa: E402
from torch import nn  # noqa: E402

from fissura.models import MODELS  # noqa: E402
from fissura.weights.imagenet import encoder_name  # noqa: E402
from fissura.weights.network import load_module, new_card, save_safetensors  # noqa: E402
from fissura.weights.official import convert, describe, import_weights, start_from  # noqa: E402

SR = {"name": "dbpn", "stages": 3, "width": 4}
UNET = {"name": "unet_vgg16", "decoder": "deconv", "width": 4}
VGG = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
RESNET = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")


def network(name: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(len(str(arguments)))
    return MODELS[name](**arguments)


def doubled(state: State, prefix: str = "") -> State:
    """With the encoder's second names, as the original's program saves it."""
    residual = f"{prefix}conv1.1.weight" in state
    layers = RESNET if residual else VGG
    firsts = {encoder_name(f"{layer}.x").removesuffix("x"): f"{layer}." for layer in layers}
    seconds = {}
    for name, values in state.items():
        for first, layer in firsts.items():
            if name.startswith(prefix + first):
                second = layer + name.removeprefix(prefix + first)
                seconds[f"{prefix}encoder.{second}"] = values.clone()
    return seconds | state


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("dbpn", {"scale": 8, "stages": 2, "width": 4}, {"width": 4}),
        ("dbpn", {"scale": 2, "stages": 5, "channels": 1, "width": 4}, {"width": 4}),
        ("unet_vgg16", {"width": 4}, {"width": 4}),
        ("unet_vgg16", {"decoder": "deconv", "width": 4}, {"width": 4}),
        ("unet_vgg16", {"decoder": "bilinear", "variant": "khanhha", "width": 4}, {"width": 4}),
        ("unet_resnet34", {"width": 4}, {"width": 4}),
        ("unet_resnet101", {"decoder": "deconv", "width": 2}, {"width": 2}),
        ("pspnet", {"width": 4}, {"width": 4}),
        ("cssr", {"scale": 4, "sr": SR, "segmenter": UNET}, {"sr": SR, "segmenter": UNET}),
        (
            "cssr",
            {"scale": 2, "sr": SR, "segmenter": UNET, "order": "segmentation_first"},
            {"sr": SR, "segmenter": UNET},
        ),
        ("cssr", {"scale": 1, "segmenter": UNET}, {"segmenter": UNET}),
    ],
)
def test_the_variant_is_told_by_the_entries(
    name: str, arguments: dict[str, Any], told: dict[str, Any], twice: bool
) -> None:
    meant = network(name, **arguments)
    state = meant.state_dict()
    if twice:
        state = doubled(state, "segmentation_model." if name == "cssr" else "")
    if name.startswith("unet_resnet"):
        state |= {"encoder.fc.weight": torch.ones(10, 8), "encoder.fc.bias": torch.ones(10)}
    found = convert(name, state, source="x", arguments=told)
    assert same(found, meant)
    for key in ("scale", "stages", "order", "variant", "stride"):
        assert getattr(found, key, None) == getattr(meant, key, None)
    if name == "cssr":
        assert found.clamp == "released"


def test_a_vgg16_encoder_has_26_second_names() -> None:
    state = network("unet_vgg16", width=4).state_dict()
    assert len(doubled(state)) == len(state) + 26


def test_a_segmenter_alone_is_the_baseline_of_full_resolution_or_the_bicubic_one(
    tmp_path: Path,
) -> None:
    path, out = tmp_path / "iteration_100000.pth", tmp_path / "cssr.safetensors"
    meant = network("cssr", scale=1, segmenter=UNET)
    torch.save({f"module.{k}": v for k, v in meant.state_dict().items()}, path)
    for scale, given in ((1, {}), (4, {"scale": 4})):
        import_weights(path, "cssr", out, arguments={"segmenter": UNET} | given)
        card = read_card(out)
        assert (card.arguments["scale"], card.arguments["clamp"]) == (scale, "released")
        assert card.arguments.get("sr") == (None if scale == 1 else {"name": "bicubic"})
        loaded, _ = load_module(out)
        assert same(loaded, meant)
        assert loaded(torch.rand(1, 3, 20, 30))["image"].shape == (1, 3, 20 * scale, 30 * scale)


def test_the_verb_takes_what_a_file_does_not_tell(tmp_path: Path) -> None:
    path, out = tmp_path / "iteration_9.pth", tmp_path / "bicubic.safetensors"
    torch.save(network("cssr", scale=1, segmenter=UNET).state_dict(), path)
    verb = ["import-weights", str(path), "--model", "cssr", "--out", str(out)]
    width = ["--set", "segmenter={name: unet_vgg16, decoder: deconv, width: 4}"]
    done = CliRunner().invoke(app, [*verb, *width, "--set", "scale=2"])
    assert done.exit_code == 0
    assert read_card(out).arguments["sr"] == {"name": "bicubic"}
    done = CliRunner().invoke(app, [*verb, *width, "--set", "scale=3", "--overwrite"])
    assert done.exit_code == 2
    assert "cssr does not take them (scale must be" in " ".join(done.stderr.split())


def test_what_only_enlarges_is_offered_to_training(tmp_path: Path) -> None:
    path, out = tmp_path / "sr_pretrain_x4.pth", tmp_path / "dbpn.safetensors"
    torch.save(network("dbpn", stages=2, width=4).state_dict(), path)
    arguments = {"stages": 2, "width": 4}
    steps = describe(import_weights(path, "dbpn", out, arguments=arguments))["next"]
    assert steps == [f"fissura train CONFIG.yaml --set warm_start={out}"]


def test_khanhhas_container_comes_in_with_its_threshold(tmp_path: Path) -> None:
    path, out = tmp_path / "model_unet_vgg_16_best.pt", tmp_path / "unet.safetensors"
    meant = network("unet_vgg16", decoder="bilinear", variant="khanhha", width=4)
    container = {"model": doubled(meant.state_dict()), "epoch": 9, "valid_loss": 0.1}
    torch.save(container, path)
    imported = import_weights(path, "unet_vgg16", out, arguments={"width": 4})
    assert imported.taken == len(meant.state_dict())
    assert read_card(out).threshold == 0.2
    assert read_card(out).arguments["variant"] == "khanhha"
    assert same(load_module(out)[0], meant)


def test_second_names_that_disagree_are_refused() -> None:
    state = doubled(network("unet_vgg16", width=4).state_dict())
    state["encoder.7.bias"] = state["encoder.7.bias"] + 1
    with pytest.raises(InputError, match=r"'encoder\.7\.bias' is not the same as 'conv2\.2\.bias'"):
        convert("unet_vgg16", state, source="x", arguments={"width": 4})


@pytest.mark.parametrize(
    ("name", "of", "says"),
    [
        ("cssr", network("dbpn", stages=2, width=4), "looks like dbpn, not cssr"),
        ("dbpn", network("cssr", sr=SR, segmenter=UNET), "looks like cssr, not dbpn"),
        ("unet_resnet34", network("unet_resnet101", width=2), "looks like unet_resnet101"),
        ("unet_vgg16", network("pspnet", width=4), "looks like pspnet, not unet_vgg16"),
        ("dbpn", network("dbpn", stages=2, width=4), r"'feat0\.conv\.weight' is 16×3×3×3 instead"),
    ],
)
def test_files_of_other_networks_are_named(name: str, of: nn.Module, says: str) -> None:
    with pytest.raises(InputError, match=says):
        convert(name, of.state_dict(), source="x")


def imagenet(name: str, of: nn.Module) -> State:
    """What torchvision's file of the encoder in `of` would hold, with a classifier."""
    state = {"classifier.0.weight" if name == "unet_vgg16" else "fc.weight": torch.ones(2, 2)}
    if name == "pspnet":
        feats = {k.removeprefix("feats."): v for k, v in of.state_dict().items() if "feats" in k}
        return state | feats
    own = doubled(of.state_dict())
    names = (key for key in own if key.startswith("encoder."))
    head = "features." if name == "unet_vgg16" else ""
    return state | {head + key.removeprefix("encoder."): own[key] for key in names}


@pytest.mark.parametrize("name", ["unet_vgg16", "unet_resnet34", "unet_resnet101", "pspnet"])
def test_a_training_begins_with_torchvisions_encoder(name: str, tmp_path: Path) -> None:
    meant, begun = network(name, width=2), MODELS[name](width=2)
    before = {key: values.clone() for key, values in begun.state_dict().items()}
    state = imagenet(name, meant)
    path = tmp_path / "imagenet.pth"
    torch.save(state, path)
    start_from(begun, name, path)
    taken = ("feats.",) if name == "pspnet" else tuple(f"conv{k}." for k in range(1, 6))
    for key, values in begun.state_dict().items():
        source = meant.state_dict()[key] if key.startswith(taken) else before[key]
        assert torch.equal(values, source), key
    del state["features.5.weight" if name == "unet_vgg16" else "layer2.0.conv1.weight"]
    torch.save(state, path)
    with pytest.raises(InputError, match=r"an entry for '.*' is missing"):
        start_from(begun, name, path)


def test_cssr_begins_with_either_part_and_either_part_with_cssr(tmp_path: Path) -> None:
    path = tmp_path / "part.pth"
    begun = network("cssr", scale=4, sr=SR, segmenter=UNET)
    sr = network("dbpn", scale=4, stages=3, width=4)
    unet = network("unet_vgg16", decoder="deconv", width=4)
    for name, part, inside in (
        ("dbpn", sr, begun.sr_model),
        ("unet_vgg16", unet, begun.segmentation_model),
    ):
        state = part.state_dict()
        torch.save(doubled(state) if name == "unet_vgg16" else state, path)
        start_from(begun, "cssr", path)
        assert same(inside, part)
    torch.save(imagenet("unet_vgg16", network("unet_vgg16", width=4)), path)
    start_from(begun, "cssr", path)
    assert same(begun.sr_model, sr)
    assert torch.equal(begun.segmentation_model.final.weight, unet.final.weight)
    assert not torch.equal(begun.segmentation_model.conv1[0].weight, unet.conv1[0].weight)
    torch.save(begun.state_dict(), path)
    other = MODELS["dbpn"](scale=4, stages=3, width=4)
    start_from(other, "dbpn", path)
    assert same(other, sr)
    with pytest.raises(InputError, match="looks like unet_vgg16, not pspnet"):
        start_from(MODELS["pspnet"](width=4), "pspnet", path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_baselines_file_begins_the_part_that_it_has(tmp_path: Path, suffix: str) -> None:
    path = (tmp_path / "bicubic").with_suffix(suffix)
    arguments: dict[str, Any] = {"scale": 4, "sr": {"name": "bicubic"}, "segmenter": UNET}
    baseline = network("cssr", **arguments)
    if suffix == ".pth":
        torch.save(baseline.state_dict(), path)
    else:
        save_safetensors(baseline, new_card("cssr", arguments), path)
    begun = network("cssr", scale=4, sr=SR, segmenter=UNET)
    before = copy.deepcopy(begun.sr_model)
    for values in begun.segmentation_model.state_dict().values():
        values.zero_()
    start_from(begun, "cssr", path)
    assert same(begun.sr_model, before)
    assert same(begun.segmentation_model, baseline.segmentation_model)


def test_super_resolution_alone_begins_that_part(tmp_path: Path) -> None:
    path = tmp_path / "sr.pth"
    trained = network("cssr", scale=4, sr=SR, segmenter=UNET)
    begun = network("cssr", scale=4, sr=SR, segmenter=UNET | {"width": 6})
    before = copy.deepcopy(begun.segmentation_model)
    own = {k: v for k, v in trained.state_dict().items() if k.startswith("sr_model.")}
    torch.save(own, path)
    for values in begun.sr_model.state_dict().values():
        values.zero_()
    start_from(begun, "cssr", path)
    assert same(begun.sr_model, trained.sr_model)
    assert same(begun.segmentation_model, before)
    torch.save(own | {"segmentation_model.more": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"unknown 'segmentation_model\.more'"):
        start_from(begun, "cssr", path)
