"""Index files: one sample on each line, the paths of a picture and of its label.

A path may be relative to the index file's folder or to the set's, or come from another machine; the
files of the set that end in as many of its last parts as possible are meant. Only files below the
set's folder are ever named.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from fissura.datasets.layout import (
    MASK_SUFFIXES,
    SIDES,
    Keyed,
    Part,
    files_below,
    folders_in,
    read_lines,
)
from fissura.types import InputError

_NAME = re.compile(r"(train|val|valid|validation|test)(?:_[\w-]+)?\.txt", re.IGNORECASE)
_FIELD = re.compile(r"\"([^\"]+)\"|'([^']+)'|(\S+)")
_SUFFIX = re.compile(r"\.(?:jpe?g|png|bmp|tiff?|ppm|webp|gif|mat)\b", re.IGNORECASE)
_GAP = re.compile(r"[ \t]+")
LISTS_OF_STEMS = "splits"
SUFFIXES = MASK_SUFFIXES | {".ppm"}

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
    homes = [root, *(folder for folder in below if not _holds_pictures(folder))]
    return [
        path
        for home in homes
        for path in sorted(home.glob("*.txt"))
        if _NAME.fullmatch(path.name) and path.is_file()
    ]


def _holds_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))


def is_index(path: Path) -> bool:
    """Whether the first line that is not empty names two pictures."""
    with path.open("r", encoding="utf-8", errors="replace") as lines:
        head = lines.read(4096).splitlines()
    first = next((line for line in head if line.strip()), "")
    return len(_SUFFIX.findall(first)) > 1


class Files:
    """The picture and label files below a set's folder, found by the end of a path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._whole: dict[Parts, Path] = {}
        self._ends: dict[Parts, list[Path]] = defaultdict(list)
        for path in files_below(root, SUFFIXES):
            parts = path.relative_to(root).parts
            self._whole[parts] = path
            for start in range(len(parts)):
                self._ends[parts[start:]].append(path)

    def find(self, text: str, home: Parts) -> Path | None:
        """The file meant by `text` in an index file in the folder `home` (parts below the set's).

        Raises InputError where two files fit equally well.
        """
        wanted, absolute = _parts(text, home)
        exact = {self._whole[parts] for parts in (wanted, home + wanted) if parts in self._whole}
        ends = [wanted[start:] for start in range(len(wanted) if absolute else 1)]
        longest = next((self._ends[end] for end in ends if end in self._ends), [])
        found = longest if absolute else sorted(exact) or longest
        if len(found) > 1:
            several = " and ".join(path.relative_to(self.root).as_posix() for path in found[:2])
            raise InputError(f"'{text}' may mean {several}; write the path from the set's folder")
        return found[0] if found else None


def _parts(text: str, home: Parts) -> tuple[Parts, bool]:
    """Parts of a path, `.` and `..` resolved, and whether it is another machine's."""
    windows = "\\" in text and "/" not in text
    plain = PureWindowsPath(text).as_posix() if windows else text
    absolute = plain.startswith("/") or bool(re.match(r"[A-Za-z]:/|~", plain))
    raw = [part for part in plain.split("/") if part not in ("", ".")]
    if raw[:1] == [".."]:
        raw = [*home, *raw]
    parts: list[str] = []
    for part in raw:
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    return tuple(parts), absolute


# ---- lines ---------------------------------------------------------------------------------


@dataclass
class Index:
    """What index files say: (side, picture, label) of every line, and what is wrong."""

    lines: list[tuple[str, Path, Path]] = field(default_factory=list)
    problems: list[tuple[Path, str]] = field(default_factory=list)


def read_indexes(root: Path, paths: list[Path]) -> Index:
    """Resolve every line of every index file; a line that cannot be is a problem."""
    files, found = Files(root), Index()
    for path in paths:
        home = path.parent.relative_to(root).parts
        for number, line in _lines(path):
            try:
                found.lines.append((side_of(path), *_pair(line, files, home)))
            except InputError as error:
                found.problems.append((path, f"line {number}: {error}"))
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not empty."""
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            yield number, line.strip()


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
    good = [(image, label) for image, label in tried if image and label]
    if len(good) != 1:
        raise InputError("splits at no one space into two files; put a tab between the paths")
    return good[0]


def _existing(first: str, second: str, files: Files, home: Parts) -> Pair:
    image, label = files.find(first, home), files.find(second, home)
    if image is None:
        raise InputError(f"no picture '{first}' in the set's folder; mend the path")
    if label is None:
        raise InputError(f"no mask '{second}' in the set's folder; mend the path")
    return image, label


# ---- a set ---------------------------------------------------------------------------------


def index_part(name: str, root: Path, paths: list[Path]) -> Part:
    """The set that index files list, each picture once; the lists are its splits."""
    index = read_indexes(root, paths)
    labels: dict[Path, Path] = {}
    for _, image, label in index.lines:
        if labels.setdefault(image, label) != label:
            what = f"two labels for {image.name}: {labels[image].name} and {label.name}; keep one"
            index.problems.append((paths[0], what))
    names = short_names(sorted(labels), root)
    splits = {
        side: frozenset(names[image] for of, image, _ in index.lines if of == side)
        for side in SIDES
        if any(of == side for of, _, _ in index.lines)
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
    found = ((by_stem.get(path.stem.casefold()), path) for path in files_below(folder, SUFFIXES))
    return tuple((name, path) for name, path in found if name is not None)
