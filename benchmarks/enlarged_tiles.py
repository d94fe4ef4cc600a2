"""What tiles change in networks that enlarge and standardise the picture by its own statistics.

    python benchmarks/enlarged_tiles.py [--model cssr]
    python benchmarks/enlarged_tiles.py --random --side 96 --tiles

Renders a small picture of a crack, evenly lit and in shade from one side to the other, and
compares the maps in tiles with those of the whole picture: tiles that are standardised as the whole
is, and each by its own statistics. With `--random` the network is CSSR in its published size with
random weights: its map means nothing but reacts to its statistics. Prints the peak memory as well.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np

from fissura.config import PredictSettings
from fissura.engines import BaseEngine, Engine, open_engine
from fissura.maps import enlarged_map
from fissura.synth import CrackSpec, render_crack
from fissura.types import UInt8Image


def random_engine(folder: Path, threads: int) -> Engine:
    """CSSR in its published size with random weights."""
    import torch

    from fissura.models import MODELS
    from fissura.weights.network import new_card, save_safetensors

    torch.manual_seed(0)
    path = folder / "random.safetensors"
    save_safetensors(MODELS["cssr"](), new_card("cssr"), path)
    return open_engine(path, threads=threads)


class EachByItself(BaseEngine):
    """An engine that does not say that it standardises."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.card, self.run = engine.name, engine.card, engine.run


def pictures(side: int) -> dict[str, UInt8Image]:
    """A rendered crack, evenly lit, and with light that falls to a third from left to right."""
    spec = CrackSpec(size_hw=(side, side), width_px=3.0, angle_deg=30.0, contrast=0.8)
    even = render_crack(spec, seed=1).image
    light = np.linspace(1, 1 / 3, side)[None, :, None]
    return {"even light": even, "shade": (even * light).astype(np.uint8)}


def rows(engine: Engine, side: int, tiles: list[int]) -> list[str]:
    """Table rows: every picture in tiles of every size."""
    name = "the whole's" if engine.standardises else "its own"
    found = []
    for light, image in pictures(side).items():
        whole, drawn = enlarged_map(image, engine, PredictSettings(tile=side, overlap=0))
        for tile in tiles:
            cut = PredictSettings(tile=tile, overlap=min(engine.card.overlap or 0, tile // 2))
            part, other = enlarged_map(image, engine, cut)
            gap = np.abs(part - whole)
            flips = np.mean((part > engine.card.threshold) != (whole > engine.card.threshold))
            picture = np.abs(drawn.astype(int) - other).max()
            cells = f"{gap.max():.3f} | {gap.mean():.4f} | {flips:.2%} | {picture}"
            found.append(f"| {name} | {light} | {tile} | {cells} |")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", default="cssr")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--tiles", type=int, nargs="*", default=[128, 160])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    print("| statistics | light | tile | largest gap | mean gap | flipped | picture, of 255 |")
    print("|-|-|-|-|-|-|-|")
    with tempfile.TemporaryDirectory() as folder:
        if given.random:
            engine = random_engine(Path(folder), given.threads)
        else:
            engine = open_engine(given.model, threads=given.threads)
        for way in (engine, EachByItself(engine)):
            print("\n".join(rows(way, given.side, given.tiles)), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\npeak memory with the picture of {given.side} pixels whole: {peak:.1f} GB")


if __name__ == "__main__":
    main()
