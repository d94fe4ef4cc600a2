"""Text lists of boxes, as BeltCrackDet trains on: `annotations/train/instances_train14ks.txt`, ….

A line is a picture's path, then `x1,y1,x2,y2,class` for each box, classes counted from 0 in the
names of `*classes.txt`, or `crack`. Folders of numbered pictures are sequences.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from fissura.datasets.boxes import (
    MAX_BOXES,
    MAX_PICTURES,
    MAX_PX,
    BoxSet,
    Fault,
    Faults,
    plain,
    unreadable,
)
from fissura.datasets.documents import MAX_TEXT_BYTES, read_text
from fissura.datasets.gathering import Entry, Gathering, NamedBox, side_of
from fissura.datasets.layout import files_below
from fissura.frames import IMAGE_SUFFIXES
from fissura.sources import shown
from fissura.types import InputError

FOLDER = "annotations"
CLASSES = "*classes.txt"
USUAL = ("crack",)
MAX_LINE = 65_536
MAX_CLASS_BYTES = 100_000
REACH = 100

_NUMBER = r"-?\d{1,9}(?:\.\d{1,9})?"
_BOX = re.compile(rf"({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER}),(\d{{1,6}})")
_BOX_AT_END = re.compile(rb"[ \t][-.\d]+,[-.\d]+,[-.\d]+,[-.\d]+,\d+\s*$")


def fits(folder: Path) -> bool:
    """Whether a set of this layout lies in `folder`."""
    return bool(_lists(folder))


def read(folder: Path) -> BoxSet:
    """The set in `folder`."""
    gathered = Gathering(folder, folders=True)
    classes = _classes(folder)
    count = 0
    for path in _lists(folder):
        try:
            entries = list(_entries(path, classes, count, gathered.faults))
        except InputError as error:
            gathered.faults.append(unreadable(path, error))
            continue
        count += len(entries)
        gathered.add(path, entries)
    return gathered.close(classes)


def _lists(folder: Path) -> list[Path]:
    """Lists with boxes, and beside them in `annotations/` those of a side that have none."""
    below = folder / FOLDER
    found = files_below(below, frozenset({".txt"})) if below.is_dir() else []
    named = [path for path in found if not path.match(CLASSES)]
    lists = [path for path in (*sorted(folder.glob("*.txt")), *named) if _has_boxes(path)]
    empty = [path for path in named if side_of(path.relative_to(below))] if lists else []
    return list(dict.fromkeys((*lists, *empty)))


def _has_boxes(path: Path) -> bool:
    """Whether any line ends in a box."""
    try:
        with path.open("rb") as file:
            head = io.BytesIO(file.read(MAX_TEXT_BYTES))
    except OSError:
        return False
    return any(_BOX_AT_END.search(line[-REACH:]) for line in head)


def _classes(folder: Path) -> tuple[str, ...]:
    """Names in the class file, in order."""
    files = sorted(path for home in (folder, folder / FOLDER) for path in home.glob(CLASSES))
    names = []
    for path in files[:1]:
        for place, line in enumerate(read_text(path, MAX_CLASS_BYTES).splitlines(), 1):
            try:
                names.append(plain(line.strip()))
            except ValueError as error:
                raise InputError(f"{path}: line {place} {error}; mend the list") from None
    return tuple(filter(None, names)) or USUAL


def _entries(path: Path, classes: Sequence[str], before: int, faults: Faults) -> Iterator[Entry]:
    """Pictures are numbered on from the lists before."""
    text = read_text(path, MAX_TEXT_BYTES)
    pictures = boxes = 0
    for place, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        where = f"line {place}"
        if len(line) > MAX_LINE:
            faults.append(Fault("bad_annotations", path, f"{where} is over {MAX_LINE} characters"))
            continue
        named, words = _parted(line)
        pictures, boxes = pictures + 1, boxes + len(words)
        if pictures > MAX_PICTURES or boxes > MAX_BOXES:
            raise InputError(
                f"{path}: over {MAX_PICTURES} pictures or {MAX_BOXES} boxes; split the list"
            )
        found = [_box(path, f"{where}, box {n}", word, classes, faults) for n, word in words]
        yield Entry(named, before + pictures, None, tuple(box for box in found if box))


def _parted(line: str) -> tuple[str, list[tuple[int, str]]]:
    """The path, which may hold spaces and commas, and the numbered boxes after it."""
    rest = line.strip()
    words: list[str] = []
    while (parts := rest.rsplit(None, 1)) and len(parts) == 2 and "," in parts[1]:
        if not _BOX.fullmatch(parts[1]) and _is_path(parts[1]):
            break
        rest = parts[0]
        words.append(parts[1])
    return rest, list(enumerate(reversed(words), 1))


def _is_path(word: str) -> bool:
    return "/" in word or PurePosixPath(word).suffix.lower() in IMAGE_SUFFIXES


def _box(
    path: Path, where: str, word: str, classes: Sequence[str], faults: Faults
) -> NamedBox | None:
    found = _BOX.fullmatch(word)
    if found is None:
        faults.append(
            Fault("bad_box", path, f"{where} '{shown(word)[:80]}' is no x1,y1,x2,y2,class")
        )
        return None
    x1, y1, x2, y2 = (float(part) for part in found.groups()[:4])
    label = int(found[5])
    if max(map(abs, (x1, y1, x2, y2))) > MAX_PX:
        faults.append(Fault("bad_box", path, f"{where} is beyond {MAX_PX} pixels"))
        return None
    if label >= len(classes):
        what = f"{where} has the unknown class {label}; known are {', '.join(classes)}"
        faults.append(Fault("unknown_category", path, what))
        return None
    return where, (x1, y1, x2, y2), classes[label]
