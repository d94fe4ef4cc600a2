"""From widths and strands to the quantities of a crack, each with its 90 % interval."""

from __future__ import annotations

import math

import numpy as np

from fissura.measure.scale import Z90
from fissura.measure.strands import Strand
from fissura.measure.width import Widths
from fissura.types import Measures, Quantity

END_PX = 0.8
PATH_SHARE = 0.004


def measures(strands: list[Strand], widths: Widths, area_px: int) -> Measures:
    """All quantities of one crack in pixels; widths below what is resolved carry no value."""
    mean_error = (widths.mean - widths.mean_low, widths.mean_high - widths.mean)
    median = float(np.median(widths.value))
    widest = int(np.argmax(widths.value))
    own = Z90 * float(widths.spread[widest])
    worst = float(widths.value[widest])
    share = (mean_error[0] / max(widths.mean, 1e-9), mean_error[1] / max(widths.mean, 1e-9))
    return Measures(
        length=_length(strands),
        width_mean=_width(widths.mean, *mean_error, widths.resolved),
        width_median=_width(median, *mean_error, widths.resolved),
        width_max=_width(
            worst, math.hypot(mean_error[0], own), math.hypot(mean_error[1], own), widths.resolved
        ),
        area=Quantity(
            float(area_px), max(0.0, area_px * (1 - share[0])), area_px * (1 + share[1]), "px²"
        ),
    )


def _length(strands: list[Strand]) -> Quantity:
    length = sum(strand.length for strand in strands)
    ends = sum(2 - sum(strand.joined) for strand in strands if not strand.closed)
    error = Z90 * math.hypot(END_PX * math.sqrt(ends), PATH_SHARE * length)
    return Quantity(length, max(0.0, length - error), length + error, "px")


def _width(value: float, below: float, above: float, resolved: bool) -> Quantity:
    if not resolved:
        return Quantity(None, 0.0, value + above, "px")
    return Quantity(value, max(0.0, value - below), value + above, "px")
