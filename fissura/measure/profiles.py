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


def _light_of_grey() -> Profiles:
    """Share of light for each channel and 8-bit value, 3×256; rows add up to luminance."""
    grey = np.arange(256) / 255
    linear = np.where(grey <= 0.04045, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4)
    return np.outer([0.2126, 0.7152, 0.0722], linear).astype(np.float64)


LIGHT = _light_of_grey()


def sample(picture: NDArray[Any], xy: Points) -> Profiles:
    """Bilinear values at x, y of an H×W map, or the light of an H×W×3 photograph.

    The photograph is decoded first (sRGB to linear light), because a pixel half on a crack mixes
    light and not grey values. Outside the picture its edge goes on.
    """
    height, width = picture.shape[:2]
    x = np.clip(xy[..., 0] - 0.5, 0, width - 1)
    y = np.clip(xy[..., 1] - 0.5, 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = x - left, y - top
    read = _light if picture.ndim == 3 else _plain
    upper = read(picture[top, left]) * (1 - x) + read(picture[top, right]) * x
    lower = read(picture[bottom, left]) * (1 - x) + read(picture[bottom, right]) * x
    return np.asarray(upper * (1 - y) + lower * y)


def _plain(values: NDArray[Any]) -> Profiles:
    return values.astype(np.float64, copy=False)


def _light(values: NDArray[Any]) -> Profiles:
    red, green, blue = (LIGHT[channel][values[..., channel]] for channel in range(3))
    light: Profiles = (red + green + blue).astype(np.float64)
    return light


def offsets(reach_px: float) -> NDArray[np.float64]:
    """Places across a path, symmetric about 0, `OFFSET_STEP_PX` apart."""
    count = int(np.ceil(reach_px / OFFSET_STEP_PX))
    return np.arange(-count, count + 1, dtype=np.float64) * OFFSET_STEP_PX


def across(
    picture: NDArray[Any], path: Points, normal: Points, places: NDArray[np.float64]
) -> Profiles:
    """S×T values of the picture at `places` along the normal of every path point."""
    return sample(picture, path[:, None, :] + places[None, :, None] * normal[:, None, :])
