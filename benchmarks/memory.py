"""Memory and time of `fissura predict` on large photographs, and what tiles change.

    python benchmarks/memory.py
    python benchmarks/memory.py --megapixels 12 --compare photograph.jpg
    python benchmarks/memory.py --megapixels 12 --series 4

Renders a photograph of each size, runs the whole command on it in a process of its own and prints
its peak resident memory and time. Then compares the probabilities of one picture of 3 to 4
megapixels in tiles with those of the whole picture, which a network with global context need not
give equal. Reads `/proc`, so it runs on Linux.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from fissura import windows
from fissura.config import PredictSettings
from fissura.engines import Engine, open_engine
from fissura.frames import read_image
from fissura.maps import crack_map
from fissura.types import FloatMap, UInt8Image

POLL_SECONDS = 0.02
LIMITS_GB = {12: 1.2, 100: 2.5}
COMPARED_HW = (1536, 2304)
PREDICT = "import sys; from fissura.cli import main; sys.argv[0] = 'fissura'; main()"


def photograph(size_hw: tuple[int, int], seed: int = 0) -> UInt8Image:
    """Uneven grey with grain and one crooked dark line across."""
    height, width = size_hw
    rng = np.random.default_rng(seed)
    coarse = rng.integers(110, 170, (height // 100 + 2, width // 100 + 2, 3), np.uint8)
    image = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    for top in range(0, height, 512):
        rows = image[top : top + 512]
        grain = rng.normal(0, 8, rows.shape[:2]).astype(np.float32)
        rows[:] = np.clip(rows + grain[..., None], 0, 255).astype(np.uint8)
    x = np.linspace(0, width, 40)
    y = height * 0.5 + np.cumsum(rng.normal(0, height * 0.02, 40))
    cv2.polylines(image, [np.rint(np.stack([x, y], 1)).astype(np.int32)], False, (45, 45, 50), 5)
    return image


def peak_bytes(process: subprocess.Popen[str]) -> int:
    """High-water mark of a process' resident memory, read until it ends."""
    status = Path(f"/proc/{process.pid}/status")
    peak = 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        peak = max(peak, int(found[1]) * 1024 if found else 0)
        time.sleep(POLL_SECONDS)
    return peak


def run_command(path: Path, out: Path, options: list[str]) -> tuple[float, float]:
    """Peak resident GB and seconds of `fissura predict` on one picture."""
    command = [sys.executable, "-c", PREDICT, "predict", str(path), "--out", str(out), *options]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        peak = peak_bytes(process) / 1e9
        log.seek(0)
        if process.returncode != 0:
            sys.exit(f"fissura predict ended with {process.returncode}:\n{log.read()}")
    return peak, time.perf_counter() - started


def measure(megapixels: float, series: int, folder: Path, options: list[str]) -> str:
    """One table row: the whole command on so many photographs of 4:3."""
    height = int((megapixels * 1e6 * 3 / 4) ** 0.5)
    size_hw = height, height * 4 // 3
    path = folder / f"{megapixels:g}mp"
    path.mkdir()
    for number in range(series):
        cv2.imwrite(str(path / f"{number}.jpg"), photograph(size_hw, number))
    tile, overlap = windows.automatic_tile(size_hw)
    peak, seconds = run_command(path, folder / f"{path.name}_out", options)
    limit = LIMITS_GB.get(round(megapixels))
    verdict = "" if limit is None else f"{limit} GB: {'kept' if peak <= limit else 'EXCEEDED'}"
    size = f"{f'{series} of ' if series > 1 else ''}{size_hw[1]}×{size_hw[0]}"
    return f"| {size} | {tile}, {overlap} | {peak:.2f} GB | {verdict} | {seconds:.0f} s |"


def compare(image: UInt8Image, engine: Engine) -> list[str]:
    """Table rows: tiles of several sizes and overlaps against the whole picture."""
    whole = crack_map(image, engine, PredictSettings(tile=max(image.shape), overlap=0))
    tile, overlap = windows.automatic_tile((3000, 4000))
    choices = {(tile, 0), (tile, overlap // 2), (tile, overlap), (tile // 2, overlap)}
    return [difference(whole, image, engine, choice) for choice in sorted(choices)]


def difference(whole: FloatMap, image: UInt8Image, engine: Engine, choice: tuple[int, int]) -> str:
    """One table row: how far the map in tiles is from the whole picture's."""
    tile, overlap = choice
    started = time.perf_counter()
    found = crack_map(image, engine, PredictSettings(tile=tile, overlap=overlap))
    seconds = time.perf_counter() - started
    gap = np.abs(found - whole)
    threshold = engine.card.threshold
    cracks = np.count_nonzero(whole > threshold) / whole.size
    flips = np.count_nonzero((found > threshold) != (whole > threshold)) / whole.size
    return (
        f"| {tile}, {overlap} | {gap.max():.3f} | {gap.mean():.5f} | {flips:.4%} | {cracks:.4%} "
        f"| {seconds:.0f} s |"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", default="cgnet")
    parser.add_argument("--megapixels", type=float, nargs="*", default=[12, 100])
    parser.add_argument("--series", type=int, default=1, help="photographs of each size in a run")
    parser.add_argument(
        "--compare", type=Path, help="picture to compare on; default a rendered one"
    )
    parser.add_argument("--formats", default="json,csv,masks,overlay,html")
    options = parser.parse_args()
    given = ["--model", options.model, "--formats", options.formats]
    print("| photograph | tile, overlap | peak memory | limit | time |\n|-|-|-|-|-|")
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            print(measure(megapixels, options.series, Path(folder), given), flush=True)
    image = read_image(options.compare).image if options.compare else photograph(COMPARED_HW)
    print(
        "\n| tile, overlap | largest difference | mean | pixels that flip | crack pixels | time |"
    )
    print("|-|-|-|-|-|-|")
    print(*compare(image, open_engine(options.model)), sep="\n")


if __name__ == "__main__":
    main()
