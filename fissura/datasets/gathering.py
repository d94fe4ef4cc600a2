"""Collects what the annotation files of one set say, names what is wrong, and orders the frames."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fissura.datasets import layout
from fissura.datasets.boxes import (
    KINDS,
    BoxPicture,
    BoxSet,
    Fault,
    Faults,
    Frames,
    SplitList,
    as_array,
    box_fault,
)
from fissura.datasets.clips import header_size
from fissura.datasets.frame_names import frame_number, look_numbered
from fissura.datasets.layout import SIDES
from fissura.datasets.picture_files import PictureFiles, Placing
from fissura.datasets.splits import sides_of
from fissura.sources import shown
from fissura.types import InputError

_SIDE = re.compile(r"(?:(train)(?:ing)?|(val)(?:id|idation)?|(test)(?:ing)?)(?:\d\w*)?")

Xyxy = tuple[float, float, float, float]
NamedBox = tuple[str, Xyxy, str]
Sides = defaultdict[str, defaultdict[str, list[BoxPicture]]]


@dataclass(frozen=True, slots=True)
class Entry:
    """What an annotation file says of one picture; `boxes` are (words for it, xyxy, label)."""

    text: str
    image_id: int
    size_hw: tuple[int, int] | None = None
    boxes: tuple[NamedBox, ...] = ()
    video: tuple[str, int] | None = None


class Gathering:
    """One set while it is read.

    With `folders` a folder of numbered pictures is a sequence; without, only what the annotations
    call one is.
    """

    def __init__(self, root: Path, folders: bool) -> None:
        self.root, self.folders = root, folders
        self.files = PictureFiles(root)
        self.faults = Faults()
        self._pictures: list[BoxPicture] = []
        self._sources: dict[Path, Path] = {}
        self._missing: set[Path] = set()
        self._folders: set[str] = set()

    def add(self, source: Path, entries: Sequence[Entry], placing: Placing | None = None) -> None:
        """Everything that one annotation file says; `placing` None is found out from its paths."""
        try:
            placing = placing or self.files.placing([entry.text for entry in entries])
        except InputError as error:
            self.faults.append(Fault("bad_path", source, str(error)))
            return
        side = side_of(source.relative_to(self.root))
        for entry in entries:
            self._add(source, entry, placing, side)

    def _add(self, source: Path, entry: Entry, placing: Placing, side: str | None) -> None:
        try:
            path, there = self.files.find(entry.text, placing)
        except InputError as error:
            self.faults.append(Fault("bad_path", source, str(error)))
            return
        name = self.files.name(path)
        if path in self._sources:
            self.faults.append(Fault("doubled_picture", source, f"{name} is listed twice", path))
            return
        self._sources[path] = source
        if not there:
            below = "/".join(path.parts[len(self.root.parts) :])
            self._missing.add(path)
            self.faults.append(Fault("missing_frame", source, f"{below} is not there", path))
        size_hw = entry.size_hw or (_header(path) if there and entry.boxes else None)
        good = [box for box in entry.boxes if self._sound(source, path, box, size_hw)]
        sequence, number = entry.video or self._in_folder(path)
        picture = BoxPicture(
            path,
            name,
            sequence,
            number,
            entry.image_id,
            size_hw,
            as_array([xyxy for _, xyxy, _ in good]),
            tuple(label for _, _, label in good),
            side,
        )
        self._pictures.append(picture)

    def _sound(
        self, source: Path, path: Path, box: NamedBox, size_hw: tuple[int, int] | None
    ) -> bool:
        """Whether a box can be used; whatever is wrong with it is noted."""
        words, xyxy, _ = box
        found = box_fault(xyxy, size_hw)
        if found is None:
            return True
        kind, what = found
        self.faults.append(Fault(kind, source, f"{words} {what}", path))
        return "left out" not in KINDS[kind].then

    def _in_folder(self, path: Path) -> tuple[str | None, int]:
        number = frame_number(path) if self.folders else None
        if number is None:
            return None, 0
        sequence = self.files.name(path).rpartition("/")[0]
        self._folders.add(sequence)
        return sequence, number

    # ---- the whole set ---------------------------------------------------------------------

    def close(self, classes: Iterable[str], lists: Sequence[SplitList] = ()) -> BoxSet:
        """The set; `lists` are those of its splits, several of one side count together."""
        pictures = self._pictures
        frames = self._frames(pictures)
        listed = _of_pictures(lists, pictures)
        self.faults.extend(_unknown_names(lists, pictures))
        self.faults.extend(_gaps(frames, self._sources))
        self.faults.extend(_numbered_stills(pictures, self._sources) if self.folders else ())
        name = self.root.resolve().name
        self.faults.extend(_split_by_frame(name, pictures, listed, self._sources))
        return BoxSet(
            name,
            self.root,
            tuple(dict.fromkeys(classes)),
            tuple(pictures),
            frames,
            frozenset(self._missing),
            tuple(path for path in self.files if path not in self._sources),
            self.faults.all(),
            listed,
        )

    def _frames(self, pictures: Sequence[BoxPicture]) -> dict[str, Frames]:
        """Frames of every sequence in the order of their numbers, each number once."""
        numbered: dict[str, dict[int, Path]] = defaultdict(dict)
        for picture in pictures:
            if picture.sequence is None:
                continue
            other = numbered[picture.sequence].setdefault(picture.number, picture.file)
            if other != picture.file:
                self._double(picture.file, other, picture.number, picture.sequence)
        for sequence in self._folders:
            self._beside(sequence, numbered[sequence])
        return {name: tuple(sorted(known.items())) for name, known in numbered.items()}

    def _beside(self, sequence: str, known: dict[int, Path]) -> None:
        """Frames in the sequence's folder that the annotations do not list."""
        first = next(iter(known.values()))
        for path in self.files.beside(first):
            number = frame_number(path)
            if number is not None:
                other = known.setdefault(number, path)
                if other != path:
                    self._double(path, other, number, sequence)

    def _double(self, path: Path, other: Path, number: int, sequence: str) -> None:
        what = f"{path.name} and {other.name} are both frame {number} of {sequence}"
        source = self._sources.get(path) or self._sources[other]
        self.faults.append(Fault("doubled_frame", source, what, path))


