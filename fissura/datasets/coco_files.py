"""Reads COCO JSON files of boxes, with or without videos, into a gathering."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, FailFast, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from fissura.datasets.boxes import (
    MAX_BOXES,
    MAX_CLASSES,
    MAX_ID,
    MAX_PICTURES,
    MAX_PX,
    BoxSet,
    Fault,
    Faults,
    SplitList,
    plain,
    unreadable,
)
from fissura.datasets.documents import Document, holds_word, looks_like, read_json
from fissura.datasets.frame_names import look_numbered
from fissura.datasets.gathering import Entry, Gathering, NamedBox, side_of
from fissura.datasets.layout import files_below, folders_in, listed_splits
from fissura.types import InputError

WORDS = (b'"images"', b'"annotations"', b'"categories"')
NAMES = ("annotations*.json", "instances*.json", "*coco*.json")
OTHERS = ("captions", "image_info", "panoptic", "person_keypoints", "stuff")
FOLDER = "annotations"


# A large file has many of these: slots and no record of what was set halve the memory.
_row = pydantic_dataclass(frozen=True, slots=True, config=ConfigDict(allow_inf_nan=False))

Id = Annotated[int, Field(ge=-MAX_ID, le=MAX_ID)]
Pixels = Annotated[int, Field(ge=1, le=MAX_PX)]
Coordinate = Annotated[float, Field(ge=-MAX_PX, le=MAX_PX)]
Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(plain)]


@_row
class Category:
    """One class."""

    id: Id
    name: Label


@_row
class Video:
    """One sequence."""

    id: Id
    name: Annotated[str, Field(max_length=200), AfterValidator(plain)] | None = None


@_row
class Image:
    """One picture; with `video_id` it is frame `frame_id` of that video."""

    id: Id
    file_name: Annotated[str, Field(min_length=1, max_length=4096)]
    width: Pixels | None = None
    height: Pixels | None = None
    video_id: Id | None = None
    frame_id: Annotated[int, Field(ge=0, le=MAX_ID)] | None = None


@_row
class Annotation:
    """One box: `bbox` left, top, width, height."""

    image_id: Id
    category_id: Id
    bbox: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    id: Id | None = None
    iscrowd: int = 0


class Coco(Document):
    """The parts of a COCO file that say where boxes are."""

    images: Annotated[list[Image], FailFast(), Field(max_length=MAX_PICTURES)]
    annotations: Annotated[list[Annotation], FailFast(), Field(max_length=MAX_BOXES)] = Field(
        default_factory=list
    )
    categories: Annotated[list[Category], FailFast(), Field(max_length=MAX_CLASSES)]
    videos: Annotated[list[Video] | None, FailFast(), Field(max_length=MAX_PICTURES)] = None


@dataclass(frozen=True)
class Source:
    """A COCO file that was read."""

    path: Path
    coco: Coco

    @property
    def names(self) -> dict[int, str]:
        """Category id -> name, in the order of the ids."""
        ordered = sorted(self.coco.categories, key=lambda one: one.id)
        return {category.id: category.name for category in ordered}


# ---- finding -------------------------------------------------------------------------------


def coco_files(root: Path) -> list[Path]:
    """The JSON files of a set that hold boxes."""
    return _sorted_out(root)[0]


def _sorted_out(root: Path) -> tuple[list[Path], list[Path]]:
    """The JSON files that hold boxes, and those beside them that another task has.

    Beside instances_train.json, captions_train.json holds no boxes.
    """
    below = [path for path in _below(root / FOLDER) if path.suffix.lower() == ".json"]
    sides = [folder for folder in folders_in(root) if side_of(folder.relative_to(root) / "x")]
    near = (path for home in (root, *sides) for name in NAMES for path in home.glob(name))
    alone = (path for path in root.glob("*.json") if side_of(path.relative_to(root)))
    found = sorted({*below, *near, *alone})
    boxes = [path for path in found if any(looks_like(path, word) for word in WORDS)]
    homes = {path.parent for path in boxes if path.name.startswith("instances")}
    other = [path for path in boxes if path.parent in homes and _of_another_task(path)]
    return [path for path in boxes if path not in other], other


def _of_another_task(path: Path) -> bool:
    """By its name, or since it has no categories; a damaged file of boxes is not."""
    if path.name.startswith(OTHERS):
        return True
    named = path.name.startswith("instances") or side_of(Path(path.name))
    return not named and not holds_word(path, WORDS[2])


def _below(folder: Path) -> list[Path]:
    return files_below(folder, frozenset({".json"})) if folder.is_dir() else []


# ---- reading -------------------------------------------------------------------------------


def read_coco(root: Path, folders: bool, renamed: Mapping[str, str] | None = None) -> BoxSet:
    """The set in `root`; `folders` as in Gathering, `renamed` gives categories another name."""
    gathered, sources, other = Gathering(root, folders), [], renamed or {}
    paths, others = _sorted_out(root)
    for path in others:
        what = "has no categories, or by its name another task than boxes"
        gathered.faults.append(Fault("left_out", path, what))
    for path in paths:
        try:
            sources.append(Source(path, read_json(path, Coco)))
        except InputError as error:
            gathered.faults.append(unreadable(path, error))
    names = _video_names(sources)
    for source in sources:
        gathered.add(source.path, list(_entries(source, names, other, gathered.faults)))
    gathered.faults.extend([] if folders else _unordered(sources))
    known = {
        one.path: {id_: other.get(name, name) for id_, name in one.names.items()} for one in sources
    }
    classes = [name for names in known.values() for name in names.values()]
    return replace(gathered.close(classes, _lists(root)), categories=known)


def _lists(root: Path) -> list[SplitList]:
    home = root / "splits"
    return [SplitList(home / f"{k}.txt", k, names) for k, names in listed_splits(root).items()]


def _entries(
    source: Source,
    videos: Mapping[tuple[Path, int], str],
    renamed: Mapping[str, str],
    faults: Faults,
) -> Iterator[Entry]:
    boxes = _boxes(source, renamed, faults)
    seen: set[int] = set()
    for image in source.coco.images:
        if image.id in seen:
            what = f"the image id {image.id} stands twice"
            faults.append(Fault("doubled_picture", source.path, what))
            continue
        seen.add(image.id)
        size_hw = (image.height, image.width) if image.height and image.width else None
        yield Entry(
            image.file_name,
            image.id,
            size_hw,
            tuple(boxes.get(image.id, ())),
            _video(source, image, videos, faults),
        )


def _video(
    source: Source, image: Image, videos: Mapping[tuple[Path, int], str], faults: Faults
) -> tuple[str, int] | None:
    if image.video_id is None:
        return None
    name = videos[source.path, image.video_id]
    if image.frame_id is None:
        what = f"image {image.id} is of video {image.video_id} but has no frame_id"
        faults.append(Fault("bad_annotations", source.path, what))
        return None
    return name, image.frame_id


def _boxes(source: Source, renamed: Mapping[str, str], faults: Faults) -> dict[int, list[NamedBox]]:
    """Boxes of every image id."""
    found: dict[int, list[NamedBox]] = defaultdict(list)
    names, known = source.names, {image.id for image in source.coco.images}
    faults.extend(_doubles(source))
    for place, one in enumerate(source.coco.annotations):
        words = f"annotation {place if one.id is None else one.id}"
        if one.image_id not in known:
            what = f"{words} is of image {one.image_id}, which is not listed"
            faults.append(Fault("unknown_picture", source.path, what))
        elif one.category_id not in names:
            what = f"{words} has the unknown category {one.category_id}"
            faults.append(Fault("unknown_category", source.path, what))
        elif one.iscrowd:
            faults.append(Fault("crowd_box", source.path, f"{words} marks a crowd"))
        else:
            left, top, width, height = one.bbox
            label = names[one.category_id]
            box = (left, top, left + width, top + height)
            found[one.image_id].append((words, box, renamed.get(label, label)))
    return found


def _doubles(source: Source) -> Iterator[Fault]:
    """Ids and boxes that stand twice."""
    ids = Counter(one.id for one in source.coco.annotations if one.id is not None)
    for number in (number for number, count in ids.items() if count > 1):
        yield Fault("doubled_id", source.path, f"the annotation id {number} stands twice")
    boxes = Counter((one.image_id, one.category_id, one.bbox) for one in source.coco.annotations)
    for image, _, bbox in (key for key, count in boxes.items() if count > 1):
        what = f"the box {list(bbox)} of image {image} stands twice"
        yield Fault("doubled_box", source.path, what)
    categories = Counter(one.id for one in source.coco.categories)
    for number in (number for number, count in categories.items() if count > 1):
        yield Fault("bad_annotations", source.path, f"the category id {number} stands twice")


def _video_names(sources: Sequence[Source]) -> dict[tuple[Path, int], str]:
    """A name for every video of every file; two files may mean different videos by one name."""
    found: dict[tuple[Path, int], str] = {}
    homes: dict[str, set[str]] = {}
    for source in sources:
        given = {video.id: video.name for video in source.coco.videos or ()}
        folders: dict[int, set[str]] = defaultdict(set)
        for image in source.coco.images:
            if image.video_id is not None:
                folders[image.video_id].add(image.file_name.rpartition("/")[0])
        for number, home in folders.items():
            name = given.get(number) or f"video {number}"
            same = number in given and given[number] and not homes.get(name, home).isdisjoint(home)
            own = name if name not in homes or same else f"{source.path.stem}/{name}"
            found[source.path, number] = own
            homes.setdefault(own, set()).update(home)
    return found


def _unordered(sources: Iterable[Source]) -> Iterator[Fault]:
    """A note where pictures look like frames but no file says of which video."""
    for source in sources:
        images = source.coco.images
        numbered = look_numbered([PurePosixPath(image.file_name) for image in images])
        if numbered and all(image.video_id is None for image in images):
            what = (
                "pictures are numbered, but no video_id says of which sequence "
                "(the layout beltcrack takes folders for sequences)"
            )
            yield Fault("no_sequence", source.path, what)
