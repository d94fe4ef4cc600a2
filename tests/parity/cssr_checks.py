"""CSSR's losses, schedules, metrics, degradation and augmentation: all that is no network."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fissura.augment import Box, Distortion, distort, take_box
from fissura.degrade import bicubic, bicubic_antialias, bilinear, enlarge, resample
from fissura.distance import normalised_distance, signed_distance
from fissura.evaluate import PROTOCOLS
from fissura.metrics import CURVE_SCORES, Draws
from fissura.metrics.image import psnr_rgb, ssim_zero_pad
from fissura.metrics.segmentation import smooth_iou
from fissura.metrics.surface import hausdorff

from . import fill
from .fixtures import Fixture

torch = pytest.importorskip("torch")

from fissura.train import boundary as losses  # noqa: E402
from fissura.train.config import (  # noqa: E402
    AlphaSettings,
    ComboLossSettings,
    OptimiserSettings,
    ScheduleSettings,
)
from fissura.train.schedule import learning_rate  # noqa: E402

RTOL = 1e-5
GRADIENT_RTOL = 2e-4
PHOTO_ATOL = 2e-3
PIXEL_ATOL = 2e-6
"""What interpolation in 32 bits differs by between OpenCV and the original's library."""


def told(fixture: Fixture, name: str) -> str:
    """What golden.json says about an array."""
    return str(fixture.golden["arrays"][name]["what"])


def captured(fixture: Fixture, name: str, pattern: str) -> tuple[str, ...]:
    """What `pattern` captures of the description, which holds the parameters."""
    found = re.search(pattern, told(fixture, name))
    assert found, f"{name}: no {pattern} in {told(fixture, name)!r}"
    return found.groups()


def integers(text: str) -> list[int]:
    """A list with commas."""
    return [int(part) for part in text.split(",")]


def given(fixture: Fixture, name: str) -> NDArray[np.float32]:
    """An input that is named by its seed."""
    entry = fixture.golden["inputs"][name]
    return fill.image(entry["seed"], *entry["shape"])


def same(fixture: Fixture, name: str, got: Any, rtol: float, atol: float = 0.0) -> None:
    """Every element within atol + rtol × its own size; inf and not-a-number in the same places."""
    want = fixture.arrays[name]
    got = np.asarray(got)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, recorded {want.shape}"
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=name)
    finite = np.isfinite(want)
    fixture.compared[name] = float(np.abs(got[finite] - want[finite]).max(initial=0))


# ---- losses and schedules ------------------------------------------------------------------


