"""Made-up sets of boxes, one generator for every entry of LAYOUTS: two sequences and three stills.

Every set holds the same: sequences `a` (9 frames) and `b` (6), each frame with a white block that
moves and is the crack; every third frame has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fakes.picture import save, surface
from fissura.datasets.check import Finding, check

SIZE_WH = (96, 64)
LENGTHS = {"a": 9, "b": 6}
SIDES = {"a": "train", "b": "test"}
FRAMES = sum(LENGTHS.values())
BOXED = sum(frame % 3 != 2 for length in LENGTHS.values() for frame in range(length))


@dataclass(frozen=True)
class Shot:
    """One frame: `box` is left, top, width, height of the block, None where there is none."""

    sequence: str
    number: int
    box: tuple[float, float, float, float] | None


def shots() -> Iterator[Shot]:
    """All frames, sequence by sequence."""
    for place, (sequence, length) in enumerate(LENGTHS.items()):
        for number in range(length):
            box = (4.0 + 6 * number, 8.0 + 20 * place, 20.5, 12.25)
            yield Shot(sequence, number, None if number % 3 == 2 else box)


def write_picture(path: Path, shot: Shot) -> None:
    """The frame as a file, its block lighter than anything else."""
    image = surface(100 * ord(shot.sequence) + shot.number, SIZE_WH)
    if shot.box:
        left, top, width, height = (int(value) for value in shot.box)
        image[top : top + height, left : left + width] = 250
    save(path, image)


@dataclass
class Document:
    """A COCO file that is being written."""

    categories: tuple[str, ...] = ("crack",)
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    videos: list[dict[str, Any]] = field(default_factory=list)

    def add(self, file_name: str, shot: Shot, **more: int | None) -> None:
        """One picture and its box."""
        number = len(self.images) + 1
        size = {"width": SIZE_WH[0], "height": SIZE_WH[1]}
        self.images.append({"id": number, "file_name": file_name, **size, **more})
        if shot.box:
            found = {"id": len(self.annotations) + 1, "image_id": number, "category_id": 1}
            area = shot.box[2] * shot.box[3]
            self.annotations.append(found | {"bbox": list(shot.box), "area": area, "iscrowd": 0})

    def write(self, path: Path) -> None:
        """As JSON."""
        named = [{"id": n, "name": name} for n, name in enumerate(self.categories, 1)]
        document = {"images": self.images, "annotations": self.annotations, "categories": named}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document | ({"videos": self.videos} if self.videos else {}))
        path.write_text(text, encoding="utf-8")


def coco(root: Path, categories: tuple[str, ...] = ("crack",)) -> Path:
    """One `annotations.json` with videos; the numbers in the files' names have gaps."""
    document = Document(categories)
    document.videos = [{"id": n, "name": name} for n, name in enumerate(LENGTHS, 1)]
    ids = {name: n for n, name in enumerate(LENGTHS, 1)}
    for shot in shots():
        name = f"images/{shot.sequence}/{100 + 7 * shot.number:04d}.png"
        write_picture(root / name, shot)
        document.add(name, shot, video_id=ids[shot.sequence], frame_id=shot.number)
    document.write(root / "annotations.json")
    return root


def belt_defects(root: Path) -> Path:
    """The same below a folder of that name, where a crack is called a tear."""
    return coco(root / "belt_defects", ("tear", "hole"))


def beltcrack(root: Path) -> Path:
    """A COCO file for each side; folders are the sequences."""
    documents = {side: Document() for side in ("train", "test")}
    for shot in shots():
        side = SIDES[shot.sequence]
        name = f"images/{side}/{shot.sequence}/{shot.number}.jpg"
        write_picture(root / name, shot)
        documents[side].add(name, shot)
    for side, document in documents.items():
        document.write(root / "annotations" / side / f"instances_{side}14ks.json")
    return root


def box_lists(root: Path) -> Path:
    """Lines with absolute paths of another machine; frames without boxes have no line."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for shot in shots():
        side = SIDES[shot.sequence]
        name = f"images/{side}/{shot.sequence}/{shot.number}.jpg"
        write_picture(root / name, shot)
        if shot.box:
            left, top, width, height = (int(value) for value in shot.box)
            box = f"{left},{top},{left + width},{top + height},0"
            lines[side].append(f"/home/some one/BeltCrack/{name} {box}")
    for side, found in lines.items():
        path = root / "annotations" / side / f"instances_{side}14ks.txt"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(found) + "\n", encoding="utf-8")
    return root


OBJECT = (
    "<object><name>crack</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
    "<ymax>{}</ymax></bndbox></object>"
)


def voc_boxes(root: Path) -> Path:
    """`Annotations/`, `JPEGImages/`, lists of sides in `ImageSets/Main/`."""
    listed: dict[str, list[str]] = {"train": [], "test": []}
    for shot in shots():
        stem = f"{shot.sequence}/{shot.number:06d}"
        write_picture(root / "JPEGImages" / f"{stem}.jpg", shot)
        found = ""
        if shot.box:
            left, top, width, height = shot.box
            found = OBJECT.format(left, top, left + width, top + height)
        size = "<size><width>{}</width><height>{}</height></size>".format(*SIZE_WH)
        path = root / "Annotations" / f"{stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"<annotation><filename>{shot.number:06d}.jpg</filename>{size}{found}</annotation>"
        path.write_text(text, encoding="utf-8")
        listed[SIDES[shot.sequence]].append(stem)
    for side, stems in listed.items():
        path = root / "ImageSets" / "Main" / f"{side}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(stems), encoding="utf-8")
    return root


GENERATORS: dict[str, Callable[[Path], Path]] = {
    "belt_defects": belt_defects,
    "beltcrack": beltcrack,
    "coco": coco,
    "box_lists": box_lists,
    "voc_boxes": voc_boxes,
}
"""Layout -> function of a folder that writes a set there and gives its root."""


def block(image: np.ndarray) -> tuple[int, int, int, int]:
    """xyxy of the light block in a picture."""
    rows, columns = np.nonzero(image.min(axis=2) > 235)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file in place."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def kinds(root: Path) -> dict[str, Finding]:
    """What a check of a set finds, by kind."""
    return {finding.kind: finding for finding in check(root)}
