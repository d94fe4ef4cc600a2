"""What a data set holds: counts, sizes, crack share and width, grey levels; boxes of those with."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fissura.datasets import open_dataset
from fissura.datasets.box_picture import draw_boxes
from fissura.datasets.box_stats import box_rows, box_table, summary
from fissura.datasets.check.boxes import find_sets
from fissura.types import BoolMask, Sample

COLUMNS = ("set", "pictures", "with crack", "sizes", "crack share", "width px", "grey")
SIZES_SHOWN = 3
LIMITS = (10, 50, 90)


def overview(
    root: Path, dataset: str | None = None, split: str | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Figures as of `stats`, and `boxes` by set and split; pictures of those go to `out`.

    Pictures that have boxes alone are not opened.
    """
    _, parts, with_boxes = find_sets(root, dataset)
    skip = {one.name for one in parts if one.masks is None} & {one.name for one in with_boxes}
    figures: dict[str, Any] = {"root": str(root), "split": split, "sets": {}, "total": None}
    if any(one.name not in skip for one in parts):
        figures = stats(root, dataset, split, skip)
    rows = {one.name: box_rows(one, split) for one in with_boxes}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, own in rows.items():
            draw_boxes(name, own, out / f"{name}_boxes.png")
    named = {name: pictures for own in rows.values() for name, pictures in own.items()}
    return {**figures, "boxes": {name: summary(pictures) for name, pictures in named.items()}}


def tables(figures: dict[str, Any]) -> list[list[tuple[str, ...]]]:
    """The tables of an overview: of pictures, and of boxes."""
    found = [table(figures)] if figures["sets"] else []
    return [*found, *([box_table(figures["boxes"])] if figures["boxes"] else [])]


def stats(
    root: Path | str,
    dataset: str | None = None,
    split: str | None = None,
    skip: Collection[str] = (),
) -> dict[str, Any]:
    """Figures of every set below `root`: JSON-able, `sets` by name and `total` over all."""
    samples = open_dataset(root, dataset, split)
    per_set: dict[str, list[dict[str, Any]]] = defaultdict(list)
    wanted = (n for n, entry in enumerate(samples.entries) if entry.set not in skip)
    for index in wanted:
        sample = samples[index]
        per_set[sample.set].append(_measure(sample))
    sets = {name: _summary(rows) for name, rows in sorted(per_set.items())}
    total = _summary([row for rows in per_set.values() for row in rows])
    return {"root": str(root), "split": split, "sets": sets, "total": total}


def table(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of text under COLUMNS, one for each set and one for all."""
    named = {**figures["sets"], **({"all": figures["total"]} if len(figures["sets"]) > 1 else {})}
    return [COLUMNS, *(_row(name, one) for name, one in named.items())]


def rough_width(mask: BoolMask) -> float | None:
    """Width in pixels of a strip with the same mean distance to background; None if empty.

    Over a strip of odd width w the mean is (w + 1)² / 4w.
    """
    if not mask.any():
        return None
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
    twice = max(4 * float(distance[distance > 0].mean()) - 2, 2.0)
    return (twice + math.sqrt(twice**2 - 4)) / 2


def _measure(sample: Sample) -> dict[str, Any]:
    mask = sample.mask
    return {
        "size_wh": (sample.image.shape[1], sample.image.shape[0]),
        "share": None if mask is None else float(mask.mean()),
        "width": None if mask is None else rough_width(mask),
        "grey": float(sample.image.mean()),
        "contrast": float(sample.image.std()),
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    shares = [row["share"] for row in rows if row["share"] is not None]
    widths = [row["width"] for row in rows if row["width"] is not None]
    sizes = Counter(row["size_wh"] for row in rows).most_common()
    return {
        "pictures": len(rows),
        "masks": len(shares),
        "with_crack": sum(share > 0 for share in shares),
        "sizes": [{"width": w, "height": h, "pictures": n} for (w, h), n in sizes],
        "crack_share": {"mean": float(np.mean(shares)), **_spread(shares)} if shares else None,
        "crack_width_px": _spread(widths) if widths else None,
        "grey_mean": _spread(row["grey"] for row in rows),
        "grey_contrast": _spread(row["contrast"] for row in rows),
    }


def _spread(values: Iterable[float]) -> dict[str, float]:
    """Three percentiles."""
    found = np.percentile(list(values), LIMITS)
    return {f"p{limit}": float(value) for limit, value in zip(LIMITS, found, strict=True)}


def _row(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    shown = [f"{size['width']}×{size['height']}" for size in one["sizes"][:SIZES_SHOWN]]
    more = len(one["sizes"]) - len(shown)
    share, width, grey = one["crack_share"], one["crack_width_px"], one["grey_mean"]
    return (
        name,
        str(one["pictures"]),
        str(one["with_crack"]) if one["masks"] else "–",
        ", ".join(shown) + (f" and {more} more" if more else ""),
        f"{share['mean']:.1%}" if share else "–",
        f"{width['p10']:.0f} / {width['p50']:.0f} / {width['p90']:.0f}" if width else "–",
        f"{grey['p50']:.0f}",
    )
