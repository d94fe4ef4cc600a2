"""Writes what an evaluation of boxes found: report.json, report.md, curves.csv, pr_curve.png."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fissura.evaluate.boxes import compare
from fissura.evaluate.boxes.plot import plot_systems
from fissura.evaluate.boxes.protocols import BOX_HEADLINE, BOX_TITLES, BoxProtocol
from fissura.evaluate.boxes.scoring import Pictures, System
from fissura.evaluate.boxes.sources import BoxSource
from fissura.evaluate.scorecard import rounded, score_cell, section
from fissura.evaluate.scoring import LEVEL
from fissura.types import Keyframe

Report = dict[str, Any]
KEPT_SPLITS = frozenset({"test", "held_back"})
UNSPLIT = (
    "No kept-back split was asked for, so sequences that the detector was trained on may be among"
    " these; score --split test or held_back."
)
POINT_TITLES = {
    "fixed": "At the threshold, counts of the classes summed",
    "validation": "At the threshold, counts of the classes summed",
    "best": "At the threshold with the best F1 on these pictures",
}
COLUMNS = ("recall", "precision", "score", "f1")


def head(
    name: str, protocol: BoxProtocol, sources: Sequence[BoxSource], systems: Sequence[System]
) -> Report:
    """What was scored and how."""
    return {
        "protocol": {
            "name": name,
            "sentence": protocol.sentence,
            "source": protocol.source,
            "comparable": protocol.comparable,
            "defines": list(protocol.defines),
        },
        "predictions": [
            {"name": system.label, "details": dict(source.details)}
            | ({"threshold": rounded(system.choice)} if protocol.operating else {})
            for source, system in zip(sources, systems, strict=True)
        ],
    }


def data_head(
    data: Path,
    dataset: str | None,
    split: str | None,
    keyframes: Sequence[Keyframe],
    classes: Sequence[str],
) -> Report:
    """Which pictures, and how many boxes of which classes."""
    labels = [name for keyframe in keyframes for name in keyframe.labels]
    counts = {name: labels.count(name) for name in classes}
    wanted = set(classes)
    clean = sum(not wanted.intersection(keyframe.labels) for keyframe in keyframes)
    return {
        "folder": data.name or str(data),
        "dataset": dataset or "by its folders",
        "split": split or "all",
        "pictures": len(keyframes),
        "groups": len({keyframe.sequence for keyframe in keyframes}),
        "without_boxes": clean,
        "boxes": counts,
        "other_classes": {n: labels.count(n) for n in sorted(set(labels) - wanted)},
        "note": "" if split in KEPT_SPLITS else UNSPLIT,
    }


def intervals(pictures: Pictures) -> Report:
    """How the intervals came about."""
    count, groups = len(pictures.sequences), pictures.groups
    drawn = f"sequences ({groups} of {count} pictures), drawn whole"
    return {
        "level": LEVEL,
        "resamples": pictures.bootstrap.resamples,
        "seed": pictures.bootstrap.seed,
        "unit": f"{drawn if groups < count else 'pictures'}; percentile bootstrap",
    }


def write_all(reports: Mapping[str, Report], out: Path, files: Sequence[str]) -> Report:
    """Write one report into `out`, or several into folders there with a table of all of them."""
    if len(reports) == 1:
        return write(next(iter(reports.values())), out, files)
    written = {name: write(found, out / name, ()) for name, found in reports.items()}
    first = next(iter(written.values()))
    rows = summary(written)
    table = {"data": first["data"], "rows": rows, "files": list(files)}
    _write_json(table, out / "protocols.json")
    lines = [*_title(first), "", *_about_data(first), *section("By protocol", _named(rows))]
    lines += ["", "## What compares", ""]
    lines += [f"- `{name}`: {found['protocol']['comparable']}." for name, found in written.items()]
    (out / "protocols.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


def write(report: Report, out: Path, files: Sequence[str]) -> Report:
    """Write the files into `out`; gives the report back without its curves, naming the files."""
    out.mkdir(parents=True, exist_ok=True)
    write_csv(report["curves"], out / "curves.csv")
    plot_systems(report, out / "pr_curve.png")
    short = {key: value for key, value in report.items() if key != "curves"}
    short["files"] = ["report.json", "report.md", "curves.csv", "pr_curve.png", *files]
    _write_json(short, out / "report.json")
    (out / "report.md").write_text(markdown(short), encoding="utf-8")
    return short


def write_csv(curves: Sequence[Report], path: Path) -> None:
    """One line per system, class and level, ten digits; nothing where precision is undefined."""
    columns = [name for name in COLUMNS if any(name in curve for curve in curves)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["predictions", "class", *columns])
        for curve in curves:
            for values in zip(*(curve[name] for name in columns), strict=True):
                line = ["" if np.isnan(value) else f"{value:.10g}" for value in values]
                writer.writerow([curve["predictions"], curve["class"], *line])


def markdown(report: Report) -> str:
    """The report as a page: what was scored, how, and the tables."""
    protocol, drawn = report["protocol"], report["intervals"]
    lines = [*_title(report), "", *_about_data(report), ""]
    lines += [f"Protocol `{protocol['name']}`: {protocol['sentence']}"]
    lines += [f"Source: {protocol['source']}.", *protocol["defines"]]
    lines += [
        f"Threshold of {one['name']}: {one['threshold']['value']:g}, {one['threshold']['how']}."
        for one in report["predictions"]
        if "threshold" in one
    ]
    if drawn["resamples"]:
        lines.append(
            f"In brackets: {drawn['level']:.0%} intervals from {drawn['resamples']} resamples of"
            f" the {drawn['unit']}."
        )
    for title, rows in _tables(report).items():
        lines += section(title, rows)
    lines += section("Against the first", compare.table(report.get("vs", ())))
    return "\n".join(lines) + "\n"


def summary(reports: Mapping[str, Report]) -> list[Report]:
    """The headline figures of every system under every protocol, over all classes."""
    return [
        {"protocol": name, "predictions": row["predictions"], "rule": row["rule"]}
        | {"scores": {s: v for s, v in row["scores"].items() if s in BOX_HEADLINE}}
        for name, report in reports.items()
        for row in report["results"]
        if row["class"] == "all"
    ]


def _title(report: Report) -> list[str]:
    data = report["data"]
    names = ", ".join(one["name"] for one in report["predictions"])
    return [f"# {names} on {data['folder']}, split {data['split']}"]


def _about_data(report: Report) -> list[str]:
    data = report["data"]
    boxes = ", ".join(f"{count} {name}" for name, count in data["boxes"].items())
    which = "" if data["images"] == "all" else "; pictures without boxes are left out"
    lines = [
        f"{data['pictures']} pictures in {data['groups']} sequences, {data['without_boxes']}"
        f" without boxes; boxes: {boxes}{which}."
    ]
    if data["other_classes"]:
        others = ", ".join(f"{count} {name}" for name, count in data["other_classes"].items())
        lines.append(f"Of other classes, which count for nothing: {others}.")
    return [*lines, *([f"**{data['note']}**"] if data["note"] else [])]


def _tables(report: Report) -> dict[str, list[dict[str, str]]]:
    tables: dict[str, list[dict[str, str]]] = {}
    for row in report["results"]:
        title = POINT_TITLES.get(row["rule"], "Over all thresholds")
        tables.setdefault(title, []).append(_line(row))
    return tables


def _line(row: Report) -> dict[str, str]:
    cells = {"predictions": row["predictions"], "class": row["class"]}
    if row["rule"]:
        value = row["threshold"]
        cells["threshold"] = "–" if value is None else f"{value:.4g} ({row['rule']})"
    return cells | {BOX_TITLES[name]: score_cell(score) for name, score in row["scores"].items()}


def _named(rows: Sequence[Report]) -> list[dict[str, str]]:
    return [
        {
            "predictions": row["predictions"],
            "protocol": row["protocol"] + (f" ({row['rule']})" if row["rule"] else ""),
        }
        | {BOX_TITLES[name]: score_cell(score) for name, score in row["scores"].items()}
        for row in rows
    ]


def _write_json(document: Any, path: Path) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
