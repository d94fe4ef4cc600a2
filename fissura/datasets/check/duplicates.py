"""Exact copies by digest, near copies by what is left of a picture at 64×64 pixels.

A thumbnail loses its slow shading (asphalt is alike in that) and its local contrast is evened out
(so that a crack, a joint or a lane marking does not outweigh the texture); what remains of two
pictures of different places is uncorrelated, however alike they look.
Legend: N pictures, thumbs N×64×64 uint8, rows N×side² float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import FloatMap, UInt8Image

THUMB = 64
COARSE = 16
CANDIDATE = 0.45
NEAR = 0.6
DETAIL = 2.0
NEIGHBOURHOOD = 3.0
FAINT = 0.25
BLANK = 0.01
AREA = cv2.INTER_AREA
BLOCK = 2048

Thumbs = NDArray[np.uint8]


def thumbnail(grey: UInt8Image) -> UInt8Image:
    """64×64 averages of a picture, whatever its shape."""
    return cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.uint8)


def describe(thumbs: Thumbs, side: int) -> FloatMap:
    """Evened detail of each thumbnail at side×side: rows of mean 0 and length 1, 0 if blank."""
    rows = np.zeros((len(thumbs), side * side), np.float32)
    for row, thumb in zip(rows, thumbs, strict=True):
        grey = thumb.astype(np.float32)
        detail = grey - cv2.GaussianBlur(grey, (0, 0), DETAIL)
        energy = cv2.GaussianBlur(detail * detail, (0, 0), NEIGHBOURHOOD)
        evened = cv2.resize(detail / np.sqrt(energy + FAINT), (side, side), interpolation=AREA)
        flat = (evened - evened.mean()).ravel()
        length = float(np.linalg.norm(flat))
        if length > BLANK * side:
            row[:] = flat / length
    return rows


def turned(rows: FloatMap, side: int, turn: int) -> FloatMap:
    """The same pictures after `turn` % 4 quarter turns, and a mirror from 4 on."""
    square = rows.reshape(-1, side, side)
    square = square[:, :, ::-1] if turn >= 4 else square
    return np.ascontiguousarray(np.rot90(square, turn % 4, axes=(1, 2))).reshape(rows.shape)


def near_pairs(thumbs: Thumbs) -> list[tuple[int, int, float]]:
    """Pairs (i, j, likeness) of near copies, mirrored and turned ones included.

    All pairs are compared at 16×16 by blocked products, the promising ones again at 64×64.
    """
    coarse = describe(thumbs, COARSE)
    best: dict[tuple[int, int], float] = {}
    for turn in range(8):
        pairs = np.concatenate([np.zeros((0, 2), np.int64), *_alike(coarse, turn)])
        for (i, j), likeness in zip(pairs.tolist(), _fine(thumbs, pairs, turn), strict=True):
            if likeness >= NEAR:
                best[i, j] = max(best.get((i, j), 0.0), float(likeness))
    return [(i, j, likeness) for (i, j), likeness in sorted(best.items())]


def _alike(coarse: FloatMap, turn: int) -> Iterator[NDArray[np.int64]]:
    """Index pairs i < j above the coarse threshold, block by block."""
    other = turned(coarse, COARSE, turn)
    starts = range(0, len(coarse), BLOCK)
    for top in starts:
        for left in starts[top // BLOCK :]:
            product = coarse[top : top + BLOCK] @ other[left : left + BLOCK].T
            pairs = np.argwhere(product > CANDIDATE)
            pairs += np.array([top, left])
            yield pairs[pairs[:, 0] < pairs[:, 1]]


def _fine(thumbs: Thumbs, pairs: NDArray[np.int64], turn: int) -> FloatMap:
    """Likeness of each pair at 64×64."""
    likeness = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), BLOCK):
        part = pairs[start : start + BLOCK]
        one = describe(thumbs[part[:, 0]], THUMB)
        two = turned(describe(thumbs[part[:, 1]], THUMB), THUMB, turn)
        likeness[start : start + BLOCK] = (one * two).sum(1)
    return likeness
