"""The guided filter against its formula, and what follows from it."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fissura.config import PredictSettings
from fissura.refine import refine
from fissura.refine.guided_filter import guided_filter

sides = st.integers(1, 24)
radii = st.integers(1, 6)
seeds = st.integers(0, 1000)
epsilons = st.floats(1e-3, 1)


def maps(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((height, width)), rng.random((height, width))


def formula(guide: np.ndarray, source: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """The definition, window by window."""

    def mean(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, radius, mode="symmetric")
        side = 2 * radius + 1
        return np.lib.stride_tricks.sliding_window_view(padded, (side, side)).mean((2, 3))

    variance = mean(guide**2) - mean(guide) ** 2
    a = (mean(guide * source) - mean(guide) * mean(source)) / (variance + eps)
    return mean(a) * guide + mean(mean(source) - a * mean(guide))


@given(seeds, st.integers(7, 24), st.integers(7, 24), radii, epsilons)
@settings(max_examples=40, deadline=None)
def test_the_filter_is_its_formula(seed, height, width, radius, eps):
    guide, source = maps(seed, height, width)
    want = formula(guide, source, radius, eps)
    np.testing.assert_allclose(guided_filter(guide, source, radius, eps), want, atol=1e-9)
    single = guided_filter(guide.astype(np.float32), source.astype(np.float32), radius, eps)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, want, atol=2e-3)


@given(seeds, sides, sides, radii, epsilons, st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_the_filter_is_linear_in_its_source(seed, height, width, radius, eps, factor):
    guide, source = maps(seed, height, width)
    other = maps(seed + 1, height, width)[1]
    both = guided_filter(guide, factor * source + other, radius, eps)
    apart = factor * guided_filter(guide, source, radius, eps) + guided_filter(
        guide, other, radius, eps
    )
    np.testing.assert_allclose(both, apart, atol=1e-8)


@given(seeds, sides, sides, radii, epsilons, st.floats(-100, 100), st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_brightness_and_contrast_of_the_guide_do_not_matter(
    seed, height, width, radius, eps, shift, factor
):
    guide, source = maps(seed, height, width)
    found = guided_filter(guide, source, radius, eps)
    changed = guided_filter(factor * guide + shift, source, radius, eps * factor**2)
    np.testing.assert_allclose(changed, found, atol=1e-5)


@given(seeds, sides, sides, radii, epsilons, st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_constant_source_stays_constant(seed, height, width, radius, eps, value):
    guide, _ = maps(seed, height, width)
    found = guided_filter(guide, np.full((height, width), value), radius, eps)
    np.testing.assert_allclose(found, value, atol=1e-9)


@given(seeds, st.integers(1, 255), st.integers(0, 3), radii)
@settings(max_examples=25, deadline=None)
def test_the_smallest_eps_bears_even_photographs(seed, level, noise, radius):
    """Single precision gives an even bright window a variance of rounding, perhaps below 0."""
    rng = np.random.default_rng(seed)
    grey = np.clip(level + rng.integers(0, noise + 1, (40, 50)), 0, 255).astype(np.uint8)
    how = {"refine": "guided", "guided": {"eps": 1e-8, "radius_px": radius}}
    probability = rng.random((40, 50)).astype(np.float32)
    image = np.repeat(grey[..., None], 3, axis=2)
    found = refine(probability, image, PredictSettings.model_validate(how))
    assert np.isfinite(found).all()
    if noise == 0:
        assert np.abs(np.diff(found[12:-12, 12:-12])).max(initial=0) < 0.5


def test_a_variance_below_0_does_not_cancel_eps():
    """The box sums of single precision leave one; eps is chosen to be its opposite."""
    guide = np.random.default_rng(0).normal(0.8, 1e-4, (60, 60)).astype(np.float32)
    guide[20:] = 0.8

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (5, 5), borderType=cv2.BORDER_REFLECT)

    least = float((mean(guide * guide) - mean(guide) ** 2).min())
    assert least < 0
    assert np.abs(guided_filter(guide, guide, 2, -least) - 0.8).max() < 0.01
