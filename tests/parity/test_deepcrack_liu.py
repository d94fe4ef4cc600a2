"""DeepCrack (Liu) against the recorded outputs of its release, array by array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from . import fixtures
from .fixtures import Fixture, image_in, labels_in

torch = pytest.importorskip("torch")

from fissura.config import PredictSettings, load_settings  # noqa: E402
from fissura.evaluate import PROTOCOLS  # noqa: E402
from fissura.metrics import POINT_SCORES, CrackCounts  # noqa: E402
from fissura.models import DeepCrackLiu  # noqa: E402
from fissura.refine import refine  # noqa: E402
from fissura.refine.guided_filter import RELEASED_THRESHOLD, guided_filter  # noqa: E402
from fissura.train.config import (  # noqa: E402
    LossSettings,
    OptimiserSettings,
    ScheduleSettings,
    TrainConfig,
)
from fissura.train.losses import pixel_loss, segmentation_loss  # noqa: E402
from fissura.train.optimiser import build_optimiser  # noqa: E402
from fissura.train.schedule import learning_rate  # noqa: E402

from .augment_checks import check_liu as check_augmentation  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SIDES = [f"side{k}" for k in range(1, 6)]
BCE_WEIGHT = 1 / 0.03
LOSSES = ("focal", "bce")


def released() -> TrainConfig:
    return load_settings(ROOT / "configs" / "deepcrack_liu_released.yaml", TrainConfig)


def loss_settings(name: str) -> LossSettings:
    """The release's two losses, as the settings write them."""
    focal = released().loss
    bce = {"kind": "cross_entropy", "class_weights": (1.0, BCE_WEIGHT)}
    return focal if name == "focal" else focal.model_copy(update=bce)


def network(fixture: Fixture, bn_mode: str = "running") -> DeepCrackLiu:
    built = DeepCrackLiu(bn_mode).eval()
    built.load_state_dict({k: torch.from_numpy(v) for k, v in fixture.state().items()})
    return built


@torch.no_grad()
def check_outputs(fixture: Fixture) -> None:
    told = fixture.golden["tolerance"]
    close = {"atol": told["forward_atol"], "rtol": told["forward_rtol"]}
    x = torch.from_numpy(image_in(fixture.golden["input"]["expr"]))
    built = network(fixture)
    outputs = built(x)
    for name in SIDES:
        fixture.close(name, outputs[name].numpy(), **close)
    fixture.close("fused", outputs["logits"].numpy(), **close)
    fixture.close("fused_uint8", np.floor(255 * outputs["logits"][0, 0].sigmoid().numpy()), atol=1)
    stages = built.features(x)
    fixture.close("conv1_ch0_8", stages[0][:, :8].numpy(), **close)
    fixture.close("conv3_ch0_16", stages[2][:, :16].numpy(), **close)
    fixture.close("conv5_ch0_64", stages[4][:, :64].numpy(), **close)
    fixture.close("side5_lowres", built.side_conv5(stages[4]).numpy(), **close)


@torch.no_grad()
def check_per_image(fixture: Fixture) -> None:
    """Norms of the picture's own statistics, in evaluation mode and as the release runs them."""
    atol = fixture.golden["tolerance"]["batchstat_atol"]
    x = torch.from_numpy(image_in(fixture.golden["input"]["expr"]))
    ours = network(fixture, "per_image")(x)
    theirs = network(fixture).train()
    training = theirs(x)
    for outputs in (training, ours):
        for name in SIDES:
            fixture.close(f"{name}_batchstat", outputs[name].numpy(), atol=atol)
        fixture.close("fused_batchstat", outputs["logits"].numpy(), atol=atol)
    norm = theirs.conv5[7]
    fixture.close("conv5_7_running_mean_after", norm.running_mean.numpy(), atol=atol)
    fixture.close("conv5_7_running_var_after", norm.running_var.numpy(), atol=atol)


def check_training(fixture: Fixture) -> None:
    """Three steps of the released recipe in double precision, with either loss."""
    rtol = fixture.golden["tolerance"]["train_float64_rtol"]
    batch = fixture.golden["train_batch"]
    x = torch.from_numpy(image_in(batch["x"])).double()
    y = torch.from_numpy(labels_in(batch["y"]))[:, 0]
    for name in LOSSES:
        settings = loss_settings(name)
        built = network(fixture).double().train()
        optimiser = build_optimiser(built, released().optimiser)
        losses = []
        for step in range(3):
            parts = segmentation_loss(built(x), y, settings)
            losses.append([float(parts[key].detach()) for key in ("loss", "sides", settings.kind)])
            optimiser.zero_grad()
            parts["loss"].backward()
            if step == 0:
                norms = [float(value.grad.norm()) for value in built.parameters()]
                fixture.close(f"{name}_grad_l2_norms", np.array(norms), rtol=rtol)
                gradient = built.fuse_conv.weight.grad.numpy().copy()
                fixture.close(f"{name}_grad_fuse_conv", gradient, rtol=rtol)
            optimiser.step()
        fixture.close(f"{name}_train_losses", np.array(losses), rtol=rtol)
        after = built.fuse_conv.weight.detach().numpy()
        fixture.close(f"{name}_fuse_conv_after3", after, rtol=rtol)


