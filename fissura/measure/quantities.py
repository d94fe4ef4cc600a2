"""From widths and strands to the quantities of a crack, each with its 90 % interval."""

from __future__ import annotations

import math

import numpy as np

from fissura.measure.scale import Z90
from fissura.measure.strands import Strand
from fissura.measure.width import Widths
from fissura.types import Measures, Quantity, WidthSource

PATH_SHARE = 0.003
"""Standard deviation of a path's length from what wobble is left or smoothed away."""


def measures(strands: list[Strand], widths: Widths, area_px: int) -> Measures:
    """All quantities of one crack in pixels; widths that are not resolved carry no value."""
    below, above = widths.mean - widths.mean_low, widths.mean_high - widths.mean
    widest = int(np.argmax(widths.value))
    own = Z90 * float(widths.spread[widest])
    length = _length(strands, widths.ends, widths.source)
    return Measures(
        length=length,
        width_mean=_width(widths.mean, below, above, widths.resolved),
        width_median=_width(float(np.median(widths.value)), below, above, widths.resolved),
        width_max=_width(
            float(widths.value[widest]),
            math.hypot(below, own),
            math.hypot(above, own),
            widths.resolved,
        ),
        area=_area(length, widths, area_px),
    )


def _area(length: Quantity, widths: Widths, area_px: int) -> Quantity:
    """Length times mean width as the photograph shows them, or the count of the mask's pixels."""
    if widths.source == "photograph" and length.value is not None:
        area = length.value * widths.mean
    else:
        area = float(area_px)
    mean = max(widths.mean, 1e-9)
    low = area * max(0.0, 1 - (widths.mean - widths.mean_low) / mean)
    high = area * (1 + (widths.mean_high - widths.mean) / mean)
    told = widths.resolved or widths.source == "map"
    return Quantity(area if told else None, low, high, "px²")


def _length(strands: list[Strand], ends_px: tuple[float, float], source: WidthSource) -> Quantity:
    """Sum of the branches. A map's ends err the same way, a photograph's each on its own."""
    length = sum(strand.length for strand in strands)
    free = sum(2 - sum(strand.joined) for strand in strands if not strand.closed)
    times = free if source == "map" else math.sqrt(free)
    wander = Z90 * PATH_SHARE * length
    low = length - math.hypot(times * ends_px[0], wander)
    high = length + math.hypot(times * ends_px[1], wander)
    return Quantity(length, max(0.0, low), high, "px")


def _width(value: float, below: float, above: float, resolved: bool) -> Quantity:
    if not resolved:
        return Quantity(None, 0.0, value + above, "px")
    return Quantity(value, max(0.0, value - below), value + above, "px")
