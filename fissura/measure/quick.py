"""A quick measure for pictures with thousands of specks: the rectangle with the same moments."""

from __future__ import annotations

import numpy as np

from fissura.measure.paths import Points
from fissura.measure.shape import orientation_deg
from fissura.measure.strands import Strand
from fissura.measure.width import (
    MAP_ENDS_PX,
    MAP_RESOLVES_PX,
    MAP_TOO_NARROW_PX,
    MAP_TOO_WIDE_PX,
    Widths,
)
from fissura.types import BoolMask


def as_rectangle(region: BoolMask, corner_xy: tuple[int, int]) -> tuple[Strand, Widths]:
    """The straight line and the width of the rectangle with the region's area and spread."""
    rows, columns = np.nonzero(region)
    points: Points = np.stack([columns, rows], axis=1).astype(np.float64) + 0.5
    centre = points.mean(axis=0)
    angle = np.radians(orientation_deg(points))
    direction = np.array([np.cos(angle), -np.sin(angle)])
    length = float(np.sqrt(12 * ((points - centre) @ direction).var() + 1))
    path = centre + np.outer([-0.5, 0.5], length * direction) + corner_xy
    width = len(points) / length
    widths = Widths(
        xy=path[:1],
        value=np.array([width]),
        spread=np.array([1.0]),
        mean=width,
        mean_low=max(0.0, width - MAP_TOO_WIDE_PX),
        mean_high=width + MAP_TOO_NARROW_PX,
        resolved=width >= MAP_RESOLVES_PX,
        source="map",
        ends=MAP_ENDS_PX,
    )
    return Strand(path, np.full(2, width / 2), (False, False), False), widths
