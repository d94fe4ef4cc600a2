"""What is lost in pictures from far away, and what networks that enlarge them bring back.

    python benchmarks/far_away.py ../shared/data/cfd:held_back ../shared/data/deepcrack537:test
        [--models full=cgnet bicubic=cgnet joint=FILE …] [--operator bicubic] [--scale 4]
        [--validation val] [--pictures N] [--threads N]

Prints Markdown tables for docs/far-away.md: the published form (IoU-max and its share of that at
full resolution, AIU, HD95, PSNR, SSIM; protocol cssr) with F1 by protocol honest, its threshold
chosen on the validation part, reduced alike; then the differences from `bicubic`, on the same
resamples of the photographs. Of the models, `full` sees the pictures as they are and all others
the small ones: themselves if they enlarge, else enlarged by bicubic interpolation.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fissura.datasets import Reader
from fissura.engines import open_engine
from fissura.evaluate import PROTOCOLS, EvaluateSettings
from fissura.evaluate.choosing import choose
from fissura.evaluate.counting import collect
from fissura.evaluate.far import FarAway
from fissura.evaluate.job import Job, keys
from fissura.evaluate.paired import verdict
from fissura.evaluate.scoring import Bootstrap, Found, Values, quantity, value_rows
from fissura.evaluate.sources import Source, from_engine
from fissura.evaluate.subsets import find_subsets

FULL, BASE = "full", "bicubic"
SCORES = {
    "IoU-max": ("cssr", "over_thresholds", "iou_max"),
    "AIU": ("cssr", "over_thresholds", "aiu"),
    "HD95 (px)": ("cssr", "per_image", "hd95"),
    "PSNR (dB)": ("cssr", "per_image", "psnr"),
    "SSIM": ("cssr", "per_image", "ssim"),
    "F1": ("honest", "pooled", "f1"),
}
SHARE = "share of full"
COMPARED = ("IoU-max", "AIU", "HD95 (px)", "F1")
COARSE = frozenset({"HD95 (px)", "PSNR (dB)", SHARE})
"""Scores told with one decimal."""

Scores = dict[str, Values]
BySubset = dict[str, Scores]


@dataclass(frozen=True)
class Part(Job):
    """A job on at most so many pictures of each split, evenly spread."""

    most: int | None = None

    def samples(self, split: str | None) -> Reader:
        """The pictures of a split, or some of them."""
        found = super().samples(split)
        if self.most is not None:
            step = -(-len(found) // self.most)
            found.entries = found.entries[::step]
        return found


def quiet(done: int, total: int) -> None:
    """No progress is shown."""


def new_job(where: str, options: argparse.Namespace) -> Part:
    """Both protocols, honest without tolerance, on the set and split of `FOLDER:SPLIT`."""
    folder, _, split = where.rpartition(":")
    settings = EvaluateSettings(
        degrade=options.operator, degrade_scale=options.scale, validation=options.validation
    )
    honest = dataclasses.replace(PROTOCOLS["honest"], tolerances=(0,))
    protocols = {"cssr": PROTOCOLS["cssr"], "honest": honest}
    return Part(Path(folder), None, split, settings, protocols, quiet, options.pictures)


def open_way(name: str, model: str, options: argparse.Namespace) -> Source:
    """The model as it sees the pictures."""
    settings = EvaluateSettings().predict
    source = from_engine(open_engine(model, threads=options.threads), settings)
    return source if name == FULL else FarAway(source, options.operator, options.scale)


def score(job: Part, source: Source) -> BySubset:
    """By set of pictures and score: the value, then that of every resample."""
    samples = job.samples(job.split)
    choices = choose(job, source)
    counted = collect(job, source, samples, choices)
    bootstrap = Bootstrap(job.settings.resamples, job.settings.seed, samples.groups)
    found: BySubset = {}
    for label, index in find_subsets(job, keys(samples)).items():
        rows = {
            name: value_rows(
                protocol,
                Found(counted.tallies[name], choices[name], counted.measured[name]),
                index,
                bootstrap,
            )[0]
            for name, protocol in job.protocols.items()
        }
        found[f"{label} ({len(index)})"] = {
            title: rows[protocol][part][name]
            for title, (protocol, part, name) in SCORES.items()
            if name in rows[protocol][part]
        }
    return found


def level_rows(ways: Mapping[str, BySubset]) -> Iterator[list[str]]:
    """The table in the published form."""
    titles = ["IoU-max", SHARE, *list(SCORES)[1:]]
    yield ["pictures", "seen", *titles]
    for subset in ways[FULL]:
        for name, found in ways.items():
            scores = dict(found[subset])
            scores[SHARE] = 100 * scores["IoU-max"] / ways[FULL][subset]["IoU-max"]
            yield [subset, name, *(_cell(scores[t], t) if t in scores else "–" for t in titles)]


def difference_rows(ways: Mapping[str, BySubset]) -> Iterator[list[str]]:
    """Every way against the bicubic one."""
    yield ["pictures", "seen", *(f"{title}, difference" for title in COMPARED), "IoU-max, in words"]
    for subset, base in ways[BASE].items():
        for name, found in ways.items():
            if name == BASE:
                continue
            differences = {title: found[subset][title] - base[title] for title in COMPARED}
            words = verdict(quantity(differences["IoU-max"]))
            words = words.replace("A is", f"{name} is").replace("B is", f"{BASE} is")
            yield [subset, name, *(_cell(v, t) for t, v in differences.items()), words]


def _cell(values: Values, title: str) -> str:
    digits = 1 if title in COARSE else 3
    found = quantity(values)
    value, low, high = (f"{found[key]:.{digits}f}" for key in ("value", "low", "high"))
    percent = " %" if title == SHARE else ""
    return f"{value}{percent} ({low} to {high})".replace("-", "−")


def print_table(rows: Iterator[list[str]]) -> None:
    """Markdown; the first row is the heading."""
    for number, row in enumerate(rows):
        print(f"| {' | '.join(row)} |")
        if number == 0:
            print(f"| {' | '.join(['-'] * len(row))} |")
    print(flush=True)


def read_options() -> argparse.Namespace:
    """The command line, with the models by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", metavar="FOLDER:SPLIT")
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME=MODEL")
    parser.add_argument("--operator", default="bicubic")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--validation", default="val")
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    given = dict(pair.split("=", 1) for pair in options.models)
    options.models = {FULL: "cgnet", BASE: "cgnet"} | given
    return options


def main() -> None:
    """Print the tables of every set."""
    options = read_options()
    for where in options.sets:
        ways = {}
        for name, model in options.models.items():
            ways[name] = score(new_job(where, options), open_way(name, model, options))
        print(f"**{where}, reduced by {options.scale} ({options.operator})**\n")
        print_table(level_rows(ways))
        print_table(difference_rows(ways))


if __name__ == "__main__":
    main()
