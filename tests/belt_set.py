"""A few sequences of dark bars that run over a grey belt, as a set of boxes on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def write_belt_set(root: Path, sequences: int = 8, frames: int = 4, side: int = 96) -> Path:
    """COCO file and pictures in `root`/belt; every third sequence starts without a box."""
    rng = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for video in range(1, sequences + 1):
        x, y, w, h = (int(v) for v in rng.integers((8, 8, 14, 8), (side - 48, side - 40, 30, 18)))
        for frame in range(frames):
            images.append(_picture(root / "belt", video, frame, side, len(images) + 1))
            empty = video % 3 == 0 and frame == 0
            place = None if empty else (x, y + 3 * frame, w, h)
            _draw(root / "belt" / images[-1]["file_name"], side, place, rng)
            if place:
                known = {"id": len(boxes) + 1, "image_id": len(images), "category_id": 1}
                boxes.append(known | {"bbox": list(place), "area": w * h, "iscrowd": 0})
    document = {
        "videos": [{"id": v, "name": f"belt_{v}"} for v in range(1, sequences + 1)],
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 1, "name": "crack"}],
    }
    (root / "belt" / "annotations.json").write_text(json.dumps(document), "utf-8")
    return root


def _picture(home: Path, video: int, frame: int, side: int, number: int) -> dict[str, Any]:
    name = f"images/belt_{video}/{frame}.png"
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    size = {"width": side, "height": side}
    return {"id": number, "file_name": name, "video_id": video, "frame_id": frame} | size


def _draw(
    path: Path, side: int, box: tuple[int, int, int, int] | None, rng: np.random.Generator
) -> None:
    image = rng.normal(130, 12, (side, side, 3))
    if box:
        x, y, w, h = box
        image[y : y + h, x : x + w] = 20
    cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))
