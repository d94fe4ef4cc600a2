"""What lies on a belt and is no damage: scratches, stains, water, repairs, and its splices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from fissura.synth.belt_defects import Patch
from fissura.synth.textures import fractal
from fissura.types import FloatMap

MarkKind = Literal["scratch", "stain", "water", "repair", "vulcanised", "fasteners"]

PER_METRE: dict[MarkKind, float] = {"scratch": 1.6, "stain": 0.5, "water": 0.25, "repair": 0.04}
"""Usual number of each per square metre of belt."""

WET: tuple[MarkKind, ...] = ("water", "stain")

REACH_M: dict[MarkKind, float] = {"scratch": 0.35, "stain": 0.25, "water": 1.1, "repair": 0.3}

SPLICE_REACH_M = 0.55

SECTION_M = (20.0, 40.0)
"""Length of belt between two splices: its shortest is taken more often than any other."""


@dataclass(frozen=True)
class Mark:
    """One mark: middle at `u`, `s` metres, reaching `reach` metres up and down the belt."""

    kind: MarkKind
    u: float
    s: float
    reach: float
    seed: int


def plan_marks(
    length_m: float, width_m: float, density: float, rng: np.random.Generator
) -> list[Mark]:
    """Scatter marks over a belt and lay its splices evenly; the first one is at 0."""
    found = []
    for kind, usual in PER_METRE.items():
        count = usual * density * length_m * width_m
        found += _scattered(kind, count, (length_m, width_m), rng)
    joint: MarkKind = "fasteners" if rng.random() < 0.4 else "vulcanised"
    section = max(SECTION_M[0], rng.uniform(8, SECTION_M[1]))
    splices = max(1, round(length_m / section))
    for s in np.arange(splices) * length_m / splices:
        found.append(Mark(joint, 0.0, float(s), SPLICE_REACH_M, int(rng.integers(2**31))))
    return found


def plan_wet_marks(
    length_m: float, width_m: float, density: float, rng: np.random.Generator
) -> list[Mark]:
    """Water and stains that rain adds to the usual ones."""
    size = (length_m, width_m)
    usual = {kind: PER_METRE[kind] * density * length_m * width_m for kind in WET}
    return [
        mark for kind, count in usual.items() for mark in _scattered(kind, 2 * count, size, rng)
    ]


def _scattered(
    kind: MarkKind, count: float, size_m: tuple[float, float], rng: np.random.Generator
) -> list[Mark]:
    found = []
    for u, s in rng.random((rng.poisson(count), 2)):
        seed = int(rng.integers(2**31))
        place = (float((u - 0.5) * size_m[1]), float(s * size_m[0]))
        found.append(Mark(kind, *place, REACH_M[kind], seed))
    return found


def draw_mark(mark: Mark, ppm: float, width: int) -> Patch:
    """The mark as brightness to add, in shares of the belt's own; its `top` is left at 0."""
    rng = np.random.default_rng([mark.seed, 3])
    if mark.kind in ("vulcanised", "fasteners"):
        half = int(SPLICE_REACH_M * ppm)
        size = (2 * half, width)
        draw = _fasteners if mark.kind == "fasteners" else _vulcanised
        return Patch(draw(size, ppm, rng), 0, 0)
    draw_one = {"scratch": _scratch, "stain": _stain, "water": _water, "repair": _repair}
    cover = draw_one[mark.kind](ppm, rng)
    left = int(mark.u * ppm + (width - cover.shape[1]) / 2)
    return Patch(cover, left, 0)


def _lines(size_hw: tuple[int, int], lines: list[FloatMap], shade: int, thick: int = 1) -> FloatMap:
    canvas = np.zeros(size_hw, np.uint8)
    drawn = [np.rint(line * 16).astype(np.int32) for line in lines]
    cv2.polylines(canvas, drawn, False, shade, thick, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.55) / np.float32(255), np.float32)


def _scratch(ppm: float, rng: np.random.Generator) -> FloatMap:
    """One to three shallow lines, pale or dull, hardly bent, mostly along the belt."""
    length = ppm * 0.04 * 12 ** rng.random()
    lean = rng.normal(0, 0.18) if rng.random() < 0.75 else rng.uniform(-1.2, 1.2)
    bow = rng.normal(0, 0.04) * length
    t = np.linspace(0, 1, 24)
    x = lean * length * (t - 0.5) + bow * np.sin(np.pi * t)
    y = length * np.cos(np.clip(lean, -1.3, 1.3)) * (t - 0.5)
    apart = np.arange(rng.integers(1, 4)) * rng.uniform(0.004, 0.012) * ppm
    half_w, half_h = int(np.abs(x).max() + apart[-1]) + 6, int(np.abs(y).max()) + 6
    lines = [np.stack([x + gap + half_w, y + half_h], axis=1) for gap in apart]
    strength = rng.choice([1.0, -1.0], p=[0.62, 0.38]) * rng.uniform(0.12, 0.34)
    drawn = _lines((2 * half_h, 2 * half_w), lines, 255, max(1, round(0.0016 * ppm)))
    faded = np.clip(1.2 * np.sin(np.linspace(0.1, np.pi - 0.1, 2 * half_h)), 0, 1)
    return np.asarray(drawn * strength * faded[:, None], np.float32)


