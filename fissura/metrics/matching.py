"""One-to-one matching of predicted and truth pixels, for all thresholds of a picture at once.

Legend: a pixel's code is the number of thresholds that its probability passes, so that "predicted
at threshold k" is "code > k" (see segmentation.py).

Sets of predicted pixels that can all be matched at the same time form a matroid. In a matroid the
set of largest weight is best at every level: with codes as weights, one matching of largest weight
holds, for every k, as many pixels of code above k as a maximum matching of those pixels alone.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from fissura.types import BoolMask

Codes = NDArray[np.uint16]
Whole = NDArray[np.int64]


def matched_histograms(
    codes: Codes, truth: BoolMask, tolerance: float, bins: int
) -> tuple[Whole, Whole, Whole]:
    """Histograms of codes: predictions in a pair, other predictions, truth in a pair.

    A pair is a predicted and a truth pixel at most `tolerance` apart; no pixel is in two pairs and
    there are as many as possible. Entry 0 of the last one counts the truth pixels in no pair.
    """
    hit = np.zeros(bins, np.int64)
    near = cv2.dilate(truth.view(np.uint8), disc(tolerance))
    count, label, boxes, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    for number in range(1, count):
        left, top, width, height = boxes[number, :4]
        box = slice(top, top + height), slice(left, left + width)
        part = truth[box] & (label[box] == number)
        hit += np.bincount(_matched_codes(codes[box], part, tolerance), minlength=bins)
    miss = np.bincount(codes.ravel(), minlength=bins) - hit
    found = hit.copy()
    found[0] = np.count_nonzero(truth) - hit.sum()
    return hit, miss, found


def disc(radius: float) -> NDArray[np.uint8]:
    """1 where a pixel centre lies within `radius` of the middle one."""
    r = int(radius)
    y, x = np.ogrid[-r : r + 1, -r : r + 1]
    return np.asarray(x * x + y * y <= radius * radius, np.uint8)


def _matched_codes(codes: Codes, truth: BoolMask, tolerance: float) -> Codes:
    """Codes of the predicted pixels in the matching of largest weight.

    Every truth pixel gets a predicted pixel at the cost of what its code lacks, or a stand-in of
    its own at the cost of a pixel that is not predicted.
    """
    r = int(tolerance)
    dy, dx = np.nonzero(disc(tolerance))
    steps = (dy - r) * (codes.shape[1] + 2 * r) + dx - r
    flat = np.pad(codes, r).ravel()
    near = np.flatnonzero(np.pad(truth, r))[:, None] + steps
    row, step = np.nonzero(flat[near])
    pixels, column = np.unique(near[row, step], return_inverse=True)
    own, weight = np.arange(len(near)), flat[pixels].astype(np.float64)
    most = weight.max(initial=0.0) + 1
    costs = np.concatenate([most - weight[column], np.full(len(own), most)])
    places = np.concatenate([row, own]), np.concatenate([column, len(pixels) + own])
    graph = csr_array((costs, places), shape=(len(own), len(pixels) + len(own)))
    chosen = min_weight_full_bipartite_matching(graph)[1]
    matched: Codes = flat[pixels[chosen[chosen < len(pixels)]]]
    return matched
