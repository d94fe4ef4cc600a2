"""Two sets of predictions for the same pictures: by how much one is better, and whether it shows.

Both are scored on the same resamples of the pictures, so that what is hard about a picture is hard
for both and leaves the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fissura.evaluate.protocols import Protocol
from fissura.evaluate.scoring import Bootstrap, Found, Index, Row, quantity, value_rows

HEADLINE = {
    "f1": "F1",
    "dice": "Dice",
    "ods": "ODS",
    "ois": "OIS",
    "ap": "AP",
    "ap_interpolated": "AP (interpolated)",
    "crack_iou": "crack IoU",
    "jaccard": "Jaccard",
    "smooth_iou": "smoothed IoU",
    "mean_iou": "mIoU",
    "aiu": "AIU",
    "iou_max": "IoU-max",
    "hd95": "HD95",
    "hd95_min": "HD95-min",
    "ahd95": "AHD95",
    "psnr": "PSNR",
    "ssim": "SSIM",
}
"""The scores that are quoted; more is better in all but those of LESS_IS_BETTER."""

LESS_IS_BETTER = frozenset({"hd95", "hd95_min", "ahd95"})

LEAST_GROUPS, LEAST_RESAMPLES = 10, 200
"""Below these the percentile interval is too narrow, or too rough, to claim a difference by."""

PARTS = {"pooled": "", "per_image": ", mean of pictures", "over_thresholds": ""}


@dataclass(frozen=True)
class Side:
    """One set of predictions under one protocol."""

    name: str
    found: Found


def compare(
    protocol: Protocol, sides: Sequence[Side], subsets: Mapping[str, Index], bootstrap: Bootstrap
) -> dict[str, Any]:
    """A minus B of every headline score, with the interval of the same resamples for both."""
    found = []
    for label, index in subsets.items():
        tables = [value_rows(protocol, s.found, index, bootstrap) for s in sides]
        groups = len(set(bootstrap.members(index)))
        for a, b in zip(*tables, strict=True):
            head = {"subset": label, "pictures": len(index), "tolerance_px": a["tolerance_px"]}
            found += [head | score for score in _differences(a, b, groups)]
    thresholds = [asdict(side.found.choice) for side in sides]
    return {
        "a": {"predictions": sides[0].name, "threshold": thresholds[0]},
        "b": {"predictions": sides[1].name, "threshold": thresholds[1]},
        "scores": found,
    }


def _differences(a: Row, b: Row, groups: int) -> list[Row]:
    found = []
    for part, suffix in PARTS.items():
        both = a.get(part, {}).keys() & b.get(part, {}).keys()
        for name in (name for name in HEADLINE if name in both):
            first, second = a[part][name], b[part][name]
            difference = quantity(first - second)
            values = {"a": quantity(first[:1])["value"], "b": quantity(second[:1])["value"]}
            title = HEADLINE[name] + suffix
            known = int(np.count_nonzero(~np.isnan((first - second)[1:])))
            words = verdict(difference, name in LESS_IS_BETTER, doubt(groups, known))
            says = {"score": title, "difference": difference, "says": words}
            found.append({"part": part, "name": name} | values | says)
    return found


def doubt(groups: int, resamples: int, unit: str = "photographs") -> str:
    """Why no difference of so many photographs and resamples may be claimed; empty if it may."""
    if groups == 1:
        return "all pictures belong to one group"
    if groups < LEAST_GROUPS:
        return f"too few {unit} ({groups}) to tell"
    if resamples < LEAST_RESAMPLES:
        return f"too few resamples ({resamples}) to tell"
    return ""


def verdict(difference: Mapping[str, float | None], less: bool = False, doubt: str = "") -> str:
    """One sentence; nothing is claimed where the interval holds 0 or where there is a doubt.

    `less`: which is better.
    """
    value, low, high = (difference.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "not defined for one of the two"
    if low is None or high is None:
        return f"no interval: {doubt or 'the score is not defined in the resamples'}"
    if low <= 0 <= high:
        return "no difference shown"
    if doubt:
        return doubt
    if not low <= value <= high:
        return "no difference shown: it lies outside the interval of its own resamples"
    better, sign = "B" if (value > 0) == less else "A", 1 if value > 0 else -1
    low, high = sorted((sign * low, sign * high))
    return f"{better} is better by {sign * value:.4f} ({low:.4f} to {high:.4f})"


def legend(found: Mapping[str, Any]) -> str:
    """Who is A and who is B."""
    sides = [
        f"{letter.upper()}: {found[letter]['predictions']}, threshold {_threshold(found[letter])}."
        for letter in ("a", "b")
    ]
    return f"{' '.join(sides)} A − B from the same resamples for both."


def _threshold(side: Mapping[str, Any]) -> str:
    value = side["threshold"]["value"]
    return side["threshold"]["how"] if value is None else f"{value:g}"


def rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Table rows, a score each."""
    return [
        {
            "pictures": f"{score['subset']} ({score['pictures']})",
            "tolerance": f"{score['tolerance_px']:g} px",
            "score": score["score"],
            "A": value_cell(score["a"]),
            "B": value_cell(score["b"]),
            "A − B": interval_cell(score["difference"]),
            "in words": score["says"],
        }
        for score in found["scores"]
    ]


def value_cell(value: float | None) -> str:
    """Four digits, or a dash."""
    return "–" if value is None else f"{value:.4f}"


def interval_cell(difference: Mapping[str, float | None]) -> str:
    """A difference with its interval, if it has one."""
    value = value_cell(difference["value"])
    if "low" not in difference:
        return value
    return f"{value} ({difference['low']:.4f} to {difference['high']:.4f})"
