"""The surface of a conveyor belt, painted piece by piece along its length.

Every piece depends on its place alone, so neighbours fit and any piece can be painted by itself.
Rows run along the belt, columns across; values are screen values, the square root of light.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fissura.synth.belt_style import BeltTexture
from fissura.synth.textures import blobs, grain
from fissura.types import FloatMap, UInt8Image

PERIOD_CELLS = 320
"""Slow patterns repeat after so many cells along the belt, which bounds their memory."""

GRAIN_ROWS = 1024

STREAK_PARTS = (1.0, 0.8, 0.55, 0.35)
"""Strength of streaks from broad to fine."""


@dataclass(frozen=True)
class Look:
    """How one belt looks: base colour, and the strengths of its patterns."""

    colour: tuple[float, float, float]
    streaks: float
    clouds: float
    grain: float
    dust: float
    scuffs: float
    weave: float
    cleats: float
    wet: float = 0.0
    cover: float = 0.0


POWDER = np.array([0.62, 0.58, 0.515], np.float32)
"""Screen value of dust that lies thickly."""

AMOUNTS: dict[BeltTexture, dict[str, float]] = {
    "plain": {"weave": 0.15},
    "chevron": {"cleats": 1.0, "streaks": 0.5, "dust": 0.35},
    "worn": {"streaks": 1.5, "clouds": 1.3, "scuffs": 1.7, "weave": 1.0, "dust": 0.3},
    "dusty": {"clouds": 1.2, "dust": 1.1, "scuffs": 0.7},
}


def draw_look(texture: BeltTexture, wet: bool, dust: float, rng: np.random.Generator) -> Look:
    """A belt of the given kind, a little different every time; wet rubber is darker and clean.

    `dust` is a factor on its dust; what goes beyond 1 hides the rubber.
    """
    grey, cold = rng.uniform(0.34, 0.5), rng.normal(0.006, 0.008)
    amount = {"streaks": 0.8, "clouds": 0.8, "grain": 0.9, "dust": 0.15, "scuffs": 0.6}
    amount |= {"weave": 0.0, "cleats": 0.0} | AMOUNTS[texture]
    varied = {name: value * rng.uniform(0.7, 1.3) for name, value in amount.items()}
    if wet:
        grey *= 0.75
        varied |= {"dust": 0.5 * varied["dust"], "wet": 1.0}
    varied["cover"] = 0.5 * varied["dust"] * max(0.0, dust - 1)
    varied["dust"] *= min(dust, 1.0)
    return Look((grey - cold, grey, grey + cold), **varied)


class _Field:
    """Smooth noise over the belt; only a coarse grid is kept, rows are filled in when asked for."""

    def __init__(self, cell_px: tuple[float, float], width: int, rng: np.random.Generator) -> None:
        self._rows = max(2.0, cell_px[0])
        across = max(3, round(width / cell_px[1])) + 2
        grid = rng.standard_normal((PERIOD_CELLS, across), np.float32)
        self._grid = cv2.resize(grid, (width, PERIOD_CELLS), interpolation=cv2.INTER_CUBIC)

    def rows(self, first: int, count: int) -> FloatMap:
        """Rows of the field, `count` by the belt's width."""
        place = (first + np.arange(count)) / self._rows
        cell = np.floor(place).astype(int)
        t = (place - cell).astype(np.float32)
        t = (t * t * (3 - 2 * t))[:, None]
        before = self._grid[cell % PERIOD_CELLS]
        before += t * (self._grid[(cell + 1) % PERIOD_CELLS] - before)
        return np.asarray(before)


