"""Speed, memory and sizes of rendered belts, on one core.

Processor time is what counts on a busy machine; on an idle one the wall clock says the same.

    python benchmarks/synth_belt.py --scenes 6 --frames 60
"""

from __future__ import annotations

import argparse
import resource
import time

import cv2
import numpy as np

from fissura.synth import BeltScene
from fissura.synth.belt_defects import BOUNDS_PX, SIZE_MIX
from fissura.synth.belt_style import SizeMix

SIZES = {"320x192": (320, 192), "960x540": (960, 540), "1920x1080": (1920, 1080)}
NAMES = ("tiny", "small", "medium", "large", "huge")


def speed(size_wh: tuple[int, int], scenes: int, frames: int) -> str:
    """One line: seconds for a scene, processor and wall time per frame."""
    setup = spent = wall = 0.0
    for seed in range(scenes):
        start = time.process_time()
        belt = BeltScene(seed, size_wh, frames)
        setup += time.process_time() - start
        start, clock = time.process_time(), time.perf_counter()
        for _ in belt:
            pass
        spent += time.process_time() - start
        wall += time.perf_counter() - clock
    count = scenes * frames
    return (
        f"scene {setup / scenes:.2f} s, frame {1e3 * spent / count:.1f} ms of processor time "
        f"= {count / spent:.0f} frames/s (wall clock: {count / wall:.0f} frames/s)"
    )


def sizes(mix: SizeMix, scenes: int) -> str:
    """One line: share of boxes of each size, beside the paper's.

    Bounds are those of 1920×1080; rendered at half of that, with areas times 4.
    """
    areas: list[float] = []
    for seed in range(scenes):
        belt = BeltScene(1000 + seed, (960, 540), 1, size_mix=mix)
        for index in (0, 15, 30):
            boxes = belt.frame(index).boxes
            areas += (4 * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).tolist()
    found = np.histogram(areas, [0, *BOUNDS_PX[1:-1], np.inf])[0] / len(areas)
    wanted = np.array(SIZE_MIX[mix]) / sum(SIZE_MIX[mix])
    parts = [f"{n} {a:.0%} ({b:.0%})" for n, a, b in zip(NAMES, found, wanted, strict=True)]
    return f"{len(areas) / scenes / 3:.1f} boxes a frame: " + ", ".join(parts)


def long_belt(length_m: float, frames: int) -> str:
    """One line: peak memory of the process after a run along a long belt at 960×540."""
    belt = BeltScene(5, (960, 540), frames, length_m=length_m)
    for index in range(0, frames * 20, 20):
        belt.frame(index)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{length_m:g} m belt, {frames * 20} frames passed: peak {peak:.0f} MB"


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description="speed and sizes of rendered belts")
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size-scenes", type=int, default=40)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"memory: {long_belt(2000.0, 150)}")
    for name, size_wh in SIZES.items():
        print(f"{name}: {speed(size_wh, args.scenes, args.frames)}")
    for mix in SIZE_MIX:
        print(f"sizes {mix}, ours (the paper's): {sizes(mix, args.size_scenes)}")


if __name__ == "__main__":
    main()
