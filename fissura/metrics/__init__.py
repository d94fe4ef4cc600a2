"""Scores as pure functions under small update/compute objects."""

from __future__ import annotations

from fissura.metrics.bootstrap import percentile_interval, resample_weights
from fissura.metrics.curves import BEST_THRESHOLDS, CURVE_SCORES, TOLERANT, Draws
from fissura.metrics.image import psnr_rgb, ssim_zero_pad
from fissura.metrics.matching import matched_histograms
from fissura.metrics.segmentation import (
    POINT_SCORES,
    Counts,
    CrackCounts,
    Thresholds,
    code_histograms,
)
from fissura.metrics.surface import hausdorff, hd95, hd95_curve

__all__ = [
    "BEST_THRESHOLDS",
    "CURVE_SCORES",
    "POINT_SCORES",
    "TOLERANT",
    "Counts",
    "CrackCounts",
    "Draws",
    "Thresholds",
    "code_histograms",
    "hausdorff",
    "hd95",
    "hd95_curve",
    "matched_histograms",
    "percentile_interval",
    "psnr_rgb",
    "resample_weights",
    "ssim_zero_pad",
]
