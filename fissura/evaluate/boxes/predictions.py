"""coco.json of `fissura predict`: pictures by the names of their files, classes by theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from fissura.datasets.sequences import Sequences
from fissura.evaluate.boxes.results import Results, category_names, gather_results
from fissura.sources import shown
from fissura.types import InputError

TAIL = 3
"""Folders and name that are compared, as far as both have them."""


def is_document(path: Path) -> bool:
    """Whether a file of JSON holds an object, as coco.json does, rather than a list of results."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(1000).lstrip()[:1] == "{"
    except (OSError, ValueError):
        return False


def read_document(path: Path, data: Sequences) -> Results:
    """Its boxes with the ids of the data set; pictures of others get ids that no picture has."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        names = {one["id"]: str(one["name"]) for one in document["categories"]}
        files = {one["id"]: str(one["file_name"]) for one in document["images"]}
        boxes = list(document["annotations"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: is neither coco.json of fissura predict nor a list of COCO results"
            f" ({type(error).__name__}); predict anew or check the file"
        ) from None
    return gather_results(path, _entries(path, boxes, _pictures(files, data), names, data))


def _pictures(files: Mapping[Any, str], data: Sequences) -> dict[Any, int]:
    """Id in the file → id in the data set."""
    known: dict[tuple[str, ...], set[int]] = {}
    for keyframe in data.keyframes:
        for tail in _tails(str(keyframe.paths[-1].resolve())):
            known.setdefault(tail, set()).add(keyframe.image_id)
    found = {}
    for place, (id_, name) in enumerate(files.items()):
        ids = known.get(_tails(name)[-1], set())
        found[id_] = next(iter(ids)) if len(ids) == 1 else -1 - place
    return found


def _tails(name: str) -> list[tuple[str, ...]]:
    """The name, the name with its folder, … up to `TAIL` parts."""
    parts = PurePath(name.replace("\\", "/")).parts
    return [parts[-n:] for n in range(1, min(TAIL, max(1, len(parts))) + 1)]


def _entries(
    path: Path,
    boxes: list[Any],
    pictures: Mapping[Any, int],
    names: Mapping[Any, str],
    data: Sequences,
) -> Iterator[Any]:
    ids = {name: id_ for id_, name in category_names(data).items()}
    for place, box in enumerate(boxes, 1):
        name = names.get(box.get("category_id")) if isinstance(box, dict) else None
        if name not in ids or box.get("image_id") not in pictures:
            what = "is of no picture" if name in ids else f"is of class {shown(name)}, not"
            end = "of the file" if name in ids else f"one of {data.name}: {', '.join(ids)}"
            raise InputError(f"{path}: annotation {place} {what} {end}; check the file")
        yield box | {"image_id": pictures[box["image_id"]], "category_id": ids[name]}
