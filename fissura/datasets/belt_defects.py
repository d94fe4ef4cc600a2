"""belt_defects: conveyor belts with five kinds of damage, stills and short sequences, as COCO JSON.

A tear is a crack; the other kinds keep their names.
"""

from __future__ import annotations

from pathlib import Path

from fissura.datasets.boxes import BoxSet
from fissura.datasets.coco_files import coco_files, read_coco

NAME = "belt_defects"
RENAMED = {"tear": "crack"}


def fits(folder: Path) -> bool:
    """Whether a set of this layout lies in `folder`."""
    return folder.resolve().name == NAME and bool(coco_files(folder))


def read(folder: Path) -> BoxSet:
    """The set in `folder`."""
    return read_coco(folder, folders=False, renamed=RENAMED)
