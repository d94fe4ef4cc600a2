"""What lies between belt and picture: dust and rain in the air, the sensor and its noise."""

from __future__ import annotations

import cv2
import numpy as np

from fissura.synth.belt_style import Light, Weather
from fissura.synth.textures import fractal
from fissura.types import FloatMap, UInt8Image

DRIFT = 0.5
"""Widths of the picture that a veil of dust drifts in a second."""

DROPS, SPLASHES = 220, 70
"""Streaks of rain in a picture, and drops that burst in it."""

SPARE_PX = 64
"""The noise is drawn that much larger than a picture, and shifted from frame to frame."""


class Weathering:
    """Turns light into grey levels as a camera in the given weather does."""

    def __init__(self, weather: Weather, light: Light, size_wh: tuple[int, int], seed: int) -> None:
        self._weather, self._size_wh, self._seed = weather, size_wh, seed
        rng = np.random.default_rng([seed, 40])
        w, h = size_wh
        strength = {"morning": 1.6, "day": 1.2, "lamp": 2.6, "dim": 4.2}[light]
        raw = rng.standard_normal((h + SPARE_PX, w + SPARE_PX, 3), np.float32)
        soft = cv2.GaussianBlur(raw, (0, 0), 0.55)
        self._noise = soft * np.float32(strength * rng.uniform(0.7, 1.3) / soft.std())
        self._blur = float(rng.uniform(0.35, 0.75) * max(1.0, w / 1200))
        self._haze = rng.uniform(0.08, 0.3) if weather == "dust" else rng.uniform(0, 0.03)
        self._tint = np.array([1.0, 0.93, 0.82], np.float32) * rng.uniform(0.1, 0.22)
        if light in ("lamp", "dim"):
            self._tint *= 0.4
        if weather == "dust":
            self._cloud = fractal((h // 8 + 1, 4 * (w // 8) + 1), w / 24, w / 120, rng)

    def expose(self, light: FloatMap, index: int, time_s: float) -> UInt8Image:
        """The picture of one frame; `light` is changed in place."""
        rng = np.random.default_rng([self._seed, 41, index])
        if self._weather == "rain":
            self._rain(light, rng)
        if self._weather == "dust":
            self._dust(light, time_s, rng)
        elif self._haze:
            light *= np.float32(1 - self._haze)
            light += np.float32(self._haze) * self._tint
        cv2.GaussianBlur(light, (5, 5), self._blur, dst=light)
        light *= np.float32(255.0**2 * (1 + 0.015 * rng.standard_normal()))
        screen = cv2.sqrt(light, dst=light)
        y, x = rng.integers(0, SPARE_PX, 2)
        w, h = self._size_wh
        cv2.add(screen, self._noise[y : y + h, x : x + w], dst=screen)
        return np.asarray(cv2.convertScaleAbs(screen), np.uint8)

    def _dust(self, light: FloatMap, time_s: float, rng: np.random.Generator) -> None:
        """A veil that drifts with time and back again, and grains that fly past."""
        w, h = self._size_wh
        part_wh = (w // 8 + 1, self._cloud.shape[0])
        wide = self._cloud.shape[1] - part_wh[0]
        swing = (time_s * DRIFT * w / 8) % (2 * wide)
        left = min(swing, 2 * wide - swing)
        middle = (left + (part_wh[0] - 1) / 2, (part_wh[1] - 1) / 2)
        veil = cv2.resize(cv2.getRectSubPix(self._cloud, part_wh, middle), (w, h))
        share = np.clip(self._haze * (1 + 0.4 * veil), 0, 0.8).astype(np.float32)[..., None]
        light *= 1 - share
        light += share * self._tint
        for x, y, size, bright in rng.random((rng.poisson(10), 4)):
            centre = (int(x * w * 16), int(y * h * 16))
            radius = int((0.5 + 2.2 * size**3) * w / 960 * 16)
            level = (self._tint * (0.8 + 1.5 * bright)).tolist()
            cv2.circle(light, centre, radius, level, -1, cv2.LINE_8, 4)

    def _rain(self, light: FloatMap, rng: np.random.Generator) -> None:
        """Streaks, nearly parallel, few near and many far ones, and drops that burst."""
        w, h = self._size_wh
        veil = np.zeros((h, w), np.uint8)
        slant = np.random.default_rng([self._seed, 42]).uniform(-0.25, 0.25)
        for x, y, far, bright in rng.random((DROPS, 4)):
            near = (1 - far) ** 3
            start = np.array([x * w * 1.2 - 0.1 * w, y * h * 1.1 - 0.1 * h])
            line = np.stack([start, start + (0.03 + 0.13 * near) * h * np.array([slant, 1.0])]) * 16
            thick = max(1, round((0.8 + 1.6 * near) * w / 960))
            shade = 50 + 90 * bright + 60 * near
            cv2.polylines(veil, [line.astype(np.int32)], False, shade, thick, cv2.LINE_AA, 4)
        for x, y, size, bright in rng.random((SPLASHES, 4)):
            centre = (int(x * w * 16), int(y * h * 16))
            radius = max(8, int((1.0 + 2.5 * size) * w / 960 * 16))
            axes = (radius, max(8, radius // 2))
            cv2.ellipse(veil, centre, axes, 0, 0, 360, 60 + 120 * bright, 1, cv2.LINE_AA, 4)
        seen = float(light[::16, ::16].mean())
        share = (veil * np.float32(0.55 / 255))[..., None]
        light *= 1 - 0.5 * share
        light += share * np.float32(2.2 * seen + 0.02)
