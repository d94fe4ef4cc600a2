"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fissura.types import Crack, Measures, Quantity

TYPE_WORDS = {
    "longitudinal": "runs along the picture's rows, within about 30° of the x axis",
    "transverse": "runs across them, within about 30° of the y axis",
    "diagonal": "lies between the two",
    "branched": "forks, so that one direction would not describe it",
}


def readable(text: str) -> str:
    """The text with bytes that are no valid UTF-8 spelt out, so that every file can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def number(value: float) -> str:
    """Three significant digits, thousands separated, never in powers of ten."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "unknown"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 4)}f}"


def amount(value: float, unit: str) -> str:
    """Number and unit; metres from 1,000 mm on, square centimetres from 1,000 mm² on."""
    if unit == "mm" and value >= 1000:
        return f"{number(value / 1000)} m"
    if unit == "mm²" and value >= 1000:
        return f"{number(value / 100)} cm²"
    return f"{number(value)} {unit}"


def quantity(measured: Quantity) -> str:
    """The value, or `< bound` where the picture does not resolve it."""
    if measured.value is None:
        return f"< {amount(measured.high, measured.unit)}"
    return amount(measured.value, measured.unit)


def interval(measured: Quantity) -> str:
    """The 90 % interval, `low to high unit`; empty where the value is only bounded."""
    if measured.value is None:
        return ""
    return f"{number(measured.low)} to {number(measured.high)} {measured.unit}"


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
