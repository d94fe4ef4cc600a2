"""CSSR's losses: cross-entropy and Dice of every picture, and where its mistakes lie.

Legend: N pictures; logits, probabilities p, targets t (0…1, 1 is crack) and normalised signed
distances S (`fissura.distance`, from the loader) are N×1×H×W; a loss has one value per picture, N.

    region = (a · cross-entropy + b · Dice) / (a + b)
    loss   = α · region + (1 − α) · mean(p · S)

The functions named `released_…` keep what the release does to probabilities, flaws included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from fissura.train.config import AlphaSettings, ComboLossSettings, Stage
from fissura.train.losses import AUX_EPS, AUX_WEIGHT, IGNORED, two_classes, upsample

EACH = (1, 2, 3)
TINY = 1e-8
DICE_SMOOTHING = 1e-6
CERTAIN = 1e4
"""A logit whose loss is exactly 0."""
RELEASED_SMOOTHING = 1e-5

PUBLISHED: dict[str, ComboLossSettings] = {
    name: ComboLossSettings(released=True, alpha=AlphaSettings(rule="released"), **values)  # type: ignore[arg-type]
    for name, values in {
        "dice": {"cross_entropy": 0, "boundary": False},
        "b_gdice": {"cross_entropy": 0, "dice": "generalised"},
        "bc1": {"class_weights": (1, 20)},
        "bc2": {},
        "gbc1": {"class_weights": (1, 20), "dice": "generalised"},
        "gbc2": {"dice": "generalised"},
    }.items()
}
"""The published losses as released; without `released` each is sound, with `alpha.step` 0 as the
published weights were trained."""


def combo_loss(
    logits: Tensor, target: Tensor, distance: Tensor, alpha: float, settings: ComboLossSettings
) -> Tensor:
    """The loss that `settings` describe, at `boundary_alpha`'s α."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    p = torch.sigmoid(logits)
    if settings.released:
        return released_combo_loss(p, target, distance, alpha, settings)
    cross = weighted_cross_entropy(logits, target, settings.class_weights)
    overlap = (dice if settings.dice == "plain" else generalised_dice)(p, target)
    return _mix(cross, overlap, boundary(p, distance), alpha, settings)


def released_combo_loss(
    p: Tensor, target: Tensor, distance: Tensor, alpha: float, settings: ComboLossSettings
) -> Tensor:
    """The same of probabilities, by the release's arithmetic."""
    p = p.clamp(min=TINY) if settings.boundary else p
    cross = released_cross_entropy(p, target, settings.class_weights)
    overlap = (dice if settings.dice == "plain" else released_generalised_dice)(p, target)
    return _mix(cross, overlap, boundary(p, distance), alpha, settings)


def _mix(
    cross: Tensor, overlap: Tensor, border: Tensor, alpha: float, settings: ComboLossSettings
) -> Tensor:
    total = settings.cross_entropy + settings.overlap
    region = (settings.cross_entropy * cross + settings.overlap * overlap) / total
    return alpha * region + (1 - alpha) * border if settings.boundary else region


def combo_parts(
    outputs: Mapping[str, Tensor],
    labels: Tensor,
    distance: Tensor | None,
    alpha: float,
    settings: ComboLossSettings,
) -> dict[str, Tensor]:
    """Mean over the batch for `logits` and for PSPNet's `aux`, and their sum as `loss`.

    Labels are N×H×W, 255 ignored: such pixels count as background that is found for certain.
    """
    ignored, target = (labels == IGNORED)[:, None], (labels == 1)[:, None].float()
    signed = torch.zeros_like(target) if distance is None else distance
    full = two_classes(upsample(outputs["logits"], labels.shape[-2:]))
    margin = (full[:, 1:] - full[:, :1]).masked_fill(ignored, -CERTAIN)
    parts = {"cracks": combo_loss(margin, target, signed, alpha, settings).mean()}
    if "aux" in outputs:
        p = outputs["aux"].masked_fill(ignored, 0)
        if settings.released:
            loss = released_combo_loss(p, target, signed, alpha, settings)
        else:
            loss = combo_loss(torch.logit(p, AUX_EPS), target, signed, alpha, settings)
        parts["aux"] = AUX_WEIGHT * loss.mean()
    return parts | {"loss": torch.stack(list(parts.values())).sum()}


