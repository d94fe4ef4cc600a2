"""Text lists of boxes, as BeltCrackDet trains on: `annotations/train/instances_train14ks.txt`, ….

A line is a picture's path, then `x1,y1,x2,y2,class` for each box, classes counted from 0 in the
names of `*classes.txt`, or `crack`. Folders of numbered pictures are sequences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fissura.datasets.boxes import BoxSet, Fault
from fissura.datasets.gathering import Entry, Gathering, NamedBox
from fissura.datasets.layout import files_below, read_lines
from fissura.sources import shown
from fissura.types import InputError

FOLDER = "annotations"
CLASSES = "*classes.txt"
USUAL = ("crack",)
MAX_LINE = 65_536
REACH = 65_536

_NUMBER = r"-?\d{1,9}(?:\.\d{1,9})?"
_BOX = re.compile(rf"({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER}),(\d{{1,6}})")


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
            lines = read_lines(path)
        except InputError as error:
            what = str(error).removeprefix(f"{path}: ")
            gathered.faults.append(Fault("bad_annotations", path, what))
            continue
        entries = list(_entries(path, lines, classes, count, gathered.faults))
        count += len(entries)
        gathered.add(path, entries)
    return gathered.close(classes)


def _lists(folder: Path) -> list[Path]:
    below = folder / FOLDER
    found = files_below(below, frozenset({".txt"})) if below.is_dir() else []
    return [path for path in (*sorted(folder.glob("*.txt")), *found) if _has_boxes(path)]


def _has_boxes(path: Path) -> bool:
    """Whether one of the first lines ends in a box."""
    try:
        with path.open("rb") as file:
            head = file.read(REACH).decode("utf-8", "replace")
    except OSError:
        return False
    words = (line.rsplit(None, 1) for line in head.splitlines())
    return any(len(pair) == 2 and _BOX.fullmatch(pair[1]) for pair in words)


def _classes(folder: Path) -> tuple[str, ...]:
    """Names in the class file, in order."""
    files = sorted(path for home in (folder, folder / FOLDER) for path in home.glob(CLASSES))
    lines = [line.strip() for path in files[:1] for line in read_lines(path)]
    return tuple(filter(None, lines)) or USUAL


def _entries(
    path: Path, lines: Sequence[str], classes: Sequence[str], before: int, faults: list[Fault]
) -> Iterator[Entry]:
    """Pictures are numbered on from the lists before."""
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {place}"
        if len(line) > MAX_LINE:
            faults.append(Fault("bad_annotations", path, f"{where} is over {MAX_LINE} characters"))
            continue
        text, words = _parted(line)
        boxes = [_box(path, f"{where}, box {n}", word, classes, faults) for n, word in words]
        yield Entry(text, before + place, None, tuple(box for box in boxes if box))


def _parted(line: str) -> tuple[str, list[tuple[int, str]]]:
    """The path, which may hold spaces, and the numbered boxes after it."""
    rest = line.strip()
    words: list[str] = []
    while (parts := rest.rsplit(None, 1)) and len(parts) == 2 and "," in parts[1]:
        if not _BOX.fullmatch(parts[1]) and not words and "/" in parts[1]:
            break
        rest = parts[0]
        words.append(parts[1])
    return rest, list(enumerate(reversed(words), 1))


def _box(
    path: Path, where: str, word: str, classes: Sequence[str], faults: list[Fault]
) -> NamedBox | None:
    found = _BOX.fullmatch(word)
    if found is None:
        faults.append(
            Fault("bad_box", path, f"{where} '{shown(word)[:80]}' is no x1,y1,x2,y2,class")
        )
        return None
    x1, y1, x2, y2 = (float(part) for part in found.groups()[:4])
    label = int(found[5])
    if label >= len(classes):
        what = f"{where} has the unknown class {label}; known are {', '.join(classes)}"
        faults.append(Fault("unknown_category", path, what))
        return None
    return where, (x1, y1, x2, y2), classes[label]
