"""Lengths, speeds and times with units, as people write them: 12m, 36x24mm, 10 km/h, 1/2000."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fissura.types import InputError

LEAST, MOST = 1e-9, 1e9
"""Bounds in mm, mm/s and s: nobody means more, and what is computed from it stays finite."""

MOST_PIXELS = 999_999

_NUMBER = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)"


@dataclass(frozen=True)
class Kind:
    """What is read: its noun, its units as factors to the base unit, and examples."""

    noun: str
    units: Mapping[str, float]
    example: str


LENGTH = Kind("length", {"mm": 1.0, "cm": 10.0, "m": 1000.0}, "1.5m, 120cm or 35mm")
SENSOR = Kind("sensor size", LENGTH.units, "36x24mm")
SPEED = Kind(
    "speed",
    {"m/s": 1e3, "km/h": 1e6 / 3600, "m/min": 1e3 / 60, "cm/s": 10.0, "mm/s": 1.0},
    "3m/s or 10km/h",
)
EXPOSURE = Kind("exposure", {"s": 1.0, "ms": 1e-3, "us": 1e-6, "μs": 1e-6}, "1/2000 or 0.5ms")
PIXELS = Kind("picture size", {}, "6000x4000")


def length_mm(name: str, text: str) -> float:
    """`12m`, `1200 cm`; `name` begins the sentence that refuses anything else."""
    return _read(name, text, LENGTH, text)


def speed_mm_s(name: str, text: str) -> float:
    """`3m/s`, `10 km/h`."""
    return _read(name, text, SPEED, text)


def exposure_s(name: str, text: str) -> float:
    """`1/2000`, `1/2000 s`, `0.5ms`; a fraction without a unit is seconds, as on a camera."""
    fraction = re.fullmatch(_NUMBER + r"\s*/\s*" + _NUMBER + r"\s*s?", text.strip().casefold())
    if fraction is None:
        return _read(name, text, EXPOSURE, text)
    over, under = (float(number) for number in fraction.groups())
    return _within(name, over / under if under else 0.0, EXPOSURE, text)


def sensor_mm(name: str, text: str) -> tuple[float, ...]:
    """`36x24mm`, `36 mm × 24 mm`; a single length is the longer side."""
    sides = _split(text)
    if len(sides) > 2:
        raise _refusal(name, text, SENSOR)
    unit = sides[-1].lstrip("0123456789. ")
    whole = [side + unit if side[-1:].isdecimal() else side for side in sides]
    return tuple(_read(name, side, SENSOR, text) for side in whole)


def pixels_wh(name: str, text: str) -> tuple[int, int]:
    """`6000x4000`."""
    sides = _split(text)
    if len(sides) != 2 or not all(re.fullmatch("[0-9]{1,6}", side) for side in sides):
        raise _refusal(name, text, PIXELS)
    width, height = (int(side) for side in sides)
    if min(width, height) < 1:
        raise _refusal(name, text, PIXELS)
    return width, height


def _split(text: str) -> list[str]:
    return [side.strip() for side in re.split("[x×*]", text.casefold())]


def _read(name: str, part: str, kind: Kind, text: str) -> float:
    found = re.fullmatch(_NUMBER + r"\s*([^\s0-9.].*)", part.strip().casefold())
    factor = kind.units.get(found[2].replace(" ", "")) if found else None
    if found is None or factor is None:
        raise _refusal(name, text, kind)
    return _within(name, float(found[1]) * factor, kind, text)


def _within(name: str, value: float, kind: Kind, text: str) -> float:
    if not LEAST <= value <= MOST:
        wrong = "is not above 0" if value < LEAST else "is beyond measure"
        raise InputError(f"{name} {text!r} {wrong}; write it like {kind.example}")
    return value


def _refusal(name: str, text: str, kind: Kind) -> InputError:
    if "," in text:
        return InputError(
            f"{name} {text!r} has a comma; write decimals with a point and thousands with nothing,"
            f" like {kind.example}"
        )
    units = " with a unit (" + ", ".join(u for u in kind.units if u.isascii()) + ")"
    return InputError(
        f"{name} {text!r} is no {kind.noun}{units if kind.units else ''}; write it like"
        f" {kind.example}"
    )
