"""What stands still around a running belt: floor or sky, frame, idlers, and the light on it all.

Drawn once per scene. Colours are screen values (the square root of light) while painting, light
when handed out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.synth.belt_camera import BeltCamera, BeltMaps
from fissura.synth.belt_style import BeltStyle, Light, View
from fissura.synth.textures import blobs, fractal
from fissura.types import FloatMap, UInt8Image

Float64 = NDArray[np.float64]

Span = tuple[float, float]

FINE = 2
"""The surroundings are drawn that much larger and reduced, for smooth edges."""

TINT: dict[Light, tuple[float, float, float]] = {
    "morning": (1.12, 1.0, 0.82),
    "day": (1.0, 1.0, 1.0),
    "lamp": (0.95, 0.98, 1.14),
    "dim": (1.0, 1.02, 0.93),
}


@dataclass(frozen=True)
class Surroundings:
    """`still` light of everything but the belt, H×W×3; `open` share of the belt left in sight."""

    still: FloatMap
    open: FloatMap


class _Stage:
    """A canvas on which solid things are drawn as seen by the camera, far ones first."""

    def __init__(self, camera: BeltCamera) -> None:
        self._camera = camera
        w, h = camera.size_wh
        self.canvas: UInt8Image = np.zeros((h * FINE, w * FINE, 3), np.uint8)
        self.cover = np.zeros((h * FINE, w * FINE), np.uint8)

    def face(self, corners: list[tuple[float, float, float]], colour: Float64) -> None:
        """One flat polygon, unless it is behind the camera."""
        points = np.array(corners, float)
        if self._camera.depth(points).min() < 0.1:
            return
        pixels = (self._camera.project(points) * FINE - 0.5) * 16
        if np.abs(pixels).max() > 2**24:
            return
        outline = pixels.astype(np.int32)
        shade = np.clip(colour * 255, 0, 255).tolist()
        cv2.fillConvexPoly(self.canvas, outline, shade, cv2.LINE_8, 4)
        cv2.fillConvexPoly(self.cover, outline, 255, cv2.LINE_8, 4)

    def beam(self, x: Span, z: Span, y: Span, colour: Float64) -> None:
        """A steel section along the belt: the faces towards the belt and towards the camera."""
        cuts = np.linspace(*y, max(2, int(abs(y[1] - y[0]) / 0.3)))
        inner = min(x, key=abs)
        for a, b in itertools.pairwise(cuts):
            side = [(inner, a, z[0]), (inner, b, z[0]), (inner, b, z[1]), (inner, a, z[1])]
            top = [(x[0], a, z[1]), (x[0], b, z[1]), (x[1], b, z[1]), (x[1], a, z[1])]
            self.face(side, colour * 0.6)
            self.face(top, colour)

    def roller(self, start: Float64, end: Float64, radius: float, colour: Float64) -> None:
        """A cylinder, bright along its upper middle and dark at its flanks."""
        axis = (end - start) / np.linalg.norm(end - start)
        toward = self._camera.position - (start + end) / 2
        toward = toward - axis * (toward @ axis)
        toward /= np.linalg.norm(toward)
        flank = np.cross(axis, toward)
        angles = np.linspace(-np.pi / 2, np.pi / 2, 25)
        rims = [radius * (np.cos(a) * toward + np.sin(a) * flank) for a in angles]
        for k, (one, two) in enumerate(itertools.pairwise(rims)):
            a = (angles[k] + angles[k + 1]) / 2
            shade = 0.25 + 0.5 * np.cos(a) + 0.5 * np.exp(-(((a + 0.35) / 0.3) ** 2))
            corners = [start + one, end + one, end + two, start + two]
            self.face([tuple(c) for c in corners], colour * shade)

    def finished(self, dirt: FloatMap) -> tuple[FloatMap, FloatMap]:
        """The drawing at the picture's size, dirty and a little out of focus, and its cover."""
        w, h = self._camera.size_wh
        soft = 0.5 + w / 1500
        cover = cv2.resize(self.cover, (w, h), interpolation=cv2.INTER_AREA)
        cover = cv2.GaussianBlur(cover.astype(np.float32) / 255, (0, 0), soft)
        small = cv2.resize(self.canvas, (w, h), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), soft)
        spots = 1 / (1 + np.exp(-4 * (dirt - 1.1)))
        rust = spots[..., None] * np.array([0.12, 0.26, 0.36], np.float32)
        small *= (1 + 0.1 * dirt[..., None]) * (1 - rust)
        return np.asarray(small, np.float32), np.asarray(cover, np.float32)[..., None]


