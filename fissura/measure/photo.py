"""Width of a crack on the photograph itself, where the photograph shows it.

The crack map says where to look. Profiles of light across the path are moved to their darkest
place, averaged over short stretches, and fitted together (`fit.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from fissura.measure.contrast import Answer, along_contrasts, weigh
from fissura.measure.fit import (
    HELD,
    B,
    Problem,
    State,
    W,
    beliefs_about_own,
    influence_on_mean,
    misfit,
    normal_equations,
    solve,
    solve_from,
)
from fissura.measure.paths import Points, normals
from fissura.measure.profiles import OFFSET_STEP_PX, Profiles, across, offsets
from fissura.measure.scale import Z90
from fissura.measure.skeleton import Junctions
from fissura.measure.strands import END_STEP_PX, Follow, Strand, move_sideways, smoothing
from fissura.measure.width import Widths, usable
from fissura.types import UInt8Image

STRETCH_PX = 8
MOST_STRETCHES = 2000
FLANK_PX = 6.0
SEARCH_PX = 1.5
PIXEL_BLUR = 0.25
"""Variance in px² that the pixel's own area (1/12) and reading between pixels (1/6) add."""

KNOWN_BLUR_SPREAD = 0.1
LEAST_CONTRAST = 2.0
"""A crack must be darker than its surroundings by this many times the noise of a profile."""

LEAST_GROUND = 0.1
"""The fitted ground is about 1 wherever there is light."""

LEAST_SHARE = 0.6
ANY_CONTRAST = (0.7, 1.0)
"""Where the search for the best contrast begins, and a spread that hardly holds it there."""

UNEVEN = 2.0
"""By how many standard deviations of one side's light against the other's areas differ anyway."""

END_BLUR_PX = 1.25
LAGS = 4
"""Over so many stretches neighbours are allowed to agree when errors are added up."""

MODEL_PX = 0.03
"""What the model itself may be wrong by, one standard deviation."""

WORST_SHARE = 0.4
"""A mean width known to no better than this share of itself (90 %) is not resolved."""

LEAST_WIDTH_PX = 1.5
LEAST_WIDTH_BLURS = 0.9

WELL_KNOWN_BLUR = 0.15
"""Standard deviation of ln(sigma) below which one crack's blur helps to measure the others."""


@dataclass(frozen=True)
class Prior:
    """What is believed about ln(sigma), the blur of a profile, before it is seen."""

    log_sigma: float
    spread: float


# Of 160 training photographs with hand-made masks the cracks that show their own blur and contrast
# well have sigma 0.7 to 2.4 and contrast 0.6 to 0.99 (10 % to 90 %); contrast.py has the contrast.
UNKNOWN_BLUR = Prior(float(np.log(1.3)), 0.5)


@dataclass(frozen=True)
class Seen:
    """A crack as the photograph shows it: its centred strands and its widths."""

    strands: list[Strand]
    widths: Widths


@dataclass(frozen=True)
class Stretches:
    """Short stretches of path: mean profile K×T over the light beside it, place, points."""

    profiles: Profiles
    places: NDArray[np.float64]
    xy: Points
    count: NDArray[np.float64]
    area: NDArray[np.float64]


def blur_prior(blur_px: float | None) -> Prior:
    """What is believed about the blur of a profile, from the photograph's blur if known."""
    if blur_px is None:
        return UNKNOWN_BLUR
    return Prior(0.5 * float(np.log(blur_px**2 + PIXEL_BLUR)), KNOWN_BLUR_SPREAD)


def smallest_width(sigma: float) -> float:
    """The least width that a profile with this blur tells from a darker, narrower crack."""
    return max(LEAST_WIDTH_PX, LEAST_WIDTH_BLURS * sigma)


def look(
    image: UInt8Image, strands: list[Strand], junctions: Junctions, prior: Prior
) -> Seen | None:
    """Measure a crack on the photograph; None where that shows no crack under the map."""
    centred = [_centred(strand, junctions, image) for strand in strands]
    reach = float(max(np.percentile(s.half_width, 95) for s in strands))
    found = _stretches(image, usable(centred, junctions), reach)
    typical = float(np.median(found.area))
    shown = found.area > 0.3 * typical
    if typical <= 0 or shown.mean() < LEAST_SHARE:
        return None
    chosen = Stretches(
        found.profiles[shown], found.places, found.xy[shown], found.count[shown], found.area[shown]
    )
    widths = _fitted(chosen, prior)
    return None if widths is None else Seen(centred, widths)


def _centred(strand: Strand, junctions: Junctions, image: UInt8Image) -> Strand:
    """The strand moved sideways onto the darkest line near it, smoothly."""
    path = strand.path
    if strand.rough or len(path) < 5:
        return strand
    normal = normals(path, strand.closed)
    half_width = float(np.median(strand.half_width))
    places = offsets(2 * half_width + FLANK_PX)
    light = across(image, path, normal, places)
    along = "wrap" if strand.closed else "nearest"
    light = gaussian_filter1d(light, 4.0, axis=0, mode=along)
    found = _darkest(light, places, half_width)
    found = median_filter(found, 9, mode=along)
    found = gaussian_filter1d(found, smoothing(half_width) / 2, mode=along)
    return move_sideways(strand, found, normal, junctions)


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


