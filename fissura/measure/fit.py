"""Widths of blurred cracks: one box with soft edges fitted to many profiles at once.

Legend: K profiles (each the mean of a short stretch of path), T places across. The model of a
profile is  (b + g t) (1 - (c + e) B(t))  in linear light, where B is a box of width w about x,
blurred by a Gaussian of sigma s. Each profile has its own b, g, x, w and small e; the blur s and
the contrast c belong to the whole crack. That is what makes narrow cracks measurable: one profile
alone cannot tell a narrow dark crack from a wider pale one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

CONTRAST = (0.8, 0.25)
"""Prior of the contrast c and its standard deviation; it never exceeds 1: black is black."""

OWN_SPREAD = np.array([1.0, 0.02, 1.0, np.inf, 0.03])
"""Prior standard deviations of b (about 1), g, x, w and e (about 0)."""

W = 3
ITERATIONS = 16
INDEPENDENT = 0.2
"""Share of the samples, half a pixel apart, that count as independent while fitting."""


@dataclass(frozen=True)
class Prior:
    """What is believed about ln(sigma) before the profiles are seen."""

    log_sigma: float
    spread: float


@dataclass(frozen=True)
class Fit:
    """Widths and centres of K profiles and how sure they are.

    `width_by_shared` K×2 is how each width moves with (ln sigma, contrast) and
    `shared_covariance` 2×2 theirs; `own_variance` K is what remains. `depth` K is the darkness at
    the middle, `noise` the standard deviation of a profile's samples about the model.
    """

    width: Array
    centre: Array
    own_variance: Array
    width_by_shared: Array
    shared_covariance: Array
    log_sigma: float
    contrast: float
    depth: Array
    noise: float


@dataclass(frozen=True)
class _State:
    shared: Array  # ln(sigma), c
    own: Array  # K×5: b, g, x, w, e


@dataclass(frozen=True)
class _Problem:
    profiles: Array
    places: Array
    prior: Prior

    def model(self, state: _State) -> Array:
        return _model(state, self.places)

    def cost(self, state: _State, weight: Array) -> float:
        residual = self.profiles - self.model(state)
        pull, own_pull = self.pulls(state)
        fit = float((weight * residual**2).sum())
        return fit + float((pull**2).sum()) + float((own_pull**2).sum())

    def pulls(self, state: _State) -> tuple[Array, Array]:
        """How many prior standard deviations the shared and the own parameters are off."""
        centre = np.array([self.prior.log_sigma, CONTRAST[0]])
        spread = np.array([self.prior.spread, CONTRAST[1]])
        return (state.shared - centre) / spread, (state.own - [1, 0, 0, 0, 0]) / OWN_SPREAD


def fit_widths(profiles: Array, places: Array, start: Array, prior: Prior) -> Fit:
    """Fit all K×T profiles (background near 1) together by damped, robust least squares.

    `start` gives a first guess of each profile's area: darkness summed over pixels.
    """
    problem = _Problem(profiles, places, prior)
    state = _start(start, prior)
    damping = 1e-2
    weight = _weights(problem, state)
    for step in range(ITERATIONS):
        before = problem.cost(state, weight)
        trial = _moved(state, *_step(problem, state, weight, damping))
        after = problem.cost(trial, weight)
        if after > before:
            damping *= 10
            continue
        state, damping = trial, max(1e-7, damping / 10)
        if step > 2 and before - after < 1e-3:
            break
        weight = _weights(problem, state)
    return _finished(problem, state)


def _start(area: Array, prior: Prior) -> _State:
    own = np.zeros((len(area), 5))
    own[:, 0] = 1.0
    own[:, W] = np.maximum(0.5, area / CONTRAST[0])
    return _State(np.array([prior.log_sigma, CONTRAST[0]]), own)


def _model(state: _State, places: Array) -> Array:
    ground, box, _, _ = _parts(state, places)
    return np.asarray(ground * (1 - _contrast(state) * box))


def _contrast(state: _State) -> Array:
    return np.asarray((state.shared[1] + state.own[:, 4])[:, None])


def _parts(state: _State, places: Array) -> tuple[Array, Array, Array, Array]:
    """Ground b + g t, box B, and the box's two edges in units of sigma, each K×T."""
    own, sigma = state.own, np.exp(state.shared[0])
    near = places[None, :] - own[:, 2:3]
    rise = (near + own[:, W : W + 1] / 2) / sigma
    fall = (near - own[:, W : W + 1] / 2) / sigma
    return own[:, :1] + own[:, 1:2] * places, ndtr(rise) - ndtr(fall), rise, fall


