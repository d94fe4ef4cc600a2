"""How far the edges of a prediction lie from those of the truth, in pixels.

The contour of a mask are its pixels that have a 4-neighbour outside the mask; beyond the picture is
outside. A contour pixel's distance is the Euclidean one between pixel centres to the nearest
contour pixel of the other mask.

HD95 is the larger of two 95th percentiles, of the distances from prediction to truth and of those
back, each read linearly between sorted distances. Two empty masks are 0 apart; if one is empty, it
is `missing`: the diagonal of the picture where that is not given. CSBSR gives the picture's width,
and its released script takes the 50th percentile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.distance import distance_to
from fissura.types import BoolMask, FloatMap

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def hausdorff(prediction: BoolMask, truth: BoolMask) -> float:
    """The largest distance from a pixel of either mask to the nearest of the other, inf if none.

    Of whole masks, not of contours: the symmetric maximum that CSSR's code defines.
    """
    if not prediction.any() or not truth.any():
        return math.inf
    farthest = [distance_to(b)[a].max() for a, b in ((prediction, truth), (truth, prediction))]
    return float(max(farthest))


def hd95(
    prediction: BoolMask, truth: BoolMask, *, missing: float | None = None, percent: float = 95
) -> float:
    """HD95 in pixels, as the head of this file defines it."""
    return HausdorffTo(truth, missing, percent).at(prediction)


def hd95_curve(
    prediction: FloatMap,
    truth: BoolMask,
    thresholds: Sequence[float],
    *,
    missing: float | None = None,
    strict: bool = False,
) -> NDArray[np.float64]:
    """`hd95` of prediction >= t, or > t if `strict`, at T thresholds."""
    to_truth = HausdorffTo(truth, missing)
    passes = np.greater if strict else np.greater_equal
    return np.array([to_truth.at(passes(prediction, threshold)) for threshold in thresholds])


class HausdorffTo:
    """HD95 of many predictions to one truth, whose distances are computed once."""

    def __init__(self, truth: BoolMask, missing: float | None = None, percent: float = 95) -> None:
        self.contour = contour(truth)
        self.some = bool(self.contour.any())
        self.missing = math.hypot(*truth.shape) if missing is None else missing
        self.percent = percent
        self._distance = distance_to(self.contour) if self.some else None

    def at(self, prediction: BoolMask) -> float:
        """HD95 of one prediction."""
        edge = contour(prediction)
        if self._distance is None or not edge.any():
            return self.missing if self.some or edge.any() else 0.0
        there, back = self._distance[edge], distance_to(edge)[self.contour]
        return float(max(np.percentile(there, self.percent), np.percentile(back, self.percent)))


def contour(mask: BoolMask) -> BoolMask:
    """Pixels of the mask with one of 4 neighbours outside it."""
    inner = cv2.erode(mask.astype(np.uint8), CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(mask & (np.asarray(inner) == 0))
