"""From pixels to millimetres: a known scale, or one from focal length, sensor and distance."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from fissura.types import InputError, Measures, Quantity, Scale
from fissura.units import length_mm, sensor_mm

Z90 = 1.645
"""Half width of a normal distribution's 90 % interval, in standard deviations."""

STATED_SCALE_UNCERTAINTY = 0.01
FOCAL_UNCERTAINTY = 0.01
SHAPE_TOLERANCE = 0.03
DISTANCE_UNCERTAINTY = 0.02

_FORM = "give FOCAL,SENSOR,DISTANCE with units mm, cm or m, for example 35mm,36x24mm,12m"


def from_mm_per_px(
    mm_per_px: float, relative_uncertainty: float = STATED_SCALE_UNCERTAINTY
) -> Scale:
    """A scale that somebody measured, by default known to 1 % (one standard deviation)."""
    if not (math.isfinite(mm_per_px) and mm_per_px > 0):
        raise InputError(
            f"mm per pixel: {mm_per_px} is not a length above 0; give for example 0.25"
        )
    if not 0 <= relative_uncertainty < 1:
        raise InputError(
            f"mm per pixel: relative uncertainty {relative_uncertainty} lies outside [0, 1)"
        )
    return Scale(mm_per_px, relative_uncertainty, "stated")


def from_camera(focal_mm: float, sensor_w_mm: float, distance_mm: float, width_px: int) -> Scale:
    """The scale in the plane that a camera looks at squarely: sensor pixel × distance / focal.

    The magnification of a thin lens focused at `distance_mm` is focal / (distance - focal). The
    uncertainty assumes a focal length known to 1 % and a distance known to 2 %.
    """
    numbers = {"focal length": focal_mm, "sensor width": sensor_w_mm, "distance": distance_mm}
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"gsd-from: {name} {value} mm is not above 0; {_FORM}")
    if distance_mm <= 2 * focal_mm:
        raise InputError(
            f"gsd-from: distance {distance_mm:g} mm is not beyond twice the focal length "
            f"{focal_mm:g} mm; {_FORM}"
        )
    pixel_mm = sensor_w_mm / width_px
    mm_per_px = pixel_mm * (distance_mm - focal_mm) / focal_mm
    uncertainty = math.hypot(FOCAL_UNCERTAINTY, DISTANCE_UNCERTAINTY)
    origin = f"camera: {focal_mm:g} mm, sensor {sensor_w_mm:g} mm, distance {distance_mm:g} mm"
    return Scale(mm_per_px, uncertainty, origin)


def parse_gsd_from(text: str, size_hw: tuple[int, int]) -> Scale:
    """The scale of a picture of `size_hw` from `FOCAL,SENSOR,DISTANCE`, as "35mm,36x24mm,12m".

    The sensor's longer side lies along the picture's longer side, however the camera was held. The
    picture must be the whole of what the sensor saw; `origin` says where its shape speaks against.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3:
        raise InputError(f"gsd-from: {text!r} has {len(parts)} parts and not three; {_FORM}")
    focal, sensor, distance = parts
    sides = sensor_mm("gsd-from: sensor", sensor)
    scale = from_camera(
        length_mm("gsd-from: focal length", focal),
        max(sides),
        length_mm("gsd-from: distance", distance),
        max(size_hw),
    )
    shape, picture = max(sides) / min(sides), max(size_hw) / max(min(size_hw), 1)
    if abs(picture / shape - 1) <= SHAPE_TOLERANCE:
        return scale
    return replace(scale, origin=f"{scale.origin}; the picture has another shape: cropped?")


def to_mm(px: Measures, scale: Scale) -> Measures:
    """The same measures in mm and mm², their intervals widened by the scale's uncertainty."""
    return Measures(
        length=_scaled(px.length, scale, 1),
        width_mean=_scaled(px.width_mean, scale, 1),
        width_median=_scaled(px.width_median, scale, 1),
        width_max=_scaled(px.width_max, scale, 1),
        area=_scaled(px.area, scale, 2),
    )


def _scaled(quantity: Quantity, scale: Scale, power: int) -> Quantity:
    factor = scale.mm_per_px**power
    unit: Literal["mm", "mm²"] = "mm" if power == 1 else "mm²"
    spread = Z90 * power * scale.relative_uncertainty
    if quantity.value is None:
        high = quantity.high * factor * (1 + spread)
        return Quantity(None, 0.0, high, unit)
    value = quantity.value
    low = value - math.hypot(value - quantity.low, spread * value)
    high = value + math.hypot(quantity.high - value, spread * value)
    return Quantity(value * factor, max(0.0, low) * factor, high * factor, unit)
