"""A conveyor belt that runs past a camera: pictures with exact truth about its cracks and holes.

The belt is painted in its own coordinates, already smeared by the way it runs while the shutter is
open, and looked up through the camera for every frame. All of it follows from the seed, so any
frame can be rendered alone and is the same bit for bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.synth.belt_camera import place_camera
from fissura.synth.belt_defects import (
    Defect,
    Patch,
    Shape,
    paint_defect,
    plan_defects,
    rasterise,
    shape_of,
)
from fissura.synth.belt_setting import light_on_belt, surround
from fissura.synth.belt_style import BeltStyle, draw_style
from fissura.synth.belt_texture import BeltSurface, draw_look, smear
from fissura.synth.belt_weather import Weathering
from fissura.types import BoolMask, FloatMap, InputError, UInt8Image

Float64 = NDArray[np.float64]

CACHE_BYTES = 160 * 2**20
"""Painted belt kept at most."""

LEAST_SEEN_PX = 2
"""A defect with fewer pixels in sight on its longer side has no box."""


@dataclass(frozen=True)
class BeltFrame:
    """One picture H×W×3 uint8 RGB and its truth at the middle of the exposure.

    `boxes` N×4 float32 xyxy around what is in sight of each defect, `labels` N names ("crack",
    "hole"), `crack_ids` N identities that stay with a defect for all frames, `identities` uint16
    H×W with a defect's identity on its pixels and 0 elsewhere. `belt_m` is how far the belt has
    run, `revolution` times its length included.
    """

    image: UInt8Image
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    crack_ids: tuple[int, ...]
    identities: NDArray[np.uint16]
    belt_m: float
    time_s: float
    index: int

    @property
    def mask(self) -> BoolMask:
        """Pixels of any defect."""
        return self.identities > 0


class BeltScene:
    """One belt, one camera, `frames` pictures; what is not given in `style` follows from the seed.

    `style` takes the fields of `BeltStyle`, as texture="worn" or speed_mps=4.
    """

    def __init__(
        self,
        seed: int,
        size_wh: tuple[int, int] = (960, 540),
        frames: int = 60,
        **style: Any,
    ) -> None:
        if min(size_wh) < 64 or max(size_wh) > 8192:
            raise InputError(f"size {size_wh[0]}x{size_wh[1]}: each side from 64 to 8192 pixels")
        self.seed, self.size_wh, self.frames = seed, size_wh, frames
        self.style: BeltStyle = draw_style(seed, style)
        rng = np.random.default_rng([seed, 30])
        half = self.style.width_m / 2
        self.camera = place_camera(self.style.view, size_wh, half, rng)
        maps = self.camera.maps()
        self._lay_out(maps)
        self._prepare_light(maps, rng)
        self._weather = Weathering(self.style.weather, self.style.light, size_wh, seed)
        self._chunks: OrderedDict[tuple[int, tuple[float, ...]], list[UInt8Image]] = OrderedDict()
        self._shapes: dict[int, Shape] = {}
        self._patches: OrderedDict[tuple[int, float], Patch] = OrderedDict()

    def _lay_out(self, maps: Any) -> None:
        """Resolution of the painted belt, its pieces, and where every pixel looks among them."""
        style = self.style
        seen = maps.step_m[maps.share > 0]
        self.ppm = float(min(1 / np.quantile(seen, 0.08), 1800 / style.width_m))
        self._width = int(np.ceil(style.width_m * self.ppm))
        self._rows = max(64, int(0.4 * self.ppm) // 8 * 8)
        self._range_y = maps.range_y
        piece = self._rows / self.ppm
        visible = self._range_y[1] - self._range_y[0]
        self._pieces = int(max(round(style.length_m / piece), np.ceil(visible / piece) + 3))
        self.length_m = self._pieces * piece
        self._column = (maps.u + style.width_m / 2) * np.float32(self.ppm) - np.float32(0.5)
        self._row = maps.y * np.float32(self.ppm)
        level = np.log2(np.maximum(maps.step_m * self.ppm, 1)) + 0.25
        level = np.where(maps.share > 0, np.clip(level, 0, 2).astype(int), -1)
        self._levels = [(k, *_around(level == k)) for k in range(3) if (level == k).any()]
        rng = np.random.default_rng([self.seed, 31])
        self._start = self._range_y[1] + rng.uniform(0, self.length_m)
        count = max(1, rng.poisson(style.cracks_per_frame * self.length_m / visible))
        self.defects: list[Defect] = plan_defects(
            count, self.length_m, style.width_m / 2, style.size_mix, style.holes, rng
        )
        self._surface = BeltSurface(draw_look(style.texture, rng), self.seed, self.ppm, self._width)
        self._inside = np.array([0.1, 0.1, 0.11]) * rng.uniform(0.4, 1.1)
        self._blur_px = style.speed_mps * style.exposure_s * self.ppm

    def _prepare_light(self, maps: Any, rng: np.random.Generator) -> None:
        style = self.style
        around = surround(self.camera, maps, style.view, style.light, rng)
        light = light_on_belt(self.camera, maps, style.light, rng)
        level = {"morning": 0.17, "day": 0.2, "lamp": 0.085, "dim": 0.05}[style.light]
        seen = around.open > 0.5
        typical = float(np.mean(light[seen])) * float(np.mean(self._surface.look.colour)) ** 2
        gain = level * rng.uniform(0.75, 1.3) / typical
        rest = {"morning": 0.9, "day": 1.0, "lamp": 0.35, "dim": 0.4}[style.light]
        self._light = light * around.open[..., None] * np.float32(gain)
        self._still = around.still * light / light[seen].mean() * np.float32(rest * level / 0.17)
        self._open = around.open

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[BeltFrame]:
        return (self.frame(index) for index in range(self.frames))

    def belt_m(self, index: int) -> float:
        """How far the belt has run at the middle of a frame's exposure."""
        return self._start + self.style.speed_mps * index / self.style.fps

    def frame(self, index: int) -> BeltFrame:
        """Render one frame; any order gives the same pictures."""
        run = self.belt_m(index)
        screen = self._belt(run)
        picture = cv2.multiply(screen, screen, scale=1 / 255**2, dtype=cv2.CV_32F)
        picture = cv2.multiply(picture, self._light, dst=picture)
        picture = cv2.add(picture, self._still, dst=picture)
        image = self._weather.expose(picture, index)
        boxes, labels, identities, drawn = self._truth(run)
        return BeltFrame(
            image=image,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            labels=labels,
            crack_ids=identities,
            identities=drawn,
            belt_m=run,
            time_s=index / self.style.fps,
            index=index,
        )

    def _belt(self, run: float) -> UInt8Image:
        """The belt as the camera sees it, before light."""
        first = int(np.floor((self._range_y[0] - run) * self.ppm / self._rows - 0.05))
        last = int(np.floor((self._range_y[1] - run) * self.ppm / self._rows + 0.05))
        pieces = [self._piece(k) for k in range(first, last + 1)]
        down = -run * self.ppm - first * self._rows
        w, h = self.size_wh
        out = np.zeros((h, w, 3), np.uint8)
        for level, box, inside in self._levels:
            source = np.concatenate([piece[level] for piece in pieces])
            part = 1 / 2**level
            x = (self._column[box] + 0.5) * part - 0.5
            y = (self._row[box] + np.float32(down)) * part - 0.5
            found = cv2.remap(source, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
            np.copyto(out[box], found, where=inside[..., None])
        return out

    def _piece(self, number: int) -> list[UInt8Image]:
        """One piece of painted belt in three sizes, from memory if it is still there."""
        place = number % self._pieces
        turn = -(number // self._pieces)
        near = self._near(place)
        key = (place, tuple(d.grown(turn) for d in near))
        if key in self._chunks:
            self._chunks.move_to_end(key)
            return self._chunks[key]
        self._chunks[key] = self._painted(place, turn, near)
        size = sum(level.nbytes for level in self._chunks[key])
        while len(self._chunks) > max(12, CACHE_BYTES // size):
            self._chunks.popitem(last=False)
        return self._chunks[key]

    def _near(self, place: int) -> list[Defect]:
        """Defects that may reach into a piece."""
        piece = self._rows / self.ppm
        reach = 1.6 + piece
        return [d for d in self.defects if abs(d.s - (place + 0.5) * piece) < reach]

    def _painted(self, place: int, turn: int, near: list[Defect]) -> list[UInt8Image]:
        margin = int(np.ceil(self._blur_px / 2)) + 4
        top, count = place * self._rows - margin, self._rows + 2 * margin
        rows = self._surface.paint(top, count)
        for defect in near:
            self._cut(rows, defect, turn, top)
        light = smear(rows, self._blur_px)[margin:-margin]
        level = np.clip(light * 255 + 0.5, 0, 255).astype(np.uint8)
        found = [level]
        for _ in range(2):
            level = cv2.resize(
                level,
                (self._width // 2 ** len(found), level.shape[0] // 2),
                interpolation=cv2.INTER_AREA,
            )
            found.append(level)
        return found

    def _cut(self, rows: FloatMap, defect: Defect, turn: int, top: int) -> None:
        """Paint a defect into rows of belt that start at row `top`."""
        patch = self._patch(defect, turn)
        left = patch.left
        first = patch.top - top
        h, w = patch.cover.shape
        y0, y1 = max(first, 0), min(first + h, rows.shape[0])
        x0, x1 = max(left, 0), min(left + w, rows.shape[1])
        if y0 >= y1 or x0 >= x1:
            return
        cover = patch.cover[y0 - first : y1 - first, x0 - left : x1 - left]
        depth = min(0.01 * self.ppm, 8.0)
        paint_defect(rows[y0:y1, x0:x1], cover, self._inside, depth, defect.seed)

    def _patch(self, defect: Defect, turn: int) -> Patch:
        key = (defect.identity, defect.grown(turn))
        if key not in self._patches:
            centre = (defect.u + self.style.width_m / 2, defect.s)
            outlines = [o + centre for o in self.shape(defect).outlines(key[1])]
            self._patches[key] = rasterise(outlines, self.ppm, margin=int(0.03 * self.ppm) + 4)
            while len(self._patches) > 24:
                self._patches.popitem(last=False)
        return self._patches[key]

    def shape(self, defect: Defect) -> Shape:
        """The full-grown shape of one of the scene's defects."""
        if defect.identity not in self._shapes:
            middle = sum(self._range_y) / 2

            def area(points: Float64) -> float:
                spread = self.camera.seen(points + (defect.u, middle))
                return float(np.prod(np.ptp(spread, axis=0)) / np.prod(self.size_wh))

            steep = abs(np.cos(np.deg2rad(defect.angle)))
            least = max(1.7, 0.45 * self._blur_px * steep)
            scaled = defect.scaled(self.style.crack_scale**2)
            self._shapes[defect.identity] = shape_of(scaled, least, self.ppm, area)
        return self._shapes[defect.identity]

    def _truth(
        self, run: float
    ) -> tuple[list[Float64], tuple[str, ...], tuple[int, ...], NDArray[np.uint16]]:
        drawn = np.zeros(self.size_wh[::-1], np.uint16)
        boxes, labels, identities = [], [], []
        for defect in self.defects:
            for turn, y in self._passing(defect, run):
                outlines = [
                    self._pixels(outline + (defect.u, y))
                    for outline in self.shape(defect).outlines(defect.grown(turn))
                ]
                box = self._draw(drawn, outlines, defect.identity)
                if box is not None:
                    boxes.append(box)
                    labels.append(defect.kind)
                    identities.append(defect.identity)
        return boxes, tuple(labels), tuple(identities), drawn

    def _passing(self, defect: Defect, run: float) -> Iterator[tuple[int, float]]:
        """Revolution and place under the camera of a defect that may be in sight."""
        low, high = self._range_y[0] - 1.4, self._range_y[1] + 1.4
        first = int(np.floor((defect.s + run - high) / self.length_m))
        for turn in range(first, first + 3):
            y = defect.s + run - turn * self.length_m
            if low < y < high:
                yield turn, y

    def _pixels(self, outline: Float64) -> Float64:
        """An outline on the belt as pixels; parts beyond the picture's reach are laid on its rim."""
        low, high = self._range_y
        half = self.style.width_m / 2
        u = np.clip(outline[:, 0], -half, half)
        return self.camera.seen(np.stack([u, np.clip(outline[:, 1], low - 0.02, high + 0.02)], 1))

    def _draw(
        self, drawn: NDArray[np.uint16], outlines: list[Float64], identity: int
    ) -> Float64 | None:
        """Mark what is in sight of a defect and give its box, None if hardly anything is."""
        points = np.concatenate(outlines)
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        w, h = self.size_wh
        if x1 <= 0 or y1 <= 0 or x0 >= w or y0 >= h:
            return None
        left, top = max(int(x0) - 2, 0), max(int(y0) - 2, 0)
        right, bottom = min(int(x1) + 3, w), min(int(y1) + 3, h)
        canvas = np.zeros((bottom - top, right - left), np.uint8)
        for outline in outlines:
            moved = np.rint((outline - (left + 0.5, top + 0.5)) * 16).astype(np.int32)
            cv2.fillPoly(canvas, [moved], 1, cv2.LINE_8, 4)
        canvas[self._open[top:bottom, left:right] < 0.5] = 0
        ys, xs = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
        if len(ys) == 0 or max(len(ys), len(xs)) < LEAST_SEEN_PX:
            return None
        drawn[top:bottom, left:right][canvas > 0] = identity
        low = np.maximum([x0, y0], [left + xs[0], top + ys[0]])
        high = np.minimum([x1, y1], [left + xs[-1] + 1, top + ys[-1] + 1])
        return None if (high <= low).any() else np.concatenate([low, high])


def _around(wanted: BoolMask) -> tuple[tuple[slice, slice], BoolMask]:
    """The rectangle that holds all wanted pixels, and which of its pixels are wanted."""
    ys, xs = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    box = (slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1))
    return box, wanted[box]
