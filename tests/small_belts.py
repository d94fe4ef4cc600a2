"""A tiny set of sequences with dark boxes on grey, and a detector that finds what is dark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.weights import ModelCard

SIZE_WH = (96, 48)
NETWORK_HW = (96, 96)
SEQUENCES = {"a": 3, "b": 4, "c": 3}
SPLITS = {"val": ("a",), "test": ("b", "c")}
IDS = {"hole": 3, "crack": 7}
"""Ids of categories are rarely 1, 2, 3."""

Box = tuple[int, int, int, int]


def boxes_of(sequence: str, number: int) -> list[tuple[str, Box]]:
    """Class and box xywh; frame 0 of every sequence has none."""
    if number == 0:
        return []
    boxes: list[tuple[str, Box]] = [("crack", (8 * number, 8, 16, 16))]
    if sequence == "b":
        boxes.append(("hole", (64, 24, 8, 16)))
    return boxes


def write_belts(root: Path) -> Path:
    """Pictures, annotations.json with videos, and lists of sequences for two splits."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video, (sequence, count) in enumerate(SEQUENCES.items(), 1):
        (root / "images" / sequence).mkdir(parents=True)
        for number in range(count):
            name = f"images/{sequence}/{number}.png"
            picture = np.full((SIZE_WH[1], SIZE_WH[0], 3), 200, np.uint8)
            for _, (x, y, w, h) in boxes_of(sequence, number):
                picture[y : y + h, x : x + w] = 20
            cv2.imwrite(str(root / name), picture)
            image = {"id": 100 + len(images), "file_name": name, "video_id": video}
            size = dict(zip(("width", "height"), SIZE_WH, strict=True))
            images.append(image | size | {"frame_id": number})
            for label, box in boxes_of(sequence, number):
                one = {"id": len(annotations) + 1, "image_id": image["id"], "bbox": list(box)}
                area = {"area": box[2] * box[3], "iscrowd": 0}
                annotations.append(one | area | {"category_id": IDS[label]})
    document = {
        "images": images,
        "annotations": annotations,
        "videos": [{"id": v, "name": name} for v, name in enumerate(SEQUENCES, 1)],
        "categories": [{"id": id_, "name": name} for name, id_ in IDS.items()],
    }
    (root / "annotations.json").write_text(json.dumps(document), "utf-8")
    (root / "splits").mkdir()
    for split, names in SPLITS.items():
        (root / "splits" / f"{split}.txt").write_text("".join(f"{n}\n" for n in names), "utf-8")
    return root


def results_of(root: Path) -> list[dict[str, Any]]:
    """The truth itself as COCO results, all sure."""
    document = json.loads((root / "annotations.json").read_text("utf-8"))
    kept = ("image_id", "category_id", "bbox")
    return [{key: one[key] for key in kept} | {"score": 0.9} for one in document["annotations"]]


class DarkFinder:
    """Stands in for a detector of one class: 16×16 network pixels where all four cells are dark."""

    name = "stub"
    streams = False
    card = ModelCard(
        "dark",
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        classes=("crack",),
        strides=(8,),
        frames=2,
        size_hw=NETWORK_HW,
        threshold=0.4,
    )

    def run_clip(self, clip: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Raw outputs for T×H×W×3."""
        assert clip.shape == (self.card.frames, *NETWORK_HW, 3)
        grey = clip[-1].mean(axis=-1)
        cells = grey.reshape(NETWORK_HW[0] // 8, 8, NETWORK_HW[1] // 8, 8).mean(axis=(1, 3))
        around = np.pad(cells, (0, 1), constant_values=255)
        corners = (around[:-1, :-1], around[1:, :-1], around[:-1, 1:], around[1:, 1:])
        raw = np.zeros((6, *cells.shape), np.float32)
        raw[2:4] = np.log(2)
        raw[:2] = 1.0  # the cell's far corner
        raw[4:] = (90 - np.max(corners, axis=0)) / 8
        return {"boxes_raw": raw}

    def run(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """A network of several frames takes no single picture."""
        raise AssertionError("run_clip is for networks of several frames")
