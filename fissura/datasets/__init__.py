"""Data sets: readers that give Samples, the list of held-back pictures, statistics and checks."""

from __future__ import annotations

from pathlib import Path

from fissura.datasets.catalogue import listing
from fissura.datasets.crack500 import Crack500
from fissura.datasets.crack_index import CrackIndex
from fissura.datasets.crackforest import CrackForest
from fissura.datasets.deepcrack537 import DeepCrack537
from fissura.datasets.folders import Folders
from fissura.datasets.khanhha import Khanhha
from fissura.datasets.layout import Part, folders_in, no_set
from fissura.datasets.pairs import Pairs
from fissura.datasets.reader import Reader
from fissura.types import InputError, Sample

__all__ = [
    "DATASETS",
    "Crack500",
    "CrackForest",
    "CrackIndex",
    "DeepCrack537",
    "Folders",
    "Khanhha",
    "Pairs",
    "Reader",
    "Sample",
    "find_parts",
    "listing",
    "open_dataset",
]

DATASETS: dict[str, type[Reader]] = {
    "crackforest": CrackForest,
    "deepcrack537": DeepCrack537,
    "khanhha": Khanhha,
    "crack500": Crack500,
    "crack_index": CrackIndex,
    "pairs": Pairs,
    "folders": Folders,
}
"""Name of a layout -> its reader; where several fit a folder the first one is taken."""


class Several(Reader):
    """A folder of sets, each read by the layout that fits it."""

    @classmethod
    def find(cls, root: Path) -> list[Part]:
        """The sets of all folders in `root`."""
        kinds = [(folder, _fitting(folder)) for folder in folders_in(root)]
        return [part for folder, kind in kinds if kind for part in kind.parts_in(folder)]


def open_dataset(root: Path | str, dataset: str | None = None, split: str | None = None) -> Reader:
    """A reader of `root`; `dataset` names a set's folder inside `root` or a layout of DATASETS.

    Without it the first layout that fits is taken, for each set its own.
    """
    folder, kind = _locate(Path(root), dataset)
    return kind(folder, split)


def find_parts(root: Path | str, dataset: str | None = None) -> tuple[Path, list[Part]]:
    """The folder that `open_dataset` would read, and the sets in it."""
    folder, kind = _locate(Path(root), dataset)
    return folder, kind.find(folder)


def _locate(root: Path, dataset: str | None) -> tuple[Path, type[Reader]]:
    """The folder to read and the layout to read it by."""
    if dataset and (root / dataset).is_dir() and not _reads(root, dataset):
        return root / dataset, _guess(root / dataset)
    if dataset in DATASETS and root.resolve().name != dataset:
        return root, DATASETS[dataset]
    if dataset and root.resolve().name != dataset:
        known = ", ".join(DATASETS)
        raise InputError(
            f"{root / dataset}: no such set and no layout of that name (layouts: {known})"
        )
    return root, _guess(root)


def _reads(root: Path, dataset: str) -> bool:
    """Whether `dataset` is the layout of `root` itself, rather than a set inside it."""
    return dataset in DATASETS and DATASETS[dataset].fits(root)


def _guess(root: Path) -> type[Reader]:
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of data; check the path")
    kind = _fitting(root)
    if kind:
        return kind
    below = {kind for kind in map(_fitting, folders_in(root)) if kind}
    if not below:
        raise no_set(root, f"one of the layouts {', '.join(DATASETS)}")
    return below.pop() if len(below) == 1 else Several


def _fitting(folder: Path) -> type[Reader] | None:
    return next((kind for kind in DATASETS.values() if kind.fits(folder)), None)