def _header(path: Path) -> tuple[int, int] | None:
    """The picture's own size; a damaged one is named when it is read."""
    try:
        return header_size(path)
    except InputError:
        return None


def side_of(path: Path) -> str | None:
    """`val` of `annotations/val/x.json`, `valid/x.json` or `instances_val14ks.json`."""
    words = [part.lower() for part in path.parts[:-1]]
    words += re.split(r"[_.-]", path.stem.lower())
    found = filter(None, map(_SIDE.fullmatch, words))
    return next((match[1] or match[2] or match[3] for match in found), None)


def _of_pictures(
    lists: Iterable[SplitList], pictures: Sequence[BoxPicture]
) -> dict[str, frozenset[str]]:
    """Name of split -> names of its pictures, in place of a sequence's too."""
    found: dict[str, frozenset[str]] = {}
    for one in lists:
        chosen = {p.name for p in pictures if p.name in one.names or p.sequence in one.names}
        found[one.side] = found.get(one.side, frozenset()) | chosen
    return found


def _unknown_names(lists: Iterable[SplitList], pictures: Sequence[BoxPicture]) -> Iterator[Fault]:
    """Names that a list holds and that are neither a picture's nor a sequence's."""
    known = {picture.name for picture in pictures} | {picture.sequence for picture in pictures}
    for one in lists:
        lost = sorted(one.names - known)
        if lost and len(lost) == len(one.names) and one.side in SIDES:
            what = f"names no annotated picture or sequence, the first is '{shown(lost[0])}'"
            yield Fault("split_list_unknown", one.path, what)
        elif lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            what = f"names '{shown(lost[0])}'{more}, no annotated picture or sequence"
            yield Fault("split_lists_missing", one.path, what)


