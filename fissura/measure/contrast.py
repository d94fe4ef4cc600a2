"""What a crack's contrast leaves open about its width.

A dark narrow crack and a paler wide one can look nearly alike. So a crack is fitted once for each
of several contrasts, and every contrast counts by how well its fit agrees with the picture and by
how usual it is. The width's interval is taken from all of them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from fissura.measure.fit import HELD, Problem, State, W, misfit, solve

Array = NDArray[np.float64]

PALEST = 0.2
"""Paler cracks are not looked for."""

USUAL = (0.85, 0.12)
USUAL_SHARE = 0.3
"""So much of the belief lies about the usual contrast; the rest is spread evenly, palest to 1."""

STEP = 0.1
"""From one fitted contrast to the next; between them everything changes smoothly."""

ENOUGH = 16.0
"""Further misfit from which on a contrast no longer counts: its weight is below exp(-8)."""

FINE = 65


@dataclass(frozen=True)
class Answer:
    """A crack with one contrast: its fit, the misfit, mean width with variance, spread of ln(s)."""

    state: State
    misfit: float
    width: float
    variance: float
    log_sigma_spread: float


@dataclass(frozen=True)
class Posterior:
    """Weights of many contrasts; mean width and ln(sigma) with standard deviations for each."""

    weight: Array
    width: Array
    spread: Array
    log_sigma: Array
    log_sigma_spread: Array

    def width_above(self, share: float) -> float:
        """The width that the crack's mean width stays below with this probability."""
        low = float((self.width - 5 * self.spread).min())
        high = float((self.width + 5 * self.spread).max())

        def excess(width: float) -> float:
            return float(self.weight @ ndtr((width - self.width) / self.spread)) - share

        return float(brentq(excess, low, high, xtol=1e-4))

    def blur(self) -> tuple[float, float]:
        """Mean and standard deviation of ln(sigma)."""
        mean = float(self.weight @ self.log_sigma)
        off = (self.log_sigma - mean) ** 2 + self.log_sigma_spread**2
        return mean, float(np.sqrt(self.weight @ off))


def belief(contrast: Array) -> Array:
    """How usual each contrast is, before the picture is seen."""
    usual = np.exp(-0.5 * ((contrast - USUAL[0]) / USUAL[1]) ** 2) / (USUAL[1] * np.sqrt(2 * np.pi))
    return np.asarray(USUAL_SHARE * usual + (1 - USUAL_SHARE) / (1 - PALEST))


def held(problem: Problem, contrast: float) -> Problem:
    """The same problem with the contrast known."""
    centre, spread = problem.shared
    known = np.array([centre[0], contrast]), np.array([spread[0], HELD])
    return replace(problem, shared=known)


def along_contrasts(problem: Problem, best: State) -> Iterator[tuple[Problem, State]]:
    """Fits for the best contrast, then paler and darker ones as far as the picture allows them."""
    known = held(problem, best.contrast)
    least = misfit(known, best)
    yield known, best
    for last in (min(PALEST, best.contrast), 1.0):
        state = best
        for contrast in _steps(best.contrast, last):
            known = held(problem, contrast)
            state = solve(known, _recast(state, contrast))
            yield known, state
            if misfit(known, state) > least + ENOUGH:
                break


def _steps(first: float, last: float) -> list[float]:
    """Contrasts at most STEP apart after the first, up to the last; none if that is the first."""
    count = int(np.ceil(abs(last - first) / STEP))
    return [float(contrast) for contrast in np.linspace(first, last, count + 1)[1:]]


def _recast(state: State, contrast: float) -> State:
    """A first guess at another contrast: width times contrast stays what it is."""
    own = state.own.copy()
    own[:, W] *= state.contrast / contrast
    return replace(state, shared=np.array([state.shared[0], contrast]), own=own)


def weigh(answers: list[Answer]) -> Posterior:
    """Put the answers together. Between them the root of the misfit runs in a straight line."""
    ordered = sorted(answers, key=lambda answer: answer.state.contrast)
    contrast = np.array([answer.state.contrast for answer in ordered])
    fine = np.linspace(contrast[0], contrast[-1], FINE)

    def between(values: list[float]) -> Array:
        return np.interp(fine, contrast, values)

    cost = np.array([answer.misfit for answer in ordered])
    best = int(np.argmin(cost))
    root = np.sign(np.arange(len(cost)) - best) * np.sqrt(cost - cost[best])
    weight = belief(fine) * np.exp(-0.5 * np.interp(fine, contrast, root) ** 2)
    return Posterior(
        weight=weight / weight.sum(),
        width=between([answer.width for answer in ordered]),
        spread=between([float(np.sqrt(answer.variance)) for answer in ordered]),
        log_sigma=between([float(answer.state.shared[0]) for answer in ordered]),
        log_sigma_spread=between([answer.log_sigma_spread for answer in ordered]),
    )
