"""Scores that look at all thresholds, for many resamples of the pictures at once.

Legend: T thresholds in rising order; N images; B weighted sums of the same images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fissura.metrics.segmentation import (
    Counts,
    Thresholds,
    f1,
    mean_iou,
    precision,
    recall,
    smooth_iou,
)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """B weighted sums of the same N pictures: one with weights 1 is the score itself.

    `empty` is the recall and the IoU where there is no truth.
    """

    thresholds: Thresholds
    images: Counts
    weights: Values
    empty: float = 1.0

    @cached_property
    def pooled(self) -> Counts:
        """Counts summed over the pictures, B×T."""
        return self.images.weighted(self.weights)

    @cached_property
    def curve(self) -> tuple[Values, Values]:
        """Precision and recall of the pooled counts, B×T each."""
        return precision(self.pooled), recall(self.pooled, self.empty)

    @cached_property
    def own_best(self) -> Counts:
        """Counts pooled with every picture at its own best threshold by F1 (the first), B×1."""
        best = f1(self.images, self.empty).argmax(axis=-1)
        return self.images.at_each(best).weighted(self.weights)

    def mean(self, values: Values) -> Values:
        """Mean over pictures of one value per picture (N×1), B; not-a-number is left out."""
        known = ~np.isnan(values)
        total, count = (self.weights @ part for part in (np.where(known, values, 0.0), known * 1.0))
        out = np.full_like(total, np.nan)
        np.divide(total, count, out=out, where=count > 0)
        return out[:, 0]

    def spread(self, values: Values) -> Values:
        """Standard deviation over pictures of one value per picture (N×1), B."""
        centred = values - self.mean(values)[0]
        variance = self.mean(centred**2) - self.mean(centred) ** 2
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def ods(draws: Draws) -> Values:
    """Best F1 of the pooled counts with one threshold for all pictures."""
    return np.asarray(f1(draws.pooled, draws.empty).max(axis=-1))


def ois(draws: Draws) -> Values:
    """F1 of the counts pooled with every picture at its own best threshold (the first)."""
    return f1(draws.own_best, draws.empty)[:, 0]


def ois_precision(draws: Draws) -> Values:
    """Precision of the counts that OIS is made of."""
    return precision(draws.own_best)[:, 0]


def ois_recall(draws: Draws) -> Values:
    """Recall of the counts that OIS is made of."""
    return recall(draws.own_best, draws.empty)[:, 0]


def average_precision(draws: Draws) -> Values:
    """Area under the precision-recall curve as the sum of P · ΔR, without interpolation."""
    p, r = draws.curve
    return np.asarray((p * -np.diff(r, axis=-1, append=0.0)).sum(axis=-1))


def interpolated_average_precision(draws: Draws) -> Values:
    """Mean precision, read linearly at recall 0, 0.01 … 1 within the recall that was observed."""
    return np.array([_toolbox_area(p, r) for p, r in zip(*draws.curve, strict=True)])


def _toolbox_area(p: Values, r: Values) -> float:
    order = np.lexsort((-p, r))
    r, first = np.unique(r[order], return_index=True)
    at = np.linspace(0, 1, 101)
    inside = (at >= r[0]) & (at <= r[-1])
    return min(1.0, float(np.interp(at[inside], r, p[order][first]).sum()) / 100)


def aiu(draws: Draws) -> Values:
    """Smoothed crack IoU averaged over pictures and the thresholds 0.01, 0.02 … 0.99."""
    hundredths = np.asarray(draws.thresholds.values) * 100
    chosen = (np.abs(hundredths - hundredths.round()) < 1e-4) & (hundredths > 0.5)
    return draws.mean(smooth_iou(draws.images)[:, chosen].mean(axis=-1, keepdims=True))


def mean_smooth_iou(draws: Draws) -> Values:
    """Smoothed crack IoU averaged over the pictures at every threshold, B×T."""
    total = draws.weights @ smooth_iou(draws.images)
    return np.asarray(total / draws.weights.sum(axis=-1, keepdims=True))


def iou_max(draws: Draws) -> Values:
    """The best threshold's smoothed crack IoU, averaged over the pictures."""
    return np.asarray(mean_smooth_iou(draws).max(axis=-1))


def best_mean_iou(draws: Draws) -> Values:
    """Largest mean IoU of the pooled counts over the thresholds."""
    return np.asarray(mean_iou(draws.pooled, np.nan).max(axis=-1))


def best_threshold(draws: Draws, curve: Values) -> float:
    """The first threshold at which a curve of the pictures themselves (first of B) is best."""
    return draws.thresholds.values[int(np.nan_to_num(curve[0], nan=-1.0).argmax())]


CURVE_SCORES: dict[str, Callable[[Draws], Values]] = {
    "ods": ods,
    "ois": ois,
    "ois_precision": ois_precision,
    "ois_recall": ois_recall,
    "ap": average_precision,
    "ap_interpolated": interpolated_average_precision,
    "aiu": aiu,
    "iou_max": iou_max,
    "best_mean_iou": best_mean_iou,
}
"""Scores that look at all thresholds."""

BEST_THRESHOLDS: dict[str, Callable[[Draws], float]] = {
    "ods": lambda draws: best_threshold(draws, f1(draws.pooled, draws.empty)),
    "iou_max": lambda draws: best_threshold(draws, mean_smooth_iou(draws)),
}
"""The threshold that belongs to a score."""

TOLERANT = frozenset(
    {
        "precision",
        "recall",
        "f1",
        "ods",
        "ois",
        "ois_precision",
        "ois_recall",
        "ap",
        "ap_interpolated",
    }
)
"""Scores that mean something with a tolerance above 0."""
