"""How long the evaluator takes: 237 random maps of 544×384, all thresholds, three tolerances.

    python benchmarks/evaluator.py [--pictures 237]
    python benchmarks/evaluator.py --protocol cssr --pictures 200 --size 448 448

Prints seconds for the counts (float32 and 8-bit maps) and for the scores with 1,000 resamples.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np

from fissura.evaluate.protocols import PROTOCOLS
from fissura.evaluate.scoring import Bootstrap, Choice, score_rows
from fissura.types import BoolMask, FloatMap

SIZE_WH = (544, 384)


def random_pair(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[FloatMap, BoolMask]:
    """A crack-like truth of about 3.5 % and a map that mostly agrees with it."""
    rough = cv2.GaussianBlur(rng.standard_normal(size_hw, np.float32), (0, 0), 6)
    truth = np.abs(rough) < np.quantile(np.abs(rough), 0.035)
    noise = rng.random(size_hw, np.float32)
    soft = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 1.5)
    return np.clip(0.8 * soft + 0.3 * noise**4, 0, 1, dtype=np.float32), truth


def main() -> None:
    """Time the passes and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=237)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="honest")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE_WH, metavar=("W", "H"))
    given = parser.parse_args()
    pictures, (width, height), protocol = given.pictures, given.size, PROTOCOLS[given.protocol]
    rng = np.random.default_rng(0)
    pairs = [random_pair(rng, (height, width)) for _ in range(pictures)]
    thresholds, tolerances = len(protocol.thresholds.values), protocol.tolerances
    print(f"{pictures} maps of {width}×{height}, {thresholds} thresholds, ", end="")
    print(f"tolerances {', '.join(f'{t:g}' for t in tolerances)} px")
    total = 0.0
    for kind in ("8-bit", "float32"):
        tally = protocol.tally(None)
        start = time.perf_counter()
        for soft, truth in pairs:
            levels = (soft * 255).astype(np.uint8) if kind == "8-bit" else soft
            tally.update(protocol.encode(levels), truth)
        total = time.perf_counter() - start
        print(f"counts of {kind} maps: {total:.1f} s")
    start = time.perf_counter()
    choice, everything = Choice(0.5, "fixed", ""), np.arange(pictures)
    score_rows(protocol, tally, choice, everything, Bootstrap())
    scores = time.perf_counter() - start
    print(f"scores with intervals from 1,000 resamples: {scores:.1f} s")
    print(f"together (float32): {total + scores:.1f} s")


if __name__ == "__main__":
    main()
