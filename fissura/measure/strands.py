"""Strands: the branches of a crack as smooth paths in image coordinates, with ends found anew.

A skeleton stops about half a width before the crack does and may turn into a corner there. So the
last half width of every free end is cut off and the path goes on straight, to where the picture
that it is followed on (the crack map, or the darkness of the photograph) falls to half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fissura.measure.paths import (
    Points,
    end_direction,
    length_of,
    normals,
    resample,
    smooth_path,
)
from fissura.measure.profiles import Profiles
from fissura.measure.skeleton import Junctions, Line

MOST_FINE_STRANDS = 5000
STAIRCASE = 0.948
"""A chain of pixel steps is on average this much longer than the line it stands for."""

END_STEP_PX = 0.25
END_REACH_PX = 8.0
REACHES = (1, 2, 4)
"""Where no end is near, so many times as far: thinning eats the tip of a diagonal ridge two pixels
wide, and the skeleton stops early."""

LEVEL_PX = 30
"""Over so many last pixels of a path the height is taken whose half marks the end."""

MAP_END_LATE_PX = 4.0
MAP_END_EARLY_PX = 1.5
"""The photograph may move an end at most so far from where the map ends, back and on."""

Follow = Callable[[Points, Points, float], Profiles]
"""Height of what is followed (map, darkness) along a ray, given its side and half width."""


@dataclass(frozen=True)
class Ways:
    """What ends are followed on: the map, and the photograph where that shows the crack."""

    map: Follow
    photo: Follow | None = None


@dataclass(frozen=True)
class Strand:
    """One branch: an evenly spaced path and the mask's half width along it.

    A rough one is the bare chain of pixels: the shorter branches of an enormous net.
    """

    path: Points
    half_width: NDArray[np.float64]
    joined: tuple[bool, bool]
    closed: bool
    rough: bool = False

    @cached_property
    def length(self) -> float:
        """Length of the path in pixels; a rough path is corrected for its pixel steps."""
        return length_of(self.path) * (STAIRCASE if self.rough else 1.0)


def smooth_lines(lines: tuple[Line, ...], corner_xy: tuple[int, int]) -> list[Strand]:
    """All lines as strands; of an enormous net only the longest ones are smoothed."""
    if len(lines) <= MOST_FINE_STRANDS:
        return [smooth_line(line, corner_xy) for line in lines]
    count = np.array([len(line.points) for line in lines])
    fine = np.zeros(len(lines), bool)
    fine[np.argsort(-count, kind="stable")[:MOST_FINE_STRANDS]] = True
    return [
        smooth_line(line, corner_xy)
        if is_fine
        else Strand(line.points + corner_xy, line.half_width, line.joined, line.closed, rough=True)
        for line, is_fine in zip(lines, fine, strict=True)
    ]


def smooth_line(line: Line, corner_xy: tuple[int, int]) -> Strand:
    """A skeleton line as a smooth path in image coordinates, free ends cut back."""
    points, half_width, joined = line.points, line.half_width, line.joined
    if not line.closed:
        start, stop = _cut(half_width, joined)
        points, half_width = points[start:stop], half_width[start:stop]
    typical = float(np.median(half_width))
    path = smooth_path(points, smoothing(typical), line.closed) if len(points) > 1 else points
    even = np.linspace(0, len(half_width) - 1, len(path))
    widths = np.interp(even, np.arange(len(half_width)), half_width)
    return Strand(path + np.array(corner_xy), widths, joined, line.closed)


def smoothing(half_width: float) -> float:
    """Sigma in pixels along the path: removes the pixel grid and an outline's wobble."""
    return float(np.clip(2.5 + 0.25 * half_width, 3.0, 8.0))


def _cut(half_width: NDArray[np.float64], joined: tuple[bool, bool]) -> tuple[int, int]:
    """First and last index to keep: a half width less at free ends, at least a fifth in all."""
    count = len(half_width)
    most = int(0.4 * count)
    start = 0 if joined[0] else min(most, round(float(half_width[: most + 1].max())))
    stop = 0 if joined[1] else min(most, round(float(half_width[count - most - 1 :].max())))
    return start, count - stop


def move_sideways(
    strand: Strand, shift: NDArray[np.float64], normal: Points, junctions: Junctions
) -> Strand:
    """The strand moved along its normals, less and less towards junctions, and smoothed again."""
    shift = shift * np.clip(junctions.discs_away(strand.path) - 0.5, 0, 1)
    path = strand.path + shift[:, None] * normal
    if strand.closed:
        path[-1] = path[0]
    path = smooth_path(path, smoothing(float(np.median(strand.half_width))), strand.closed)
    even = np.linspace(0, len(shift) - 1, len(path))
    widths = np.interp(even, np.arange(len(shift)), strand.half_width)
    return replace(strand, path=path, half_width=widths)


def extend(strand: Strand, ways: Ways, size_hw: tuple[int, int]) -> Strand:
    """The strand with its free ends moved to where what is followed falls to half its height."""
    if strand.closed or strand.rough:
        return strand
    path, half_width = strand.path, strand.half_width
    if not strand.joined[1]:
        path = _extend_last(path, float(half_width[-1]), ways, size_hw)
    if not strand.joined[0]:
        path = _extend_last(path[::-1], float(half_width[0]), ways, size_hw)[::-1]
    path = resample(path) if len(path) > 1 else path
    even = np.linspace(0, len(half_width) - 1, len(path))
    widths = np.interp(even, np.arange(len(half_width)), half_width)
    return replace(strand, path=path, half_width=widths)


def _extend_last(path: Points, half_width: float, ways: Ways, size_hw: tuple[int, int]) -> Points:
    direction = end_direction(path, max(8.0, 3 * half_width))
    back = min(length_of(path) / 2, half_width + 4.0)
    side = np.array([-direction[1], direction[0]])
    tail = path[-LEVEL_PX:]

    def end_of(follow: Follow, reach: float) -> float:
        ahead = np.arange(-back, reach, END_STEP_PX)
        ray = path[-1] + ahead[:, None] * direction
        inside = (ray >= 0).all(axis=1) & (ray <= np.array(size_hw[::-1])).all(axis=1)
        level = 0.5 * float(np.median(follow(tail, normals(tail), half_width)))
        height = np.where(inside, follow(ray, side, half_width), -1.0)
        return _falls_below(height, ahead, level)

    for times in REACHES:
        reach = times * (2 * half_width + END_REACH_PX)
        end = end_of(ways.map, reach)
        if end < reach - END_STEP_PX:
            break
    if ways.photo is not None:
        seen = end_of(ways.photo, reach)
        end = float(np.clip(seen, end - MAP_END_LATE_PX, end + MAP_END_EARLY_PX))
    keep = len(path) - max(0, int(np.ceil(-end)))
    keep = max(min(2, len(path)), keep)
    rest = end + len(path) - keep
    return np.concatenate([path[:keep], path[keep - 1 : keep] + max(0.0, rest) * direction])


def _falls_below(height: Profiles, at: NDArray[np.float64], level: float) -> float:
    """Where a curve first falls below a level and stays there over a pixel."""
    if level <= 0:
        return 0.0
    below = height < level
    run = round(1 / END_STEP_PX)
    lasting = np.convolve(below, np.ones(run), "full")[run - 1 :] >= run
    lasting[-run:] |= below[-run:]
    if not lasting.any():
        return float(at[-1])
    k = int(np.argmax(lasting))
    if k == 0 or height[k] < 0 or height[k - 1] <= height[k]:
        return float(at[k])
    return float(at[k] - END_STEP_PX * (level - height[k]) / (height[k - 1] - height[k]))
