"""Named ways of scoring boxes, so that two figures are compared only if they mean the same."""

from __future__ import annotations

from dataclasses import dataclass

from fissura.metrics.coco import COCO_SCORES


@dataclass(frozen=True)
class BoxProtocol:
    """One way of scoring boxes.

    `scores` are taken over all thresholds of score, for each class and as the mean of the classes;
    where `operating`, precision, recall, F1 and false alarms are taken at two thresholds, with the
    counts of all classes summed. `defines` says what each figure is; `comparable` what they may be
    set beside.
    """

    sentence: str
    source: str
    comparable: str
    scores: tuple[str, ...] = ()
    operating: bool = False
    defines: tuple[str, ...] = ()


BOX_PROTOCOLS: dict[str, BoxProtocol] = {
    "beltcrack": BoxProtocol(
        sentence=(
            "Boxes matched as COCO does at an overlap (IoU) of 0.5, the best 100 of a picture; p(r)"
            " is the best precision at recall r or beyond, r = 0, 0.01 … 1. mAP50 is the mean of"
            " p(r), R the highest recall, P the mean of p(r) over the first ⌊100 R⌋ levels,"
            " F1 = 2PR/(P+R)."
        ),
        source="Evaluation code released with BeltCrackDet, Huang, Ji, Ma and Ye, 2025",
        comparable=(
            "with the tables of that paper where only annotated pictures are scored (--images"
            " annotated); its P, R and F1 are not taken at a threshold and compare with no others"
        ),
        scores=("map50", "precision", "recall", "f1"),
        defines=(
            "P and R stand at no threshold of score: R counts every box that the detector gives,"
            " however unsure, and P is the mean precision on the way there.",
        ),
    ),
    "coco": BoxProtocol(
        sentence=(
            "Average precision of the COCO evaluator: 101 levels of recall, ten overlaps 0.50 to"
            " 0.95, the best 100 boxes of a picture, by size of the box; the mean of the classes."
        ),
        source="pycocotools (Lin et al., ECCV 2014); ours, equal to it",
        comparable="with COCO figures of the same pictures and the same classes",
        scores=COCO_SCORES,
        defines=(
            "Small is up to 32², large from 96² pixels of the box, in the picture as it is stored."
            " AR n is the highest recall, mean of the ten overlaps, with the n best boxes of a"
            " picture.",
        ),
    ),
    "operating-point": BoxProtocol(
        sentence=(
            "Precision, recall and F1 of the boxes with score >= t, matched one to one at an"
            " overlap (IoU) of 0.5, at a threshold decided beforehand and at the best one on these"
            " pictures; and the false alarms there."
        ),
        source="fissura",
        comparable=(
            "with other operating points at the same overlap; the best threshold on the scored"
            " pictures is hindsight"
        ),
        operating=True,
        defines=(
            "False boxes: boxes with score >= t per 1,000 pictures on which none of the"
            " scored classes is annotated.",
            "Alarmed: how many of 1,000 such pictures have at least one.",
            "False per minute: boxes with score >= t that match nothing, on all scored pictures,"
            " for each minute of video.",
        ),
    ),
}

BOX_TITLES = {
    "map50": "mAP50",
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar_1": "AR 1",
    "ar_10": "AR 10",
    "ar_100": "AR 100",
    "ar_small": "AR small",
    "ar_medium": "AR medium",
    "ar_large": "AR large",
    "precision": "P",
    "recall": "R",
    "f1": "F1",
    "false_boxes": "false boxes",
    "alarmed": "alarmed",
    "false_per_minute": "false per minute",
}
BOX_HEADLINE = ("map50", "ap", "ap50", "ap75", "f1", "false_boxes", "alarmed")
"""The scores that two systems are compared by."""

FEWER_IS_BETTER = frozenset({"false_boxes", "alarmed", "false_per_minute"})
