"""Which cells of a detector answer for which box: SimOTA.

Ge, Liu, Wang, Li, Sun: "YOLOX: exceeding YOLO series in 2021", arXiv 2107.08430, section 2.1.

Legend: G boxes of one picture, P cells of all strides, C of them candidates, K classes. Boxes are
cx, cy, w, h in network pixels, targets G×5 these four and the class.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CENTRE_RADIUS = 2.5
"""How far from a box's centre cells are near it, in strides."""
IOU_SHARE = 3.0
APART = 1e5
"""What a cell costs more that is not both inside the box and near its centre."""
MOST_CELLS = 10
"""Per box, and the overlaps whose sum tells how many cells a box gets."""
LEAST_LOG = -100.0
TINY = 1e-16
IOU_FLOOR = 1e-8


class Cells(NamedTuple):
    """Where a detector's cells lie: centres P×2 and strides P, in network pixels."""

    centres: Tensor
    strides: Tensor


class Matches(NamedTuple):
    """Cells of one picture that answer for a box: their index, the box's, and both boxes' IoU."""

    cells: Tensor
    boxes: Tensor
    ious: Tensor


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection and union of boxes …×4; leading axes broadcast."""
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    sides = torch.relu(high - low)
    shared = sides[..., 0] * sides[..., 1]
    return shared, a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes …×4; leading axes broadcast."""
    shared, union = overlap(a, b)
    return shared / (union + TINY)


@torch.no_grad()
def assign(
    boxes: Tensor, objectness: Tensor, classes: Tensor, cells: Cells, targets: Tensor
) -> Matches:
    """SimOTA of one picture: predicted boxes P×4, logits P and P×K, cells, targets G×5."""
    inside, near = regions(cells, targets)
    candidates = (inside | near).any(dim=0).nonzero()[:, 0]
    if not len(candidates):
        return Matches(candidates, candidates, boxes.new_zeros(0))
    overlaps = iou(targets[:, None, :4], boxes[candidates])  # G×C
    scores = (classes[candidates].sigmoid() * objectness[candidates, None].sigmoid()).sqrt()
    apart = ~(inside & near)[:, candidates]
    # in this order: after the last summand only 0.008 can be told apart in 32 bits
    cost = class_cost(scores, targets[:, 4].long())
    cost = cost + IOU_SHARE * -torch.log(overlaps + IOU_FLOOR) + APART * apart
    columns, owners = cheapest(cost, overlaps)
    return Matches(candidates[columns], owners, overlaps[owners, columns])


def regions(cells: Cells, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Whether cells lie inside each box and near each box's centre, both strictly: two G×P."""
    away = (cells.centres - targets[:, None, :2]).abs()  # G×P×2
    near = away < CENTRE_RADIUS * cells.strides[:, None]
    low = cells.centres > targets[:, None, :2] - targets[:, None, 2:4] / 2
    high = cells.centres < targets[:, None, :2] + targets[:, None, 2:4] / 2
    return (low & high).all(dim=-1), near.all(dim=-1)


def class_cost(scores: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy, summed over classes, of scores C×K for boxes of labels G: G×C."""
    hit = -torch.log(scores).clamp(min=LEAST_LOG)
    miss = -torch.log(1 - scores).clamp(min=LEAST_LOG)
    return hit.T[labels] + (miss.sum(dim=-1) - miss.T[labels])


def cheapest(cost: Tensor, overlaps: Tensor) -> tuple[Tensor, Tensor]:
    """Of cost and IoU G×C, the candidates that are taken and the box that takes each.

    A box takes as many of its cheapest as its largest overlaps sum up to, one at least; a cell
    that several take goes to the box, of all in the picture, for which it costs least.
    """
    most = min(MOST_CELLS, cost.shape[1])
    counts = overlaps.topk(most, dim=1).values.sum(dim=1).int().clamp(min=1)
    order = cost.topk(most, dim=1, largest=False).indices
    chosen = torch.arange(most, device=cost.device) < counts[:, None]
    taken = torch.zeros_like(cost, dtype=torch.bool).scatter(1, order, chosen)
    takers = taken.sum(dim=0)
    owners = torch.where(takers > 1, cost.argmin(dim=0), taken.int().argmax(dim=0))
    columns = takers.nonzero()[:, 0]
    return columns, owners[columns]
