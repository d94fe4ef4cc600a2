"""The painted belt: its surface with damage and marks, smeared by the travel, piece by piece."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.synth.belt_defects import (
    BoxArea,
    Defect,
    Patch,
    Shape,
    paint_defect,
    paint_opening,
    plan_defects,
    plan_tears,
    rasterise,
    shape_of,
)
from fissura.synth.belt_marks import draw_mark, plan_marks, plan_wet_marks
from fissura.synth.belt_style import BeltStyle
from fissura.synth.belt_texture import BeltSurface, draw_look, smear
from fissura.types import FloatMap, UInt8Image

Float64 = NDArray[np.float64]
Pieces = OrderedDict[tuple[int, tuple[float, ...]], list[UInt8Image]]

CACHE_BYTES = 128 * 2**20
"""Painted belt kept at most."""

SKY = np.array([0.93, 0.96, 1.0])
"""Screen value of the sky in a hole seen from below."""

LEVELS = 3
"""Sizes in which the belt is kept: full, half, quarter."""


@dataclass(frozen=True)
class Scale:
    """Pixels per metre of painted belt, and how many metres of it a picture shows."""

    ppm: float
    visible_m: float


class BeltPaint:
    """One belt, a loop of `count` pieces of `rows` rows; `outlines` hands out its damage.

    `box_area` gives the share of the picture that the box around places on the belt takes.
    """

    def __init__(self, style: BeltStyle, scale: Scale, box_area: BoxArea, seed: int) -> None:
        self._style, self._seed, self._box_area = style, seed, box_area
        self.ppm = scale.ppm
        self.width = int(np.ceil(style.width_m * self.ppm))
        self.rows = max(64, int(0.4 * self.ppm) // 8 * 8)
        self.piece_m = self.rows / self.ppm
        least = int(np.ceil(scale.visible_m / self.piece_m)) + 8
        self.count = max(round(style.length_m / self.piece_m), least)
        self.length_m = self.count * self.piece_m
        self.blur_px = style.speed_mps * style.exposure_s * self.ppm
        rng = np.random.default_rng([seed, 31])
        look = draw_look(style.texture, style.weather == "rain", style.dust, rng)
        self.colour = np.array(look.colour)
        self._surface = BeltSurface(look, seed, self.ppm, self.width)
        self._inside = np.array([0.085, 0.08, 0.08]) * rng.uniform(0.5, 1.3)
        self._shines_through = style.view == "below" and style.light in ("day", "morning")
        usual = rng.poisson(style.cracks_per_frame * self.length_m / scale.visible_m)
        self.defects = plan_defects(usual, self.length_m, style, rng)
        if style.tears > 0:  # from numbers of its own, as the water of rain
            own, known = np.random.default_rng([seed, 34]), len(self.defects) + 1
            self.defects += plan_tears(known, self.length_m, scale.visible_m, style, own)
        self.marks = plan_marks(self.length_m, style.width_m, style.decoys, rng)
        if style.weather == "rain":  # from numbers of its own, so that the rest stays where it is
            wet = np.random.default_rng([seed, 33])
            self.marks += plan_wet_marks(self.length_m, style.width_m, style.decoys, wet)
        self._places = np.array([d.s for d in self.defects])
        self._reach = np.array([d.reach_m for d in self.defects])
        self._mark_places = np.array([m.s for m in self.marks])
        self._mark_reach = np.array([m.reach for m in self.marks])
        self._pieces: Pieces = OrderedDict()
        self._shapes: dict[int, Shape] = {}
        self._outlines: OrderedDict[tuple[int, float], list[Float64]] = OrderedDict()
        self._patches: OrderedDict[tuple[int, float], Patch] = OrderedDict()

    def near(self, low: float, high: float) -> list[tuple[Defect, float]]:
        """Defects that reach between two places of the endless belt, and the metres each is at."""
        first = low - self._reach
        shifted = (self._places - first) % self.length_m + first
        chosen = np.flatnonzero(shifted < high + self._reach)
        return [(self.defects[k], float(shifted[k])) for k in chosen]

    def revolution(self, place: float) -> int:
        """How often a place of the endless belt has been round: places fall as it runs."""
        return int(-np.floor(place / self.length_m)) - 1

    def outlines(self, defect: Defect, revolution: int) -> list[Float64]:
        """The damage's closed polygons, metres around its centre, as grown at a revolution."""
        key = (defect.identity, defect.grown(revolution))
        if key not in self._outlines:
            self._outlines[key] = self._shape(defect).outlines(key[1])
            _keep(self._outlines, 256)
        self._outlines.move_to_end(key)
        return self._outlines[key]

    def _shape(self, defect: Defect) -> Shape:
        if defect.identity not in self._shapes:
            steep = abs(np.cos(np.deg2rad(defect.angle)))
            least = max(1.5, 0.45 * self.blur_px * steep)
            area = self._box_area
            self._shapes[defect.identity] = shape_of(defect, least, self.ppm, area)
            if len(self._shapes) > 512:
                self._shapes.pop(next(iter(self._shapes)))
        return self._shapes[defect.identity]

    def piece(self, number: int) -> list[UInt8Image]:
        """One piece of the endless belt in three sizes, from memory if it is still there."""
        middle = (number + 0.5) * self.piece_m
        turns = [
            (self.defects[k], away, self.revolution(middle + away))
            for k, away in self._around(self._places, middle, self._reach + 0.1)
        ]
        key = (number % self.count, tuple(defect.grown(turn) for defect, _, turn in turns))
        if key not in self._pieces:
            self._pieces[key] = self._painted(number, turns)
            size = sum(level.nbytes for level in self._pieces[key])
            _keep(self._pieces, max(16, CACHE_BYTES // size))
        self._pieces.move_to_end(key)
        return self._pieces[key]

    def _painted(self, number: int, turns: list[tuple[Defect, float, int]]) -> list[UInt8Image]:
        margin = int(np.ceil(self.blur_px / 2)) + 6
        first = (number % self.count) * self.rows - margin
        rows = self._surface.paint(first, self.rows + 2 * margin)
        middle = ((number % self.count) + 0.5) * self.piece_m
        for k, away in self._around(self._mark_places, middle, self._mark_reach):
            patch = draw_mark(self.marks[k], self.ppm, self.width)
            top = round((middle + away) * self.ppm) - patch.cover.shape[0] // 2 - first
            for part, cover in _overlap(rows, replace(patch, top=top)):
                np.multiply(part, (1 + cover)[..., None], out=part)
        np.clip(rows, 0.02, 1, out=rows)
        for defect, away, turn in turns:
            patch = self._patch(defect, turn)
            top = patch.top + round((middle + away - defect.s) * self.ppm) - first
            for part, cover in _overlap(rows, replace(patch, top=top)):
                if defect.kind == "hole" and self._shines_through:
                    paint_opening(part, cover, self._inside, self.ppm, SKY)
                else:
                    paint_defect(part, cover, self._inside, self.ppm, defect.seed)
        screen = smear(rows, self.blur_px)[margin:-margin]
        return _pyramid(np.asarray(cv2.convertScaleAbs(screen, alpha=255.0), np.uint8))

    def _around(
        self, places: Float64, middle: float, reach: float | Float64
    ) -> list[tuple[int, float]]:
        """Which places reach into the piece around `middle`, and how far away each is."""
        away = (places - middle + self.length_m / 2) % self.length_m - self.length_m / 2
        chosen = np.flatnonzero(np.abs(away) < reach + self.piece_m / 2)
        return [(int(k), float(away[k])) for k in chosen]

    def _patch(self, defect: Defect, turn: int) -> Patch:
        key = (defect.identity, defect.grown(turn))
        if key not in self._patches:
            centre = np.array([defect.u + self._style.width_m / 2, defect.s])
            outlines = [outline + centre for outline in self.outlines(defect, turn)]
            self._patches[key] = rasterise(outlines, self.ppm, margin=int(0.03 * self.ppm) + 4)
            _keep(self._patches, 24)
        return self._patches[key]


def _keep(cache: OrderedDict[Any, Any], count: int) -> None:
    """Forget what was used longest ago."""
    while len(cache) > count:
        cache.popitem(last=False)


def _overlap(rows: FloatMap, patch: Patch) -> list[tuple[FloatMap, FloatMap]]:
    """The part of rows under a patch, and that part of the patch; none where they do not meet."""
    h, w = patch.cover.shape
    y0, y1 = max(patch.top, 0), min(patch.top + h, rows.shape[0])
    x0, x1 = max(patch.left, 0), min(patch.left + w, rows.shape[1])
    if y0 >= y1 or x0 >= x1:
        return []
    cover = patch.cover[y0 - patch.top : y1 - patch.top, x0 - patch.left : x1 - patch.left]
    return [(rows[y0:y1, x0:x1], cover)]


def _pyramid(level: UInt8Image) -> list[UInt8Image]:
    """The picture in full, half and quarter size; its height is divisible by 8."""
    found = [level]
    for k in range(1, LEVELS):
        size_wh = (max(1, found[0].shape[1] >> k), found[0].shape[0] >> k)
        found.append(np.asarray(cv2.resize(found[-1], size_wh, interpolation=cv2.INTER_AREA)))
    return found
