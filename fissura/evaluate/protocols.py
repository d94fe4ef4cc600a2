"""Named ways of scoring, so that two figures are compared only if they mean the same.

A further protocol is one more entry of PROTOCOLS; a score that none has used yet is one function in
`fissura.metrics.segmentation` and its line in POINT_SCORES or CURVE_SCORES.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fissura.metrics import Thresholds
from fissura.types import InputError

Average = Literal["pooled", "per_image"]
Criterion = Literal["f1", "iou"]
Rule = Literal["validation", "fixed", "best"]

TOLERANCE = (
    "Within t px: pixel centres at most t apart (Euclid). Precision counts predicted pixels that"
    " lie within t of a truth pixel, recall truth pixels that lie within t of a predicted pixel;"
    " no one-to-one matching."
)


@dataclass(frozen=True)
class Protocol:
    """One way of scoring.

    `rule` says where the threshold comes from: the validation part of the training data, `fixed`
    below, or the best one on the scored pictures themselves. `point_scores` are taken at that
    threshold, pooled or averaged over pictures; `curve_scores` look at all thresholds. `stored`
    is how a map is rounded before it is thresholded; `empty` the IoU of a class that is neither
    predicted nor there; `region` whether a mask of the area to be scored belongs to the data.
    """

    sentence: str
    source: str
    thresholds: Thresholds
    rule: Rule
    point_scores: tuple[str, ...]
    curve_scores: tuple[str, ...] = ()
    fixed: float | None = None
    criterion: Criterion = "f1"
    tolerances: tuple[float, ...] = (0,)
    averages: tuple[Average, ...] = ("pooled",)
    stored: Literal["as given", "8-bit truncated"] = "as given"
    empty: float = 1.0
    region: bool = False

    def encode(self, prediction: NDArray[Any]) -> NDArray[Any]:
        """The map as this protocol stores it: float in [0, 1], or whole numbers of full range."""
        if self.stored == "as given" or prediction.dtype == np.uint8:
            return prediction
        if prediction.dtype == np.uint16:
            return (prediction // 257).astype(np.uint8)
        return (prediction.astype(np.float32) * np.float32(255)).astype(np.uint8)


PROTOCOLS: dict[str, Protocol] = {
    "honest": Protocol(
        sentence=(
            "The threshold is chosen on the validation part of the training data by pooled F1 (or"
            " IoU) and the test pictures only confirm it; scores pooled and per picture, at 0, 2"
            " and 5 px, with bootstrap intervals over pictures."
        ),
        source="fissura",
        thresholds=Thresholds(tuple(k / 1000 for k in range(1000))),
        rule="validation",
        point_scores=("precision", "recall", "f1", "crack_iou", "mean_iou"),
        curve_scores=("ods", "ois", "ap", "aiu"),
        tolerances=(0, 2, 5),
        averages=("pooled", "per_image"),
    ),
    "liu2019-release": Protocol(
        sentence=(
            "8-bit maps (truncated), 100 thresholds 0.00 to 0.99 passed strictly, counts summed"
            " over all pictures, no tolerance; the threshold is the one of best F on the scored"
            " pictures, so the figures flatter."
        ),
        source="Evaluation code released with DeepCrack, Liu et al., Neurocomputing 338, 2019",
        thresholds=Thresholds(tuple(float(t) for t in np.arange(0.0, 1.0, 0.01))),
        rule="best",
        point_scores=("precision", "recall", "f1", "accuracy", "class_accuracy", "mean_iou"),
        curve_scores=("ods", "best_mean_iou"),
        stored="8-bit truncated",
        empty=np.nan,
    ),
    "mmseg": Protocol(
        sentence=(
            "The class of the larger logit (crack where p > 0.5, ties are background), counts"
            " summed over all pictures, mean over the two classes."
        ),
        source="IoUMetric of mmsegmentation, as crack_gauge uses it",
        thresholds=Thresholds((0.5,)),
        rule="fixed",
        fixed=0.5,
        point_scores=("mean_iou", "crack_iou", "background_iou", "accuracy", "class_accuracy"),
        empty=np.nan,
    ),
}


def find_protocols(name: str) -> dict[str, Protocol]:
    """The protocol of that name, or all of them for `all`."""
    if name == "all":
        return PROTOCOLS
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: all, {', '.join(PROTOCOLS)}"
        raise InputError(f"unknown protocol '{name}'; {hint}")
    return {name: PROTOCOLS[name]}
