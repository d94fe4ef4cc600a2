"""Surfaces painted from a random generator: concrete, asphalt, rubber, and a plain grey one.

Colours are mixed as a screen shows them (sRGB, 0 to 1) and handed out as linear light, because
blur and shadow act on light. Every picture is H×W×3 float32 RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import cv2
import numpy as np

from fissura.types import FloatMap, InputError

Texture = Literal["concrete", "asphalt", "rubber", "plain"]

Size = tuple[int, int]


def to_linear(srgb: FloatMap) -> FloatMap:
    """Screen values in [0, 1] to linear light (IEC 61966-2-1)."""
    s = np.clip(srgb, 0, 1)
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: FloatMap) -> FloatMap:
    """Linear light in [0, 1] to screen values."""
    x = np.clip(linear, 0, 1)
    bent = 1.055 * np.power(x, 1 / 2.4, where=x > 0, out=np.zeros_like(x)) - 0.055
    return np.where(x <= 0.0031308, 12.92 * x, bent).astype(np.float32)


def blobs(
    size_hw: Size, cell_px: float | tuple[float, float], rng: np.random.Generator
) -> FloatMap:
    """Smooth noise of unit spread whose spots are about `cell_px` (height, width) large."""
    cells = (cell_px, cell_px) if isinstance(cell_px, int | float) else cell_px
    grid_hw = [max(2, round(n / c)) + 3 for n, c in zip(size_hw, cells, strict=True)]
    grid = rng.standard_normal(grid_hw).astype(np.float32)
    scale = [max(1.0, c) for c in cells]
    large_wh = [int(np.ceil(g * s)) for g, s in zip(grid_hw[::-1], scale[::-1], strict=True)]
    large = cv2.resize(grid, large_wh, interpolation=cv2.INTER_CUBIC)
    top, left = (int(s) for s in scale)
    cut = large[top : top + size_hw[0], left : left + size_hw[1]]
    if cut.shape != size_hw:
        cut = cv2.resize(large, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(cut * 1.4, np.float32)


def fractal(size_hw: Size, coarse_px: float, fine_px: float, rng: np.random.Generator) -> FloatMap:
    """Noise of unit spread with the same strength in every octave from coarse to fine."""
    count = max(1, round(np.log2(coarse_px / fine_px)) + 1)
    total = sum(blobs(size_hw, coarse_px / 2.0**k, rng) for k in range(count))
    return np.asarray(total / np.sqrt(count), np.float32)


def grain(size_hw: Size, sigma_px: float, rng: np.random.Generator) -> FloatMap:
    """Fine noise of unit spread, Gaussian with the given correlation."""
    noise = rng.standard_normal(size_hw).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), sigma_px)
    return np.asarray(soft / max(float(soft.std()), 1e-6), np.float32)


def _lit(height: FloatMap, strength: float, angle_deg: float = 50.0) -> FloatMap:
    """Light and shade of a relief under a lamp from the upper left, around 0."""
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) / 8
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3) / 8
    angle = np.deg2rad(angle_deg)
    return np.asarray(strength * (np.cos(angle) * dx + np.sin(angle) * dy), np.float32)


def _painted(base: tuple[float, float, float], tone: FloatMap, warmth: FloatMap) -> FloatMap:
    """One grey surface: brightness offsets `tone`, and `warmth` from bluish to brownish."""
    tint = np.array([1.0, 0.1, -1.0], np.float32)
    grey = np.array(base, np.float32) * (1 + tone[..., None])
    return np.asarray(grey + warmth[..., None] * tint, np.float32)


def _discs(
    size_hw: Size, per_mpx: float, radius_px: tuple[float, float], rng: np.random.Generator
) -> FloatMap:
    """Coverage of scattered roundish holes whose radii follow a power law."""
    canvas = np.zeros(size_hw, np.uint8)
    count = rng.poisson(per_mpx * size_hw[0] * size_hw[1] / 1e6)
    low, high = radius_px
    for x, y, u, squeeze, turn in rng.random((count, 5)):
        radius = low * (high / low) ** (u**2.5)
        axes = (int(radius * 16), int(radius * (0.55 + 0.45 * squeeze) * 16))
        centre = (int(x * size_hw[1] * 16), int(y * size_hw[0] * 16))
        cv2.ellipse(canvas, centre, axes, turn * 180, 0, 360, 255, -1, cv2.LINE_AA, 4)
    return np.asarray(canvas / 255.0, np.float32)


def concrete(size_hw: Size, rng: np.random.Generator) -> FloatMap:
    """Cast concrete: cloudy light grey, fine sand, air holes, faint brown stains."""
    cloud = 0.04 * blobs(size_hw, 260, rng) + 0.028 * fractal(size_hw, 110, 7, rng)
    cloud += 0.014 * blobs(size_hw, (24, 420), rng)
    sand = 0.045 * grain(size_hw, 0.6, rng) + 0.028 * grain(size_hw, 1.3, rng)
    speck = 0.16 * _discs(size_hw, 5200, (0.4, 1.5), rng) - 0.1 * _discs(
        size_hw, 2500, (0.5, 2), rng
    )
    holes = cv2.GaussianBlur(_discs(size_hw, 520, (0.8, 4.0), rng), (0, 0), 0.6)
    relief = _lit(grain(size_hw, 1.2, rng) - 6.0 * holes, 0.05)
    stain = np.clip(fractal(size_hw, 190, 12, rng) - 1.1, 0, 1.2)
    tone = cloud + sand + relief - speck - 0.38 * holes - 0.08 * stain
    warmth = 0.005 * blobs(size_hw, 150, rng) + 0.011 * stain
    return to_linear(_painted((0.635, 0.625, 0.6), tone, warmth))


def _stones(size_hw: Size, spacing_px: float, rng: np.random.Generator) -> tuple[FloatMap, ...]:
    """One layer of crushed stone: dome height (0 between stones) and a random tone per stone."""
    h, w = size_hw
    count = max(2, int(h * w / spacing_px**2))
    seeds = np.full(size_hw, 255, np.uint8)
    seeds[rng.integers(0, h, count), rng.integers(0, w, count)] = 0
    distance, label = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    radius = spacing_px * rng.uniform(0.25, 0.75, count + 1).astype(np.float32)[label]
    tone = rng.standard_normal(count + 1).astype(np.float32)[label]
    dome = np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))
    shift = 0.28 * spacing_px
    y, x = np.mgrid[:h, :w].astype(np.float32)
    x += shift * blobs(size_hw, 0.7 * spacing_px, rng)
    y += shift * blobs(size_hw, 0.7 * spacing_px, rng)
    moved = (cv2.remap(a, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT) for a in (dome, tone))
    return tuple(np.asarray(a, np.float32) for a in moved)


def asphalt(size_hw: Size, rng: np.random.Generator) -> FloatMap:
    """Worn road: grey stones of three sizes in dark bitumen, gritty, with a lighter wheel track."""
    tone = np.full(size_hw, -0.36, np.float32)
    height = np.zeros(size_hw, np.float32)
    warmth = 0.004 * blobs(size_hw, 160, rng)
    for spacing, level in ((3.2, 0.0), (5.5, 0.06), (9.0, 0.12)):
        dome, shade = _stones(size_hw, spacing, rng)
        cover = np.clip(dome * 2.2 - 0.3, 0, 1)
        tone += cover * (level + 0.13 * shade - tone)
        warmth += cover * 0.006 * (shade - warmth)
        height = np.maximum(height, dome * spacing * 0.35)
    tone += _lit(height, 0.13) + 0.07 * grain(size_hw, 0.7, rng)
    tone += 0.05 * blobs(size_hw, 230, rng) + 0.04 * fractal(size_hw, 90, 20, rng)
    return to_linear(_painted((0.47, 0.465, 0.455), tone, warmth))


def _scuffs(size_hw: Size, count: int, rng: np.random.Generator) -> FloatMap:
    """Thin pale scratches that run roughly down the belt."""
    canvas = np.zeros(size_hw, np.uint8)
    for x, y, u, tilt, light in rng.random((count, 5)):
        length, lean = 12 + 130 * u**3, (tilt - 0.5) * 0.5
        start = np.array([x * size_hw[1], y * size_hw[0]])
        bow = np.array([0.03 * length * (light - 0.5), 0.5 * length])
        end = start + np.array([lean * length, length])
        line = np.stack([start, start + np.array([lean * length / 2, 0]) + bow, end]) * 16
        shade = int(40 + 170 * light**2)
        cv2.polylines(canvas, [line.astype(np.int32)], False, shade, 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.6) / 255.0, np.float32)


def rubber(size_hw: Size, rng: np.random.Generator) -> FloatMap:
    """Conveyor belt: dark bluish rubber, moulded weave, streaks along the belt, scuffs and dust."""
    h, w = size_hw
    y, x = np.mgrid[:h, :w].astype(np.float32)
    bend = 1.2 * blobs(size_hw, 120, rng)
    weave = np.sin((x + bend) * (2 * np.pi / 5.5)) * np.sin((y + bend) * (2 * np.pi / 7.0))
    streaks = 0.09 * blobs(size_hw, (900, 34), rng) + 0.055 * blobs(size_hw, (500, 7), rng)
    streaks += 0.04 * blobs(size_hw, (260, 2.2), rng)
    sheen = 0.22 * np.exp(-(((x / w - rng.uniform(0.35, 0.65)) / 0.4) ** 2))
    tone = streaks + sheen + 0.016 * weave + 0.05 * grain(size_hw, 0.8, rng)
    tone += 0.06 * fractal(size_hw, 140, 18, rng)
    dust = np.clip(
        0.55 * fractal(size_hw, 120, 8, rng) + 0.5 * blobs(size_hw, (700, 60), rng), 0, 2
    )
    dust *= 0.55 + 0.25 * np.clip(grain(size_hw, 1.0, rng), -1.5, 2)
    specks = _discs(size_hw, 900, (0.5, 1.7), rng)
    tone += 0.34 * _scuffs(size_hw, int(h * w / 3200), rng) + 0.16 * dust + 0.8 * specks
    return to_linear(_painted((0.255, 0.262, 0.275), tone, 0.012 * dust + 0.03 * specks))


def plain(size_hw: Size, rng: np.random.Generator) -> FloatMap:
    """One even grey: for tests that ask about the crack alone."""
    del rng
    return to_linear(np.full((*size_hw, 3), 0.65, np.float32))


TEXTURES: dict[Texture, Callable[[Size, np.random.Generator], FloatMap]] = {
    "concrete": concrete,
    "asphalt": asphalt,
    "rubber": rubber,
    "plain": plain,
}


def paint(texture: Texture, size_hw: Size, rng: np.random.Generator) -> FloatMap:
    """A surface in linear light, H×W×3 float32."""
    if texture not in TEXTURES:
        raise InputError(f"texture {texture!r} is unknown: choose one of {get_args(Texture)}")
    return np.clip(TEXTURES[texture](size_hw, rng), 0.002, 1)


def add_joint(picture: FloatMap, at: float, width_px: float, vertical: bool = True) -> FloatMap:
    """A straight, shallow groove across the picture at the fraction `at`: no crack."""
    h, w = picture.shape[:2]
    place = np.arange(w if vertical else h, dtype=np.float32) - at * (w if vertical else h)
    groove = np.clip(width_px / 2 + 0.5 - np.abs(place), 0, 1)
    lip = np.exp(-(((np.abs(place) - width_px / 2 - 1.5) / 1.5) ** 2))
    factor = (1 - 0.62 * groove) * (1 + 0.12 * lip * np.sign(place))
    return np.asarray(picture * (factor[None, :, None] if vertical else factor[:, None, None]))


def add_stain(picture: FloatMap, rng: np.random.Generator) -> FloatMap:
    """A damp patch with a ragged, slightly darker rim."""
    h, w = picture.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    centre, reach = rng.uniform(0.2, 0.8, 2) * (h, w), rng.uniform(0.12, 0.2) * max(h, w)
    depth = 1 - np.hypot((y - centre[0]) * 0.8, x - centre[1]) / reach
    depth += 0.22 * fractal((h, w), 0.5 * reach, 6, rng)
    wet = 1 / (1 + np.exp(-depth * 14)) + 0.35 * np.exp(-((depth / 0.07) ** 2))
    tint = np.array([0.26, 0.29, 0.34], np.float32)
    return np.asarray(picture * (1 - wet[..., None] * tint), np.float32)


def cast_shadow(size_hw: Size, rng: np.random.Generator, depth: float = 0.5) -> FloatMap:
    """Light that reaches each pixel, H×W×3, where a soft-edged shadow falls over one corner."""
    h, w = size_hw
    y, x = np.mgrid[:h, :w].astype(np.float32)
    angle = np.deg2rad(rng.uniform(20, 70))
    place = np.cos(angle) * x / w + np.sin(angle) * y / h - rng.uniform(0.28, 0.4)
    shade = 1 / (1 + np.exp(place * max(h, w) / 4.0))
    tint = np.array([1.0, 0.96, 0.88], np.float32) * depth
    return np.asarray(1 - shade[..., None] * tint, np.float32)
