"""Data sets: readers that give Samples, the list of held-back pictures, statistics and checks."""

from __future__ import annotations

from pathlib import Path

from fissura.datasets.catalogue import listing
from fissura.datasets.crackforest import CrackForest
from fissura.datasets.folders import Folders
from fissura.datasets.layout import Reader
from fissura.datasets.pairs import Pairs
from fissura.types import InputError, Sample

__all__ = [
    "DATASETS",
    "CrackForest",
    "Folders",
    "Pairs",
    "Reader",
    "Sample",
    "listing",
    "open_dataset",
]

DATASETS: dict[str, type[Reader]] = {
    "pairs": Pairs,
    "crackforest": CrackForest,
    "folders": Folders,
}


def open_dataset(root: Path | str, dataset: str | None = None, split: str | None = None) -> Reader:
    """A reader of `root`; `dataset` names a layout of DATASETS or a set's folder inside `root`.

    Without it the first layout that fits is taken.
    """
    root = Path(root)
    if dataset in DATASETS:
        return DATASETS[dataset](root, split)
    if dataset and root.resolve().name != dataset:
        root = root / dataset
        if not root.is_dir():
            known = ", ".join(DATASETS)
            raise InputError(f"{root}: no such set and no layout of that name (layouts: {known})")
    return _guess(root)(root, split)


def _guess(root: Path) -> type[Reader]:
    if next(root.glob("groundTruth/*.mat"), None):
        return CrackForest
    inside = [root, *(d for d in root.iterdir() if d.is_dir())] if root.is_dir() else []
    return Pairs if any((d / "images").is_dir() for d in inside) else Folders
