"""What networks with super-resolution give, read out and brought back to the picture's own pixels.

Legend: H, W height and width of the picture, s how many times larger the network answers. A
super-resolved picture is no photograph: nothing is measured on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.decode import resample
from fissura.types import BoolMask, FloatMap, InputError, UInt8Image

MOSTLY = 0.5
"""A pixel with this share of crack is crack; one with less only where a centre line runs."""


def planes(
    raw: Mapping[str, NDArray[np.float32]],
    image: UInt8Image,
    size_hw: tuple[int, int],
    mean_rgb: tuple[float, float, float],
    std_rgb: tuple[float, float, float],
) -> FloatMap:
    """3×sH×sW: `raw["image"]` as RGB 0…255, not yet cut to that.

    A network that enlarges but draws no picture gets the bicubic enlargement of `image`.
    """
    if "image" not in raw:
        large = cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
        return np.asarray(np.moveaxis(large, 2, 0), np.float32)
    if len(raw["image"]) != 3:
        raise InputError(
            f"model: its enlarged picture has shape {raw['image'].shape}; give a model of colour"
        )
    drawn = zip(raw["image"], std_rgb, mean_rgb, strict=True)
    return np.stack([resample(plane, size_hw) * std + mean for plane, std, mean in drawn])


def to_picture(rgb: FloatMap) -> UInt8Image:
    """3×sH×sW values about 0…255 → sH×sW×3 uint8."""
    picture = np.empty((*rgb.shape[1:], 3), np.uint8)
    for number, plane in enumerate(rgb):
        picture[..., number] = np.rint(np.clip(np.nan_to_num(plane), 0, 255))
    return picture


def shrink_map(crack_map: FloatMap, size_hw: tuple[int, int]) -> FloatMap:
    """sH×sW → H×W by the mean, the share of a pixel that is crack: integrals across stay."""
    if crack_map.shape == size_hw:
        return crack_map
    shrunk = cv2.resize(crack_map, size_hw[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.float32)


def shrink_mask(mask: BoolMask, size_hw: tuple[int, int]) -> BoolMask:
    """sH×sW → H×W: pixels mostly crack, and those through which the middle of a crack runs.

    So wide cracks keep their width, and cracks thinner than a pixel stay whole, one pixel wide.
    """
    if mask.shape == size_hw:
        return mask
    if not mask.any():
        return np.zeros(size_hw, bool)
    from skimage.morphology import skeletonize  # slow to import, not needed without cracks

    middle = np.asarray(skeletonize(mask), np.float32)  # type: ignore[no-untyped-call]
    share = shrink_map(mask.astype(np.float32), size_hw)
    return np.asarray((share >= MOSTLY) | (shrink_map(middle, size_hw) > 0))
