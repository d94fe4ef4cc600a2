"""The baseline without training: black-hat transforms, scored by the protocol `honest`.

    python benchmarks/blackhat.py ../shared/data/cfd:held_back ../shared/data/deepcrack537:test

The diameter is chosen on the training part of each set by ODS without tolerance; only the winner is
scored on the split named after the colon. Prints one table row per set and tolerance.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fissura.datasets import open_dataset
from fissura.evaluate import EvaluateSettings, choose_black_hat, evaluate
from fissura.evaluate.sources import Computed

MAX_TRAINING = 60


def choose(data: Path) -> Computed:
    """The best transform on (a sample of) the training part."""
    training = open_dataset(data, split="train")
    step = -(-len(training) // MAX_TRAINING)
    return choose_black_hat([training[i] for i in range(0, len(training), step)])


def rows(target: str) -> Iterator[list[str]]:
    """Table rows of one `folder:split`."""
    folder, _, split = target.partition(":")
    settings = EvaluateSettings(validation="val", overwrite=True)
    with tempfile.TemporaryDirectory() as out:
        source = choose(Path(folder))
        report = evaluate(source, Path(folder), None, split, "honest", Path(out), settings)
    for result in report["results"]:
        label = f"{report['data']['folder']} {split}, {result['subset']} ({result['pictures']})"
        start = [label, source.name, f"{result['tolerance_px']:g} px"]
        yield start + [_cell(part.get(name)) for part, name in _columns(result)]


def _columns(result: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    over, pooled = result["over_thresholds"], result["pooled"]
    return [(over, "ods"), (over, "ois"), (over, "ap"), (pooled, "f1"), (pooled, "mean_iou")]


def _cell(score: dict[str, float] | None) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})" if score else ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="+", metavar="FOLDER:SPLIT")
    targets = parser.parse_args().targets
    titles = ["pictures", "method", "tolerance", "ODS", "OIS", "AP"]
    titles += ["F1 (validation)", "mIoU (validation)"]
    for cells in (titles, ["---"] * len(titles)):
        print(f"| {' | '.join(cells)} |")
    for target in targets:
        for cells in rows(target):
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
