"""Percentile bootstrap over pictures: resamples as weights, so that scores stay sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def resample_weights(n: int, resamples: int, seed: int) -> Values:
    """How often each of `n` pictures is drawn in each resample with replacement, B×N."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def percentile_interval(values: Values, level: float = 0.95) -> tuple[float, float]:
    """The central `level` share of B resampled scores."""
    tail = 50 * (1 - level)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
