"""Liu's recipe as released: squeeze to one size, at most one flip and, on request, a rotation."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from fissura.augment.common import Pair, mask_levels, mirror_columns, mirror_rows
from fissura.types import BoolMask, UInt8Image


@dataclass(frozen=True)
class Affine:
    """Rotation (counter-clockwise) and scale about the centre, then a shift in whole pixels."""

    angle_deg: float
    scale: float
    shift_xy: tuple[int, int]


def squeeze(image: UInt8Image, mask: BoolMask, size_wh: tuple[int, int]) -> Pair:
    """Bicubic, to exactly this width and height; the mask too, and then above 127."""
    resized = cv2.resize(image, size_wh, interpolation=cv2.INTER_CUBIC)
    grey = cv2.resize(mask_levels(mask), size_wh, interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8), np.asarray(grey > 127)


def flip_once(image: UInt8Image, mask: BoolMask, rng: Generator) -> Pair:
    """Left to right or top to bottom, each with chance ¼, never both."""
    if rng.random() < 0.5:
        return image, mask
    mirror = mirror_columns if rng.random() < 0.5 else mirror_rows
    return mirror(image, mask)


def move_sometimes(image: UInt8Image, mask: BoolMask, rng: Generator) -> Pair:
    """With chance ½ turn by up to 45°, scale by 0.8…1.2 and shift by up to 32 pixels."""
    if rng.random() < 0.5:
        return image, mask
    x, y = rng.integers(-32, 33, 2)
    affine = Affine(rng.uniform(-45, 45), rng.uniform(0.8, 1.2), (int(x), int(y)))
    grey = warp_twice(mask_levels(mask), affine)
    return warp_twice(image, affine), grey > 127


def warp_twice(values: UInt8Image, affine: Affine) -> UInt8Image:
    """One bilinear warp for rotation and scale, another for the shift; outside is 0."""
    height, width = values.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), affine.angle_deg, affine.scale)
    shift = np.array([[1.0, 0.0, affine.shift_xy[0]], [0.0, 1.0, affine.shift_xy[1]]])
    for matrix in (turn, shift):
        values = np.asarray(cv2.warpAffine(values, matrix, (width, height)), np.uint8)
    return values
