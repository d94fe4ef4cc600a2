"""Cracks drawn as ribbons of exactly known width, length and place, photographed on a surface.

A crack is a centreline with a half width to either side. The share of every pixel that the ribbon
covers is computed as an exact area, not by sampling; the picture is then composed in linear light,
blurred by the lens, encoded as a camera does and rounded to 8 bits with sensor noise.

x runs to the right, y down, pixel centres at +0.5. Angles count counter-clockwise as seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.synth.textures import Texture, blobs, fractal, paint, to_srgb
from fissura.types import BoolMask, FloatMap, InputError, UInt8Image

Float64 = NDArray[np.float64]

STEP_PX = 0.25
"""Distance between neighbouring points of a centreline."""


@dataclass(frozen=True)
class CrackSpec:
    """What to render; the seed decides the rest.

    `width_px`: one full width, or widths evenly spaced along the visible length and joined
    linearly. `length_px`: None crosses the whole image, a number gives a crack around `centre_xy`
    (None: near the middle) whose two ends are cut square, or run out to a point over `taper_px`.
    `wander`: RMS deviation of the heading in radians, 0 is a straight line. `roughness_px`: how
    far the edges zigzag about the smooth path (the widths handed out include it). `contrast`:
    share of the surface's light that the crack swallows. `relief`: shade and worn lip beside the
    crack, which move its visible edge, so keep 0 for measuring. `encoding`: "srgb" as cameras
    store pictures, or "linear". `noise`: sensor noise in grey levels of 255.
    """

    size_hw: tuple[int, int] = (384, 544)
    width_px: float | tuple[float, ...] = 6.0
    angle_deg: float = 20.0
    length_px: float | None = None
    centre_xy: tuple[float, float] | None = None
    taper_px: float = 0.0
    wander: float = 0.0
    roughness_px: float = 0.0
    branches: int = 0
    texture: Texture = "concrete"
    contrast: float = 0.85
    relief: float = 0.0
    blur_px: float = 0.8
    noise: float = 1.5
    encoding: Literal["srgb", "linear"] = "srgb"

    def __post_init__(self) -> None:
        checks = {
            "size_hw": min(self.size_hw) >= 8,
            "width_px": bool(self.widths) and 0 < min(self.widths) <= max(self.widths) < np.inf,
            "angle_deg": np.isfinite(self.angle_deg),
            "length_px": self.length_px is None or self.length_px > 0,
            "taper_px": self.taper_px >= 0,
            "wander": 0 <= self.wander <= 1,
            "roughness_px": self.roughness_px >= 0,
            "branches": self.branches >= 0,
            "contrast": 0 < self.contrast <= 1,
            "relief": self.relief >= 0,
            "blur_px": self.blur_px >= 0,
            "noise": self.noise >= 0,
            "encoding": self.encoding in ("srgb", "linear"),
        }
        for name, good in checks.items():
            if not good:
                value = getattr(self, name)
                raise InputError(f"{name}={value} is no crack that can be drawn: see CrackSpec.")

    @property
    def widths(self) -> tuple[float, ...]:
        """The width profile as a tuple, also where one number was given."""
        one = isinstance(self.width_px, int | float)
        return (float(self.width_px),) if one else tuple(self.width_px)  # type: ignore[arg-type]


@dataclass(frozen=True)
class RenderedCrack:
    """A picture and the whole truth about its cracks.

    `image` H×W×3 uint8; `coverage` float32 H×W, the area share of each pixel inside a crack before
    blur; `mask` is coverage >= 0.5; `centrelines_xy` K×2 float32 polylines inside the image and
    `widths_px` K float32 full widths at their points; `length_px` the arc length of all of them.
    """

    image: UInt8Image
    coverage: FloatMap
    mask: BoolMask
    centrelines_xy: tuple[FloatMap, ...]
    widths_px: tuple[FloatMap, ...]
    length_px: float
    seed: int
    texture: Texture


@dataclass(frozen=True)
class Ribbon:
    """K centreline points K×2, unit normals K×2, and half widths to the left and right of them."""

    xy: Float64
    normal: Float64
    left: Float64
    right: Float64

    @property
    def outline(self) -> Float64:
        """The closed outline, 2K×2: up one edge and back along the other."""
        one = self.xy + self.normal * self.left[:, None]
        other = self.xy - self.normal * self.right[:, None]
        return np.concatenate([one, other[::-1]])


def _cut_at_pixels(start: Float64, end: Float64) -> tuple[Float64, Float64]:
    """Segments up to one pixel long, cut where they cross a pixel border: three pieces each."""
    cuts = [np.zeros(len(start)), np.ones(len(start))]
    for axis in (0, 1):
        a, b = start[:, axis], end[:, axis]
        border = np.maximum(np.floor(a), np.floor(b))
        crosses = np.floor(a) != np.floor(b)
        cuts.append(np.divide(border - a, b - a, out=np.zeros(len(a)), where=crosses))
    t = np.sort(np.clip(cuts, 0, 1), axis=0)[..., None]
    points = start + t * (end - start)
    return points[:-1].reshape(-1, 2), points[1:].reshape(-1, 2)


def polygon_coverage(outline_xy: Float64, size_hw: tuple[int, int]) -> FloatMap:
    """Exact share of every pixel inside a closed polygon (K×2), float32 H×W in [0, 1].

    Every edge adds, to the row it lies in, its signed height times the area to its right; the
    running sum along the row turns that into areas.
    """
    h, w = size_hw
    span = np.roll(outline_xy, -1, axis=0) - outline_xy
    parts = np.maximum(1, np.ceil(np.abs(span).max(axis=1))).astype(int)
    first = np.repeat(outline_xy, parts, axis=0)
    step = np.repeat(span / parts[:, None], parts, axis=0)
    count = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    start, end = _cut_at_pixels(first + step * count[:, None], first + step * (count + 1)[:, None])
    middle = (start + end) / 2
    row, rise = np.floor(middle[:, 1]).astype(int), end[:, 1] - start[:, 1]
    x = np.clip(middle[:, 0], 0, w)
    column = np.minimum(np.floor(x).astype(int), w - 1)
    kept = (row >= 0) & (row < h)
    cell = (row * (w + 1) + column)[kept]
    inside = rise[kept] * (x - column)[kept]
    total = np.bincount(cell, rise[kept] - inside, h * (w + 1))
    total += np.bincount(cell + 1, inside, h * (w + 1))
    area = np.cumsum(total.reshape(h, w + 1), axis=1)[:, :w]
    return np.clip(np.abs(area), 0, 1).astype(np.float32)


def _band_noise(s: Float64, shortest: float, longest: float, rng: np.random.Generator) -> Float64:
    """Smooth random curve of unit RMS made of waves between the two wavelengths."""
    count = 40
    wave = 2 * np.pi / np.exp(rng.uniform(np.log(shortest), np.log(longest), count))
    phase = rng.uniform(0, 2 * np.pi, count)
    return np.asarray(np.sin(s[:, None] * wave + phase).sum(axis=1) * np.sqrt(2 / count))


def _zigzag(s: Float64, shortest: float, longest: float, rng: np.random.Generator) -> Float64:
    """Random curve of about unit RMS with corners; short waves are as low as they are short."""
    total = np.zeros(len(s))
    for cell in np.geomspace(shortest, longest, 5):
        corners = np.cumsum(cell * rng.uniform(0.4, 1.6, int(2.5 * s[-1] / cell) + 4)) - cell
        total += np.sqrt(cell / longest) * np.interp(s, corners, rng.standard_normal(len(corners)))
    return total


def _walk(start: float, end: float, spec: CrackSpec, rng: np.random.Generator) -> Ribbon:
    """A path of the spec's heading from arc length start to end; it is at the origin at 0.

    Where the random bends would be tighter than the ribbon is wide they are weakened as a whole:
    otherwise the inner edge would fold over itself and the width would no longer be exact.
    """
    before, after = int(np.ceil(-start / STEP_PX)), int(np.ceil(end / STEP_PX))
    s = np.linspace(start, end, max(3, before + after + 1)).astype(np.float64)
    widest = max(spec.widths)
    shortest = max(10.0, 5 * widest)
    longest = max(2 * shortest, 0.4 * (end - start))
    bend: Float64 = spec.wander * _band_noise(s, shortest, longest, rng)
    bend = bend - bend.mean() if start < 0 else bend * np.clip(s / 60, 0, 1)
    tightest = float(np.abs(np.gradient(bend, s)).max()) * (widest / 2 + 3 * spec.roughness_px)
    heading = np.deg2rad(spec.angle_deg) + bend * min(1.0, 0.8 / max(tightest, 1e-9))
    middle = (heading[1:] + heading[:-1]) / 2
    steps = np.stack([np.cos(middle), -np.sin(middle)], axis=1) * (s[1] - s[0])
    xy = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    origin = [np.interp(0.0, s, xy[:, axis]) for axis in (0, 1)]
    normal = np.stack([-np.sin(heading), -np.cos(heading)], axis=1)
    return Ribbon(xy - origin, normal, np.zeros(len(s)), np.zeros(len(s)))


def _inside(xy: Float64, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    within: NDArray[np.bool_] = np.all((xy >= 0) & (xy <= np.array(size_hw[::-1])), axis=1)
    return within


def _with_width(path: Ribbon, spec: CrackSpec, rng: np.random.Generator) -> Ribbon:
    """Give a path the spec's width profile, ragged edges and ends."""
    step = float(np.hypot(*(path.xy[1] - path.xy[0])))
    s = np.arange(len(path.xy), dtype=np.float64) * step
    seen = np.flatnonzero(_inside(path.xy, spec.size_hw))
    first, last = (seen[0], seen[-1]) if len(seen) else (0, len(s) - 1)
    half: Float64 = np.interp(s, np.linspace(s[first], s[last], len(spec.widths)), spec.widths) / 2
    sides = [half, half]
    if spec.roughness_px:
        sway = spec.roughness_px * _zigzag(s, 4, 40, rng)
        rag = [spec.roughness_px * _zigzag(s, 3, 20, rng) / 2 for _ in range(2)]
        sides = [half + sway + rag[0], half - sway + rag[1]]
        width = np.maximum(sides[0] + sides[1], 0.9 * half)
        sides = [sides[0], width - sides[0]]
    if spec.taper_px > 0 and spec.length_px is not None:
        ends = np.minimum(s, s[-1] - s) / max(spec.taper_px, 1e-6)
        middle, half = (sides[0] - sides[1]) / 2, (sides[0] + sides[1]) / 2 * np.clip(ends, 0, 1)
        sides = [half + middle, half - middle]
    return replace(path, left=sides[0], right=sides[1])


