"""Width of a crack on the photograph itself, where the photograph shows it.

The crack map says where to look. Profiles of light across the path are moved to their darkest
place, averaged over short stretches, and fitted together (`fit.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from fissura.measure.fit import Fit, Prior, fit_widths
from fissura.measure.paths import Points, normals, smooth_path
from fissura.measure.profiles import OFFSET_STEP_PX, Profiles, across, offsets
from fissura.measure.strands import Follow, Strand, smoothing
from fissura.measure.width import Widths, usable
from fissura.types import UInt8Image

STRETCH_PX = 8
MOST_STRETCHES = 2000
FLANK_PX = 7.0
SEARCH_PX = 1.5
PIXEL_BLUR = 0.25
"""Variance in px² that the pixel's own area (1/12) and reading between pixels (1/6) add."""

UNKNOWN_BLUR = Prior(float(np.log(1.1)), 0.45)
KNOWN_BLUR_SPREAD = 0.1
LEAST_CONTRAST = 4.0
"""A crack must be darker than its surroundings by this many times the noise of a profile."""

LEAST_SHARE = 0.6
MODEL_PX = 0.03


@dataclass(frozen=True)
class Seen:
    """A crack as the photograph shows it: its centred strands and its widths."""

    strands: list[Strand]
    widths: Widths
    fit: Fit


def blur_prior(blur_px: float | None) -> Prior:
    """What is believed about the blur of a profile, from the photograph's blur if known."""
    if blur_px is None:
        return UNKNOWN_BLUR
    return Prior(0.5 * float(np.log(blur_px**2 + PIXEL_BLUR)), KNOWN_BLUR_SPREAD)


def look(image: UInt8Image, strands: list[Strand], junctions: Points, prior: Prior) -> Seen | None:
    """Measure a crack on the photograph; None where that shows no crack under the map."""
    centred = [_centred(strand, junctions, image) for strand in strands]
    reach = float(max(np.percentile(s.half_width, 95) for s in strands))
    places = offsets(reach + FLANK_PX)
    stretches = [
        (path, normal) for piece in usable(centred, junctions) for path, normal in _split(*piece)
    ]
    if len(stretches) > MOST_STRETCHES:
        chosen = np.linspace(0, len(stretches) - 1, MOST_STRETCHES).astype(int)
        stretches = [stretches[k] for k in chosen]
    profiles = _profiles(image, stretches, places)
    count = np.array([len(path) for path, _ in stretches], np.float64)
    xy = np.array([path.mean(axis=0) for path, _ in stretches])
    area = ((1 - profiles) * (np.abs(places) <= reach + 2)).sum(axis=1) * OFFSET_STEP_PX
    shown = area > 0.3 * float(np.median(area))
    if np.median(area) <= 0 or shown.mean() < LEAST_SHARE:
        return None
    fit = fit_widths(profiles[shown], places, area[shown], prior)
    if float(np.median(fit.depth)) < LEAST_CONTRAST * fit.noise:
        return None
    return Seen(centred, _widths(fit, xy[shown], count[shown]), fit)


def _centred(strand: Strand, junctions: Points, image: UInt8Image) -> Strand:
    """The strand moved sideways onto the darkest line near it, smoothly."""
    path = strand.path
    if len(path) < 5:
        return strand
    normal = normals(path, strand.closed)
    half_width = float(np.median(strand.half_width))
    places = offsets(2 * half_width + FLANK_PX)
    light = across(image, path, normal, places)
    along = "wrap" if strand.closed else "nearest"
    light = gaussian_filter1d(light, 3.0, axis=0, mode=along)
    found = _darkest(light, places, half_width)
    found = median_filter(found, 9, mode=along)
    found = gaussian_filter1d(found, smoothing(half_width) / 2, mode=along)
    if len(junctions):
        distance = np.hypot(*(path[:, None] - junctions[None, :, :2]).T).T
        near = (distance / (1.5 * junctions[:, 2] + 4.0)).min(axis=1)
        found = found * np.clip(near - 0.5, 0, 1)
    moved = path + found[:, None] * normal
    if strand.closed:
        moved[-1] = moved[0]
    moved = smooth_path(moved, smoothing(half_width), strand.closed)
    even = np.linspace(0, len(path) - 1, len(moved))
    widths = np.interp(even, np.arange(len(path)), strand.half_width)
    return replace(strand, path=moved, half_width=widths)


