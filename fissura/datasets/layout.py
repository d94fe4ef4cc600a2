"""Where pictures and truths lie in a folder, how a mask is read, and what every reader shares.

A set is one folder of pictures with, perhaps, one folder of truths beside it; a picture and its
truth have the same path below the two, but for the suffix (and `_mask` or the like).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from fissura.datasets import grouping
from fissura.datasets.held_back import held_back, known_overlaps, same_place
from fissura.datasets.truth import read_mask
from fissura.frames import IMAGE_SUFFIXES, read_image
from fissura.types import InputError, Sample

FOLDER_PAIRS = (
    ("images", "masks"),
    ("images", "labels"),
    ("image", "mask"),
    ("image", "label"),
    ("image", "groundTruth"),
    ("imgs", "masks"),
    ("img", "gt"),
    ("img", "lab"),
    ("JPEGImages", "SegmentationClass"),
)
SIDES = ("train", "val", "test")
MASK_SUFFIXES = IMAGE_SUFFIXES | {".mat", ".gif"}
VAL_FRACTION = 0.15
VAL_SEED = 1

_MASK_ENDING = re.compile(r"[_-](?:mask|masks|label|lab|gt|truth)$", re.IGNORECASE)


@dataclass(frozen=True)
class SetFolder:
    """One set on disk; `side` is the split that the folder's name states, if any."""

    name: str
    root: Path
    images: Path
    masks: Path | None
    side: str | None = None


@dataclass(frozen=True)
class Entry:
    """One picture of a set before it is read."""

    set: str
    name: str
    image: Path
    mask: Path | None

    @property
    def side(self) -> str | None:
        """The split that the folders state: `train/0001` is of train."""
        first = self.name.split("/")[0]
        return first if first in SIDES and first != self.name else None


# ---- finding -------------------------------------------------------------------------------


