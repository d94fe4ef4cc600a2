"""Scores of the shipped weights on every kept-back part, beside the black-hat without training.

    python benchmarks/score_weights.py ../shared/data [--model cgnet] [--sets cfd …]

Prints docs/scores.md: one table at a threshold chosen beforehand on validation pictures, one over
all thresholds, and one under the protocols of the literature. Pictures are predicted once a set.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fissura.engines import Engine, open_engine
from fissura.evaluate import EvaluateSettings, evaluate

SETS = {
    "deepcrack537": "test",
    "cfd": "held_back",
    "crackmap": "held_back",
    "masonry": "held_back",
    "cracktile": "held_back",
    "road_sequences": "held_back",
    "crack500_crops": "held_back",
    "asphaltcrack300": "held_back",
    "khanhha_mix": "held_back",
}
NO_VALIDATION = frozenset({"road_sequences"})
"""Sets of which the whole training part was trained on, so that no baseline can be chosen there."""

Row = list[str]
Tables = dict[str, list[Row]]
HEADS: dict[str, Row] = {
    "At a threshold from validation pictures": [
        "pictures", "predictions", "threshold", "P", "R", "F1", "crack IoU", "mIoU",
    ],
    "Over all thresholds, the best on the scored pictures themselves": [
        "pictures", "predictions", "ODS 0 px", "ODS 2 px", "ODS 5 px", "OIS 0 px", "AP 0 px", "AIU",
    ],
    "Protocols of the literature": [
        "pictures", "predictions", "mmseg mIoU", "liu2019-release F", "liu2019-release mIoU",
    ],
}  # fmt: skip


def score(engine: Engine, root: Path, name: str) -> dict[str, Any]:
    """Reports of all protocols on the kept-back part of one set."""
    settings = EvaluateSettings(baseline=name not in NO_VALIDATION)
    with tempfile.TemporaryDirectory() as out:
        return evaluate(engine, root / name, None, SETS[name], "all", Path(out) / "r", settings)


def rows(reports: dict[str, Any], name: str) -> Iterator[tuple[str, Row]]:
    """Table title and row, for the network and, where it was asked for, the baseline."""
    both = [reports, {key: report.get("baseline") for key, report in reports.items()}]
    for part in both:
        if part["honest"] is None:
            continue
        by = {key: _by_subset(report) for key, report in part.items()}
        for subset, honest in by["honest"].items():
            start = [f"{name}, {subset} ({honest[0]['pictures']})", part["honest"]["predictions"]]
            mmseg, liu = by["mmseg"][subset][0], by["liu2019-release"][subset][0]
            yield from zip(HEADS, _lines(start, honest, mmseg, liu), strict=True)


def _by_subset(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Results of a report by subset, rising in tolerance."""
    found: dict[str, list[dict[str, Any]]] = {}
    for result in sorted(report["results"], key=lambda row: row["tolerance_px"]):
        found.setdefault(result["subset"], []).append(result)
    return found


def _lines(start: Row, honest: list[dict[str, Any]], mmseg: Any, liu: Any) -> list[Row]:
    pooled, over = honest[0]["pooled"], honest[0]["over_thresholds"]
    at = [pooled[key] for key in ("precision", "recall", "f1", "crack_iou", "mean_iou")]
    ods = [result["over_thresholds"]["ods"] for result in honest]
    best = [*ods, over["ois"], over["ap"], over["aiu"]]
    literature = [mmseg["pooled"]["mean_iou"], liu["pooled"]["f1"], liu["pooled"]["mean_iou"]]
    return [
        [*start, f"{honest[0]['threshold']:g}", *map(_cell, at)],
        [*start, *map(_cell, best)],
        [*start, *map(_cell, literature)],
    ]


def _cell(score: dict[str, Any]) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def write(tables: Tables, engine: Engine) -> str:
    """The page."""
    lines = [
        "# Scores of the shipped weights",
        "",
        f"`{engine.card.name}`, weights {engine.card.weights_sha256[:12]}, own threshold "
        f"{engine.card.threshold:g}; made by `python benchmarks/score_weights.py ../shared/data`.",
        "In brackets: 95% bootstrap intervals over photographs and sequences.",
        "[Evaluation](evaluate.md) defines every score, [protocols](protocols.md) every protocol;",
        "training saw none of the pictures.",
    ]
    for title, body in tables.items():
        lines += ["", f"## {title}", ""]
        for cells in (HEADS[title], ["---"] * len(HEADS[title]), *body):
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--model", default="cgnet")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    options = parser.parse_args()
    engine = open_engine(options.model)
    tables: Tables = {title: [] for title in HEADS}
    for name in options.sets:
        for title, row in rows(score(engine, options.root, name), name):
            tables[title].append(row)
    print(write(tables, engine))


if __name__ == "__main__":
    main()
