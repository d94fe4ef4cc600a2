"""What a check says about sets of boxes: their annotations, their sequences, their split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fissura.datasets import DATASETS, find_parts
from fissura.datasets.boxes import KINDS, BoxSet, alike
from fissura.datasets.check.files import Known, Say
from fissura.datasets.check.finding import Finding
from fissura.datasets.layout import SIDES, Part
from fissura.datasets.sequences import LAYOUTS, read_box_sets
from fissura.types import InputError


def find_sets(root: Path, dataset: str | None) -> tuple[Path, list[Part], list[BoxSet]]:
    """The folder that is checked, its sets of pictures, and those among them that have boxes."""
    of_boxes = dataset in LAYOUTS and not (root / str(dataset)).is_dir()
    try:
        folder, parts = (root, []) if of_boxes else find_parts(root, dataset)
    except InputError as error:
        boxes = _boxes_or(error, root, dataset)
        return boxes[0].root if len(boxes) == 1 else root, [_part(one) for one in boxes], boxes
    boxes = [] if dataset in DATASETS else read_box_sets(root, dataset)
    masked = {part.root for part in parts if part.masks is not None}
    with_boxes = {one.root for one in boxes}
    kept = [part for part in parts if part.root in masked or part.root not in with_boxes]
    added = [_part(one) for one in boxes if one.root not in masked]
    return folder, [*kept, *added], boxes


def _boxes_or(error: InputError, root: Path, dataset: str | None) -> list[BoxSet]:
    """The sets of boxes of a folder that holds nothing else, or the error."""
    if dataset in DATASETS or not root.is_dir():
        raise error
    if dataset and root.resolve().name != dataset and not (root / dataset).is_dir():
        raise error
    boxes = read_box_sets(root, dataset)
    if not boxes:
        raise error
    return boxes


def _part(one: BoxSet) -> Part:
    """Its pictures, so that their files are checked as any; the sides are those of its frames."""
    listed = [(p.name, p.file) for p in one.pictures if p.file not in one.missing]
    rest = [(path.relative_to(one.root).as_posix(), path) for path in one.unlisted]
    stated = {side: {p.name for p in one.pictures if p.side == side} for side in SIDES}
    splits = {
        side: frozenset(stated[side] | one.splits.get(side, frozenset()))
        for side in SIDES
        if stated[side] or side in one.splits
    }
    return Part(one.name, one.root, (*listed, *rest), None, splits=splits)


def box_faults(one: BoxSet, known: Known, say: Say) -> Iterator[Finding]:
    """Everything that reading the annotations found, and sizes that the files contradict."""
    for faults, words, mend in alike(one.faults):
        kind, source = faults[0].kind, faults[0].source
        files = list(dict.fromkeys(fault.picture or source for fault in faults))
        yield say(kind, KINDS[kind].severity, files, f"{words}, by {source.name}; {mend}")
    yield from _sizes(one, known, say)
    if one.unlisted:
        message = f"{len(one.unlisted)} pictures have no entry in the annotations"
        yield say("unlisted_picture", "note", _first(one.unlisted), message)


def _sizes(one: BoxSet, known: Known, say: Say) -> Iterator[Finding]:
    for picture in one.pictures:
        facts, stated = known.get(picture.file), picture.size_hw
        if facts is None or facts.error or stated is None:
            continue
        width, height = facts.size_wh
        if (height, width) != stated:
            said = f"{stated[1]}×{stated[0]}"
            message = f"is {width}×{height}, its annotations say {said}; mend one of them"
            yield say("size_mismatch", "error", [picture.file], message)


def _first(paths: Sequence[Path]) -> list[Path]:
    return sorted(paths)[:1]
