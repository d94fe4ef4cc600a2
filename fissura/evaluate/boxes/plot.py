"""The precision-recall curves of several systems in one picture."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from fissura.evaluate.plot import INK, QUIET, lines_of_equal_f1
from fissura.metrics.detection import Values

COLOURS = (
    *("#0b3c5d", "#d95f02", "#1b9e77", "#7b3294", "#1f78b4", "#b8860b", "#c51b7d", "#4d4d4d"),
    *("#66a61e", "#8c564b", "#17becf", "#e31a1c", "#6a3d9a"),
)
STYLES = ("-", "--", "-.", ":")
SIDE = 7.2
ROWS_INSIDE, LEGEND_ROWS = 5, 30
"""So many systems are named within the axes, and so many beside them; more stand in the table."""
QUOTED = {"map50": "mAP50", "ap50": "AP50", "f1": "best F1"}


def plot_systems(report: dict[str, Any], path: Path) -> None:
    """One curve per system over all classes; a diamond marks a threshold decided beforehand."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in report["results"] if row["class"] == "all"]
    curves = [curve for curve in report["curves"] if curve["class"] == "all"]
    width = SIDE * (1.45 if len(curves) > ROWS_INSIDE else 1)
    figure = Figure(figsize=(width, 6.9), dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09 * SIDE / width, 0.075, 0.82 * SIDE / width, 0.84))
    _frame(axes, report)
    looks = cycle((colour, style) for style in STYLES for colour in COLOURS)
    for curve, (colour, style) in zip(curves, looks, strict=False):
        own = [row for row in rows if row["predictions"] == curve["predictions"]]
        points = [np.asarray(curve[name], float) for name in ("recall", "precision")]
        if "score" in curve:
            points = _with_drops(*points)
        axes.plot(
            *points,
            style,
            color=colour,
            lw=1.8,
            label=_label(curve["predictions"], own),
        )
        _mark(axes, own, colour)
    _explain(axes, {row["rule"] for row in rows})
    look = {"framealpha": 0.9, "edgecolor": "none", "fontsize": 8}
    if len(curves) <= ROWS_INSIDE:
        axes.legend(loc="lower left", **look)
    elif len(curves) <= LEGEND_ROWS:
        axes.legend(loc="upper left", bbox_to_anchor=(1.07, 1.0), **look)
    figure.savefig(path, metadata={"Software": None})


def _with_drops(recall: Values, precision: Values) -> list[Values]:
    """The points at right boxes, and before each the lowest that false ones bring it to."""
    with np.errstate(divide="ignore", invalid="ignore"):
        false = recall * (1 / precision - 1)  # in units of all true boxes
        lowest = recall[:-1] / (recall[:-1] + false[1:])
    order = np.repeat(np.arange(len(recall)), 2)[:-1] if len(recall) else np.zeros(0, int)
    across, down = recall[order], precision[order]
    down[1::2] = lowest
    return [across, down]


def _explain(axes: Any, rules: set[str | None]) -> None:
    """What the marks mean, below the curves in the legend."""
    if "best" in rules:
        axes.plot([], [], "o", color=QUIET, ms=7, label="best F1 on these pictures")
    if rules - {"best", None}:
        axes.plot([], [], "D", color=QUIET, mfc="none", ms=7, label="threshold decided beforehand")


def _frame(axes: Any, report: dict[str, Any]) -> None:
    lines_of_equal_f1(axes)
    data, name = report["data"], report["protocol"]["name"]
    axes.set_title(
        f"{data['folder']}, split {data['split']}", loc="left", fontsize=12, color=INK, pad=20
    )
    note = f"{data['pictures']} pictures, boxes at IoU 0.5, protocol {name}"
    axes.text(0, 1.012, note, transform=axes.transAxes, fontsize=9, color="#57606a")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Recall", ylabel="Precision", aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)


def _label(name: str, rows: list[dict[str, Any]]) -> str:
    scores = rows[-1]["scores"]
    found = next(
        ((title, scores[key]["value"]) for key, title in QUOTED.items() if key in scores), None
    )
    if found is None or found[1] is None:
        return name
    return f"{name}: {found[0]} {found[1]:.3f}"


def _mark(axes: Any, rows: list[dict[str, Any]], colour: str) -> None:
    for row in rows:
        if row["rule"] is None or not row["scores"]:
            continue
        recall, precision = (row["scores"][key]["value"] for key in ("recall", "precision"))
        if recall is None or precision is None:
            continue
        look = {"ms": 7, "mew": 1.4, "clip_on": False, "zorder": 4}
        if row["rule"] == "best":
            axes.plot(recall, precision, "o", color=colour, mec="white", **look)
        else:
            axes.plot(recall, precision, "D", mfc="none", mec=colour, **look)
