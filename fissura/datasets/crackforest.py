"""CrackForest (Shi et al., 2016) as its authors lay it out: `image/*.jpg`, `groundTruth/*.mat`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from fissura.datasets.layout import Part, folder_parts
from fissura.datasets.reader import Reader


class CrackForest(Reader):
    """The 118 pictures of the source; the held-back stems of `cfd` are held back here too."""

    FOLDERS: ClassVar[tuple[tuple[str, str], ...]] = (("image", "groundTruth"),)

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Only the source's own files are .mat."""
        return next(folder.glob("groundTruth/*.mat"), None) is not None

    @classmethod
    def parts_in(cls, folder: Path) -> list[Part]:
        """The one set, under the name that the held-back list has for it."""
        return [replace(part, name="cfd") for part in folder_parts(folder, cls.FOLDERS)]
