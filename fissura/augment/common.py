"""What several recipes share."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import BoolMask, UInt8Image

Colour: TypeAlias = NDArray[np.float32]
Pair: TypeAlias = tuple[UInt8Image, BoolMask]


def mask_levels(mask: BoolMask) -> UInt8Image:
    """0 and 255, to be resampled like a picture."""
    return mask.view(np.uint8) * np.uint8(255)


def mirror_columns(image: UInt8Image, mask: BoolMask) -> Pair:
    """Left becomes right."""
    return np.ascontiguousarray(image[:, ::-1]), mask[:, ::-1]


def mirror_rows(image: UInt8Image, mask: BoolMask) -> Pair:
    """Top becomes bottom."""
    return np.ascontiguousarray(image[::-1]), mask[::-1]


def turn_hue(image: UInt8Image, hue: float, saturation: float) -> UInt8Image:
    """Shift the hue by half degrees and multiply the saturation."""
    steps = np.arange(256, dtype=np.float32)
    tables = np.stack([(steps + hue) % 180, np.clip(steps * saturation, 0, 255), steps], axis=-1)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv = cv2.LUT(hsv, tables.astype(np.uint8).reshape(1, 256, 3))
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
