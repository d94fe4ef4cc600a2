"""Makes the pictures of the documents from rendered cracks: `python docs/make_pictures.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

import fissura
from fissura.synth import DEMO_MM_PER_PX, render_wall

PICTURES = Path(__file__).parent / "pictures"
SIZE_HW = (800, 1200)
SEED = 5


def main(model: str = "cgnet") -> None:
    """Outline and measure a rendered road, as `fissura predict` does."""
    predictor = fissura.load(model, mm_per_px=DEMO_MM_PER_PX)
    road = render_wall("asphalt", SEED, SIZE_HW)
    (result,) = predictor.predict(road.image)
    PICTURES.mkdir(exist_ok=True)
    target = PICTURES / "outlined.jpg"
    cv2.imwrite(str(target), result.plot()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    print(f"{target}: {len(result.cracks)} cracks")


if __name__ == "__main__":
    main(*sys.argv[1:2])
