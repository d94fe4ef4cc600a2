"""Times the refusal of every hostile or wrong weight file: `python tests/time_hostile_files.py`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import hostile_weights

from fissura.types import InputError
from fissura.weights.official import read_checkpoint


def main() -> None:
    """Print a line per file and the slowest."""
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, (write, _) in hostile_weights.FILES.items():
            path = Path(folder) / f"{name}.pth"
            write(path, Path(folder) / "canary")
            began = time.perf_counter()
            try:
                read_checkpoint(path)
                outcome = "READ"
            except InputError:
                outcome = "refused"
            seconds = time.perf_counter() - began
            slowest = max(slowest, seconds)
            print(f"{seconds:6.2f} s  {outcome}  {name}")
    print(f"{len(hostile_weights.FILES)} files, slowest {slowest:.2f} s")


if __name__ == "__main__":
    main()
