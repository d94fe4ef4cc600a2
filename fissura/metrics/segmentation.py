"""Every threshold's counts from one histogram per image, and the scores made of them.

Legend: H, W image; T thresholds in rising order; N images; L leading axes of counts (images,
resamples, or none).

A pixel's code is the number of thresholds that its probability passes. "Predicted at threshold k"
is then "code > k": a histogram of codes holds all thresholds at once, exactly, and since the order
of codes is the order of probabilities, the largest code within a disc tells up to which threshold
anything is predicted there.

Tolerance t: pixel centres at most t apart (Euclid). Precision counts predicted pixels that lie
within t of a truth pixel, recall counts truth pixels that lie within t of a predicted pixel; both
without one-to-one matching. At t = 0 these are the usual pixel counts.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import BoolMask

Codes = NDArray[np.uint16]
Values = NDArray[np.float64]

AIU_SMOOTHING = 1e-5
MAX_THRESHOLDS = 60_000


@dataclass(frozen=True)
class Thresholds:
    """Rising thresholds; a pixel passes where p > t, or p >= t where `strict` is False."""

    values: tuple[float, ...]
    strict: bool = True

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.values, self.values[1:], strict=False))
        if not self.values or not rising or len(self.values) > MAX_THRESHOLDS:
            raise ValueError(f"expected rising thresholds, got {len(self.values)} values")

    def codes(self, prediction: NDArray[Any]) -> Codes:
        """How many thresholds each pixel passes; uint8 and uint16 stand for v/255 and v/65535."""
        values = np.asarray(self.values)
        side: Any = "left" if self.strict else "right"
        if prediction.dtype in (np.uint8, np.uint16):
            top = np.iinfo(prediction.dtype).max
            table = np.searchsorted(values, np.arange(top + 1) / top, side)
            codes: Codes = table.astype(np.uint16)[prediction]
            return codes
        return np.asarray(np.searchsorted(values, prediction, side), np.uint16)

    def including(self, value: float) -> Thresholds:
        """The same thresholds and `value`."""
        if value in self.values:
            return self
        at = bisect.bisect(self.values, value)
        return Thresholds((*self.values[:at], value, *self.values[at:]), self.strict)


@dataclass(frozen=True)
class Counts:
    """Pixels per threshold (L×T) and per image (L×1), float64 (whole numbers stay exact).

    `matched` predicted pixels within the tolerance of truth, `predicted` all predicted pixels,
    `found` truth pixels within the tolerance of a prediction, `truth` all truth pixels, `pixels`
    all scored pixels.
    """

    matched: Values
    predicted: Values
    found: Values
    truth: Values
    pixels: Values

    def at(self, k: int) -> Counts:
        """The counts of threshold number k alone, L×1."""
        return self._map(lambda a: a[..., k : k + 1] if a.shape[-1] > 1 else a)

    def at_each(self, ks: NDArray[np.intp]) -> Counts:
        """For each of N images its own threshold, N×1."""
        rows = np.arange(len(ks))
        return self._map(lambda a: a[rows, ks, None] if a.shape[-1] > 1 else a)

    def rows(self, index: NDArray[Any]) -> Counts:
        """Some of the images."""
        return self._map(lambda a: a[index])

    def weighted(self, weights: Values) -> Counts:
        """Sums over images with weights B×N: counts of B resamples."""
        return self._map(lambda a: weights @ a)

    def _map(self, change: Callable[[Values], Values]) -> Counts:
        parts = (self.matched, self.predicted, self.found, self.truth, self.pixels)
        return Counts(*(change(part) for part in parts))


def disc(radius: float) -> NDArray[np.uint8]:
    """1 where a pixel centre lies within `radius` of the middle one."""
    r = int(radius)
    y, x = np.ogrid[-r : r + 1, -r : r + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)


def code_histograms(
    codes: Codes, truth: BoolMask, tolerance: float, bins: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Histograms of codes: predictions near truth, predictions elsewhere, truth near predictions.

    Each has `bins` entries: one more than there are thresholds.
    """
    near, reach = truth, codes
    if tolerance > 0:
        near = cv2.dilate(truth.view(np.uint8), disc(tolerance)).view(np.bool_)
        reach = cv2.dilate(codes, disc(tolerance))  # type: ignore[assignment]
    joint = codes.astype(np.intp) + bins * near
    both = np.bincount(joint.ravel(), minlength=2 * bins)
    found = np.bincount(reach[truth], minlength=bins)
    return both[bins:], both[:bins], found


