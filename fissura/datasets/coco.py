"""COCO JSON: `annotations.json`, `annotations/instances_train.json`, … beside the pictures.

Images with `video_id` and `frame_id` are frames of sequences, others stills. road_sequences,
quay_uav and rendered belts are written so.
"""

from __future__ import annotations

from pathlib import Path

from fissura.datasets.boxes import BoxSet
from fissura.datasets.coco_files import coco_files, read_coco


def fits(folder: Path) -> bool:
    """Whether a set of this layout lies in `folder`."""
    return bool(coco_files(folder))


def read(folder: Path) -> BoxSet:
    """The set in `folder`."""
    return read_coco(folder, folders=False)
