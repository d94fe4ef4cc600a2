"""Writes what an evaluation found: report.json, report.md, curves.csv, pr_curve.png."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fissura.evaluate import paired
from fissura.evaluate.scoring import Choice
from fissura.metrics import POINT_SCORES, CrackCounts, Thresholds

TITLES = {
    **paired.HEADLINE,
    "hd95": "HD95 (px)",
    "hd95_min": "HD95-min (px)",
    "ahd95": "AHD95 (px)",
    "hd95_min_threshold": "HD95-min at",
    "one_empty": "one empty",
    "psnr": "PSNR (dB)",
    "precision": "P",
    "recall": "R",
    "background_iou": "background IoU",
    "accuracy": "accuracy",
    "class_accuracy": "class accuracy",
    "ods_threshold": "ODS at",
    "ois_precision": "OIS P",
    "ois_recall": "OIS R",
    "iou_max_threshold": "IoU-max at",
    "best_mean_iou": "best mIoU",
}
CURVE_COLUMNS = (
    "precision",
    "recall",
    "f1",
    "crack_iou",
    "mean_iou",
    "accuracy",
    "class_accuracy",
)
AVERAGES = {
    "pooled": "counts summed over the pictures",
    "per_image": "mean of the pictures",
    "spread": "standard deviation of the pictures",
}
RULES = {"validation": "validation", "fixed": "fixed", "best": "best on these pictures"}

Report = dict[str, Any]


def rounded(choice: Choice) -> dict[str, Any]:
    """A threshold and where it comes from, for the report."""
    value = None if choice.value is None else round(choice.value, 9)
    return {"value": value, "rule": choice.rule, "how": choice.how}


def unit(pictures: int, groups: int) -> str:
    """What the bootstrap draws."""
    drawn = "pictures"
    if groups < pictures:
        drawn = f"photographs or sequences ({groups} groups of {pictures} pictures), drawn whole"
    return f"{drawn}; percentile bootstrap; the threshold stays as chosen"


def curves(tally: CrackCounts, own: Thresholds, empty: float) -> list[dict[str, Any]]:
    """Per tolerance the pooled scores at every threshold of the protocol's `own`."""
    out, places = [], tally.thresholds.places_of(own)
    for tolerance, counts in tally.compute().items():
        pooled = counts.weighted(np.ones((1, len(tally)))).at_all(places)
        names = CURVE_COLUMNS[: None if tolerance == 0 else 3]
        columns = {name: POINT_SCORES[name](pooled, empty)[0] for name in names}
        thresholds = [round(t, 9) for t in own.values]
        out.append({"tolerance_px": tolerance, "threshold": thresholds} | columns)
    return out


def write(report: Report, out: Path) -> Report:
    """Write the files into `out`; gives the report back without its curves, naming the files."""
    from fissura.evaluate.plot import plot_curves

    out.mkdir(parents=True, exist_ok=True)
    has_curve = report["protocol"]["thresholds"]["count"] > 1
    files = ["report.json", "report.md", *(["curves.csv", "pr_curve.png"] if has_curve else [])]
    if has_curve:
        write_csv(report["curves"], out / "curves.csv")
        plot_curves(report, out / "pr_curve.png")
    short = _without_curves(report) | {"files": files}
    text = json.dumps(short, indent=2, ensure_ascii=False, allow_nan=False)
    (out / "report.json").write_text(text + "\n", encoding="utf-8")
    (out / "report.md").write_text(markdown(short), encoding="utf-8")
    return short


def _without_curves(report: Report) -> Report:
    short = {key: value for key, value in report.items() if key != "curves"}
    if "baseline" in short:
        short["baseline"] = _without_curves(short["baseline"])
    return short


