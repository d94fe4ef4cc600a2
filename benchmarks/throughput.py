"""Pictures a second of everything `fissura predict` does, beside those of the network alone.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --pictures 500 --size 544x384 --model cgnet --threads 1

Renders walls, writes them as JPEGs and works through them in blocks, three ways in turn so that
other load falls on all: the network alone, on pictures already in memory at its scale; reading,
network, measuring and writing one after the other; and the same overlapping, as the command does
it. Prints a Markdown table, what each stage cost, and which is the bottleneck. Exit code 1 where
the overlapping run reaches less than `--target` of the network alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from fissura.benchmark import WARM_UP, interleave
from fissura.engines import available_cores
from fissura.frames import read_image
from fissura.overlap import Stages
from fissura.pipeline import Predictor, formats_for, load
from fissura.report import open_writers
from fissura.synth import Texture, render_wall
from fissura.windows import enlarged_by

TEXTURES: tuple[Texture, ...] = ("concrete", "asphalt", "rubber")
DISTINCT = 12
JPEG_QUALITY = 92


def write_walls(folder: Path, count: int, size_wh: tuple[int, int]) -> list[Path]:
    """JPEGs of walls, of which `DISTINCT` differ; cut from renderings to the size."""
    folder.mkdir()
    width, height = size_wh
    encoded = []
    for number in range(min(DISTINCT, count)):
        wall = render_wall(TEXTURES[number % len(TEXTURES)], number, (height, width)).image
        _, data = cv2.imencode(".jpg", wall[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        encoded.append(data.tobytes())
    paths = [folder / f"wall_{number:04}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded[number % len(encoded)])
    return paths


def enlarged(path: Path, predictor: Predictor) -> np.ndarray:
    """The picture as the network sees it."""
    image, factor = read_image(path).image, predictor.settings.input_scale or 1
    return enlarged_by(image, factor)


def work_through(
    predictor: Predictor, sources: Iterable[Path], formats: Sequence[str], stages: Stages
) -> None:
    """What the command does with the sources; given as a list they overlap."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_writers(formats, Path(folder), overwrite=True) as write,
    ):
        for result in predictor.predict(sources, stages=stages):
            with stages.timing("write"):
                write(result)
            del result


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--blocks", type=int, default=10, help="parts that take turns")
    parser.add_argument("--size", default="544x384", help="width x height")
    parser.add_argument("--model", default="cgnet")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, help="of the network; all cores if not given")
    parser.add_argument("--formats", help="as of `fissura predict`; the usual ones")
    parser.add_argument("--target", type=float, default=0.9)
    return parser.parse_args()


def main() -> int:
    """Print the table and the stages."""
    options = read_options()
    width, height = map(int, options.size.split("x"))
    given = {"engine": options.engine, "precision": options.precision, "threads": options.threads}
    predictor = load(options.model, **given)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_walls(Path(folder, "walls"), options.pictures, (width, height))
        formats = formats_for(predictor.engine.card, paths)
        formats = options.formats.split(",") if options.formats else formats
        return compare(predictor, paths, formats, options)


def compare(
    predictor: Predictor, paths: list[Path], formats: Sequence[str], options: argparse.Namespace
) -> int:
    """Time the three ways in turn and print; 1 where the target is missed."""
    count = max(len(paths) // options.blocks, 1)
    blocks = [paths[start : start + count] for start in range(0, count * options.blocks, count)]
    seen = [enlarged(path, predictor) for path in paths[:DISTINCT]]
    in_turn, overlapping = Stages(), Stages()
    warm_up = [paths[:2]] * WARM_UP
    parts = {name: iter([*warm_up, *blocks]) for name in ("alone", "in turn", "overlapping")}

    def alone() -> None:
        for number in range(len(next(parts["alone"]))):
            predictor.engine.run(seen[number % len(seen)])

    ways: dict[str, Callable[[], None]] = {
        "the network alone": alone,
        "all stages in turn": lambda: work_through(
            predictor, iter(next(parts["in turn"])), formats, in_turn
        ),
        "all stages overlapping": lambda: work_through(
            predictor, next(parts["overlapping"]), formats, overlapping
        ),
    }
    seconds = interleave(list(ways.values()), options.blocks, time.perf_counter)
    threads = predictor.settings.threads or available_cores()
    height, width = read_image(paths[0]).size_hw
    print(
        f"{len(paths)} JPEGs of {width}×{height}, {predictor.engine.card.name} on"
        f" {predictor.engine.name} {predictor.settings.precision}; the network has {threads}"
        f" threads, the process {len(os.sched_getaffinity(0))} processors;"
        f" writes {','.join(formats)}\n"
    )
    print("| | pictures/s | of the network alone (quartiles) |\n|-|-|-|")
    for column, name in enumerate(ways):
        low, share, high = np.percentile(seconds[:, 0] / seconds[:, column], [25, 50, 75])
        rate = count / np.median(seconds[:, column])
        print(f"| {name} | {rate:.2f} | {share:.3f} ({low:.3f} to {high:.3f}) |")
    print(f"\nin turn: {in_turn}\noverlapping: {overlapping}")
    return int(share < options.target)


if __name__ == "__main__":
    sys.exit(main())
