"""enlarged/: one PNG a picture, as a network with super-resolution drew it, s times as large."""

from __future__ import annotations

from pathlib import Path

from fissura.report.parts.files import Names, encode, needed, write_whole
from fissura.types import Result


class EnlargedWriter:
    """Writes enlarged/<stem>.png."""

    def __init__(self, out_dir: Path) -> None:
        self._folder = out_dir / "enlarged"
        self._names = Names()

    def __enter__(self) -> EnlargedWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, result: Result) -> None:
        """Write one enlarged picture."""
        content = encode(needed(result, "enlarged", "the format enlarged"), ".png")
        write_whole(self._folder / f"{self._names.stem(result)}.png", content)

    def __exit__(self, *error: object) -> None:
        """Every file is whole already."""
