"""What each refinement gains on a data set, and what it costs.

    python benchmarks/refine.py ../shared/data/deepcrack537 [--model cgnet] [--split test]
        [--refine guided crf] [--set guided.radius_px=2 …]

Prints a Markdown table for docs/refine.md. The network sees every picture once; its maps are kept
and refined. The honest threshold is the best of the split `val`, refined alike; for `val` itself
it is the model's own. Milliseconds are processor time, which other work leaves alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fissura.config import PredictSettings, apply_overrides, build_settings
from fissura.engines import Engine, open_engine
from fissura.evaluate import EvaluateSettings, evaluate
from fissura.maps import network_maps
from fissura.refine import OWN_THRESHOLDS, REFINERS, SIDE_GUIDED, refine
from fissura.types import FloatMap, Sample

VALIDATION = "val"
HEAD = (
    "refinement",
    "pictures",
    "`liu2019-release` F",
    "mIoU",
    "at",
    "honest F1",
    "at",
    "ms a picture",
)


class Maps:
    """What the network finds in every picture, computed when first asked for."""

    def __init__(self, engine: Engine, outputs: Sequence[str]) -> None:
        self.engine, self._outputs = engine, outputs
        self._kept: dict[tuple[str, str], FloatMap] = {}

    def of(self, sample: Sample) -> FloatMap:
        """K×H×W maps."""
        key = sample.set, sample.name
        if key not in self._kept:
            found = network_maps(sample.image, self.engine, PredictSettings(), self._outputs)
            self._kept[key] = found
        return self._kept[key]


class Refined:
    """A source of crack maps as `evaluate` wants it, which times the refinement."""

    def __init__(self, maps: Maps, settings: PredictSettings) -> None:
        self.name = f"{maps.engine.card.name}, {settings.refine}"
        self.threshold: float | None = OWN_THRESHOLDS.get(
            settings.refine, maps.engine.card.threshold
        )
        self.details: Mapping[str, Any] = {}
        self.seconds: list[float] = []
        self._maps, self._settings = maps, settings
        self._kept: dict[tuple[str, str], FloatMap] = {}

    def check(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Nothing can be missing."""

    def predict(self, sample: Sample) -> FloatMap:
        """The refined map of the picture, refined once."""
        key = sample.set, sample.name
        if key not in self._kept:
            probability, *side1 = self._maps.of(sample)
            started = time.process_time()
            self._kept[key] = refine(probability, sample.image, self._settings, *side1)
            self.seconds.append(time.process_time() - started)
        return self._kept[key]

    def finish(self) -> None:
        """Nothing can be wrong."""


def rows(maps: Maps, settings: PredictSettings, data: Path, split: str) -> Iterator[str]:
    """Table rows of one refinement, one for each part of the split."""
    source = Refined(maps, settings)
    chosen = EvaluateSettings(resamples=0, validation=None if split == VALIDATION else VALIDATION)
    reports = {}
    for protocol, how in (
        ("liu2019-release", EvaluateSettings(resamples=0)),
        ("honest", chosen),
    ):
        with tempfile.TemporaryDirectory() as out:
            reports[protocol] = evaluate(source, data, None, split, protocol, Path(out) / "r", how)
    cost = "–" if settings.refine == "none" else f"{statistics.median(source.seconds) * 1e3:.0f}"
    honest = {row["subset"]: row for row in reversed(reports["honest"]["results"])}
    for row in reports["liu2019-release"]["results"]:
        at = honest[row["subset"]]
        cells = [
            settings.refine,
            f"{row['subset']} ({row['pictures']})",
            f"{row['pooled']['f1']['value']:.4f}",
            f"{row['pooled']['mean_iou']['value']:.4f}",
            f"{row['threshold']:.2f}",
            f"{at['pooled']['f1']['value']:.4f}",
            f"{at['threshold']:.3f}",
            cost,
        ]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="cgnet")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--split", default="test")
    parser.add_argument("--refine", nargs="+", default=["guided", "crf"], choices=REFINERS)
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    options = parser.parse_args()
    engine = open_engine(options.model, options.engine)
    wanted = ("logits", "side1") if SIDE_GUIDED & set(options.refine) else ("logits",)
    maps = Maps(engine, wanted)
    print(f"| {' | '.join(HEAD)} |\n| {' | '.join(['-'] * len(HEAD))} |")
    for name in ("none", *options.refine):
        values = apply_overrides({"refine": name}, options.changes)
        settings = build_settings(PredictSettings, values, "refine")
        for row in rows(maps, settings, options.data, options.split):
            print(row, flush=True)


if __name__ == "__main__":
    main()