def find_sets(root: Path, pairs: tuple[tuple[str, str], ...] = FOLDER_PAIRS) -> list[SetFolder]:
    """The sets in `root`, or else in its subfolders; InputError when there is none."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of data; check the path")
    here = list(_sets_in(root, root.resolve().name, pairs))
    below = [d for d in sorted(root.iterdir()) if d.is_dir() and not d.name.startswith(".")]
    found = here or [one for d in below for one in _sets_in(d, d.name, pairs)]
    if not found:
        wanted = ", ".join(sorted({f"{a}/ beside {b}/" for a, b in pairs}))
        raise InputError(f"{root}: no data set here; expected {wanted}, here or one folder down")
    return found


def _sets_in(root: Path, name: str, pairs: tuple[tuple[str, str], ...]) -> Iterator[SetFolder]:
    """`images/` + `masks/`, `train/images/` + …, or `train_img/` + `train_lab/`."""
    bases = [(root, None), *((root / side, side) for side in SIDES if (root / side).is_dir())]
    for base, side in bases:
        match = next(
            ((a, b) for a, b in pairs if (base / a).is_dir() and (base / b).is_dir()), None
        )
        lone = (base / pairs[0][0]).is_dir()
        if match:
            yield SetFolder(name, root, base / match[0], base / match[1], side)
        elif lone:
            yield SetFolder(name, root, base / pairs[0][0], None, side)
    for side in SIDES:
        for a, b in pairs:
            images, masks = root / f"{side}_{a}", root / f"{side}_{b}"
            if images.is_dir() and masks.is_dir():
                yield SetFolder(name, root, images, masks, side)


def files_below(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Files of the given suffixes, whatever their case, hidden ones left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


def stem_below(path: Path, folder: Path) -> str:
    """`sequence/0001` of `folder/sequence/0001.png`."""
    return path.relative_to(folder).with_suffix("").as_posix()


def mask_key(path: Path, folder: Path) -> str:
    """The stem of the picture that a truth file belongs to: `_mask` and the like taken off."""
    return _MASK_ENDING.sub("", stem_below(path, folder))


def entries(one: SetFolder) -> list[Entry]:
    """Every picture of a set with its truth; a picture without one has None.

    Names are stems below the picture folder, after the side where folders are named by split.
    """
    prefix = f"{one.side}/" if one.side else ""
    masks = {}
    if one.masks:
        masks = {mask_key(path, one.masks): path for path in files_below(one.masks, MASK_SUFFIXES)}
    stems = ((stem_below(p, one.images), p) for p in files_below(one.images, IMAGE_SUFFIXES))
    return [Entry(one.name, prefix + stem, path, masks.get(stem)) for stem, path in stems]


# ---- splits --------------------------------------------------------------------------------


def group_of(dataset: str, names: list[str]) -> list[str]:
    """Group of every stem: photograph or sequence, joined where two show the same place."""
    photographs = [grouping.photograph(dataset, name) for name in names]
    groups = {one: one for one in photographs}
    pairs = [(places[0], other) for places in same_place(dataset) for other in places[1:]]
    known = [(a, b) for a, b in pairs if a in groups and b in groups]
    joined = grouping.join(groups, known)
    return [joined[one] for one in photographs]


def listed_splits(root: Path) -> dict[str, frozenset[str]]:
    """Name of split -> stems, from `splits/*.txt`."""
    files = sorted((root / "splits").glob("*.txt"))
    lines = {path.stem: path.read_text("utf-8").splitlines() for path in files}
    return {name: frozenset(filter(None, map(str.strip, stems))) for name, stems in lines.items()}


def split_members(root: Path, everything: list[Entry], split: str) -> frozenset[str]:
    """Stems of one split of one set. The class docstring of Reader says what the names mean."""
    dataset = everything[0].set
    listed = listed_splits(root)
    for entry in everything:
        if entry.side:
            listed[entry.side] = listed.get(entry.side, frozenset()) | {entry.name}
    names = frozenset(entry.name for entry in everything)
    kept = held_back().get(dataset, listed.get("test", frozenset()))
    test = listed.get("test", kept)
    others = {k: v for k, v in listed.items() if k not in ("train", "val")}
    fixed = {"held_back": kept, "test": test, **others}
    fixed["held_back_clean"] = kept - known_overlaps().get(dataset, frozenset())
    if fixed.get(split):
        return fixed[split] & names
    train = listed.get("train", names) - kept - test
    chosen = listed.get("val") or _validation(dataset, sorted(train & names))
    val = chosen - kept - test
    derived = {"train": train - val, "val": val, "train+val": train | val}
    if split not in derived:
        known = ", ".join(sorted({*derived, *(k for k, v in fixed.items() if v)}))
        raise InputError(f"{root}: no split '{split}'; there are {known}")
    return derived[split] & names


def _validation(dataset: str, train: list[str]) -> frozenset[str]:
    """A fixed 15 % of the training pictures, whole groups, every part of a mixed set its share."""
    parts: dict[str, list[str]] = {}
    for name in train:
        parts.setdefault(grouping.stratum(dataset, name), []).append(name)
    chosen: set[str] = set()
    for names in parts.values():
        chosen.update(grouping.split(names, group_of(dataset, names), VAL_FRACTION, VAL_SEED)[1])
    return frozenset(chosen)


# ---- reading -------------------------------------------------------------------------------


class Reader:
    """Pictures of one set, or of all sets one folder down, in the order of their names.

    Splits: `train`, `val` (15 % of the training pictures, by photograph), `train+val`, `held_back`
    (by held_back.yaml), `held_back_clean` (without known overlaps with training), `test` (official,
    else as held_back), and whatever else `splits/*.txt` lists; None is every picture.
    """

    FOLDERS: ClassVar[tuple[tuple[str, str], ...]] = FOLDER_PAIRS
    SET: ClassVar[str | None] = None

    def __init__(self, root: Path | str, split: str | None = None) -> None:
        self.root, self.split = Path(root), split
        by_set: dict[str, list[SetFolder]] = {}
        for one in find_sets(self.root, self.FOLDERS):
            by_set.setdefault(one.name, []).append(one)
        masked = {name: parts for name, parts in by_set.items() if any(p.masks for p in parts)}
        self.entries = [e for parts in (masked or by_set).values() for e in self._of(parts)]
        if not self.entries:
            raise InputError(f"{self.root}: no picture in split {split or 'all'}; check the folder")
        lonely = [entry.image for entry in self.entries if masked and entry.mask is None]
        if lonely:
            raise InputError(
                f"{lonely[0]}: {len(lonely)} of the pictures, this first, have no mask"
            )

    def _of(self, parts: list[SetFolder]) -> list[Entry]:
        found = [entry for part in parts for entry in entries(part)]
        everything = [replace(e, set=self.SET) for e in found] if self.SET else found
        if self.split is None or not everything:
            return everything
        members = split_members(parts[0].root, everything, self.split)
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
        for dataset in dict.fromkeys(entry.set for entry in self.entries):
            names = [entry.name for entry in self.entries if entry.set == dataset]
            for name, group in zip(names, group_of(dataset, names), strict=True):
                grouped[dataset, name] = f"{dataset}:{group}"
        return [grouped[entry.set, entry.name] for entry in self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        image = read_image(entry.image).image
        mask = None
        if entry.mask is not None:
            mask = read_mask(entry.mask)
            if mask.shape != image.shape[:2]:
                (h, w), (a, b) = image.shape[:2], mask.shape
                raise InputError(f"{entry.mask}: mask is {b}×{a}, its picture {w}×{h}; remake it")
        return Sample(image, mask, entry.name, entry.set)
