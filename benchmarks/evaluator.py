"""How long protocols take for 237 random maps of 544×384, all thresholds and tolerances.

    python benchmarks/evaluator.py [--pictures 237]
    python benchmarks/evaluator.py --protocol cssr --pictures 200 --size 448 448

Prints for each protocol the seconds for the counts (float32 and 8-bit maps) and for the scores with
1,000 resamples; for `cssr` also for HD95, PSNR and SSIM.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import cv2
import numpy as np

from fissura.evaluate.pictures import measure
from fissura.evaluate.protocols import PROTOCOLS, Protocol
from fissura.evaluate.scorecard import TITLES
from fissura.evaluate.scoring import Bootstrap, Choice, Found, score_rows
from fissura.evaluate.sources import Seen
from fissura.types import BoolMask, FloatMap, Sample

SIZE_WH = (544, 384)
TIMED = ("honest", "zou2019", "zou2019-matched")


def random_pair(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[FloatMap, BoolMask]:
    """A crack-like truth of about 3.5 % and a map that mostly agrees with it."""
    rough = cv2.GaussianBlur(rng.standard_normal(size_hw, np.float32), (0, 0), 6)
    truth = np.abs(rough) < np.quantile(np.abs(rough), 0.035)
    noise = rng.random(size_hw, np.float32)
    soft = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 1.5)
    return np.clip(0.8 * soft + 0.3 * noise**4, 0, 1, dtype=np.float32), truth


def time_protocol(name: str, pairs: list[tuple[FloatMap, BoolMask]]) -> None:
    """Print what one protocol takes for its counts and for its scores."""
    protocol = PROTOCOLS[name]
    tolerances = ", ".join(f"{t:g}" for t in protocol.tolerances)
    print(f"{name}: {len(protocol.thresholds.values)} thresholds, tolerances {tolerances} px")
    total = 0.0
    for kind in ("8-bit", "float32"):
        tally = protocol.tally(None)
        start = time.perf_counter()
        for soft, truth in pairs:
            levels = (soft * 255).astype(np.uint8) if kind == "8-bit" else soft
            tally.update(protocol.encode(levels), truth)
        total = time.perf_counter() - start
        print(f"  counts of {kind} maps: {total:.1f} s ({total / len(pairs):.3f} s a picture)")
    start = time.perf_counter()
    found = Found(tally, Choice(None, "best", ""))
    score_rows(protocol, found, np.arange(len(pairs)), Bootstrap())
    scores = time.perf_counter() - start
    print(f"  scores with intervals from 1,000 resamples: {scores:.1f} s")
    print(f"  together (float32): {total + scores:.1f} s")
    if protocol.picture_scores:
        time_picture_scores(protocol, pairs)


def time_picture_scores(protocol: Protocol, pairs: list[tuple[FloatMap, BoolMask]]) -> None:
    """Print what HD95, and PSNR and SSIM of pictures drawn as the maps are, take on top."""
    seconds = {"hd95": 0.0, "psnr": 0.0, "ssim": 0.0}
    for soft, truth in pairs:
        image = np.dstack([(soft * 255).astype(np.uint8)] * 3)
        sample = Sample(np.dstack([truth.astype(np.uint8) * np.uint8(255)] * 3), truth, "", "")
        for name in seconds:
            start = time.perf_counter()
            measure(
                dataclasses.replace(protocol, picture_scores=(name,)), Seen(soft, image), sample
            )
            seconds[name] += time.perf_counter() - start
    said = ", ".join(f"{TITLES[name]} {value:.1f} s" for name, value in seconds.items())
    print(f"  picture scores on top: {said}")


def main() -> None:
    """Time the protocols one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=237)
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=list(TIMED))
    parser.add_argument("--size", type=int, nargs=2, default=SIZE_WH, metavar=("W", "H"))
    given = parser.parse_args()
    width, height = given.size
    rng = np.random.default_rng(0)
    pairs = [random_pair(rng, (height, width)) for _ in range(given.pictures)]
    print(f"{given.pictures} maps of {width}×{height}")
    for name in given.protocol:
        time_protocol(name, pairs)


if __name__ == "__main__":
    main()
