"""The precision-recall curve as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

COLOURS = ("#0b3c5d", "#1f78b4", "#d95f02", "#7b3294", "#1b9e77")
STYLES = ("--", "-.", ":", "--", "-.")
QUIET = "#a5acb4"
INK = "#30363d"


def plot_curves(report: dict[str, Any], path: Path) -> None:
    """One curve per tolerance; dots mark the best F1 (ODS), diamonds the chosen threshold."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 6.9), dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.075, 0.82, 0.84))
    _frame(axes, report)
    rows = {row["tolerance_px"]: row for row in report["results"] if row["subset"] == "all"}
    for curve, colour in zip(report["curves"], COLOURS, strict=False):
        _line(axes, curve, colour, "-", "")
    for curve, colour in zip(report["curves"], COLOURS, strict=False):
        _chosen(axes, rows[curve["tolerance_px"]], colour)
    if "baseline" in report:
        for curve, style in zip(report["baseline"]["curves"], STYLES, strict=False):
            _line(axes, curve, QUIET, style, f"{report['baseline']['predictions']}, ")
    axes.legend(loc="lower left", frameon=True, framealpha=0.95, edgecolor="none", fontsize=9)
    figure.savefig(path, metadata={"Software": None})


def lines_of_equal_f1(axes: Any) -> None:
    """Nine grey lines behind the curves, each with its F1 at the right."""
    for level in np.arange(0.1, 1.0, 0.1):
        recall = np.geomspace(level / (2 - level), 1, 200)
        precision = level * recall / (2 * recall - level)
        axes.plot(recall, precision, color="#e6e8eb", lw=0.8, zorder=0)
        axes.annotate(
            f"F {level:.1f}",
            (1.005, level / (2 - level)),
            fontsize=7.5,
            color="#8b949e",
            va="center",
            annotation_clip=False,
        )


def _frame(axes: Any, report: dict[str, Any]) -> None:
    lines_of_equal_f1(axes)
    data = report["data"]
    title = f"{report['predictions']} on {data['folder']}, split {data['split']}"
    axes.set_title(title, loc="left", fontsize=12, color=INK, pad=20)
    note = f"{data['pictures']} pictures, counts pooled, protocol {report['protocol']['name']}"
    axes.text(0, 1.012, note, transform=axes.transAxes, fontsize=9, color="#57606a")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Recall", ylabel="Precision", aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)


def _line(axes: Any, curve: dict[str, Any], colour: str, style: str, prefix: str) -> None:
    recall, precision, f1 = (np.asarray(curve[name]) for name in ("recall", "precision", "f1"))
    best = int(np.nan_to_num(f1, nan=-1.0).argmax())
    label = (
        f"{prefix}{curve['tolerance_px']:g} px: ODS {f1[best]:.3f} at {curve['threshold'][best]:g}"
    )
    axes.plot(recall, precision, style, color=colour, lw=2, label=label)
    dot = {"ms": 8, "mec": "white", "mew": 1.2, "clip_on": False, "zorder": 4}
    axes.plot(recall[best], precision[best], "o", color=colour, **dot)


def _chosen(axes: Any, row: dict[str, Any], colour: str) -> None:
    if row["rule"] == "best" or "precision" not in row.get("pooled", {}):
        return
    at = row["pooled"]["recall"]["value"], row["pooled"]["precision"]["value"]
    first = not row["tolerance_px"]
    label = f"threshold {row['threshold']:g} ({row['rule']})" if first else None
    axes.plot(*at, "D", ms=8, mfc="none", mec=colour, mew=1.6, label=label, clip_on=False)
