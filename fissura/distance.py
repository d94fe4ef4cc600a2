"""Signed distances of a mask, which the boundary loss multiplies probabilities with.

Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019. Crack pixels beside
the background (4 neighbours; the edges of the picture are none) are at distance 0, and so is
everything where a picture shows no crack or nothing else.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import BoolMask, FloatMap


def signed_distance(mask: BoolMask) -> FloatMap:
    """Pixels to the nearest crack, and minus those to the background inside one, H×W."""
    outside, inside = _both_sides(mask)
    return _with_contour(outside - inside, inside)


def normalised_distance(mask: BoolMask, *, released: bool = False) -> FloatMap:
    """The same with either side divided by its own largest value: −1…1, H×W.

    `released`: not a number where a picture is crack all over, which spreads to the whole loss.
    """
    if released and mask.all():
        return np.full(mask.shape, np.nan, np.float32)
    outside, inside = _both_sides(mask)
    sides = [side / max(float(side.max(initial=0)), 1.0) for side in (outside, inside)]
    return _with_contour(sides[0] - sides[1], inside)


def _both_sides(mask: BoolMask) -> tuple[FloatMap, FloatMap]:
    """Distance to the crack, distance to the background; both 0 where either is missing."""
    if not mask.any() or mask.all():
        return np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.float32)
    return distance_to(mask), distance_to(~mask)


def distance_to(there: BoolMask) -> FloatMap:
    """Exact Euclidean distance of every pixel to the nearest True one."""
    found = cv2.distanceTransform((~there).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's root differs in the last place with where an array lies in memory; the squares are
    # whole numbers, and numpy's root of them is always the same.
    return np.asarray(np.sqrt(np.rint(np.square(found, dtype=np.float64))), np.float32)


def _with_contour(signed: NDArray[np.float32], inside: FloatMap) -> FloatMap:
    return np.where(inside == 1, np.float32(0), signed)
