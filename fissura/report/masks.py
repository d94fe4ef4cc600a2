"""masks/: one PNG a picture, 255 where a crack is and 0 elsewhere."""

from __future__ import annotations

from pathlib import Path

from fissura.report.parts.files import Names, encode, needed, write_whole
from fissura.types import Result


class MaskWriter:
    """Writes masks/<stem>.png."""

    def __init__(self, out_dir: Path) -> None:
        self._folder = out_dir / "masks"
        self._names = Names()

    def __enter__(self) -> MaskWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, result: Result) -> None:
        """Write one picture's mask."""
        content = encode(needed(result, "mask", "masks"), ".png")
        write_whole(self._folder / f"{self._names.stem(result)}.png", content)

    def __exit__(self, *error: object) -> None:
        """Every file is whole already."""