def surround(
    camera: BeltCamera, maps: BeltMaps, style: BeltStyle, rng: np.random.Generator
) -> Surroundings:
    """Draw what is behind the belt and what hides a part of it."""
    w, h = camera.size_wh
    reach = (maps.range_y[0] - 3, maps.range_y[1] + 5)
    below = style.view == "below"
    ground = _sky(camera, style.light, rng) if below else _floor(camera, rng)
    coarse = fractal((h // 2, w // 2), 0.05 * w, 3, rng)
    dirt = np.asarray(cv2.resize(coarse, (w, h)), np.float32)
    behind, front = _Stage(camera), _Stage(camera)
    paint = _steel(rng)
    _frame(behind, camera.half_m, style.view, reach, paint)
    _idlers(front if below else behind, camera, style.view, maps.range_y, rng)
    if not below and rng.random() < 0.3:
        _cross_member(front, camera, maps.range_y, paint, rng)
    steel, cover = behind.finished(dirt)
    share = maps.share[..., None]
    shadow = cv2.GaussianBlur(maps.share, (0, 0), 0.02 * w)[..., None]
    back = (steel + (1 - cover) * ground) ** 2 * (1 - 0.55 * shadow)
    face, hidden = front.finished(dirt)
    still = hidden * face**2 + (1 - hidden) * (1 - share) * back
    edge = 1 - 0.35 * np.clip(1 - (camera.half_m - np.abs(maps.u)) / 0.012, 0, 1)
    seen = np.asarray((1 - hidden[..., 0]) * maps.share * edge, np.float32)
    return Surroundings(np.asarray(still, np.float32), seen)


def _steel(rng: np.random.Generator) -> Float64:
    """Colour of the frame: grey, galvanised, ochre, rusty or blue paint."""
    colours = [(0.36, 0.36, 0.36), (0.6, 0.62, 0.64), (0.55, 0.43, 0.24)]
    colours += [(0.36, 0.27, 0.21), (0.27, 0.34, 0.42)]
    return np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.7, 1.15)


def _floor(camera: BeltCamera, rng: np.random.Generator) -> FloatMap:
    """Ground below the belt, in perspective: concrete, dirt or coal."""
    rays = camera.rays()
    depth = np.where(rays[..., 2] < -1e-2, (-1.1 - camera.position[2]) / rays[..., 2], 30)
    tile = fractal((512, 512), 120, 2, rng) + 0.3 * blobs((512, 512), 1.5, rng)
    scale = np.float32(512 / 3.0)
    x, y = (
        np.asarray(((camera.position[k] + depth * rays[..., k]) * scale) % 511, np.float32)
        for k in (0, 1)
    )
    spots = cv2.remap(tile, x, y, cv2.INTER_LINEAR)[..., None]
    colours = [(0.42, 0.4, 0.37), (0.4, 0.33, 0.25), (0.14, 0.14, 0.14), (0.3, 0.31, 0.29)]
    base = np.array(colours[rng.integers(len(colours))], np.float32)
    far = np.clip(depth / 12, 0, 1)[..., None].astype(np.float32)
    soft = cv2.GaussianBlur(base * (1 + 0.15 * spots) * (1 - 0.4 * far), (0, 0), 1.2)
    return np.asarray(np.clip(soft, 0.02, 1), np.float32)


def _sky(camera: BeltCamera, light: Light, rng: np.random.Generator) -> FloatMap:
    """What shows beside a belt seen from below: sky, or a dark roof with purlins."""
    w, h = camera.size_wh
    slope = np.linspace(1, 0.72, h, dtype=np.float32)[:, None, None]
    cloud = cv2.resize(0.05 * fractal((h // 4, w // 4), 0.1 * w, 0.02 * w, rng), (w, h))[..., None]
    if light in ("day", "morning") and rng.random() < 0.6:
        return np.asarray(np.clip(np.array([0.9, 0.95, 1.0]) * (slope + cloud), 0, 1), np.float32)
    x = np.linspace(0, rng.uniform(5, 12), w) + rng.random()
    bars = 0.6 * (np.abs(x % 1 - 0.5) < 0.12)[None, :, None]
    roof = np.array([0.2, 0.19, 0.17]) * (slope + cloud) * (1 + bars)
    return np.asarray(cv2.GaussianBlur(roof, (0, 0), 0.006 * w), np.float32)


def _frame(stage: _Stage, half: float, view: View, reach: Span, paint: Float64) -> None:
    """Stringers along both edges, on legs."""
    away = (half + 0.16, half + 0.27)
    drop = (-0.5, -0.32) if view == "below" else (-0.34, -0.16)
    for side in (-1, 1):
        leg = (side * away[0], side * (away[0] + 0.07))
        for y in np.arange(reach[0], reach[1], 2.4):
            stage.beam(leg, (-1.1, -0.34), (float(y), float(y) + 0.09), paint * 0.8)
        stage.beam((side * away[0], side * away[1]), drop, reach, paint)


def _idlers(
    stage: _Stage, camera: BeltCamera, view: View, seen: Span, rng: np.random.Generator
) -> None:
    """Rollers: their ends beside a carrying belt, whole ones across a returning belt."""
    colours = [(0.42, 0.42, 0.43), (0.5, 0.33, 0.31), (0.48, 0.4, 0.29), (0.3, 0.28, 0.26)]
    colour = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.7, 1.1)
    pitch = rng.uniform(1.4, 2.4) if view == "below" else rng.uniform(0.9, 1.4)
    first = rng.uniform(seen[0], min(seen[1], seen[0] + pitch))
    radius = rng.uniform(0.04, 0.065)
    for y in np.arange(first - 2 * pitch, seen[1] + 3 * pitch, pitch):
        if view == "below":
            ends = np.array([camera.half_m, 0, 0])
            middle = np.array([0, y, radius])
            stage.roller(middle - 1.5 * ends, middle + 1.5 * ends, 0.02, colour * 0.7)
            stage.roller(middle - 1.1 * ends, middle + 1.1 * ends, radius, colour)
            continue
        for side in (-1.0, 1.0):
            edge = camera.on_belt(np.array([[side * camera.half_m, y]]))[0] - (0, 0, radius)
            lift = np.array([side * np.cos(camera.rise), 0, np.sin(camera.rise)])
            stage.roller(edge - 0.2 * lift, edge + 0.15 * lift, 0.018, colour * 0.6)
            stage.roller(edge - 0.2 * lift, edge + 0.07 * lift, radius, colour)


def _cross_member(
    stage: _Stage, camera: BeltCamera, seen: Span, paint: Float64, rng: np.random.Generator
) -> None:
    """A bar across the belt, between it and the camera, near one end of the picture."""
    y = seen[0] + 0.12 if rng.random() < 0.5 else seen[1] - 0.25
    z = rng.uniform(0.12, 0.35) * camera.position[2]
    start, end = (np.array([side * (camera.half_m + 0.5), y, z]) for side in (-1, 1))
    stage.roller(start, end, rng.uniform(0.015, 0.04), paint)


def light_on_belt(
    camera: BeltCamera, maps: BeltMaps, light: Light, wet: bool, rng: np.random.Generator
) -> FloatMap:
    """Light that falls on every pixel's piece of belt and comes back to the lens, H×W×3.

    Wet rubber is a dull mirror: it shines in a narrow strip, and the more the flatter the look.
    Clouds leave hardly a shadow.
    """
    w, h = camera.size_wh
    y, x = np.mgrid[:h, :w].astype(np.float32)
    x, y = x / w - 0.5, (y - h / 2) / w
    pool = _pool(x, y, light, rng)
    across = maps.u / camera.half_m
    sheen = np.exp(-(((across - rng.uniform(-0.4, 0.4)) / rng.uniform(0.25, 0.6)) ** 2))
    level = pool * (0.8 + rng.uniform(0.1, 0.5) * sheen) * (1 - 0.12 * across**2)
    if camera.rise > 0:
        wing = np.clip((np.abs(maps.u) - camera.flat_m) / (0.06 * camera.half_m) + 0.5, 0, 1)
        level *= 1 + wing * rng.uniform(-0.3, 0.22) * np.where(maps.u > 0, 1.0, rng.uniform(-1, 1))
    level *= 1 - 0.55 * np.clip((x * x + y * y) * 1.6, 0, 1)
    if wet:
        level *= 1 + 1.5 * sheen**3 + 1.2 * np.clip(0.5 - y * w / h, 0, 1) ** 2
    if light in ("morning", "day") and rng.random() < 0.6:
        shade = _shadows(maps, light, rng)
        level *= 0.8 + 0.2 * shade if wet else shade
    return np.asarray(level[..., None] * np.array(TINT[light]), np.float32)


def _pool(x: FloatMap, y: FloatMap, light: Light, rng: np.random.Generator) -> FloatMap:
    """Evenness of the light: wide by day, a pool under a lamp."""
    wide = {"morning": 1.1, "day": 1.6, "lamp": 0.33, "dim": 0.8}[light]
    rest = {"morning": 0.5, "day": 0.75, "lamp": 0.14, "dim": 0.4}[light]
    cx, cy = rng.uniform(-0.18, 0.18), rng.uniform(-0.1, 0.22)
    away = ((x - cx) / wide) ** 2 + ((y - cy) / (wide * rng.uniform(0.6, 1.0))) ** 2
    return np.asarray(rest + (1 - rest) * np.exp(-away), np.float32)


def _shadows(maps: BeltMaps, light: Light, rng: np.random.Generator) -> FloatMap:
    """Shadows of beams and of thin cables that lie still on the running belt."""
    angle = rng.uniform(-0.5, 0.5) + (np.pi / 2 if rng.random() < 0.6 else 0)
    place = np.cos(angle) * maps.u + np.sin(angle) * maps.y
    soft = 0.012 if light == "day" else 0.02
    shade = np.ones(place.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        middle, half = rng.uniform(-0.9, 0.9), rng.choice([0.006, 0.05, 0.16])
        inside = 1 / (1 + np.exp(np.clip((np.abs(place - middle) - half) / soft * 3, -30, 30)))
        shade *= 1 - rng.uniform(0.3, 0.6) * inside
    return shade
