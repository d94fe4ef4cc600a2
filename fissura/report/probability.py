"""probability/: one 8-bit PNG a picture, the crack probability times 255, rounded."""

from __future__ import annotations

from pathlib import Path

import cv2

from fissura.report.parts.files import Names, encode, needed, write_whole
from fissura.types import Result


class ProbabilityWriter:
    """Writes probability/<stem>.png."""

    def __init__(self, out_dir: Path) -> None:
        self._folder = out_dir / "probability"
        self._names = Names()

    def __enter__(self) -> ProbabilityWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, result: Result) -> None:
        """Write one picture's crack map."""
        levels = cv2.convertScaleAbs(needed(result, "crack_map", "probability"), alpha=255)
        write_whole(self._folder / f"{self._names.stem(result)}.png", encode(levels, ".png"))

    def __exit__(self, *error: object) -> None:
        """Every file is whole already."""
