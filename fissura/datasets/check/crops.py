"""The same place seen in two pictures: SIFT features, a pooled search, then geometry.

Finds crops, shifted or turned views and rescaled copies that no whole-picture hash can see.
Legend: N features of one picture, xy in pixels of the picture as it was handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import FloatMap, UInt8Image

FEATURES = 600
POOL = 1_500_000
COVER = 0.006
MAX_ZOOM = 5.0
LONG_SIDE = 768
NEIGHBOURS = 6
VOTES = 4
RATIO = 0.8
INLIERS = 12
TOLERANCE_PX = 3.0


@dataclass(frozen=True)
class Features:
    """RootSIFT of one picture: `xy` N×2 and `descriptors` N×128, both float32; `area` in pixels."""

    xy: FloatMap
    descriptors: FloatMap
    area: float


@dataclass(frozen=True)
class Overlap:
    """Pictures `first` and `second` (indices) share `inliers` features in one similarity."""

    first: int
    second: int
    inliers: int


NOTHING = Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32), 1.0)


def budget(pictures: int) -> int:
    """Features for each of so many pictures, so that the pool stays below 1 GB."""
    return max(100, min(FEATURES, POOL // max(pictures, 1)))


def features(grey: UInt8Image, count: int = FEATURES) -> Features:
    """The strongest corners and blobs of a picture, with contrast evened out first."""
    scale = min(1.0, LONG_SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    even = cv2.createCLAHE(2.0, (8, 8)).apply(small)
    points, raw = cv2.SIFT.create(count).detectAndCompute(even, None)
    if raw is None:
        return NOTHING
    xy = np.array([point.pt for point in points], np.float32) / scale
    descriptors = np.sqrt(raw / np.maximum(raw.sum(1, keepdims=True), 1e-6))
    return Features(xy, descriptors.astype(np.float32), float(grey.size))


def shared_points(a: Features, b: Features) -> int:
    """How many features of `a` and `b` agree with one shift, turn and scale between them."""
    if min(len(a.xy), len(b.xy)) < INLIERS:
        return 0
    closeness = a.descriptors @ b.descriptors.T
    order = np.argpartition(-closeness, 1, axis=1)[:, :2]
    best_two = np.take_along_axis(closeness, order, 1)
    swap = best_two[:, 0] < best_two[:, 1]
    best = np.where(swap, order[:, 1], order[:, 0])
    distance = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * np.sort(best_two, 1)))
    mutual = closeness.argmax(0)[best] == np.arange(len(best))
    keep = mutual & (distance[:, 1] < RATIO * distance[:, 0])
    if keep.sum() < INLIERS:
        return 0
    inside = _one_similarity(a.xy[keep], b.xy[best[keep]])
    source, target = a.xy[keep][inside], b.xy[best[keep]][inside]
    if max(_hull(source) / a.area, _hull(target) / b.area) < COVER:
        return 0
    return min(len(np.unique(points // 4, axis=0)) for points in (source, target))


def _one_similarity(source: FloatMap, target: FloatMap) -> NDArray[np.bool_]:
    """Matches that one similarity carries over; none when its scale is absurd."""
    cv2.setRNGSeed(0)
    matrix, inside = cv2.estimateAffinePartial2D(
        source, target, ransacReprojThreshold=TOLERANCE_PX, maxIters=2000, confidence=0.999
    )
    if matrix is None or not 1 / MAX_ZOOM < np.hypot(matrix[0, 0], matrix[1, 0]) < MAX_ZOOM:
        return np.zeros(len(source), np.bool_)
    chosen: NDArray[np.bool_] = inside.ravel().astype(bool)
    return chosen


def _hull(points: FloatMap) -> float:
    """Area that the points span: small for a watermark, which many pictures may share."""
    return float(cv2.contourArea(cv2.convexHull(points))) if len(points) > 2 else 0.0


def candidates(pictures: Sequence[Features]) -> list[tuple[int, int]]:
    """Pairs of pictures worth a geometric look: they share rare features in one pooled search."""
    owner = np.repeat(np.arange(len(pictures)), [len(p.xy) for p in pictures])
    if len(owner) <= NEIGHBOURS + 1:
        return []
    pool = np.concatenate([p.descriptors for p in pictures])
    index = cv2.flann.Index(pool, {"algorithm": 1, "trees": 4})
    nearest, squared = index.knnSearch(pool, NEIGHBOURS + 1, params={"checks": 64})
    rare = squared < (RATIO**2) * squared[:, -1:]
    votes = _count_votes(owner, np.asarray(nearest), rare)
    return [pair for pair, count in sorted(votes.items()) if count >= VOTES]


def _count_votes(
    owner: NDArray[np.int64], found: NDArray[Any], rare: NDArray[np.bool_]
) -> dict[tuple[int, int], int]:
    """Features that each pair of pictures shares, from the pooled neighbours."""
    mine = np.repeat(owner, found.shape[1])[rare.ravel()]
    theirs = owner[found.ravel()[rare.ravel()]]
    low, high = np.minimum(mine, theirs), np.maximum(mine, theirs)
    pairs, counts = np.unique(np.stack([low, high], 1)[low != high], axis=0, return_counts=True)
    return {(int(a), int(b)): int(n) for (a, b), n in zip(pairs, counts, strict=True)}


def overlaps(pictures: Sequence[Features], exhaustive: bool = False) -> list[Overlap]:
    """All pairs of pictures that show the same place.

    `exhaustive` looks at every pair, n² in the number of pictures; otherwise a pooled
    nearest-neighbour search proposes the pairs.
    """
    n = len(pictures)
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    pairs = every if exhaustive else candidates(pictures)
    counted = [Overlap(i, j, shared_points(pictures[i], pictures[j])) for i, j in pairs]
    return [overlap for overlap in counted if overlap.inliers >= INLIERS]
