"""Text on dark plates and lines with dark rims: legible on concrete, asphalt, snow and night."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fissura.types import BoolMask, UInt8Image

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

INK: Colour = (255, 255, 255)
RIM: Colour = (16, 20, 26)
FINER = 4
TYPE_COLOURS: dict[str, Colour] = {
    "longitudinal": (77, 195, 255),
    "transverse": (255, 176, 46),
    "diagonal": (146, 230, 82),
    "branched": (255, 128, 188),
}
"""Four hues of like lightness that colour-blind readers can tell apart; labels say the type too."""


def text_size(size_hw: tuple[int, int]) -> int:
    """Height of letters in pixels that reads well on a picture of this size."""
    return max(11, round(0.019 * math.sqrt(size_hw[0] * size_hw[1])))


def line_width(letter: int) -> int:
    """Line thickness that goes with letters of this height."""
    return max(2, round(letter / 9))


@lru_cache(maxsize=16)
def _font(letter: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(letter)


def plate_size(text: str, letter: int) -> tuple[int, int]:
    """Width and height of the plate that `write` draws."""
    left, _, right, _ = _font(FINER * letter).getbbox(text)
    return math.ceil((right - left) / FINER) + letter, round(letter * 1.6)


def write(image: UInt8Image, text: str, box: Box, letter: int, colour: Colour = RIM) -> None:
    """Write text on a dark plate that fills the box, with a stripe of colour at its left."""
    left, top, right, bottom = box
    plate = image[top:bottom, left:right]
    shade = np.full_like(plate, RIM)
    plate[:] = cv2.addWeighted(plate, 0.14, shade, 0.86, 0)
    plate[:, : max(2, letter // 5)] = colour
    _print(image, text, box, letter)


def _print(image: UInt8Image, text: str, box: Box, letter: int) -> None:
    # Small letters drawn large and shrunk keep their shapes and spaces.
    left, top, right, bottom = box
    size_wh = (FINER * (right - left), FINER * (bottom - top))
    sheet = Image.new("L", size_wh)
    middle = ((size_wh[0] + FINER * (letter // 5)) / 2, size_wh[1] / 2)
    ImageDraw.Draw(sheet).text(middle, text, font=_font(FINER * letter), fill=255, anchor="mm")
    size_wh = (right - left, bottom - top)
    share = cv2.resize(np.asarray(sheet), size_wh, interpolation=cv2.INTER_AREA)[..., None] / 255
    place = image[top:bottom, left:right]
    place[:] = np.rint(place * (1 - share) + np.array(INK) * share).astype(np.uint8)


def outline(
    image: UInt8Image,
    region: BoolMask | UInt8Image,
    left_top: tuple[int, int],
    colour: Colour,
    width: int,
) -> None:
    """Draw the rim of a region that lies at left, top: a line that leaves its pixels free."""
    reach = width // 2 + 1 + max(1, width // 2)
    grown = cv2.copyMakeBorder(
        region.astype(np.uint8), reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0
    )
    grown = cv2.dilate(grown, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    offset = (left_top[0] - reach, left_top[1] - reach)
    contours, _ = cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=offset)
    strokes(image, contours, colour, width, closed=True)


def strokes(
    image: UInt8Image, lines: Sequence[Any], colour: Colour, width: int, closed: bool
) -> None:
    """Draw polylines in colour over a wider dark rim, so that they show on any ground."""
    for thickness, paint in ((width + 2 * max(1, width // 2), RIM), (width, colour)):
        cv2.polylines(image, list(lines), closed, paint, thickness, cv2.LINE_AA)


def resized(region: BoolMask, zoom: float) -> UInt8Image:
    """A region as 0 and 1 at another size: shrinking keeps hairlines, growing rounds corners."""
    if zoom == 1:
        return region.astype(np.uint8)
    size_wh = [max(1, round(side * zoom)) for side in region.shape[::-1]]
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    levels = cv2.resize(region.astype(np.uint8) * 255, size_wh, interpolation=method)
    return np.asarray(levels > (0 if zoom < 1 else 127), dtype=np.uint8)


def leader(
    image: UInt8Image, at_xy: tuple[float, float], box: Box, colour: Colour, width: int
) -> None:
    """A line from a place to the nearest edge of its plate, with a dot at the place."""
    x, y = round(at_xy[0]), round(at_xy[1])
    end = (min(max(x, box[0]), box[2] - 1), min(max(y, box[1]), box[3] - 1))
    strokes(image, [np.array([(x, y), end], np.int32)], colour, width, closed=False)
    cv2.circle(image, (x, y), 2 * width + 2, RIM, -1, cv2.LINE_AA)
    cv2.circle(image, (x, y), 2 * width, colour, -1, cv2.LINE_AA)


def ring(image: UInt8Image, at_xy: tuple[float, float], radius: int) -> None:
    """A circle around a place that is too fine to put callipers on."""
    x, y = round(at_xy[0]), round(at_xy[1])
    for paint, thickness in ((RIM, 4), (INK, 2)):
        cv2.circle(image, (x, y), radius, paint, thickness, cv2.LINE_AA)


def callipers(
    image: UInt8Image, at_xy: tuple[float, float], across: tuple[float, float], half: float
) -> None:
    """Two jaws at the crack's edges with arrows that point at them from outside."""
    at, normal = np.array(at_xy), np.array(across)
    along = np.array((-normal[1], normal[0]))
    lines = []
    for way in (-1, 1):
        edge = at + way * half * normal
        tip = edge + way * 42 * normal
        barb = edge + way * 11 * normal
        lines += [(edge - 15 * along, edge + 15 * along), (tip, edge)]
        lines += [(barb - 6 * along, edge), (barb + 6 * along, edge)]
    drawn = [np.rint(np.array(line)).astype(np.int32) for line in lines]
    strokes(image, drawn, INK, 2, closed=False)


def round_length(longest: float) -> float:
    """The greatest of 1, 2, 5 times a power of ten that is not above the given length."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))


def scale_bar(image: UInt8Image, mm_per_px: float, letter: int) -> Box:
    """A bar of a round length at the bottom left; returns the box that it takes."""
    height, width = image.shape[:2]
    length_mm = round_length(mm_per_px * width / 4)
    text = f"{length_mm / 1000:g} m" if length_mm >= 1000 else f"{length_mm:g} mm"
    bar = round(length_mm / mm_per_px)
    text_width = plate_size(text, letter)[0]
    box_width = min(width, max(bar, text_width) + 2 * letter)
    box = (letter, height - round(3.9 * letter), letter + box_width, height - letter)
    write(image, "", box, letter)
    middle = (box[0] + box[2] - text_width) // 2
    label = (middle, box[1], middle + text_width, box[1] + round(1.7 * letter))
    _print(image, text, label, letter)
    left, y = (box[0] + box[2] - bar) // 2, box[3] - round(0.8 * letter)
    tick, thick = letter // 3, max(1, letter // 9)
    for start, end in (
        ((left, y), (left + bar, y)),
        ((left, y - tick), (left, y + tick)),
        ((left + bar, y - tick), (left + bar, y + tick)),
    ):
        cv2.line(image, start, end, INK, thick, cv2.LINE_8)
    return box