def _stretches(image: UInt8Image, pieces: list[tuple[Points, Points]], reach: float) -> Stretches:
    """Cut the pieces into stretches and average the light across each."""
    cut = [part for piece in pieces for part in _split(*piece)]
    if len(cut) > MOST_STRETCHES:
        cut = [cut[k] for k in np.linspace(0, len(cut) - 1, MOST_STRETCHES).astype(int)]
    path, normal = (np.concatenate([part[k] for part in cut]) for k in (0, 1))
    count = np.array([len(part[0]) for part in cut])
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    places = offsets(reach + FLANK_PX)
    every = across(image, path, normal, places)
    mean = np.add.reduceat(every, first, axis=0) / count[:, None]
    ground = gaussian_filter1d(np.median(mean[:, _flank(places)], axis=1), 1.5, mode="nearest")
    profiles = mean / np.maximum(ground, 1e-4)[:, None]
    area = ((1 - profiles) * (np.abs(places) <= reach + 2)).sum(axis=1) * OFFSET_STEP_PX
    xy = np.add.reduceat(path, first, axis=0) / count[:, None]
    return Stretches(profiles, places, xy, count.astype(np.float64), area)


def _flank(places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Places well away from the crack, on both sides."""
    return np.asarray(np.abs(places) > places[-1] - 0.75 * FLANK_PX)


def _split(path: Points, normal: Points) -> list[tuple[Points, Points]]:
    parts = max(1, round(len(path) / STRETCH_PX))
    return list(zip(np.array_split(path, parts), np.array_split(normal, parts), strict=True))


def _fitted(found: Stretches, prior: Prior) -> Widths | None:
    """Mean width from a few clean mean profiles, local widths from the stretches themselves."""
    group = _groups(found)
    problem, area = _mean_profiles(found, group, prior)
    best = solve_from(problem, _starts(problem, area))
    residual = _residual(found, group, best)
    if not _is_crack(best, residual, problem.noise):
        return None
    every = [_answer(found, group, *each) for each in along_contrasts(problem, best)]
    answers = [answer for answer in every if np.isfinite([answer.width, answer.variance]).all()]
    if not answers:
        return None
    together = weigh(answers)
    low, width, high = (together.width_above(share) for share in (0.05, 0.5, 0.95))
    state = min(answers, key=lambda answer: abs(answer.width - width)).state
    value, spread = _local(found, group, state)
    log_sigma, log_sigma_spread = together.blur()
    told = high - low <= 2 * WORST_SHARE * width and width >= smallest_width(np.exp(log_sigma))
    return Widths(
        xy=found.xy,
        value=value + width - float(np.average(value, weights=found.count)),
        spread=spread,
        mean=width,
        mean_low=max(0.0, low),
        mean_high=high,
        resolved=told,
        source="photograph",
        ends=(Z90 * _end_spread(best, residual),) * 2,
        log_sigma=log_sigma if log_sigma_spread < WELL_KNOWN_BLUR else None,
    )


def _mean_profiles(
    found: Stretches, group: NDArray[np.intp], prior: Prior
) -> tuple[Problem, NDArray[np.float64]]:
    """The groups' mean profiles as a problem in which any contrast will do, and their areas."""
    size = np.bincount(group, found.count)
    mean = _by_group(found.profiles * found.count[:, None], group) / size[:, None]
    scatter = ((found.profiles - mean[group]) ** 2).mean(axis=1)
    members = np.bincount(group)
    noise = np.sqrt(np.bincount(group, scatter) / np.maximum(members - 1, 1) / members)
    area = np.bincount(group, found.area * found.count) / size
    shared = (
        np.array([prior.log_sigma, ANY_CONTRAST[0]]),
        np.array([prior.spread, ANY_CONTRAST[1]]),
    )
    own = beliefs_about_own(np.maximum(0.5, area / ANY_CONTRAST[0]))
    return Problem(mean, found.places, np.maximum(noise, 1e-3), shared, own), area


def _residual(found: Stretches, group: NDArray[np.intp], state: State) -> Profiles:
    return np.asarray(found.profiles - state.profiles[group])


def _answer(found: Stretches, group: NDArray[np.intp], problem: Problem, state: State) -> Answer:
    """The mean width that a fit stands for, and its variance with the contrast as given."""
    size = np.bincount(group, found.count)
    share = size / size.sum()
    influence = influence_on_mean(problem, state, share)
    weight = (found.count / size[group])[:, None]
    score = (influence.by_sample[group] * _residual(found, group, state) * weight).sum(axis=1)
    noise = _long_run(score) if len(score) >= 6 else influence.by_noise
    return Answer(
        state=state,
        misfit=misfit(problem, state),
        width=float(share @ state.own[:, W]),
        variance=noise + influence.by_beliefs + MODEL_PX**2,
        log_sigma_spread=influence.log_sigma_spread,
    )


def _starts(problem: Problem, area: NDArray[np.float64]) -> list[State]:
    """Where to begin: with the contrast believed in, and with the one of the darkest middle."""
    believed = problem.shared[0]
    darkest = float(np.clip(np.median((1 - problem.profiles).max(axis=1)), 0.05, 1.0))
    starts = []
    for contrast in (believed[1], darkest):
        own = problem.own[0].copy()
        own[:, W] = np.maximum(0.5, area / contrast)
        starts.append(State(np.array([believed[0], contrast]), own, problem.places))
    return starts


def _is_crack(state: State, residual: Profiles, noise: NDArray[np.float64]) -> bool:
    """Whether the dark line stands out from its surroundings, in single stretches and in all.

    Where the surroundings are black (a border, a void) nothing can.
    """
    if float(np.median(state.own[:, B])) < LEAST_GROUND:
        return False
    single = float(np.sqrt((residual**2).mean()))
    depth = float(np.median(state.depth))
    return depth > max(LEAST_CONTRAST * single, 5 * float(np.median(noise)))


def _end_spread(state: State, residual: Profiles) -> float:
    """Standard deviation of an end in pixels: the fainter the crack, the worse it is told."""
    single = float(np.sqrt((residual**2).mean()))
    return 0.4 + 3.5 * single / max(float(np.median(state.depth)), 1e-3)


def _groups(found: Stretches) -> NDArray[np.intp]:
    """Group number of each stretch: alike in width, by an area smoothed along the path.

    Uneven ground makes areas differ too. Groups made by that would hold a seemingly dark and a
    seemingly pale part of the same crack, which only a narrow crack could explain.
    """
    area, places = found.area, found.places
    calm = gaussian_filter1d(area, 2.5, mode="nearest")
    low, high = np.percentile(calm, [5, 95])
    flank = _flank(places)
    sides = [found.profiles[:, flank & side].mean(axis=1) for side in (places < 0, places > 0)]
    uneven = UNEVEN * float(np.std(sides[0] - sides[1])) * (places[-1] - FLANK_PX + 2)
    differ = float(np.sqrt(max(0.0, (high - low) ** 2 - uneven**2)))
    most = min(6, max(1, len(area) // 4))
    number = int(np.clip(np.ceil(differ / (0.4 * float(np.median(calm)))), 1, most))
    edges = np.quantile(calm, np.linspace(0, 1, number + 1)[1:-1])
    _, group = np.unique(np.searchsorted(edges, calm), return_inverse=True)
    return np.asarray(group)


def _by_group(values: Profiles, group: NDArray[np.intp]) -> Profiles:
    total = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(total, group, values)
    return total


def _long_run(score: NDArray[np.float64]) -> float:
    """Variance of a sum whose neighbouring terms agree (Newey-West): texture has long streaks."""
    variance = float((score**2).sum())
    for lag in range(1, LAGS + 1):
        together = float((score[lag:] * score[:-lag]).sum())
        variance += 2 * (1 - lag / (LAGS + 1)) * max(0.0, together)
    count = len(score)
    return variance * count / max(1, count - 3)


def _local(
    found: Stretches, group: NDArray[np.intp], state: State
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Width of every stretch and its standard deviation, blur and contrast being known."""
    own = state.own[group]
    spread = np.broadcast_to([0.3, 0.02, 0.5, 0.0, 0.03], own.shape).copy()
    spread[:, W] = 0.5 + 0.4 * own[:, W]
    residual = found.profiles - state.profiles[group]
    noise = np.sqrt((residual**2).mean(axis=1))
    shared = (state.shared, np.full(2, HELD))
    problem = Problem(found.profiles, found.places, np.maximum(noise, 1e-3), shared, (own, spread))
    local = solve(problem, replace(state, own=own))
    normal = normal_equations(problem, local, problem.weight(local))
    return local.own[:, W], np.sqrt(np.linalg.inv(normal.own)[:, W, W])


def follow_darkness(image: UInt8Image, width: float) -> Follow:
    """How to follow a crack on the photograph: darkness summed over its width."""

    def height(ray: Points, side: Points, half_width: float) -> Profiles:
        del half_width
        places = offsets(width / 2 + FLANK_PX)
        light = across(image, ray, np.broadcast_to(side, ray.shape), places)
        if side.ndim == 1:
            light = gaussian_filter1d(light, END_BLUR_PX / END_STEP_PX, axis=0, mode="nearest")
        inner = np.abs(places) <= width / 2 + 1.0
        outer = np.abs(places) > width / 2 + 2.5
        ground = np.median(light[:, outer], axis=1, keepdims=True)
        return np.asarray((1 - light[:, inner] / np.maximum(ground, 1e-4)).mean(axis=1))

    return height