# ---- the parts -----------------------------------------------------------------------------


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, class_weights: tuple[float, float]
) -> Tensor:
    """Mean over pixels, background and crack times their weight, over the sum of both weights."""
    background, crack = class_weights
    miss = crack * target * functional.softplus(-logits)
    false_alarm = background * (1 - target) * functional.softplus(logits)
    return (miss + false_alarm).mean(EACH) / (background + crack)


def released_cross_entropy(p: Tensor, target: Tensor, class_weights: tuple[float, float]) -> Tensor:
    """The same of probabilities; 1e-8 keeps logarithms finite, but lets gradients reach 1e8."""
    background, crack = class_weights
    p = p.clamp(min=TINY)
    miss = crack * target * torch.log(p + TINY)
    false_alarm = background * (1 - target) * torch.log(1 - p + TINY)
    return -(miss + false_alarm).mean(EACH) / (background + crack)


def dice(p: Tensor, target: Tensor) -> Tensor:
    """1 − Dice with squares below; about 1, and of no slope, where the picture has no crack."""
    overlap = 2 * (p * target).sum(EACH) + DICE_SMOOTHING
    return 1 - overlap / ((p**2).sum(EACH) + (target**2).sum(EACH) + DICE_SMOOTHING)


def generalised_dice(p: Tensor, target: Tensor) -> Tensor:
    """1 − Dice of crack and background, each weighed by 1 / (its pixels in the picture)².

    Sudre et al., "Generalised Dice overlap …", DLMIA 2017. A class that the picture lacks weighs
    as much as the other, so that a picture without cracks costs its mean probability.
    """
    both, truths = torch.cat([p, 1 - p], dim=1), torch.cat([target, 1 - target], dim=1)
    pixels = truths.sum((2, 3))  # N×2
    weights = torch.where(pixels >= 1, pixels, pixels.amax(dim=1, keepdim=True)) ** -2
    overlap = (weights * (both * truths).sum((2, 3))).sum(dim=1)
    return 1 - 2 * overlap / (weights * (both + truths).sum((2, 3))).sum(dim=1)


def released_generalised_dice(p: Tensor, target: Tensor) -> Tensor:
    """Of the crack alone, so that the weight cancels out and the smoothing rules large cracks.

    Above 30,000 crack pixels an empty prediction costs less than 0.5 and a perfect one below 0.
    """
    weight = (target.sum(EACH) + 1e-10) ** -2
    overlap = weight * (p * target).sum(EACH) + RELEASED_SMOOTHING
    whole = weight * (p.sum(EACH) + target.sum(EACH)) + RELEASED_SMOOTHING
    return 1 - 2 * overlap / whole


def boundary(p: Tensor, distance: Tensor) -> Tensor:
    """Mean of p · S: probability far outside cracks costs, deep inside it pays; −1…1."""
    return (p * distance).mean(EACH)


# ---- α -------------------------------------------------------------------------------------


def boundary_alpha(
    iteration: int, pictures: int, batch_size: int, settings: AlphaSettings
) -> float:
    """α in force at an iteration, counted from 0, of training on so many pictures.

    It depends on nothing else, so that validation, a second output, several devices and resuming
    leave it alone: max(minimum, start − step · ⌊epochs passed / epochs⌋).
    """
    if settings.rule == "released":
        return _released_alpha(iteration // (pictures // batch_size + 1), settings)
    passed = iteration * batch_size / pictures
    steps = math.floor(passed / settings.epochs + 1e-9)
    return max(settings.minimum, settings.start - settings.step * steps)


def alpha_of_run(
    iteration: int, pictures: int, stages: Sequence[Stage], settings: AlphaSettings
) -> float:
    """`boundary_alpha` where stages follow each other; those that train no crack map do not count.

    Where batch sizes differ, as many iterations of the present one count as saw as many pictures.
    """
    seen, left = 0, iteration
    for stage in stages:
        done = min(left, stage.iterations)
        seen += done * stage.batch_size if stage.train != "image" else 0
        left -= done
        if not left and done < stage.iterations:
            break
    return boundary_alpha(seen // stage.batch_size, pictures, stage.batch_size, settings)


def _released_alpha(epochs: int, settings: AlphaSettings) -> float:
    """Subtracted step by step while above the minimum: the last step can go below it."""
    alpha = settings.start
    for _ in range(epochs):
        if alpha <= settings.minimum:
            break
        alpha -= settings.step
    return alpha
