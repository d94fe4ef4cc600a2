"""Checkpoints of BeltCrackDet's and YOLOX's training scripts: imported, refused, started from."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parity import fill, fixtures
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch import Tensor  # noqa: E402

from fissura.cli import app  # noqa: E402
from fissura.models import BeltCrackDet, YoloxS  # noqa: E402
from fissura.types import InputError  # noqa: E402
from fissura.weights.network import load_module, new_card, save_safetensors  # noqa: E402
from fissura.weights.official import (  # noqa: E402
    convert,
    import_weights,
    read_checkpoint,
    start_from,
)

State = dict[str, Tensor]
KEYS = fixtures.HERE / "beltcrackdet" / "keys.json"
ENTRIES = 640
UNUSED = ("neck.conv_fre.", "neck.conv_fre_mix.", "neck.fuse.")


def constants() -> State:
    """What the release's file holds and ours computes, from its description."""
    s = 0.5**0.5
    signs = [[[1, 1], [1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]]
    filters = torch.tensor(signs * 128, dtype=torch.float32).unsqueeze(1) * s * s
    places = torch.tensor(list(itertools.product(range(6), range(8), range(8))))
    steps = places[:, None] - places[None] + torch.tensor([5, 7, 7])
    index = (steps * torch.tensor([225, 15, 1])).sum(-1)
    names = [name for name, _, kind in json.loads(KEYS.read_text()) if kind == "constant"]
    return {name: (filters if "filter" in name else index).clone() for name in names}


@pytest.fixture(scope="module")
def official() -> State:
    """A whole file as the training script writes it."""
    plain = {name: torch.from_numpy(values) for name, values in fill.filled(KEYS).items()}
    complete = plain | constants()
    assert len(complete) == ENTRIES
    return complete


WRITTEN: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "parallel": lambda state: {f"module.{name}": values for name, values in state.items()},
    "ema": lambda state: {"ema": state, "updates": 7, "model": {"none": torch.ones(1)}},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": {f"module.{name}": v for name, v in state.items()}},
}


@pytest.mark.parametrize("form", WRITTEN)
def test_the_state_is_found_in_any_form_of_file(form: str, official: State, tmp_path: Path) -> None:
    path = tmp_path / "official.pth"
    torch.save(WRITTEN[form](official), path)
    found = read_checkpoint(path)
    assert found.keys() == official.keys()
    assert all(torch.equal(values, official[name]) for name, values in found.items())