def _trunk(spec: CrackSpec, rng: np.random.Generator) -> Ribbon:
    """The main crack, through the spec's centre at its middle."""
    h, w = spec.size_hw
    loose = (np.array([w, h]) * rng.uniform(0.42, 0.58, 2)).tolist()
    centre = spec.centre_xy or tuple(loose)
    reach = 1.3 * float(np.hypot(h, w)) + max(spec.widths)
    half = reach if spec.length_px is None else spec.length_px / 2
    path = _walk(-half, half, spec, rng)
    return _with_width(replace(path, xy=path.xy + np.array(centre)), spec, rng)


def _branch(trunk: Ribbon, spec: CrackSpec, rng: np.random.Generator) -> Ribbon:
    """A thinner crack that leaves the trunk somewhere in the image and runs out to a point."""
    seen = np.flatnonzero(_inside(trunk.xy, spec.size_hw))
    at = int(seen[int(len(seen) * rng.uniform(0.2, 0.8))]) if len(seen) else 0
    width = float(trunk.left[at] + trunk.right[at]) * rng.uniform(0.5, 0.8)
    forward = rng.choice([0.0, 180.0])
    own_angle = np.rad2deg(np.arctan2(-trunk.normal[at, 0], -trunk.normal[at, 1])) + forward
    turn = rng.choice([-1, 1]) * rng.uniform(35, 70)
    length = len(seen) * STEP_PX * rng.uniform(0.2, 0.45)
    twig = replace(
        spec,
        width_px=(width, 0.6 * width),
        angle_deg=float(own_angle + turn),
        length_px=max(length, 4 * width),
        taper_px=0.0,
        wander=0.6 * spec.wander,
        roughness_px=spec.roughness_px * min(1.0, width / max(spec.widths)),
    )
    path = _walk(0.0, float(twig.length_px or 0.0), twig, rng)
    ribbon = _with_width(replace(path, xy=path.xy + trunk.xy[at]), twig, rng)
    middle = (ribbon.left - ribbon.right) / 2
    half = (ribbon.left + ribbon.right) / 2 * np.clip(np.linspace(2.2, 0, len(middle)), 0, 1)
    return replace(ribbon, left=half + middle, right=half - middle)


