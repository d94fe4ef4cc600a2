"""Sets of boxes as key frames, each with the frames before it: video sequences and stills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from fissura.datasets import (
    belt_defects,
    beltcrack,
    box_lists,
    coco,
    voc_boxes,
)
from fissura.datasets.boxes import KINDS, BoxPicture, BoxSet, told
from fissura.datasets.clips import header_size, read_clip, stood_in, window
from fissura.datasets.layout import Entry, folders_in
from fissura.datasets.splits import split_members
from fissura.types import InputError, Keyframe

__all__ = [
    "LAYOUTS",
    "Layout",
    "Sequences",
    "members",
    "only_classes",
    "open_sequences",
    "read_box_sets",
    "read_clip",
    "settled",
]


class EmptySplitError(InputError):
    """A set has no frame in the split that was asked for."""


@dataclass(frozen=True)
class Layout:
    """How boxes lie on disk: whether a folder holds such a set, and the set in it."""

    fits: Callable[[Path], bool]
    read: Callable[[Path], BoxSet]


LAYOUTS: dict[str, Layout] = {
    "belt_defects": Layout(belt_defects.fits, belt_defects.read),
    "beltcrack": Layout(beltcrack.fits, beltcrack.read),
    "coco": Layout(coco.fits, coco.read),
    "box_lists": Layout(box_lists.fits, box_lists.read),
    "voc_boxes": Layout(voc_boxes.fits, voc_boxes.read),
}
"""Name of a layout of boxes -> its reader; where several fit a folder the first one is taken."""

Missing = Literal["refuse", "earlier"]


@dataclass(frozen=True)
class Sequences:
    """Key frames of one split of a set, sequence by sequence, in the order of their numbers.

    `classes` in the order of the set's own ids; `stills` where no picture belongs to a sequence;
    `notices` one sentence for everything that was left out or stood in for; `own_ids` whether image
    ids are those of the annotation files; `categories` the ids that each of these gives the
    classes, counted from 1 where none does.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    keyframes: tuple[Keyframe, ...]
    stills: bool
    notices: tuple[str, ...] = ()
    own_ids: bool = True
    categories: Mapping[Path, Mapping[int, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keyframes)


def open_sequences(
    root: Path | str,
    dataset: str | None = None,
    split: str | None = None,
    frames: int = 5,
    annotated_only: bool = False,
    classes: Sequence[str] | None = None,
    missing: Missing = "refuse",
) -> Sequences:
    """The key frames of the set in `root`; `dataset` is its folder inside, or one of LAYOUTS.

    `split` as for `open_dataset`, None is everything. `annotated_only` leaves out frames without
    boxes, `classes` keeps only some. A listed file of the split that is not there is refused; with
    `missing` "earlier" the frame before stands in for it in the windows of others.
    """
    if frames < 1:
        raise InputError(f"frames: a window has at least 1 frame, got {frames}")
    found = _locate(Path(root), dataset)
    settled(found, "earlier")  # no split is to be made of what cannot be read
    chosen = members(found, split)
    notices = settled(_without_faults_of_others(found, chosen), missing)
    keyframes = _keyframes(found, chosen, frames)
    if not keyframes:
        why = "too few sequences to spare one" if split == "val" else "check the folder"
        raise EmptySplitError(f"{found.root}: no frame in split {split or 'all'}; {why}")
    keyframes, more = _own_ids(found, keyframes)
    stills = all(picture.sequence is None for picture in chosen)
    notices = (*notices, *more)
    categories = found.categories or {found.root: dict(enumerate(found.classes, 1))}
    kept = tuple(keyframes)
    whole = Sequences(
        found.name, found.root, found.classes, kept, stills, notices, not more, categories
    )
    return only_classes(whole, classes or found.classes, annotated_only)


def only_classes(
    sequences: Sequences, classes: Sequence[str], annotated_only: bool = False
) -> Sequences:
    """The same key frames with the boxes of some classes; `annotated_only` drops those without."""
    unknown = sorted(set(classes) - set(sequences.classes))
    if unknown:
        known = ", ".join(sequences.classes)
        raise InputError(f"{sequences.root}: no class '{unknown[0]}'; there are {known}")
    kept = [_of_classes(keyframe, frozenset(classes)) for keyframe in sequences.keyframes]
    frames = tuple(keyframe for keyframe in kept if keyframe.labels or not annotated_only)
    if not frames:
        raise InputError(f"{sequences.root}: no frame has a box of {', '.join(classes)}")
    named = tuple(name for name in sequences.classes if name in classes)
    return replace(sequences, classes=named, keyframes=frames)


def _of_classes(keyframe: Keyframe, classes: frozenset[str]) -> Keyframe:
    wanted = [label in classes for label in keyframe.labels]
    if all(wanted):
        return keyframe
    labels = tuple(label for label in keyframe.labels if label in classes)
    return replace(keyframe, boxes=keyframe.boxes[wanted], labels=labels)


# ---- finding -------------------------------------------------------------------------------


def read_box_sets(root: Path, dataset: str | None = None) -> list[BoxSet]:
    """The sets of boxes in `root`, or else in its folders, with their faults; perhaps none."""
    if dataset in LAYOUTS and not (root / dataset).is_dir():
        return [LAYOUTS[dataset].read(_folder(root))]
    if dataset and root.resolve().name != dataset and not (root / dataset).is_dir():
        known = ", ".join(LAYOUTS)
        raise InputError(
            f"{root / dataset}: no such set and no layout of boxes (there are {known})"
        )
    named = dataset is not None and (root / dataset).is_dir()
    home = _folder(root / dataset if dataset and named else root)
    here = _fitting(home)
    if here or named:
        return [here.read(home)] if here else []
    below = ((folder, _fitting(folder)) for folder in folders_in(home))
    return [layout.read(folder) for folder, layout in below if layout]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise InputError(f"{path}: no such folder of data; check the path")
    return path


def _fitting(folder: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS.values() if layout.fits(folder)), None)


