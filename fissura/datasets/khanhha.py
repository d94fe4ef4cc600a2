"""khanhha's merged set: `train/` and `test/` with `images/` and `masks/`, names tell the source.

Every source is a set of its own, `khanhha/CRACK500`, because they are annotated differently.
`forest` and `CFD` are the same photographs and make one group.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

from fissura.datasets.grouping import stratum
from fissura.datasets.layout import (
    MASK_SUFFIXES,
    SIDES,
    Entry,
    Part,
    files_below,
    keyed,
    listed_splits,
)
from fissura.datasets.reader import Reader
from fissura.frames import IMAGE_SUFFIXES

NAME = "khanhha"
LOOKED_AT = 50


class Khanhha(Reader):
    """The split of the folders; what our held-back list has under other names is held back too."""

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Split folders in which most names begin with a known source."""
        sides = [folder / side / "images" for side in SIDES if _has(folder, side)]
        names = [path.name for one in sides for path in islice(one.iterdir(), LOOKED_AT)]
        return 2 * sum(bool(stratum(NAME, name)) for name in names) > len(names)

    @classmethod
    def parts_in(cls, folder: Path) -> list[Part]:
        """A part for each side; `images/` and `masks/` beside them repeat everything."""
        sides = [side for side in SIDES if _has(folder, side)]
        return [
            Part(
                NAME,
                folder,
                keyed(files_below(folder / side / "images", IMAGE_SUFFIXES), folder, _stem),
                keyed(files_below(folder / side / "masks", MASK_SUFFIXES), folder, _stem),
                side=side,
                splits=listed_splits(folder),
            )
            for side in sides
        ]

    @classmethod
    def wanted(cls) -> str:
        """The folders, in words."""
        return "train/images/, train/masks/, test/images/, test/masks/ with names like CFD_001.jpg"

    def _of(self, parts: list[Part]) -> list[Entry]:
        return [
            replace(entry, set=f"{NAME}/{stratum(NAME, entry.name) or 'other'}")
            for entry in super()._of(parts)
        ]


def _has(folder: Path, side: str) -> bool:
    return (folder / side / "images").is_dir() and (folder / side / "masks").is_dir()


def _stem(path: Path, folder: Path) -> str:
    """`noncrack_noncrack_wall_1_2` of `….jpg.jpg`, as the merging script writes them."""
    stem = path.stem
    while Path(stem).suffix.lower() in IMAGE_SUFFIXES:
        stem = Path(stem).stem
    return stem
