"""The skeleton of one crack as a small graph: branches that run between ends and junctions.

Legend: h, w size of the crop; N skeleton pixels; a line is a K×2 array of x, y in crop pixels,
centres at +0.5, from node to node. A node is an end (one branch) or a junction (three or more).

Two skeleton pixels are neighbours when they share a side, or a corner without a skeleton pixel
that touches both by a side: so a staircase is one path and not a row of tiny triangles.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fissura.types import BoolMask

Points = NDArray[np.float64]
Widths = NDArray[np.float64]

SPUR_STICKS_OUT_PX = 3.0
"""A spur that leaves its junction's disc by less than this, or the half width, is no branch."""


MOST_JUNCTIONS = 300_000


@dataclass(frozen=True)
class Line:
    """One branch: its points, the mask's half width at each, and the nodes at its two ends.

    `joined` tells for the first and the last point whether it lies on a junction, `closed` whether
    the branch is a loop without any.
    """

    points: Points
    half_width: Widths
    nodes: tuple[int, int]
    joined: tuple[bool, bool]
    closed: bool


@dataclass(frozen=True)
class Junctions:
    """The M junctions of a crack: places M×2 and the mask's half width at each."""

    xy: Points
    half_width: Widths

    def __len__(self) -> int:
        return len(self.xy)

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.xy)

    def discs_away(self, path: Points) -> Widths:
        """Distance of path points to the nearest junction, in units of its disc, widened."""
        if len(self) == 0:
            return np.full(len(path), np.inf)
        distance, nearest = self._tree.query(path)
        return np.asarray(distance / (1.5 * self.half_width[nearest] + 2.0), np.float64)

    def moved(self, corner_xy: tuple[int, int]) -> Junctions:
        """The same junctions in the coordinates of the whole picture."""
        return Junctions(self.xy + np.array(corner_xy), self.half_width)


@dataclass(frozen=True)
class Skeleton:
    """The branches of one crack and its junctions."""

    lines: tuple[Line, ...]
    junctions: Junctions


@dataclass
class _Branch:
    a: int
    b: int
    pixels: list[int]


@dataclass
class _Graph:
    """Branches by number and the numbers at each node; a loop stands twice at its node."""

    xy: Points
    half_width: Widths
    branches: dict[int, _Branch] = field(default_factory=dict)
    at_node: dict[int, list[int]] = field(default_factory=dict)
    centre: dict[int, tuple[float, float]] = field(default_factory=dict)
    count: int = 0

    def add(self, a: int, b: int, pixels: list[int]) -> None:
        self.branches[self.count] = _Branch(a, b, pixels)
        for node in (a, b):
            self.at_node.setdefault(node, []).append(self.count)
        self.count += 1

    def remove(self, number: int) -> _Branch:
        branch = self.branches.pop(number)
        for node in (branch.a, branch.b):
            self.at_node[node].remove(number)
        return branch

    def degree(self, node: int) -> int:
        return len(self.at_node.get(node, ()))

    def chain_length(self, pixels: list[int]) -> float:
        steps = np.diff(self.xy[pixels], axis=0)
        return float(np.hypot(steps[:, 0], steps[:, 1]).sum())


def trace_skeleton(region: BoolMask) -> Skeleton | None:
    """Thin the region to its skeleton, merge its junction clusters and prune its spurs.

    None for a region with more than `MOST_JUNCTIONS` junctions: noise, not a net of cracks.
    """
    from skimage.morphology import skeletonize  # slow to import, not needed without cracks

    padded = np.pad(region, 1)
    thin = np.asarray(skeletonize(padded), np.bool_)  # type: ignore[no-untyped-call]
    if not thin.any():
        thin = padded
    rows, columns = np.nonzero(thin)
    distance = cv2.distanceTransform(padded.view(np.uint8), cv2.DIST_L2, 5)
    half_width = distance[rows, columns].astype(np.float64) - 0.5
    graph = _Graph(np.stack([columns - 0.5, rows - 0.5], axis=1), half_width)
    neighbours, degree = _neighbours(rows * padded.shape[1] + columns, padded.shape[1])
    if np.count_nonzero(degree >= 3) > MOST_JUNCTIONS:
        return None
    _trace(graph, neighbours.tolist(), degree.tolist())
    _merge_junctions(graph)
    _prune_spurs(graph)
    return _finish(graph)


