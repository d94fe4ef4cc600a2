"""COCO results: a JSON list of boxes, each with the ids of its picture and of its class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import FailFast, Field, TypeAdapter, ValidationError

from fissura.datasets.coco_files import Coco, coco_files
from fissura.datasets.documents import Document, read_json
from fissura.datasets.sequences import Sequences
from fissura.metrics.detection import FoundBoxes, Index, Values
from fissura.types import InputError

MAX_BYTES = 200_000_000
FORM = (
    "a COCO result is a list of entries with image_id, category_id, bbox [left, top, width, height]"
    " and score"
)


_Id = Annotated[int, Field(ge=-(2**62), le=2**62)]
_Place = Annotated[float, Field(ge=-1e9, le=1e9)]
_Side = Annotated[float, Field(ge=0, le=1e9)]


class Entry(Document):
    """One box."""

    image_id: _Id
    category_id: _Id
    bbox: tuple[_Place, _Place, _Side, _Side]
    score: _Place


_ENTRIES = TypeAdapter(Annotated[list[Entry], FailFast()])


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
            raise InputError(
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
    """Id of a picture → its place; InputError where two pictures share an id."""
    places = {keyframe.image_id: i for i, keyframe in enumerate(data.keyframes)}
    if len(places) < len(data.keyframes):
        raise InputError(
            f"{data.name}: several pictures share an image_id, as parts with files of their own"
            " do; name one part with --split"
        )
    return places


def category_names(data: Sequences) -> dict[int, str]:
    """Category id → class, as in the set's own COCO files; else they are numbered from 1."""
    written: dict[int, str] = {}
    for path in coco_files(data.root):
        written |= {one.id: one.name for one in read_json(path, Coco).categories}
    ids = sorted(written) if len(written) == len(data.classes) else range(1, len(data.classes) + 1)
    return dict(zip(ids, data.classes, strict=True))


def read_results(path: Path) -> Results:
    """Read and check a file of COCO results; InputError names the first entry that is wrong."""
    entries = _entries(path)
    xywh = np.array([entry.bbox for entry in entries], np.float64).reshape(-1, 4)
    score = np.array([entry.score for entry in entries], np.float64)
    image_id = np.array([entry.image_id for entry in entries], np.intp)
    category_id = np.array([entry.category_id for entry in entries], np.intp)
    return Results(path, image_id, category_id, xywh, score)


def write_results(path: Path, found: FoundBoxes, data: Sequences, classes: Sequence[str]) -> None:
    """Write the boxes as COCO results, with the ids of the data set's own annotations."""
    ids = {name: id_ for id_, name in category_names(data).items()}
    images = [keyframe.image_id for keyframe in data.keyframes]
    rows = zip(found.image, found.label, found.xywh, found.score, strict=True)
    lines = [
        json.dumps(
            {
                "image_id": images[image],
                "category_id": ids[classes[label]],
                "bbox": [round(float(side), 3) for side in box],
                "score": round(float(score), 6),
            }
        )
        for image, label, box, score in rows
        if classes[label] in ids
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _entries(path: Path) -> list[Entry]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if len(raw) > MAX_BYTES:
        raise InputError(
            f"{path}: has more than {MAX_BYTES // 10**6} MB; keep the best 100 boxes of a picture"
        )
    try:
        return _ENTRIES.validate_json(raw.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place, *rest = first["loc"] or ("",)
        where = f"entry {place + 1}: " if isinstance(place, int) else ""
        what = " ".join([*map(str, rest), first["msg"].lower()])
        raise InputError(f"{path}: {where}{what}; {FORM}") from None


def _numbers(ids: Index, places: Mapping[int, int]) -> Index:
    """Place of every id, −1 for those that have none."""
    if not places or not len(ids):
        return np.full(len(ids), -1, np.intp)
    known = np.array(sorted(places), np.intp)
    value = np.array([places[int(id_)] for id_ in known], np.intp)
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[at] == ids, value[at], -1)
