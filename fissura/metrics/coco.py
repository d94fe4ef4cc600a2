"""The twelve figures of the COCO evaluator, each averaged over the classes that have truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fissura.metrics.average_precision import average_precision, highest_recall, interpolate
from fissura.metrics.detection import MAX_DETECTIONS, Matches, Values

SIZES = ("small", "medium", "large")
FEW = (1, 10)
COCO_SCORES = (
    "ap",
    "ap50",
    "ap75",
    *(f"ap_{size}" for size in SIZES),
    *(f"ar_{most}" for most in (*FEW, MAX_DETECTIONS)),
    *(f"ar_{size}" for size in SIZES),
)


def coco_scores(matches: Matches, labels: Sequence[int], weights: Values) -> dict[str, Values]:
    """Every one of COCO_SCORES, B values each; not-a-number where no class has truth."""
    found: dict[str, Values] = {}
    for area in ("all", *SIZES):
        ap, recall = _by_threshold(matches, labels, weights, area)
        suffix = "" if area == "all" else f"_{area}"
        found[f"ap{suffix}"] = mean_known(ap)
        found[f"ar{suffix or f'_{MAX_DETECTIONS}'}"] = mean_known(recall)
        if area == "all":
            found["ap50"], found["ap75"] = (
                mean_known(ap[matches.ious.index(t)][None]) for t in (0.5, 0.75)
            )
    for most in FEW:
        found[f"ar_{most}"] = mean_known(_recalls(matches, labels, weights, most))
    return {name: found[name] for name in COCO_SCORES}


def mean_known(values: Values) -> Values:
    """Mean over thresholds and classes (T×K×B) of what is defined, B."""
    known = ~np.isnan(values)
    count = known.sum(axis=(0, 1))
    total = np.where(known, values, 0.0).sum(axis=(0, 1))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _by_threshold(
    matches: Matches, labels: Sequence[int], weights: Values, area: str
) -> tuple[Values, Values]:
    """Average precision and highest recall, T×K×B each."""
    curves = [
        [interpolate(matches.sweep(label, iou, area), weights) for label in labels]
        for iou in matches.ious
    ]
    ap = [[average_precision(curve) for curve in row] for row in curves]
    return np.array(ap), np.array([[curve.recall for curve in row] for row in curves])


def _recalls(matches: Matches, labels: Sequence[int], weights: Values, most: int) -> Values:
    sweeps = ([matches.sweep(label, iou, most=most) for label in labels] for iou in matches.ious)
    return np.array([[highest_recall(sweep, weights) for sweep in row] for row in sweeps])
