"""Our recipe: one warp, then strong changes of light. S is the side of the square crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fissura.augment.common import Colour, Pair, turn_hue
from fissura.types import BoolMask, UInt8Image


@dataclass(frozen=True)
class Geometry:
    """How a crop is taken: enlargement range, free rotation in degrees, quarter turns, mirror."""

    scale: tuple[float, float] = (0.7, 1.5)
    rotation_deg: float = 15.0
    quarter_turns: bool = True
    mirror: bool = True


@dataclass(frozen=True)
class Appearance:
    """Strength of each change of the picture; 0 leaves it out.

    `brightness` in grey levels, `contrast`, `saturation` and `gamma` as relative ranges, `hue` in
    half degrees (OpenCV's 180 steps), the others as the chance that they happen.
    """

    brightness: float = 32.0
    contrast: float = 0.4
    saturation: float = 0.4
    gamma: float = 0.3
    hue: float = 12.0
    shadow: float = 0.2
    blur: float = 0.2
    noise: float = 0.3
    jpeg: float = 0.2


def random_crop(
    image: UInt8Image, mask: BoolMask, side: int, geometry: Geometry, rng: Generator
) -> Pair:
    """One S×S crop in a single warp; a crack pixel is its centre every second time.

    The picture is mirrored at its border, so that a crop larger than the picture has no black.
    """
    low, high = geometry.scale
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    angle = rng.uniform(-geometry.rotation_deg, geometry.rotation_deg)
    angle += 90.0 * int(rng.integers(4)) if geometry.quarter_turns else 0.0
    centre_xy = _crop_centre(mask, side / scale / 2, rng)
    warp = cv2.getRotationMatrix2D(centre_xy, angle, scale)
    if geometry.mirror and rng.random() < 0.5:
        warp[0] = -warp[0]
        warp[0, 2] += 2 * centre_xy[0]
    warp[0, 2] += side / 2 - centre_xy[0]
    warp[1, 2] += side / 2 - centre_xy[1]
    if scale < 1:  # an enlargement below 1 would alias
        sigma = 0.5 * (1 / scale - 1)
        image = _blur(image, max(sigma, 0.1))
    crop = np.asarray(_warp(image, warp, side), np.uint8)
    return crop, _warp(mask.astype(np.float32), warp, side) > 0.5


def _warp(values: NDArray[Any], warp: NDArray[Any], side: int) -> NDArray[Any]:
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(values, warp, (side, side), flags=flags, borderMode=border))


def _blur(values: NDArray[Any], sigma: float) -> NDArray[Any]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma))


def _crop_centre(mask: BoolMask, half: float, rng: Generator) -> tuple[float, float]:
    """Anywhere that keeps the crop inside where it can, near a crack pixel every second time."""
    height, width = mask.shape
    x = rng.uniform(min(half, width / 2), max(width - half, width / 2))
    y = rng.uniform(min(half, height / 2), max(height - half, height / 2))
    cracks = np.flatnonzero(mask)
    if cracks.size and rng.random() < 0.5:
        row, column = divmod(int(rng.choice(cracks)), width)
        spread = half / 2
        x = float(np.clip(column + rng.uniform(-spread, spread), 0, width))
        y = float(np.clip(row + rng.uniform(-spread, spread), 0, height))
    return x, y


def change_appearance(image: UInt8Image, appearance: Appearance, rng: Generator) -> UInt8Image:
    """Light, colour, shadow, focus, noise and compression of another camera on another day."""
    colour = image.astype(np.float32)
    colour = _change_light(colour, appearance, rng)
    if rng.random() < appearance.shadow:
        colour = _cast_shadow(colour, rng)
    if rng.random() < appearance.blur:
        colour = _blur(colour, rng.uniform(0.4, 1.6))
    if rng.random() < appearance.noise:
        noise = rng.standard_normal(colour.shape, dtype=np.float32)
        colour = colour + noise * np.float32(rng.uniform(1, 10))
    changed = np.clip(colour + 0.5, 0, 255).astype(np.uint8)
    changed = _change_colour(changed, appearance, rng)
    if rng.random() < appearance.jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        encoded = cv2.imencode(".jpg", changed, quality)[1]
        changed = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(changed, np.uint8)


def _change_light(colour: Colour, appearance: Appearance, rng: Generator) -> Colour:
    gamma = np.exp(rng.uniform(-appearance.gamma, appearance.gamma))
    contrast = np.exp(rng.uniform(-appearance.contrast, appearance.contrast))
    brightness = rng.uniform(-appearance.brightness, appearance.brightness)
    steps = np.arange(256, dtype=np.float32)
    curve = 255 * (steps / 255) ** gamma
    curve = (curve - 128) * contrast + 128 + brightness
    changed: Colour = curve.astype(np.float32)[colour.astype(np.uint8)]
    return changed


def _cast_shadow(colour: Colour, rng: Generator) -> Colour:
    """Darken one side of a random line, soft over a random width."""
    height, width = colour.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    x = np.arange(width, dtype=np.float32) - rng.uniform(0, width)
    y = np.arange(height, dtype=np.float32) - rng.uniform(0, height)
    distance = np.cos(angle) * x[None] + np.sin(angle) * y[:, None]
    softness = rng.uniform(2, 40)
    lit = 0.5 + 0.5 * np.clip(distance / softness, -1, 1)
    shade = rng.uniform(0.4, 0.8)
    shadowed: Colour = (colour * (shade + (1 - shade) * lit[..., None])).astype(np.float32)
    return shadowed


def _change_colour(image: UInt8Image, appearance: Appearance, rng: Generator) -> UInt8Image:
    hue = rng.uniform(-appearance.hue, appearance.hue)
    saturation = np.exp(rng.uniform(-appearance.saturation, appearance.saturation))
    return turn_hue(image, hue, saturation)
