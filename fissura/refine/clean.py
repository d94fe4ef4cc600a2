"""From a probability map to a clean mask: threshold, specks out, holes closed.

Legend: H, W image height and width. At most one int32 label map of the full size is alive at a
time, so that a picture of 100 megapixels fits.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import BoolMask, FloatMap, InputError


def clean_mask(
    crack_map: FloatMap,
    threshold: float,
    low_threshold: float | None = None,
    min_area_px: int = 30,
    max_hole_px: int = 20,
) -> BoolMask:
    """Pixels at or above `threshold`, without small specks and with small holes filled.

    With `low_threshold` a crack starts where the map reaches `threshold` and reaches as far as it
    stays at or above `low_threshold` (hysteresis). Cracks touch by sides or corners, holes by
    sides only; a patch of background at the picture's edge is no hole.
    """
    _check(threshold, low_threshold)
    low = threshold if low_threshold is None else low_threshold
    mask = crack_map >= low
    strong = None if low_threshold is None else crack_map >= threshold
    _fill_holes(mask, max_hole_px)
    _drop_specks(mask, strong, min_area_px)
    return mask


def _check(threshold: float, low_threshold: float | None) -> None:
    if not 0 < threshold <= 1:
        raise InputError(f"threshold: {threshold} lies outside (0, 1]; give a probability")
    if low_threshold is not None and not 0 < low_threshold <= threshold:
        raise InputError(
            f"low_threshold: {low_threshold} must lie above 0 and at or below the threshold "
            f"{threshold}; lower it or leave it out"
        )


def _components(mask: BoolMask, connectivity: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S
    )
    return np.asarray(labels, np.int32), np.asarray(stats, np.int32)


def _drop_specks(mask: BoolMask, strong: BoolMask | None, min_area_px: int) -> None:
    """Clear, in place, the components that are too small or hold no strong pixel."""
    if min_area_px <= 1 and strong is None:
        return
    labels, stats = _components(mask, 8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area_px
    if strong is not None:
        seeded = np.zeros(len(stats), bool)
        seeded[labels[strong]] = True
        keep &= seeded
    keep[0] = False
    _look_up(keep, labels, mask)


def _fill_holes(mask: BoolMask, max_hole_px: int) -> None:
    """Set, in place, the enclosed background patches of at most `max_hole_px` pixels."""
    if max_hole_px <= 0 or not mask.any():
        return
    background = ~mask
    labels, stats = _components(background, 4)
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    inside = (left > 0) & (top > 0) & (right < mask.shape[1]) & (bottom < mask.shape[0])
    filled = inside & (stats[:, cv2.CC_STAT_AREA] <= max_hole_px)
    filled[0] = True  # label 0 is the mask itself
    _look_up(filled, labels, mask)


def _look_up(value_of_label: BoolMask, labels: NDArray[np.int32], out: BoolMask) -> None:
    """Write `value_of_label[labels]` into `out`, some rows at a time: the index stays small."""
    rows = max(1, 4_000_000 // max(1, labels.shape[1]))
    for top in range(0, labels.shape[0], rows):
        np.take(value_of_label, labels[top : top + rows], out=out[top : top + rows])
