"""Crack500: `traincrop/`, `valcrop/`, `testcrop/` (or `traindata/`, …), masks beside the pictures.

A mask is the PNG of the same stem, or `STEM_mask.png`; beside `STEM.jpg` a PNG is never a picture.
Index files `train.txt`, `val.txt` and `test.txt` of `picture mask` lines go before the folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fissura.datasets.index import index_files, index_part, is_index
from fissura.datasets.layout import MASK_SUFFIXES, SIDES, Keyed, Part, files_below, folders_in
from fissura.datasets.reader import Reader

NAME = "crack500"
ENDINGS = ("crop", "data")
MISSPELT = {"tesdata": "test"}
MASK = "_mask"


class Crack500(Reader):
    """Crops of 640×360 or whole photographs of 2560×1440, in the source's own three parts."""

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """A folder with one of the names."""
        return next(side_folders(folder), None) is not None

    @classmethod
    def parts_in(cls, folder: Path) -> list[Part]:
        """One part by index files, or one for each side's folders."""
        indexes = [path for path in index_files(folder) if is_index(path)]
        if indexes:
            return [index_part(NAME, folder, indexes)]
        sides = list(side_folders(folder))
        stems = [stem for _, one in sides for stem, _ in _split(one)[0]]
        prefixed = len(set(stems)) < len(stems)
        return [
            Part(NAME, folder, *_named(_split(one), f"{side}/" if prefixed else ""), side=side)
            for side, one in sides
        ]

    @classmethod
    def wanted(cls) -> str:
        """The folders, in words."""
        return "traincrop/, valcrop/, testcrop/ (or traindata/, …) with masks beside the pictures"


def side_folders(folder: Path) -> Iterator[tuple[str, Path]]:
    """Side and folder, the known misspelling included."""
    known = {f"{side}{ending}": side for side in SIDES for ending in ENDINGS} | MISSPELT
    for one in folders_in(folder):
        side = known.get(one.name.casefold())
        if side:
            yield side, one


def _split(folder: Path) -> tuple[list[Keyed], list[Keyed]]:
    """Pictures and masks of one folder, by stem.

    A PNG is a mask, unless it has a mask itself and there is no other picture of its stem.
    """
    files = files_below(folder, MASK_SUFFIXES)
    there = {(path.parent, path.stem) for path in files}
    other = {(path.parent, path.stem) for path in files if path.suffix.lower() != ".png"}
    pictures: list[Keyed] = []
    masks: list[Keyed] = []
    for path in files:
        own = (path.parent, path.stem + MASK) in there and (path.parent, path.stem) not in other
        if path.stem.endswith(MASK):
            masks.append((path.stem.removesuffix(MASK), path))
        elif path.suffix.lower() == ".png" and not own:
            masks.append((path.stem, path))
        else:
            pictures.append((path.stem, path))
    return pictures, masks


def _named(
    files: tuple[list[Keyed], list[Keyed]], prefix: str
) -> tuple[tuple[Keyed, ...], tuple[Keyed, ...]]:
    pictures, masks = files
    return (
        tuple((prefix + stem, path) for stem, path in pictures),
        tuple((prefix + stem, path) for stem, path in masks),
    )
