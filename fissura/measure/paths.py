"""Polylines: even spacing, smoothing without shrinking, normals, length.

Legend: a path is a K×2 array of x, y, pixel centres at +0.5, one point per `STEP_PX` of its length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

Points = NDArray[np.float64]

STEP_PX = 1.0


def length_of(points: Points) -> float:
    """Length of a polyline in pixels."""
    steps = np.diff(points, axis=0)
    return float(np.hypot(steps[:, 0], steps[:, 1]).sum())


def along(points: Points) -> NDArray[np.float64]:
    """Distance of each point from the first one, along the polyline."""
    steps = np.diff(points, axis=0)
    return np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])


def resample(points: Points, step: float = STEP_PX) -> Points:
    """The same polyline with points at even distances, first and last kept."""
    at = along(points)
    even = np.linspace(0, at[-1], max(2, round(at[-1] / step) + 1))
    return np.stack([np.interp(even, at, points[:, axis]) for axis in (0, 1)], axis=1)


def smooth(values: Points, sigma: float, closed: bool = False) -> Points:
    """Smooth an evenly spaced N×C signal along its first axis.

    The kernel is the twiced Gaussian 2g - g*g: it keeps straight lines and parabolas, so a bend
    neither shrinks nor shifts to second order. Open ends are continued by point reflection, which
    keeps the end points where they are.
    """
    if len(values) < 3 or sigma <= 0:
        return values
    kernel = _twiced_gaussian(sigma)
    reach = len(kernel) // 2
    if closed:
        return np.asarray(convolve1d(values, kernel, axis=0, mode="wrap"))
    before = 2 * values[:1] - _reflected(values, reach)[::-1]
    after = 2 * values[-1:] - _reflected(values[::-1], reach)
    longer = np.concatenate([before, values, after])
    return np.asarray(convolve1d(longer, kernel, axis=0)[reach : reach + len(values)])


def _twiced_gaussian(sigma: float) -> NDArray[np.float64]:
    at = np.arange(-int(4 * sigma + 1), int(4 * sigma + 1) + 1)
    once = np.exp(-0.5 * (at / sigma) ** 2)
    once /= once.sum()
    twice = np.convolve(once, once)
    return np.asarray(np.pad(2 * once, len(at) // 2) - twice)


def _reflected(values: Points, reach: int) -> Points:
    """The `reach` values after the first one; the last repeats where there are too few."""
    return values[np.minimum(np.arange(1, reach + 1), len(values) - 1)]


def smooth_path(points: Points, sigma: float, closed: bool = False) -> Points:
    """An evenly spaced, smoothed copy of a pixel path; a loop ends where it begins.

    A small loop is smoothed less, or it would shrink to a point.
    """
    even = resample(points)
    if closed and len(even) > 3:
        ring = smooth(even[:-1], min(sigma, len(even) / 15), closed=True)
        return resample(np.concatenate([ring, ring[:1]]))
    return resample(smooth(even, sigma))


def normals(path: Points, closed: bool = False) -> Points:
    """Unit normals of an evenly spaced path, 90 degrees clockwise of its direction as seen."""
    if len(path) < 2:
        return np.array([[0.0, 1.0]])
    tangent = np.gradient(path, axis=0)
    if closed and len(path) > 3:
        tangent[0] = tangent[-1] = path[1] - path[-2]
    norm = np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)
    return np.stack([-tangent[:, 1] / norm, tangent[:, 0] / norm], axis=1)


def end_direction(path: Points, reach: float) -> Points:
    """Unit direction in which a path leaves its last point, from its last `reach` pixels."""
    tail = path[-max(3, round(reach / STEP_PX)) :]
    if len(tail) < 2:
        return np.array([1.0, 0.0])
    at = np.arange(len(tail)) - (len(tail) - 1) / 2
    slope = at @ tail
    norm = np.hypot(*slope)
    return np.asarray(slope / norm) if norm > 1e-9 else np.array([1.0, 0.0])
