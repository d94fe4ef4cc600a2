"""Percentile bootstrap over pictures or groups: resamples as weights, so that scores stay sums."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def resample_weights(
    n: int, resamples: int, seed: int, groups: Sequence[Hashable] | None = None
) -> Values:
    """How often each of `n` pictures is drawn in each resample with replacement, B×N.

    Pictures of one group (a photograph's crops, a sequence) are not independent: whole groups are
    drawn, as many as there are. Without `groups` every picture is its own.
    """
    places: dict[Hashable, int] = {}
    members = [places.setdefault(group, len(places)) for group in groups or range(n)]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=resamples)
    return drawn[:, members].astype(np.float64)


def percentile_interval(values: Values, level: float = 0.95) -> tuple[float, float]:
    """The central `level` share of B resampled scores."""
    tail = 50 * (1 - level)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
