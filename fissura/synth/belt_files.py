"""Sequences of a rendered belt on disk: pictures, masks, and one COCO file with identities."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fissura.synth.belt import BeltFrame, BeltScene, check_size
from fissura.synth.belt_style import draw_style
from fissura.types import SettingError

CATEGORIES = ("crack", "hole")
JPEG_QUALITY = 92

PAUSE_S = 5.0
"""Within a sequence the annotations are written that often, or less where writing is slow."""

SHARE = 0.05
"""Of the time at most so much goes into writing annotations."""


@dataclass(frozen=True)
class BeltSeries:
    """Which sequences to render: so many scenes of so many frames, all from one seed."""

    seed: int
    sequences: int
    frames: int
    size_wh: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("sequences", "frames"):
            if getattr(self, name) < 1:
                raise SettingError(f"--{name} {getattr(self, name)}: at least 1 is needed")
        if self.seed < 0:
            raise SettingError(f"--seed {self.seed}: expected 0 or more")
        check_size(self.size_wh)

    def scene(self, number: int, style: Mapping[str, Any]) -> BeltScene:
        """The scene of one sequence; its seed follows from the series' seed and its number."""
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return BeltScene(seed, self.size_wh, self.frames, **style)


def write_belts(
    folder: str | Path,
    series: BeltSeries,
    style: Mapping[str, Any] | None = None,
    report: Callable[[int, int, str], None] = lambda done, total, line: None,
) -> dict[str, Any]:
    """Render sequences into `images/NAME`, `masks/NAME` and `annotations.json`; gives counts.

    Belts of an earlier run in the folder are removed. The annotations are kept up with the
    pictures, so whatever ends a run leaves a set of what it has rendered. `report` hears after
    every frame how many of how many are done.
    """
    folder = Path(folder)
    draw_style(series.seed, style or {})  # a wrong setting is found before anything is written
    coco: dict[str, Any] = {
        "info": {"description": "rendered conveyor belts", "seed": series.seed},
        "videos": [],
        "images": [],
        "annotations": [],
        "categories": [{"id": k, "name": name} for k, name in enumerate(CATEGORIES, start=1)],
    }
    total = series.sequences * series.frames
    folder.mkdir(parents=True, exist_ok=True)
    _remove_belts(folder)
    book = _Book(folder / "annotations.json", coco)
    try:
        for number in range(series.sequences):
            name = f"belt_{number:03d}"
            scene = series.scene(number, style or {})
            coco["videos"].append(_video(scene, number + 1, name))
            for kind in ("images", "masks"):
                (folder / kind / name).mkdir(parents=True, exist_ok=True)
            for frame in scene:
                _write_pictures(folder, name, frame)
                _annotate(coco, name, frame)
                report(len(coco["images"]), total, f"{name}/{frame.index}")
                book.write_after(PAUSE_S)
            book.write_after(0.0)
    finally:
        book.write()
    return {key: len(coco[key]) for key in ("videos", "images", "annotations")}


class _Book:
    """The annotations on disk; the file there is whole at any time."""

    def __init__(self, path: Path, coco: dict[str, Any]) -> None:
        self._path, self._coco = path, coco
        self.write()

    def write(self) -> None:
        start = time.monotonic()
        part = self._path.with_name(f".{self._path.name}.part")
        part.write_text(json.dumps(self._coco, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(self._path)
        self._written = time.monotonic()
        self._cost = self._written - start

    def write_after(self, pause_s: float) -> None:
        """Write if the last time is that long ago, and writing would not take too large a share."""
        if time.monotonic() - self._written >= max(pause_s, self._cost / SHARE):
            self.write()


def _remove_belts(folder: Path) -> None:
    """Take away the pictures and masks of an earlier run, and nothing else."""
    for belt in (*folder.glob("images/belt_*"), *folder.glob("masks/belt_*")):
        if not re.fullmatch(r"belt_\d{3,}", belt.name) or belt.is_symlink():
            continue
        for path in belt.iterdir():
            if re.fullmatch(r"\d+\.(jpg|png)", path.name):
                path.unlink()
        if not any(belt.iterdir()):
            belt.rmdir()


def _video(scene: BeltScene, identity: int, name: str) -> dict[str, Any]:
    style = dataclasses.asdict(scene.style) | {"length_m": round(scene.length_m, 4)}
    return {"id": identity, "name": name, "n_frames": len(scene), "seed": scene.seed} | style


def _write_pictures(folder: Path, name: str, frame: BeltFrame) -> None:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    mask = frame.mask.astype(np.uint8) * 255
    for kind, ending, picture, how in (
        ("images", ".jpg", frame.image[..., ::-1], quality),
        ("masks", ".png", mask, []),
    ):
        data = cv2.imencode(ending, picture, how)[1].tobytes()
        (folder / kind / name / f"{frame.index}{ending}").write_bytes(data)


def _annotate(coco: dict[str, Any], name: str, frame: BeltFrame) -> None:
    height, width = frame.image.shape[:2]
    image_id = len(coco["images"]) + 1
    coco["images"].append(
        {
            "id": image_id,
            "file_name": f"images/{name}/{frame.index}.jpg",
            "width": width,
            "height": height,
            "video_id": len(coco["videos"]),
            "frame_id": frame.index,
            "belt_m": round(frame.belt_m, 6),
            "time_s": round(frame.time_s, 6),
        }
    )
    for box, label, identity in zip(frame.boxes, frame.labels, frame.crack_ids, strict=True):
        x0, y0, x1, y1 = (round(float(v), 3) for v in box)
        size = (round(x1 - x0, 3), round(y1 - y0, 3))
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": image_id,
                "category_id": CATEGORIES.index(label) + 1,
                "bbox": [x0, y0, *size],
                "area": round(size[0] * size[1], 3),
                "iscrowd": 0,
                "crack_id": identity,
            }
        )
