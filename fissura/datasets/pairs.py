"""`images/` beside `masks/`, same stems, white is crack; `splits/*.txt` where there is a split."""

from __future__ import annotations

from typing import ClassVar

from fissura.datasets.layout import Reader


class Pairs(Reader):
    """The layout of our data folder, nested folders included; a set without masks gives None."""

    FOLDERS: ClassVar[tuple[tuple[str, str], ...]] = (("images", "masks"),)
