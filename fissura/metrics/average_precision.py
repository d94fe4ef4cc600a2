"""Scores of boxes over all thresholds of score, for many resamples of the pictures at once.

Only right detections raise recall or precision, so a curve needs one step for each of them: the
wrong ones before it are summed, picture by picture, by a sparse product with the weights.

Legend: B weighted sums of the same N pictures (weights 1: the score itself); S steps; R the 101
levels of recall.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from fissura.metrics.detection import Index, Sweep, Values

RECALLS = np.linspace(0.0, 1.0, 101)
CELLS_AT_ONCE = 4_000_000
EPSILON = float(np.spacing(1))


@dataclass(frozen=True)
class Steps:
    """Weighted counts of right and wrong detections up to each step, B×S, and of the truth, B."""

    right: Values
    wrong: Values
    truths: Values


@dataclass(frozen=True)
class Interpolated:
    """Precision at each level of recall, B×R, and the highest recall, B.

    Both are not-a-number where no box has to be found.
    """

    precision: Values
    recall: Values


def interpolate(sweep: Sweep, weights: Values) -> Interpolated:
    """The best precision at each level of recall or beyond it; 0 beyond the highest recall."""
    truths = weights @ sweep.truths
    precision = np.full((len(weights), len(RECALLS)), np.nan)
    recall = np.full(len(weights), np.nan)
    at = 0
    for steps in _in_parts(sweep, weights):
        rows = slice(at, at + len(steps.truths))
        at = rows.stop
        known = truths[rows] > 0
        precision[rows], recall[rows] = _read(steps)
        precision[rows][~known] = np.nan
        recall[rows][~known] = np.nan
    return Interpolated(precision, recall)


def average_precision(curve: Interpolated) -> Values:
    """Mean precision over the levels of recall, B."""
    return np.asarray(curve.precision.mean(axis=-1))


def highest_recall(sweep: Sweep, weights: Values) -> Values:
    """Recall of all detections together, B; not-a-number where no box has to be found."""
    right = weights[:, sweep.image[sweep.hit]].sum(axis=-1)
    return ratio(right, weights @ sweep.truths)


def precision_up_to_recall(curve: Interpolated) -> Values:
    """Mean precision over the first ⌊100 × highest recall⌋ levels, B; 0 where that is none."""
    count = np.nan_to_num(curve.recall * 100).astype(np.intp)
    sums = np.cumsum(curve.precision, axis=-1)
    total = np.take_along_axis(sums, np.maximum(count - 1, 0)[:, None], -1)[:, 0]
    mean = np.where(count > 0, total / np.maximum(count, 1), 0.0)
    return np.where(np.isnan(curve.recall), np.nan, mean)


def f1(precision: Values, recall: Values) -> Values:
    """2PR/(P+R), 0 where both are 0."""
    both = precision + recall
    return np.where(both == 0, 0.0, ratio(2 * precision * recall, np.where(both == 0, 1.0, both)))


def ratio(part: Values, whole: Values) -> Values:
    """part / whole; not-a-number where the whole is 0."""
    out = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=out, where=np.asarray(whole) > 0)
    return out


@dataclass(frozen=True)
class Levels:
    """Weighted counts at the thresholds of score `score` (S, falling), each passed by s >= t."""

    score: Values
    steps: Steps

    @property
    def precision(self) -> Values:
        """B×S; not-a-number where nothing is found."""
        return ratio(self.steps.right, self.steps.right + self.steps.wrong)

    @property
    def recall(self) -> Values:
        """B×S; not-a-number without any truth."""
        return ratio(self.steps.right, np.broadcast_to(self._truths, self.steps.right.shape))

    @property
    def f1(self) -> Values:
        """B×S: 2·right / (found + truth), 0 where nothing is right."""
        right, wrong = self.steps.right, self.steps.wrong
        return np.nan_to_num(ratio(2 * right, right + wrong + self._truths))

    @property
    def _truths(self) -> Values:
        return self.steps.truths[:, None]


def levels(sweep: Sweep, weights: Values) -> Levels:
    """Counts at every score that a right detection has; F1 is best at one of them."""
    score = np.unique(sweep.score[sweep.hit])[::-1]
    place = np.searchsorted(-score, -sweep.score, "left")
    return Levels(score, _steps(sweep, weights, place, len(score)))


def at_score(sweep: Sweep, weights: Values, threshold: float) -> Levels:
    """Counts at one threshold."""
    place: Index = (sweep.score < threshold).astype(np.intp)
    return Levels(np.array([threshold]), _steps(sweep, weights, place, 1))


def _in_parts(sweep: Sweep, weights: Values) -> Iterator[Steps]:
    """Steps of a few resamples at a time, so that memory does not grow with their number."""
    place: Index = np.cumsum(sweep.hit) - sweep.hit
    count = int(sweep.hit.sum())
    rows = max(1, CELLS_AT_ONCE // max(1, count))
    for start in range(0, len(weights), rows):
        yield _steps(sweep, weights[start : start + rows], place, count)


def _steps(sweep: Sweep, weights: Values, place: Index, count: int) -> Steps:
    """Cumulated counts; a detection belongs to step `place` and, beyond the last one, to none."""
    sums = []
    for kind in (sweep.hit, ~sweep.hit):
        part = kind & (place < count)
        cells = sweep.image[part], place[part]
        shape = weights.shape[1], count
        each = sparse.coo_array((np.ones(int(part.sum())), cells), shape=shape).tocsr()
        sums.append(np.cumsum(np.asarray((each.T @ weights.T).T, np.float64), axis=-1))
    return Steps(sums[0], sums[1], weights @ sweep.truths)


def _read(steps: Steps) -> tuple[Values, Values]:
    """Precision at the levels of recall, B×R, and the highest recall, B."""
    count = steps.right.shape[-1]
    truths = np.where(steps.truths > 0, steps.truths, 1.0)[:, None]
    recall = steps.right / truths
    precision = steps.right / (steps.wrong + steps.right + EPSILON)
    best = np.zeros((len(recall), count + 1))
    best[:, :count] = np.maximum.accumulate(precision[:, ::-1], axis=-1)[:, ::-1]
    places = [np.searchsorted(row, RECALLS, "left") for row in recall]
    last = recall[:, -1] if count else np.zeros(len(recall))
    return np.take_along_axis(best, np.array(places), axis=-1), last