def write_csv(found: Sequence[dict[str, Any]], path: Path) -> None:
    """One line per tolerance and threshold, ten digits; nothing where a score is undefined."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["tolerance_px", "threshold", *CURVE_COLUMNS])
        for curve in found:
            columns = [curve[name] for name in CURVE_COLUMNS if name in curve]
            for threshold, *values in zip(curve["threshold"], *columns, strict=True):
                line = ["" if np.isnan(value) else f"{value:.10g}" for value in values]
                writer.writerow([f"{curve['tolerance_px']:g}", f"{threshold:g}", *line])


def markdown(report: Report) -> str:
    """The report as a page: what was scored, how, and the tables."""
    protocol, data, chosen = report["protocol"], report["data"], report["threshold"]
    value = "" if chosen["value"] is None else f" {chosen['value']:g}"
    intervals = report["intervals"]
    lines = [
        f"# {report['predictions']} on {data['folder']}, split {data['split']}",
        "",
        f"{data['pictures']} pictures, protocol `{protocol['name']}`: {protocol['sentence']}",
        f"Source: {protocol['source']}.",
        "",
        f"Threshold{value}: {chosen['how']}.",
    ]
    if data["note"]:
        lines.append(f"**{data['note']}**")
    lines += [regions(data), *degraded(report), *refined(report), *protocol["defines"]]
    if any(row["tolerance_px"] for row in report["results"]):
        lines.append(protocol["tolerance"])
    if intervals["resamples"]:
        lines.append(
            f"In brackets: {intervals['level']:.0%} intervals from {intervals['resamples']}"
            f" resamples of the {intervals['unit']}."
        )
    for average, title in AVERAGES.items():
        lines += section(f"At the threshold, {title}", point_rows(report, average))
    lines += section("Over all thresholds (the best on these pictures)", curve_rows(report))
    if "vs" in report:
        lines += section("A against B", paired.rows(report["vs"]), paired.legend(report["vs"]))
    return "\n".join(lines) + "\n"


def regions(data: dict[str, Any]) -> str:
    """Whether parts of the pictures do not count."""
    if not data["regions"]:
        return "No region masks: every pixel counts."
    some = f"{data['regions']} of {data['pictures']} pictures"
    return f"Region masks on {some}: pixels outside them count neither as truth nor as prediction."


def degraded(report: Report) -> list[str]:
    """What was done to the pictures before they were predicted."""
    data, scale = report["data"], (report["data"]["degraded"] or {}).get("scale")
    if scale is None:
        return []
    seen = report["details"].get("picture", "unknown, the maps were stored")
    lost = f"{data['cropped'] or 'none'} of {data['pictures']} pictures first lost rows or columns"
    return [
        f"Pictures reduced by {scale} ({data['degraded']['operator']}) and seen by the predictor:"
        f" {seen}; scored against the masks of full resolution. To make the sizes multiples of"
        f" {scale} pixels {lost} at the bottom or right, as did their masks."
    ]


def refined(report: Report) -> list[str]:
    """How the maps were refined, if they were."""
    details = report["details"]
    if "refine" not in details:
        return []
    how = ", ".join(f"{name} {value:g}" for name, value in details["refine_settings"].items())
    return [f"Maps refined by `{details['refine']}` before they were scored ({how})."]


def _reports(report: Report) -> list[Report]:
    return [report, report["baseline"]] if "baseline" in report else [report]


def point_rows(report: Report, average: str) -> list[dict[str, str]]:
    """Table rows of the scores at the threshold."""
    return [
        _labels(part, result)
        | {"threshold": f"{result['threshold']:g} ({RULES[result['rule']]})"}
        | _cells(result[average])
        for part in _reports(report)
        for result in part["results"]
        if average in result
    ]


def curve_rows(report: Report) -> list[dict[str, str]]:
    """Table rows of the scores over all thresholds."""
    return [
        _labels(part, result) | _cells(result["over_thresholds"])
        for part in _reports(report)
        for result in part["results"]
        if "over_thresholds" in result
    ]


def _labels(report: Report, result: dict[str, Any]) -> dict[str, str]:
    return {
        "predictions": report["predictions"],
        "pictures": f"{result['subset']} ({result['pictures']})",
        "tolerance": f"{result['tolerance_px']:g} px",
    }


def _cells(scores: dict[str, Any]) -> dict[str, str]:
    return {TITLES[name]: score_cell(score) for name, score in scores.items()}


def score_cell(score: Any) -> str:
    """A score with its interval, if it has one."""
    if isinstance(score, float):
        return f"{score:g}"
    if score["value"] is None:
        return "–"
    if "low" not in score:
        return f"{score['value']:.4f}"
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def section(title: str, rows: Sequence[dict[str, str]], legend: str = "") -> list[str]:
    """Lines of a heading, perhaps a sentence, and a table; none without rows."""
    if not rows:
        return []
    titles = list(dict.fromkeys(title for row in rows for title in row))
    lines = [titles, ["---"] * len(titles)]
    lines += [[row.get(title, "") for title in titles] for row in rows]
    head = ["", f"## {title}", "", *([legend, ""] if legend else [])]
    return [*head, *(f"| {' | '.join(cells)} |" for cells in lines)]
