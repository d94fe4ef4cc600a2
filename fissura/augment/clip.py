"""A recipe for sequences: one change, alike for all frames of a clip and for its boxes.

Frames are H×W×3 uint8 RGB of one size; boxes N×4 float32 xyxy, pixel centres at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fissura.augment.common import turn_hue
from fissura.types import UInt8Image

BORDER = (128, 128, 128)
LEAST_LEFT = 0.3
"""Share of a box's area that must stay inside the picture, or the box is dropped."""
LEAST_SIDE = 1.0


@dataclass(frozen=True)
class ClipStrength:
    """How far clips are changed; 0 leaves a change out.

    `scale` is the range of enlargement and `shift` a share of the sides added to where the window
    lies; the others are as in `varied`'s Appearance.
    """

    mirror: bool = True
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    gamma: float = 0.0
    hue: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True)
class ClipChange:
    """One drawn change: x → `factor`·x + `offset` per axis, then light, colour, focus and noise."""

    factor_xy: tuple[float, float]
    offset_xy: tuple[float, float]
    light: UInt8Image
    hue: float
    saturation: float
    blur_px: float
    noise: float
    noise_seed: int


def draw_change(strength: ClipStrength, size_hw: tuple[int, int], rng: Generator) -> ClipChange:
    """A change of clips of this size."""
    low, high = strength.scale
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    mirrored = strength.mirror and rng.random() < 0.5
    height, width = size_hw
    x, y = (_offset(side, scale, strength.shift, rng) for side in (width, height))
    return ClipChange(
        factor_xy=(-scale if mirrored else scale, scale),
        offset_xy=(width - x if mirrored else x, y),
        light=_light(strength, rng),
        hue=rng.uniform(-strength.hue, strength.hue),
        saturation=float(np.exp(rng.uniform(-strength.saturation, strength.saturation))),
        blur_px=rng.uniform(0.4, 1.6) if rng.random() < strength.blur else 0.0,
        noise=rng.uniform(1, 10) if rng.random() < strength.noise else 0.0,
        noise_seed=int(rng.integers(2**63)),
    )


def _offset(side: int, scale: float, shift: float, rng: Generator) -> float:
    """A window inside the enlarged picture, or the whole reduced one, moved by up to `shift`."""
    return float(rng.random() * (1 - scale) + rng.uniform(-shift, shift)) * side


def _light(strength: ClipStrength, rng: Generator) -> UInt8Image:
    """New level of every grey level."""
    gamma = np.exp(rng.uniform(-strength.gamma, strength.gamma))
    contrast = np.exp(rng.uniform(-strength.contrast, strength.contrast))
    brightness = rng.uniform(-strength.brightness, strength.brightness)
    levels = 255 * (np.arange(256) / 255) ** gamma
    levels = (levels - 128) * contrast + 128 + brightness
    return np.asarray(np.clip(levels + 0.5, 0, 255), np.uint8)


def change_frame(image: UInt8Image, change: ClipChange, number: int) -> UInt8Image:
    """Frame `number` of a clip, changed: only its noise is its own."""
    image = _moved(image, change)
    image = np.asarray(cv2.LUT(image, change.light), np.uint8)
    if change.hue or change.saturation != 1:
        image = turn_hue(image, change.hue, change.saturation)
    if change.blur_px:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), change.blur_px), np.uint8)
    if change.noise:
        rng = np.random.default_rng((change.noise_seed, number))
        noise = np.float32(change.noise) * rng.standard_normal(image.shape, dtype=np.float32)
        image = np.clip(image + noise + 0.5, 0, 255).astype(np.uint8)
    return image


def _moved(image: UInt8Image, change: ClipChange) -> UInt8Image:
    factor, offset = np.array(change.factor_xy), np.array(change.offset_xy)
    if (factor == 1).all() and not offset.any():
        return image
    if factor[1] < 1:  # a reduction would alias
        sigma = max(0.5 * (1 / factor[1] - 1), 0.1)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    warp = np.zeros((2, 3))
    warp[[0, 1], [0, 1]] = factor
    warp[:, 2] = offset + 0.5 * factor - 0.5  # OpenCV counts pixel centres from 0
    size_wh = image.shape[1::-1]
    moved = cv2.warpAffine(image, warp, size_wh, flags=cv2.INTER_LINEAR, borderValue=BORDER)
    return np.asarray(moved, np.uint8)


def change_boxes(
    boxes: NDArray[np.float32], change: ClipChange, size_hw: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """All boxes moved and clipped to the picture, and which of them are still worth keeping."""
    corners = boxes.reshape(-1, 2, 2) * np.array(change.factor_xy) + np.array(change.offset_xy)
    moved = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    clipped = clip_boxes(moved, size_hw)
    sides = clipped[:, 2:] - clipped[:, :2]
    left = sides.prod(axis=1) >= LEAST_LEFT * (moved[:, 2:] - moved[:, :2]).prod(axis=1)
    return clipped.astype(np.float32), left & (sides > LEAST_SIDE).all(axis=1)


def clip_boxes(boxes: NDArray[Any], size_hw: tuple[int, int]) -> NDArray[Any]:
    """Boxes N×4 xyxy, cut at the picture's border."""
    limits = np.array((*size_hw[::-1], *size_hw[::-1]))
    return np.asarray(np.clip(boxes, 0, limits))