def _gaps(frames: Mapping[str, Frames], sources: Mapping[Path, Path]) -> Iterator[Fault]:
    for sequence, known in frames.items():
        pairs = itertools.pairwise(known)
        jumps = [(a, b) for (a, _), (b, _) in pairs if b > a + 1]
        if jumps:
            source = next(sources[path] for _, path in known if path in sources)
            before, after = jumps[0]
            what = f"{sequence} has no frames between {before} and {after}"
            more = f" and {len(jumps) - 1} more gaps" if len(jumps) > 1 else ""
            yield Fault("frame_gap", source, what + more)


def _numbered_stills(
    pictures: Sequence[BoxPicture], sources: Mapping[Path, Path]
) -> Iterator[Fault]:
    """A note for each folder of stills whose names look like those of frames."""
    homes: dict[Path, list[BoxPicture]] = defaultdict(list)
    for picture in pictures:
        if picture.sequence is None:
            homes[picture.file.parent].append(picture)
    for home, found in homes.items():
        if look_numbered([picture.file for picture in found]):
            what = (
                f"the pictures of {home.name} are numbered, but {found[0].file.name} is no number"
                " and not frame_NUMBER or FOLDER_NUMBER (rename the frames of a sequence so)"
            )
            yield Fault("no_sequence", sources[found[0].file], what)


def _split_by_frame(
    name: str,
    pictures: Sequence[BoxPicture],
    listed: Mapping[str, frozenset[str]],
    sources: Mapping[Path, Path],
) -> Iterator[Fault]:
    """Sequences that stand on more than one side of a split, by its lists or by what they leave."""
    stated: Sides = defaultdict(lambda: defaultdict(list))
    settled: Sides = defaultdict(lambda: defaultdict(list))
    derived = _settled_sides(name, pictures, listed)
    for picture in pictures:
        if picture.sequence is None:
            continue
        lists = [side for side in SIDES if picture.name in listed.get(side, ())]
        for side in lists or filter(None, [picture.side]):
            stated[picture.sequence][side].append(picture)
        if picture.name in derived:
            settled[picture.sequence][derived[picture.name]].append(picture)
    for sequence, known in settled.items():
        found = stated[sequence] if len(stated[sequence]) > 1 else known
        if len(found) > 1:
            first = next(iter(found.values()))[0]
            parts = " and ".join(f"{side} ({_counted(found[side])})" for side in sorted(found))
            what = f"the sequence {sequence} is split by frame between {parts}"
            yield Fault("split_by_frame", sources[first.file], what, first.file)
    yield from _continued(pictures, stated, sources)


def _counted(pictures: Sequence[BoxPicture]) -> str:
    return "1 frame" if len(pictures) == 1 else f"{len(pictures)} frames"


def _settled_sides(
    name: str, pictures: Sequence[BoxPicture], listed: Mapping[str, frozenset[str]]
) -> dict[str, str]:
    """Name of a picture -> the side that it ends up on; what no list names is trained on."""
    entries = [layout.Entry(name, one.name, one.file, None, side=one.side) for one in pictures]
    sequences = {one.name: one.sequence for one in pictures if one.sequence is not None}
    return sides_of(entries, listed, sequences)


def _continued(
    pictures: Sequence[BoxPicture],
    sides: Mapping[str, Mapping[str, Sequence[BoxPicture]]],
    sources: Mapping[Path, Path],
) -> Iterator[Fault]:
    """Folders of one name on two sides that share no frame number: one sequence cut in two."""
    numbers: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    firsts: dict[str, BoxPicture] = {}
    for picture in pictures:
        stated = sides.get(picture.sequence or "", {})
        if len(stated) == 1:
            name = str(picture.sequence).rpartition("/")[2]
            numbers[name][next(iter(stated))].add(picture.number)
            firsts.setdefault(name, picture)
    for name, by_side in numbers.items():
        for one, other in itertools.combinations(sorted(by_side), 2):
            if by_side[one].isdisjoint(by_side[other]):
                what = f"{name} in {one} and {name} in {other} are frames of one sequence"
                yield Fault("split_by_frame", sources[firsts[name].file], what, firsts[name].file)
