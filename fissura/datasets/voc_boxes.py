"""Pascal VOC: one XML file for each picture in `Annotations/`, or beside the pictures.

Lists in `ImageSets/Main/*.txt` are splits. Coordinates are taken as they stand. Folders of numbered
pictures are sequences; a picture without an XML file is a frame but has no truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from fissura.datasets.boxes import MAX_PX, BoxSet, Fault, Faults, SplitList, plain, unreadable
from fissura.datasets.documents import looks_like, read_xml
from fissura.datasets.gathering import Entry, Gathering, NamedBox, side_of
from fissura.datasets.layout import files_below, read_lines
from fissura.datasets.picture_files import Placing
from fissura.types import InputError

FOLDERS = ("Annotations", "annotations", "xml")
PICTURES = ("JPEGImages", "images", "")
LISTS = "ImageSets/Main"
MAX_NAME = 200
LOOKED_AT = 20
SIDES = ("xmin", "ymin", "xmax", "ymax")

_FLAG = re.compile(r"\s+-?[01]$")


def fits(folder: Path) -> bool:
    """Whether a set of this layout lies in `folder`."""
    files = _files(folder)
    return any(looks_like(path, b"<annotation") for path in files[:LOOKED_AT])


def read(folder: Path) -> BoxSet:
    """The set in `folder`."""
    gathered = Gathering(folder, folders=True)
    entries, classes = [], dict[str, None]()
    for number, path in enumerate(_files(folder), 1):
        try:
            entry = _entry(path, number, gathered)
        except InputError as error:
            gathered.faults.append(unreadable(path, error))
            continue
        if entry is None:
            gathered.faults.append(Fault("left_out", path, "holds no <annotation>"))
            continue
        entries.append((path, entry))
        classes.update(dict.fromkeys(label for _, _, label in entry.boxes))
    for path, entry in entries:
        gathered.add(path, [entry], Placing())
    return gathered.close(sorted(classes), _lists(folder, tuple(classes), gathered))


def _files(folder: Path) -> list[Path]:
    homes = [folder / name for name in (*FOLDERS, *PICTURES[:-1]) if (folder / name).is_dir()]
    below = [path for home in homes for path in files_below(home, frozenset({".xml"}))]
    return sorted(folder.glob("*.xml")) + below


def _lists(folder: Path, classes: Sequence[str], gathered: Gathering) -> list[SplitList]:
    """The lists of splits; `crack_test.txt` is one where no other list says what is in test."""
    starts = tuple(f"{name}_" for name in classes)
    paths = sorted((folder / LISTS).glob("*.txt"), key=lambda path: path.stem.startswith(starts))
    found: list[SplitList] = []
    for path in paths:
        side = side_of(Path(path.name)) or path.stem
        first = next((one.path.name for one in found if one.side == side), None)
        if first and path.stem.startswith(starts):
            what = f"lists pictures of one class, {first} all of the same split"
            gathered.faults.append(Fault("left_out", path, what))
            continue
        lines = filter(None, map(str.strip, read_lines(path)))
        names = frozenset(_listed(line, gathered) for line in lines)
        found.append(SplitList(path, side, names))
    return found


def _listed(line: str, gathered: Gathering) -> str:
    """The name as the set has it; lists of one class end their lines in 1, 0 or -1."""
    stem = _FLAG.sub("", line)
    return _name(line, gathered) or _name(stem, gathered) or stem


def _name(stem: str, gathered: Gathering) -> str | None:
    """Name of the picture or sequence of that path below the picture folder."""
    for home in PICTURES:
        parts = (*filter(None, [home]), *stem.split("/"))
        files = gathered.files.at(parts)
        if files:
            return gathered.files.name(files[0])
        inside = gathered.root.joinpath(*parts, "x")
        if gathered.files.beside(inside):
            return gathered.files.name(inside).rpartition("/")[0]
    return None


# ---- one file ------------------------------------------------------------------------------


def _entry(path: Path, number: int, gathered: Gathering) -> Entry | None:
    """What the file says; None where it is about something else."""
    root = read_xml(path)
    if root.tag.lower() != "annotation":
        return None
    height, width = _number(root, "size/height") or 0, _number(root, "size/width") or 0
    size_hw = (int(height), int(width)) if min(height, width) >= 1 else None
    return Entry(
        _picture(path, root, gathered), number, size_hw, tuple(_boxes(path, root, gathered.faults))
    )


def _picture(path: Path, root: Element, gathered: Gathering) -> str:
    """The picture of the same path below the picture folder, else what the file says."""
    below = path.relative_to(gathered.root).with_suffix("").parts
    inner = below[1:] if below[0] in FOLDERS else below
    for home in PICTURES:
        parts = (home, *inner) if home else inner
        found = gathered.files.at(parts) or gathered.files.at(below)
        if found:
            return found[0].relative_to(gathered.root).as_posix()
    named = (root.findtext("filename") or "").strip() or f"{path.stem}.jpg"
    home = next(home for home in PICTURES if (gathered.root / home).is_dir())
    return "/".join((home, *inner[:-1], named.replace("\\", "/").rpartition("/")[2]))


def _boxes(path: Path, root: Element, faults: Faults) -> Iterator[NamedBox]:
    for place, found in enumerate(root.iter("object"), 1):
        label = (found.findtext("name") or "").strip()
        values = [_number(found, f"bndbox/{side}") for side in SIDES]
        numbers = [value for value in values if value is not None]
        where = f"object {place}"
        if not _is_name(label):
            what = f"{where} has no name of at most {MAX_NAME} letters"
            faults.append(Fault("unknown_category", path, what))
        elif len(numbers) < len(SIDES):
            what = f"{where} lacks one of {', '.join(SIDES)}, or it is beyond {MAX_PX}"
            faults.append(Fault("bad_box", path, what))
        else:
            yield where, (numbers[0], numbers[1], numbers[2], numbers[3]), label


def _is_name(label: str) -> bool:
    try:
        return 0 < len(plain(label)) <= MAX_NAME
    except ValueError:
        return False


def _number(found: Element, tag: str) -> float | None:
    text = (found.findtext(tag) or "").strip()
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= MAX_PX else None
