"""A result drawn on its picture, whole or close up."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.report.parts import plates
from fissura.report.parts.boxes import draw_boxes
from fissura.report.parts.files import needed
from fissura.report.parts.plates import Box
from fissura.report.parts.words import best, bound, quantity
from fissura.types import BoolMask, Crack, Result, UInt8Image

MAX_LABELS = 24
"""Only so many of the longest cracks get a label, so that crazed pictures stay readable."""

FULL_LABELS_SHARE = 0.12
"""Share of a picture that labels with figures may cover; further cracks get their number only."""

MAX_HIDDEN = 0.04
"""Share of a label's plate that may lie on cracks."""

DIRECTIONS = ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))


def draw_result(
    result: Result,
    max_side: int | None = None,
    max_zoom: float = 1.0,
    letter: int | None = None,
) -> UInt8Image:
    """The picture, or where a network enlarged it the enlarged one, with its cracks outlined.

    Fitted to `max_side` where given: larger pictures shrink, smaller ones grow up to `max_zoom`.
    `letter` is the height of letters in pixels, by default what suits the size.
    """
    picture: UInt8Image = needed(result, "image", "an overlay")
    picture = picture if result.enlarged is None else result.enlarged
    times = picture.shape[0] / result.size_hw[0]
    zoom = min(max_zoom * times, (max_side or max(picture.shape)) / max(result.size_hw))
    canvas = resized(picture, zoom / times)
    letter = letter or plates.text_size(canvas.shape[:2])
    busy = np.zeros(canvas.shape[:2], np.uint8)
    for crack in result.cracks:
        region = plates.resized(crack.region, zoom)
        left, top = (round(edge * zoom) for edge in crack.box[:2])
        colour = plates.TYPE_COLOURS[crack.type]
        plates.outline(canvas, region, (left, top), colour, plates.line_width(letter))
        part = busy[top : top + region.shape[0], left : left + region.shape[1]]
        np.maximum(part, region[: part.shape[0], : part.shape[1]], out=part)
    if result.detections is not None:
        draw_boxes(canvas, result.detections, zoom, letter)
    taken = _corner_notes(canvas, result, zoom, letter)
    longest_first = sorted(result.cracks, key=lambda crack: -bound(crack.px.length))
    _write_labels(canvas, longest_first[:MAX_LABELS], zoom, letter, busy, taken)
    return canvas


def resized(picture: UInt8Image, zoom: float) -> UInt8Image:
    """A copy of the picture at another size, ready to be drawn on."""
    if zoom == 1:
        return np.ascontiguousarray(picture).copy()
    size_wh = [max(1, round(side * zoom)) for side in picture.shape[1::-1]]
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(picture, size_wh, interpolation=method), np.uint8)


def _corner_notes(canvas: UInt8Image, result: Result, zoom: float, letter: int) -> list[Box]:
    height, width = canvas.shape[:2]
    taken: list[Box] = []
    note = _note(result)
    if note:
        box = _inside((letter, letter), plates.plate_size(note, letter), (height, width))
        if box:
            plates.write(canvas, note, box, letter)
            taken.append(box)
    if result.scale and min(height, width) >= 12 * letter:
        taken.append(plates.scale_bar(canvas, result.scale.mm_per_px / zoom, letter))
    return taken


def _note(result: Result) -> str:
    """A frame's number and time, or that a picture shows nothing."""
    told = [f"frame {result.frame_index}"] if result.sequence is not None else []
    told += [f"{result.time_s:.2f} s"] if result.time_s is not None else []
    if told:
        return ", ".join(told)
    if result.detections is None:
        return "" if result.cracks else "No crack found"
    return "" if len(result.detections.labels) else "Nothing found"


def _inside(
    left_top: tuple[float, float], size_wh: tuple[int, int], canvas_hw: tuple[int, int]
) -> Box | None:
    """The box moved into the canvas, or None where it is larger than that."""
    (left, top), (width, height) = left_top, size_wh
    if width > canvas_hw[1] or height > canvas_hw[0]:
        return None
    left = round(min(max(0, left), canvas_hw[1] - width))
    top = round(min(max(0, top), canvas_hw[0] - height))
    return left, top, left + width, top + height


def _write_labels(
    canvas: UInt8Image,
    cracks: list[Crack],
    zoom: float,
    letter: int,
    busy: NDArray[np.uint8],
    taken: list[Box],
) -> None:
    """Label the longest cracks in full while there is room, others by number, lines below text."""
    room, chosen = FULL_LABELS_SHARE * busy.size, []
    for crack in cracks:
        at_xy = (crack.max_width_at_xy[0] * zoom, crack.max_width_at_xy[1] * zoom)
        for text, allowed in ((_figures(crack), room > 0), (f"#{crack.id}", True)):
            box = _free_place(at_xy, text, letter, busy, taken) if allowed else None
            if box:
                room -= (box[2] - box[0]) * (box[3] - box[1])
                taken.append(box)
                chosen.append((text, box, plates.TYPE_COLOURS[crack.type]))
                plates.leader(canvas, at_xy, box, chosen[-1][2], plates.line_width(letter))
                break
    for text, box, colour in chosen:
        plates.write(canvas, text, box, letter, colour)