def check_losses(fixture: Fixture) -> None:
    inputs = fixture.golden["loss_inputs"]
    logits = torch.from_numpy((image_in(inputs["logits"]) - np.float32(0.5)) * 12).double()
    target = torch.from_numpy(labels_in(inputs["target"]))[:, 0]
    focal, bce = (float(pixel_loss(logits, target, loss_settings(name))) for name in LOSSES)
    fixture.close("focal_mean_sum", np.array([focal, focal * target.numel()]), rtol=1e-6)
    fixture.close("bce_posweight_mean", np.array([bce]), rtol=1e-6)


def check_schedules(fixture: Fixture) -> None:
    config = released()
    epoch = config.schedule.every // 40
    name = next(name for name in fixture.arrays if name.startswith("lr_at_epochs"))
    rates = [
        learning_rate((e - 1) * epoch, config.iterations, config.optimiser, config.schedule)
        for e in map(int, name.removeprefix("lr_at_epochs_").split("_"))
    ]
    fixture.close(name, np.array(rates), rtol=1e-9)
    name = next(name for name in fixture.arrays if name.startswith("lr_linear"))
    linear = ScheduleSettings(name="linear", every=epoch, hold=100)
    optimiser = OptimiserSettings(lr=fixture.arrays[name][0])
    rates = [
        learning_rate((e - 1) * epoch, 200 * epoch, optimiser, linear)
        for e in map(int, name.removeprefix("lr_linear_at_epochs_").split("_"))
    ]
    fixture.close(name, np.array(rates), rtol=1e-9)


def check_metrics(fixture: Fixture) -> None:
    protocol = PROTOCOLS["liu2019-release"]
    rtol = fixture.golden["tolerance"]["metrics_rtol"]
    predictions, truths = fixture.arrays["metric_pred_uint8"], fixture.arrays["metric_gt_uint8"]
    fixture.leave("metric_pred_uint8", "an input")
    fixture.leave("metric_gt_uint8", "an input")
    tally = CrackCounts(protocol.thresholds)
    for prediction, truth in zip(predictions, truths, strict=True):
        tally.update(prediction, truth > 127)
    pooled = tally.compute()[0].weighted(np.ones((1, len(tally))))
    names = ("precision", "recall", "f1", "accuracy", "class_accuracy", "mean_iou")
    columns = [POINT_SCORES[name](pooled, protocol.empty)[0] for name in names]
    thresholds = np.array(protocol.thresholds.values)
    fixture.close("metric_prf", np.stack([thresholds, *columns[:3]], axis=1), rtol=rtol)
    fixture.close("metric_sem", np.stack([thresholds, *columns[3:]], axis=1), rtol=rtol)
    k = int(columns[2].argmax())
    best = [thresholds[k], *(column[k] for column in columns), columns[5].max()]
    fixture.close("metric_best", np.array(best), rtol=rtol)


def check_guided_filter(fixture: Fixture) -> None:
    """The filter by its formula, the released procedure, and OpenCV's own with three channels."""
    told, arrays = fixture.golden["guided_filter"], fixture.arrays
    guide, fused = arrays["gf_guide_uint8"], arrays["gf_fused_uint8"]
    fixture.leave("gf_guide_uint8", "an input")
    fixture.leave("gf_fused_uint8", "an input")
    source = np.where(fused > RELEASED_THRESHOLD * 255, np.uint8(255), np.uint8(0))
    fixture.close("gf_src_uint8", source)
    exact = guided_filter(
        guide.astype(np.float64),
        source.astype(np.float64),
        told["params"]["radius"],
        told["params"]["eps"],
    )
    fixture.close("gf_gray_float64", exact, atol=0.01)

    maps = [values.astype(np.float32) / np.float32(255) for values in (fused, guide)]
    picture = np.zeros((*fused.shape, 3), np.uint8)
    ways = (("guided-released", "gf_gray_uint8"), ("guided-official", "gf_official_3ch_uint8"))
    for way, name in ways:
        settings = PredictSettings(refine=way)
        got = np.rint(255 * refine(maps[0], picture, settings, maps[1]))
        if way == "guided-official" and cv2.__version__ != told["opencv_contrib"]:
            largest = np.abs(got - arrays[name]).max()
            fixture.leave(name, f"OpenCV {cv2.__version__} differs by {largest:g} grey levels")
        else:
            fixture.close(name, got, atol=1)


CHECKS: dict[str, Callable[[Fixture], None]] = {
    "fused": check_outputs,
    "fused_batchstat": check_per_image,
    "focal_train_losses": check_training,
    "focal_mean_sum": check_losses,
    "lr_": check_schedules,
    "metric_": check_metrics,
    "gf_": check_guided_filter,
    "ds_": check_augmentation,
}
"""How arrays are compared, by the beginning of a name that stands for the group."""


@pytest.mark.parametrize("folder", fixtures.find("deepcrack_liu"), ids=lambda folder: folder.name)
def test_deepcrack_liu_equals_its_original(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixtures.check_all(folder, CHECKS, capsys)