def _stain(ppm: float, rng: np.random.Generator) -> FloatMap:
    """A patch with a ragged rim: oil or water makes it darker, lime or ash paler."""
    half = int(ppm * rng.uniform(0.03, 0.22)) + 6
    y, x = np.mgrid[-half:half, -half:half].astype(np.float32) / half
    squeeze = rng.uniform(1.0, 2.4)
    depth = 0.72 - np.hypot(x * squeeze, y) + 0.2 * fractal(x.shape, half, half / 12, rng)
    inside = 1 / (1 + np.exp(np.clip(-depth * rng.uniform(9, 26), -30, 30)))
    inside *= np.clip((1 - np.maximum(np.abs(x), np.abs(y))) * 6, 0, 1)
    strength = rng.uniform(-0.36, -0.12) if rng.random() < 0.7 else rng.uniform(0.1, 0.3)
    mottled = 1 + 0.25 * fractal(x.shape, half / 3, 2, rng)
    return np.asarray(strength * inside * mottled, np.float32)


def _water(ppm: float, rng: np.random.Generator) -> FloatMap:
    """A dark wet tongue along the belt with a thin bright rim."""
    half_h, half_w = int(ppm * rng.uniform(0.25, 1.0)), int(ppm * 0.09) + 6
    y = np.linspace(-1, 1, 2 * half_h, dtype=np.float32)[:, None]
    x = np.arange(-half_w, half_w, dtype=np.float32)[None]
    waves = np.cumsum(rng.uniform(0.8, 2.6, 5)) * 2 + rng.uniform(0, 6, 5)
    sway, swell = (
        np.sin(y * waves + rng.uniform(0, 6, 5)) @ rng.normal(0, spread, (5, 1))
        for spread in (0.05, 0.16)
    )
    bend = sway * half_w
    wide = 0.011 * ppm * rng.uniform(0.4, 1.8) * np.exp(swell) * np.sqrt(np.clip(1 - y**2, 0, 1))
    edge = np.abs(x - bend) - wide
    inside = 1 / (1 + np.exp(np.clip(edge * 0.8, -30, 30)))
    inside *= np.clip(2 - 2 * np.abs(y), 0, 1)
    rim = np.exp(-(((edge - 1) / 1.2) ** 2)) * np.clip(wide / 4, 0, 1)
    return np.asarray(rng.uniform(-0.28, -0.12) * inside + 0.07 * rim * inside, np.float32)


def _repair(ppm: float, rng: np.random.Generator) -> FloatMap:
    """A rectangle of newer rubber with a visible edge."""
    half_h, half_w = (int(ppm * rng.uniform(0.05, 0.22)) + 4 for _ in range(2))
    y, x = np.mgrid[-half_h:half_h, -half_w:half_w].astype(np.float32)
    inner = np.minimum(half_h - 3 - np.abs(y), half_w - 3 - np.abs(x))
    patch = np.clip(inner, 0, 1) * rng.uniform(-0.22, 0.1)
    patch -= 0.2 * np.exp(-((inner / 1.1) ** 2)) * (0.5 + 0.5 * np.sign(y + x))
    return np.asarray(patch, np.float32)


def _vulcanised(size_hw: tuple[int, int], ppm: float, rng: np.random.Generator) -> FloatMap:
    """Two faint slanting lines across the belt and a band of smoother rubber between them."""
    h, w = size_hw
    y, x = np.mgrid[:h, :w].astype(np.float32)
    slant = rng.choice([-1, 1]) * rng.uniform(0, 0.22)
    place = (y - h / 2 + slant * (x - w / 2)) / ppm
    half = rng.uniform(0.08, 0.24)
    inside = np.clip((half - np.abs(place)) * 60 + 0.5, 0, 1)
    groove = np.exp(-(((np.abs(place) - half) * ppm / max(1.0, 0.0016 * ppm)) ** 2))
    worn = 0.6 + 0.5 * np.clip(fractal((1, w), 0.2 * w, 6, rng), -1, 1.2)
    return np.asarray(rng.uniform(-0.1, 0.08) * inside - 0.26 * groove * worn, np.float32)


def _fasteners(size_hw: tuple[int, int], ppm: float, rng: np.random.Generator) -> FloatMap:
    """A row of metal plates, bolted over a straight seam across the belt."""
    h, w = size_hw
    canvas = np.zeros(size_hw, np.float32)
    pitch, half_w, half_h = 0.034 * ppm, 0.013 * ppm, 0.028 * ppm
    y, x = np.mgrid[:h, :w].astype(np.float32)
    canvas -= 0.6 * np.exp(-(((y - h / 2) / max(1.0, 0.0016 * ppm)) ** 2))
    off = (x % pitch) - pitch / 2
    inner = np.minimum(half_w - np.abs(off), half_h - np.abs(y - h / 2))
    plate = np.clip(inner + 0.5, 0, 1)
    tone = 0.55 + 0.3 * np.repeat(rng.standard_normal(int(w / pitch) + 2), int(pitch) + 2)[:w]
    bolts = np.hypot(off, np.abs(y - h / 2) - 0.6 * half_h) < 0.3 * half_w
    shine = tone + 0.25 * off / half_w - 0.5 * bolts
    edge = np.exp(-(((inner + 1) / 1.5) ** 2))
    canvas += plate * (np.clip(shine, 0.1, 1.2) - canvas) - 0.3 * edge
    return np.asarray(canvas, np.float32)
