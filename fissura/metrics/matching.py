"""One-to-one matching of predicted and truth pixels, for every threshold of a picture.

Legend: T thresholds; a pixel's code is the number of thresholds that its probability passes, so
that "predicted at threshold k" is "code > k" (see segmentation.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from fissura.types import BoolMask

Whole = NDArray[np.int64]


def matched_histograms(
    codes: NDArray[np.uint16], truth: BoolMask, tolerance: float, bins: int
) -> tuple[Whole, Whole, Whole]:
    """Histograms of codes whose sums above k count pairs, unmatched predictions, and pairs again.

    A pair is a predicted and a truth pixel at most `tolerance` apart; no pixel is in two pairs and
    there are as many as possible. Matched pixels grow with falling thresholds by no more than the
    pixels that are added, so no entry is negative.
    """
    pairs = pairs_per_threshold(codes, truth, tolerance, bins - 1)
    total = np.count_nonzero(truth)
    hit = -np.diff(np.concatenate([[total], pairs, [0]]))
    every = np.bincount(codes.ravel(), minlength=bins)
    miss = every - hit
    miss[0] = 0  # below every threshold nothing is predicted
    return hit, miss, hit


def pairs_per_threshold(
    codes: NDArray[np.uint16], truth: BoolMask, tolerance: float, thresholds: int
) -> Whole:
    """Size of the maximum matching at every threshold, T.

    Rows of the graph are predicted pixels by falling code, so that each threshold's graph is the
    first rows of one matrix.
    """
    rows, columns, indptr = _graph(codes, truth, tolerance)
    sizes = len(rows) - np.searchsorted(rows[::-1], np.arange(thresholds), "right")
    distinct, place = np.unique(sizes, return_inverse=True)
    data = np.ones(len(columns), np.bool_)
    found = np.zeros(len(distinct), np.int64)
    for i, size in enumerate(distinct):
        if size:
            end = indptr[size]
            parts = (data[:end], columns[:end], indptr[: size + 1])
            graph = csr_array(parts, shape=(size, np.count_nonzero(truth)))
            found[i] = np.count_nonzero(maximum_bipartite_matching(graph, "column") >= 0)
    sized: Whole = found[place]
    return sized


def _graph(
    codes: NDArray[np.uint16], truth: BoolMask, tolerance: float
) -> tuple[NDArray[np.uint16], NDArray[np.int32], NDArray[np.int32]]:
    """Codes of the predicted pixels near truth, falling; their truth pixels as CSR columns."""
    r = int(tolerance)
    dy, dx = np.mgrid[-r : r + 1, -r : r + 1]
    steps = (dy * (codes.shape[1] + 2 * r) + dx)[dx * dx + dy * dy <= tolerance * tolerance]
    flat = np.pad(codes, r).ravel()
    near = np.flatnonzero(np.pad(truth, r))[:, None] + steps
    column, step = np.nonzero(flat[near])
    pixel = near[column, step]
    order = np.lexsort((pixel, -flat[pixel].astype(np.int64)))
    pixel = pixel[order]
    starts = np.flatnonzero(np.diff(pixel, prepend=-1))
    indptr = np.append(starts, len(pixel)).astype(np.int32)
    return flat[pixel[starts]], column[order].astype(np.int32), indptr