def test_a_checkpoint_of_the_release_comes_in(official: State, tmp_path: Path) -> None:
    path, out = tmp_path / "official.pth", tmp_path / "own.safetensors"
    torch.save(WRITTEN["parallel"](official), path)
    command = ["import-weights", str(path), "--model", "beltcrackdet", "--out", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    network, card = load_module(out)
    own = network.state_dict()
    assert all(torch.equal(values, official[name]) for name, values in own.items())
    left = set(official) - set(own)
    assert left == {name for name in official if name.startswith(UNUSED)} | set(constants())
    assert (card.frames, card.strides, card.classes) == (5, (8,), ("crack",))
    assert card.arguments == {"classes": 1}


WRONG = {
    "backbone.backbone.stem.conv.conv.weight": (16, 12, 3, 3),
    "neck.tar.res_block3.1.body.2.bias": (1,),
    "neck.nolocal.gamma": (),
    "neck.swin.tr.1.attn.relative_position_bias_table": (15 * 15 * 9, 4),
    "neck.conv_dw.wt_filter": (512, 1, 4, 4),
    "neck.swin.tr.0.attn.relative_position_index": (320, 320),
    "neck.fuse.fc.weight": (64, 64),
    "neck.conv_fre.0.bn.running_var": (128,),
    "head.cls_preds.0.weight": (2, 256, 1, 1),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_other_shape_is_refused_by_name(name: str, official: State) -> None:
    changed = official | {name: torch.zeros(WRONG[name]).to(official[name].dtype)}
    with pytest.raises(InputError, match=name.replace(".", r"\.")) as error:
        convert("beltcrackdet", changed, source="x.pth")
    assert str(error.value).startswith("x.pth: ")


def test_constants_may_drift_but_not_differ(official: State) -> None:
    for factor, fits in ((1 - 2.6e-6, True), (1.01, False)):
        name = "neck.conv_dw.iwt_filter"
        drifted = official | {name: official[name] * factor}
        if fits:
            convert("beltcrackdet", drifted, source="x")
        else:
            with pytest.raises(InputError, match="iwt_filter' does not hold the constants"):
                convert("beltcrackdet", drifted, source="x")


def test_missing_and_unknown_entries_are_named(official: State) -> None:
    lacking = {name: values for name, values in official.items() if not name.startswith(UNUSED)}
    convert("beltcrackdet", lacking, source="x")
    del lacking["neck.gal.final_aggregation_layer.0.weight"]
    with pytest.raises(InputError, match="missing 'neck"):
        convert("beltcrackdet", lacking, source="x")
    with pytest.raises(InputError, match=r"unknown 'neck\.more\.weight'"):
        convert("beltcrackdet", official | {"neck.more.weight": torch.ones(1)}, source="x")


# ---- YOLOX ---------------------------------------------------------------------------------


def yolox(**arguments: Any) -> State:
    torch.manual_seed(5)
    state = YoloxS(**arguments).state_dict()
    return {k: v + torch.rand(v.shape) if v.is_floating_point() else v for k, v in state.items()}


def test_yolox_names_are_those_of_its_releases() -> None:
    names = set(YoloxS().state_dict())
    for name in (
        "backbone.backbone.stem.conv.conv.weight",
        "backbone.backbone.dark3.1.m.2.conv2.bn.running_mean",
        "backbone.backbone.dark5.1.conv2.conv.weight",
        "backbone.lateral_conv0.conv.weight",
        "backbone.C3_p4.conv3.bn.bias",
        "backbone.reduce_conv1.bn.weight",
        "backbone.bu_conv2.conv.weight",
        "backbone.C3_n3.m.0.conv1.conv.weight",
        "backbone.bu_conv1.bn.num_batches_tracked",
        "backbone.C3_n4.conv2.conv.weight",
        "head.stems.2.conv.weight",
        "head.cls_convs.0.1.conv.weight",
        "head.reg_convs.2.0.bn.bias",
        "head.cls_preds.1.bias",
        "head.reg_preds.0.weight",
        "head.obj_preds.2.weight",
    ):
        assert name in names


def test_yolox_of_eighty_classes_comes_in(tmp_path: Path) -> None:
    path, state = tmp_path / "yolox_s.pth", yolox(classes=80)
    torch.save({"start_epoch": 300, "model": state, "optimizer": {}}, path)
    card = import_weights(path, "yolox_s", tmp_path / "own.safetensors").card
    own = load_module(tmp_path / "own.safetensors")[0].state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(values, state[name]) for name, values in own.items())
    assert card.arguments == {"classes": 80}
    assert len(card.classes) == 80
    assert card.strides == (8, 16, 32)
    with pytest.raises(InputError, match=r"looks like yolox_s, not beltcrackdet.*warm_start"):
        import_weights(path, "beltcrackdet", tmp_path / "other.safetensors")


def test_training_can_begin_with_yolox(tmp_path: Path) -> None:
    """All of the body, and of the head what has the same shape."""
    path, state = tmp_path / "yolox.pth", yolox(classes=80, width=0.0625)
    torch.save({"model": state}, path)
    network = BeltCrackDet(width=0.125)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    start_from(network, "beltcrackdet", path)
    taken = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    counters = {name for name in before if name.endswith("num_batches_tracked")}
    body = {name for name in before if name.startswith("backbone.")} - counters
    assert taken == body | {"head.reg_preds.0.bias", "head.obj_preds.0.bias"}
    assert all(torch.equal(network.state_dict()[name], state[name]) for name in taken)

    with pytest.raises(InputError, match="other widths than the backbone"):
        start_from(BeltCrackDet(width=0.25), "beltcrackdet", path)

    small = YoloxS(classes=2, width=0.0625)
    start_from(small, "yolox_s", path)
    differing = {k for k, v in small.state_dict().items() if not torch.equal(v, state[k])}
    assert differing
    assert all(name.startswith("head.cls_preds.") for name in differing)


def test_training_can_begin_with_our_own_yolox(tmp_path: Path) -> None:
    arguments = {"width": 0.0625}
    own, path = YoloxS(**arguments), tmp_path / "yolox.safetensors"
    save_safetensors(own, new_card("yolox_s", arguments), path)
    network = BeltCrackDet(width=0.125)
    start_from(network, "beltcrackdet", path)
    for name, values in network.backbone.state_dict().items():
        assert torch.equal(values, own.backbone.state_dict()[name])
