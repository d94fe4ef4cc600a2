"""SimOTA and a detector's loss in plain loops, one cell and one box after the other."""

from __future__ import annotations

import math
from typing import NamedTuple

Box = tuple[float, ...]


class Cell(NamedTuple):
    """A cell's centre and stride, its decoded box, and its logits."""

    x: float
    y: float
    stride: float
    box: Box
    objectness: float
    classes: tuple[float, ...]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def edges(box: Box) -> tuple[float, float, float, float]:
    x, y, w, h = box[:4]
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def iou(a: Box, b: Box) -> float:
    (al, at, ar, ab), (bl, bt, br, bb) = edges(a), edges(b)
    shared = max(min(ar, br) - max(al, bl), 0) * max(min(ab, bb) - max(at, bt), 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared + 1e-16)


def ciou(a: Box, b: Box) -> float:
    (al, at, ar, ab), (bl, bt, br, bb) = edges(a), edges(b)
    diagonal = (max(ar, br) - min(al, bl)) ** 2 + (max(ab, bb) - min(at, bt)) ** 2
    apart = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / max(diagonal, 1e-6)
    aspect = math.atan(a[2] / max(a[3], 1e-6)) - math.atan(b[2] / max(b[3], 1e-6))
    v = 4 / math.pi**2 * aspect**2
    same = iou(a, b)
    return min(max(same - apart - v * v / max(1 - same + v, 1e-6), -1), 1)


def nwd(a: Box, b: Box, constant: float) -> float:
    centres = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    sides = (a[2] - b[2]) ** 2 + (a[3] - b[3]) ** 2
    return math.exp(-math.sqrt(centres + 1e-7 + sides / 4) / constant)


def inside(cell: Cell, box: Box) -> bool:
    left, top, right, bottom = edges(box)
    return left < cell.x < right and top < cell.y < bottom


def near(cell: Cell, box: Box) -> bool:
    return max(abs(cell.x - box[0]), abs(cell.y - box[1])) < 2.5 * cell.stride


def cost(cell: Cell, box: Box) -> float:
    total = 0.0
    for k, logit in enumerate(cell.classes):
        p = math.sqrt(sigmoid(logit) * sigmoid(cell.objectness))
        total -= math.log(p) if k == int(box[4]) else math.log(1 - p)
    total -= 3 * math.log(iou(box, cell.box) + 1e-8)
    return total if inside(cell, box) and near(cell, box) else total + 1e5


def assign(cells: list[Cell], boxes: list[Box]) -> dict[int, int]:
    """Cells that answer for a box, and for which."""
    candidates = [
        k for k, c in enumerate(cells) if any(inside(c, box) or near(c, box) for box in boxes)
    ]
    costs = {(k, g): cost(cells[k], box) for k in candidates for g, box in enumerate(boxes)}
    takers: dict[int, list[int]] = {}
    for g, box in enumerate(boxes):
        best = sorted((iou(box, cells[k].box) for k in candidates), reverse=True)[:10]
        order = sorted(costs[k, g] for k in candidates)[: max(1, math.floor(sum(best)))]
        for k in (k for k in candidates if costs[k, g] in order):
            takers.setdefault(k, []).append(g)
    for k in (k for k, owners in takers.items() if len(owners) > 1):
        takers[k] = [min(range(len(boxes)), key=lambda g: costs[k, g])]
    return {k: owner for k, (owner,) in takers.items()}


def focal(logit: float, target: float) -> float:
    p = sigmoid(logit)
    cross = -(target * math.log(p) + (1 - target) * math.log(1 - p))
    right = p * target + (1 - p) * (1 - target)
    return (0.25 * target + 0.75 * (1 - target)) * cross * (1 - right) ** 2


def loss(pictures: list[tuple[list[Cell], list[Box]]]) -> tuple[float, float, float, int]:
    """Of boxes, objectness and classes with the usual weights, and how many cells are positive."""
    overlaps = distances = objectness = classes = 0.0
    count = 0
    for cells, boxes in pictures:
        matches = assign(cells, boxes)
        count += len(matches)
        for k, cell in enumerate(cells):
            objectness += focal(cell.objectness, k in matches)
        for k, g in matches.items():
            overlaps += 1 - ciou(cells[k].box, boxes[g])
            distances += 1 - nwd(cells[k].box, boxes[g], 12)
            same = iou(cells[k].box, boxes[g])
            for label, logit in enumerate(cells[k].classes):
                classes += focal(logit, same if label == int(boxes[g][4]) else 0)
    n = max(count, 1)
    return 5 * (0.5 * overlaps + 0.5 * distances / n) / n, objectness / n, classes / n, count