def _darkest(light: Profiles, places: NDArray[np.float64], half_width: float) -> Profiles:
    """Sub-pixel place of the least light in every row, within the mask's width."""
    dark = -gaussian_filter1d(light, max(1.0, half_width / 2) / OFFSET_STEP_PX, axis=1)
    near = np.abs(places) <= half_width + SEARCH_PX
    first = int(np.argmax(near))
    best = first + np.argmax(dark[:, near], axis=1)
    best = np.clip(best, 1, len(places) - 2)
    rows = np.arange(len(dark))
    before, top, after = dark[rows, best - 1], dark[rows, best], dark[rows, best + 1]
    bend = np.minimum(before - 2 * top + after, -1e-12)
    shift = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    return np.asarray(places[best] + shift * OFFSET_STEP_PX)


def _split(path: Points, normal: Points) -> list[tuple[Points, Points]]:
    parts = max(1, round(len(path) / STRETCH_PX))
    return list(zip(np.array_split(path, parts), np.array_split(normal, parts), strict=True))


def _profiles(
    image: UInt8Image, stretches: list[tuple[Points, Points]], places: NDArray[np.float64]
) -> Profiles:
    """One mean profile per stretch, K×T, as a share of the light beside the crack."""
    path, normal = (np.concatenate([stretch[k] for stretch in stretches]) for k in (0, 1))
    every = across(image, path, normal, places)
    count = np.array([len(part) for part, _ in stretches])
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    mean = np.add.reduceat(every, first, axis=0) / count[:, None]
    flank = np.abs(places) > places[-1] - 0.75 * FLANK_PX
    ground = np.maximum(np.median(mean[:, flank], axis=1, keepdims=True), 1e-4)
    return np.asarray(mean / ground)


def _widths(fit: Fit, xy: Points, count: NDArray[np.float64]) -> Widths:
    share = count / count.sum()
    own = np.maximum(fit.own_variance, _scatter(fit.width))
    by_shared = share @ fit.width_by_shared
    common = float(by_shared @ fit.shared_covariance @ by_shared)
    mean = float(share @ fit.width)
    error = 1.645 * float(np.sqrt(share**2 @ own + common + MODEL_PX**2))
    return Widths(
        xy=xy,
        value=fit.width,
        spread=np.sqrt(own),
        mean=mean,
        mean_low=mean - error,
        mean_high=mean + error,
        resolves=0.0,
        source="photograph",
    )


def _scatter(width: NDArray[np.float64]) -> float:
    """Variance between neighbours, which a slow change of width hardly touches."""
    if len(width) < 4:
        return 0.0
    return float((1.4826 * np.median(np.abs(np.diff(width)))) ** 2 / 2)


def follow_darkness(image: UInt8Image, width: float) -> Follow:
    """How to follow a crack on the photograph: darkness summed over its width."""

    def height(ray: Points, side: Points, half_width: float) -> Profiles:
        del half_width
        places = offsets(width / 2 + FLANK_PX)
        light = across(image, ray, np.broadcast_to(side, ray.shape), places)
        light = gaussian_filter1d(light, 2.0, axis=0, mode="nearest")
        inner = np.abs(places) <= width / 2 + 1.0
        outer = np.abs(places) > width / 2 + 2.5
        ground = np.median(light[:, outer], axis=1, keepdims=True)
        return np.asarray((1 - light[:, inner] / np.maximum(ground, 1e-4)).mean(axis=1))

    return height
