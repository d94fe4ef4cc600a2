"""What every reader of a data set shares: finding its sets, splits, reading a sample."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np

from fissura.datasets.grouping import base_set
from fissura.datasets.layout import (
    FOLDER_PAIRS,
    Entry,
    Keyed,
    Part,
    entries,
    folder_pairs,
    folder_parts,
    folders_in,
    no_set,
)
from fissura.datasets.splits import group_of, split_members
from fissura.datasets.truth import read_mask
from fissura.datasets.video_frames import with_videos
from fissura.frames import read_image
from fissura.types import BoolMask, InputError, Sample, UInt8Image


class Reader:
    """Pictures of one set, or of all sets one folder down, in the order of their names.

    Splits: `train`, `val` (15 % of the training pictures, by photograph or video), `train+val`,
    `held_back` (by held_back.yaml), `held_back_clean` (without known overlaps with training),
    `test` (official, else as held_back), and whatever else the set's own lists name; None is every
    picture.
    """

    FOLDERS: ClassVar[tuple[tuple[str, str], ...]] = FOLDER_PAIRS

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Whether a set of this layout lies in `folder` itself."""
        return any(masks for _, masks, _ in folder_pairs(folder, cls.FOLDERS))

    @classmethod
    def parts_in(cls, folder: Path) -> list[Part]:
        """The sets that lie in `folder` itself."""
        return folder_parts(folder, cls.FOLDERS)

    @classmethod
    def wanted(cls) -> str:
        """The folders of this layout, in words."""
        return ", ".join(sorted({f"{a}/ beside {b}/" for a, b in cls.FOLDERS}))

    @classmethod
    def find(cls, root: Path) -> list[Part]:
        """The sets in `root`, or else in its folders; InputError when there is none."""
        if not root.is_dir():
            raise InputError(f"{root}: no such folder of data; check the path")
        homes = [root] if cls.fits(root) else [d for d in folders_in(root) if cls.fits(d)]
        found = [part for home in homes for part in cls.parts_in(home)]
        if not found:
            raise no_set(root, cls.wanted())
        return found

    def __init__(self, root: Path | str, split: str | None = None) -> None:
        self.root, self.split = Path(root), split
        by_set: dict[str, list[Part]] = {}
        for part in with_videos(self.find(self.root)):
            by_set.setdefault(part.name, []).append(part)
        masked = {
            name: parts
            for name, parts in by_set.items()
            if any(part.masks is not None for part in parts)
        }
        for parts in by_set.values():
            _refuse_problems(parts)
        self.entries = [e for parts in (masked or by_set).values() for e in self._of(parts)]
        if not self.entries:
            raise InputError(f"{self.root}: no picture in split {split or 'all'}; check the folder")
        lonely = [entry.image for entry in self.entries if masked and entry.mask is None]
        if lonely:
            raise InputError(
                f"{lonely[0]}: {len(lonely)} of the pictures, this first, have no mask"
            )

    def _of(self, parts: list[Part]) -> list[Entry]:
        everything = [entry for part in parts for entry in entries(part)]
        if self.split is None or not everything:
            return everything
        lists: dict[str, frozenset[str]] = {}
        for part in parts:
            lists |= {k: lists.get(k, frozenset()) | names for k, names in part.splits.items()}
        sequences = _sequences(everything)
        members = split_members(parts[0].root, everything, lists, self.split, sequences)
        return [entry for entry in everything if entry.name in members]

    @property
    def names(self) -> list[str]:
        """Stems, in order; of a nested set `sequence/stem`."""
        return [entry.name for entry in self.entries]

    @property
    def paths(self) -> list[Path]:
        """Picture files, in order."""
        return [entry.image for entry in self.entries]

    @property
    def groups(self) -> list[str]:
        """Photograph, sequence or cluster of every picture, as `set:group`."""
        grouped: dict[tuple[str, str], str] = {}
        of = [base_set(entry.set) for entry in self.entries]
        for dataset in dict.fromkeys(of):
            own = [e for e, base in zip(self.entries, of, strict=True) if base == dataset]
            names = [entry.name for entry in own]
            for name, group in zip(names, group_of(dataset, names, _sequences(own)), strict=True):
                grouped[dataset, name] = f"{dataset}:{group}"
        return [grouped[base, e.name] for base, e in zip(of, self.entries, strict=True)]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        image = read_image(entry.image).image
        mask = None if entry.mask is None else _same_size(entry.mask, "mask", image)
        region = None if entry.region is None else _same_size(entry.region, "region mask", image)
        if entry.region is not None and region is not None:
            _refuse_region(entry.region, region, mask)
        return Sample(image, mask, entry.name, entry.set, region)


def _sequences(found: Iterable[Entry]) -> dict[str, str]:
    return {entry.name: entry.sequence for entry in found if entry.sequence is not None}


def _same_size(path: Path, what: str, image: UInt8Image) -> BoolMask:
    mask = read_mask(path)
    if mask.shape != image.shape[:2]:
        (h, w), (a, b) = image.shape[:2], mask.shape
        raise InputError(f"{path}: {what} is {b}×{a}, its picture {w}×{h}; remake it")
    return mask


def _refuse_region(path: Path, region: BoolMask, mask: BoolMask | None) -> None:
    """Nothing would be scored, or a map that is white all over would be perfect."""
    if not region.any():
        raise InputError(f"{path}: the region mask is empty, nothing is scored; remake it")
    if mask is not None and not region.all() and np.array_equal(region, mask):
        raise InputError(
            f"{path}: the region mask is the label again, which says where the cracks are; "
            "remake it or rename its folder"
        )


def _refuse_problems(parts: list[Part]) -> None:
    """A wrong line of a list, two files of one name or a missing region are never skipped."""
    for part in parts:
        for path, what in part.problems:
            raise InputError(f"{path}: {what}")
        named = {name for name, _ in part.pictures}
        for files in (part.masks or (), part.regions):
            _refuse_doubles(file for file in files if file[0] in named)
        regions = dict(part.regions)
        bare = [path for name, path in part.pictures if regions and name not in regions]
        if bare:
            raise InputError(
                f"{bare[0]}: {len(bare)} of the pictures, this first, have no region mask"
            )
    for root in dict.fromkeys(part.root for part in parts):
        _refuse_doubles(file for part in parts if part.root == root for file in part.pictures)


def _refuse_doubles(files: Iterable[Keyed]) -> None:
    """Two files under one name: a dict would keep either, a split would list both."""
    first: dict[str, Path] = {}
    for name, path in files:
        other = first.setdefault(name, path)
        if other != path:
            raise InputError(
                f"{path}: shares the name '{name}' with {other}; keep one of them or rename it"
            )
