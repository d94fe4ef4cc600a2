"""Crack maps without any training, to stand in the tables beside the networks."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fissura.types import FloatMap, UInt8Image

FULL_CONTRAST = 64.0
"""Grey levels by which a crack must be darker than its surroundings to count as certain."""


def black_hat(image: UInt8Image, diameter: int = 15, sigma: float = 2.5) -> FloatMap:
    """How much darker than its surroundings a thing narrower than `diameter` px is, in [0, 1].

    The morphological closing of the smoothed grey picture minus that picture.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), sigma)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    depth = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, element)
    share: FloatMap = depth.astype(np.float32) / np.float32(FULL_CONTRAST)
    return np.minimum(share, np.float32(1))


BASELINES: dict[str, Callable[[UInt8Image], FloatMap]] = {"blackhat": black_hat}
