"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fissura.types import Crack, Measures, Quantity

TYPE_WORDS = {
    "longitudinal": "along the direction of travel, taken as up the picture, within 30°",
    "transverse": "across the direction of travel, within 30°",
    "diagonal": "between the two",
    "branched": "forks, with a good part of its length off the longest way through",
}


def readable(text: str) -> str:
    """The text with bytes that are no valid UTF-8 spelt out, so that every file can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def decimals(value: float, doubt: float = 0.0) -> int:
    """Decimals that show three digits of a value, but none much finer than its doubt."""
    digits = 2 - _magnitude(value)
    if doubt > 0:
        digits = min(digits, -_magnitude(doubt / 2))
    return min(max(0, digits), 4)


def _magnitude(value: float) -> int:
    finite = value != 0 and math.isfinite(value)
    return math.floor(math.log10(abs(value))) if finite else 2


def amount(value: float, unit: str, doubt: float = 0.0) -> str:
    """Number and unit; metres from 1,000 mm on, square centimetres from 1,000 mm² on."""
    larger = {"mm": ("m", 1000.0), "mm²": ("cm²", 100.0)}.get(unit)
    if larger and value >= 1000:
        (unit, divisor), value = larger, value / larger[1]
        doubt /= divisor
    return f"{value:,.{decimals(value, doubt)}f} {unit}"


def quantity(measured: Quantity) -> str:
    """The value, or `< bound`, rounded up, where the picture does not resolve it."""
    if measured.value is None:
        digits = max(0, 1 - _magnitude(measured.high))
        high = math.ceil(measured.high * 10**digits - 1e-9) / 10**digits
        return f"< {high:,.{digits}f} {measured.unit}"
    return amount(measured.value, measured.unit, (measured.high - measured.low) / 2)


def interval(measured: Quantity) -> str:
    """The 90 % interval, `low to high unit`; empty where the value is only bounded."""
    if measured.value is None:
        return ""
    digits = decimals(measured.high, (measured.high - measured.low) / 2)
    return f"{measured.low:,.{digits}f} to {measured.high:,.{digits}f} {measured.unit}"


def best(crack: Crack) -> Measures:
    """A crack's measures in mm where the scale is known, in px otherwise."""
    return crack.mm or crack.px


def bound(measured: Quantity) -> float:
    """The value, or its upper bound where it is not resolved: what sorting goes by."""
    return measured.high if measured.value is None else measured.value


def total(measured: Iterable[Quantity]) -> float:
    """The sum of what is resolved."""
    return sum(one.value or 0.0 for one in measured)


def rank(measured: Quantity) -> tuple[bool, float]:
    """Sorts resolved values above unresolved ones, each by size."""
    return measured.value is not None, bound(measured)


def plain(value: Any) -> Any:
    """The value as JSON holds it: numpy numbers unwrapped, floats rounded, others as text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {readable(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 7) if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else readable(str(value))
