"""What tiles save: peak memory beside the whole image, and time per megapixel as images grow.

    python benchmarks/tiles.py
    python benchmarks/tiles.py --side 2048 --megapixels 1 4 16 --threads 1 --clock cpu

First `fissura predict` on a rendered photograph of SIDE×SIDE with the picture as it is (input scale
1), in tiles as by default and whole, each in a process of its own: peak resident memory, as
`memory.py` reads it. Then the crack map alone, in this process: milliseconds per megapixel of
square photographs, every size in turn, and how far they lie apart.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from memory import photograph, run_command
from naive import CLOCKS

from fissura.benchmark import interleave
from fissura.config import PredictSettings
from fissura.engines import available_cores, open_engine
from fissura.maps import choose_tile, crack_map
from fissura.weights import read_card, resolve

AT_ONE = PredictSettings(input_scale=1)


def print_memory(options: argparse.Namespace) -> None:
    """Peak of tiles and of the whole image."""
    side = options.side
    card = read_card(resolve(options.model))
    tile, overlap = choose_tile((side, side), card, AT_ONE)
    given = ["--model", options.model, "--input-scale", "1", "--formats", "json"]
    given += ["--threads", str(options.threads)]
    ways = {f"tiles of {tile}, overlap {overlap}": [], "whole": ["--tile", str(side)]}
    ways["whole"] += ["--overlap", "0"]
    print(f"| {card.name}, {side}×{side} | peak memory | of the whole image | time |\n|-|-|-|-|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photograph.jpg")
        cv2.imwrite(str(path), photograph((side, side)))
        found = {
            way: run_command(path, Path(folder, f"out{number}"), given + more)
            for number, (way, more) in enumerate(ways.items())
        }
    for way, (peak, seconds) in found.items():
        share = peak / found["whole"][0]
        print(f"| {way} | {peak:.2f} GB | {share:.2f} | {seconds:.0f} s |")


def print_times(options: argparse.Namespace) -> None:
    """Milliseconds per megapixel of every size, and the spread of their medians."""
    engine = open_engine(options.model, threads=options.threads)
    sides = [round((megapixels * 1e6) ** 0.5) for megapixels in options.megapixels]
    images = [photograph((side, side)) for side in sides]
    runs = [lambda image=image: crack_map(image, engine, AT_ONE) for image in images]
    seconds = interleave(runs, options.rounds, CLOCKS[options.clock])
    sizes = np.array([side**2 / 1e6 for side in sides])
    each = 1e3 * np.median(seconds, axis=0) / sizes
    print(f"\n| {engine.card.name}, photograph | tile, overlap | ms per megapixel |\n|-|-|-|")
    for side, value in zip(sides, each, strict=True):
        tile, overlap = choose_tile((side, side), engine.card, AT_ONE)
        print(f"| {side}×{side} | {min(tile, side)}, {overlap} | {value:.0f} |")
    middle = (each.max() + each.min()) / 2
    print(f"\nall within {each.max() / middle - 1:.1%} of their middle, {middle:.0f} ms")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cgnet")
    parser.add_argument("--side", type=int, default=4096, help="0 leaves the first table out")
    parser.add_argument("--megapixels", type=float, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    if options.side:
        print_memory(options)
    if options.megapixels:
        print_times(options)


if __name__ == "__main__":
    main()
