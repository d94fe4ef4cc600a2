"""A conveyor belt that runs past a camera: pictures with exact truth about its cracks and holes.

The belt is painted in its own coordinates, already smeared by the way it runs while the shutter is
open, and looked up through the camera for every frame. All of it follows from the seed, so any
frame can be rendered alone and is the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.synth.belt_camera import BeltMaps, place_camera
from fissura.synth.belt_defects import Defect
from fissura.synth.belt_marks import Mark
from fissura.synth.belt_paint import LEVELS, BeltPaint, Scale
from fissura.synth.belt_setting import light_on_belt, surround
from fissura.synth.belt_style import BeltStyle, draw_style
from fissura.synth.belt_weather import Weathering
from fissura.types import BoolMask, InputError, UInt8Image

Float64 = NDArray[np.float64]

WIDEST_PX = 1800
"""The painted belt is at most so many pixels wide."""

LEAST_SEEN_PX = 2
"""A defect with fewer pixels in sight on its longer side has no box."""


@dataclass(frozen=True)
class BeltFrame:
    """One picture H×W×3 uint8 RGB and its truth at the middle of the exposure.

    `boxes` N×4 float32 xyxy around what is in sight of each defect, `labels` N names ("crack",
    "hole"), `crack_ids` N identities that stay with a defect for all frames, `identities` int32
    H×W with a defect's identity on its pixels and 0 elsewhere. `belt_m` is how far the belt has
    run since its splice was at y = 0 under the camera; it grows beyond the belt's length.
    """

    image: UInt8Image
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    crack_ids: tuple[int, ...]
    identities: NDArray[np.int32]
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
        self, seed: int, size_wh: tuple[int, int] = (960, 540), frames: int = 60, **style: Any
    ) -> None:
        check_size(size_wh)
        self.seed, self.size_wh, self.frames = seed, size_wh, frames
        self.style: BeltStyle = draw_style(seed, style)
        rng = np.random.default_rng([seed, 30])
        self.camera = place_camera(self.style.view, size_wh, self.style.width_m / 2, rng)
        maps = self.camera.maps()
        self._low, self._high = maps.range_y
        self._paint = self._painted_belt(maps)
        self._start = self._high + float(rng.uniform(0, self.length_m))
        self._aim(maps)
        self._light_up(maps, rng)
        self._weather = Weathering(self.style.weather, self.style.light, size_wh, seed)

    @property
    def length_m(self) -> float:
        """Length of the belt, once round."""
        return self._paint.length_m

    @property
    def defects(self) -> list[Defect]:
        """All cracks and holes of the belt."""
        return self._paint.defects

    @property
    def marks(self) -> list[Mark]:
        """What lies on the belt and is no damage, its splices among it."""
        return self._paint.marks

    def _painted_belt(self, maps: BeltMaps) -> BeltPaint:
        finest = float(np.quantile(maps.step_m[maps.share > 0], 0.08))
        ppm = min(1 / finest, WIDEST_PX / self.style.width_m)
        middle = (self._low + self._high) / 2

        def box_area(places: Float64) -> float:
            spread = np.ptp(self.camera.seen(places + np.array([0.0, middle])), axis=0)
            return float(np.prod(spread) / np.prod(self.size_wh))

        return BeltPaint(self.style, Scale(ppm, self._high - self._low), box_area, self.seed)

    def _aim(self, maps: BeltMaps) -> None:
        """Where in the painted belt every pixel looks, and in which of its sizes."""
        ppm = np.float32(self._paint.ppm)
        level = np.log2(np.maximum(maps.step_m * ppm, 1)) + 0.25
        level = np.where(maps.share > 0, np.clip(level, 0, LEVELS - 1).astype(int), -1)
        self._looks = []
        for k in range(LEVELS):
            if (level == k).any():
                box, inside = _around(level == k)
                column = (maps.u[box] + np.float32(self.style.width_m / 2)) * ppm / 2**k - 0.5
                row = maps.y[box] * ppm / 2**k - 0.5
                self._looks.append((k, box, inside.astype(np.uint8), column, row))

    def _light_up(self, maps: BeltMaps, rng: np.random.Generator) -> None:
        """What stands still, and the light on the belt where nothing hides it."""
        light_kind = self.style.light
        around = surround(self.camera, maps, self.style, rng)
        wet = self.style.weather == "rain"
        light = light_on_belt(self.camera, maps, light_kind, wet, rng)
        level = {"morning": 0.18, "day": 0.2, "lamp": 0.1, "dim": 0.06}[light_kind]
        seen = around.open > 0.5
        typical = float(light[seen].mean()) * float(self._paint.colour.mean()) ** 2
        gain = level * rng.uniform(0.75, 1.3) / typical * (0.62 if wet else 1.0)
        self._light = np.asarray(light * around.open[..., None] * np.float32(gain), np.float32)
        dark = {"morning": 0.9, "day": 1.0, "lamp": 0.6, "dim": 0.5}[light_kind] * level / 0.17
        self._still = np.asarray(around.still * light / light[seen].mean() * dark, np.float32)
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
        image = self._weather.expose(np.asarray(picture, np.float32), index, index / self.style.fps)
        identities = np.zeros(self.size_wh[::-1], np.int32)
        found = self._truth(run, identities)
        return BeltFrame(
            image=image,
            boxes=np.array([box for _, box in found], np.float32).reshape(-1, 4),
            labels=tuple(defect.kind for defect, _ in found),
            crack_ids=tuple(defect.identity for defect, _ in found),
            identities=identities,
            belt_m=run,
            time_s=index / self.style.fps,
            index=index,
        )

    def _belt(self, run: float) -> UInt8Image:
        """The belt as the camera sees it, before light."""
        paint = self._paint
        first = int(np.floor((self._low - run) / paint.piece_m - 0.05))
        last = int(np.floor((self._high - run) / paint.piece_m + 0.05))
        pieces = [paint.piece(number) for number in range(first, last + 1)]
        down = -run * paint.ppm - first * paint.rows
        out = np.zeros((*self.size_wh[::-1], 3), np.uint8)
        for level, box, inside, column, row in self._looks:
            source = np.concatenate([piece[level] for piece in pieces])
            place = row + np.float32(down / 2**level)
            found = cv2.remap(source, column, place, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
            cv2.copyTo(found, inside, out[box])
        return out

    def _truth(self, run: float, identities: NDArray[np.int32]) -> list[tuple[Defect, Float64]]:
        """Damage in sight with its boxes; its pixels are marked in `identities`."""
        found = []
        for defect, place in self._paint.near(self._low - run, self._high - run):
            revolution = self._paint.revolution(place)
            centre = np.array([defect.u, place + run])
            outlines = [
                self._pixels(outline + centre)
                for outline in self._paint.outlines(defect, revolution)
            ]
            box = self._mark(identities, outlines, defect.identity)
            if box is not None:
                found.append((defect, box))
        return found

    def _pixels(self, outline: Float64) -> Float64:
        """An outline on the belt as pixels; what lies out of sight is laid on the rim."""
        half = self.style.width_m / 2
        u = np.clip(outline[:, 0], -half, half)
        y = np.clip(outline[:, 1], self._low - 0.02, self._high + 0.02)
        return self.camera.seen(np.stack([u, y], axis=1))

    def _mark(
        self, drawn: NDArray[np.int32], outlines: list[Float64], identity: int
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


def check_size(size_wh: tuple[int, int]) -> None:
    """Refuse pictures that are too small to show a belt, or too large to paint one for."""
    if min(size_wh) < 64 or max(size_wh) > 8192:
        raise InputError(f"size {size_wh[0]}x{size_wh[1]}: each side from 64 to 8192 pixels")


def _around(wanted: BoolMask) -> tuple[tuple[slice, slice], BoolMask]:
    """The rectangle that holds all wanted pixels, and which of its pixels are wanted."""
    ys, xs = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    box = (slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1))
    return box, wanted[box]