def draw(spec: CrackSpec, rng: np.random.Generator) -> list[Ribbon]:
    """The spec's crack and its branches as ribbons, the trunk first."""
    trunk = _trunk(spec, rng)
    return [trunk, *(_branch(trunk, spec, rng) for _ in range(spec.branches))]


def _border_point(inner: Float64, outer: Float64, size_hw: tuple[int, int]) -> float:
    """Fraction of the way from an inner to an outer point at which the image ends."""
    limit = np.where(outer > inner, np.array(size_hw[::-1], float), 0.0)
    crosses = (outer < 0) | (outer > np.array(size_hw[::-1]))
    return float(np.min((limit - inner)[crosses] / (outer - inner)[crosses]))


def visible_parts(ribbon: Ribbon, size_hw: tuple[int, int]) -> list[tuple[Float64, Float64]]:
    """Centreline (K×2) and widths (K) of every stretch inside the image, cut at its border."""
    inside = _inside(ribbon.xy, size_hw)
    points = np.column_stack([ribbon.xy, ribbon.left + ribbon.right])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    parts = []
    for first, end in edges.reshape(-1, 2):
        part = points[first:end]
        if first > 0:
            t = _border_point(part[0, :2], points[first - 1, :2], size_hw)
            part = np.vstack([part[0] + t * (points[first - 1] - part[0]), part])
        if end < len(points):
            t = _border_point(part[-1, :2], points[end, :2], size_hw)
            part = np.vstack([part, part[-1] + t * (points[end] - part[-1])])
        if len(part) > 1:
            parts.append((part[:, :2], part[:, 2]))
    return parts


