"""CrackForest (Shi et al., 2016) as its authors lay it out: `image/*.jpg`, `groundTruth/*.mat`."""

from __future__ import annotations

from typing import ClassVar

from fissura.datasets.layout import Reader


class CrackForest(Reader):
    """The 118 pictures of the source; the held-back stems of `cfd` are held back here too."""

    FOLDERS: ClassVar[tuple[tuple[str, str], ...]] = (("image", "groundTruth"),)
    SET: ClassVar[str | None] = "cfd"
