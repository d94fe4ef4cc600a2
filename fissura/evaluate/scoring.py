"""From counts per picture to rows of scores with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.evaluate.protocols import Average, Criterion, Protocol, Rule
from fissura.metrics import (
    CURVE_SCORES,
    POINT_SCORES,
    TOLERANT,
    Counts,
    CrackCounts,
    Draws,
    Thresholds,
    percentile_interval,
    resample_weights,
)

LEVEL = 0.95
CRITERIA: Mapping[Criterion, str] = {"f1": "f1", "iou": "crack_iou"}
Row = dict[str, Any]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """The threshold and where it comes from; `value` None: the best one of each tolerance."""

    value: float | None
    rule: Rule
    how: str


@dataclass(frozen=True)
class Bootstrap:
    """Number of resamples (0: no intervals) and the seed of their draw."""

    resamples: int = 1000
    seed: int = 0


def best_threshold(counts: Counts, thresholds: Thresholds, criterion: Criterion) -> int:
    """Index of the first threshold with the best pooled F1 or crack IoU."""
    pooled = counts.weighted(np.ones((1, len(counts.pixels))))
    return int(POINT_SCORES[CRITERIA[criterion]](pooled, 1.0)[0].argmax())


def score_rows(
    protocol: Protocol,
    tally: CrackCounts,
    choice: Choice,
    subset: NDArray[np.intp],
    bootstrap: Bootstrap,
) -> list[Row]:
    """One row per tolerance for the pictures whose numbers stand in `subset`."""
    n = len(subset)
    weights = np.ones((1, n))
    if bootstrap.resamples:
        drawn = resample_weights(n, bootstrap.resamples, bootstrap.seed)
        weights = np.concatenate([weights, drawn])
    rows = []
    for tolerance, counts in tally.compute().items():
        draws = Draws(tally.thresholds, counts.rows(subset), weights)
        rows.append(_row(protocol, draws, tolerance, choice))
    return rows


def _row(protocol: Protocol, draws: Draws, tolerance: float, choice: Choice) -> Row:
    values = draws.thresholds.values
    if choice.value is None:
        k = best_threshold(draws.images, draws.thresholds, protocol.criterion)
    else:
        k = values.index(choice.value)
    points = [name for name in protocol.point_scores if not tolerance or name in TOLERANT]
    curves = [name for name in protocol.curve_scores if not tolerance or name in TOLERANT]
    row: Row = {"tolerance_px": tolerance, "threshold": round(values[k], 9), "rule": choice.rule}
    for average in protocol.averages:
        scores = {name: _at(draws, k, name, average, protocol.empty) for name in points}
        row[average] = {name: quantity(score) for name, score in scores.items()}
    if curves:
        row["over_thresholds"] = {name: quantity(CURVE_SCORES[name](draws)) for name in curves}
        best = best_threshold(draws.images, draws.thresholds, "f1")
        row["over_thresholds"]["ods_threshold"] = round(values[best], 9)
    return row


def _at(draws: Draws, k: int, name: str, average: Average, empty: float) -> Values:
    score = POINT_SCORES[name]
    if average == "pooled":
        return score(draws.pooled.at(k), empty)[:, 0]
    return draws.mean(score(draws.images.at(k), empty))


def quantity(values: Values) -> dict[str, float | None]:
    """The score (first of `values`) and the interval of its resamples (the others)."""
    known = values[1:][~np.isnan(values[1:])]
    out: dict[str, float | None] = {"value": None if math.isnan(values[0]) else float(values[0])}
    if known.size:
        out["low"], out["high"] = percentile_interval(known, LEVEL)
    return out
