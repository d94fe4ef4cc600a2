"""From counts per picture to rows of scores with intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.evaluate.pictures import Measured
from fissura.evaluate.protocols import Average, Criterion, Protocol, Rule
from fissura.metrics import (
    BEST_THRESHOLDS,
    CURVE_SCORES,
    POINT_SCORES,
    TOLERANT,
    Counts,
    CrackCounts,
    Draws,
    percentile_interval,
    resample_weights,
)

LEVEL = 0.95
CRITERIA: dict[Criterion, str] = {"f1": "f1", "iou": "crack_iou"}
Row = dict[str, Any]
Values = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Choice:
    """The threshold and where it comes from; `value` None: the best one of each tolerance."""

    value: float | None
    rule: Rule
    how: str


@dataclass(frozen=True)
class Bootstrap:
    """Number of resamples (0: no intervals), the seed of their draw, and each picture's group.

    Groups (photographs, sequences) are drawn whole; None: every picture is its own.
    """

    resamples: int = 1000
    seed: int = 0
    groups: Sequence[str] | None = None

    def members(self, subset: Index) -> list[Hashable]:
        """The group of every picture whose number stands in `subset`."""
        return [self.groups[i] if self.groups else int(i) for i in subset]

    def weights(self, subset: Index) -> Values:
        """The pictures once each, then B resamples of them; one group alone has no interval."""
        once, groups = np.ones((1, len(subset))), self.members(subset)
        if not self.resamples or len(set(groups)) < 2:
            return once
        drawn = resample_weights(len(subset), self.resamples, self.seed, groups)
        return np.concatenate([once, drawn])


def best_threshold(counts: Counts, protocol: Protocol) -> int:
    """Index of the first threshold with the best pooled F1 or crack IoU."""
    pooled = counts.weighted(np.ones((1, len(counts.pixels))))
    score = POINT_SCORES[CRITERIA[protocol.criterion]](pooled, protocol.empty)[0]
    return int(np.nan_to_num(score, nan=-1.0).argmax())


@dataclass(frozen=True)
class Found:
    """What one source's maps came to under one protocol."""

    tally: CrackCounts
    choice: Choice
    measured: Measured = field(default_factory=dict)


def score_rows(protocol: Protocol, found: Found, subset: Index, bootstrap: Bootstrap) -> list[Row]:
    """One row per tolerance for the pictures whose numbers stand in `subset`."""
    head = {"pictures": len(subset), "groups": len(set(bootstrap.members(subset)))}
    rows = value_rows(protocol, found, subset, bootstrap)
    return [head | {name: _quantified(part) for name, part in row.items()} for row in rows]


def value_rows(protocol: Protocol, found: Found, subset: Index, bootstrap: Bootstrap) -> list[Row]:
    """The same with the plain values of every score: of the pictures, then of each resample."""
    weights = bootstrap.weights(subset)
    rows = []
    for tolerance, counts in found.tally.compute().items():
        draws = Draws(found.tally.thresholds, counts.rows(subset), weights, protocol.empty)
        row = _row(protocol, draws, tolerance, found.choice)
        if found.measured and not tolerance:
            measured = {k: np.asarray(v, np.float64)[subset] for k, v in found.measured.items()}
            curve = measured.pop("hd95_curve", None)
            row["per_image"] |= {k: draws.mean(each[:, None]) for k, each in measured.items()}
            if curve is not None:
                row["over_thresholds"] |= _least_and_mean(protocol, weights, curve)
        rows.append(row)
    return rows


def _row(protocol: Protocol, draws: Draws, tolerance: float, choice: Choice) -> Row:
    values = draws.thresholds.values
    if choice.value is None:
        k = best_threshold(draws.images, protocol)
    else:
        k = values.index(choice.value)
    points = [name for name in protocol.point_scores if not tolerance or name in TOLERANT]
    curves = [name for name in protocol.curve_scores if not tolerance or name in TOLERANT]
    row: Row = {"tolerance_px": tolerance, "threshold": round(values[k], 9), "rule": choice.rule}
    for average in protocol.averages:
        row[average] = {name: _at(draws, k, name, average) for name in points}
    if curves:
        row["over_thresholds"] = _over_thresholds(curves, _sweep(protocol, draws))
    return row


def _sweep(protocol: Protocol, draws: Draws) -> Draws:
    """The draws at the protocol's own thresholds: a chosen one between them is no part of these."""
    own = protocol.thresholds
    if draws.thresholds == own:
        return draws
    images = draws.images.at_all(draws.thresholds.places_of(own))
    return dataclasses.replace(draws, thresholds=own, images=images)


def _over_thresholds(names: Sequence[str], draws: Draws) -> Row:
    found: Row = {name: CURVE_SCORES[name](draws) for name in names}
    at = [name for name in names if name in BEST_THRESHOLDS]
    return found | {f"{name}_threshold": round(BEST_THRESHOLDS[name](draws), 9) for name in at}


def _least_and_mean(protocol: Protocol, weights: Values, each: Values) -> Row:
    """HD95-min and AHD95 of HD95 by picture and threshold, N×T."""
    means = weights @ each / weights.sum(axis=1, keepdims=True)
    best = protocol.thresholds.values[int(means[0].argmin())]
    return {
        "hd95_min": means.min(axis=1),
        "ahd95": means.mean(axis=1),
        "hd95_min_threshold": round(best, 9),
    }


def _at(draws: Draws, k: int, name: str, average: Average) -> Values:
    score = POINT_SCORES[name]
    if average == "pooled":
        return score(draws.pooled.at(k), draws.empty)[:, 0]
    each = score(draws.images.at(k), draws.empty)
    return draws.mean(each) if average == "per_image" else draws.spread(each)


def _quantified(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _quantified(value) for name, value in part.items()}
    return quantity(part) if isinstance(part, np.ndarray) else part


def quantity(values: Values) -> dict[str, float | None]:
    """The score (first of `values`) and the interval of its resamples (the others)."""
    known = values[1:][~np.isnan(values[1:])]
    out: dict[str, float | None] = {"value": None if math.isnan(values[0]) else float(values[0])}
    if known.size:
        out["low"], out["high"] = percentile_interval(known, LEVEL)
    return out
