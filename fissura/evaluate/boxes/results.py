"""COCO results: a JSON list of boxes, each with the ids of its picture and of its class."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fissura.datasets.sequences import Sequences
from fissura.metrics.detection import FoundBoxes, Index, Values
from fissura.sources import shown
from fissura.types import InputError

MAX_BOXES = 10_000_000
MAX_ID, MAX_NUMBER = 2**62, 1e9
CHUNK = 4_000_000
"""Characters read at a time; no entry may be longer."""

_SOLID = re.compile(r"\S")

FORM = (
    "a COCO result is a list of entries with image_id, category_id, bbox [left, top, width, height]"
    " and score"
)


class OtherPicturesError(InputError):
    """A file of results holds no boxes on any of the pictures asked for."""


@dataclass(frozen=True)
class Results:
    """What stands in a file: ids of picture and class, box and score of every entry."""

    path: Path
    image_id: Index
    category_id: Index
    xywh: Values
    score: Values

    def of(self, data: Sequences, classes: Sequence[str]) -> tuple[FoundBoxes, dict[str, int]]:
        """The boxes on the pictures of `data` that are of `classes`, and how many are not.

        Pictures and classes are given by their place in the two lists.
        """
        places = picture_places(data)
        image = _numbers(self.image_id, places)
        categories = category_names(data)
        self._check_ids(image, categories, data)
        numbers = {name: k for k, name in enumerate(classes)}
        of_class = {id_: numbers[name] for id_, name in categories.items() if name in numbers}
        label = _numbers(self.category_id, of_class)
        keep = (image >= 0) & (label >= 0)
        left = {
            "on_other_pictures": int((image < 0).sum()),
            "of_other_classes": int(((image >= 0) & (label < 0)).sum()),
        }
        return FoundBoxes(image[keep], label[keep], self.xywh[keep], self.score[keep]), left

    def _check_ids(self, image: Index, categories: Mapping[int, str], data: Sequences) -> None:
        if len(self.score) and (image < 0).all():
            first = ", ".join(str(i) for i in np.unique(self.image_id)[:3])
            raise OtherPicturesError(
                f"{self.path}: none of its pictures (image_id {first} …) is among those of"
                f" {data.name}; check the data set and --split"
            )
        unknown = np.setdiff1d(self.category_id, np.array(list(categories), np.intp))
        if len(unknown):
            known = ", ".join(f"{id_} {name}" for id_, name in categories.items())
            raise InputError(
                f"{self.path}: has category_id {unknown[0]}, which {data.name} does not know;"
                f" known: {known}"
            )


def picture_places(data: Sequences) -> dict[int, int]:
    """Id of a picture → its place; InputError where ids are not those of the annotation files."""
    if not data.own_ids:
        raise InputError(
            f"{data.name}: its annotation files share image ids, so that a file of results does not"
            " say which picture is meant; name one part with --split"
        )
    return {keyframe.image_id: i for i, keyframe in enumerate(data.keyframes)}


def category_names(data: Sequences) -> dict[int, str]:
    """Category id → class; InputError where two of the set's annotation files disagree."""
    found: dict[int, tuple[str, Path]] = {}
    for path, names in data.categories.items():
        for id_, name in names.items():
            other, where = found.setdefault(id_, (name, path))
            if other != name:
                raise InputError(
                    f"{path}: category {id_} is {shown(name)}, in {where} it is {shown(other)}, so"
                    " that a file of results does not say which is meant; number them alike"
                )
    return {id_: found[id_][0] for id_ in sorted(found)}


def read_results(path: Path) -> Results:
    """Read and check a file of COCO results; InputError names the first entry that is wrong."""
    # Entry by entry, so that memory holds little more than the boxes.
    return gather_results(path, _entries(path))


def gather_results(path: Path, entries: Iterable[Any]) -> Results:
    """Check the entries of a file, one at a time, and keep what counts."""
    ids, numbers = array("q"), array("d")
    for place, entry in enumerate(entries, 1):
        wrong = _fault(entry) if place <= MAX_BOXES else f"and {MAX_BOXES} boxes are the most"
        if wrong:
            raise InputError(f"{path}: entry {place}: {wrong}; {FORM}")
        ids.extend((entry["image_id"], entry["category_id"]))
        numbers.extend((*entry["bbox"], entry["score"]))
    pairs = np.array(ids, np.intp).reshape(-1, 2)
    rows = np.array(numbers, np.float64).reshape(-1, 5)
    return Results(path, pairs[:, 0], pairs[:, 1], rows[:, :4], rows[:, 4])


def write_results(path: Path, found: FoundBoxes, data: Sequences, classes: Sequence[str]) -> None:
    """Write the boxes as COCO results, with the ids of the data set's own annotations."""
    ids = {name: id_ for id_, name in reversed(category_names(data).items())}
    images = [keyframe.image_id for keyframe in data.keyframes]
    rows = zip(found.image, found.label, found.xywh, found.score, strict=True)
    lines = [
        json.dumps(
            {
                "image_id": images[image],
                "category_id": ids[classes[label]],
                "bbox": [round(float(side), 4) for side in box],
                "score": float(f"{score:.9g}"),
            }
        )
        for image, label, box, score in rows
        if classes[label] in ids
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _entries(path: Path) -> Iterator[Any]:
    """The members of a JSON list, one at a time."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _members(file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: cannot be read as JSON ({reason}); {FORM}") from None


def _members(file: TextIO) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    text, at = _next(file, "", 0)
    if text[at] != "[":
        raise ValueError("it holds no list")
    text, at = _next(file, text, at + 1)
    ended = text[at] == "]"
    while not ended:
        try:
            member, end = decoder.raw_decode(text, at)
        except ValueError:
            more = file.read(CHUNK)
            if not more or len(text) - at > CHUNK:
                raise
            text, at = text[at:] + more, 0
            continue
        yield member
        text, at = _next(file, text, end)
        ended = text[at] == "]"
        if not ended and text[at] != ",":
            raise ValueError("between two entries stands no comma")
        text, at = (text, at) if ended else _next(file, text, at + 1)
    rest = text[at + 1 :]
    while not rest.strip():
        rest = file.read(CHUNK)
        if not rest:
            return
    raise ValueError("something follows the list")


def _next(file: TextIO, text: str, at: int) -> tuple[str, int]:
    """The text and the place in it of the next character that is no white space."""
    found = _SOLID.search(text, at)
    while found is None:
        text = file.read(CHUNK)
        if not text:
            raise ValueError("the list has no end")
        found = _SOLID.search(text)
    return text, found.start()


def _fault(entry: Any) -> str:
    """What is wrong with an entry; nothing if it is one."""
    if not isinstance(entry, dict):
        return "is no object"
    for key in ("image_id", "category_id"):
        if type(entry.get(key)) is not int or abs(entry[key]) > MAX_ID:
            return f"{key} is no whole number"
    box, score = entry.get("bbox"), entry.get("score")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return "bbox holds no four numbers"
    if min(box[2:]) < 0:
        return "bbox has a negative width or height"
    return "" if _is_number(score) else "score is no number"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < MAX_NUMBER


def _numbers(ids: Index, places: Mapping[int, int]) -> Index:
    """Place of every id, −1 for those that have none."""
    if not places or not len(ids):
        return np.full(len(ids), -1, np.intp)
    known = np.array(sorted(places), np.intp)
    value = np.array([places[int(id_)] for id_ in known], np.intp)
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[at] == ids, value[at], -1)
