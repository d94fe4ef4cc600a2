"""Named ways of scoring, so that two figures are compared only if they mean the same.

A further protocol is one more entry of PROTOCOLS; a score that none has used yet is one function in
`fissura.metrics` and its line in POINT_SCORES or CURVE_SCORES.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fissura.metrics import CrackCounts, Thresholds, code_histograms, matched_histograms
from fissura.types import InputError

Average = Literal["pooled", "per_image", "spread"]
Criterion = Literal["f1", "iou"]
Rule = Literal["validation", "fixed", "best"]
Matching = Literal["nearby", "one-to-one"]
Stored = Literal["as given", "8-bit truncated", "float32"]

TOLERANCE: dict[Matching, str] = {
    "nearby": (
        "Within t px: pixel centres at most t apart (Euclid). Precision counts predicted pixels"
        " that lie within t of a truth pixel, recall truth pixels that lie within t of a predicted"
        " pixel; no one-to-one matching."
    ),
    "one-to-one": (
        "Within t px, one to one: pairs of a predicted and a truth pixel whose centres are at most"
        " t apart (Euclid), no pixel in two pairs, as many pairs as possible. Precision and recall"
        " both count the pairs."
    ),
}
HISTOGRAMS = {"nearby": code_histograms, "one-to-one": matched_histograms}
HUNDREDTHS = tuple(k / 100 for k in range(1, 100))


@dataclass(frozen=True)
class Protocol:
    """One way of scoring.

    `rule` says where the threshold comes from: the validation part of the training data, `fixed`
    below, or the best one on the scored pictures themselves. `point_scores` are taken at that
    threshold, pooled, averaged over pictures or as their standard deviation; `curve_scores` look
    at all thresholds; `picture_scores` (see pictures.py) are taken of every picture at `fixed` and
    averaged. The first of `tolerances` is the one to quote. `stored` is how a map is
    rounded before it is thresholded; `empty` the recall or IoU of a class that is nowhere;
    `comparable` what its figures may be set beside; `slow` keeps it out of `all`.
    """

    sentence: str
    source: str
    comparable: str
    thresholds: Thresholds
    rule: Rule
    point_scores: tuple[str, ...]
    curve_scores: tuple[str, ...] = ()
    fixed: float | None = None
    criterion: Criterion = "f1"
    tolerances: tuple[float, ...] = (0,)
    matching: Matching = "nearby"
    averages: tuple[Average, ...] = ("pooled",)
    stored: Stored = "as given"
    empty: float = 1.0
    slow: bool = False
    picture_scores: tuple[str, ...] = ()

    def encode(self, prediction: NDArray[Any]) -> NDArray[Any]:
        """The map as this protocol stores it: float in [0, 1], or whole numbers of full range."""
        if self.stored == "float32":
            whole = prediction.dtype.kind == "u"
            share = prediction / np.iinfo(prediction.dtype).max if whole else prediction
            return share.astype(np.float32)
        if self.stored == "as given" or prediction.dtype == np.uint8:
            return prediction
        if prediction.dtype == np.uint16:
            return (prediction // 257).astype(np.uint8)
        return (prediction.astype(np.float32) * np.float32(255)).astype(np.uint8)

    def tally(self, value: float | None) -> CrackCounts:
        """Counts at this protocol's thresholds and at `value`, empty yet."""
        grid = self.thresholds if value is None else self.thresholds.including(value)
        return CrackCounts(grid, self.tolerances, HISTOGRAMS[self.matching])


ZOU_2019 = Protocol(
    sentence=(
        "8-bit maps (truncated), 99 thresholds 0.01 to 0.99 passed strictly, counts summed over"
        " all pictures; a predicted pixel is right within 2 px of the truth and a truth pixel found"
        " within 2 px of a prediction, without one-to-one matching; ODS, OIS and AP, and all again"
        " without tolerance."
    ),
    source=(
        "Zou et al., IEEE TIP 28(3), 2019: ODS, OIS, AP and the 2 px are theirs; they released no"
        " evaluation code, so distance, matching and thresholds are ours"
    ),
    comparable=(
        "with scores that allow 2 px without assignment; with the paper's tables only roughly, as"
        " it does not say how it matched; never with zou2019-matched"
    ),
    thresholds=Thresholds(HUNDREDTHS),
    rule="best",
    point_scores=("precision", "recall", "f1"),
    curve_scores=("ods", "ois", "ois_precision", "ois_recall", "ap_interpolated"),
    tolerances=(2, 0),
    stored="8-bit truncated",
)

