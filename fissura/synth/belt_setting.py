"""What stands still around a running belt: floor or sky, frame, idlers, and the light on it all.

Drawn once per scene. Colours are screen values (the square root of light) while painting, light
when handed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.synth.belt_camera import BeltCamera, BeltMaps, View
from fissura.synth.textures import blobs, fractal
from fissura.types import FloatMap, UInt8Image

Float64 = NDArray[np.float64]
Light = Literal["morning", "day", "lamp", "dim"]

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

    def beam(
        self,
        x: tuple[float, float],
        z: tuple[float, float],
        y: tuple[float, float],
        colour: Float64,
    ) -> None:
        """A steel section along the belt: the faces towards the belt and towards the camera."""
        cuts = np.linspace(*y, max(2, int(abs(y[1] - y[0]) / 0.3)))
        inner = min(x, key=abs)
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
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
        angles = np.linspace(-np.pi / 2, np.pi / 2, 19)
        rims = [radius * (np.cos(a) * toward + np.sin(a) * flank) for a in angles]
        for k, (one, two) in enumerate(zip(rims[:-1], rims[1:], strict=True)):
            a = (angles[k] + angles[k + 1]) / 2
            shade = 0.28 + 0.6 * np.cos(a) + 0.55 * np.exp(-(((a + 0.35) / 0.22) ** 2))
            corners = [start + one, end + one, end + two, start + two]
            self.face([tuple(c) for c in corners], colour * shade)


def surround(
    camera: BeltCamera, maps: BeltMaps, view: View, light: Light, rng: np.random.Generator
) -> Surroundings:
    """Draw what is behind the belt and what hides a part of it."""
    w, h = camera.size_wh
    reach = (maps.range_y[0] - 4, maps.range_y[1] + 6)
    ground = _sky(camera, light, rng) if view == "below" else _floor(camera, rng)
    behind, front = _Stage(camera), _Stage(camera)
    behind.canvas[:] = cv2.resize(ground, (w * FINE, h * FINE)) * 255
    paint = _steel(rng)
    _frame(behind, camera.half_m, view, reach, paint)
    _idlers(front if view == "below" else behind, camera, view, reach, rng)
    back = _weathered(_reduced(behind.canvas), rng)
    face = _weathered(_reduced(front.canvas), rng)
    hidden = _reduced(front.cover[..., None])
    share = maps.share[..., None]
    still = hidden * face**2 + (1 - hidden) * (1 - share) * back**2
    return Surroundings(np.asarray(still, np.float32), ((1 - hidden) * share)[..., 0])


def _reduced(canvas: UInt8Image) -> FloatMap:
    """The canvas at the picture's size, slightly out of focus, 0 to 1."""
    h, w = canvas.shape[0] // FINE, canvas.shape[1] // FINE
    small = cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA).reshape(h, w, -1)
    soft = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), 0.6 + w / 1600)
    return np.asarray(soft, np.float32).reshape(h, w, -1)