def _figures(crack: Crack) -> str:
    measures = best(crack)
    width = quantity(measures.width_max)
    return f"#{crack.id}  {quantity(measures.length)} long, {width} wide"


def _free_place(
    at_xy: tuple[float, float],
    text: str,
    letter: int,
    busy: NDArray[np.uint8],
    taken: list[Box],
) -> Box | None:
    """The nearest free box for a text, where it hides little of any crack."""
    places = _places(at_xy, plates.plate_size(text, letter), letter, busy.shape[:2])
    free = [box for box in places if not any(_overlap(box, other) for other in taken)]
    best_place = min(free, key=lambda box: _cost(busy, box), default=None)
    hidden = _cost(busy, best_place) if best_place else 1
    return best_place if hidden <= MAX_HIDDEN else None


def _places(
    at_xy: tuple[float, float], size_wh: tuple[int, int], letter: int, canvas_hw: tuple[int, int]
) -> Iterable[Box]:
    (x, y), (width, height) = at_xy, size_wh
    for distance in (1.5 * letter, 3.5 * letter, 6.5 * letter):
        for right, down in DIRECTIONS:
            left = x + right * (distance + width / 2) - width / 2
            top = y + down * (distance + height / 2) - height / 2
            box = _inside((left, top), size_wh, canvas_hw)
            if box and not _overlap(box, (round(x), round(y), round(x) + 1, round(y) + 1)):
                yield box


def _overlap(one: Box, other: Box) -> bool:
    apart = one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]
    return not apart


def _cost(busy: NDArray[np.uint8], box: Box) -> float:
    """Cracked share that a plate would hide; equal costs keep the nearest place."""
    return round(float(busy[box[1] : box[3], box[0] : box[2]].mean()), 2)


def draw_close_up(result: Result, crack: Crack, side: int = 240) -> UInt8Image:
    """A square of `side` pixels around the crack's widest place, its width between callipers."""
    picture: UInt8Image = needed(result, "image", "a close-up")
    reach = max(48, math.ceil(7 * bound(crack.px.width_max)))
    reach = min(reach, max(8, min(result.size_hw)))
    left, top = (
        min(max(0, round(centre - reach / 2)), max(0, length - reach))
        for centre, length in zip(crack.max_width_at_xy, result.size_hw[::-1], strict=True)
    )
    crop = picture[top : top + reach, left : left + reach]
    zoom = side / reach
    canvas = resized(crop, zoom)
    region = plates.resized(_window(crack, left, top, crop.shape[:2]), zoom)
    plates.outline(canvas, region, (0, 0), plates.TYPE_COLOURS[crack.type], 2)
    at_xy = (crack.max_width_at_xy[0] - left, crack.max_width_at_xy[1] - top)
    at_xy = (at_xy[0] * zoom, at_xy[1] * zoom)
    if crack.px.width_max.value is None:
        plates.ring(canvas, at_xy, side // 12)
    else:
        plates.callipers(canvas, at_xy, _across_xy(crack), crack.px.width_max.value / 2 * zoom)
    return canvas


def _window(crack: Crack, left: int, top: int, size_hw: tuple[int, int]) -> BoolMask:
    """The crack's pixels inside a window of the picture."""
    window = np.zeros(size_hw, bool)
    x0, y0 = max(left, crack.box[0]), max(top, crack.box[1])
    x1, y1 = min(left + size_hw[1], crack.box[2]), min(top + size_hw[0], crack.box[3])
    if x1 > x0 and y1 > y0:
        inside = crack.region[
            y0 - crack.box[1] : y1 - crack.box[1], x0 - crack.box[0] : x1 - crack.box[0]
        ]
        window[y0 - top : y1 - top, x0 - left : x1 - left] = inside
    return window


def _across_xy(crack: Crack) -> tuple[float, float]:
    """Unit vector across the crack at its widest place, from the nearest stretch of skeleton."""
    at, nearest, along = np.array(crack.max_width_at_xy), math.inf, np.array((1.0, 0.0))
    for line in crack.centrelines:
        if len(line) < 2:
            continue
        distances = np.hypot(*(line - at).T)
        i = int(distances.argmin())
        if distances[i] < nearest:
            nearest = float(distances[i])
            along = line[min(i + 4, len(line) - 1)] - line[max(i - 4, 0)]
    length = float(np.hypot(*along)) or 1.0
    return -float(along[1]) / length, float(along[0]) / length
