"""Finds the pictures that annotations name: below the set's folder, at any depth, never outside.

Paths may come from another machine, begin at a folder above or below the set's, and say another
suffix than the file has. How they have to be read is settled once for each annotation file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fissura.datasets.index import Parts, parts_of, resolved
from fissura.datasets.layout import files_below
from fissura.frames import IMAGE_SUFFIXES
from fissura.sources import shown
from fissura.types import InputError

TRUTHS = frozenset({"masks", "mask", "SegmentationClass", "SegmentationObject"})
SAMPLE = 200
PICTURES = "images"


def split_path(text: str) -> tuple[Parts, bool]:
    """Parts of a path without `..`, and whether it is another machine's."""
    raw, absolute = parts_of(text)
    parts = resolved(raw)
    if not parts:
        raise InputError(f"'{shown(text)}' leads out of the set's folder")
    return parts, absolute


@dataclass(frozen=True)
class Placing:
    """How the paths of one annotation file are read: `cut` first parts off, `base` put before."""

    base: Parts = ()
    cut: int = 0

    def apply(self, parts: Parts) -> Parts:
        """Parts below the set's folder."""
        return (*self.base, *parts[min(self.cut, len(parts) - 1) :])


class PictureFiles:
    """The picture files below a set's folder; truths beside them are left aside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[Parts, list[Path]] = defaultdict(list)
        self._named: dict[str, list[Parts]] = defaultdict(list)
        self._beside: dict[Path, list[Path]] = defaultdict(list)
        for path in files_below(root, IMAGE_SUFFIXES):
            parts = path.relative_to(root).parts
            if TRUTHS.isdisjoint(parts[:-1]):
                key = (*parts[:-1], path.stem)
                self._files[key].append(path)
                self._named[path.stem].append(key)
                self._beside[path.parent].append(path)

    def placing(self, texts: Sequence[str]) -> Placing:
        """What puts most of the named files where there are some."""
        paths = [split_path(text) for text in texts[:: max(1, len(texts) // SAMPLE)]]
        relative = not any(absolute for _, absolute in paths)
        keys = [_key(parts) for parts, _ in paths]
        votes = Counter(place for key in keys for place in self._fits(key, cut=False))
        if not votes or not relative:
            votes += Counter(place for key in keys for place in self._fits(key, cut=True))
        if not votes:
            return Placing()
        return min(votes, key=lambda place: (-votes[place], place.cut, len(place.base), place.base))

    def _fits(self, key: Parts, cut: bool) -> Iterator[Placing]:
        """Ways to read a path that give a file, by as many of its last parts as possible."""
        common = [(file, _common(file, key)) for file in self._named.get(key[-1], ())]
        most = max((length for _, length in common), default=0)
        if most < len(key) and not cut:
            return
        for file, length in common:
            if length == most:
                yield Placing(file[: len(file) - length], len(key) - length)

    def find(self, text: str, placing: Placing) -> tuple[Path, bool]:
        """The file, or where it should be, and whether it is there."""
        parts = placing.apply(split_path(text)[0])
        wanted = self.root.joinpath(*parts)
        found = self._files.get(_key(parts))
        if not found or wanted in found:
            return wanted, bool(found)
        if len(found) > 1:
            names = " and ".join(path.name for path in found[:2])
            raise InputError(f"'{shown(text)}' may mean {names}")
        return found[0], True

    def at(self, parts: Parts) -> list[Path]:
        """The files of a path without suffix."""
        return self._files.get(parts, [])

    def __iter__(self) -> Iterator[Path]:
        return (path for paths in self._files.values() for path in paths)

    def beside(self, path: Path) -> list[Path]:
        """All pictures in the folder of one."""
        return self._beside.get(path.parent, [])

    def name(self, path: Path) -> str:
        """Path below the picture folder without suffix, as lists of names have it."""
        parts = _key(path.parts[len(self.root.parts) :])
        return "/".join(parts[1:] if len(parts) > 1 and parts[0] == PICTURES else parts)


def _key(parts: Parts) -> Parts:
    """The parts with the file's suffix taken off."""
    name = parts[-1]
    dot = name.rfind(".")
    return (*parts[:-1], name[:dot] if 0 < dot < len(name) - 1 else name)


def _common(one: Parts, other: Parts) -> int:
    """How many last parts two paths share."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
