"""The other ways in which pictures and truths are laid out in two folders side by side."""

from __future__ import annotations

from fissura.datasets.reader import Reader


class Folders(Reader):
    """Any pair that layout.FOLDER_PAIRS names, also inside `train/`, `val/`, `test/`."""