def _weathered(picture: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Dirt and rust over a drawn picture."""
    h, w = picture.shape[:2]
    dirt = fractal((h, w), 0.09 * w, 2, rng)
    rust = np.clip(fractal((h, w), 0.06 * w, 3, rng) - 0.7, 0, 1)[..., None]
    stained = picture * (1 + 0.13 * dirt[..., None])
    return np.asarray(stained * (1 - rust * np.array([0.05, 0.25, 0.4], np.float32)), np.float32)


def _steel(rng: np.random.Generator) -> Float64:
    """Colour of the frame: grey, galvanised, ochre, rusty or blue paint."""
    colours = [(0.36, 0.36, 0.36), (0.6, 0.62, 0.64), (0.55, 0.42, 0.18)]
    colours += [(0.36, 0.25, 0.19), (0.25, 0.34, 0.45)]
    return np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.7, 1.15)


def _floor(camera: BeltCamera, rng: np.random.Generator) -> FloatMap:
    """Ground below the belt, in perspective: concrete, dirt or coal."""
    rays = camera.rays()
    depth = np.where(rays[..., 2] < -1e-2, (-1.1 - camera.position[2]) / rays[..., 2], 30)
    x = camera.position[0] + depth * rays[..., 0]
    y = camera.position[1] + depth * rays[..., 1]
    tile = fractal((512, 512), 120, 2, rng) + 0.4 * blobs((512, 512), 1.5, rng)
    scale = 512 / 3.0
    maps = ((x * scale) % 511).astype(np.float32), ((y * scale) % 511).astype(np.float32)
    spots = cv2.remap(tile, *maps, cv2.INTER_LINEAR)[..., None]
    colours = [(0.42, 0.4, 0.37), (0.4, 0.33, 0.25), (0.13, 0.13, 0.13), (0.3, 0.31, 0.29)]
    base = np.array(colours[rng.integers(len(colours))], np.float32)
    far = np.clip(depth / 12, 0, 1)[..., None].astype(np.float32)
    return np.clip(base * (1 + 0.22 * spots) * (1 - 0.4 * far), 0.02, 1)


def _sky(camera: BeltCamera, light: Light, rng: np.random.Generator) -> FloatMap:
    """What shows beside a belt seen from below: sky, or a dark roof with a few gaps."""
    w, h = camera.size_wh
    slope = np.linspace(1, 0.72, h, dtype=np.float32)[:, None, None]
    cloud = 0.06 * fractal((h, w), 0.4 * w, 0.05 * w, rng)[..., None]
    if light in ("day", "morning") and rng.random() < 0.6:
        return np.clip(np.array([0.9, 0.95, 1.0], np.float32) * (slope + cloud), 0, 1)
    bars = np.clip(blobs((h, w), (0.9 * h, 0.035 * w), rng), -1, 1)[..., None]
    return np.clip(np.array([0.16, 0.15, 0.13], np.float32) * (slope + cloud + 0.5 * bars), 0, 1)


def _frame(
    stage: _Stage, half: float, view: View, reach: tuple[float, float], paint: Float64
) -> None:
    """Stringers along both edges, with legs and ties."""
    away = (half + 0.16, half + 0.27)
    drop = (-0.5, -0.32) if view == "below" else (-0.34, -0.16)
    for side in (-1, 1):
        for y in np.arange(reach[0], reach[1], 2.4):
            stage.beam(
                (side * away[0], side * (away[0] + 0.07)), (-1.1, -0.34), (y, y + 0.09), paint
            )
        stage.beam((side * away[0], side * away[1]), drop, reach, paint)


def _idlers(
    stage: _Stage,
    camera: BeltCamera,
    view: View,
    reach: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Rollers: their ends beside a carrying belt, whole ones across a returning belt."""
    half = camera.half_m
    colours = [(0.42, 0.42, 0.43), (0.6, 0.3, 0.27), (0.5, 0.36, 0.2), (0.3, 0.26, 0.23)]
    colour = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.7, 1.2)
    below = view == "below"
    pitch = rng.uniform(1.5, 2.6) if below else rng.uniform(0.9, 1.4)
    radius = rng.uniform(0.045, 0.075)
    for y in np.arange(reach[0] + rng.uniform(0, pitch), reach[1], pitch):
        if below:
            z = radius
            stage.roller(
                np.array([-half - 0.3, y, z]), np.array([half + 0.3, y, z]), 0.02, colour * 0.7
            )
            stage.roller(
                np.array([-half - 0.06, y, z]), np.array([half + 0.06, y, z]), radius, colour
            )
            continue
        for side in (-1.0, 1.0):
            edge = camera.on_belt(np.array([[side * half, y]]))[0]
            lift = np.array([side * np.cos(camera.rise), 0, np.sin(camera.rise)])
            start = edge - np.array([0, 0, radius]) - 0.2 * lift
            stage.roller(start, edge + 0.14 * lift - np.array([0, 0, radius]), 0.018, colour * 0.6)
            stage.roller(start, edge + 0.06 * lift - np.array([0, 0, radius]), radius, colour)


def light_on_belt(
    camera: BeltCamera, maps: BeltMaps, light: Light, rng: np.random.Generator
) -> FloatMap:
    """Light that falls on every pixel's piece of belt and comes back to the lens, H×W×3."""
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
    if light in ("morning", "day") and rng.random() < 0.6:
        level *= _shadows(maps, light, rng)
    return np.asarray(level[..., None] * np.array(TINT[light]), np.float32)


def _pool(x: FloatMap, y: FloatMap, light: Light, rng: np.random.Generator) -> FloatMap:
    """Evenness of the light: wide by day, a pool under a lamp."""
    wide = {"morning": 1.1, "day": 1.6, "lamp": 0.33, "dim": 0.8}[light]
    rest = {"morning": 0.5, "day": 0.75, "lamp": 0.1, "dim": 0.35}[light]
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
