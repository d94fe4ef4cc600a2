"""Every threshold's counts from one histogram per image, and the scores made of them.

Legend: H, W image; T thresholds in rising order; N images; L leading axes of counts (images,
resamples, or none).

A pixel's code is the number of thresholds that its probability passes. "Predicted at threshold k"
is then "code > k": a histogram of codes holds all thresholds at once, exactly, and since the order
of codes is the order of probabilities, the largest code within a disc tells up to which threshold
anything is predicted there.

Tolerance t: pixel centres at most t apart (Euclid). Precision counts predicted pixels that lie
within t of a truth pixel, recall counts truth pixels that lie within t of a predicted pixel; both
without one-to-one matching, unless CrackCounts is given the histograms of matching.py. At t = 0
these are the usual pixel counts.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.metrics.matching import disc
from fissura.types import BoolMask

Codes = NDArray[np.uint16]
Whole = NDArray[np.int64]
Histograms = tuple[Whole, Whole, Whole]
Histogrammer = Callable[[Codes, BoolMask, float, int], Histograms]
Values = NDArray[np.float64]

AIU_SMOOTHING = 1e-5
KHANHHA_SMOOTHING = 1e-15
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

    def places_of(self, some: Thresholds) -> NDArray[np.intp]:
        """Where the values of `some` stand among these."""
        return np.searchsorted(self.values, some.values)


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

    def at_all(self, ks: NDArray[np.intp]) -> Counts:
        """The counts of some thresholds, L×K."""
        return self._map(lambda a: a[..., ks] if a.shape[-1] > 1 else a)

    def rows(self, index: NDArray[Any]) -> Counts:
        """Some of the images."""
        return self._map(lambda a: a[index])

    def weighted(self, weights: Values) -> Counts:
        """Sums over images with weights B×N: counts of B resamples."""
        return self._map(lambda a: weights @ a)

    def _map(self, change: Callable[[Values], Values]) -> Counts:
        parts = (self.matched, self.predicted, self.found, self.truth, self.pixels)
        return Counts(*(change(part) for part in parts))


def code_histograms(codes: Codes, truth: BoolMask, tolerance: float, bins: int) -> Histograms:
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
    """Collects the histograms of every picture for several tolerances at once.

    `histograms` says what is matched: whatever is near, or pairs (`matched_histograms`).
    """

    def __init__(
        self,
        thresholds: Thresholds,
        tolerances: Sequence[float] = (0,),
        histograms: Histogrammer = code_histograms,
    ) -> None:
        self.thresholds = thresholds
        self.tolerances = tuple(tolerances)
        self.histograms = histograms
        self.reset()

    def reset(self) -> None:
        """Forget every picture."""
        self._pixels: list[int] = []
        self._histograms: dict[float, list[NDArray[np.uint32]]] = {t: [] for t in self.tolerances}

    def __len__(self) -> int:
        return len(self._pixels)

    def _rules(self) -> tuple[Any, ...]:
        return self.thresholds, self.tolerances, self.histograms

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
            parts = self.histograms(codes, truth, tolerance, bins)
            found.append(np.stack(parts).astype(np.uint32))
        self._pixels.append(codes.size - outside)

    def merge(self, other: CrackCounts) -> None:
        """Append the pictures of another collection with the same thresholds and tolerances."""
        if self._rules() != other._rules():
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
    """Share of truth pixels that are predicted (nearby)."""
    return _ratio(counts.found, counts.truth, empty)


def f1(counts: Counts, empty: float = 1.0) -> Values:
    """Harmonic mean of precision and recall; 0 where both are 0, not a number where recall is."""
    p, r = precision(counts), recall(counts, empty)
    return np.where(np.isnan(r), np.nan, _ratio(2 * p * r, p + r, 0.0))


def dice(counts: Counts, empty: float = 1.0) -> Values:
    """F1 of the counts with 1e-15 added to both sides of the fraction: 1 where both are empty."""
    whole = counts.predicted + counts.truth
    return (2 * counts.matched + KHANHHA_SMOOTHING) / (whole + KHANHHA_SMOOTHING)


def jaccard(counts: Counts, empty: float = 1.0) -> Values:
    """Crack IoU with 1e-15 added to intersection and union: 1 where both are empty."""
    return _smoothed_iou(counts, KHANHHA_SMOOTHING)


def smooth_iou(counts: Counts, empty: float = 1.0) -> Values:
    """Crack IoU with 1e-5 added to intersection and union: 1 where both are empty."""
    return _smoothed_iou(counts, AIU_SMOOTHING)


def _smoothed_iou(counts: Counts, smoothing: float) -> Values:
    union = counts.predicted + counts.truth - counts.matched
    return (counts.matched + smoothing) / (union + smoothing)


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
    known = (~np.isnan(both)).sum(axis=0).astype(np.float64)
    return _ratio(np.nansum(both, axis=0), known, np.nan)


def _true_negatives(counts: Counts) -> Values:
    return counts.pixels - counts.predicted - counts.truth + counts.matched


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
    "dice": dice,
    "jaccard": jaccard,
}
"""Scores at one threshold: (counts, value of recall and of a class's IoU when it is nowhere)."""
