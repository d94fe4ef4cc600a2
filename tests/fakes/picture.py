"""Made-up pictures: a rough surface with one crack, deterministic from a seed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def surface(seed: int, size_wh: tuple[int, int] = (96, 64)) -> Picture:
    """H×W×3 BGR texture with coarse and fine grain."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    fine = np.empty((height, width), np.int16)
    cv2.randn(_seeded(fine, seed), 0, 9)
    coarse = rng.normal(0, 14, (-(-height // 4), -(-width // 4))).astype(np.float32)
    grain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    grey = np.clip(rng.uniform(110, 170) + grain + fine, 0, 255).astype(np.uint8)
    return cv2.merge([grey, grey, cv2.add(grey, 4)])


def _seeded(array: NDArray[np.int16], seed: int) -> NDArray[np.int16]:
    cv2.setRNGSeed(seed % 2**31)
    return array


def crack(seed: int, size_wh: tuple[int, int] = (96, 64), thin: bool = False) -> Picture:
    """H×W mask of 0 and 255: a broken line across the picture, `thin` one pixel wide."""
    rng = np.random.default_rng([seed, 1])
    width, height = size_wh
    x = np.linspace(0, width - 1, 7)
    y = np.clip(rng.uniform(0.2, 0.8) * height + rng.normal(0, height / 12, 7), 3, height - 4)
    if rng.random() < 0.5:
        x = x[::-1]
    line = np.stack([x, y], 1).round().astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    thickness = 1 if thin else int(rng.integers(2, 5))
    cv2.polylines(mask, [line], isClosed=False, color=255, thickness=thickness)
    return mask


def pair(
    seed: int, size_wh: tuple[int, int] = (96, 64), thin: bool = False
) -> tuple[Picture, Picture]:
    """A picture with its crack darkened, and the mask."""
    image, mask = surface(seed, size_wh), crack(seed, size_wh, thin)
    image[mask > 0] = (image[mask > 0] * 0.45).astype(np.uint8)
    return image, mask


def save(path: Path, picture: Picture) -> None:
    """Write a picture or a mask as its suffix says, JPEG at quality 95, folders made on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
