"""Makes the pictures of the documents from rendered cracks: `python docs/make_pictures.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

import fissura
from fissura.synth import DEMO_MM_PER_PX, BeltScene, render_wall

PICTURES = Path(__file__).parent / "pictures"
SIZE_HW = (800, 1200)
SEED = 5
BELTS = ((41, 7), (48, 7), (56, 7), (3, 3), (45, 7), (5, 3))
"""Seed and frame of the rendered belts that are shown."""


def belts() -> None:
    """Six rendered belts with their boxes: cracks red, holes yellow."""
    shown = []
    for seed, index in BELTS:
        frame = BeltScene(seed).frame(index)
        picture = np.ascontiguousarray(frame.image[..., ::-1])
        for box, label in zip(frame.boxes.round().astype(int).tolist(), frame.labels, strict=True):
            colour = (0, 0, 255) if label == "crack" else (0, 220, 255)
            cv2.rectangle(picture, box[:2], box[2:], colour, 2)
        shown.append(cv2.resize(picture, (400, 225), interpolation=cv2.INTER_AREA))
    rows = [np.hstack(shown[:3]), np.hstack(shown[3:])]
    target = PICTURES / "belts.jpg"
    cv2.imwrite(str(target), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(target)


def main(model: str = "cgnet") -> None:
    """Outline and measure a rendered road, as `fissura predict` does."""
    predictor = fissura.load(model, mm_per_px=DEMO_MM_PER_PX)
    road = render_wall("asphalt", SEED, SIZE_HW)
    (result,) = predictor.predict(road.image)
    PICTURES.mkdir(exist_ok=True)
    target = PICTURES / "outlined.jpg"
    cv2.imwrite(str(target), result.plot()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    print(f"{target}: {len(result.cracks)} cracks")
    belts()


if __name__ == "__main__":
    main(*sys.argv[1:2])
