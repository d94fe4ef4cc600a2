"""Losses on logits: small callables, torch in and a scalar out.

Legend: N batch, K classes (1: a logit of crack; 2: background, crack), h×w logits, H×W labels
(int64, 255 = ignored).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from fissura.train.config import LossSettings
from fissura.types import InputError

IGNORED = 255
FOCAL_GAMMA = 2
LEAST_SHARE = 1e-3
"""Of a class, in a balanced loss."""
AUX_WEIGHT = 0.4
AUX_EPS = 1e-6
"""PSPNet's auxiliary map holds probabilities: its loss is that of their logits, kept this far
from 0 and 1."""


def upsample(logits: Tensor, size_hw: torch.Size | tuple[int, int]) -> Tensor:
    """Bilinear, pixel corners not aligned: N×K×h×w → N×K×H×W."""
    return functional.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)


def two_classes(logits: Tensor) -> Tensor:
    """N×1×H×W logits of crack → N×2×H×W with the background's at 0: the sigmoid as a softmax."""
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: tuple[float, ...] | Tensor, reduction: str
) -> Tensor:
    """Weighted cross-entropy of N×2×H×W logits; see `LossSettings.reduction`."""
    weights = torch.as_tensor(class_weights, dtype=logits.dtype, device=logits.device)
    if reduction == "weighted_mean":
        return functional.cross_entropy(logits, labels, weights, ignore_index=IGNORED)
    per_pixel = functional.cross_entropy(
        logits, labels, weights, ignore_index=IGNORED, reduction="none"
    )
    return per_pixel.mean()


def focal(
    logits: Tensor, labels: Tensor, class_weights: tuple[float, ...], reduction: str
) -> Tensor:
    """Cross-entropy of N×2×H×W logits times (1 − p)², p the probability of the true class.

    Lin, Goyal, Girshick, He, Dollár: "Focal loss for dense object detection", ICCV 2017, eq. 4.
    """
    weights = torch.as_tensor(class_weights, dtype=logits.dtype, device=logits.device)
    plain = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")
    weight = weights[torch.where(labels == IGNORED, 0, labels)] * (labels != IGNORED)
    total = (weight * (1 - torch.exp(-plain)) ** FOCAL_GAMMA * plain).sum()
    return total / (labels.numel() if reduction == "all_pixels" else weight.sum())


def balanced(logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    """Cross-entropy in which either class weighs as much as the other has pixels in the batch.

    Xie, Tu: "Holistically-nested edge detection", ICCV 2015, eq. 2. No weight falls below a
    thousandth, so that a batch of one class alone still has a loss.
    """
    cracks = (labels == 1).sum() / (labels != IGNORED).sum().clamp(min=1)
    cracks = cracks.clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    return cross_entropy(logits, labels, torch.stack([cracks, 1 - cracks]), reduction)


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """1 − Dice of the crack class over the whole batch, ignored pixels left out."""
    valid = labels != IGNORED
    probability = logits.softmax(dim=1)[:, 1][valid]
    truth = (labels == 1)[valid].to(probability.dtype)
    overlap = (probability * truth).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + truth.sum() + 1)


def pixel_loss(logits: Tensor, labels: Tensor, settings: LossSettings) -> Tensor:
    """The loss of one output N×K×h×w at label resolution, Dice and divisor left out."""
    full = two_classes(upsample(logits, labels.shape[-2:]))
    if settings.kind == "focal":
        return focal(full, labels, settings.class_weights, settings.reduction)
    if settings.kind == "balanced":
        return balanced(full, labels, settings.reduction)
    return cross_entropy(full, labels, settings.class_weights, settings.reduction)


def segmentation_loss(
    outputs: Mapping[str, Tensor], labels: Tensor, settings: LossSettings
) -> dict[str, Tensor]:
    """Named parts, of `logits`, weighted sides and PSPNet's `aux`, and their sum as `loss`."""
    parts: dict[str, Tensor] = {settings.kind: pixel_loss(outputs["logits"], labels, settings)}
    if settings.sides:
        _require_sides(outputs, len(settings.sides))
        sides = [
            weight * pixel_loss(outputs[f"side{k}"], labels, settings)
            for k, weight in enumerate(settings.sides, 1)
        ]
        parts["sides"] = torch.stack(sides).sum()
    if "aux" in outputs:
        logits = torch.logit(outputs["aux"], AUX_EPS)
        parts["aux"] = AUX_WEIGHT * pixel_loss(logits, labels, settings)
    if settings.dice:
        full = two_classes(upsample(outputs["logits"], labels.shape[-2:]))
        parts["dice"] = settings.dice * soft_dice(full, labels)
    parts = {name: part / settings.divisor for name, part in parts.items()}
    parts["loss"] = torch.stack(list(parts.values())).sum()
    return parts


def _require_sides(outputs: Mapping[str, Tensor], count: int) -> None:
    given = sum(name.startswith("side") for name in outputs)
    if given < count:
        raise InputError(
            f"loss.sides: {count} weights for a network of {given} side outputs; leave them out"
        )
