"""CrackTree260, CRKWH100, CrackLS315, Stone331: index files of `picture label` lines, or folders.

An index is `train_index.txt`, `test_index.txt`, `val_example.txt` or the like. Without one, a
folder of pictures beside one whose name goes on with `_gt` (or `_label`, `_groundtruth`) and
perhaps one with `_mask`, the region in which Stone331 is scored; `_mask` alone is the label. Beside
an index a folder of masks is a region only where its name leaves no doubt.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from fissura.datasets.index import index_files, index_part, is_index, matched
from fissura.datasets.layout import (
    MASK_SUFFIXES,
    Keyed,
    Part,
    files_below,
    folders_in,
    keyed,
    listed_splits,
    mask_key,
    stem_below,
)
from fissura.datasets.reader import Reader
from fissura.frames import IMAGE_SUFFIXES

SIDE = {"cracktree260": "train", "crkwh100": "test", "crackls315": "test", "stone331": "test"}
"""The four sets, and on which side DeepCrack (Zou et al., 2019) uses all of each."""

_ROLES = (
    ("label", re.compile(r"[_-]?(?:gt|ground_?truth|labels?|lab)$")),
    ("region", re.compile(r"[_-]?(?:masks?|regions?|roi)$")),
    ("picture", re.compile(r"[_-]?(?:images?|imgs?)$")),
)
_REGION = re.compile(r"(?:^|[_-])(?:regions?|roi)$", re.IGNORECASE)
_LABEL_ENDING = re.compile(r"[_-](?:region|roi)$", re.IGNORECASE)


class CrackIndex(Reader):
    """One set for each index folder, or for each family of folders that share a set's name."""

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """An index that names pairs, or folders with the name of one of the four sets."""
        return any(is_index(path) for path in index_files(folder)) or bool(_families(folder))

    @classmethod
    def parts_in(cls, folder: Path) -> list[Part]:
        """The set of the index files, which go before folders."""
        indexes = [path for path in index_files(folder) if is_index(path)]
        if not indexes:
            return [_of_folders(name, folder, roles) for name, roles in _families(folder).items()]
        part = index_part(_set_name(folder.resolve().name), folder, indexes)
        labels = {path.parent for _, path in part.masks or ()}
        regions = [one for one in _region_folders(folder) if one not in labels]
        found = [pair for one in regions for pair in matched(part, one)]
        return [replace(part, regions=tuple(found))]

    @classmethod
    def wanted(cls) -> str:
        """Index files or folders, in words."""
        return "train_index.txt with 'picture label' lines, or Stone331/ beside Stone331_gt/"


def _region_folders(folder: Path) -> list[Path]:
    """`region`, `roi`, or `X_mask` beside `X_gt` or `X_label`; other masks may be truths again."""
    found = []
    for near in [folder, *folders_in(folder)]:
        folders = folders_in(near)
        labelled = {base for base, role in map(_role, (d.name for d in folders)) if role == "label"}
        for one in folders:
            base, role = _role(one.name)
            beside = role == "region" and base != "" and base in labelled
            if beside or _REGION.search(one.name):
                found.append(one)
    return found


def _role(name: str) -> tuple[str, str]:
    """What a folder's name begins with, and what it says that the folder holds."""
    low = name.casefold()
    for role, ending in _ROLES:
        if ending.search(low):
            return ending.sub("", low), role
    return low, "picture"


def _set_name(text: str) -> str:
    """`crkwh100` of `CRKWH100_aug`; any other name stays."""
    return next((name for name in SIDE if text.casefold().startswith(name)), text)


def _families(folder: Path) -> dict[str, dict[str, Path]]:
    """Set -> role -> folder, of the folders that belong together and hold one of the four sets."""
    outer = folder.resolve().name
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for one in folders_in(folder):
        base, role = _role(one.name)
        found[_set_name(base or outer)].setdefault(role, one)
    for roles in found.values():
        if "label" not in roles and "region" in roles:
            roles["label"] = roles.pop("region")
    return {
        name: roles
        for name, roles in sorted(found.items())
        if name in SIDE and {"picture", "label"} <= roles.keys()
    }


def _of_folders(name: str, root: Path, roles: dict[str, Path]) -> Part:
    pictures, labels = roles["picture"], roles["label"]
    region = roles.get("region")
    regions: tuple[Keyed, ...] = ()
    if region:
        regions = keyed(files_below(region, MASK_SUFFIXES), region, _region_key)
    return Part(
        name,
        root,
        keyed(files_below(pictures, IMAGE_SUFFIXES), pictures, stem_below),
        keyed(files_below(labels, MASK_SUFFIXES), labels, mask_key),
        regions,
        side=SIDE[name],
        splits=listed_splits(root),
    )


def _region_key(path: Path, folder: Path) -> str:
    return _LABEL_ENDING.sub("", mask_key(path, folder))
