"""Scores as pure functions under small update/compute objects."""

from __future__ import annotations

from fissura.metrics.bootstrap import percentile_interval, resample_weights
from fissura.metrics.segmentation import (
    CURVE_SCORES,
    POINT_SCORES,
    TOLERANT,
    Counts,
    CrackCounts,
    Draws,
    Thresholds,
)

__all__ = [
    "CURVE_SCORES",
    "POINT_SCORES",
    "TOLERANT",
    "Counts",
    "CrackCounts",
    "Draws",
    "Thresholds",
    "percentile_interval",
    "resample_weights",
]