def _locate(root: Path, dataset: str | None) -> BoxSet:
    found = read_box_sets(root, dataset)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(one.name for one in found)
        raise InputError(f"{root}: holds several sets ({names}); name one of them")
    raise InputError(
        f"{root / (dataset or '')}: no boxes here; expected one of the layouts {', '.join(LAYOUTS)}"
    )


# ---- one set -------------------------------------------------------------------------------


def settled(found: BoxSet, missing: Missing) -> tuple[str, ...]:
    """Raise for what cannot be read, and say what was done about the rest."""
    taken = "missing_frame" if missing == "earlier" else None
    refused = [f for f in found.faults if KINDS[f.kind].refused and f.kind != taken]
    if refused:
        raise InputError(told(refused)[0])
    gone = [fault for fault in found.faults if fault.kind == "missing_frame"]
    rest = told(fault for fault in found.faults if fault.kind != "missing_frame")
    then = "it is no key frame, and the frame before stands in for it"
    return (*rest, *(f"{words.rpartition('; ')[0]}; {then}" for words in told(gone)))


def _without_faults_of_others(found: BoxSet, chosen: Sequence[BoxPicture]) -> BoxSet:
    """The same set, but of files that are not there only those that `chosen` needs."""
    needed = {one.file for one in chosen}
    for name in {one.sequence for one in chosen if one.sequence is not None}:
        needed.update(path for _, path in found.frames[name])
    gone = needed & found.missing
    lost = [fault for fault in found.faults if fault.kind == "missing_frame"]
    told_of = [fault for fault in lost if fault.picture in gone] or (lost if gone else [])
    rest = [fault for fault in found.faults if fault.kind != "missing_frame"]
    return replace(found, faults=(*rest, *told_of))


def members(found: BoxSet, split: str | None) -> list[BoxPicture]:
    """The pictures of one split, whole sequences; of all where it is None."""
    if split is None:
        return list(found.pictures)
    pictures = found.pictures
    entries = [Entry(found.name, one.name, one.file, None, side=one.side) for one in pictures]
    sequences = {one.name: one.sequence for one in pictures if one.sequence is not None}
    names = split_members(found.root, entries, found.splits, split, sequences) if entries else ()
    return [one for one in pictures if one.name in names]


def _keyframes(found: BoxSet, chosen: Sequence[BoxPicture], length: int) -> list[Keyframe]:
    wanted = {one.sequence for one in chosen if one.sequence is not None}
    frames = {name: stood_in(found.frames[name], found.missing) for name in wanted}
    places = {
        (name, number): place
        for name, known in frames.items()
        for place, (number, _) in enumerate(known)
    }
    order = {name: place for place, name in enumerate(dict.fromkeys(map(_group, chosen)))}
    there = [one for one in chosen if one.file not in found.missing]
    keyframes = []
    for one in sorted(there, key=lambda one: (order[_group(one)], one.number)):
        paths: tuple[Path, ...] = (one.file,) * length
        if one.sequence is not None:
            paths = window(frames[one.sequence], places[one.sequence, one.number], length)
        size_hw = one.size_hw or header_size(one.file)
        values = (one.image_id, size_hw, one.boxes, one.labels)
        keyframes.append(Keyframe(paths, _group(one), one.number, *values))
    return keyframes


def _group(picture: BoxPicture) -> str:
    """Its sequence; a still is one of its own."""
    return picture.name if picture.sequence is None else picture.sequence


def _own_ids(found: BoxSet, keyframes: Sequence[Keyframe]) -> tuple[list[Keyframe], list[str]]:
    """Key frames with an id each; ids that several annotation files share are given anew."""
    ids = Counter(one.image_id for one in keyframes)
    if not ids or max(ids.values()) == 1:
        return list(keyframes), []
    anew = [replace(one, image_id=number) for number, one in enumerate(keyframes, 1)]
    return anew, [f"{found.root}: annotation files share image ids; all are numbered anew"]
