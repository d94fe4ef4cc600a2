"""What every layout of boxes is read into: pictures in sequences, their boxes, and the faults."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fissura.types import InputError

Boxes = NDArray[np.float32]
Severity = Literal["error", "warning", "note"]

SLACK = 1.0
"""Pixels by which a box may reach beyond its picture before it is mentioned."""


MAX_PX = 1_000_000
"""Sides of pictures and coordinates of boxes beyond it are refused."""

MAX_ID = 2**62
"""Ids are kept as 64-bit integers."""

MAX_PICTURES, MAX_BOXES, MAX_CLASSES = 250_000, 500_000, 10_000
"""Most of one annotation file."""

KEPT = 100
"""Faults of one kind in one file that are kept; the others are counted.

Of files that are not there all are kept: which of them matter depends on the split.
"""


@dataclass(frozen=True)
class Kind:
    """One kind of fault: `refused` says whether reading stops, `then` what is done or to do."""

    severity: Severity
    refused: bool
    then: str


KINDS = {
    "bad_annotations": Kind("error", True, "mend the file"),
    "bad_box": Kind("error", True, "mend it"),
    "unknown_category": Kind("error", True, "add the category or mend the annotation"),
    "unknown_picture": Kind("error", True, "mend the annotation"),
    "doubled_picture": Kind("error", True, "keep one entry"),
    "doubled_frame": Kind("error", True, "number the frames anew"),
    "bad_path": Kind("error", True, "mend the path"),
    "missing_frame": Kind("error", True, "copy it again, or set missing to earlier"),
    "split_by_frame": Kind("error", True, "keep every sequence on one side"),
    "split_lists_missing": Kind("error", False, "mend the list"),
    "split_list_unknown": Kind("error", True, "mend the list or remove it"),
    "doubled_id": Kind("error", False, "number the annotations anew"),
    "empty_box": Kind("error", False, "left out"),
    "box_outside": Kind("error", False, "left out"),
    "box_beyond": Kind("warning", False, "kept; clipped where a network's input ends"),
    "doubled_box": Kind("warning", False, "kept; remove one"),
    "crowd_box": Kind("note", False, "left out"),
    "left_out": Kind("note", False, "left out"),
    "frame_gap": Kind("note", False, "windows take the frames before"),
    "no_sequence": Kind("note", False, "every picture stands alone"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with an annotation file (`source`) or with one of its pictures.

    `mend` is what to do about this one where its kind does not say it, `more` how many alike were
    found but not kept.
    """

    kind: str
    source: Path
    what: str
    picture: Path | None = None
    mend: str = ""
    more: int = 0


def plain(name: str) -> str:
    """The name; ValueError if it would write anything but words to a terminal or a file."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise ValueError("has control characters")
    return name


def unreadable(path: Path, error: InputError) -> Fault:
    """The fault of an annotation file that was refused as a whole; the error says the mend."""
    what, _, mend = str(error).removeprefix(f"{path}: ").rpartition("; ")
    return Fault("bad_annotations", path, what or mend, mend=mend if what else "")


class Faults:
    """Faults while a set is read: of each kind in each file a few, then a count."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Path], list[Fault]] = {}
        self._more: Counter[tuple[str, Path]] = Counter()

    def append(self, fault: Fault) -> None:
        """One more."""
        known = self._kept.setdefault((fault.kind, fault.source), [])
        if len(known) < KEPT or fault.kind == "missing_frame":
            known.append(fault)
        else:
            self._more[fault.kind, fault.source] += 1

    def extend(self, faults: Iterable[Fault]) -> None:
        """Several more."""
        for fault in faults:
            self.append(fault)

    def all(self) -> tuple[Fault, ...]:
        """What was kept, by kind and file; the first of each knows how many more there were."""
        return tuple(
            replace(fault, more=self._more[key]) if place == 0 else fault
            for key, known in self._kept.items()
            for place, fault in enumerate(known)
        )


@dataclass(frozen=True, slots=True)
class BoxPicture:
    """An annotated picture before it is read.

    `name` is its path below the picture folder without suffix, `sequence` None of a still,
    `number` its place in the sequence, `size_hw` None where the annotations do not say, `boxes`
    N×4 xyxy in its pixels, `side` the split that its annotation file states.
    """

    file: Path
    name: str
    sequence: str | None
    number: int
    image_id: int
    size_hw: tuple[int, int] | None
    boxes: Boxes
    labels: tuple[str, ...]
    side: str | None = None


@dataclass(frozen=True)
class SplitList:
    """A file that names pictures or sequences of one side."""

    path: Path
    side: str
    names: frozenset[str]


Frames = tuple[tuple[int, Path], ...]


@dataclass(frozen=True)
class BoxSet:
    """A set of boxes on disk.

    `frames` are all pictures of every sequence in order, those without an entry in the annotations
    too; `missing` are the files among them that are not there, `unlisted` pictures without entry.
    `categories` are the ids that each COCO file gives the classes.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    pictures: tuple[BoxPicture, ...]
    frames: Mapping[str, Frames]
    missing: frozenset[Path] = frozenset()
    unlisted: tuple[Path, ...] = ()
    faults: tuple[Fault, ...] = ()
    splits: Mapping[str, frozenset[str]] = field(default_factory=dict)
    categories: Mapping[Path, Mapping[int, str]] = field(default_factory=dict)


def as_array(boxes: Sequence[Sequence[float]]) -> Boxes:
    """N×4 float32, also of none."""
    return np.array(boxes, np.float64).reshape(-1, 4).astype(np.float32)


def box_fault(xyxy: Sequence[float], size_hw: tuple[int, int] | None) -> tuple[str, str] | None:
    """Kind and words for a box that is empty or lies outside its picture, wholly or in part."""
    x1, y1, x2, y2 = xyxy
    shown = f"({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if x2 <= x1 or y2 <= y1:
        return "empty_box", f"{shown} has no area"
    if size_hw is None:
        return None
    height, width = size_hw
    where = f"its picture of {width}×{height}"
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return "box_outside", f"{shown} lies outside {where}"
    if min(x1, y1) < -SLACK or x2 > width + SLACK or y2 > height + SLACK:
        return "box_beyond", f"{shown} reaches beyond {where}"
    return None


def alike(faults: Iterable[Fault]) -> list[tuple[list[Fault], str, str]]:
    """Faults of one kind in one file, words for the first and their number, and the mend."""
    grouped: dict[tuple[str, Path], list[Fault]] = {}
    for fault in faults:
        grouped.setdefault((fault.kind, fault.source), []).append(fault)
    return [
        (known, known[0].what + _more(known), known[0].mend or KINDS[known[0].kind].then)
        for known in grouped.values()
    ]


def told(faults: Iterable[Fault]) -> tuple[str, ...]:
    """One sentence for every kind of fault in a file, with the first of them and their number."""
    return tuple(f"{known[0].source}: {words}; {mend}" for known, words, mend in alike(faults))


def _more(known: Sequence[Fault]) -> str:
    count = len(known) - 1 + sum(fault.more for fault in known)
    return f" (and {count} more alike)" if count else ""
