"""Widths of blurred cracks: boxes with soft edges fitted to several profiles at once.

Legend: K profiles, T places across. The model of a profile is  (b + g t) (1 - (c + e) B(t))  in
linear light, where B is a box of width w about x, blurred by a Gaussian of sigma s. Each profile
has its own b, g, x, w and small e; the blur s and the contrast c belong to the whole crack. That
is what makes narrow cracks measurable: one profile alone hardly tells a narrow dark crack from a
wider pale one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

HELD = 1e-6
"""Prior standard deviation of a shared parameter that is known."""

B, G, X, W, E = range(5)
LOG_S, C = 5, 6
"""Columns of the derivatives: the own parameters, then the shared ones."""

LEAST_LOG_S, MOST_LOG_S = float(np.log(0.35)), float(np.log(8.0))
OWN_SPREAD = (1.0, 0.02, 1.0, 10.0, 0.02)
"""Prior standard deviations of b (about 1), g and x (about 0), w (in its own size: all but free,
yet bounded where a box reaches beyond its profile) and e (about 0)."""

INDEPENDENT = 0.2
"""Share of the samples, half a pixel apart, that count as independent."""

ITERATIONS = 20


class Parts(NamedTuple):
    """Ground b + g t, box B, and the distances to its edges in units of sigma, each K×T."""

    ground: Array
    box: Array
    rise: Array
    fall: Array


@dataclass(frozen=True)
class State:
    """Shared parameters ln(s), c and the own ones K×5 (b, g, x, w, e), seen at T places."""

    shared: Array
    own: Array
    places: Array

    @property
    def sigma(self) -> float:
        """The blur in pixels."""
        return float(np.exp(self.shared[0]))

    @property
    def contrast(self) -> float:
        """The share of light that the crack swallows; never above 1: black is black."""
        return float(self.shared[1])

    @property
    def depth(self) -> Array:
        """Darkness at the middle of each profile, as a share of the light beside it."""
        height = 2 * ndtr(self.own[:, W] / 2 / self.sigma) - 1
        return np.asarray((self.shared[1] + self.own[:, E]) * height)

    @property
    def contrasts(self) -> Array:
        """Contrast of each profile, K×1."""
        return np.asarray((self.shared[1] + self.own[:, E])[:, None])

    @cached_property
    def parts(self) -> Parts:
        """What the profiles are made of; fits ask for it several times."""
        own, sigma = self.own, self.sigma
        near = self.places - own[:, X, None]
        half = own[:, W, None] / 2
        rise, fall = (near + half) / sigma, (near - half) / sigma
        ground = own[:, B, None] + own[:, G, None] * self.places
        return Parts(ground, ndtr(rise) - ndtr(fall), rise, fall)

    @cached_property
    def profiles(self) -> Array:
        """The profiles K×T that the state stands for."""
        return np.asarray(self.parts.ground * (1 - self.contrasts * self.parts.box))


@dataclass(frozen=True)
class Problem:
    """Profiles K×T at T places, their noise K, and what is believed beforehand.

    T is odd. Beliefs are centre and standard deviation: of the shared parameters 2, of the own
    ones K×5.
    """

    profiles: Array
    places: Array
    noise: Array
    shared: tuple[Array, Array]
    own: tuple[Array, Array]

    def weight(self, state: State) -> Array:
        """Huber weights over the noise variance, thinned because neighbouring samples agree."""
        residual = np.abs(self.profiles - state.profiles)
        middle = residual.shape[1] // 2
        median = np.partition(residual, middle, axis=1)[:, middle]
        noise = np.maximum(self.noise, 1.4826 * median)[:, None]
        robust = np.minimum(1.0, 2.5 * noise / np.maximum(residual, 1e-12))
        return np.asarray(robust * (INDEPENDENT / noise**2))

    def pulls(self, state: State) -> tuple[Array, Array]:
        """By how many standard deviations shared and own parameters are off their beliefs."""
        shared = (state.shared - self.shared[0]) / self.shared[1]
        return shared, (state.own - self.own[0]) / self.own[1]

    def cost(self, state: State, weight: Array) -> float:
        """Weighted squares of the residuals and of the pulls."""
        residual = self.profiles - state.profiles
        shared, own = self.pulls(state)
        return float(
            np.vdot(weight * residual, residual) + np.vdot(shared, shared) + np.vdot(own, own)
        )


@dataclass(frozen=True)
class Normal:
    """Normal equations in blocks: own K×5×5, cross K×5×2, shared 2×2, and right-hand sides."""

    own: Array
    cross: Array
    shared: Array
    own_right: Array
    shared_right: Array


def beliefs_about_own(widths: Array) -> tuple[Array, Array]:
    """Centres and spreads K×5 of the own parameters, with widths to start from."""
    centre = np.zeros((len(widths), 5))
    centre[:, B], centre[:, W] = 1.0, widths
    spread = np.tile(OWN_SPREAD, (len(widths), 1))
    spread[:, W] *= widths
    return centre, spread


def solve_from(problem: Problem, starts: list[State]) -> State:
    """The best of several solutions: a pale wide crack may look like a dark narrow one at first."""
    found = [solve(problem, start) for start in starts]
    return min(found, key=lambda state: misfit(problem, state))


def misfit(problem: Problem, state: State) -> float:
    """Huber's loss at the stated noise, and the pulls."""
    off = np.abs(problem.profiles - state.profiles) / problem.noise[:, None]
    loss = np.where(off <= 2.5, off**2, 5.0 * off - 6.25)
    return INDEPENDENT * float(loss.sum()) + sum(
        float((pull**2).sum()) for pull in problem.pulls(state)
    )


