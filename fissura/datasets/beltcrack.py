"""BeltCrack14ks and BeltCrack9kd: `annotations/train/….json`, one COCO file for each split.

Pictures lie at any depth; the folder of numbered pictures is the sequence, the name the number.
"""

from __future__ import annotations

from pathlib import Path

from fissura.datasets.boxes import BoxSet
from fissura.datasets.coco_files import FOLDER, coco_files, read_coco
from fissura.datasets.gathering import side_of


def fits(folder: Path) -> bool:
    """Whether a set of this layout lies in `folder`."""
    below = (path.relative_to(folder).parent for path in coco_files(folder))
    return any(home.parts[0] == FOLDER and side_of(home / "x") for home in below if home.parts)


def read(folder: Path) -> BoxSet:
    """The set in `folder`."""
    return read_coco(folder, folders=True)
