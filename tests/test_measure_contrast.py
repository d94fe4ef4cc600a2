"""Dark narrow or pale wide: contrasts weighed against each other, and pale cracks measured."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fissura.measure import measure_cracks
from fissura.measure.contrast import PALEST, Answer, Posterior, belief, weigh
from fissura.measure.fit import State
from fissura.synth import CrackSpec, render_crack

SPEC = {"size_hw": (200, 280), "length_px": 170.0, "wander": 0.1}
shares = st.floats(0.02, 0.98)


def _answer(contrast: float, misfit: float, width: float, variance: float = 0.01) -> Answer:
    state = State(np.array([0.0, contrast]), np.zeros((1, 5)), np.zeros(1))
    return Answer(state, misfit, width, variance, log_sigma_spread=0.1)


def _like(count: int, width: float, spread: float) -> Posterior:
    full = np.full(count, 1.0)
    return Posterior(full / count, width * full, spread * full, 0 * full, 0.1 * full)


def test_no_contrast_is_ruled_out_beforehand():
    contrast = np.linspace(PALEST, 1.0, 81)
    density = belief(contrast)
    assert density.min() > 0.4 * density.max()
    assert 0.75 < contrast[np.argmax(density)] < 0.95


@given(st.floats(1, 50), st.floats(0.03, 3), st.integers(1, 9))
def test_equal_answers_make_the_normal_distribution(width: float, spread: float, count: int):
    posterior = _like(count, width, spread)
    assert posterior.width_above(0.5) == pytest.approx(width, abs=1e-3)
    assert posterior.width_above(0.95) == pytest.approx(width + 1.645 * spread, abs=2e-3)
    assert posterior.width_above(0.05) == pytest.approx(width - 1.645 * spread, abs=2e-3)
    assert posterior.blur() == pytest.approx((0.0, 0.1))


@given(shares, shares, st.floats(0, 30), st.floats(0, 30))
def test_a_larger_share_needs_a_larger_width(one: float, other: float, dark: float, pale: float):
    posterior = weigh([_answer(1.0, dark, 2.0), _answer(0.6, 0.0, 3.3), _answer(0.3, pale, 6.6)])
    low, high = sorted((one, other))
    assert posterior.width_above(low) <= posterior.width_above(high) + 1e-3


def test_where_nothing_is_told_apart_the_interval_holds_the_pale_crack():
    alike = weigh([_answer(c, 0.0, 2.0 / c) for c in (0.2, 0.4, 0.6, 0.8, 1.0)])
    assert alike.width_above(0.05) < 2.0 / 0.93
    assert alike.width_above(0.95) > 2.0 / 0.4


def test_the_interval_reaches_to_the_side_that_the_picture_leaves_open():
    answers = [_answer(0.4, 12.0, 5.0), _answer(0.6, 0.0, 3.3), _answer(1.0, 0.2, 2.0)]
    open_to_dark = weigh(answers)
    assert open_to_dark.width_above(0.05) < 2.3
    assert open_to_dark.width_above(0.95) < 4.2
    assert weigh(answers[::-1]).width_above(0.95) == open_to_dark.width_above(0.95)


@pytest.mark.parametrize("contrast", [0.4, 0.55])
@pytest.mark.parametrize("texture", ["concrete", "asphalt", "rubber"])
def test_the_interval_of_a_pale_crack_holds_its_width(contrast, texture):
    spec = CrackSpec(**SPEC, width_px=4, blur_px=0.8, contrast=contrast, texture=texture)
    hits = 0
    for seed in range(4):
        truth = render_crack(spec, 610 + seed)
        width = measure_cracks(truth.mask, truth.coverage, truth.image)[0].px.width_mean
        hits += width.low <= 4 <= width.high
    assert hits >= 3


@pytest.mark.parametrize("texture", ["concrete", "rubber"])
def test_uneven_ground_does_not_make_a_wide_pale_crack_narrow(texture):
    found = []
    for seed in range(4):
        spec = CrackSpec(**SPEC, width_px=8, blur_px=0.8, contrast=0.45, texture=texture)
        truth = render_crack(spec, 640 + seed)
        found.append(measure_cracks(truth.mask, truth.coverage, truth.image)[0].px.width_mean)
    told = [width.value for width in found if width.value is not None]
    assert len(told) >= 3
    assert np.median(told) == pytest.approx(8, abs=0.5)


def test_a_dark_crack_is_told_more_closely_than_a_pale_one():
    half = []
    for contrast in (0.9, 0.5):
        spec = CrackSpec(**SPEC, width_px=5, blur_px=0.8, contrast=contrast, texture="concrete")
        truth = render_crack(spec, 660)
        width = measure_cracks(truth.mask, truth.coverage, truth.image)[0].px.width_mean
        half.append(width.high - width.low)
    assert half[0] < half[1]


@pytest.mark.parametrize("picture", ["black", "white", "noise", "grains", "grey"])
def test_a_map_over_anything_gets_finite_numbers(picture):
    rng = np.random.default_rng(7)
    for width in (1, 3, 8):
        mask = np.zeros((70, 90), np.uint8)
        cv2.line(mask, (5, 60), tuple(int(at) for at in rng.integers(20, 65, 2)), 1, width)
        image = {
            "black": np.zeros((70, 90, 3), np.uint8),
            "white": np.full((70, 90, 3), 255, np.uint8),
            "noise": rng.integers(0, 256, (70, 90, 3)).astype(np.uint8),
            "grains": np.repeat((rng.random((70, 90, 1)) > 0.5) * np.uint8(255), 3, axis=2),
            "grey": np.full((70, 90, 3), 180, np.uint8),
        }[picture]
        image[mask > 0] //= 2
        for crack in measure_cracks(mask > 0, mask.astype(np.float32), image):
            quantity = crack.px.width_mean
            assert np.isfinite(quantity.high)
            assert 0 <= quantity.low <= (quantity.value or quantity.low) <= quantity.high
