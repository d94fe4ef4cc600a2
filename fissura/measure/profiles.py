"""Reading pictures and maps between their pixels, and across a path.

Legend: S places along a path, T places across it; offsets are pixels along the normal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.measure.paths import Points

Profiles = NDArray[np.float64]

OFFSET_STEP_PX = 0.5
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])


def sample(picture: NDArray[Any], xy: Points) -> Profiles:
    """Bilinear values of an H×W or H×W×3 (then grey) array at x, y; the edge goes on outside."""
    height, width = picture.shape[:2]
    x = np.clip(xy[..., 0] - 0.5, 0, width - 1)
    y = np.clip(xy[..., 1] - 0.5, 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = x - left, y - top
    upper = _grey(picture[top, left]) * (1 - x) + _grey(picture[top, right]) * x
    lower = _grey(picture[bottom, left]) * (1 - x) + _grey(picture[bottom, right]) * x
    return np.asarray(upper * (1 - y) + lower * y)


def _grey(values: NDArray[Any]) -> Profiles:
    is_colour = values.dtype == np.uint8 and values.shape[-1] == 3 and values.ndim > 1
    return values @ GREY_WEIGHTS if is_colour else values.astype(np.float64)


def offsets(reach_px: float) -> NDArray[np.float64]:
    """Places across a path, symmetric about 0, `OFFSET_STEP_PX` apart."""
    count = int(np.ceil(reach_px / OFFSET_STEP_PX))
    return np.arange(-count, count + 1) * OFFSET_STEP_PX


def across(
    picture: NDArray[Any], path: Points, normal: Points, places: NDArray[np.float64]
) -> Profiles:
    """S×T values of the picture at `places` along the normal of every path point."""
    return sample(picture, path[:, None, :] + places[None, :, None] * normal[:, None, :])
