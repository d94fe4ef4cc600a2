"""A camera over or under a running belt: where on the belt every pixel looks, and back again.

Belt coordinates in metres: u across the belt from its middle, y along the travel as seen by the
fixed camera; z stands on the belt towards the camera. The belt is flat, or troughed: a flat middle
with two wings that rise by an angle. Pixels as everywhere: x right, y down, centres at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fissura.synth.belt_style import View
from fissura.types import BoolMask, FloatMap

Float64 = NDArray[np.float64]

NEAREST_M = 0.05
"""Depth below which a point counts as this near: nothing of a belt is seen from closer by."""


@dataclass(frozen=True)
class BeltMaps:
    """What every pixel sees: float32 H×W of `u` and `y` in metres, and the belt's share of it.

    `step_m` is the length of belt that one pixel covers (geometric mean of both directions).
    """

    u: FloatMap
    y: FloatMap
    share: FloatMap
    step_m: FloatMap

    @property
    def range_y(self) -> tuple[float, float]:
        """First and last place along the travel that the picture shows."""
        seen = self.y[self.share > 0]
        return float(seen.min()), float(seen.max())


@dataclass(frozen=True)
class BeltCamera:
    """A pinhole with radial distortion: `axes` are the rows right, down and forward (3×3).

    `half_m` is half the belt's width, `flat_m` half its flat middle, `rise` the wings' angle in
    radians; `distortion` shortens radii (barrel) at the corner of the picture by that share.
    """

    size_wh: tuple[int, int]
    position: Float64
    axes: Float64
    focal_px: float
    half_m: float
    flat_m: float
    rise: float
    distortion: float = 0.0

    def _corner(self) -> float:
        return float(np.hypot(*self.size_wh)) / 2 / self.focal_px

    def project(self, points: Float64) -> Float64:
        """Places in space, N×3, to pixels, N×2."""
        right, down, depth = self.axes @ (points - self.position).T
        depth = np.maximum(depth, NEAREST_M)
        flat = np.stack([right / depth, down / depth], axis=1)
        squared = np.minimum((flat**2).sum(axis=1, keepdims=True) / self._corner() ** 2, 4)
        shrunk = flat / (1 + self.distortion * squared)
        return np.asarray(shrunk * self.focal_px + np.array(self.size_wh) / 2)

    def depth(self, points: Float64) -> Float64:
        """Distance of N×3 places in front of the lens."""
        return np.asarray((points - self.position) @ self.axes[2])

    def on_belt(self, belt: Float64) -> Float64:
        """Places u, y on the belt, N×2, to places in space, N×3."""
        beyond = np.maximum(np.abs(belt[:, 0]) - self.flat_m, 0)
        inner = np.clip(belt[:, 0], -self.flat_m, self.flat_m)
        across = inner + np.sign(belt[:, 0]) * beyond * np.cos(self.rise)
        return np.stack([across, belt[:, 1], beyond * np.sin(self.rise)], axis=1)

    def seen(self, belt: Float64) -> Float64:
        """Places u, y on the belt, N×2, to pixels, N×2."""
        return self.project(self.on_belt(belt))

    def rays(self) -> FloatMap:
        """Direction in which every pixel looks, H×W×3."""
        w, h = self.size_wh
        y, x = np.mgrid[:h, :w].astype(np.float32) + np.float32(0.5)
        bent = np.stack([x - w / 2, y - h / 2], axis=-1) / self.focal_px
        straight = bent
        for _ in range(6 if self.distortion else 0):
            squared = (straight**2).sum(axis=-1, keepdims=True) / self._corner() ** 2
            straight = bent * (1 + self.distortion * squared)
        ahead = np.concatenate([straight, np.ones((h, w, 1))], axis=-1)
        return np.asarray(ahead @ self.axes, np.float32)

    def maps(self) -> BeltMaps:
        """Where on the belt every pixel looks."""
        rays = self.rays()
        u, y, hit = self._strip(rays, 0)
        if self.rise > 0:
            for side in (-1, 1):
                u_wing, y_wing, hit_wing = self._strip(rays, side)
                on_wing = hit_wing & (side * u_wing > self.flat_m)
                u, y = np.where(on_wing, u_wing, u), np.where(on_wing, y_wing, y)
                hit = (hit & (side * u <= self.flat_m)) | on_wing
        step = np.sqrt(_step(u, y, 1) * _step(u, y, 0))
        across = np.maximum(np.minimum(_step(u, y, 1), _step(u, y, 0)), 1e-6)
        share = np.where(hit, np.clip((self.half_m - np.abs(u)) / across + 0.5, 0, 1), 0)
        return BeltMaps(*(np.asarray(a, np.float32) for a in (u, y, share, step)))

    def _strip(self, rays: FloatMap, side: int) -> tuple[FloatMap, FloatMap, BoolMask]:
        """Where rays meet the flat middle (side 0) or the plane of a wing."""
        angle = self.rise * abs(side)
        along = np.array([side * np.cos(angle), 0, np.sin(angle)]) if side else np.eye(3)[0]
        normal = np.array([-side * np.sin(angle), 0, np.cos(angle)])
        hinge = np.array([side * self.flat_m, 0.0, 0.0])
        slope = rays @ normal.astype(np.float32)
        hit = slope < -1e-3
        reach = np.where(hit, float((hinge - self.position) @ normal) / np.where(hit, slope, -1), 0)
        places = self.position.astype(np.float32) + reach[..., None].astype(np.float32) * rays
        u = (places - hinge.astype(np.float32)) @ along.astype(np.float32)
        u = side * (u + self.flat_m) if side else u
        return np.asarray(u), np.asarray(places[..., 1]), np.asarray(hit)


def _step(u: FloatMap, y: FloatMap, axis: int) -> FloatMap:
    """Length of belt between a pixel and the next one along an axis of the picture."""
    along = np.hypot(np.diff(u, axis=axis), np.diff(y, axis=axis))
    return np.asarray(np.concatenate([along, along.take([-1], axis)], axis), np.float32)


def place_camera(
    view: View, size_wh: tuple[int, int], half_m: float, rng: np.random.Generator
) -> BeltCamera:
    """Hang up a camera so that the belt fills most of the picture."""
    w, h = size_wh
    width_deg = rng.uniform(42, 68)
    focal = w / 2 / np.tan(np.deg2rad(width_deg / 2))
    high_deg = float(np.rad2deg(2 * np.arctan(h / 2 / focal)))
    dip = np.deg2rad(max(rng.uniform(*DIP[view]), high_deg / 2 + 14))
    turn = rng.uniform(-9, 9) + (180 * rng.integers(2) if view != "side" else 0)
    turn += rng.choice([-90, 90]) if view == "side" else 0
    heading = np.deg2rad(turn)
    filled = rng.uniform(*FILLED[view])
    extent = h / np.sin(dip) if view == "side" else w
    distance = 2 * half_m * focal / (filled * extent)
    aim = np.array([rng.uniform(-0.12, 0.12) * half_m, 0.0, 0.0])
    back = np.array([-np.sin(heading) * np.cos(dip), -np.cos(heading) * np.cos(dip), np.sin(dip)])
    troughed = view == "above" and rng.random() < 0.6
    return BeltCamera(
        size_wh=size_wh,
        position=aim + distance * back,
        axes=_axes(-back, view, np.deg2rad(rng.normal(0, 1.6))),
        focal_px=float(focal),
        half_m=half_m,
        flat_m=half_m * (rng.uniform(0.36, 0.5) if troughed else 2.0),
        rise=float(np.deg2rad(rng.uniform(12, 28))) if troughed else 0.0,
        distortion=float(rng.choice([0.0, rng.uniform(0.02, 0.09)])),
    )


DIP: dict[View, tuple[float, float]] = {"above": (42, 80), "side": (38, 68), "below": (36, 66)}
"""Degrees by which the camera looks down on the belt (or up, from below)."""

FILLED: dict[View, tuple[float, float]] = {
    "above": (0.6, 0.95),
    "side": (0.6, 1.15),
    "below": (0.62, 1.05),
}
"""Share of the picture's width (from the side: of its height) that the belt takes."""


def _axes(forward: Float64, view: View, roll: float) -> Float64:
    """Right, down, forward; what is up in the picture is up in the world, below the belt too."""
    up = np.array([0.0, 0.0, -1.0 if view == "below" else 1.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward])
