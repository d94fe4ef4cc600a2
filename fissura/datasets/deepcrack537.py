"""DeepCrack (Liu et al., 2019) as published: `train_img/`, `train_lab/`, `test_img/`, `test_lab/`.

A stem is a file's name up to its first dot. Labels are `STEM.png` of 0 and 255 or of 0 and 1;
`STEM_binary_label.png`, as CGNet's conversion writes them, count where there is no other label.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from fissura.datasets.held_back import held_back
from fissura.datasets.layout import SIDES, Keyed, Part, files_below
from fissura.datasets.reader import Reader
from fissura.frames import IMAGE_SUFFIXES

NAME = "deepcrack537"
BINARY = "_binary_label"


class DeepCrack537(Reader):
    """The official layout, under the names of our list: ten stems of both parts end in `_test`."""

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """One side with pictures and labels is enough."""
        return any(_has(folder, side) for side in SIDES)

    @classmethod
    def parts_in(cls, folder: Path) -> list[Part]:
        """A part for each side; the set keeps its folder's name if it is not DeepCrack's own."""
        sides = [side for side in SIDES if _has(folder, side)]
        pictures = {side: _pictures(folder / f"{side}_img") for side in sides}
        elsewhere = {stem for side in sides if side != "test" for stem, _ in pictures[side]}
        known = held_back()[NAME]
        test = [_test_name(stem, known, elsewhere) for stem, _ in pictures.get("test", ())]
        ours = sum(name in known for name in test) * 2 > len(test)
        name = NAME if ours else folder.resolve().name

        def named(side: str, files: Iterable[Keyed]) -> tuple[Keyed, ...]:
            if side != "test":
                return tuple(files)
            kept = known if ours else frozenset[str]()
            return tuple((_test_name(stem, kept, elsewhere), path) for stem, path in files)

        return [
            Part(
                name,
                folder,
                named(side, pictures[side]),
                named(side, _labels(folder / f"{side}_lab")),
                side=side,
            )
            for side in sides
        ]

    @classmethod
    def wanted(cls) -> str:
        """The four folders, in words."""
        return "train_img/ beside train_lab/ and test_img/ beside test_lab/"


def _has(folder: Path, side: str) -> bool:
    return (folder / f"{side}_img").is_dir() and (folder / f"{side}_lab").is_dir()


def _stem(path: Path, folder: Path) -> str:
    """`sequence/a` of `folder/sequence/a.b.jpg`."""
    below = path.relative_to(folder)
    return below.with_name(below.name.split(".")[0]).as_posix()


def _test_name(stem: str, known: frozenset[str], elsewhere: AbstractSet[str]) -> str:
    """A stem that means another picture in the training part gets `_test`."""
    other = f"{stem}_test"
    return other if other in known or (stem in elsewhere and stem not in known) else stem


def _pictures(folder: Path) -> list[Keyed]:
    return [(_stem(path, folder), path) for path in files_below(folder, IMAGE_SUFFIXES)]


def _labels(folder: Path) -> list[Keyed]:
    """Labels by stem; a converted copy beside the original label is left aside."""
    found = [(_stem(path, folder), path) for path in files_below(folder, IMAGE_SUFFIXES)]
    plain = {stem for stem, _ in found if not stem.endswith(BINARY)}
    bare = [(stem.removesuffix(BINARY), stem, path) for stem, path in found]
    return [(key, path) for key, stem, path in bare if stem in plain or key not in plain]
