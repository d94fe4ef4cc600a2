"""Width of a crack across its strands, from the crack map; `photo.py` has the photograph's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fissura.measure.paths import Points, normals
from fissura.measure.profiles import OFFSET_STEP_PX, Profiles, across, offsets, sample
from fissura.measure.skeleton import Junctions
from fissura.measure.strands import Follow, Strand, move_sideways
from fissura.types import FloatMap, WidthSource

MAP_TOO_WIDE_PX = 4.0
MAP_TOO_NARROW_PX = 1.0
"""How far, nine times in ten, a crack map's outline lies from the crack's, both sides together."""

MAP_ENDS_PX = (2.0, 1.0)
MAP_RESOLVES_PX = 1.0
FAINT = 0.02
MOST_PLACES = 16_000


@dataclass(frozen=True)
class Widths:
    """Widths at places along a crack with what is needed to summarise them.

    `value` and `spread` (one standard deviation of its own error) are per place at `xy`;
    `mean_low` and `mean_high` bound the mean (90 %); `resolved` tells whether that says anything,
    `source` what was measured on, `ends` by how much each free end may lie too far out and too far
    in (90 %), `log_sigma` the blur of the profiles where it is well known.
    """

    xy: Points
    value: NDArray[np.float64]
    spread: NDArray[np.float64]
    mean: float
    mean_low: float
    mean_high: float
    resolved: bool
    source: WidthSource
    ends: tuple[float, float]
    log_sigma: float | None = None


def usable(strands: list[Strand], junctions: Junctions) -> list[tuple[Points, Points]]:
    """Paths and normals without what lies within a junction's disc or half a width of an end."""
    kept = []
    fine = [strand for strand in strands if not strand.rough]
    for strand in fine:
        normal = normals(strand.path, strand.closed)
        keep = junctions.discs_away(strand.path) > 1
        if not strand.closed and len(keep) > 4:
            ends = min(len(keep) // 3, round(float(np.median(strand.half_width))) + 1)
            keep[:ends] &= strand.joined[0]
            keep[len(keep) - ends :] &= strand.joined[1]
        if keep.any():
            kept.append((strand.path[keep], normal[keep]))
    return kept or [(s.path, normals(s.path, s.closed)) for s in fine]


def follow_map(crack_map: FloatMap) -> Follow:
    """How to follow a crack on its map: the mean over the middle of its width."""

    def height(ray: Points, side: Points, half_width: float) -> NDArray[np.float64]:
        places = np.linspace(-0.25, 0.25, 3) * max(1.0, half_width)
        line = across(crack_map, ray, np.broadcast_to(side, ray.shape), places)
        return np.asarray(line.mean(axis=1))

    return height


def centre_on_map(strand: Strand, crack_map: FloatMap, junctions: Junctions) -> Strand:
    """The strand moved onto the middle of the map's profile, sub-pixel."""
    if strand.rough or len(strand.path) < 3:
        return strand
    normal = normals(strand.path, strand.closed)
    places = offsets(1.5 * float(strand.half_width.max()) + 4.0)
    profile = _falling(crack_map, strand.path, normal, places)
    shift = (profile @ places) / np.maximum(profile.sum(axis=1), 1e-6)
    return move_sideways(strand, shift, normal, junctions)


def _falling(
    crack_map: FloatMap, path: Points, normal: Points, places: NDArray[np.float64]
) -> Profiles:
    """S×T map values that only fall outwards from the path; nothing outside the picture."""
    at = path[:, None, :] + places[None, :, None] * normal[:, None, :]
    profile = sample(crack_map, at) * ((at >= 0) & (at <= crack_map.shape[::-1])).all(axis=-1)
    middle = len(places) // 2
    np.minimum.accumulate(profile[:, middle:], axis=1, out=profile[:, middle:])
    left = profile[:, middle::-1]
    np.minimum.accumulate(left, axis=1, out=left)
    profile[profile <= FAINT] = 0
    return profile


def map_widths(pieces: list[tuple[Points, Points]], crack_map: FloatMap, reach: float) -> Widths:
    """Width as the map's integral across the path: the expected number of crack pixels there.

    Outwards from the path the map may only fall, which keeps neighbours out. A network's outline
    may be off by `MAP_TOO_WIDE_PX` or `MAP_TOO_NARROW_PX`, and only the photograph could tell.
    """
    path, normal = (np.concatenate([piece[k] for piece in pieces]) for k in (0, 1))
    if len(path) > MOST_PLACES:
        chosen = np.linspace(0, len(path) - 1, MOST_PLACES).astype(np.intp)
        path, normal = path[chosen], normal[chosen]
    places = offsets(reach)
    profile = _falling(crack_map, path, normal, places)
    value = profile.sum(axis=1) * OFFSET_STEP_PX
    mean = float(value.mean())
    return Widths(
        xy=path,
        value=value,
        spread=np.full(len(value), 0.5),
        mean=mean,
        mean_low=max(0.0, mean - MAP_TOO_WIDE_PX),
        mean_high=mean + MAP_TOO_NARROW_PX,
        resolved=mean >= MAP_RESOLVES_PX,
        source="map",
        ends=MAP_ENDS_PX,
    )
