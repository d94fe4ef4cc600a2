"""Measuring on the photograph: rendered cracks of known width, whatever their map says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fissura.measure import from_mm_per_px, measure_cracks
from fissura.synth import CrackSpec, render_crack

SPEC = {"size_hw": (200, 280), "length_px": 170.0, "wander": 0.1}


def _wide_map(truth, extra=2.0):
    """A network's kind of outline: too wide on both sides and soft."""
    away = cv2.distanceTransform((~truth.mask).astype(np.uint8), cv2.DIST_L2, 5)
    return cv2.GaussianBlur((away < extra).astype(np.float32), (0, 0), 1.2)


def _measure_wide(spec, seed, **more):
    truth = render_crack(spec, seed)
    crack_map = _wide_map(truth)
    return truth, measure_cracks(crack_map >= 0.5, crack_map, truth.image, **more)[0]


@pytest.mark.parametrize("texture", ["concrete", "asphalt", "rubber"])
@pytest.mark.parametrize(("width", "blur"), [(3, 0.5), (5, 1.0), (8, 1.8), (12, 1.0)])
def test_the_photograph_corrects_a_wide_outline(texture, width, blur):
    bias, hits = [], 0
    for seed in range(4):
        spec = CrackSpec(
            **SPEC, width_px=width, blur_px=blur, angle_deg=10 + 40 * seed, texture=texture
        )
        truth, crack = _measure_wide(spec, seed + 30)
        assert crack.width_source == "photograph"
        bias.append(crack.px.width_mean.value - width)
        hits += crack.px.width_mean.low <= width <= crack.px.width_mean.high
        assert crack.px.length.value == pytest.approx(truth.length_px, rel=0.035)
    assert abs(np.mean(bias)) <= 0.3
    assert hits >= 2


def test_a_known_blur_narrows_the_interval():
    spec = CrackSpec(**SPEC, width_px=3, blur_px=1.8, texture="concrete")
    _, unknown = _measure_wide(spec, 5)
    _, known = _measure_wide(spec, 5, blur_px=1.8)

    def half(crack):
        return crack.px.width_mean.high - crack.px.width_mean.low

    assert half(known) < half(unknown)
    assert known.px.width_mean.low <= 3 <= known.px.width_mean.high


def test_a_wide_crack_teaches_the_blur_to_a_narrow_one():
    wide = render_crack(CrackSpec(**SPEC, width_px=9, blur_px=1.4, texture="concrete"), 1)
    narrow = render_crack(CrackSpec(**SPEC, width_px=2.5, blur_px=1.4, texture="concrete"), 2)
    crack_map = np.concatenate([wide.coverage, narrow.coverage])
    image = np.concatenate([wide.image, narrow.image])
    alone = measure_cracks(narrow.mask, narrow.coverage, narrow.image)[0]
    together = measure_cracks(crack_map >= 0.5, crack_map, image)
    taught = next(crack for crack in together if crack.box[1] >= 200)
    quantity = taught.px.width_mean
    assert quantity.low <= 2.5 <= quantity.high
    assert quantity.high - quantity.low < alone.px.width_mean.high - alone.px.width_mean.low


def test_a_hairline_under_heavy_blur_gets_a_bound_and_no_number():
    spec = CrackSpec(**SPEC, width_px=0.8, blur_px=2.5, texture="rubber")
    truth, crack = _measure_wide(spec, 3)
    if crack.width_source == "photograph":
        assert crack.px.width_mean.value is None
        assert crack.px.width_mean.high >= 0.8
    assert crack.px.length.value is not None
    assert truth.length_px > 0


def test_without_a_crack_in_the_photograph_the_map_is_measured():
    truth = render_crack(CrackSpec(**SPEC, width_px=5), 4)
    blank = np.full_like(truth.image, 140)
    crack = measure_cracks(truth.mask, truth.coverage, blank)[0]
    assert crack.width_source == "map"
    assert crack.px.width_mean.value == pytest.approx(5, abs=0.15)
    seen = measure_cracks(truth.mask, truth.coverage, truth.image)[0]
    assert seen.width_source == "photograph"

    def half(found):
        return found.px.width_mean.high - found.px.width_mean.low

    assert half(crack) > half(seen)


def test_a_changing_width_keeps_its_mean_and_its_widest_place():
    spec = CrackSpec(**SPEC, width_px=(4.0, 12.0), blur_px=0.8, texture="concrete", angle_deg=0)
    truth, crack = _measure_wide(spec, 6)
    assert crack.px.width_mean.value == pytest.approx(truth.widths_px[0].mean(), abs=0.5)
    assert crack.px.width_max.value == pytest.approx(12, abs=1.2)
    line = truth.centrelines_xy[0]
    wide_end = line[np.argmax(truth.widths_px[0])]
    assert np.hypot(*(np.array(crack.max_width_at_xy) - wide_end)) < 45


def test_the_centreline_lies_on_the_crack():
    truth, crack = _measure_wide(CrackSpec(**SPEC, width_px=5, texture="concrete"), 8)
    line = crack.centrelines[0]
    away = np.hypot(*(line[:, None] - truth.centrelines_xy[0][None]).T).min(axis=0)
    assert np.percentile(away, 90) < 0.5


def test_everything_in_millimetres_too():
    truth = render_crack(CrackSpec(**SPEC, width_px=6), 9)
    scale = from_mm_per_px(0.2, relative_uncertainty=0.02)
    crack = measure_cracks(truth.mask, truth.coverage, truth.image, scale)[0]
    assert crack.mm is not None
    assert crack.mm.width_mean.low <= 1.2 <= crack.mm.width_mean.high
    assert crack.mm.length.value == pytest.approx(0.2 * truth.length_px, rel=0.02)
    assert crack.mm.area.value == pytest.approx(1.2 * 0.2 * truth.length_px, rel=0.08)


@pytest.mark.slow
def test_intervals_cover_what_they_promise():
    hits, errors, lengths, told = 0, [], 0, 0
    for number in range(72):
        spec = CrackSpec(
            **SPEC,
            width_px=(2, 3, 4, 6, 9, 12)[number % 6],
            blur_px=(0.5, 1.0, 1.8)[number // 6 % 3],
            texture=("concrete", "asphalt", "rubber")[number // 18 % 3],
            angle_deg=22.5 * (number % 8),
            contrast=(0.7, 0.85, 0.93)[number % 3],
        )
        truth, crack = _measure_wide(spec, 400 + number)
        quantity, length = crack.px.width_mean, crack.px.length
        lengths += length.low <= truth.length_px <= length.high
        if quantity.value is not None:
            told += 1
            hits += quantity.low <= spec.widths[0] <= quantity.high
            errors.append(quantity.value - spec.widths[0])
    assert told >= 60
    assert abs(np.mean(errors)) <= 0.15
    assert hits / told >= 0.8
    assert lengths / 72 >= 0.8