class BeltSurface:
    """Rubber of one belt at `ppm` pixels per metre, `width` pixels wide."""

    def __init__(self, look: Look, seed: int, ppm: float, width: int) -> None:
        self.look, self._seed, self._ppm, self._width = look, seed, ppm, width
        rng = np.random.default_rng([seed, 20])
        metre = ppm
        self._clouds = [
            _Field((c * metre, c * 0.6 * metre), width, rng) for c in (0.5, 0.17, 0.06, 0.02)
        ]
        self._streaks = [
            _Field((a * metre, c * metre), width, rng)
            for a, c in ((7.0, 0.16), (5.0, 0.05), (2.5, 0.014), (1.0, 0.005))
        ]
        self._dust = [_Field((c * metre, 0.4 * c * metre), width, rng) for c in (1.1, 0.2, 0.05)]
        long = grain((GRAIN_ROWS, width), 0.7, rng)
        brushed = cv2.GaussianBlur(
            rng.standard_normal((GRAIN_ROWS, width), np.float32), (0, 0), 0.6, sigmaY=7
        )
        self._grain = 0.75 * long + 0.6 * brushed / brushed.std()
        profile = np.linspace(-1, 1, width, dtype=np.float32)
        self._across = profile
        self._tracks = 0.6 * blobs((2, width), (2, 0.11 * metre), rng)[0]

    def paint(self, first: int, count: int) -> FloatMap:
        """Rows of the surface as screen values, rows×width×3."""
        look = self.look
        cloud = sum(f.rows(first, count) for f in self._clouds)
        streak = self._tracks + sum(
            part * f.rows(first, count) for part, f in zip(STREAK_PARTS, self._streaks, strict=True)
        )
        pick = (first + np.arange(count)) % GRAIN_ROWS
        fine = self._grain[pick]
        tone = 0.03 * look.clouds * cloud + 0.058 * look.streaks * streak
        tone += 0.036 * look.grain * fine
        tone += self._weave(first, count, streak) if look.weave > 0.2 else 0
        tone += self._cleats(first, count) if look.cleats > 0 else 0
        tone += self._film(first, count, fine) if look.wet > 0 else 0
        dust = sum(f.rows(first, count) for f in self._dust) * 0.55 + 0.5 * look.dust - 0.75
        dust += 0.9 * look.dust * (self._across**2 - 0.4)
        dust = np.clip(dust, 0, 1.6) * look.dust * (0.62 + 0.16 * fine)
        bright, dark = self._marks(first, count)
        tone += 0.27 * dust + 0.55 * bright - 0.5 * dark
        warm = 0.05 * dust + 0.004 * cloud
        picture = np.array(look.colour, np.float32) * (1 + tone[..., None])
        picture += warm[..., None] * np.array([1.0, 0.35, -0.7], np.float32) * look.colour[1]
        if look.cover > 0:
            share = np.clip(look.cover * (0.55 + 0.45 * dust + 0.12 * cloud), 0, 0.92)[..., None]
            powder = (0.9 + 0.06 * fine + 0.05 * cloud)[..., None] * POWDER
            picture += share * (powder - picture)
        return np.asarray(np.clip(picture, 0.03, 1), np.float32)

    def _film(self, first: int, count: int, fine: FloatMap) -> FloatMap:
        """A film of water: darker where it lies, with streaks and drops that catch the light."""
        depth = self._clouds[0].rows(first, count) + 0.6 * self._clouds[1].rows(first, count)
        pool = 1 / (1 + np.exp(np.clip(-3 * depth, -30, 30)))
        runs = np.clip(self._streaks[2].rows(first, count) - 0.3, 0, 1.5)
        drops = np.clip(fine - 1.7, 0, 1)
        return np.asarray(self.look.wet * (pool * (0.4 * runs + 0.7 * drops - 0.34)), np.float32)

    def _weave(self, first: int, count: int, streak: FloatMap) -> FloatMap:
        """Fabric that shows where the cover has worn away."""
        pitch = max(0.006 * self._ppm, 3.2)
        row = (first + np.arange(count, dtype=np.float32))[:, None]
        column = np.arange(self._width, dtype=np.float32)[None]
        cloth = np.sin(row * (2 * np.pi / pitch)) * np.sin(column * (2 * np.pi / pitch))
        bare = np.clip(0.5 * streak + self._clouds[0].rows(first, count) - 1.1, 0, 1)
        return np.asarray(self.look.weave * bare * (0.12 + 0.09 * cloth), np.float32)

    def _cleats(self, first: int, count: int) -> FloatMap:
        """Moulded ribs in the shape of a V, lit from one side."""
        pitch, rib = 0.25 * self._ppm, 0.022 * self._ppm
        row = (first + np.arange(count, dtype=np.float32))[:, None]
        span = np.abs(self._across)
        place = (row + 0.62 * self._width / 2 * span) % pitch - pitch / 2
        inside = np.clip((0.8 - span) * self._width / 8, 0, 1) * np.clip(span * 25, 0, 1)
        height = 1 / (1 + np.exp(np.clip((np.abs(place) - rib) * 4 / max(rib * 0.25, 1), -30, 30)))
        slope = np.gradient(height, axis=0) * max(rib * 0.25, 1)
        lit = 0.5 * slope + 0.07 * height - 0.3 * np.exp(-(((place + 1.7 * rib) / rib) ** 2))
        return np.asarray(self.look.cleats * inside * lit, np.float32)

    def _marks(self, first: int, count: int) -> tuple[FloatMap, FloatMap]:
        """Pale specks and scuffs, dark pits: H×W share of each."""
        block = max(64, int(0.25 * self._ppm))
        bright = np.zeros((count, self._width), np.uint8)
        dark = np.zeros((count, self._width), np.uint8)
        reach = int(0.2 * self._ppm)
        for number in range((first - reach) // block, (first + count + reach) // block + 1):
            rng = np.random.default_rng([self._seed, 21, number + 10**6])
            self._specks(bright, dark, number * block - first, block, rng)
            self._scuffs(bright, number * block - first, block, rng)
        part = np.float32(1 / 255)
        return np.asarray(bright * part, np.float32), np.asarray(dark * part, np.float32)

    def _specks(
        self, bright: UInt8Image, dark: UInt8Image, top: int, block: int, rng: np.random.Generator
    ) -> None:
        area = block * self._width / self._ppm**2
        count = rng.poisson((60 + 160 * self.look.dust + 90 * self.look.scuffs) * area)
        for x, y, u, kind, light in rng.random((count, 5)):
            radius = self._ppm * 0.0007 * (6.0 ** (u**4))
            centre = (int(x * self._width * 16), int((top + y * block) * 16))
            shade = int((70 + 185 * light) * min(1.0, (2 * radius) ** 2 + 0.1))
            canvas = dark if kind < 0.3 else bright
            axes = (max(6, int(radius * 16)), max(6, int(radius * (0.6 + 0.9 * light) * 16)))
            cv2.ellipse(canvas, centre, axes, kind * 360, 0, 360, shade, -1, cv2.LINE_AA, 4)

    def _scuffs(self, bright: UInt8Image, top: int, block: int, rng: np.random.Generator) -> None:
        area = block * self._width / self._ppm**2
        for x, y, u, tilt, light in rng.random((rng.poisson(34 * self.look.scuffs * area), 5)):
            length, lean = self._ppm * (0.012 + 0.16 * u**3), (tilt - 0.5) * 0.35
            start = np.array([x * self._width, top + y * block])
            line = np.stack([start, start + length * np.array([lean, 1.0])]) * 16
            shade = int(25 + 110 * light**2)
            cv2.polylines(bright, [line.astype(np.int32)], False, shade, 1, cv2.LINE_AA, 4)


def smear(rows: FloatMap, length_px: float) -> FloatMap:
    """Blur along the travel by the way the belt runs during the exposure; rows are screen values.

    Light adds up, so it is averaged as light: rows are squared before and rooted after.
    """
    light = rows * rows
    if length_px > 1:
        half = int(np.ceil((length_px - 1) / 2))
        kernel = np.ones(2 * half + 1, np.float32)
        kernel[[0, -1]] = (length_px - (2 * half - 1)) / 2
        even = kernel / kernel.sum()
        light = np.asarray(cv2.sepFilter2D(light, -1, np.ones(1, np.float32), even), np.float32)
    return np.asarray(cv2.sqrt(light), np.float32)