def recorded_batch(fixture: Fixture) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Probabilities, targets and their distances, as the released losses see them."""
    fixture.leave("loss.predict", "an input")
    fixture.leave("loss.target", "an input")
    p, target = (torch.from_numpy(fixture.arrays[f"loss.{k}"]) for k in ("predict", "target"))
    distance = [normalised_distance(mask[0] >= 1, released=True) for mask in target.numpy()]
    return p, target, torch.from_numpy(np.stack(distance))[:, None]


def released(name: str, alpha: float) -> Callable[..., torch.Tensor]:
    """A published loss by its name in the fixture."""
    if name == "dice":
        return lambda p, target, _distance: losses.dice(p, target)
    settings = losses.PUBLISHED[name]
    return lambda p, target, distance: losses.released_combo_loss(
        p, target, distance, alpha, settings
    )


def check_losses(fixture: Fixture) -> None:
    p, target, distance = batch = recorded_batch(fixture)
    same(fixture, "loss.dice", losses.dice(p, target), RTOL)
    same(fixture, "loss.gdice", losses.released_generalised_dice(p, target), RTOL)
    same(fixture, "loss.boundary", losses.boundary(p, distance), RTOL)
    for name in (name for name in fixture.arrays if name.startswith("loss.")):
        if found := re.fullmatch(r"loss\.wbce_([\d.]+)_([\d.]+)", name):
            weights = float(found[2]), float(found[1])
            same(fixture, name, losses.released_cross_entropy(p, target, weights), RTOL)
        elif found := re.fullmatch(r"loss\.combo_([\d.]+)_([\d.]+)_w([\d.]+)_([\d.]+)", name):
            share, other, crack, background = map(float, found.groups())
            settings = ComboLossSettings(
                cross_entropy=share,
                overlap=other,
                class_weights=(background, crack),
                boundary=False,
            )
            same(fixture, name, losses.released_combo_loss(*batch, 1.0, settings), RTOL)
        elif found := re.fullmatch(r"loss\.(\w+)_alpha([\d.]+)", name):
            same(fixture, name, released(found[1], float(found[2]))(*batch), RTOL, atol=1e-7)
    check_plain_cross_entropy(fixture)
    check_gradients(fixture)


def check_plain_cross_entropy(fixture: Fixture) -> None:
    """Ours takes logits: where p is 0 or 1, those at which the recorded logarithm is clamped."""
    p, target, _ = (part.double() for part in recorded_batch(fixture))
    logits = torch.logit(p).clamp(-100, 100)
    mean = 2 * losses.weighted_cross_entropy(logits, target, (1, 1)).mean()
    same(fixture, "loss.bce", mean, RTOL)


def check_gradients(fixture: Fixture) -> None:
    for name in (name for name in fixture.arrays if name.startswith("loss.grad_")):
        alpha = float(captured(fixture, name, r"alpha ([\d.]+)")[0])
        p, target, distance = recorded_batch(fixture)
        p.requires_grad_()
        loss = released(name.removeprefix("loss.grad_"), alpha)(p, target, distance)
        loss.sum().backward()
        got = p.grad.numpy()
        ordinary = np.abs(fixture.arrays[name]) < 1  # apart from those at p = 1
        atol = RTOL * float(np.abs(fixture.arrays[name][ordinary]).max())
        same(fixture, name, got, GRADIENT_RTOL, atol)


def check_distances(fixture: Fixture) -> None:
    masks = fixture.arrays["loss.target"][:, 0] >= 1
    atol = 2e-6
    for name, distance in (("normalised", normalised_distance), ("pixels", signed_distance)):
        got = np.stack([distance(mask) for mask in masks])[:, None]
        same(fixture, f"sdf.{name}", got, RTOL, atol)
    full = np.ones(fixture.arrays["sdf.full_mask"].shape[2:], bool)
    same(fixture, "sdf.full_mask", normalised_distance(full, released=True)[None, None], 0)
    assert not normalised_distance(full).any()


def check_schedules(fixture: Fixture) -> None:
    for name in (name for name in fixture.arrays if name.startswith("schedule.alpha_")):
        found = re.fullmatch(r"schedule\.alpha_per(\d+)(?:_ratio([\d.]+))?", name)
        settings = AlphaSettings(rule="released", step=0.01 * float(found[2] or 1))
        pictures = int(found[1]) - 1  # with batches of 1, the release then counts one more
        calls = range(len(fixture.arrays[name]))
        alphas = [losses.boundary_alpha(k, pictures, 1, settings) for k in calls]
        same(fixture, name, alphas, 0)
        if not found[2]:
            ours = [losses.boundary_alpha(k, pictures + 1, 1, AlphaSettings()) for k in calls]
            np.testing.assert_allclose(ours, alphas, atol=1e-12)
    name = "schedule.b_gdice_resume"
    resumed, each = captured(fixture, name, r"iterations ([\d,]+) with (\d+) per epoch")
    bottomless = AlphaSettings().model_copy(update={"minimum": -1.0})  # as the release resumes
    alphas = [losses.boundary_alpha(k, int(each), 1, bottomless) for k in integers(resumed)]
    same(fixture, name, alphas, 0, atol=1e-12)
    check_learning_rates(fixture)


def check_learning_rates(fixture: Fixture) -> None:
    name = "schedule.lr_warmup"
    steps = integers(captured(fixture, name, r"steps ([\d,]+)")[0])
    base, factor, length = captured(
        fixture, name, r"base ([\de.-]+), .*factor ([\d./]+) over (\d+)"
    )
    warm = ScheduleSettings(
        name="constant", warmup=int(length), warmup_factor=float(Fraction(factor))
    )
    flat = warm.model_copy(update={"warmup_factor": 1.0})
    flat_base = captured(fixture, "schedule.lr_flat", r"base ([\de.-]*\d)")[0]
    for name, lr, schedule in (
        ("schedule.lr_warmup", base, warm),
        ("schedule.lr_flat", flat_base, flat),
    ):
        optimiser = OptimiserSettings(name="adam", lr=float(lr))
        rates = [learning_rate(step, max(steps) + 1, optimiser, schedule) for step in steps]
        same(fixture, name, rates, 1e-12)


# ---- metrics -------------------------------------------------------------------------------


def counted(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> Draws:
    """Counts of predictions and truths by the protocol `cssr`."""
    protocol = PROTOCOLS["cssr"]
    tally = protocol.tally(None)
    for prediction, truth in pairs:
        tally.update(protocol.encode(prediction), truth)
    images = tally.compute()[0]
    return Draws(protocol.thresholds, images, np.ones((1, len(tally))), protocol.empty)


def check_overlap(fixture: Fixture) -> None:
    """IoU of every picture at 99 thresholds and what is made of it."""
    fixture.leave("metric.prob", "an input")
    masks = fixture.arrays["loss.target"][:, 0] > 0.5
    draws = counted(list(zip(fixture.arrays["metric.prob"][:, 0], masks, strict=True)))
    table = smooth_iou(draws.images)
    same(fixture, "metric.iou_table", table, 1e-12)
    same(fixture, "metric.iou_0.5", table[:, 49], 1e-12)
    same(fixture, "metric.aiu", CURVE_SCORES["aiu"](draws)[0], 1e-12)
    same(fixture, "metric.iou_max", CURVE_SCORES["iou_max"](draws)[0], 1e-12)
    nothing, pixel = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    pixel[1, 2] = 1
    pairs = [(nothing, nothing > 0), (nothing, pixel > 0), (pixel, nothing > 0)]
    same(fixture, "metric.iou_empty", smooth_iou(counted(pairs).images)[:, 49], RTOL)


def check_pictures(fixture: Fixture) -> None:
    """PSNR and SSIM."""
    a, b = given(fixture, "metric_a"), fixture.arrays["metric.img_b"]
    noisy = a + np.float32(0.2) * (given(fixture, "metric_noise") - np.float32(0.5))
    same(fixture, "metric.img_b", np.clip(noisy, 0, 1), 0, 1e-7)
    pairs = [(x.transpose(1, 2, 0), y.transpose(1, 2, 0)) for x, y in zip(a, b, strict=True)]
    same(fixture, "metric.psnr", [psnr_rgb(*pair) for pair in pairs], RTOL)
    same(fixture, "metric.ssim", [ssim_zero_pad(*pair) for pair in pairs], RTOL)
    first = [ssim_zero_pad(x[..., 0], y[..., 0]) for x, y in pairs]
    same(fixture, "metric.ssim_1ch", first, RTOL)
    same(fixture, "metric.psnr_same", [psnr_rgb(x, x) for x, _ in pairs], 0)
    same(fixture, "metric.ssim_same", [ssim_zero_pad(x, x) for x, _ in pairs], RTOL)


def check_hausdorff(fixture: Fixture) -> None:
    order = integers(captured(fixture, "metric.hausdorff", r"samples ([\d,]+)")[0])
    claimed = fixture.arrays["metric.prob"][order, 0] >= 0.5
    masks = fixture.arrays["loss.target"][order, 0] > 0.5
    got = [hausdorff(*pair) for pair in zip(claimed, masks, strict=True)]
    same(fixture, "metric.hausdorff", got, RTOL)


# ---- pictures ------------------------------------------------------------------------------


def planes_last(planes: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def check_degradation(fixture: Fixture) -> None:
    for name in (name for name in fixture.arrays if name.startswith("degrade.")):
        source = fixture.golden["arrays"][name]["input"]
        stored = source in fixture.arrays  # the masks, N×1×H×W
        planes = fixture.arrays[source] if stored else given(fixture, source)[None]
        scale = planes.shape[-2] // fixture.arrays[name].shape[-2]
        small = [operator(name)(planes_last(plane), scale) for plane in planes]
        got = np.stack([plane.transpose(2, 0, 1) for plane in small])
        same(fixture, name, got if stored else got[0], RTOL, PIXEL_ATOL)


def operator(name: str) -> Callable[[NDArray[np.float32], int], NDArray[np.float32]]:
    """The release's, but for arrays that were recorded for reference."""
    known = {
        "degrade.ref_bilinear_aa": bilinear_antialias,
        "degrade.ref_bicubic": bicubic,
        "degrade.ref_bicubic_aa": bicubic_antialias,
    }
    return known.get(name, bilinear)


