"""Do two ways of running one network give the same numbers?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fissura.types import UInt8Image

TOLERANCE = 1e-4
SIZES_HW = ((64, 96), (1, 1), (37, 53), (97, 131), (200, 33), (225, 224))
"""Sizes tried by default: multiples of the stride, odd ones, and a single pixel."""

Run = Callable[[UInt8Image], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Agreement:
    """The largest difference found, in units of the largest output (at least 1), and where."""

    largest_difference: float
    size_hw: tuple[int, int]
    output: str
    pictures: int

    @property
    def ok(self) -> bool:
        """Whether the difference stays within the tolerance of 1e-4."""
        return self.largest_difference <= TOLERANCE

    def __str__(self) -> str:
        height, width = self.size_hw
        return (
            f"largest difference {self.largest_difference:.1e} over {self.pictures} pictures"
            f" (output {self.output!r}, {height}×{width}; allowed {TOLERANCE:.0e})"
        )


def compare(first: Run, second: Run, pictures: Iterable[UInt8Image]) -> Agreement:
    """Runs both on every picture; shapes and output names must be the same."""
    found: list[tuple[float, tuple[int, int], str]] = []
    count = 0
    for picture in pictures:
        count += 1
        height, width = picture.shape[:2]
        one, two = first(picture), second(picture)
        _require_same_form(one, two)
        found += [(difference(one[name], two[name]), (height, width), name) for name in one]
    largest, size_hw, output = max(found)
    return Agreement(largest, size_hw, output, count)


def difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Largest absolute difference over the larger of 1 and the largest value; infinite for NaN."""
    gap = float(np.max(np.abs(first - second)))
    scale = max(1.0, float(np.max(np.abs(first))))
    return gap / scale if np.isfinite(gap) and np.isfinite(scale) else float("inf")


def random_pictures(seed: int = 0) -> list[UInt8Image]:
    """One picture of noise per size in `SIZES_HW`, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES_HW]


def _require_same_form(
    one: Mapping[str, NDArray[np.float32]], two: Mapping[str, NDArray[np.float32]]
) -> None:
    forms = [{name: values.shape for name, values in outputs.items()} for outputs in (one, two)]
    if forms[0] != forms[1]:
        raise ValueError(f"outputs differ in name or shape: {forms[0]} and {forms[1]}")