class CrackCounts:
    """Collects the histograms of every picture for several tolerances at once."""

    def __init__(self, thresholds: Thresholds, tolerances: Sequence[float] = (0,)) -> None:
        self.thresholds = thresholds
        self.tolerances = tuple(tolerances)
        self.reset()

    def reset(self) -> None:
        """Forget every picture."""
        self._pixels: list[int] = []
        self._histograms: dict[float, list[NDArray[np.uint32]]] = {t: [] for t in self.tolerances}

    def __len__(self) -> int:
        return len(self._pixels)

    def update(
        self, prediction: NDArray[Any], truth: BoolMask, valid: BoolMask | None = None
    ) -> None:
        """Add one picture; outside `valid` neither truth nor prediction exists."""
        codes = self.thresholds.codes(prediction)
        outside = 0
        if valid is not None:
            codes, truth = np.where(valid, codes, np.uint16(0)), truth & valid
            outside = int(valid.size - np.count_nonzero(valid))
        bins = len(self.thresholds.values) + 1
        for tolerance, found in self._histograms.items():
            parts = code_histograms(codes, truth, tolerance, bins)
            found.append(np.stack(parts).astype(np.uint32))
        self._pixels.append(codes.size - outside)

    def merge(self, other: CrackCounts) -> None:
        """Append the pictures of another collection with the same thresholds and tolerances."""
        if (self.thresholds, self.tolerances) != (other.thresholds, other.tolerances):
            raise ValueError("only counts of equal thresholds and tolerances can be merged")
        self._pixels += other._pixels
        for tolerance, found in self._histograms.items():
            found.extend(other._histograms[tolerance])

    def compute(self) -> dict[float, Counts]:
        """Per tolerance the counts of every picture, N×T."""
        bins = len(self.thresholds.values) + 1
        pixels = np.array(self._pixels, np.float64).reshape(-1, 1)
        return {
            tolerance: _accumulate(np.reshape(parts, (-1, 3, bins)), pixels)
            for tolerance, parts in self._histograms.items()
        }


def _accumulate(histograms: NDArray[Any], pixels: Values) -> Counts:
    """N×3×(T+1) histograms → counts of codes above each threshold."""
    above = histograms[..., ::-1].astype(np.float64).cumsum(-1)[..., ::-1]
    hit, miss, found = above[:, 0, 1:], above[:, 1, 1:], above[:, 2, 1:]
    return Counts(hit, hit + miss, found, above[:, 2, :1], pixels)


def _ratio(part: Values, whole: Values, empty: float) -> Values:
    part, whole = np.broadcast_arrays(part, whole)
    out = np.full(whole.shape, empty)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def precision(counts: Counts, empty: float = 1.0) -> Values:
    """Share of predicted pixels that lie on (near) truth; 1 where nothing is predicted."""
    return _ratio(counts.matched, counts.predicted, 1.0)


def recall(counts: Counts, empty: float = 1.0) -> Values:
    """Share of truth pixels that are predicted (nearby); 1 where there is no truth."""
    return _ratio(counts.found, counts.truth, 1.0)


def f1(counts: Counts, empty: float = 1.0) -> Values:
    """Harmonic mean of precision and recall; 0 where both are 0."""
    p, r = precision(counts), recall(counts)
    return _ratio(2 * p * r, p + r, 0.0)


def crack_iou(counts: Counts, empty: float = 1.0) -> Values:
    """Intersection over union of the crack pixels."""
    return _ratio(counts.matched, counts.predicted + counts.truth - counts.matched, empty)


def background_iou(counts: Counts, empty: float = 1.0) -> Values:
    """Intersection over union of the other pixels."""
    union = counts.pixels - counts.matched
    return _ratio(_true_negatives(counts), union, empty)


