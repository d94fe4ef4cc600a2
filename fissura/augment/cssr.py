"""CSSR's recipe: a mirror, changes of light and colour in 32 bits, a square crop resized."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from fissura.augment.common import Colour
from fissura.types import BoolMask, UInt8Image

CROP_SHARE = (0.6, 1.0)


@dataclass(frozen=True)
class Distortion:
    """One change of light and colour: grey levels added, contrast and saturation as factors.

    `contrast_last` puts contrast behind saturation and hue; `channels` reorders red, green, blue.
    """

    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue_deg: float = 0.0
    contrast_last: bool = False
    channels: tuple[int, int, int] = (0, 1, 2)


class Box(NamedTuple):
    """A window of a picture in pixels."""

    top: int
    left: int
    height: int
    width: int


def draw_distortion(rng: Generator) -> Distortion:
    """Each change with chance ½."""
    order = rng.permutation(3) if rng.random() < 0.5 else range(3)
    return Distortion(
        brightness=_sometimes(rng, -32, 32, 0),
        contrast=_sometimes(rng, 0.5, 1.5, 1),
        saturation=_sometimes(rng, 0.5, 1.5, 1),
        hue_deg=_sometimes(rng, -18, 18, 0),
        contrast_last=bool(rng.random() < 0.5),
        channels=(int(order[0]), int(order[1]), int(order[2])),
    )


def _sometimes(rng: Generator, low: float, high: float, neutral: float) -> float:
    return rng.uniform(low, high) if rng.random() < 0.5 else neutral


def distort(image: Colour, change: Distortion, *, clip: bool = True) -> Colour:
    """H×W×3 RGB in 0…255 → the same, changed.

    Without `clip` a saturation above 1 is kept and makes colours negative, as in the release.
    """
    image = _within_range(image + np.float32(change.brightness))
    if not change.contrast_last:
        image = _within_range(image * np.float32(change.contrast))
    hsv = np.asarray(
        cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.float32
    )  # hue 0…360, saturation 0…1, value 0…255
    hsv[..., 0] = (hsv[..., 0] + np.float32(change.hue_deg)) % 360
    hsv[..., 1] = hsv[..., 1] * np.float32(change.saturation)
    if clip:
        hsv[..., 1] = np.minimum(hsv[..., 1], 1)
    image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)
    if change.contrast_last:
        image = _within_range(image * np.float32(change.contrast))
    elif clip:
        image = _within_range(image)
    return np.ascontiguousarray(image[..., list(change.channels)])


def _within_range(image: Colour) -> Colour:
    return np.clip(image, 0, 255)


def draw_box(size_hw: tuple[int, int], rng: Generator) -> Box:
    """A square of 60 to 100 % of the picture's area anywhere in it, or as large as fits."""
    height, width = size_hw
    side = round(math.sqrt(height * width * rng.uniform(*CROP_SHARE)))
    side = min(side, height, width)
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return Box(int(top), int(left), side, side)


def take_box(values: Colour, box: Box, size_hw: tuple[int, int]) -> Colour:
    """The window, resized bilinearly; a mask of 0 and 1 becomes soft."""
    window = values[box.top : box.top + box.height, box.left : box.left + box.width]
    resized = cv2.resize(window, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def mirror_distort_crop(
    image: UInt8Image, mask: BoolMask, side: int, rng: Generator, *, clip: bool = True
) -> tuple[Colour, BoolMask]:
    """S×S×3 float32 RGB in 0…255 and the mask, at least half covered pixels being crack."""
    colour, truth = image.astype(np.float32), mask.astype(np.float32)
    if rng.random() < 0.5:
        colour, truth = colour[:, ::-1], truth[:, ::-1]
    colour = distort(colour, draw_distortion(rng), clip=clip)
    box = draw_box(mask.shape, rng)
    soft = take_box(truth, box, (side, side))
    return take_box(colour, box, (side, side)), soft >= 0.5
