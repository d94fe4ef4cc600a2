"""Cracks and holes of a belt: where they sit, how they are shaped, and how they grow.

Places are metres on the belt: u across from the middle, s along from the splice. Sizes follow the
counts that the BeltCrack paper's Table 1 gives for boxes in pictures of 1920×1080.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.synth.belt_style import BeltStyle, SizeMix
from fissura.synth.cracks import CrackSpec, Ribbon, draw, polygon_coverage
from fissura.types import FloatMap

Float64 = NDArray[np.float64]
Kind = Literal["crack", "hole"]

BOUNDS_PX = (30, 100, 1000, 10_000, 100_000, 400_000)
"""Areas of boxes between which a crack is tiny, small, medium, large, huge."""

SIZE_MIX: dict[SizeMix, tuple[float, ...]] = {
    "14ks": (33, 2278, 20379, 14558, 58),
    "9kd": (0, 18, 2418, 7097, 3354),
}
"""Boxes of each size in the paper's Table 1, all parts of a set together."""

TABLE_PIXELS = 1920 * 1080
GROWTH_ALLOWANCE = 1.3
"""Full-grown boxes are so much larger than planned: others are young, or cut off by the rim."""

LONGEST_M = 2.4
REACH_M = 1.4
LONGEST_TEAR_M = 8.0
GROWN_AFTER = 5
"""Revolutions after which a growing crack has its full size."""


@dataclass(frozen=True)
class Defect:
    """One crack or hole: `share` of the picture that its box takes when it is full grown.

    `start` is the share of its full length at the first revolution; 1 does not grow. `length_m` is
    that of a tear, for which `share` does not count.
    """

    identity: int
    kind: Kind
    u: float
    s: float
    angle: float
    share: float
    start: float
    seed: int
    length_m: float | None = None

    @property
    def reach_m(self) -> float:
        """No part of it lies further than this from its place along the belt."""
        return REACH_M if self.length_m is None else 0.55 * self.length_m + 0.1

    def grown(self, revolution: int) -> float:
        """Share of the full length at a revolution, from `start` up to 1."""
        done = min(max(revolution, 0), GROWN_AFTER) / GROWN_AFTER
        return self.start + (1 - self.start) * done