def _neighbours(flat: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each skeleton pixel (sorted flat places) its neighbours, N×4 padded with -1; degrees."""

    def place(offset: int) -> NDArray[np.int64]:
        found = np.minimum(np.searchsorted(flat, flat + offset), len(flat) - 1)
        return np.where(flat[found] == flat + offset, found, -1)

    sides = [place(offset) for offset in (-width, 1, width, -1)]
    corners = []
    for k, offset in enumerate((1 - width, 1 + width, width - 1, -1 - width)):
        detour = (sides[k] >= 0) | (sides[(k + 1) % 4] >= 0)
        corners.append(np.where(detour, -1, place(offset)))
    every = np.stack(sides + corners, axis=1)
    degree = (every >= 0).sum(axis=1)
    return -np.sort(-every, axis=1)[:, :4], degree


def _trace(graph: _Graph, neighbours: list[list[int]], degree: list[int]) -> None:
    """Walk from every node along pixels of two neighbours; then the loops without any node."""
    seen = bytearray(len(degree))

    def walk(start: int, following: int) -> list[int]:
        path, before, here = [start], start, following
        while degree[here] == 2 and here != start:
            seen[here] = 1
            path.append(here)
            first, second = neighbours[here][:2]
            before, here = here, (second if first == before else first)
        return [*path, here]

    for node, count in enumerate(degree):
        if count == 0:
            graph.add(node, node, [node])
        if count == 2:
            continue
        for other in neighbours[node][:count]:
            if not seen[other] and (degree[other] == 2 or node < other):
                path = walk(node, other)
                graph.add(node, path[-1], path)
    for pixel, count in enumerate(degree):
        if count == 2 and not seen[pixel]:
            seen[pixel] = 1
            graph.add(pixel, pixel, walk(pixel, neighbours[pixel][0]))


def _merge_junctions(graph: _Graph) -> None:
    """Contract branches between junctions that are no longer than the crack is half wide there."""
    for number in list(graph.branches):
        branch = graph.branches.get(number)
        if branch is None or min(graph.degree(branch.a), graph.degree(branch.b)) < 3:
            continue
        reach = max(1.5, graph.half_width[branch.pixels[0]], graph.half_width[branch.pixels[-1]])
        if len(branch.pixels) - 1 > reach or graph.chain_length(branch.pixels) > reach:
            continue
        graph.remove(number)
        if branch.a != branch.b:
            _unite(graph, branch.a, branch.b)


def _unite(graph: _Graph, keep: int, drop: int) -> None:
    x, y = (_centre(graph, keep), _centre(graph, drop))
    graph.centre[keep] = ((x[0] + y[0]) / 2, (x[1] + y[1]) / 2)
    for number in graph.at_node.pop(drop):
        branch = graph.branches[number]
        branch.a = keep if branch.a == drop else branch.a
        branch.b = keep if branch.b == drop else branch.b
        graph.at_node[keep].append(number)


def _centre(graph: _Graph, node: int) -> tuple[float, float]:
    x, y = graph.xy[node]
    return graph.centre.get(node, (float(x), float(y)))


def _prune_spurs(graph: _Graph) -> None:
    """Take away, shortest first at each junction, the spurs that hardly leave the outline."""
    queue = deque(node for node in graph.at_node if graph.degree(node) >= 3)
    while queue:
        node = queue.popleft()
        if graph.degree(node) < 3:
            continue
        spurs = [n for n in graph.at_node[node] if _is_free(graph, graph.branches[n], node)]
        short = [(s, n) for n in spurs if (s := _sticks_out(graph, n, node)) is not None]
        if not short:
            continue
        graph.remove(min(short)[1])
        if graph.degree(node) == 2:
            queue.extend(_dissolve(graph, node))
        else:
            queue.append(node)


def _is_free(graph: _Graph, branch: _Branch, node: int) -> bool:
    return branch.a != branch.b and graph.degree(branch.b if branch.a == node else branch.a) == 1


def _sticks_out(graph: _Graph, number: int, node: int) -> float | None:
    """How far the crack reaches beyond the junction's disc along a spur, if that is too little."""
    pixels = graph.branches[number].pixels
    tip = pixels[0] if graph.branches[number].b == node else pixels[-1]
    limit = max(SPUR_STICKS_OUT_PX, graph.half_width[node])
    room = limit + graph.half_width[node] - graph.half_width[tip]
    if len(pixels) - 1 > room:  # a chain is never shorter than its number of steps
        return None
    length = graph.chain_length(pixels)
    return length if length < room else None


def _dissolve(graph: _Graph, node: int) -> tuple[int, ...]:
    """Join the two branches that are left at a node; returns the nodes to look at again."""
    first, second = graph.at_node[node]
    if first == second:
        return ()
    head, tail = graph.remove(first), graph.remove(second)
    before = head.pixels if head.b == node else head.pixels[::-1]
    after = tail.pixels if tail.a == node else tail.pixels[::-1]
    a = head.a if head.b == node else head.b
    b = tail.b if tail.a == node else tail.a
    graph.add(a, b, before + after[1:])
    return (a, b)


def _finish(graph: _Graph) -> Skeleton:
    nodes = [node for node in graph.at_node if graph.degree(node) >= 3]
    centres = np.array([_centre(graph, node) for node in nodes]).reshape(-1, 2)
    lines = tuple(_line(graph, branch) for branch in graph.branches.values())
    return Skeleton(lines, Junctions(centres, graph.half_width[nodes]))


def _line(graph: _Graph, branch: _Branch) -> Line:
    """The polyline of a branch, led to the middle of the junctions at its ends."""
    points, half_width = graph.xy[branch.pixels], graph.half_width[branch.pixels]
    joined = (graph.degree(branch.a) >= 3, graph.degree(branch.b) >= 3)
    if joined[0]:
        points = np.concatenate([[_centre(graph, branch.a)], points])
        half_width = np.append(half_width[0], half_width)
    if joined[1]:
        points = np.concatenate([points, [_centre(graph, branch.b)]])
        half_width = np.append(half_width, half_width[-1])
    closed = branch.a == branch.b and len(branch.pixels) > 2 and not joined[0]
    return Line(points, half_width, (branch.a, branch.b), joined, closed)