def mean_iou(counts: Counts, empty: float = 1.0) -> Values:
    """Mean of crack and background IoU; a class that is not a number is left out."""
    return _class_mean(crack_iou(counts, empty), background_iou(counts, empty))


def accuracy(counts: Counts, empty: float = 1.0) -> Values:
    """Share of pixels that are right."""
    return _ratio(counts.matched + _true_negatives(counts), counts.pixels, empty)


def class_accuracy(counts: Counts, empty: float = 1.0) -> Values:
    """Mean recall of crack and background; a class that is not a number is left out."""
    crack = _ratio(counts.matched, counts.truth, empty)
    background = _ratio(_true_negatives(counts), counts.pixels - counts.truth, empty)
    return _class_mean(crack, background)


def _class_mean(crack: Values, background: Values) -> Values:
    both = np.stack(np.broadcast_arrays(crack, background))
    return np.asarray(np.nanmean(both, axis=0), np.float64)


def _true_negatives(counts: Counts) -> Values:
    return counts.pixels - counts.predicted - counts.truth + counts.matched


@dataclass(frozen=True)
class Draws:
    """B weighted sums of the same N pictures: one with weights 1 is the score itself."""

    thresholds: Thresholds
    images: Counts
    weights: Values

    @cached_property
    def pooled(self) -> Counts:
        """Counts summed over the pictures, B×T."""
        return self.images.weighted(self.weights)

    @cached_property
    def curve(self) -> tuple[Values, Values]:
        """Precision and recall of the pooled counts, B×T each."""
        return precision(self.pooled), recall(self.pooled)

    def mean(self, values: Values) -> Values:
        """Mean over pictures of one value per picture (N×1), B; not-a-number is left out."""
        known = ~np.isnan(values)
        total = self.weights @ np.where(known, values, 0.0)
        return _ratio(total, self.weights @ known.astype(np.float64), np.nan)[:, 0]


def ods(draws: Draws) -> Values:
    """Best F1 of the pooled counts with one threshold for all pictures."""
    return np.asarray(f1(draws.pooled).max(axis=-1))


def ois(draws: Draws) -> Values:
    """F1 of the counts pooled with every picture at its own best threshold (the first)."""
    best = draws.images.at_each(f1(draws.images).argmax(axis=-1))
    return f1(best.weighted(draws.weights))[:, 0]


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


def smooth_iou(counts: Counts, empty: float = 1.0) -> Values:
    """Crack IoU with 1e-5 added to intersection and union: 1 where both are empty."""
    union = counts.predicted + counts.truth - counts.matched
    return (counts.matched + AIU_SMOOTHING) / (union + AIU_SMOOTHING)


def aiu(draws: Draws) -> Values:
    """Smoothed crack IoU averaged over pictures and the thresholds 0.01, 0.02 … 0.99."""
    hundredths = np.asarray(draws.thresholds.values) * 100
    chosen = (np.abs(hundredths - hundredths.round()) < 1e-4) & (hundredths > 0.5)
    return draws.mean(smooth_iou(draws.images)[:, chosen].mean(axis=-1, keepdims=True))


def best_mean_iou(draws: Draws) -> Values:
    """Largest mean IoU of the pooled counts over the thresholds."""
    return np.asarray(mean_iou(draws.pooled, np.nan).max(axis=-1))


POINT_SCORES: dict[str, Callable[[Counts, float], Values]] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "crack_iou": crack_iou,
    "background_iou": background_iou,
    "mean_iou": mean_iou,
    "accuracy": accuracy,
    "class_accuracy": class_accuracy,
    "smooth_iou": smooth_iou,
}
"""Scores at one threshold: (counts, value of a class's IoU or accuracy when it is nowhere)."""

CURVE_SCORES: dict[str, Callable[[Draws], Values]] = {
    "ods": ods,
    "ois": ois,
    "ap": average_precision,
    "ap_interpolated": interpolated_average_precision,
    "aiu": aiu,
    "best_mean_iou": best_mean_iou,
}
"""Scores that look at all thresholds."""

TOLERANT = frozenset({"precision", "recall", "f1", "ods", "ois", "ap", "ap_interpolated"})
"""Scores that mean something with a tolerance above 0."""
