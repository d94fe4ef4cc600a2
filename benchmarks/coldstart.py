"""From typing `fissura predict` on one 544×384 JPEG to its reports, in a fresh process each time.

Exit code 1 if the median exceeds the limit or torch gets imported.

    python benchmarks/coldstart.py --model cgnet --limit 2.5
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = ("torch", "onnx", "openvino")


def run_once(command: list[str], out: Path, *flags: str) -> tuple[float, str]:
    """Wall seconds and standard error of one prediction."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *flags, "-m", "fissura.cli", *command, "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"fissura predict failed: {done.stderr.strip()}")
    return seconds, done.stderr


def imported(importtime: str) -> set[str]:
    """Top-level packages in the report of `python -X importtime`."""
    names = (line.rsplit("|", 1)[-1].strip() for line in importtime.splitlines() if "|" in line)
    return {name.partition(".")[0] for name in names}


def write_picture(path: Path) -> None:
    """A grey surface with one dark crooked line."""
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(150, 12, (384, 544, 3)), 0, 255).astype(np.uint8)
    line = [(x, int(190 + 40 * np.sin(x / 60) + rng.integers(-3, 4))) for x in range(0, 544, 8)]
    cv2.polylines(image, [np.array(line, np.int32)], False, (50, 50, 50), 3)
    cv2.imwrite(str(path), image)


def main() -> int:
    """Prints every time and the verdict."""
    parser = argparse.ArgumentParser(description="cold start of one prediction")
    parser.add_argument("--model", default="cgnet", help="shipped name or model file")
    parser.add_argument("--image", type=Path, help="a JPEG of your own")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--limit", type=float, default=2.5, help="seconds, on the median")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = options.image or Path(folder, "picture.jpg")
        if options.image is None:
            write_picture(image)
        command = ["predict", str(image.resolve()), "--model", options.model]
        times = [run_once(command, Path(folder, f"out{i}"))[0] for i in range(options.repeats)]
        _, report = run_once(command, Path(folder, "traced"), "-X", "importtime")
    heavy = imported(report) & set(FORBIDDEN)
    median = statistics.median(times)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = (used.ru_utime + used.ru_stime) / (options.repeats + 1)
    print("seconds:", " ".join(f"{seconds:.2f}" for seconds in times))
    print(f"processor time of one: {processor:.2f} s")
    print(f"median {median:.2f} s, limit {options.limit} s; heavy imports: {heavy or 'none'}")
    return int(median > options.limit or bool(heavy))


if __name__ == "__main__":
    sys.exit(main())
