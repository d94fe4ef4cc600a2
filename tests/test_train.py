"""Training: it learns, it resumes bit for bit, and it says so when it goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from rendered_set import write_rendered_set  # noqa: E402
from small_models import small_arguments  # noqa: E402

from fissura.config import build_settings, load_settings  # noqa: E402
from fissura.datasets import open_dataset  # noqa: E402
from fissura.datasets.held_back import held_back  # noqa: E402
from fissura.models import MODELS  # noqa: E402
from fissura.train.augment_config import VariedAugment  # noqa: E402
from fissura.train.config import (  # noqa: E402
    DataSettings,
    LossSettings,
    OptimiserSettings,
    ScheduleSettings,
    TrainConfig,
)
from fissura.train.data import load_training_data  # noqa: E402
from fissura.train.detect import DetectionTask  # noqa: E402
from fissura.train.joint import build_task  # noqa: E402
from fissura.train.loop import BadRunError, train  # noqa: E402
from fissura.train.losses import cross_entropy, pixel_loss, segmentation_loss  # noqa: E402
from fissura.train.schedule import learning_rate  # noqa: E402
from fissura.types import InputError  # noqa: E402
from fissura.weights.network import load_module, new_card, save_safetensors  # noqa: E402

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
DEFAULT = next(path for path in CONFIGS if path.stem == "cgnet_default")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rendered_set(tmp_path_factory.mktemp("data"))


def config(root: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "name": "tiny",
        "model": "cgnet",
        "arguments": {"blocks": [2, 2]},
        "data": {"root": str(root), "sets": {"rendered": 1.0}, "validation_limit": 3},
        "stages": [{"iterations": 30, "batch_size": 4, "crop": 64, "scale": [1.0, 1.3]}],
        "loss": {"class_weights": [1, 2], "dice": 0.5},
        "optimiser": {"lr": 3e-3},
        "schedule": {"warmup": 3},
        "ema_decay": 0.9,
        "validate_every": 15,
        "checkpoint_every": 5,
        "threads": 1,
    }
    return build_settings(TrainConfig, values | changes, "test")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in lines(out) if "loss" in line]


SIDES = [0.5, 0.75, 1.0, 0.75, 0.5]
SMALL_RUNS: dict[str, dict[str, Any]] = {
    "cgnet": {},
    "cssr": {
        "degrade": {"operator": "bicubic-antialias", "scale": 2},
        "loss": {"kind": "combo", "class_weights": [1, 2]},
        "optimiser": {"lr": 5e-3},
    },
    "deepcrack_liu": {"loss": {"kind": "focal", "sides": SIDES}, "optimiser": {"lr": 3e-3}},
    "deepcrack_zou": {"loss": {"sides": [1] * 5}, "optimiser": {"lr": 5e-3}},
    "unet_resnet34": {"optimiser": {"lr": 1e-2}},
    "unet_vgg16": {"optimiser": {"lr": 2e-3}},
}
"""PSPNet's dropout makes thirty steps too few, ResNet-101 differs from ResNet-34 in depth alone,
and DBPN is trained by itself in test_train_joint."""


@pytest.mark.parametrize("name", SMALL_RUNS)
def test_the_loss_falls_and_a_run_folder_is_left(
    name: str, data_root: Path, tmp_path: Path
) -> None:
    arguments = small_arguments(name)
    settings = config(data_root, model=name, arguments=arguments, **SMALL_RUNS[name])
    best = train(settings, tmp_path)
    values = losses(tmp_path)
    assert np.mean(values[-5:]) < 0.8 * np.mean(values[:5])
    scores = [line["validation"]["f1"] for line in lines(tmp_path) if "validation" in line]
    assert len(scores) == 2
    network, card = load_module(best)
    assert card.arguments == arguments
    assert 0 < card.threshold < 1
    assert not network.training
    assert load_settings(tmp_path / "config.yaml", TrainConfig) == settings
    assert {"environment.json", "last.pt"} <= {path.name for path in tmp_path.iterdir()}


def test_interrupted_and_resumed_equals_uninterrupted(data_root: Path, tmp_path: Path) -> None:
    settings = config(data_root)
    train(settings, tmp_path / "whole")
    train(settings, tmp_path / "parts", stop_at=17)
    train(settings, tmp_path / "parts", resume=True)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "parts")
    ]
    for part in ("network", "average"):
        for name, values in states[0][part].items():
            assert torch.equal(values, states[1][part][name]), name


def test_work_after_the_last_checkpoint_is_logged_once(data_root: Path, tmp_path: Path) -> None:
    settings = config(data_root)
    train(settings, tmp_path / "whole")
    killed = tmp_path / "killed"
    train(settings, killed, stop_at=15)
    checkpoint = (killed / "last.pt").read_bytes()
    train(settings, killed, resume=True, stop_at=19)
    (killed / "last.pt").write_bytes(checkpoint)  # as if 15…18 had not been saved
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 19, "lr": 0.0')
    train(settings, killed, resume=True)
    logged = [
        [{key: value for key, value in line.items() if key != "seconds"} for line in lines(out)]
        for out in (tmp_path / "whole", killed)
    ]
    assert logged[0] == logged[1]


def test_a_warm_start_keeps_its_own_head(data_root: Path, tmp_path: Path) -> None:
    short = [{"iterations": 1, "batch_size": 2, "crop": 32, "scale": [1, 1]}]
    paths = {"cityscapes": (19, [2, 2]), "deeper": (2, [3, 2])}
    for name, (classes, blocks) in paths.items():
        arguments = {"classes": classes, "blocks": blocks}
        network = MODELS["cgnet"](**arguments)
        save_safetensors(network, new_card("cgnet", arguments), tmp_path / f"{name}.safetensors")
    warm = config(
        data_root,
        stages=short,
        ema_decay=0.0,
        optimiser={"lr": 1e-12, "weight_decay": 0},
        warm_start=str(tmp_path / "cityscapes.safetensors"),
    )
    trained, _ = load_module(train(warm, tmp_path / "warm"))
    given, _ = load_module(tmp_path / "cityscapes.safetensors")
    key = "backbone.level2.1.f_loc.weight"
    assert torch.allclose(trained.state_dict()[key], given.state_dict()[key], atol=1e-9)
    assert trained.state_dict()["decode_head.conv_seg.weight"].shape[0] == 2
    with pytest.raises(InputError, match=r"warm_start: .*backbone\.level1\.2"):
        train(
            warm.model_copy(update={"warm_start": (tmp_path / "deeper.safetensors",)}),
            tmp_path / "wrong",
        )


def test_a_loss_that_is_no_number_stops_the_run(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRunError, match=r"the loss is .*optimiser\.lr"):
        train(config(data_root, optimiser={"lr": 1e30}), tmp_path)
    assert (tmp_path / "metrics.jsonl").exists()


def test_a_gradient_that_is_no_number_spoils_no_weights(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(*args: Any) -> dict[str, Any]:
        parts = segmentation_loss(*args)
        parts["loss"].register_hook(lambda grad: grad * torch.nan)
        return parts

    short = [{"iterations": 2, "batch_size": 2, "crop": 32, "scale": [1, 1]}]
    settings = config(data_root, stages=short, checkpoint_every=1, validate_every=9)
    train(settings, tmp_path, stop_at=1)
    monkeypatch.setattr("fissura.train.tasks.segmentation_loss", spoiled)
    with pytest.raises(BadRunError, match="gradient is nan"):
        train(settings, tmp_path, resume=True)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert all(torch.isfinite(values).all() for values in state["network"].values())


def test_a_network_that_finds_nothing_stops_the_run(data_root: Path, tmp_path: Path) -> None:
    blind = config(
        data_root,
        loss={"class_weights": [1.0, 0.0]},
        optimiser={"lr": 0.05},
        stages=[{"iterations": 60, "batch_size": 2, "crop": 48, "scale": [1, 1]}],
        validate_every=15,
    )
    with pytest.raises(BadRunError, match="found no crack at all"):
        train(blind, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "cgnett"}, "'cgnett' is unknown; choose one of .*cgnet"),
        ({"arguments": {"depth": 3}}, "arguments: cgnet does not take them"),
        ({"data": {"root": "nowhere", "sets": {"x": 1.0}}}, "set data.root"),
        ({"device": "cuda"}, "set device: cpu"),
        ({"data": {"root": ".", "sets": {"x": 0.0}}}, "greater than 0"),
        ({"data": {"root": ".", "sets": {}}}, "at least 1 item"),
        ({"loss": {"class_weights": [-1, 2]}}, "class_weights"),
        ({"loss": {"class_weights": [0, 0]}}, "nothing counts"),
        ({"loss": {"kind": "balanced", "class_weights": [1, 2]}}, "makes its own"),
        ({"data": {"root": ".", "sets": {"x": 1.0}, "validation": 0.3}}, "leave it out"),
        (
            {"stages": [{"iterations": 1, "batch_size": 1, "crop": 32, "scale": [2, 1]}]},
            "small to large",
        ),
    ],
)
def test_wrong_settings_are_named(
    data_root: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    if "device" in changes and torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(InputError, match=message):
        train(config(data_root, **changes), tmp_path)


def test_an_earlier_run_is_not_overwritten(data_root: Path, tmp_path: Path) -> None:
    short = config(
        data_root, stages=[{"iterations": 1, "batch_size": 2, "crop": 32, "scale": [1, 1]}]
    )
    train(short, tmp_path)
    with pytest.raises(InputError, match="holds an earlier run"):
        train(short, tmp_path)


def test_resuming_from_nothing_is_named(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.yaml is not there; give the folder"):
        train(config(data_root), tmp_path, resume=True)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_complete(path: Path) -> None:
    settings = load_settings(path, TrainConfig)
    assert settings.name == path.stem
    with torch.device("meta"):  # takes no time for large networks
        network = MODELS[settings.model](**settings.arguments)
    if settings.data.kind == "sequences":
        DetectionTask(network, settings, pictures=lambda _path: pytest.fail("is not read"))
    else:
        build_task(network, settings, pictures=1000)


def test_one_strength_of_the_default_recipe_can_be_set() -> None:
    changed = load_settings(DEFAULT, TrainConfig, ["augment.blur=0"])
    assert changed.augment.model_dump() == VariedAugment(blur=0).model_dump()


@pytest.mark.data
def test_held_back_pictures_are_never_read(shared_data: Path) -> None:
    settings = DataSettings(root=shared_data, sets={"cfd": 1.0, "masonry": 1.0})
    data = load_training_data(settings)
    seen = {(sample.set, sample.name) for sample in (*data.train, *data.validation)}
    assert len(seen) == len(data.train) + len(data.validation)
    for name in settings.sets:
        assert not {stem for set_, stem in seen if set_ == name} & held_back()[name]


@pytest.mark.data
def test_no_set_of_the_default_run_trains_on_a_held_back_name(shared_data: Path) -> None:
    for name in load_settings(DEFAULT, TrainConfig).data.sets:
        taken = open_dataset(shared_data, name, "train+val").names
        assert taken
        assert not set(taken) & held_back()[name], name


@given(st.integers(1, 500), st.integers(0, 20), st.sampled_from(["cosine", "polynomial"]))
def test_the_rate_rises_then_falls_to_its_end(iterations: int, warmup: int, name: str) -> None:
    optimiser = OptimiserSettings(lr=0.1)
    schedule = ScheduleSettings(name=name, warmup=warmup, final_lr=0.001)  # type: ignore[arg-type]
    total = iterations + warmup + 1
    rates = [learning_rate(t, total, optimiser, schedule) for t in range(total)]
    assert rates == sorted(rates[:warmup]) + sorted(rates[warmup:], reverse=True)
    assert max(rates) <= 0.1 + 1e-12
    assert min(rates[warmup:]) == pytest.approx(rates[-1])


def test_ignored_pixels_change_no_loss() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 2, 8, 8), torch.randint(0, 2, (2, 8, 8))
    labels[:, 4:] = 255
    other = logits.clone()
    other[:, :, 4:] += 3
    settings = LossSettings(class_weights=(1, 2), dice=1.0)
    first, second = (
        segmentation_loss({"logits": part}, labels, settings)["loss"] for part in (logits, other)
    )
    assert torch.allclose(first, second)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "balanced"])
def test_one_logit_of_crack_costs_as_much_as_two_classes(kind: str) -> None:
    torch.manual_seed(0)
    margin, labels = torch.randn(2, 1, 8, 8), torch.randint(0, 2, (2, 8, 8))
    weights = (1, 1) if kind == "balanced" else (1, 3)
    settings = LossSettings(kind=kind, class_weights=weights, dice=1.0)  # type: ignore[arg-type]
    shift = torch.randn(2, 1, 8, 8)
    pair = torch.cat([shift, margin + shift], dim=1)
    one, two = (
        segmentation_loss({"logits": part}, labels, settings)["loss"] for part in (margin, pair)
    )
    assert torch.allclose(one, two)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "balanced"])
def test_a_batch_of_one_class_has_a_loss_to_learn_from(kind: str, label: int) -> None:
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    labels = torch.full((1, 8, 8), label)
    settings = LossSettings(kind=kind)  # type: ignore[arg-type]
    loss = segmentation_loss({"logits": logits}, labels, settings)["loss"]
    loss.backward()
    assert float(loss.detach()) > 0.1
    assert (logits.grad.sign() == (1 if label == 0 else -1)).all()


def test_a_resumed_run_keeps_its_settings(data_root: Path, tmp_path: Path) -> None:
    settings = config(data_root)
    train(settings, tmp_path, stop_at=1)
    other = config(data_root, loss={"kind": "focal"})
    with pytest.raises(InputError, match=r"resume: loss differs from .*config\.yaml"):
        train(other, tmp_path, resume=True, stop_at=2)
    train(settings.model_copy(update={"workers": 1}), tmp_path, resume=True, stop_at=2)
    assert len(losses(tmp_path)) == 2


def test_sides_that_a_network_lacks_are_named() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    with pytest.raises(InputError, match=r"loss\.sides: 2 weights for a network of 0"):
        segmentation_loss({"logits": torch.zeros(1, 1, 4, 4)}, labels, LossSettings(sides=(1, 1)))


def test_easy_pixels_weigh_less_in_the_focal_loss() -> None:
    labels = torch.ones(1, 1, 2, dtype=torch.int64)
    logits = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2).requires_grad_()
    slopes = {}
    for kind in ("cross_entropy", "focal"):
        loss = pixel_loss(logits, labels, LossSettings(kind=kind))  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(loss, logits)
        slopes[kind] = abs(float(gradient[..., 1] / gradient[..., 0]))
    assert slopes["focal"] < 0.1 * slopes["cross_entropy"]


def test_stairs_of_the_rate() -> None:
    optimiser = OptimiserSettings(lr=1.0)
    step = ScheduleSettings(name="step", every=10, factor=0.5)
    assert [learning_rate(t, 40, optimiser, step) for t in (0, 9, 10, 39)] == [1, 1, 0.5, 0.125]
    constant = ScheduleSettings(name="constant", warmup=2)
    assert [learning_rate(t, 40, optimiser, constant) for t in (0, 1, 39)] == [0.5, 1, 1]
    linear = ScheduleSettings(name="linear", every=10, hold=2)
    assert [learning_rate(t, 40, optimiser, linear) for t in (0, 19, 20, 39)] == pytest.approx(
        [1, 1, 2 / 3, 1 / 3]
    )


def test_the_released_loss_shrinks_with_padding() -> None:
    logits, labels = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    full = cross_entropy(logits, labels, (5, 10), "all_pixels")
    labels[:, 2:] = 255
    half = cross_entropy(logits, labels, (5, 10), "all_pixels")
    assert float(half) == pytest.approx(float(full) / 2)
