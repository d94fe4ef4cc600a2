"""Losses on logits: small callables, torch in and a scalar out.

Legend: N batch, K classes, h×w logits, H×W labels (int64, 255 = ignored).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fissura.train.config import LossSettings

IGNORED = 255


def upsample(logits: Tensor, size_hw: torch.Size | tuple[int, int]) -> Tensor:
    """Bilinear, pixel corners not aligned: N×K×h×w → N×K×H×W."""
    return functional.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: tuple[float, ...], reduction: str
) -> Tensor:
    """Weighted cross-entropy of N×K×H×W logits; see `LossSettings.reduction`."""
    weights = torch.as_tensor(class_weights, dtype=logits.dtype, device=logits.device)
    if reduction == "weighted_mean":
        return functional.cross_entropy(logits, labels, weights, ignore_index=IGNORED)
    per_pixel = functional.cross_entropy(
        logits, labels, weights, ignore_index=IGNORED, reduction="none"
    )
    return per_pixel.mean()


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """1 − Dice of the crack class over the whole batch, ignored pixels left out."""
    valid = labels != IGNORED
    probability = logits.softmax(dim=1)[:, 1][valid]
    truth = (labels == 1)[valid].to(probability.dtype)
    overlap = (probability * truth).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + truth.sum() + 1)


def segmentation_loss(logits: Tensor, labels: Tensor, settings: LossSettings) -> dict[str, Tensor]:
    """Named parts and their sum as `loss`, at label resolution."""
    full = upsample(logits.float(), labels.shape[-2:])
    parts = {
        "cross_entropy": cross_entropy(full, labels, settings.class_weights, settings.reduction)
    }
    if settings.dice:
        parts["dice"] = settings.dice * soft_dice(full, labels)
    parts["loss"] = torch.stack(list(parts.values())).sum()
    return parts
