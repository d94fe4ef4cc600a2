"""Zou's recipe: 135 views of every picture, then small changes of colour and focus.

Of 260 pictures the authors stored 260 × 135 = 35,100 views: 9 rotations × 3 mirrors × 5 crops. Here
a view is cut out when it is wanted, in one warp. What the release does to colour is in 8 bit: each
step clips and truncates before the next. S is the side of the square crop.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fissura.augment.common import Pair, mask_levels, mirror_columns, mirror_rows
from fissura.types import BoolMask, UInt8Image

ROTATIONS_DEG = tuple(range(0, 90, 10))
MIRRORS = (None, mirror_columns, mirror_rows)
CROPS = ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))
"""Place down and across: 0 first corner, 1 centre, 2 last corner."""
VIEWS = len(ROTATIONS_DEG) * len(MIRRORS) * len(CROPS)

STEPS = np.arange(256, dtype=np.float32)


def take_view(image: UInt8Image, mask: BoolMask, index: int, side: int = 512) -> Pair:
    """View `index` of 135, S×S: turned counter-clockwise, cropped, mirrored.

    Crops lie in the corners and the centre of the largest upright rectangle without fill. Where
    that is smaller than S they hang over, into the picture continued by reflection.
    """
    matrix = view_matrix(mask.shape, index, side)
    grey = _warp(mask_levels(mask), matrix, side)
    view = _warp(image, matrix, side), grey > 127
    mirror = MIRRORS[index // len(CROPS) % len(MIRRORS)]
    return mirror(*view) if mirror else view


def view_matrix(size_hw: tuple[int, int], index: int, side: int) -> NDArray[np.float64]:
    """2×3 matrix from x, y of a view, before it is mirrored, to x, y of the picture."""
    if not 0 <= index < VIEWS:
        raise ValueError(f"view {index}: there are 0…{VIEWS - 1}")
    down, across = CROPS[index % len(CROPS)]
    angle_deg = ROTATIONS_DEG[index // (len(MIRRORS) * len(CROPS))]
    inner_hw = valid_rectangle(size_hw, angle_deg)
    y, x = _start(inner_hw[0], side, down), _start(inner_hw[1], side, across)
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    centre_y, centre_x = (size_hw[0] - 1) / 2, (size_hw[1] - 1) / 2
    rows = [
        [cos, -sin, centre_x + cos * x - sin * y],
        [sin, cos, centre_y + sin * x + cos * y],
    ]
    return np.array(rows)


def _start(inner: int, side: int, place: int) -> float:
    """First pixel of a crop from the centre of the rectangle; whole pixels from its corner."""
    return (0, (inner - side) // 2, inner - side)[place] - (inner - 1) / 2


def valid_rectangle(size_hw: tuple[int, int], angle_deg: float) -> tuple[int, int]:
    """Height and width of the largest upright rectangle in a picture turned by up to 90°.

    It is centred, and all its pixel centres lie between pixel centres of the picture.
    """
    height, width = size_hw[0] - 1, size_hw[1] - 1
    short, long = sorted((height, width))
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    if sin > 0 and short <= 2 * sin * cos * long:  # two corners touch the long sides only
        along, across = short / 2 / sin, short / 2 / cos
        inner_hw = (across, along) if width >= height else (along, across)
    else:
        spread = cos**2 - sin**2
        inner_hw = (height * cos - width * sin) / spread, (width * cos - height * sin) / spread
    return math.floor(inner_hw[0] + 1e-9) + 1, math.floor(inner_hw[1] + 1e-9) + 1


def _warp(values: UInt8Image, matrix: NDArray[np.float64], side: int) -> UInt8Image:
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101
    warped = cv2.warpAffine(values, matrix, (side, side), flags=flags, borderMode=border)
    return np.asarray(warped, np.uint8)


# ---- colour and focus ----------------------------------------------------------------------


def jitter_colour(image: UInt8Image, rng: Generator) -> UInt8Image:
    """Brightness, contrast, saturation and hue in this order, each with chance ½."""
    if rng.random() < 0.5:
        image = shift_brightness(image, rng.uniform(-32, 32))
    if rng.random() < 0.5:
        image = stretch_contrast(image, 1 + rng.uniform(-0.5, 0.5))
    if rng.random() < 0.5:
        image = stretch_saturation(image, 1 + rng.uniform(-0.5, 0.5))
    if rng.random() < 0.5:
        turns = rng.uniform(-0.1, 0.1)
        image = shift_hue(image, turns, red_as_blue=rng.random() < 0.5)
    return image


def shift_brightness(image: UInt8Image, shift: float) -> UInt8Image:
    """Add grey levels."""
    return np.asarray(cv2.LUT(image, _truncated(STEPS + np.float32(shift))), np.uint8)


def stretch_contrast(image: UInt8Image, factor: float) -> UInt8Image:
    """Distances from the mean grey value of the picture times `factor`."""
    mean = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean()
    table = np.float32(factor) * STEPS + np.float32((1 - factor) * mean)
    return np.asarray(cv2.LUT(image, _truncated(table)), np.uint8)


def stretch_saturation(image: UInt8Image, factor: float) -> UInt8Image:
    """Distances from the grey value of each pixel times `factor`."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return _truncated(np.float32(factor) * image + np.float32(1 - factor) * grey)


def shift_hue(image: UInt8Image, turns: float, *, red_as_blue: bool = False) -> UInt8Image:
    """Turn the hue in 8-bit HSV; the release takes red for blue in half of the cases."""
    there = cv2.COLOR_BGR2HSV if red_as_blue else cv2.COLOR_RGB2HSV
    back = cv2.COLOR_HSV2BGR if red_as_blue else cv2.COLOR_HSV2RGB
    hue = (np.arange(256) / 179 + turns) % 1.0 * 179
    tables = np.stack([hue, STEPS, STEPS], axis=-1).astype(np.uint8).reshape(1, 256, 3)
    hsv = cv2.LUT(cv2.cvtColor(image, there), tables)
    return np.asarray(cv2.cvtColor(hsv, back), np.uint8)


def blur_sometimes(image: UInt8Image, rng: Generator) -> UInt8Image:
    """Gaussian with chance 0.2, else box with 0.15, else median with 0.1, else nothing; all 5×5."""
    if rng.random() < 0.2:
        return np.asarray(cv2.GaussianBlur(image, (5, 5), 0), np.uint8)
    if rng.random() < 0.15:
        return np.asarray(cv2.blur(image, (5, 5)), np.uint8)
    if rng.random() < 0.1:
        return np.asarray(cv2.medianBlur(image, 5), np.uint8)
    return image


def _truncated(values: NDArray[np.float32]) -> UInt8Image:
    return np.asarray(np.clip(values, 0, 255).astype(np.uint8))