def plan_defects(
    count: int, length_m: float, style: BeltStyle, rng: np.random.Generator
) -> list[Defect]:
    """Scatter defects over a belt, half of them in loose clusters."""
    weights = np.array(SIZE_MIX[style.size_mix], float) / sum(SIZE_MIX[style.size_mix])
    clusters = rng.uniform(0, length_m, max(1, count // 3))
    found = []
    for identity in range(1, count + 1):
        group = int(rng.choice(len(weights), p=weights))
        area = np.exp(rng.uniform(*np.log(BOUNDS_PX[group : group + 2])))
        near = rng.choice(clusters) + rng.normal(0, 0.5)
        s = near if rng.random() < 0.5 else rng.uniform(0, length_m)
        grows = rng.random() < 0.35
        hole = rng.random() < style.holes and group < 4
        found.append(
            Defect(
                identity=identity,
                kind="hole" if hole else "crack",
                u=float(rng.uniform(-0.42, 0.42) * style.width_m),
                s=float(s % length_m),
                angle=_direction(rng),
                share=float(GROWTH_ALLOWANCE * area / TABLE_PIXELS) * style.crack_scale**2,
                start=float(rng.uniform(0.35, 0.75)) if grows else 1.0,
                seed=int(rng.integers(2**31)),
            )
        )
    return found


def plan_tears(
    first: int, length_m: float, visible_m: float, style: BeltStyle, rng: np.random.Generator
) -> list[Defect]:
    """Tears along the belt, longer than what a picture shows of it; identities from `first` on."""
    longest = min(LONGEST_TEAR_M, 0.5 * length_m)
    return [
        Defect(
            identity=first + number,
            kind="crack",
            u=float(rng.uniform(-0.38, 0.38) * style.width_m),
            s=float(rng.uniform(0, length_m)),
            angle=float(90 + rng.normal(0, 0.6)),
            share=1.0,
            start=float(rng.uniform(0.5, 0.8)) if rng.random() < 0.35 else 1.0,
            seed=int(rng.integers(2**31)),
            length_m=float(min(longest, visible_m * rng.uniform(1.3, 2.5))),
        )
        for number in range(rng.poisson(style.tears * length_m / 20))
    ]


def _direction(rng: np.random.Generator) -> float:
    """Degrees from across the belt: many along the belt, some across, the rest at a slant."""
    way = rng.choice(3, p=[0.45, 0.25, 0.3])
    return float((90 + rng.normal(0, 9), rng.normal(0, 10), rng.uniform(0, 180))[way])


@dataclass(frozen=True)
class Shape:
    """A defect at full size, in metres around its centre (u, s): ribbons of a crack, or an edge."""

    ribbons: tuple[Ribbon, ...] = ()
    edge: Float64 | None = None

    def outlines(self, grown: float) -> list[Float64]:
        """Closed polygons at a share of the full length."""
        if self.edge is not None:
            return [self.edge * grown]
        trunk = _shortened(self.ribbons[0], grown)
        reach = grown * len(self.ribbons[0].xy) / 2
        middle = len(self.ribbons[0].xy) / 2
        found = [trunk.outline]
        for branch in self.ribbons[1:]:
            gap = np.hypot(*(self.ribbons[0].xy - branch.xy[0]).T)
            if abs(int(gap.argmin()) - middle) < 0.8 * reach:
                found.append(_stump(branch, grown).outline)
        return found


def _shortened(ribbon: Ribbon, grown: float) -> Ribbon:
    """The middle part of a ribbon; it is thinner than the whole and runs out to points."""
    n = len(ribbon.xy)
    cut = int(n * (1 - grown) / 2)
    part = slice(cut, n - cut)
    ends = np.minimum(np.arange(n - 2 * cut), np.arange(n - 2 * cut)[::-1]) / max(1, 0.3 * n)
    thin = np.sqrt(grown) * np.clip(ends / grown + 0.02, 0, 1)
    return _part(ribbon, part, thin)


def _stump(ribbon: Ribbon, grown: float) -> Ribbon:
    """The first part of a branch."""
    n = max(3, int(len(ribbon.xy) * grown))
    return _part(ribbon, slice(0, n), np.sqrt(grown) * np.clip(np.linspace(2.2, 0.02, n), 0, 1))


def _part(ribbon: Ribbon, part: slice, thin: Float64) -> Ribbon:
    left, right = ribbon.left[part], ribbon.right[part]
    middle, half = (left - right) / 2, (left + right) / 2 * thin
    return Ribbon(ribbon.xy[part], ribbon.normal[part], half + middle, half - middle)


BoxArea = Callable[[Float64], float]
"""Area in the picture, as a share of it, of the box around places (u, y) near its middle."""


def shape_of(defect: Defect, least_px: float, ppm: float, area: BoxArea) -> Shape:
    """Shape a defect so that its box takes the planned share of the picture.

    `least_px` is the width in belt pixels below which nothing of a crack would be seen.
    """
    if defect.length_m is not None:
        return _shape(defect, defect.length_m, least_px, ppm)
    length = 60 / ppm
    for _ in range(2):
        shape = _shape(defect, length, least_px, ppm)
        points = np.concatenate(shape.outlines(1.0))[::4]
        factor = 1.0
        for _ in range(4):
            shown = max(area(points * factor + (defect.u, 0.0)), 1e-9)
            factor *= float(np.sqrt(defect.share / shown))
            factor = float(np.clip(factor * length, 5 / ppm, LONGEST_M)) / length
        length *= factor
    return _shape(defect, length, least_px, ppm)


def _shape(defect: Defect, length: float, least_px: float, ppm: float) -> Shape:
    rng = np.random.default_rng([defect.seed, 1])
    if defect.kind == "hole":
        return Shape(edge=_ragged_edge(length, defect.angle, rng))
    units = float(np.clip(length * ppm, 60, 360 if defect.length_m is None else 1500))
    metre = length / units
    gaping = rng.random() < 0.22
    wide = np.exp(rng.normal(np.log(0.055 if gaping else 0.02), 0.4)) * length * ppm
    width = float(np.clip(wide, least_px, max(0.016 * ppm, 1.5 * least_px))) / ppm / metre
    widths = np.exp(0.3 * rng.standard_normal(9))
    widths *= np.sin(np.linspace(0.25, np.pi - 0.25, 9)) if gaping else 1
    spec = CrackSpec(
        size_hw=(int(4 * units), int(4 * units)),
        width_px=tuple((width * widths).tolist()),
        angle_deg=defect.angle,
        length_px=units,
        centre_xy=(2 * units, 2 * units),
        wander=float(rng.uniform(0.05, 0.24)) * (0.12 if defect.length_m else 1.0),
        roughness_px=min(0.3 * width + 0.25, 0.012 * units),
        branches=int(rng.choice(3, p=[0.68, 0.24, 0.08])),
        texture="plain",
    )
    ribbons = draw(spec, rng)
    return Shape(tuple(_scaled(ribbon, 2 * units, metre) for ribbon in ribbons))


def _scaled(ribbon: Ribbon, middle: float, metre: float) -> Ribbon:
    xy = (ribbon.xy - middle) * metre
    return replace(ribbon, xy=xy, left=ribbon.left * metre, right=ribbon.right * metre)


def _ragged_edge(length: float, angle: float, rng: np.random.Generator) -> Float64:
    """Outline of a hole: a crooked oval with torn corners."""
    count = 240
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = np.ones(count)
    for wave in range(2, 14):
        radius += rng.normal(0, 0.2 / wave) * np.cos(wave * t + rng.uniform(0, 2 * np.pi))
    radius = np.maximum(radius + rng.normal(0, 0.012, count), 0.35) * length / 2
    squeeze = rng.uniform(0.4, 0.95)
    x, y = radius * np.cos(t), squeeze * radius * np.sin(t)
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return np.stack([c * x - s * y, s * x + c * y], axis=1)


@dataclass(frozen=True)
class Patch:
    """A defect as painted on the belt: share of each pixel, first column and first row."""

    cover: FloatMap
    left: int
    top: int


def rasterise(outlines: list[Float64], ppm: float, margin: int) -> Patch:
    """Exact share of every belt pixel under any of the polygons (metres to pixels by `ppm`)."""
    points = np.concatenate(outlines) * ppm
    left, top = (np.floor(points.min(axis=0)) - margin).astype(int)
    right, bottom = (np.ceil(points.max(axis=0)) + margin).astype(int)
    free = np.ones((bottom - top, right - left), np.float32)
    for outline in outlines:
        free *= 1 - polygon_coverage(outline * ppm - (left, top), free.shape)
    return Patch(1 - free, int(left), int(top))


@lru_cache(maxsize=8)
def _grit(seed: int) -> FloatMap:
    rng = np.random.default_rng([seed, 2])
    noise = rng.standard_normal((256, 256)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.0) * 3.0


def paint_defect(rows: FloatMap, cover: FloatMap, inside: Float64, ppm: float, seed: int) -> None:
    """Darken, fray and edge the rows (a view of the surface, changed in place) under a defect."""
    h, w = cover.shape
    grit = np.tile(_grit(seed % 8), (h // 256 + 1, w // 256 + 1))[:h, :w]
    near = cv2.GaussianBlur(cover, (0, 0), 0.7 + 0.0016 * ppm)
    far = cv2.GaussianBlur(cover, (0, 0), 1.5 + 0.006 * ppm)
    lip = np.roll(near, (1, 1), (0, 1)) - np.roll(near, (-1, -1), (0, 1))
    dirt = np.clip(far - 0.5 * cover, 0, 1) * (0.35 + 0.2 * grit)
    rows *= (1 + 0.8 * np.clip(lip, -0.25, 0.5) - np.clip(dirt, -0.1, 0.5))[..., None]
    side = max(1, round(0.0035 * ppm))
    deep = cv2.erode(cover, np.ones((2 * side + 1, 2 * side + 1), np.uint8))
    fray = np.clip(cover - deep, 0, 1) * np.clip(0.5 * grit, 0, 0.8) * 0.5
    shade = inside[None, None] * (1 + 0.25 * grit[..., None]) + fray[..., None] * rows
    rows += cover[..., None] * (shade.astype(np.float32) - rows)


def paint_opening(
    rows: FloatMap, cover: FloatMap, inside: Float64, ppm: float, sky: Float64
) -> None:
    """Open the rows, changed in place, to an even sky; the cut rubber is a dark rim around it.

    The belt is seen at a slant, so its thickness shows on one side more than on the other.
    """
    near = cv2.GaussianBlur(cover, (0, 0), 1.0 + 0.004 * ppm)
    rows *= (1 - 0.5 * np.clip(near, 0, 1))[..., None]
    side, thick = max(1, round(0.002 * ppm)), max(1, round(0.008 * ppm))
    free = cv2.erode(cover, np.ones((2 * side + 1, 2 * side + 1), np.uint8))
    behind = np.zeros_like(free)
    behind[thick:] = free[:-thick]
    free = cv2.GaussianBlur(np.minimum(free, behind), (0, 0), 0.6)[..., None]
    shade = inside * (1 - free) + sky * free
    rows += cover[..., None] * (shade.astype(np.float32) - rows)
