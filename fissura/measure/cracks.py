"""From a mask to measured cracks, one connected crack after the other.

Legend: H, W image height and width; h, w those of a crack's box. Only the label map has the size
of the picture; everything else is a crop or follows the skeleton.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.measure.paths import Points
from fissura.measure.photo import Prior, blur_prior, follow_darkness, look
from fissura.measure.quantities import measures
from fissura.measure.scale import to_mm
from fissura.measure.shape import crack_type, longest_way, orientation_deg
from fissura.measure.skeleton import trace_skeleton
from fissura.measure.strands import Strand, extend, smooth_line
from fissura.measure.width import Widths, follow_map, map_widths, usable
from fissura.types import BoolMask, Crack, FloatMap, Scale, UInt8Image

TAUGHT_BLUR_SPREAD = 0.2
"""How far ln(sigma) differs between cracks of one picture: depth of field, ragged edges."""


@dataclass(frozen=True)
class Picture:
    """What a crack is measured on: its map and, where given, the photograph and its blur."""

    crack_map: FloatMap
    image: UInt8Image | None
    blur: Blur


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
    for label in _thickest_first(stats):
        left, top, width, height = (int(v) for v in stats[label, :4])
        region = labels[top : top + height, left : left + width] == label
        crack = _measure(region, (left, top), picture, travel_deg)
        cracks.append(crack if scale is None else replace(crack, mm=to_mm(crack.px, scale)))
    cracks.sort(key=lambda crack: -(crack.px.length.value or 0.0))
    return tuple(replace(crack, id=number) for number, crack in enumerate(cracks, 1))


def _thickest_first(stats: NDArray[np.int32]) -> list[int]:
    """Component numbers by area over longer side: wide cracks show the blur best."""
    side = np.maximum(stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT])
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA] / side, kind="stable")
    return [int(number) + 1 for number in order]


def _measure(
    region: BoolMask, corner_xy: tuple[int, int], picture: Picture, travel_deg: float
) -> Crack:
    skeleton = trace_skeleton(region)
    junctions = skeleton.junctions + np.array([*corner_xy, 0.0])
    cut = [smooth_line(line, corner_xy) for line in skeleton.lines]
    strands, widths = _strands_and_widths(cut, junctions, picture)
    lengths = np.array([strand.length for strand in strands])
    way = longest_way(np.array([line.nodes for line in skeleton.lines]), lengths)
    angle = orientation_deg(
        np.concatenate([s.path for s, on in zip(strands, way, strict=True) if on])
    )
    off_way = 1 - lengths[way].sum() / max(lengths.sum(), 1e-9)
    left, top = corner_xy
    height, width = region.shape
    inside = picture.crack_map[top : top + height, left : left + width][region]
    widest = int(np.argmax(widths.value))
    return Crack(
        id=1,
        box=(left, top, left + width, top + height),
        type=crack_type(angle, off_way, travel_deg),
        orientation_deg=angle,
        branches=len(strands),
        junctions=len(junctions),
        probability=float(inside.mean(dtype=np.float64)),
        max_width_at_xy=(float(widths.xy[widest, 0]), float(widths.xy[widest, 1])),
        px=measures(strands, widths, len(inside)),
        mm=None,
        region=region,
        centrelines=_centrelines(strands),
    )


def _strands_and_widths(
    cut: list[Strand], junctions: Points, picture: Picture
) -> tuple[list[Strand], Widths]:
    """Whole strands and widths: from the photograph if it shows the crack, else from the map."""
    size_hw = picture.crack_map.shape[0], picture.crack_map.shape[1]
    if picture.image is not None:
        seen = look(picture.image, cut, junctions, picture.blur.prior)
        if seen is not None:
            picture.blur.learn(seen.widths.log_sigma)
            follow = follow_darkness(picture.image, seen.widths.mean)
            return [extend(strand, follow, size_hw) for strand in seen.strands], seen.widths
    whole = [extend(strand, follow_map(picture.crack_map), size_hw) for strand in cut]
    reach = 1.5 * float(max(np.percentile(s.half_width, 95) for s in whole)) + 6.0
    return whole, map_widths(usable(whole, junctions), picture.crack_map, reach)


def _centrelines(strands: list[Strand]) -> tuple[NDArray[np.float32], ...]:
    return tuple(strand.path.astype(np.float32) for strand in strands)
