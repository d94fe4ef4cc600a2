"""Draws what a set of boxes holds: their sizes, the lengths of its sequences, where boxes lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fissura.datasets.box_stats import AREAS, Rows, sizes
from fissura.datasets.boxes import BoxPicture
from fissura.datasets.clips import header_size

CELLS = 48
INK, GREY = "#24292f", "#57606a"
COLOURS = ("#0b3c5d", "#d95f02", "#1b9e77", "#7b3294", "#b8860b", "#4d4d4d")


def draw_boxes(name: str, rows: Rows, path: Path) -> None:
    """A picture of one set, a colour for each of its splits."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.4, 3.9), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1.15, 1))
    _sizes(left, rows)
    _lengths(middle, rows)
    _locations(right, [one for pictures in rows.values() for one in pictures])
    figure.suptitle(name, x=0.01, ha="left", fontsize=12, color=INK)
    figure.savefig(path, metadata={"Software": None})


def _sizes(axes: Any, rows: Rows) -> None:
    width = 0.8 / len(rows)
    for place, (name, pictures) in enumerate(rows.items()):
        counts = list(sizes(pictures).values())
        share = [100 * count / max(sum(counts), 1) for count in counts]
        at = np.arange(len(AREAS)) + (place - (len(rows) - 1) / 2) * width
        label = f"{name.rpartition(' ')[2]}: {sum(counts):,}"
        bars = axes.bar(at, share, width, color=COLOURS[place % len(COLOURS)], label=label)
        if len(rows) <= 2:
            axes.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize=7)
    limits = [f"{name}\n< {area:,.0f}" for name, area in AREAS.items() if np.isfinite(area)]
    axes.set_xticks(range(len(AREAS)), [*limits, "huge"], fontsize=8)
    _legend(axes, "boxes")
    _finish(axes, "Area of boxes, px²", "", "% of the boxes")


def _lengths(axes: Any, rows: Rows) -> None:
    start = 0
    for place, (name, pictures) in enumerate(rows.items()):
        found = Counter(one.sequence for one in pictures if one.sequence is not None)
        lengths = sorted(found.values(), reverse=True)
        stills = len(pictures) - sum(lengths)
        words = f"{name.rpartition(' ')[2]}: {len(lengths)}" + (
            f" + {stills} stills" * bool(stills)
        )
        at = range(start, start + len(lengths))
        axes.bar(at, lengths, 0.85, color=COLOURS[place % len(COLOURS)], label=words)
        start += len(lengths) + 1
    axes.set_xticks([])
    _legend(axes, "sequences")
    _finish(axes, "Length of sequences", "sequences, longest first", "frames")


def _locations(axes: Any, pictures: Iterable[BoxPicture]) -> None:
    covered = location_map(pictures)
    shown = axes.imshow(100 * covered, cmap="magma", extent=(0, 1, 1, 0), vmin=0, aspect="auto")
    axes.figure.colorbar(shown, ax=axes, label="% of the frames")
    _finish(axes, "Where boxes lie", "share of the width", "share of the height")


def location_map(pictures: Iterable[BoxPicture]) -> NDArray[np.float64]:
    """Share of the pictures in which a box reaches each of CELLS×CELLS cells."""
    covered, count = np.zeros((CELLS, CELLS)), 0
    for one in pictures:
        count += 1
        if not len(one.boxes):
            continue
        height, width = one.size_hw or header_size(one.file)
        cells = one.boxes / np.array([width, height] * 2) * CELLS
        here = np.zeros_like(covered, bool)
        low = np.clip(np.floor(cells[:, :2]), 0, CELLS - 1).astype(int)
        high = np.clip(np.ceil(cells[:, 2:]), 1, CELLS).astype(int)
        for (x1, y1), (x2, y2) in zip(low, high, strict=True):
            here[y1:y2, x1:x2] = True
        covered += here
    return covered / max(count, 1)


def _legend(axes: Any, title: str) -> None:
    """Above the bars, whatever their height."""
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.legend(frameon=False, fontsize=8, title=title, title_fontsize=8, loc="upper left")


def _finish(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(x, fontsize=9, color=GREY)
    axes.set_ylabel(y, fontsize=9, color=GREY)
    axes.tick_params(labelsize=8, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
