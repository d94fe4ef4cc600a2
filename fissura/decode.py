"""Raw network outputs → crack map, or boxes.

Legend: h×w the network's output grid, H×W the picture; K classes, M cells of all grids together,
N boxes; xyxy left, top, right, bottom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import FloatMap, InputError, SettingError

_SATURATION = 80.0  # exp(80) still fits float32; beyond it the sigmoid is 0 or 1 anyway.

BOX_ROWS = 5
"""Four numbers of a box and its objectness, before the classes."""

MOST_CANDIDATES = 30_000
"""So many best boxes are compared with each other: more than any published input size has cells."""


def crack_map(
    raw: Mapping[str, NDArray[np.float32]],
    size_hw: tuple[int, int],
    network_size_hw: tuple[int, int],
    output: str = "logits",
) -> FloatMap:
    """Probability of crack, H×W, from `raw[output]`: K×h×w logits of crack, or background, crack.

    The logit (or the difference of the two) is interpolated twice, to the network's input size and
    then to the picture's, before the sigmoid: once would be cheaper but not what the originals
    compute.
    """
    if output not in raw or len(raw[output]) not in (1, 2):
        found = ", ".join(f"{name} {values.shape}" for name, values in raw.items())
        raise InputError(
            f"model: gives {found or 'nothing'}; give one with {output} of one or two classes"
        )
    logits = raw[output]
    margin = logits[0] if len(logits) == 1 else logits[1] - logits[0]
    return sigmoid(resample(resample(margin, network_size_hw), size_hw))


def resample(values: FloatMap, size_hw: tuple[int, int]) -> FloatMap:
    """Bilinear with pixel centres at +0.5, edges repeated: torch's align_corners=False."""
    if values.shape == size_hw:
        return values
    resized = cv2.resize(values, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def sigmoid(values: FloatMap) -> FloatMap:
    """1 / (1 + e⁻ᵛ) without overflow, one buffer large."""
    out = np.clip(values, -_SATURATION, _SATURATION)
    np.negative(out, out=out)
    np.exp(out, out=out)
    out += 1.0
    return np.reciprocal(out, out=out)


def box_outputs(strides: Sequence[int]) -> tuple[str, ...]:
    """Names of a detector's outputs, one per stride."""
    if len(strides) == 1:
        return ("boxes_raw",)
    return tuple(f"boxes_raw{stride}" for stride in strides)


def decode_boxes(outputs: Mapping[str, NDArray[np.float32]], strides: Sequence[int]) -> FloatMap:
    """M×(5+K) rows: centre x, y, width, height in network pixels, objectness, K classes.

    `outputs` holds (5+K)×h×w raw values per stride; rows go stride by stride, cell by cell along
    the lines of its grid.
    """
    names = box_outputs(strides)
    shapes = [outputs[name].shape if name in outputs else () for name in names]
    if any(len(shape) != 3 or shape[0] < BOX_ROWS for shape in shapes):
        found = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise SettingError(
            f"model: gives {found or 'nothing'} but no {', '.join(names)} as a detector does;"
            " export it again"
        )
    pairs = zip(names, strides, strict=True)
    return np.concatenate([_decode_grid(outputs[name], stride) for name, stride in pairs])


def _decode_grid(raw: NDArray[np.float32], stride: int) -> FloatMap:
    """(5+K)×h×w → h·w×(5+K)."""
    channels, h, w = raw.shape
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    out = np.empty((channels, h, w), np.float32)
    out[0] = (raw[0] + columns) * stride
    out[1] = (raw[1] + rows) * stride
    out[2:4] = np.exp(np.minimum(raw[2:4], _SATURATION)) * stride
    out[4:] = sigmoid(raw[4:])
    return out.reshape(channels, h * w).T


def nms(
    boxes: FloatMap, scores: NDArray[np.float32], labels: NDArray[np.intp], iou: float
) -> NDArray[np.intp]:
    """Indices of the boxes N×4 xyxy that stay, best score first, equal scores in their order.

    Of two boxes of one label that overlap by more than `iou` the weaker one goes.
    """
    order = np.argsort(-scores, kind="stable")
    kept = [_nms_one(boxes, order[labels[order] == label], iou) for label in np.unique(labels)]
    stay = np.zeros(len(scores), bool)
    stay[np.concatenate([*kept, np.empty(0, np.intp)]).astype(np.intp)] = True
    return order[stay[order]]


def _nms_one(boxes: FloatMap, order: NDArray[np.intp], iou: float) -> NDArray[np.intp]:
    """The members of `order`, best first, that no better one that stays covers."""
    kept = []
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        left, top, right, bottom = boxes[order].T
        areas = (right - left) * (bottom - top)
        rest = np.arange(len(order))
        while len(rest):
            best, rest = rest[0], rest[1:]
            kept.append(order[best])
            wide = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
            high = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
            shared = np.maximum(wide, 0) * np.maximum(high, 0)
            rest = rest[~(shared / (areas[best] + areas[rest] - shared) > iou)]
    return np.asarray(kept, np.intp)


def found_boxes(
    outputs: Mapping[str, NDArray[np.float32]],
    strides: Sequence[int],
    confidence: float,
    iou: float,
) -> tuple[FloatMap, NDArray[np.float32], NDArray[np.intp]]:
    """Boxes N×4 xyxy in network pixels, their scores and class numbers, best first.

    A score is objectness times the best class; boxes below `confidence` are left out, and of those
    of one class that overlap by more than `iou` the best stays.
    """
    rows = decode_boxes(outputs, strides)
    if rows.shape[1] == BOX_ROWS:
        raise SettingError("model: tells no classes of boxes as a detector does; export it again")
    labels = rows[:, BOX_ROWS:].argmax(axis=1)
    scores = rows[:, 4] * rows[np.arange(len(rows)), BOX_ROWS + labels]
    sure = np.flatnonzero((scores >= confidence) & np.isfinite(rows).all(axis=1))
    sure = sure[np.argsort(-scores[sure], kind="stable")[:MOST_CANDIDATES]]
    boxes = corners(rows[sure, :4])
    kept = nms(boxes, scores[sure], labels[sure], iou)
    return boxes[kept], scores[sure][kept], labels[sure][kept]


def corners(centred: FloatMap) -> FloatMap:
    """N×4 centre x, y, width, height → left, top, right, bottom."""
    half = centred[:, 2:] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], axis=1)
