"""Index files: one sample on each line, the paths of a picture and of its label.

A path may be relative to the index file's folder or to the set's, or come from another machine; the
files of the set that end in as many of its last parts as possible are meant. A path never leads out
of the set's folder; only links in that folder may.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from fissura.datasets.layout import (
    MASK_SUFFIXES,
    MAX_LIST_BYTES,
    SIDES,
    Keyed,
    Part,
    files_below,
    folders_in,
    holds,
    read_lines,
)
from fissura.sources import shown
from fissura.types import InputError

_NAME = re.compile(r"(train|val|valid|validation|test)(?:_[\w-]+)?\.txt", re.IGNORECASE)
_FIELD = re.compile(r"\"([^\"]+)\"|'([^']+)'|(\S+)")
_SUFFIX = rb"\.(?:jpe?g|png|bmp|tiff?|p[gpn]m|webp|gif|mat)\b"
_PAIR = re.compile(_SUFFIX + rb"[^\r\n]*?" + _SUFFIX, re.IGNORECASE)
_GAP = re.compile(r"[ \t]+")
LISTS_OF_STEMS = "splits"
MARK = "\ufeff"  # of byte order; joined files have it within

MAX_LINE = 4096

Pair = tuple[Path, Path]
Parts = tuple[str, ...]


def side_of(path: Path) -> str:
    """Split that an index file's name states: `val` of `val_example.txt`."""
    found = _NAME.fullmatch(path.name)
    name = found[1].lower() if found else path.stem
    return "val" if name.startswith("val") else name


def index_files(root: Path) -> list[Path]:
    """`train_index.txt` and the like, in the set's folder or in one below that holds no picture."""
    below = (folder for folder in folders_in(root) if folder.name != LISTS_OF_STEMS)
    homes = [root, *(folder for folder in below if not holds(folder, MASK_SUFFIXES))]
    return [
        path
        for home in homes
        for path in sorted(home.glob("*.txt"))
        if _NAME.fullmatch(path.name) and path.is_file()
    ]


def is_index(path: Path) -> bool:
    """Whether any line names two pictures; what the other lines are is said when they are read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LIST_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    # UTF-16 without its zeros can be recognised, and is then refused by name.
    return _PAIR.search(data.replace(b"\0", b"")) is not None


class Files:
    """The picture and label files below a set's folder, found by the end of a path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._whole: dict[Parts, Path] = {}
        self._ends: dict[Parts, list[Path]] = defaultdict(list)
        name = root.resolve().name
        for path in files_below(root, MASK_SUFFIXES):
            parts = path.relative_to(root).parts
            self._whole[parts] = path
            for start in range(len(parts)):
                self._ends[parts[start:]].append(path)
            self._ends[name, *parts].append(path)

    def find(self, text: str, home: Parts) -> Path | None:
        """The file meant by `text` in an index file in the folder `home` (parts below the set's).

        Of another machine's path the file's name alone is not enough: that may be the label's.
        Raises InputError where two files fit equally well, or where the path leads out of the set.
        """
        raw, absolute = parts_of(text)
        bases = ((),) if absolute else ((), home)
        ways = [way for base in bases if (way := resolved((*base, *raw))) is not None]
        if not ways:
            raise InputError(f"'{shown(text)}' leads out of the set's folder; mend the path")
        exact = {self._whole[way] for way in ways if way in self._whole}
        ends = [ways[0][start:] for start in range(len(ways[0]) - 1 if absolute else 1)]
        longest = next((self._ends[end] for end in ends if end in self._ends), [])
        found = longest if absolute else sorted(exact) or longest
        if len(found) > 1 and len({path.resolve() for path in found}) > 1:
            several = " and ".join(path.relative_to(self.root).as_posix() for path in found[:2])
            raise InputError(
                f"'{shown(text)}' may mean {several}; write the path from the set's folder"
            )
        return found[0] if found else None


def parts_of(text: str) -> tuple[Parts, bool]:
    """Parts of a path, and whether it is another machine's."""
    windows = "\\" in text and "/" not in text
    plain = PureWindowsPath(text).as_posix() if windows else text
    absolute = plain.startswith("/") or bool(re.match(r"[A-Za-z]:/|~", plain))
    return tuple(part for part in plain.split("/") if part not in ("", ".")), absolute


def resolved(raw: Parts) -> Parts | None:
    """The parts without `..`; None where it leads above the first of them."""
    parts: list[str] = []
    for part in raw:
        if part != "..":
            parts.append(part)
        elif not parts:
            return None
        else:
            del parts[-1]
    return tuple(parts)


# ---- lines ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One sample of an index file."""

    path: Path
    number: int
    image: Path
    label: Path


