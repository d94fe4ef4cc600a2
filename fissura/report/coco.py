"""coco.json: cracks as COCO annotations with packed run lengths, or boxes with their scores.

Frames of a video carry COCO's `video_id` and `frame_id`, and the videos are listed. The categories
are those of the model, in its order.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from fissura.report.parts.boxes import box_entries
from fissura.report.parts.rle import crack_rle
from fissura.report.parts.words import best, plain, readable
from fissura.types import Crack, Result


class CocoWriter:
    """Collects annotations and images in two streams and joins them into coco.json at the end."""

    def __init__(self, out_dir: Path, classes: Sequence[str] | None = None) -> None:
        self._path = out_dir / "coco.json"
        self._images = self._annotations = 0
        names = [readable(name) for name in classes or ("crack",)]
        self._categories = {name: number for number, name in enumerate(names, 1)}
        self._videos: dict[str, int] = {}

    def __enter__(self) -> CocoWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._part = self._path.with_name("coco.json.part")
        self._file = self._part.open("w", encoding="utf-8")
        self._image_file: IO[str] = TemporaryFile("w+", encoding="utf-8")
        self._file.write('{"info":{"description":"Cracks found by fissura"},')
        self._file.write('"licenses":[],"annotations":[')
        return self

    def write(self, result: Result) -> None:
        """Append one picture and what was found on it."""
        height, width = result.size_hw
        name = readable(result.source)
        image = {"id": self._images + 1, "file_name": name, "width": width, "height": height}
        if result.time_s is not None and result.sequence in (None, result.source):
            image["file_name"] = f"{name}#{result.frame_index}"  # or all frames would have one
        if result.time_s is not None or result.sequence is not None:
            video = readable(result.sequence or result.source)
            number = self._videos.setdefault(video, len(self._videos) + 1)
            image |= {"video_id": number, "frame_id": result.frame_index, "time_s": result.time_s}
        found = [_annotation(crack, result) for crack in result.cracks]
        if result.detections is not None:
            found += [self._box(entry) for entry in box_entries(result.detections)]
        lines = [
            {"id": self._annotations + i, "image_id": self._images + 1, "iscrowd": 0, **one}
            for i, one in enumerate(found, 1)
        ]
        _append(self._image_file, [image], first=self._images == 0)
        _append(self._file, lines, first=self._annotations == 0)
        self._images += 1
        self._annotations += len(lines)

    def _box(self, entry: dict[str, Any]) -> dict[str, Any]:
        category = self._categories.setdefault(entry["label"], len(self._categories) + 1)
        left, top, right, bottom = entry["box"]
        width, height = round(right - left, 3), round(bottom - top, 3)
        box = {"category_id": category, "bbox": [left, top, width, height]}
        return box | {"area": round(width * height, 3), "score": entry["score"]}

    def __exit__(self, *error: object) -> None:
        categories = [
            {"id": number, "name": name, "supercategory": "defect"}
            for name, number in self._categories.items()
        ]
        videos = [{"id": number, "name": name} for name, number in self._videos.items()]
        with self._file as file, self._image_file as images:
            file.write('\n],"images":[')
            images.seek(0)
            shutil.copyfileobj(images, file)
            file.write(f'\n],"categories":{json.dumps(categories, ensure_ascii=False)}')
            file.write(f',"videos":{json.dumps(videos, ensure_ascii=False)}' if videos else "")
            file.write("}\n")
        self._part.replace(self._path)


def _append(file: IO[str], items: list[dict[str, Any]], first: bool) -> None:
    texts = [json.dumps(item, ensure_ascii=False, allow_nan=False) for item in items]
    if texts:
        file.write(("\n" if first else ",\n") + ",\n".join(texts))


def _annotation(crack: Crack, result: Result) -> dict[str, Any]:
    left, top, right, bottom = crack.box
    measures = best(crack)
    unit = "mm" if crack.mm else "px"
    attributes = {
        **{"crack_id": crack.id, "type": crack.type, "orientation_deg": crack.orientation_deg},
        f"length_{unit}": measures.length.value,
        f"width_max_{unit}": measures.width_max.value,
    }
    return {
        "category_id": 1,
        "bbox": [int(left), int(top), int(right - left), int(bottom - top)],
        "area": int(crack.region.sum()),
        "segmentation": crack_rle(crack, result.size_hw),
        "score": plain(crack.probability),
        "attributes": plain(attributes),
    }
