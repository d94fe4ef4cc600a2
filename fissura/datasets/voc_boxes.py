"""Pascal VOC: one XML file for each picture in `Annotations/`, or beside the pictures.

Lists in `ImageSets/Main/*.txt` are splits. Coordinates are taken as they stand. Folders of numbered
pictures are sequences; a picture without an XML file is a frame but has no truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from fissura.datasets.boxes import MAX_PX, BoxSet, Fault, Faults, plain, unreadable
from fissura.datasets.documents import looks_like, read_xml
from fissura.datasets.gathering import Entry, Gathering, NamedBox
from fissura.datasets.layout import files_below, read_lines
from fissura.datasets.picture_files import Placing
from fissura.types import InputError

FOLDERS = ("Annotations", "annotations", "xml")
PICTURES = ("JPEGImages", "images", "")
LISTS = "ImageSets/Main"
MAX_NAME = 200
SIDES = ("xmin", "ymin", "xmax", "ymax")


def fits(folder: Path) -> bool:
    """Whether a set of this layout lies in `folder`."""
    files = _files(folder)
    return bool(files) and looks_like(files[0], b"<annotation")


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
        entries.append((path, entry))
        classes.update(dict.fromkeys(label for _, _, label in entry.boxes))
    for path, entry in entries:
        gathered.add(path, [entry], Placing())
    return gathered.close(sorted(classes), _splits(folder, gathered))


def _files(folder: Path) -> list[Path]:
    homes = [folder / name for name in (*FOLDERS, *PICTURES[:-1]) if (folder / name).is_dir()]
    below = [path for home in homes for path in files_below(home, frozenset({".xml"}))]
    return sorted(folder.glob("*.xml")) + below


def _splits(folder: Path, gathered: Gathering) -> dict[str, frozenset[str]]:
    """Name of list -> names as the set has them: stems are given below the picture folder."""
    found = {}
    for path in sorted((folder / LISTS).glob("*.txt")):
        stems = (line.split()[0] for line in read_lines(path) if line.strip())
        if "_" not in path.stem:  # crack_train.txt lists pictures of one class
            found[path.stem] = frozenset(_name(stem, gathered) for stem in stems)
    return found


def _name(stem: str, gathered: Gathering) -> str:
    parts = tuple(stem.split("/"))
    homes = (((home,) if home else ()) for home in PICTURES)
    files = next((found for home in homes if (found := gathered.files.at((*home, *parts)))), None)
    return gathered.files.name(files[0]) if files else stem


# ---- one file ------------------------------------------------------------------------------


def _entry(path: Path, number: int, gathered: Gathering) -> Entry:
    root = read_xml(path)
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
