"""Does it pay to give the network several tiles at once?

    python benchmarks/tile_batch.py --size 512x512 --batches 1 2 4 --threads 1 --clock cpu

Prints a Markdown table: time per tile with so many in one run, beside that of one after the other,
in turn. The tiles are of the size that the network sees.
"""

from __future__ import annotations

import argparse

import numpy as np
from naive import CLOCKS

from fissura.benchmark import interleave
from fissura.engines import available_cores
from fissura.graphs import Graph, OnnxRuntimeGraph, OpenVinoGraph
from fissura.weights import resolve


def main() -> None:
    """Print one row for every engine and number of tiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cgnet")
    parser.add_argument("--size", default="512x512", help="height x width of a tile")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    path = resolve(options.model)
    graphs: dict[str, Graph] = {
        "onnxruntime float32": OnnxRuntimeGraph(path, options.threads),
        "openvino float32": OpenVinoGraph(path, "float32", options.threads),
        "openvino bf16": OpenVinoGraph(path, "bf16", options.threads),
    }
    print(
        f"| {path.stem}, {options.size} | tiles at once | ms per tile | times as fast (quartiles) |"
    )
    print("|-|-|-|-|")
    for name, graph in graphs.items():
        print_rows(name, graph, options)


def print_rows(name: str, graph: Graph, options: argparse.Namespace) -> None:
    """All numbers of tiles on one engine, in turn."""
    height, width = map(int, options.size.split("x"))
    rng = np.random.default_rng(0)
    most = max(options.batches)
    tiles = rng.integers(0, 256, (most, 3, height, width)).astype(np.float32)

    def work(batch: int) -> None:
        for start in range(0, most, batch):
            graph.run({graph.inputs[0]: tiles[start : start + batch]})

    runs = [lambda batch=batch: work(batch) for batch in options.batches]
    seconds = interleave(runs, options.rounds, CLOCKS[options.clock])
    for column, batch in enumerate(options.batches):
        low, ratio, high = np.percentile(seconds[:, 0] / seconds[:, column], [25, 50, 75])
        each = 1e3 * np.median(seconds[:, column]) / most
        print(f"| {name} | {batch} | {each:.0f} | {ratio:.2f} ({low:.2f} to {high:.2f}) |")


if __name__ == "__main__":
    main()
