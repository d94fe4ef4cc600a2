"""One table of the same predictions under every protocol: protocols.json and protocols.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fissura.evaluate import paired
from fissura.evaluate.scorecard import AVERAGES, RULES, Report, degraded, refined, regions, section

COLUMNS = {
    "F": ("f1", "dice"),
    "ODS": ("ods",),
    "OIS": ("ois",),
    "AP": ("ap",),
    "AP (observed recall)": ("ap_interpolated",),
    "IoU": ("crack_iou", "jaccard", "smooth_iou"),
    "mIoU": ("mean_iou",),
    "AIU": ("aiu",),
    "IoU-max": ("iou_max",),
    "HD95": ("hd95",),
    "PSNR": ("psnr",),
    "SSIM": ("ssim",),
}
"""Column -> the scores that may stand in it; the protocol's own definition holds."""

READ = (
    "Figures of one row only compare with figures of the same protocol. F is F1 or Dice, IoU the"
    " crack's, both at the row's threshold; ODS, OIS, AP, AIU and IoU-max look at all thresholds of"
    " the scored pictures. Intervals stand in each protocol's own folder."
)


def write(reports: Mapping[str, Report], left_out: Mapping[str, str], out: Path) -> None:
    """Write both files; `left_out` says why a protocol could not be used."""
    rows = [row for report in reports.values() for row in report_rows(report)]
    first = next(iter(reports.values()))
    table = {
        "predictions": first["predictions"],
        "data": first["data"],
        "rows": rows,
        "left_out": dict(left_out),
    }
    text = json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False)
    (out / "protocols.json").write_text(text + "\n", encoding="utf-8")
    page = markdown(table, reports)
    (out / "protocols.md").write_text(page, encoding="utf-8")


def report_rows(report: Report) -> Iterator[dict[str, Any]]:
    """A protocol's row for every set of pictures, at the tolerance that it is quoted at."""
    protocol, seen = report["protocol"], set()
    for result in report["results"]:
        if result["subset"] in seen:
            continue
        seen.add(result["subset"])
        average = next(name for name in AVERAGES if name in result)
        scores = result[average] | result.get("over_thresholds", {})
        yield {
            "protocol": protocol["name"],
            "subset": result["subset"],
            "pictures": result["pictures"],
            "threshold": result["threshold"],
            "rule": result["rule"],
            "average": average,
            "tolerance_px": result["tolerance_px"],
            "matching": protocol["matching"] if result["tolerance_px"] else None,
            "scores": {name: score for name, score in scores.items() if name in paired.HEADLINE},
            "comparable": protocol["comparable"],
        }


def markdown(table: Mapping[str, Any], reports: Mapping[str, Report]) -> str:
    """The page: a table for every set of pictures, what compares with what, and A against B."""
    data = table["data"]
    lines = [f"# {table['predictions']} on {data['folder']}, split {data['split']}, by protocol"]
    first = next(iter(reports.values()))
    lines += ["", READ, regions(data), *degraded(first), *refined(first)]
    lines += [f"**{data['note']}**"] if data["note"] else []
    lines += [f"Left out: {reason}." for reason in table["left_out"].values()]
    for subset in dict.fromkeys(row["subset"] for row in table["rows"]):
        rows = [row for row in table["rows"] if row["subset"] == subset]
        title = f"{subset[0].upper()}{subset[1:]}, {rows[0]['pictures']} pictures"
        lines += section(title, [_line(row) for row in rows])
    notes = {row["protocol"]: row["comparable"] for row in table["rows"]}
    lines += ["", "## What compares", ""]
    lines += [f"- `{name}`: {note}." for name, note in notes.items()]
    lines += _against(reports)
    return "\n".join(lines) + "\n"


def _line(row: Mapping[str, Any]) -> dict[str, str]:
    tolerance = f"{row['tolerance_px']:g} px"
    cells = {
        "protocol": row["protocol"],
        "threshold": f"{row['threshold']:g} ({RULES[row['rule']]})",
        "counts": AVERAGES[row["average"]],
        "tolerance": f"{tolerance}, {row['matching']}" if row["matching"] else tolerance,
    }
    for column, names in COLUMNS.items():
        score = next((row["scores"][name] for name in names if name in row["scores"]), None)
        value = None if score is None else score["value"]
        cells[column] = "" if score is None else "–" if value is None else f"{value:.4f}"
    return cells


def _against(reports: Mapping[str, Report]) -> list[str]:
    rows = []
    for name, report in reports.items():
        tolerance = report["results"][0]["tolerance_px"]
        for score in report.get("vs", {}).get("scores", ()):
            if score["subset"] == "all" and score["tolerance_px"] == tolerance:
                rows.append({"protocol": name} | paired.rows({"scores": [score]})[0])
    if not rows:
        return []
    sides = next(iter(reports.values()))["vs"]
    names = [f"{letter.upper()}: {sides[letter]['predictions']}." for letter in ("a", "b")]
    return section("A against B", rows, " ".join(names))