@dataclass
class Index:
    """What index files say, and what is wrong with them."""

    lines: list[Line] = field(default_factory=list)
    problems: list[tuple[Path, str]] = field(default_factory=list)


def read_indexes(root: Path, paths: list[Path]) -> Index:
    """Resolve every line of every index file; a line that cannot be is a problem."""
    files, found = Files(root), Index()
    for path in paths:
        home = path.parent.relative_to(root).parts
        for number, line in _lines(path):
            try:
                found.lines.append(Line(path, number, *_pair(line, files, home)))
            except InputError as error:
                found.problems.append((path, f"line {number}: {error}"))
    found.problems += _mistaken(found.lines, root)
    return found


def _mistaken(lines: list[Line], root: Path) -> Iterator[tuple[Path, str]]:
    """Pictures that are a label in another line, and pictures with two labels."""
    is_label = {line.label: line for line in reversed(lines)}
    first: dict[Path, Path] = {}
    for line in lines:
        name, label = line.image.relative_to(root).as_posix(), line.label.name
        other = is_label.get(line.image)
        if other:
            where = f"line {other.number} of {other.path.name}"
            what = f"the picture {name} is a label in {where}; mend one"
            yield line.path, f"line {line.number}: {what}"
        known = first.setdefault(line.image, line.label)
        if known != line.label:
            what = f"two labels for {line.image.name}: {known.name} and {label}; keep one"
            yield line.path, f"line {line.number}: {what}"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not empty."""
    for number, line in enumerate(read_lines(path), 1):
        text = line.replace(MARK, "").strip()
        if text:
            yield number, text


def _pair(line: str, files: Files, home: Parts) -> Pair:
    """The two files of a line: by a tab, by quotes, or by the one space that gives two files."""
    if len(line) > MAX_LINE:
        raise InputError(f"over {MAX_LINE} characters are no two paths; check the file")
    by_tab = [part.strip().strip("\"'") for part in line.split("\t") if part.strip()]
    fields = [next(filter(None, groups)) for groups in _FIELD.findall(line)]
    exact = by_tab if len(by_tab) == 2 else fields
    if len(exact) == 1:
        raise InputError("holds one path; a picture and its label are expected")
    if len(exact) == 2:
        return _existing(exact[0], exact[1], files, home)
    places = [(line[: gap.start()], line[gap.end() :]) for gap in _GAP.finditer(line)]
    tried = [(files.find(a, home), files.find(b, home)) for a, b in places]
    good = [(image, label) for image, label in tried if image and label and image != label]
    if len(good) != 1:
        raise InputError("splits at no one space into two files; put a tab between the paths")
    return good[0]


def _existing(first: str, second: str, files: Files, home: Parts) -> Pair:
    image, label = files.find(first, home), files.find(second, home)
    if image is None:
        raise InputError(f"no picture '{shown(first)}' in the set's folder; mend the path")
    if label is None:
        raise InputError(f"no mask '{shown(second)}' in the set's folder; mend the path")
    if image == label:
        raise InputError(f"'{shown(first)}' is both the picture and its label; mend the line")
    return image, label


# ---- a set ---------------------------------------------------------------------------------


def index_part(name: str, root: Path, paths: list[Path]) -> Part:
    """The set that index files list, each picture once; the lists are its splits."""
    index = read_indexes(root, paths)
    labels: dict[Path, Path] = {}
    for line in index.lines:
        labels.setdefault(line.image, line.label)
    names = short_names(sorted(labels), root)
    splits = {
        side: frozenset(names[line.image] for line in index.lines if side_of(line.path) == side)
        for side in SIDES
        if any(side_of(line.path) == side for line in index.lines)
    }
    return Part(
        name,
        root,
        pictures=tuple((names[image], image) for image in sorted(labels)),
        masks=tuple((names[image], label) for image, label in sorted(labels.items())),
        splits=splits,
        problems=tuple(index.problems),
    )


def short_names(paths: list[Path], root: Path) -> dict[Path, str]:
    """Stems where they tell all pictures apart, else the paths below `root` without suffix."""
    stems = {path: path.stem for path in paths}
    if len(set(stems.values())) == len(stems):
        return stems
    return {path: path.relative_to(root).with_suffix("").as_posix() for path in paths}


def matched(part: Part, folder: Path) -> tuple[Keyed, ...]:
    """Files of a folder under the names of the pictures whose file stem they share."""
    by_stem = {path.stem.casefold(): name for name, path in part.pictures}
    found = (
        (by_stem.get(path.stem.casefold()), path) for path in files_below(folder, MASK_SUFFIXES)
    )
    return tuple((name, path) for name, path in found if name is not None)
