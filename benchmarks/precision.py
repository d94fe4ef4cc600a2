"""What another engine, bf16, fp16 or int8 changes in a model's maps: scores on pictures with masks.

    python benchmarks/precision.py ../shared/data/cfd:held_back ../shared/data/deepcrack537:test
        --calibrate DIR [--model cssr] [--pictures N] [--operator bicubic]
        [--threads N]

Prints Markdown tables: IoU at 0.5, IoU-max and AIU by protocol `cssr` with ONNX Runtime in float32,
then by how much every other way to run the model differs, in pairs on the same resamples of the
photographs. A model that enlarges is given the pictures reduced as much. int8 takes its ranges from
the pictures behind `--calibrate`, as they are; they should be others than those scored.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path

from far_away import Part, print_table, quiet
from ways import open_rounded

from fissura.engines import Engine
from fissura.evaluate import PROTOCOLS, EvaluateSettings
from fissura.evaluate.counting import collect
from fissura.evaluate.far import FarAway
from fissura.evaluate.scoring import Bootstrap, Choice, Found, Values, quantity, value_rows
from fissura.evaluate.sources import from_engine

PROTOCOL = dataclasses.replace(PROTOCOLS["cssr"], picture_scores=())
FIXED = Choice(PROTOCOL.fixed, "fixed", "")
SCORES = {
    "IoU at 0.5": ("per_image", "smooth_iou"),
    "IoU-max": ("over_thresholds", "iou_max"),
    "AIU": ("over_thresholds", "aiu"),
}


def score(engine: Engine, where: str, options: argparse.Namespace) -> tuple[int, dict[str, Values]]:
    """Number of pictures, and the scores: of the pictures, then of every resample."""
    folder, _, split = where.rpartition(":")
    source, times = from_engine(engine, EvaluateSettings().predict), engine.card.output_scale
    settings = EvaluateSettings()
    if times > 1:
        source = FarAway(source, options.operator, times)
        settings = EvaluateSettings(degrade=options.operator, degrade_scale=times)
    protocols = {"cssr": PROTOCOL}
    job = Part(Path(folder), None, split, settings, protocols, quiet, options.pictures)
    samples = job.samples(split)
    counted = collect(job, source, samples, {"cssr": FIXED})
    bootstrap = Bootstrap(settings.resamples, settings.seed, samples.groups)
    found = Found(counted.tallies["cssr"], FIXED)
    row = value_rows(PROTOCOL, found, range(len(samples)), bootstrap)[0]
    return len(samples), {title: row[part][name] for title, (part, name) in SCORES.items()}


def cell(values: Values, digits: int) -> str:
    """The value with its interval."""
    found = quantity(values)
    low, high = found.get("low"), found.get("high")
    between = "" if low is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{found['value']:.{digits}f}{between}".replace("-", "−")


def main() -> None:
    """Print the tables of every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", metavar="FOLDER:SPLIT")
    parser.add_argument("--model", default="cssr")
    parser.add_argument("--calibrate", nargs="+", required=True, metavar="DIR")
    parser.add_argument("--operator", default="bicubic")
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = options.model, options.calibrate, Path(folder), options.threads
        engines = dict(open_rounded(*given))
        for where in options.sets:
            count, table = rows(engines, where, options)
            print(f"\n**{options.model}, {where}, {count} pictures**\n")
            print_table(iter(table))


def rows(
    engines: Mapping[str, Engine], where: str, options: argparse.Namespace
) -> tuple[int, list[list[str]]]:
    """Number of pictures, and the table."""
    table, base, count = [["engine", *SCORES]], None, 0
    for name, engine in engines.items():
        count, found = score(engine, where, options)
        if base is None:
            base, digits, said, shown = found, 3, "", found
        else:
            digits, said = 5, ", difference"
            shown = {key: values - base[key] for key, values in found.items()}
        table.append([f"{name}{said}", *(cell(values, digits) for values in shown.values())])
    return count, table


if __name__ == "__main__":
    main()