def _covered(ribbons: list[Ribbon], size_hw: tuple[int, int], margin: int = 0) -> FloatMap:
    """Share of each pixel under any ribbon; where two share a pixel they count as independent."""
    grown = (size_hw[0] + 2 * margin, size_hw[1] + 2 * margin)
    free = np.ones(grown, np.float32)
    for ribbon in ribbons:
        free *= 1 - polygon_coverage(ribbon.outline + margin, grown)
    return 1 - free


def _with_relief(surface: FloatMap, covered: FloatMap, spec: CrackSpec) -> FloatMap:
    """Dirt beside the crack, and a worn lip that catches light on its lower right."""
    near = cv2.GaussianBlur(covered, (0, 0), 0.35 * max(spec.widths) + 1.2)
    lip = np.roll(near, (1, 1), (0, 1)) - np.roll(near, (-1, -1), (0, 1))
    factor = 1 + spec.relief * (0.8 * np.clip(lip, -0.4, 0.4) - 0.35 * near)
    return np.asarray(surface * factor[..., None], np.float32)


def photograph(
    surface: FloatMap,
    covered: FloatMap,
    spec: CrackSpec,
    rng: np.random.Generator,
    light: FloatMap | None = None,
) -> UInt8Image:
    """Darken the covered pixels, light the scene, blur, encode, add noise and round.

    Surface and light are linear. What shines from inside the crack differs along it by about a
    tenth and has none of the surface's pattern; with relief there is grit in it as well.
    """
    noise = rng.standard_normal(surface.shape).astype(np.float32) * spec.noise
    depth = 1 + 0.1 * np.clip(blobs(covered.shape[:2], 24, rng), -2, 2)
    if spec.relief:
        depth += 2.5 * spec.relief * np.clip(fractal(covered.shape[:2], 14, 2.5, rng) - 0.3, 0, 2)
    shade = surface.mean(axis=(0, 1)) * (1 - spec.contrast) * depth[..., None]
    ground = _with_relief(surface, covered, spec) if spec.relief else surface
    picture = ground + covered[..., None] * (shade - ground)
    picture = picture if light is None else picture * light
    if spec.blur_px > 0:
        side = 2 * int(np.ceil(4 * spec.blur_px)) + 1
        picture = cv2.GaussianBlur(picture, (side, side), spec.blur_px)
    screen = to_srgb(picture) if spec.encoding == "srgb" else np.clip(picture, 0, 1)
    return np.clip(np.rint(screen * 255 + noise), 0, 255).astype(np.uint8)


def expose(
    surface: FloatMap,
    ribbons: list[Ribbon],
    spec: CrackSpec,
    seed: int,
    light: FloatMap | None = None,
) -> RenderedCrack:
    """Photograph ribbons on a surface that may be larger than the image by an even margin."""
    h, w = spec.size_hw
    margin = (surface.shape[0] - h) // 2
    rng = np.random.default_rng([seed, 2])
    picture = photograph(surface, _covered(ribbons, (h, w), margin), spec, rng, light)
    coverage = _covered(ribbons, (h, w))
    parts = [part for ribbon in ribbons for part in visible_parts(ribbon, (h, w))]
    lengths = [float(np.hypot(*np.diff(xy, axis=0).T).sum()) for xy, _ in parts]
    return RenderedCrack(
        image=np.ascontiguousarray(picture[margin : margin + h, margin : margin + w]),
        coverage=coverage,
        mask=coverage >= 0.5,
        centrelines_xy=tuple(xy.astype(np.float32) for xy, _ in parts),
        widths_px=tuple(width.astype(np.float32) for _, width in parts),
        length_px=sum(lengths),
        seed=seed,
        texture=spec.texture,
    )


def render_crack(spec: CrackSpec, seed: int = 0) -> RenderedCrack:
    """Render one crack with its branches; the same spec and seed give the same picture.

    Up to a blur of 3.5 px the surface does not depend on the blur.
    """
    margin = max(16, int(np.ceil(4 * spec.blur_px)) + 2)
    grown = (spec.size_hw[0] + 2 * margin, spec.size_hw[1] + 2 * margin)
    surface = paint(spec.texture, grown, np.random.default_rng([seed, 0]))
    return expose(surface, draw(spec, np.random.default_rng([seed, 1])), spec, seed)
