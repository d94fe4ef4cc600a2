"""The loss of a detector without anchors, over one stride or several.

Legend: B pictures, P cells of all strides, N positive cells of the batch, K classes. Boxes are
cx, cy, w, h in network pixels. What a network gives, B×(5+K)×h×w per stride, holds x, y, w, h,
objectness, classes; row i and column j of stride s make cell i·w + j of

    cx = (x + j) · s, cy = (y + i) · s, width = exp(w) · s, height = exp(h) · s

    loss = (reg · boxes + obj · objectness + cls · classes) / max(N, 1)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fissura.decode import box_outputs
from fissura.train.assign import TINY, Cells, assign, iou, overlap
from fissura.train.config import DetectionLossSettings

LARGEST_LOG = 20.0
"""Of a box's side in strides: the squares of larger ones overflow."""
FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2
NWD_EPS = 1e-7
LEAST = 1e-6


class Predictions(NamedTuple):
    """Decoded boxes B×P×4, logits of objectness B×P and of classes B×P×K, and the cells."""

    boxes: Tensor
    objectness: Tensor
    classes: Tensor
    cells: Cells


def decode(outputs: Mapping[str, Tensor], strides: Sequence[int]) -> Predictions:
    """Boxes in network pixels; nothing of `outputs` is changed."""
    rows, corners, sizes = [], [], []
    for name, stride in zip(box_outputs(strides), strides, strict=True):
        raw = outputs[name].to(torch.promote_types(outputs[name].dtype, torch.float32))
        rows.append(raw.flatten(2).transpose(1, 2))  # B×hw×(5+K)
        down, across = (torch.arange(n, dtype=raw.dtype, device=raw.device) for n in raw.shape[2:])
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)  # h×w×2
        corners.append(grid.flatten(0, 1))
        sizes.append(torch.full_like(corners[-1][:, 0], stride))
    raw, corner, size = torch.cat(rows, dim=1), torch.cat(corners), torch.cat(sizes)
    centres = (raw[..., :2] + corner) * size[:, None]
    sides = raw[..., 2:4].clamp(max=LARGEST_LOG).exp() * size[:, None]
    cells = Cells((corner + 0.5) * size[:, None], size)
    return Predictions(torch.cat([centres, sides], dim=-1), raw[..., 4], raw[..., 5:], cells)


# ---- how alike two boxes are ---------------------------------------------------------------


def nwd(a: Tensor, b: Tensor, constant: float) -> Tensor:
    """Normalised Wasserstein distance of boxes …×4 as Gaussians; 1 where they are the same.

    Wang, Xu, Yang, Yu: "A normalized Gaussian Wasserstein distance for tiny object detection",
    arXiv 2110.13389.
    """
    squares = (a - b) ** 2
    distance = squares[..., :2].sum(dim=-1) + NWD_EPS + squares[..., 2:].sum(dim=-1) / 4
    return torch.exp(-distance.sqrt() / constant)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """IoU less the share of the enclosing box that neither fills; −1…1. arXiv 1902.09630."""
    shared, union = overlap(a, b)
    sides = _enclosing(a, b)
    hull = sides[..., 0] * sides[..., 1]
    return (shared / (union + TINY) - (hull - union) / hull.clamp(min=TINY)).clamp(-1, 1)


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """IoU less the distance of centres and the difference of aspects; −1…1. arXiv 1911.08287.

    The weight of the aspects has a gradient, as in the release.
    """
    same = iou(a, b)
    centres = ((a[..., :2] - b[..., :2]) ** 2).sum(dim=-1)
    diagonal = (_enclosing(a, b) ** 2).sum(dim=-1).clamp(min=LEAST)
    aspect_a, aspect_b = (torch.atan(x[..., 2] / x[..., 3].clamp(min=LEAST)) for x in (a, b))
    aspects = 4 / math.pi**2 * (aspect_a - aspect_b) ** 2
    weight = aspects / (1 - same + aspects).clamp(min=LEAST)
    return (same - centres / diagonal - weight * aspects).clamp(-1, 1)


def _enclosing(a: Tensor, b: Tensor) -> Tensor:
    low = torch.minimum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.maximum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    return high - low


def iou_loss(a: Tensor, b: Tensor, form: str) -> Tensor:
    """1 − CIoU, 1 − GIoU or 1 − IoU² per pair of boxes …×4."""
    if form == "iou":
        return 1 - iou(a, b) ** 2
    return 1 - (ciou if form == "ciou" else giou)(a, b)


# ---- the loss ------------------------------------------------------------------------------


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Focal loss per element, α 0.25 and γ 2; targets may lie between 0 and 1. arXiv 1708.02002."""
    p = logits.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = p * targets + (1 - p) * (1 - targets)
    share = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    return share * cross * (1 - right) ** FOCAL_GAMMA


class Positives(NamedTuple):
    """The N positive cells: picture and cell of each, its box N×4, label and IoU."""

    pictures: Tensor
    cells: Tensor
    boxes: Tensor
    labels: Tensor
    ious: Tensor


def assign_all(predictions: Predictions, targets: Sequence[Tensor]) -> Positives:
    """SimOTA of every picture with its targets G×5: cx, cy, w, h, class."""
    found = []
    for picture, wanted in enumerate(targets):
        boxes, objectness, classes = (values[picture] for values in predictions[:3])
        cells, owners, ious = assign(boxes, objectness, classes, predictions.cells, wanted)
        pictures, mine = torch.full_like(cells, picture), wanted[owners]
        found.append((pictures, cells, mine[:, :4], mine[:, 4].long(), ious))
    return Positives(*(torch.cat(part) for part in zip(*found, strict=True)))


def detection_loss(
    outputs: Mapping[str, Tensor],
    strides: Sequence[int],
    targets: Sequence[Tensor],
    settings: DetectionLossSettings,
) -> dict[str, Tensor]:
    """Weighted parts `reg`, `obj`, `cls`, their sum as `loss`, and the number of `positives`.

    `targets` has per picture cx, cy, w, h, class: G×5, of which G may be 0. Without any box in the
    batch the loss is that of objectness alone.
    """
    predictions = decode(outputs, strides)
    found = assign_all(predictions, targets)
    where = (found.pictures, found.cells)
    count = predictions.boxes.new_tensor(len(found.cells))
    whole = count.clamp(min=1)
    answers = torch.zeros_like(predictions.objectness).index_put(where, torch.ones_like(found.ious))
    logits = predictions.classes[where]
    soft = functional.one_hot(found.labels, logits.shape[1]) * found.ious[:, None]
    parts = {
        "reg": settings.reg * box_loss(predictions.boxes[where], found.boxes, whole, settings),
        "obj": settings.obj * focal(predictions.objectness, answers).sum() / whole,
        "cls": settings.cls * focal(logits, soft).sum() / whole,
    }
    return parts | {"loss": torch.stack(list(parts.values())).sum(), "positives": count}


def box_loss(
    predicted: Tensor, wanted: Tensor, whole: Tensor, settings: DetectionLossSettings
) -> Tensor:
    """Of the N positives' boxes N×4; see `DetectionLossSettings.reduction`."""
    overlaps = iou_loss(predicted, wanted, settings.iou).sum() / whole
    distances = (1 - nwd(predicted, wanted, settings.nwd_constant)).sum() / whole
    if settings.reduction == "released":
        distances = distances / whole
    return settings.zeta * overlaps + settings.eta * distances
