"""What kind of crack it is: longest way through it, direction of that way, type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fissura.measure.paths import Points
from fissura.types import CrackType

BRANCHED_SHARE = 0.15
"""A crack is branched when more than this share of its length lies off its longest way."""

SECTOR_DEG = 30.0
"""Longitudinal and transverse reach this far to either side of their direction."""


def longest_way(nodes: NDArray[np.int64], lengths: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which branches (N×2 node names) lie on the longest of the shortest ways between ends.

    Found by two sweeps from the farthest end, which is exact for trees. A loop of its own counts
    where it is longer than that way.
    """
    on_way = np.zeros(len(nodes), bool)
    _, place = np.unique(nodes, return_inverse=True)
    place = place.reshape(-1, 2)
    open_branch = place[:, 0] != place[:, 1]
    if open_branch.any():
        on_way = _two_sweeps(place, np.where(open_branch, lengths, np.inf))
    longest = int(np.argmax(lengths))
    if lengths[longest] >= lengths[on_way].sum():
        on_way[:] = False
        on_way[longest] = True
    return on_way


def _two_sweeps(place: NDArray[np.intp], lengths: NDArray[np.float64]) -> NDArray[np.bool_]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    pair = np.sort(place, axis=1)
    order = np.lexsort((lengths, pair[:, 1], pair[:, 0]))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(pair[order], axis=0) != 0).any(axis=1)
    branch = order[first & np.isfinite(lengths[order])]
    size = int(place.max()) + 1
    a, b = pair[branch].T
    graph = coo_array((np.maximum(lengths[branch], 1e-6), (a, b)), shape=(size, size)).tocsr()
    far = _farthest(dijkstra(graph, directed=False, indices=int(a[0])))
    distance, before = dijkstra(graph, directed=False, indices=far, return_predecessors=True)
    number = {(int(i), int(j)): int(k) for i, j, k in zip(a, b, branch, strict=True)}
    on_way = np.zeros(len(place), bool)
    here = _farthest(distance)
    while before[here] >= 0:
        there = int(before[here])
        on_way[number[min(here, there), max(here, there)]] = True
        here = there
    return on_way


def _farthest(distance: NDArray[np.float64]) -> int:
    return int(np.argmax(np.where(np.isfinite(distance), distance, -1.0)))


def orientation_deg(points: Points) -> float:
    """Direction of the principal axis, 0 to 180 degrees, counter-clockwise from x as seen."""
    if len(points) < 2:
        return 0.0
    x, y = (points - points.mean(axis=0)).T
    angle = 0.5 * np.degrees(np.arctan2(-2 * (x * y).mean(), (x * x).mean() - (y * y).mean()))
    return float(angle % 180) % 180.0


def crack_type(angle_deg: float, share_off_way: float, travel_deg: float = 90.0) -> CrackType:
    """Branched, or by the angle to the direction of travel (90: up the picture).

    Within 30 degrees of travel a crack is longitudinal, within 30 degrees of its perpendicular
    transverse, between them diagonal.
    """
    if share_off_way > BRANCHED_SHARE:
        return "branched"
    off_travel = abs((angle_deg - travel_deg + 90) % 180 - 90)
    if off_travel <= SECTOR_DEG:
        return "longitudinal"
    return "transverse" if off_travel >= 90 - SECTOR_DEG else "diagonal"
