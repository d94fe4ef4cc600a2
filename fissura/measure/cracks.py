"""From a mask to measured cracks, one connected crack after the other.

Legend: H, W image height and width; h, w those of a crack's box. Only the label map has the size
of the picture; everything else is a crop or follows the skeleton.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.measure.photo import Prior, blur_prior, follow_darkness, look
from fissura.measure.quantities import measures
from fissura.measure.quick import as_rectangle
from fissura.measure.scale import to_mm
from fissura.measure.shape import crack_type, longest_way, orientation_deg
from fissura.measure.skeleton import Junctions, trace_skeleton
from fissura.measure.strands import Strand, Ways, extend, smooth_lines
from fissura.measure.width import Widths, centre_on_map, follow_map, map_widths, usable
from fissura.types import BoolMask, Crack, FloatMap, Scale, UInt8Image

MOST_CRACKS = 3000
"""Beyond so many cracks in one picture the smallest are measured as rectangles."""

TAUGHT_BLUR_SPREAD = 0.2
"""How far ln(sigma) differs between cracks of one picture: depth of field, ragged edges."""


class Blur:
    """What is believed about the photograph's blur; cracks that show it well teach the rest."""

    def __init__(self, blur_px: float | None) -> None:
        self.prior = blur_prior(blur_px)
        self._given = blur_px is not None
        self._seen: list[float] = []

    def learn(self, log_sigma: float | None) -> None:
        """Take note of the blur that one crack showed, unless the blur was given."""
        if log_sigma is not None and not self._given:
            self._seen.append(log_sigma)
            self.prior = Prior(float(np.median(self._seen)), TAUGHT_BLUR_SPREAD)


@dataclass(frozen=True)
class Picture:
    """What a crack is measured on: its map and, where given, the photograph and its blur."""

    crack_map: FloatMap
    image: UInt8Image | None
    blur: Blur


@dataclass(frozen=True)
class Form:
    """A crack's strands and widths, which strands make up its longest way, its junctions."""

    strands: list[Strand]
    widths: Widths
    on_way: NDArray[np.bool_]
    junctions: int


def measure_cracks(
    mask: BoolMask,
    crack_map: FloatMap,
    image: UInt8Image | None = None,
    scale: Scale | None = None,
    blur_px: float | None = None,
    travel_deg: float = 90.0,
) -> tuple[Crack, ...]:
    """Measure every 8-connected crack of the mask, longest first.

    Width and ends are taken from the photograph where it shows them, else from the crack map.
    `blur_px` is the photograph's blur (Gaussian sigma) where known; `travel_deg` the direction
    along which a crack counts as longitudinal.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask).view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    picture = Picture(crack_map, image, Blur(blur_px))
    cracks = []
    for label, in_full in _in_order(np.asarray(stats, np.int32)):
        left, top, width, height = (int(v) for v in stats[label, :4])
        region = np.asarray(labels[top : top + height, left : left + width] == label)
        form = _form(region, (left, top), picture) if in_full else _quick(region, (left, top))
        crack = _crack(region, (left, top), crack_map, form, travel_deg)
        cracks.append(crack if scale is None else replace(crack, mm=to_mm(crack.px, scale)))
    cracks.sort(key=lambda crack: -(crack.px.length.value or 0.0))
    return tuple(replace(crack, id=number) for number, crack in enumerate(cracks, 1))


def _in_order(stats: NDArray[np.int32]) -> list[tuple[int, bool]]:
    """Component numbers, thickest first because they show the blur best, and whether in full."""
    area = stats[1:, cv2.CC_STAT_AREA]
    side = np.maximum(stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT])
    in_full = np.zeros(len(area), bool)
    in_full[np.argsort(-area, kind="stable")[:MOST_CRACKS]] = True
    order = np.argsort(-area / side, kind="stable")
    return [(int(number) + 1, bool(in_full[number])) for number in order]


def _form(region: BoolMask, corner_xy: tuple[int, int], picture: Picture) -> Form:
    skeleton = trace_skeleton(region)
    if skeleton is None:
        return _quick(region, corner_xy)
    junctions = skeleton.junctions.moved(corner_xy)
    cut = smooth_lines(skeleton.lines, corner_xy)
    strands, widths = _strands_and_widths(cut, junctions, picture)
    lengths = np.array([strand.length for strand in strands])
    on_way = longest_way(np.array([line.nodes for line in skeleton.lines]), lengths)
    return Form(strands, widths, on_way, len(junctions))


def _quick(region: BoolMask, corner_xy: tuple[int, int]) -> Form:
    strand, widths = as_rectangle(region, corner_xy)
    return Form([strand], widths, np.ones(1, bool), 0)


def _strands_and_widths(
    cut: list[Strand], junctions: Junctions, picture: Picture
) -> tuple[list[Strand], Widths]:
    """Whole strands and widths: from the photograph if it shows the crack, else from the map.

    A crack that its photograph does not show may be as thin as it likes.
    """
    size_hw = picture.crack_map.shape[0], picture.crack_map.shape[1]
    ways = Ways(follow_map(picture.crack_map))
    if picture.image is not None:
        seen = look(picture.image, cut, junctions, picture.blur.prior)
        if seen is not None:
            picture.blur.learn(seen.widths.log_sigma)
            ways = Ways(ways.map, follow_darkness(picture.image, seen.widths.mean))
            return [extend(strand, ways, size_hw) for strand in seen.strands], seen.widths
    centred = [centre_on_map(strand, picture.crack_map, junctions) for strand in cut]
    whole = [extend(strand, ways, size_hw) for strand in centred]
    reach = 1.5 * max(float(strand.half_width.max()) for strand in whole) + 6.0
    widths = map_widths(usable(whole, junctions), picture.crack_map, reach)
    return whole, widths if picture.image is None else replace(widths, mean_low=0.0)


def _crack(
    region: BoolMask,
    corner_xy: tuple[int, int],
    crack_map: FloatMap,
    form: Form,
    travel_deg: float,
) -> Crack:
    lengths = np.array([strand.length for strand in form.strands])
    way = [strand.path for strand, on in zip(form.strands, form.on_way, strict=True) if on]
    angle = orientation_deg(np.concatenate(way))
    off_way = 1 - lengths[form.on_way].sum() / max(lengths.sum(), 1e-9)
    left, top = corner_xy
    height, width = region.shape
    inside = crack_map[top : top + height, left : left + width][region]
    widest = form.widths.xy[int(np.argmax(form.widths.value))]
    return Crack(
        id=1,
        box=(left, top, left + width, top + height),
        type=crack_type(angle, off_way, travel_deg),
        orientation_deg=angle,
        branches=len(form.strands),
        junctions=form.junctions,
        probability=float(inside.mean(dtype=np.float64)),
        max_width_at_xy=(float(widest[0]), float(widest[1])),
        px=measures(form.strands, form.widths, len(inside)),
        mm=None,
        region=region,
        centrelines=tuple(strand.path.astype(np.float32) for strand in form.strands),
        width_source=form.widths.source,
    )
