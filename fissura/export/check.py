"""Do two ways of running one network give the same numbers?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fissura.synth import BeltScene, CrackSpec, render_crack
from fissura.types import UInt8Image
from fissura.weights import ModelCard

TOLERANCE = 1e-4
SIZES_HW = ((64, 96), (1, 1), (37, 53), (97, 131), (200, 33), (113, 112))
"""Sizes tried by default: multiples of the stride, odd ones, and a single pixel."""

DETECTOR_SIZES_HW = ((64, 64), (64, 160), (192, 96))
"""The same for detectors, whose stride is 32."""

CRACK_HW = (96, 128)
"""Of the rendered picture that is tried beside noise."""

MOST_TRIES = 6

Run = Callable[[UInt8Image], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Agreement:
    """The largest difference found, in units of the largest output (at least 1), and where.

    99 % of all values differ by no more than `p99_difference`. An `approximation` says what it
    is, and must be finite.
    """

    largest_difference: float
    size_hw: tuple[int, int]
    output: str
    pictures: int
    p99_difference: float
    approximation: str = ""

    @property
    def ok(self) -> bool:
        """Whether the difference stays within the tolerance of 1e-4, or at all finite."""
        if self.approximation:
            return bool(np.isfinite(self.largest_difference))
        return self.largest_difference <= TOLERANCE

    def __str__(self) -> str:
        height, width = self.size_hw
        over = f"over {self.pictures} picture{'s' * (self.pictures != 1)}"
        if self.approximation:
            return (
                f"{self.approximation}: largest difference {self.largest_difference:.1e},"
                f" 99 % within {self.p99_difference:.1e}, {over} (output"
                f" {self.output!r}, {height}×{width})"
            )
        return (
            f"largest difference {self.largest_difference:.1e} {over}"
            f" (output {self.output!r}, {height}×{width}; allowed {TOLERANCE:.0e})"
        )


def compare(first: Run, second: Run, pictures: Iterable[UInt8Image]) -> Agreement:
    """Runs both on every picture; shapes and output names must be the same."""
    found: list[tuple[float, tuple[int, int], str]] = []
    gaps: list[NDArray[np.float32]] = []
    count = 0
    for picture in pictures:
        count += 1
        height, width = picture.shape[-3:-1]
        one, two = first(picture), second(picture)
        _require_same_form(one, two)
        for name in one:
            gaps.append(differences(one[name], two[name]).ravel())
            found.append((float(gaps[-1].max()), (height, width), name))
    largest, size_hw, output = max(found)
    p99 = float(np.quantile(np.concatenate(gaps), 0.99, method="higher"))
    return Agreement(largest, size_hw, output, count, p99)


def by_probability(run: Run) -> Run:
    """The same with the logits turned to probabilities, for networks made of these."""

    def bounded(image: UInt8Image) -> Mapping[str, NDArray[np.float32]]:
        outputs = dict(run(image))
        logits = outputs.pop("logits")
        outputs["probability"] = np.asarray(1 / (1 + np.exp(-logits)), np.float32)
        return outputs

    return bounded


def without_flips(first: Run, second: Run) -> list[UInt8Image]:
    """For every size the first noise on which both agree, or the last of several.

    A network that puts values where maxima stood is not continuous: where two values are equal up
    to rounding, two engines may take either, and all around changes. Both are right then. What
    differs in more than rounding agrees on no noise.
    """
    pictures = random_pictures()
    flipped = list(range(len(pictures)))
    for seed in range(1, MOST_TRIES):
        flipped = [i for i in flipped if not compare(first, second, [pictures[i]]).ok]
        others = random_pictures(seed)
        for i in flipped:
            pictures[i] = others[i]
    return pictures


def differences(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Absolute differences over the larger of 1 and the largest value; infinite for NaN."""
    scale = np.maximum(np.float32(1), np.max(np.abs(first)))
    with np.errstate(invalid="ignore"):
        gaps: NDArray[np.float32] = np.abs(first - second) / scale
    return np.where(np.isfinite(gaps) & np.isfinite(scale), gaps, np.float32(np.inf))


def difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The largest of `differences`."""
    return float(differences(first, second).max())


def random_pictures(seed: int = 0) -> list[UInt8Image]:
    """One picture of noise per size in `SIZES_HW`, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES_HW]


def random_clips(frames: int, sizes_hw: Sequence[tuple[int, int]]) -> list[UInt8Image]:
    """Noise for a detector, one array per size: pictures, or T×H×W×3 for one of T frames."""
    rng = np.random.default_rng(0)
    times = (frames,) if frames > 1 else ()
    return [rng.integers(0, 256, (*times, *size, 3), np.uint8) for size in sizes_hw]


def rendered(card: ModelCard) -> list[UInt8Image]:
    """A picture as the network is made for, or a clip."""
    if not card.classes:
        return [render_crack(CrackSpec(size_hw=CRACK_HW), seed=0).image]
    height, width = card.network_hw
    scene = BeltScene(0, (width, height), card.frames)
    frames = [frame.image for frame in scene]
    return [np.stack(frames) if card.frames > 1 else frames[0]]


def _require_same_form(
    one: Mapping[str, NDArray[np.float32]], two: Mapping[str, NDArray[np.float32]]
) -> None:
    forms = [{name: values.shape for name, values in outputs.items()} for outputs in (one, two)]
    if forms[0] != forms[1]:
        raise ValueError(f"outputs differ in name or shape: {forms[0]} and {forms[1]}")
