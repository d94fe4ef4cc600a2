"""`images/` beside `masks/`, same stems, white is crack; `splits/*.txt` where there is a split."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fissura.datasets.layout import folder_pairs
from fissura.datasets.reader import Reader


class Pairs(Reader):
    """The layout of our data folder, nested folders included; a set without masks gives None."""

    FOLDERS: ClassVar[tuple[tuple[str, str], ...]] = (("images", "masks"),)

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Pictures alone are a set too, unless truths lie beside them under another name."""
        found = list(folder_pairs(folder, cls.FOLDERS))
        return bool(found) and (any(masks for _, masks, _ in found) or not Reader.fits(folder))
