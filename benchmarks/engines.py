"""Every engine and precision against the plain references, for all networks in one table.

    python benchmarks/engines.py
    python benchmarks/engines.py --networks cgnet cssr --frames 5 --threads 1 --clock cpu

CGNet runs with the shipped weights, the others in their published size with random ones, which cost
the same time. Each network's ways run in turn, every other round backwards, so that other load
falls on all; see `naive.py`, which prints one network alone. Exit code 1 if an exact engine
differs by more than rounding.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from naive import CLOCKS, COLUMNS, measure, with_random_weights

from fissura.engines import available_cores
from fissura.weights import shipped

SIZES = {
    "cgnet": "1024x1024",
    "deepcrack_zou": "512x512",
    "deepcrack_liu": "512x512",
    "cssr": "112x112",
    "beltcrackdet": "512x512",
}
"""Height × width of the network's input; that of CSSR becomes four times as large."""
SHIPPED = ("cgnet",)


def main() -> int:
    """Prints the table, a network at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="*", default=list(SIZES), choices=SIZES)
    parser.add_argument("--size", help="height x width, instead of the usual ones")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    print(f"{options.threads} threads, {options.clock} time, {options.frames} rounds\n")
    print(f"| network, input | {COLUMNS} |\n|-|-|-|-|-|-|-|")
    differs = False
    for name in options.networks:
        size = options.size or SIZES[name]
        given = argparse.Namespace(**vars(options) | {"size": size})
        with tempfile.TemporaryDirectory() as folder:
            own = name in SHIPPED and name in shipped()
            model = name if own else with_random_weights(name, Path(folder))
            for row in measure(model, given):
                print(f"| {name}, {size} | {row.cells} |", flush=True)
                differs |= row.differs
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