PROTOCOLS: dict[str, Protocol] = {
    "honest": Protocol(
        sentence=(
            "The threshold is chosen on the validation part of the training data by pooled F1 (or"
            " IoU) and the test pictures only confirm it; scores pooled and per picture, at 0, 2"
            " and 5 px, with bootstrap intervals over photographs."
        ),
        source="fissura",
        comparable=(
            "with other honest scores of the same pictures; ODS, OIS, AP and AIU are hindsight"
            " here too"
        ),
        thresholds=Thresholds(tuple(k / 1000 for k in range(1000))),
        rule="validation",
        point_scores=("precision", "recall", "f1", "crack_iou", "mean_iou"),
        curve_scores=("ods", "ois", "ap", "aiu"),
        tolerances=(0, 2, 5),
        averages=("pooled", "per_image"),
    ),
    "zou2019": ZOU_2019,
    "zou2019-matched": dataclasses.replace(
        ZOU_2019,
        sentence=(
            "As zou2019, but predicted and truth pixels are matched one to one within 2 px, as many"
            " pairs as possible: a wide prediction over a thin truth is then mostly wrong."
        ),
        source=(
            "The assignment of the boundary benchmark (Martin et al., IEEE TPAMI 26(5), 2004) with"
            " the 2 px of Zou et al. 2019; not official"
        ),
        comparable="with scores matched one to one; never with zou2019",
        matching="one-to-one",
        slow=True,
    ),
    "liu2019-release": Protocol(
        sentence=(
            "8-bit maps (truncated), 100 thresholds 0.00 to 0.99 passed strictly, counts summed"
            " over all pictures, no tolerance; the threshold is the one of best F on the scored"
            " pictures, so the figures flatter."
        ),
        source="Evaluation code released with DeepCrack, Liu et al., Neurocomputing 338, 2019",
        comparable=(
            "with the release's tables of best F and of mean IoU at that threshold; with mmseg"
            " only if the threshold rule is said"
        ),
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
        comparable="with mIoU by mmsegmentation: no threshold is chosen, so nothing flatters",
        thresholds=Thresholds((0.5,)),
        rule="fixed",
        fixed=0.5,
        point_scores=("mean_iou", "crack_iou", "background_iou", "accuracy", "class_accuracy"),
        empty=np.nan,
    ),
    "khanhha": Protocol(
        sentence=(
            "8-bit maps (truncated), crack where p > 0.2; Dice and Jaccard of every picture, their"
            " mean and standard deviation over the pictures; 1 where truth and prediction are both"
            " empty. Truth is what the set's reader calls crack (above 127), where the original"
            " counts every mask value above 0."
        ),
        source="Evaluation script of khanhha/crack_segmentation (threshold 0.2, smoothing 1e-15)",
        comparable=(
            "with other scores by this name here; not directly with that repository's README, which"
            " counts every mask value above 0 as crack and so the grey rims of JPEG masks; means of"
            " pictures, never with pooled F or IoU"
        ),
        thresholds=Thresholds((0.2,)),
        rule="fixed",
        fixed=0.2,
        point_scores=("dice", "jaccard"),
        averages=("per_image", "spread"),
        stored="8-bit truncated",
    ),
    "cssr": Protocol(
        sentence=(
            "Crack where p >= t for 99 thresholds 0.01 to 0.99 in 32-bit floats; IoU of every"
            " picture with 1e-5 added to intersection and union; AIU is its mean over pictures and"
            " thresholds, IoU-max its mean over pictures at the best threshold; HD95 at 0.5, and"
            " for degraded pictures PSNR and SSIM of the enlarged ones, are means over pictures."
        ),
        source=(
            "Test code of CSSR, Kondo and Ukita, MVA 2021; IoU-max as its successor CSBSR reports"
            " it (IEEE TIM 2024); HD95 is ours (docs/protocols.md)"
        ),
        comparable=(
            "with CSSR's IoU, AIU, PSNR and SSIM; the successor passes p > t, scores patches and"
            " takes HD95 over all thresholds; a crack-free picture weighs 1 or about 0"
        ),
        thresholds=Thresholds(
            tuple(float(t) for t in np.asarray(HUNDREDTHS, np.float32)), strict=False
        ),
        rule="fixed",
        fixed=0.5,
        point_scores=("smooth_iou",),
        curve_scores=("aiu", "iou_max"),
        averages=("per_image",),
        stored="float32",
        picture_scores=("hd95", "one_empty", "psnr", "ssim"),
    ),
    "csbsr": Protocol(
        sentence=(
            "Crack where p > t for 99 thresholds 0.01 to 0.99 in 32-bit floats; AIU and IoU-max as"
            " in `cssr`; HD95 of every picture at every threshold, of which AHD95 is the mean over"
            " pictures and thresholds and HD95-min the mean over pictures at its best threshold;"
            " for degraded pictures PSNR and SSIM of the enlarged ones."
        ),
        source=(
            "README and test code of CSBSR, the successor of CSSR (IEEE TIM 2024); whole pictures,"
            " the 95th percentile and contours are ours"
        ),
        comparable=(
            "with CSBSR's README, which has CSSR too, but for its patches; its script takes the"
            " 50th percentile for what it calls HD95"
        ),
        thresholds=Thresholds(tuple(float(t) for t in np.asarray(HUNDREDTHS, np.float32))),
        rule="fixed",
        fixed=0.5,
        point_scores=("smooth_iou",),
        curve_scores=("aiu", "iou_max"),
        averages=("per_image",),
        stored="float32",
        slow=True,
        picture_scores=("hd95_curve", "psnr", "ssim"),
    ),
}


def find_protocols(name: str) -> dict[str, Protocol]:
    """The protocol of that name, or for `all` all but the slow ones."""
    if name == "all":
        return {key: protocol for key, protocol in PROTOCOLS.items() if not protocol.slow}
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: all, {', '.join(PROTOCOLS)}"
        raise InputError(f"unknown protocol '{name}'; {hint}")
    return {name: PROTOCOLS[name]}