def _gradient(state: _State, places: Array) -> tuple[Array, Array]:
    """Derivatives of the model: K×T×2 by the shared and K×T×5 by the own parameters."""
    ground, box, rise, fall = _parts(state, places)
    sigma, contrast = float(np.exp(state.shared[0])), _contrast(state)
    up, down = (np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) for z in (rise, fall))
    light = 1 - contrast * box
    dark = -ground * contrast
    by_sigma = -dark * (rise * up - fall * down)
    by_contrast = -ground * box
    own = [
        light,
        light * places,
        -dark * (up - down) / sigma,
        dark * (up + down) / (2 * sigma),
        by_contrast,
    ]
    return np.stack([by_sigma, by_contrast], axis=-1), np.stack(own, axis=-1)


def _weights(problem: _Problem, state: _State, independent: float = INDEPENDENT) -> Array:
    """Huber weights over the noise variance, thinned because neighbouring samples agree."""
    residual = problem.profiles - problem.model(state)
    noise = _noise(residual)
    robust = np.minimum(1.0, 2.0 * noise / np.maximum(np.abs(residual), 1e-12))
    return np.asarray(robust * independent / noise**2)


def _noise(residual: Array) -> float:
    return max(1e-3, 1.4826 * float(np.median(np.abs(residual))))


def _normal_equations(
    problem: _Problem, state: _State, weight: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Blocks of the normal matrix (K×5×5, K×5×2, 2×2) and the two right-hand sides."""
    shared, own = _gradient(state, problem.places)
    residual = problem.profiles - problem.model(state)
    pull, own_pull = problem.pulls(state)
    weighted = own * weight[..., None]
    blocks = np.einsum("kti,ktj->kij", weighted, own, optimize=True)
    blocks[:, range(5), range(5)] += 1 / OWN_SPREAD**2
    cross = np.einsum("kti,ktj->kij", weighted, shared, optimize=True)
    spread = np.array([problem.prior.spread, CONTRAST[1]])
    heavy = shared * weight[..., None]
    corner = np.einsum("kti,ktj->ij", heavy, shared, optimize=True) + np.diag(1 / spread**2)
    right = np.einsum("kti,kt->i", heavy, residual) - pull / spread
    own_right = np.einsum("kti,kt->ki", weighted, residual) - own_pull / OWN_SPREAD
    return blocks, cross, corner, right, own_right


def _step(problem: _Problem, state: _State, weight: Array, damping: float) -> tuple[Array, Array]:
    """One Gauss-Newton step; the own parameters are eliminated profile by profile."""
    blocks, cross, corner, right, own_right = _normal_equations(problem, state, weight)
    blocks[:, range(5), range(5)] *= 1 + damping
    corner[range(2), range(2)] *= 1 + damping
    reduced = np.linalg.solve(blocks, np.concatenate([cross, own_right[..., None]], axis=-1))
    schur = corner - np.einsum("kij,kil->jl", cross, reduced[..., :2])
    shared = np.linalg.solve(schur, right - np.einsum("kij,ki->j", cross, reduced[..., 2]))
    return shared, reduced[..., 2] - reduced[..., :2] @ shared


def _moved(state: _State, shared: Array, own: Array) -> _State:
    moved = state.shared + np.clip(shared, -0.5, 0.5)
    moved[0] = np.clip(moved[0], np.log(0.35), np.log(8.0))
    moved[1] = np.clip(moved[1], 0.05, 1.0)
    limit = np.array([0.3, 0.05, 1.0, 2.0, 0.1])
    changed = state.own + np.clip(own, -limit, limit)
    changed[:, W] = np.maximum(changed[:, W], 0.05)
    return _State(moved, changed)


def _finished(problem: _Problem, state: _State) -> Fit:
    residual = problem.profiles - problem.model(state)
    weight = _weights(problem, state, _independent(residual))
    blocks, cross, corner, _, _ = _normal_equations(problem, state, weight)
    inverse = np.linalg.inv(blocks)
    follow = inverse @ cross
    schur = corner - np.einsum("kij,kil->jl", cross, follow)
    depth = _contrast(state)[:, 0] * (2 * ndtr(state.own[:, W] / 2 / np.exp(state.shared[0])) - 1)
    return Fit(
        width=state.own[:, W],
        centre=state.own[:, 2],
        own_variance=inverse[:, W, W],
        width_by_shared=-follow[:, W],
        shared_covariance=np.linalg.inv(schur),
        log_sigma=float(state.shared[0]),
        contrast=float(state.shared[1]),
        depth=depth,
        noise=_noise(residual),
    )


def _independent(residual: Array) -> float:
    """Share of independent samples, from how fast the residuals forget each other."""
    centred = residual - residual.mean(axis=1, keepdims=True)
    power = float((centred**2).mean())
    if power <= 0:
        return INDEPENDENT
    total = 1.0
    for lag in range(1, min(24, residual.shape[1] // 2)):
        agreement = float((centred[:, lag:] * centred[:, :-lag]).mean()) / power
        if agreement < 0.05:
            break
        total += 2 * agreement
    return 1 / total
