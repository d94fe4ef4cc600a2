"""How long protocols take for 237 random maps of 544×384, all thresholds and tolerances.

    python benchmarks/evaluator.py [--pictures 237]
    python benchmarks/evaluator.py --protocol cssr --pictures 200 --size 448 448
    python benchmarks/evaluator.py --boxes [--pictures 20000] [--found 3]

Prints for each protocol the seconds for the counts (float32 and 8-bit maps) and for the scores with
1,000 resamples; for `cssr` also for HD95, PSNR and SSIM. All are seconds of processor time, which
other work on the machine hardly lengthens. With `--boxes` instead: for pictures of 3
true boxes and so many detections, the matching at ten overlaps and four ranges of size, the twelve
figures of `coco`, and `beltcrack` with 1,000 resamples of 40 sequences.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.evaluate.boxes.protocols import BOX_PROTOCOLS
from fissura.evaluate.boxes.scoring import Pictures, curve_scores
from fissura.evaluate.pictures import measure
from fissura.evaluate.protocols import PROTOCOLS, Protocol
from fissura.evaluate.scorecard import TITLES
from fissura.evaluate.scoring import Bootstrap, Choice, Found, score_rows
from fissura.evaluate.sources import Seen
from fissura.metrics.coco import coco_scores
from fissura.metrics.detection import FoundBoxes, TrueBoxes, match
from fissura.types import BoolMask, FloatMap, Sample

SIZE_WH = (544, 384)
TRUE_EACH, SEQUENCES = 3, 40
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
        start = time.process_time()
        for soft, truth in pairs:
            levels = (soft * 255).astype(np.uint8) if kind == "8-bit" else soft
            tally.update(protocol.encode(levels), truth)
        total = time.process_time() - start
        print(f"  counts of {kind} maps: {total:.1f} s ({total / len(pairs):.3f} s a picture)")
    start = time.process_time()
    found = Found(tally, Choice(None, "best", ""))
    score_rows(protocol, found, np.arange(len(pairs)), Bootstrap())
    scores = time.process_time() - start
    print(f"  scores with intervals from 1,000 resamples: {scores:.1f} s")
    print(f"  together (float32): {total + scores:.1f} s")
    if protocol.picture_scores:
        time_picture_scores(protocol, pairs)


def time_picture_scores(protocol: Protocol, pairs: list[tuple[FloatMap, BoolMask]]) -> None:
    """Print what HD95, and PSNR and SSIM of pictures drawn as the maps are, take on top."""
    seconds = dict.fromkeys((name for name in protocol.picture_scores if name != "one_empty"), 0.0)
    for soft, truth in pairs:
        image = np.dstack([(soft * 255).astype(np.uint8)] * 3)
        sample = Sample(np.dstack([truth.astype(np.uint8) * np.uint8(255)] * 3), truth, "", "")
        for name in seconds:
            start = time.process_time()
            measure(
                dataclasses.replace(protocol, picture_scores=(name,)), Seen(soft, image), sample
            )
            seconds[name] += time.process_time() - start
    said = ", ".join(f"{TITLES.get(name, name)} {value:.1f} s" for name, value in seconds.items())
    print(f"  picture scores on top: {said}")


def random_boxes(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Boxes xywh of all sizes."""
    return np.concatenate(
        [rng.uniform(0, 900, (count, 2)), 2 ** rng.uniform(3, 8, (count, 2))], axis=1
    )


def time_boxes(pictures: int, found_each: int) -> None:
    """Print what the protocols of boxes take; 3 true boxes a picture, detections near and far."""
    rng = np.random.default_rng(0)
    count = TRUE_EACH * pictures
    boxes = random_boxes(rng, count)
    image = np.repeat(np.arange(pictures), TRUE_EACH)
    zeros = np.zeros(count, np.intp)
    truth = TrueBoxes(image, zeros, boxes, boxes[:, 2] * boxes[:, 3], np.zeros(count, np.bool_))
    near = boxes + 0.1 * rng.standard_normal(boxes.shape) * np.tile(boxes[:, 2:], 2)
    near[:, 2:] = np.abs(near[:, 2:])
    far = max(0, found_each - TRUE_EACH) * pictures
    found = FoundBoxes(
        np.concatenate([image, rng.integers(pictures, size=far)]),
        np.zeros(count + far, np.intp),
        np.concatenate([near, random_boxes(rng, far)]),
        np.concatenate([rng.random(count), rng.random(far) ** 3]),
    )
    print(f"{pictures} pictures of {TRUE_EACH} boxes, {len(found.score)} detections")
    start = time.process_time()
    matches = match(truth, found, pictures)
    matched = time.process_time()
    coco_scores(matches, [0], np.ones((1, pictures)))
    scored = time.process_time()
    print(f"  matching {matched - start:.1f} s, twelve figures {scored - matched:.1f} s")
    sequences = [str(i * SEQUENCES // pictures) for i in range(pictures)]
    drawn = Pictures(sequences, np.ones(pictures, np.bool_), None, Bootstrap(1000, 0, sequences))
    curve_scores(BOX_PROTOCOLS["beltcrack"], matches, [0], drawn)
    print(f"  beltcrack with 1,000 resamples: {time.process_time() - scored:.1f} s")
    print(f"  together: {time.process_time() - start:.1f} s")


def main() -> None:
    """Time the protocols one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=list(TIMED))
    parser.add_argument("--size", type=int, nargs=2, default=SIZE_WH, metavar=("W", "H"))
    parser.add_argument("--boxes", action="store_true")
    parser.add_argument("--found", type=int, default=TRUE_EACH)
    given = parser.parse_args()
    if given.boxes:
        time_boxes(given.pictures or 20_000, given.found)
        return
    pictures = given.pictures or 237
    width, height = given.size
    rng = np.random.default_rng(0)
    pairs = [random_pair(rng, (height, width)) for _ in range(pictures)]
    print(f"{pictures} maps of {width}×{height}")
    for name in given.protocol:
        time_protocol(name, pairs)


if __name__ == "__main__":
    main()