def solve(problem: Problem, start: State) -> State:
    """Damped, robust least squares from `start`."""
    state, damping = start, 1e-3
    weight = problem.weight(state)
    normal, before = normal_equations(problem, state, weight), problem.cost(state, weight)
    for _ in range(ITERATIONS):
        trial = _moved(state, *_step(normal, damping))
        after = problem.cost(trial, weight)
        if after > before:
            damping *= 10
            continue
        state, damping = trial, max(1e-7, damping / 10)
        if before - after < 1e-3:
            break
        weight = problem.weight(state)
        normal, before = normal_equations(problem, state, weight), problem.cost(state, weight)
    return state


def _gradient(state: State) -> Array:
    """Derivatives of the model, K×7×T: by b, g, x, w, e, then by ln(s) and c."""
    ground, box, rise, fall = state.parts
    up, down = (np.exp(-0.5 * z * z) * (1 / np.sqrt(2 * np.pi)) for z in (rise, fall))
    dark = -ground * state.contrasts
    steep = dark / state.sigma
    found = np.empty((len(ground), 7, len(state.places)))
    found[:, B] = 1 - state.contrasts * box
    found[:, G] = found[:, B] * state.places
    found[:, X] = steep * (down - up)
    found[:, W] = steep * (up + down) / 2
    found[:, E] = found[:, C] = -ground * box
    found[:, LOG_S] = dark * (fall * down - rise * up)
    return found


def normal_equations(problem: Problem, state: State, weight: Array) -> Normal:
    """Gauss-Newton normal equations with the beliefs as further observations."""
    gradient = _gradient(state)
    weighted = gradient * weight[:, None, :]
    squares = weighted @ gradient.transpose(0, 2, 1)
    right = (weighted @ (problem.profiles - state.profiles)[..., None])[..., 0]
    shared_pull, own_pull = problem.pulls(state)
    own = squares[:, :5, :5].copy()
    own[:, range(5), range(5)] += 1 / problem.own[1] ** 2
    return Normal(
        own=own,
        cross=squares[:, :5, 5:],
        shared=squares[:, 5:, 5:].sum(axis=0) + np.diag(1 / problem.shared[1] ** 2),
        own_right=right[:, :5] - own_pull / problem.own[1],
        shared_right=right[:, 5:].sum(axis=0) - shared_pull / problem.shared[1],
    )


def _step(normal: Normal, damping: float) -> tuple[Array, Array]:
    """One step; the own parameters are eliminated profile by profile."""
    blocks, corner = normal.own.copy(), normal.shared.copy()
    blocks[:, range(5), range(5)] *= 1 + damping
    corner[range(2), range(2)] *= 1 + damping
    right = np.concatenate([normal.cross, normal.own_right[..., None]], axis=-1)
    reduced = np.linalg.solve(blocks, right)
    both = np.einsum("kij,kil->jl", normal.cross, reduced)
    shared = np.linalg.solve(corner - both[:, :2], normal.shared_right - both[:, 2])
    return shared, reduced[..., 2] - reduced[..., :2] @ shared


def _moved(state: State, shared: Array, own: Array) -> State:
    log_s, contrast = state.shared + np.clip(shared, -0.4, 0.4)
    within = np.array([min(max(log_s, LEAST_LOG_S), MOST_LOG_S), min(max(contrast, 0.05), 1.0)])
    changed = state.own + np.clip(own, -2.0, 2.0)
    changed[:, W] = np.maximum(changed[:, W], 0.05)
    return State(within, changed, state.places)


@dataclass(frozen=True)
class Influence:
    """How the weighted mean width answers to samples, and its variance.

    `by_sample` K×T: change of the mean for a unit change of one sample; `by_beliefs` the variance
    that the beliefs leave; `by_noise` the one that the stated noise leaves. `log_sigma_spread` is
    the standard deviation of ln(s).
    """

    by_sample: Array
    by_beliefs: float
    by_noise: float
    log_sigma_spread: float


def influence_on_mean(problem: Problem, state: State, share: Array) -> Influence:
    """Linear error propagation of the mean width  sum(share * w)."""
    weight = problem.weight(state)
    normal = normal_equations(problem, state, weight)
    ask = np.zeros((len(share), 5))
    ask[:, W] = share
    follow = np.linalg.solve(normal.own, normal.cross)
    own = np.linalg.solve(normal.own, ask[..., None])[..., 0]
    schur = normal.shared - np.einsum("kij,kil->jl", normal.cross, follow)
    shared = -np.linalg.solve(schur, np.einsum("kij,ki->j", normal.cross, own))
    own = own - follow @ shared
    gradient = _gradient(state)
    answer = np.einsum("kit,ki->kt", gradient[:, :5], own) + shared @ gradient[:, 5:]
    beliefs = float(((own / problem.own[1]) ** 2).sum() + ((shared / problem.shared[1]) ** 2).sum())
    by_noise = float((weight * answer**2).sum())
    log_sigma_spread = float(np.sqrt(np.linalg.inv(schur)[0, 0]))
    return Influence(answer * weight, beliefs, by_noise, log_sigma_spread)
