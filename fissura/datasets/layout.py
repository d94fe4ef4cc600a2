"""Where pictures and truths lie in a folder: the files of a set under the names they share.

A layout turns a folder into Parts; splits.py says which names belong to a split, reader.py reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fissura.frames import IMAGE_SUFFIXES
from fissura.types import InputError

FOLDER_PAIRS = (
    ("images", "masks"),
    ("images", "labels"),
    ("image", "mask"),
    ("image", "label"),
    ("image", "groundTruth"),
    ("imgs", "masks"),
    ("img", "gt"),
    ("img", "lab"),
    ("JPEGImages", "SegmentationClass"),
)
SIDES = ("train", "val", "test")
MASK_SUFFIXES = IMAGE_SUFFIXES | {".mat", ".gif"}
VAL_FRACTION = 0.15
VAL_SEED = 1
MAX_LIST_BYTES = 100_000_000
MAX_LINKED = 10_000

_MASK_ENDING = re.compile(r"[_-](?:mask|masks|label|lab|gt|truth)$", re.IGNORECASE)

Keyed = tuple[str, Path]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Part:
    """A set on disk, or one side of it, every file under the name that its picture has.

    `masks` is None where the set has no truth, `regions` is empty where all of a picture counts,
    `side` the split that the folder states, `splits` what lists of names state, `problems` (file,
    what is wrong) of the lists themselves, `sequences` the video of a picture that is a frame.
    """

    name: str
    root: Path
    pictures: tuple[Keyed, ...]
    masks: tuple[Keyed, ...] | None
    regions: tuple[Keyed, ...] = ()
    side: str | None = None
    splits: Mapping[str, frozenset[str]] = field(default_factory=dict)
    problems: tuple[tuple[Path, str], ...] = ()
    sequences: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One picture of a set before it is read."""

    set: str
    name: str
    image: Path
    mask: Path | None
    region: Path | None = None
    side: str | None = None
    sequence: str | None = None


def entries(part: Part) -> list[Entry]:
    """Every picture of a part with its truth and region; what is not there is None."""
    masks, regions = dict(part.masks or ()), dict(part.regions)
    return [
        Entry(
            part.name,
            name,
            path,
            masks.get(name),
            regions.get(name),
            part.side or _side_in(name),
            part.sequences.get(name),
        )
        for name, path in part.pictures
    ]


def _side_in(name: str) -> str | None:
    """`train` of `train/0001`: folders inside the picture folder may state the split."""
    first, below, _ = name.partition("/")
    return first if below and first in SIDES else None


# ---- files ---------------------------------------------------------------------------------


def files_below(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Files of the given suffixes, whatever their case, hidden ones left out."""
    try:
        return sorted(path for path in walk(folder) if _is_of(path, suffixes))
    except OSError as error:
        where = error.filename or folder
        raise InputError(
            f"{where}: cannot be listed ({error.strerror}); mend its rights"
        ) from error


def holds(folder: Path, suffixes: frozenset[str]) -> bool:
    """Whether a file of the given suffixes lies below a folder, as far as that can be seen."""
    try:
        return any(_is_of(path, suffixes) for path in walk(folder))
    except OSError:
        return False


def _is_of(path: Path, suffixes: frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def walk(folder: Path) -> Iterator[Path]:
    """Everything below that is no folder; links to folders are followed, but never in a circle.

    Links that lead into each other can multiply, so their number is limited.
    """
    foreign = 0
    waiting: list[tuple[Path, frozenset[str], bool]] = [(folder, frozenset(), False)]
    while waiting:
        here, above, linked = waiting.pop()
        real = os.path.realpath(here)
        if real in above:
            continue
        foreign += linked
        if foreign > MAX_LINKED:
            raise InputError(f"{folder}: over {MAX_LINKED} folders by way of links; remove some")
        with os.scandir(here) as found:
            items = [(here / item.name, item.is_symlink(), item) for item in found]
        for path, link, item in items:
            # A link to itself raises in `item`, and is no folder to `path`.
            if path.is_dir() if link else item.is_dir():
                waiting.append((path, above | {real}, linked or link))
            else:
                yield path


def folders_in(folder: Path) -> list[Path]:
    """Its folders, hidden ones left out."""
    return [d for d in sorted(folder.iterdir()) if d.is_dir() and not d.name.startswith(".")]


def stem_below(path: Path, folder: Path) -> str:
    """`sequence/0001` of `folder/sequence/0001.png`."""
    return path.relative_to(folder).with_suffix("").as_posix()


def mask_key(path: Path, folder: Path) -> str:
    """The stem of the picture that a truth file belongs to: `_mask` and the like taken off."""
    return _MASK_ENDING.sub("", stem_below(path, folder))


def keyed(
    paths: Iterable[Path], folder: Path, key: Callable[[Path, Path], str], prefix: str = ""
) -> tuple[Keyed, ...]:
    """Files with the names that `key` gives them."""
    return tuple((prefix + key(path, folder), path) for path in paths)


def listed_splits(root: Path) -> dict[str, frozenset[str]]:
    """Name of split -> stems, from `splits/*.txt`."""
    files = sorted((root / "splits").glob("*.txt"))
    lines = {path.stem: read_lines(path) for path in files}
    return {name: frozenset(filter(None, map(str.strip, stems))) for name, stems in lines.items()}


def read_lines(path: Path) -> list[str]:
    """Lines of a text file of names or paths."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise InputError(f"{path}: over {MAX_LIST_BYTES} bytes is no list of pictures")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    return decoded(path, data).splitlines()


def decoded(path: Path, data: bytes) -> str:
    """The text of a file, which has to be UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line} is not UTF-8; save the list as UTF-8") from error


# ---- pictures in one folder, truths in another ---------------------------------------------


def folder_pairs(root: Path, pairs: Pairs) -> Iterator[tuple[Path, Path | None, str | None]]:
    """`images/` + `masks/`, `train/images/` + …, or `train_img/` + …: pictures, truths, side."""
    bases = [(root, None), *((root / side, side) for side in SIDES if (root / side).is_dir())]
    for base, side in bases:
        match = next(
            ((a, b) for a, b in pairs if (base / a).is_dir() and (base / b).is_dir()), None
        )
        lone = (base / pairs[0][0]).is_dir()
        if match:
            yield base / match[0], base / match[1], side
        elif lone:
            yield base / pairs[0][0], None, side
    for side in SIDES:
        for a, b in pairs:
            images, masks = root / f"{side}_{a}", root / f"{side}_{b}"
            if images.is_dir() and masks.is_dir():
                yield images, masks, side


def folder_parts(root: Path, pairs: Pairs) -> list[Part]:
    """The set in `root` by the folders that `pairs` names; names begin with the side's, if any."""
    listed = listed_splits(root)
    return [
        Part(
            root.resolve().name,
            root,
            keyed(files_below(images, IMAGE_SUFFIXES), images, stem_below, _prefix(side)),
            keyed(files_below(masks, MASK_SUFFIXES), masks, mask_key, _prefix(side))
            if masks
            else None,
            side=side,
            splits=listed,
        )
        for images, masks, side in folder_pairs(root, pairs)
    ]


def _prefix(side: str | None) -> str:
    return f"{side}/" if side else ""


def no_set(root: Path, wanted: str) -> InputError:
    """What to say of a folder that holds no set."""
    return InputError(f"{root}: no data set here; expected {wanted}, here or one folder down")
