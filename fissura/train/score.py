"""What a validation counts, and the score that it makes of the counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fissura.types import BoolMask, FloatMap

LEVELS = 100


@dataclass(frozen=True)
class Score:
    """Validation of one state of the network.

    `f1` is the mean over data sets of the F1 pooled within each, at the one `threshold` where that
    mean is largest; `precision` and `recall` are pooled over all pictures there. `chance_f1` is the
    `f1` of calling every pixel a crack, `crack_share` the share of pixels above ½. `psnr` is the
    mean over pictures in dB where a network draws enlarged ones.
    """

    f1: float
    threshold: float
    precision: float
    recall: float
    crack_share: float
    chance_f1: float
    psnr: float | None = None

    @property
    def found_nothing(self) -> bool:
        """All background, and no threshold would do better than calling everything a crack."""
        return self.crack_share == 0 and self.f1 < self.chance_f1 + 0.02

    @property
    def best_by(self) -> tuple[Literal["f1"], float]:
        """What decides which state is the best, and how much of it there is."""
        return "f1", self.f1

    def told(self) -> str:
        """For the card."""
        return f"validation F1 {self.f1:.4f} at {self.threshold:g}"


@dataclass(frozen=True)
class ImageScore:
    """Validation where super-resolution alone is trained: mean PSNR over pictures in dB."""

    psnr: float
    threshold: None = None
    found_nothing: bool = False

    @property
    def best_by(self) -> tuple[Literal["psnr"], float]:
        """As `Score.best_by`."""
        return "psnr", self.psnr

    def told(self) -> str:
        """For the card."""
        return f"validation PSNR {self.psnr:.2f} dB"


@dataclass(frozen=True)
class BoxScore:
    """Validation of a detector: mean over classes of the average precision at an overlap of ½.

    `f1` is pooled over classes, at the one `threshold` of score where it is largest; `precision`
    and `recall` are those there. `found_nothing` says that there was no box at all, right or wrong.
    """

    map50: float
    f1: float
    threshold: float
    precision: float
    recall: float
    found_nothing: bool = False

    @property
    def best_by(self) -> tuple[Literal["map50"], float]:
        """As `Score.best_by`."""
        return "map50", self.map50

    def told(self) -> str:
        """For the card."""
        return f"validation mAP50 {self.map50:.4f}, F1 {self.f1:.4f} at {self.threshold:g}"


AnyScore: TypeAlias = Score | ImageScore | BoxScore


def score_line(score: AnyScore) -> dict[str, Any]:
    """The numbers of a score by name, for a log."""
    return {name: value for name, value in vars(score).items() if type(value) is float}


class CrackCounts:
    """Per data set the pixels of background and crack at each level of probability."""

    def __init__(self, sets: Iterable[str]) -> None:
        self._counts = {name: np.zeros((2, LEVELS + 1)) for name in sets}

    def add(self, set_: str, probability: FloatMap, mask: BoolMask) -> None:
        """Count one picture, both H×W."""
        levels = np.minimum((probability * LEVELS).astype(int), LEVELS)
        for truth in (0, 1):
            chosen = levels[mask == bool(truth)]
            self._counts[set_][truth] += np.bincount(chosen, minlength=LEVELS + 1)

    def score(self, psnr: float | None = None) -> Score:
        """Of all pictures so far."""
        return best_f1(np.stack(list(self._counts.values())), psnr)


def best_f1(counts: NDArray[np.float64], psnr: float | None = None) -> Score:
    """`counts` S×2×(LEVELS+1): per set the pixels of background and crack at each level."""
    above = counts[..., ::-1].cumsum(axis=-1)[..., ::-1]  # pixels at or above each level
    false, true = above[:, 0], above[:, 1]
    cracks = counts[:, 1].sum(axis=-1, keepdims=True)
    f1 = (2 * true / np.maximum(true + false + cracks, 1)).mean(axis=0)
    best = int(f1[1:].argmax()) + 1
    found, claimed = true[:, best].sum(), above[..., best].sum()
    return Score(
        f1=float(f1[best]),
        threshold=best / LEVELS,
        precision=float(found / max(claimed, 1)),
        recall=float(found / max(cracks.sum(), 1)),
        crack_share=float(above[..., LEVELS // 2].sum() / counts.sum()),
        chance_f1=float(f1[0]),
        psnr=psnr,
    )
