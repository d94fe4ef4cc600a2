"""Does `fissura data check` find planted faults, and how fast does it go through many pictures?

    python benchmarks/data_check.py faults [--clean 1000] [--copies 20]
    python benchmarks/data_check.py speed [--pictures 10000] [--side 448]

Both generate their pictures in a temporary folder. Seconds are wall clock and processor time; the
latter is what counts on a machine that has other work.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / part) for part in ("", "tests")]

from fakes import faults  # noqa: E402  made-up pictures are shared with the tests

from fissura.datasets.check import Finding, check  # noqa: E402


def timed(root: Path, match_crops: bool) -> tuple[list[Finding], dict[str, float]]:
    """Findings, and what they cost."""
    wall, processor = time.perf_counter(), time.process_time()
    findings = check(root, match_crops=match_crops)
    return findings, {
        "wall_s": round(time.perf_counter() - wall, 1),
        "processor_s": round(time.process_time() - processor, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def run_faults(root: Path, clean: int, copies: int) -> dict[str, Any]:
    """Plant `copies` of every fault among `clean` good pairs; crops need the crop matching."""
    planted = faults.plant(root, clean, copies, side=256)
    quick, cost = timed(root, match_crops=False)
    full, cost_with_crops = timed(root, match_crops=True)
    wanted = [one for one in planted.expected if not any("crop_leak" in file for file in one[1])]
    planted_all, planted.expected = planted.expected, wanted
    without = faults.score(planted, quick)
    planted.expected = planted_all
    score = faults.score(planted, full)
    return {
        "pairs": len(list((root / "images").iterdir())),
        "found": dict(sorted(Counter(kind for kind, _ in score.found).items())),
        "missed": sorted((kind, sorted(files)) for kind, files in score.missed),
        "missed_without_crop_matching": len(without.missed),
        "clean_pictures": clean,
        "clean_pictures_named_falsely": len({f for one in score.false for f in one.files}),
        "without_crop_matching": cost,
        "with_crop_matching": cost_with_crops,
    }


def run_speed(root: Path, pictures: int, side: int) -> dict[str, Any]:
    """Good pairs only; counts how many of them are named all the same."""
    faults.plant(root, pictures, 0, side=side)
    findings, cost = timed(root, match_crops=False)
    return {"pictures": pictures, "side": side, "findings": len(findings), **cost}


def main() -> None:
    """Run one experiment and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=("faults", "speed"))
    parser.add_argument("--clean", type=int, default=1000)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=448)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.experiment == "faults":
            figures = run_faults(Path(folder), given.clean, given.copies)
        else:
            figures = run_speed(Path(folder), given.pictures, given.side)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
