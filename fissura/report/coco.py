"""coco.json: the cracks as COCO annotations with packed run lengths."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from fissura.report.parts.rle import crack_rle
from fissura.report.parts.words import best, plain, readable
from fissura.types import Crack, Result

CATEGORIES = [{"id": 1, "name": "crack", "supercategory": "defect"}]


class CocoWriter:
    """Collects annotations and images in two streams and joins them into coco.json at the end."""

    def __init__(self, out_dir: Path) -> None:
        self._path = out_dir / "coco.json"
        self._images = self._annotations = 0

    def __enter__(self) -> CocoWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._part = self._path.with_name("coco.json.part")
        self._file = self._part.open("w", encoding="utf-8")
        self._image_file: IO[str] = TemporaryFile("w+", encoding="utf-8")
        self._file.write('{"info":{"description":"Cracks found by fissura"},')
        self._file.write(f'"licenses":[],"categories":{json.dumps(CATEGORIES)},"annotations":[')
        return self

    def write(self, result: Result) -> None:
        """Append one picture and its cracks."""
        height, width = result.size_hw
        name = readable(result.source)
        image = {"id": self._images + 1, "file_name": name, "width": width, "height": height}
        lines = [
            _annotation(crack, result, self._annotations + i, self._images + 1)
            for i, crack in enumerate(result.cracks, 1)
        ]
        _append(self._image_file, [image], first=self._images == 0)
        _append(self._file, lines, first=self._annotations == 0)
        self._images += 1
        self._annotations += len(lines)

    def __exit__(self, *error: object) -> None:
        with self._file as file, self._image_file as images:
            file.write('\n],"images":[')
            images.seek(0)
            shutil.copyfileobj(images, file)
            file.write("\n]}\n")
        self._part.replace(self._path)


def _append(file: IO[str], items: list[dict[str, Any]], first: bool) -> None:
    texts = [json.dumps(item, ensure_ascii=False, allow_nan=False) for item in items]
    if texts:
        file.write(("\n" if first else ",\n") + ",\n".join(texts))


def _annotation(crack: Crack, result: Result, number: int, image_id: int) -> dict[str, Any]:
    left, top, right, bottom = crack.box
    measures = best(crack)
    unit = "mm" if crack.mm else "px"
    attributes = {
        **{"crack_id": crack.id, "type": crack.type, "orientation_deg": crack.orientation_deg},
        f"length_{unit}": measures.length.value,
        f"width_max_{unit}": measures.width_max.value,
    }
    return {
        **{"id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0},
        "bbox": [int(left), int(top), int(right - left), int(bottom - top)],
        "area": int(crack.region.sum()),
        "segmentation": crack_rle(crack, result.size_hw),
        "score": plain(crack.probability),
        "attributes": plain(attributes),
    }
