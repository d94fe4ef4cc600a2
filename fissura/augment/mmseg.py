"""mmsegmentation's training pipeline, as the released CGNet was trained with it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fissura.augment.common import Colour, Pair, turn_hue
from fissura.types import BoolMask, UInt8Image


def fit_into_box(image: UInt8Image, mask: BoolMask, box: tuple[int, int]) -> Pair:
    """Resize to the largest size inside `box` (long, short side) that keeps the aspect."""
    height, width = mask.shape
    factor = min(max(box) / max(height, width), min(box) / min(height, width))
    size_wh = (int(width * factor + 0.5), int(height * factor + 0.5))
    resized = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    nearest = cv2.resize(mask.view(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8), nearest.astype(bool)


def balanced_crop(
    image: UInt8Image, mask: BoolMask, side: int, max_share: float, rng: Generator
) -> Pair:
    """A random crop of at most S×S, drawn up to ten times more while one class dominates it."""
    for _ in range(11):
        top = int(rng.integers(max(mask.shape[0] - side, 0) + 1))
        left = int(rng.integers(max(mask.shape[1] - side, 0) + 1))
        window = slice(top, top + side), slice(left, left + side)
        share = float(mask[window].mean())
        if 1 - max_share < share < max_share:
            break
    return image[window], mask[window]


def distort_photometrically(image: UInt8Image, rng: Generator) -> UInt8Image:
    """Brightness, contrast (first or last), saturation and hue, each with chance ½, in 8 bit."""
    contrast_last = rng.random() < 0.5
    image = _scale_and_shift(image, 1.0, rng.uniform(-32, 32), rng)
    if not contrast_last:
        image = _scale_and_shift(image, rng.uniform(0.5, 1.5), 0.0, rng)
    if rng.random() < 0.5:  # each by its own way to HSV and back, which rounds
        image = turn_hue(image, 0, rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        image = turn_hue(image, int(rng.integers(-18, 18)), 1.0)
    if contrast_last:
        image = _scale_and_shift(image, rng.uniform(0.5, 1.5), 0.0, rng)
    return image


def _scale_and_shift(image: UInt8Image, factor: float, shift: float, rng: Generator) -> UInt8Image:
    if rng.random() < 0.5:
        return image
    table = np.clip(np.arange(256) * factor + shift, 0, 255).astype(np.uint8)
    return np.asarray(table[image], np.uint8)


def pad_to_square(
    image: UInt8Image, mask: BoolMask, side: int, mean_rgb: tuple[float, float, float]
) -> tuple[Colour, NDArray[np.uint8]]:
    """S×S×3 float32 padded right and below with the mean colour, labels padded with 255."""
    height, width = mask.shape
    padded = np.empty((side, side, 3), np.float32)
    padded[:] = mean_rgb
    padded[:height, :width] = image
    labels = np.full((side, side), 255, np.uint8)
    labels[:height, :width] = mask
    return padded, labels
