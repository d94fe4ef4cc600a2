"""Signed distances of a mask, which the boundary loss multiplies probabilities with.

Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019, without their
contour: the innermost crack pixels beside the background are at distance 0.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import BoolMask, FloatMap


def signed_distance(mask: BoolMask) -> FloatMap:
    """Pixels to the nearest crack outside cracks, minus those to the background inside, H×W.

    Crack pixels beside the background (4 neighbours; the edges of the picture are none) have 0,
    and so has everything where the picture shows no crack or nothing else.
    """
    outside, inside = _both_sides(mask)
    return _with_contour(outside - inside, inside)


def normalised_distance(mask: BoolMask, *, released: bool = False) -> FloatMap:
    """`signed_distance` with either side divided by its own largest value: −1…1, H×W.

    As `released`, a picture that is crack all over has no numbers, which then spread to the loss.
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
    return np.asarray(
        cv2.distanceTransform((~there).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
        np.float32,
    )


def _with_contour(signed: NDArray[np.float32], inside: FloatMap) -> FloatMap:
    return np.where(inside == 1, np.float32(0), signed)
