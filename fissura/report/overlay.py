"""overlay/: one PNG a picture with its cracks outlined, labelled and, where known, a scale bar."""

from __future__ import annotations

from pathlib import Path

from fissura.report.parts.annotate import draw_result
from fissura.report.parts.files import Names, encode, write_whole
from fissura.types import Result, UInt8Image

MAX_SIDE = 4096
"""Overlays are for looking at: larger pictures are shrunk to this side before drawing."""


def draw(result: Result, max_side: int | None = None) -> UInt8Image:
    """The picture with its cracks outlined and labelled, shrunk to `max_side` where given."""
    return draw_result(result, max_side)


class OverlayWriter:
    """Writes overlay/<stem>.png."""

    def __init__(self, out_dir: Path) -> None:
        self._folder = out_dir / "overlay"
        self._names = Names()

    def __enter__(self) -> OverlayWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, result: Result) -> None:
        """Draw and write one picture."""
        content = encode(draw(result, MAX_SIDE), ".png")
        write_whole(self._folder / f"{self._names.stem(result)}.png", content)

    def __exit__(self, *error: object) -> None:
        """Every file is whole already."""
