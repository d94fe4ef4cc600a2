"""The precision-recall curves of several systems in one picture."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

from fissura.evaluate.plot import INK, lines_of_equal_f1

COLOURS = (
    *("#0b3c5d", "#d95f02", "#1b9e77", "#7b3294", "#1f78b4", "#b8860b", "#c51b7d", "#4d4d4d"),
    *("#66a61e", "#8c564b", "#17becf", "#e31a1c", "#6a3d9a"),
)
STYLES = ("-", "--", "-.", ":")
LEGEND_ROWS = 22
QUOTED = {"map50": "mAP50", "ap50": "AP50", "f1": "best F1"}


def plot_systems(report: dict[str, Any], path: Path) -> None:
    """One curve per system over all classes; a diamond marks a threshold decided beforehand."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 6.9), dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.075, 0.82, 0.84))
    _frame(axes, report)
    rows = [row for row in report["results"] if row["class"] == "all"]
    curves = [curve for curve in report["curves"] if curve["class"] == "all"]
    looks = cycle((colour, style) for style in STYLES for colour in COLOURS)
    for curve, (colour, style) in zip(curves, looks, strict=False):
        own = [row for row in rows if row["predictions"] == curve["predictions"]]
        axes.plot(
            curve["recall"],
            curve["precision"],
            style,
            color=colour,
            lw=1.8,
            label=_label(curve["predictions"], own),
        )
        _mark(axes, own, colour)
    if len(curves) <= LEGEND_ROWS:
        axes.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none", fontsize=8)
    figure.savefig(path, metadata={"Software": None})


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
