"""What sets of boxes hold: frames, sequences, boxes by size, split by split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fissura.datasets.boxes import BoxPicture, BoxSet
from fissura.datasets.sequences import members, settled
from fissura.types import InputError

AREAS = {"tiny": 100.0, "small": 1_000.0, "medium": 10_000.0, "large": 100_000.0, "huge": np.inf}
"""Size -> area in square pixels that a box of it stays below."""
COLUMNS = (
    *("set", "images", "seq", "stills", "boxes", "img/seq", "boxes/img"),
    *AREAS,
    "classes",
)

Rows = dict[str, list[BoxPicture]]


def box_rows(found: BoxSet, split: str | None = None) -> Rows:
    """Pictures under the name of their set and split: all splits that it has, or the one given."""
    settled(found, "earlier")
    if split is not None:
        return {f"{found.name} {split}": members(found, split)}
    stated = {one.side for one in found.pictures} | found.splits.keys()
    last = "test" if "test" in stated else "held_back"
    named = {f"{found.name} {side}": _members(found, side) for side in ("train", "val", last)}
    rows = {name: pictures for name, pictures in named.items() if pictures}
    return rows if len(rows) > 1 else {found.name: list(found.pictures)}


def _members(found: BoxSet, split: str) -> list[BoxPicture]:
    """None where the set has no such split."""
    try:
        return members(found, split)
    except InputError:
        return []


def summary(pictures: Sequence[BoxPicture]) -> dict[str, Any]:
    """Figures of some pictures, as the table and JSON have them."""
    lengths = Counter(one.sequence for one in pictures if one.sequence is not None)
    boxes = sum(len(one.labels) for one in pictures)
    labels = Counter(label for one in pictures for label in one.labels)
    return {
        "images": len(pictures),
        "sequences": len(lengths),
        "stills": len(pictures) - lengths.total(),
        "without_boxes": sum(not one.labels for one in pictures),
        "boxes": boxes,
        "images_per_sequence": lengths.total() / len(lengths) if lengths else None,
        "boxes_per_image": boxes / len(pictures) if pictures else None,
        "sizes": sizes(pictures),
        "classes": dict(labels.most_common()),
        "sequence_lengths": dict(lengths),
    }


def sizes(pictures: Sequence[BoxPicture]) -> dict[str, int]:
    """How many boxes are tiny, small, … by their area."""
    boxes = [one.boxes for one in pictures if len(one.boxes)]
    xyxy = np.concatenate(boxes) if boxes else np.zeros((0, 4), np.float32)
    areas = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    place = np.searchsorted(list(AREAS.values()), areas, side="right")
    counts = np.bincount(place, minlength=len(AREAS))
    return {name: int(count) for name, count in zip(AREAS, counts, strict=True)}


def box_table(figures: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """Rows of text under COLUMNS."""
    return [COLUMNS, *(_row(name, one) for name, one in figures.items())]


def _row(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    whole = (one[key] for key in ("images", "sequences", "stills", "boxes"))
    ratios = (one[key] for key in ("images_per_sequence", "boxes_per_image"))
    labels = ", ".join(f"{label} {count}" for label, count in one["classes"].items())
    return (
        name,
        *map(str, whole),
        *("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        *(str(one["sizes"][size]) for size in AREAS),
        labels or "–",
    )
