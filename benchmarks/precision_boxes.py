"""What another engine, bf16, fp16 or int8 changes in a detector's boxes: mAP50 on a set of belts.

    python benchmarks/precision_boxes.py DIR:SPLIT --model best.safetensors --calibrate DIR
        [--threads N]

Exports the model in every precision to a temporary folder, int8 with ranges from the belts behind
`--calibrate`, which should be others than those scored. Prints a Markdown table: mAP50 by protocol
`beltcrack` with ONNX Runtime in float32, then by how much every other way differs, on the same
resamples of the sequences, in points of mAP50 (hundredths).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ways import open_rounded

from fissura.evaluate import EvaluateSettings
from fissura.evaluate.boxes.evaluation import BoxJob, evaluate_boxes
from fissura.evaluate.boxes.protocols import BOX_PROTOCOLS
from fissura.evaluate.boxes.sources import FromEngine

PROTOCOL, SCORE = "beltcrack", "map50"


def sources(options: argparse.Namespace, folder: Path) -> Iterator[FromEngine]:
    """The detector in every way."""
    settings = EvaluateSettings()
    for name, engine in open_rounded(options.model, options.calibrate, folder, options.threads):
        source = FromEngine(engine, settings.predict, settings.min_score)
        source.name = name
        yield source


def rows(report: dict[str, Any]) -> Iterator[str]:
    """Markdown, the first row with the score itself."""
    first = next(row for row in report["results"] if row["class"] == "all")
    score = first["scores"][SCORE]
    yield f"| {first['predictions']} | {score['value']:.3f} | |"
    for row in report["vs"]:
        if row["name"] == SCORE:
            gap = {key: -100 * row["difference"][key] for key in ("value", "low", "high")}
            between = f"{gap['value']:+.2f} ({gap['high']:+.2f} to {gap['low']:+.2f})"
            yield f"| {row['b']} | {row['values'][1]:.3f} | {between.replace('-', '−')} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("data", metavar="DIR:SPLIT", help="an empty split is all of it")
    parser.add_argument("--model", type=Path, required=True, help="a safetensors file")
    parser.add_argument("--calibrate", nargs="+", required=True, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    root, _, split = options.data.rpartition(":")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = list(sources(options, folder))
        assert found[0].classes is not None
        protocols = {PROTOCOL: BOX_PROTOCOLS[PROTOCOL]}
        settings = EvaluateSettings()
        job = BoxJob(Path(root), None, split or None, settings, protocols, found[0].classes)
        report = evaluate_boxes(found, job, folder / "scores")
    print(f"\n**{options.model.stem}, {options.data}**\n")
    print("| way | mAP50 | points more (95 %) |\n|-|-|-|")
    print("\n".join(rows(report)))


if __name__ == "__main__":
    main()