def bilinear_antialias(image: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    size_wh = image.shape[1] // scale, image.shape[0] // scale
    return resample(image, size_wh, Image.Resampling.BILINEAR)


def check_enlargement(fixture: Fixture) -> None:
    image = planes_last(fixture.arrays["degrade.x4"])
    got = enlarge(image, fixture.arrays["upsample.bicubic_x4"].shape[-2] // image.shape[0])
    same(fixture, "upsample.bicubic_x4", got.transpose(2, 0, 1), RTOL, PIXEL_ATOL)
    smoother = resample(image, got.shape[1::-1], Image.Resampling.BICUBIC)
    name = "upsample.ref_bicubic_aa"
    same(fixture, name, smoother.transpose(2, 0, 1), RTOL, PIXEL_ATOL)


def check_crop(fixture: Fixture) -> None:
    fixture.leave("crop.mask_in", "an input")
    numbers = captured(fixture, "crop.image", r"\)=\(([\d, ]+)\) and resized to \[([\d, ]+)\]")
    box, (height, width) = Box(*integers(numbers[0])), integers(numbers[1])
    white = np.float32(255)
    image = planes_last(given(fixture, "crop_in")) * white
    got = take_box(image, box, (height, width)) / white
    same(fixture, "crop.image", got.transpose(2, 0, 1), RTOL, PIXEL_ATOL)
    mask = fixture.arrays["crop.mask_in"][0] * white
    got = take_box(mask, box, (height, width)) / white
    same(fixture, "crop.mask", got[None], RTOL, PIXEL_ATOL)


def check_photometric(fixture: Fixture) -> None:
    image = np.floor(given(fixture, "photo_in") * 256).astype(np.float32)
    for name in (name for name in fixture.arrays if name.startswith("photo.")):
        got = distort(image, distortion_in(told(fixture, name)), clip=False)
        same(fixture, name, got, 0, PHOTO_ATOL)
        assert distort(image, distortion_in(told(fixture, name))).min() >= 0


def distortion_in(text: str) -> Distortion:
    """The parameters that a description names; what it leaves out changes nothing."""
    patterns = {
        "brightness": (r"brightness ([+-][\d.]+)", 0.0),
        "contrast": (r"contrast x([\d.]+)", 1.0),
        "saturation": (r"saturation x([\d.]+)", 1.0),
        "hue_deg": (r"hue ([+-][\d.]+)", 0.0),
    }
    values = {}
    for field, (pattern, neutral) in patterns.items():
        found = re.search(pattern, text)
        values[field] = float(found[1]) if found else neutral
    order = re.search(r"order \(([\d,]+)\)", text)
    last = "contrast" in text and text.index("contrast") > text.find("saturation")
    channels = tuple(integers(order[1])) if order else (0, 1, 2)
    return Distortion(**values, contrast_last=last, channels=channels)


CHECKS: dict[str, Callable[[Fixture], None]] = {
    "loss.": check_losses,
    "sdf.": check_distances,
    "schedule.": check_schedules,
    "metric.iou": check_overlap,
    "metric.psnr": check_pictures,
    "metric.hausdorff": check_hausdorff,
    "degrade.": check_degradation,
    "upsample.": check_enlargement,
    "crop.": check_crop,
    "photo.": check_photometric,
}
"""How arrays are compared, by the beginning of a name that stands for the group."""
