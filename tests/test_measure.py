"""Measuring masks: lengths, junctions, types, and what must not depend on the camera's pose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fissura.measure import cracks as cracks_module
from fissura.measure import measure_cracks

ANGLES = (0, 11, 30, 45, 60, 77, 90, 135)


def _bar(angle_deg, width, length=120.0, size=200, shift=(0.0, 0.0)):
    """A straight bar through the middle; the angle counts counter-clockwise as seen."""
    y, x = np.mgrid[:size, :size] + 0.5
    x, y = x - size / 2 - shift[0], y - size / 2 - shift[1]
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return (abs(x * c - y * s) < length / 2) & (abs(x * s + y * c) < width / 2)


def _measure(mask, **more):
    return measure_cracks(mask, mask.astype(np.float32), **more)


def _strokes(*lines, size=200, width=6):
    canvas = np.zeros((size, size), np.uint8)
    for start, end in lines:
        cv2.line(canvas, start, end, 1, width)
    return canvas > 0


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("width", [2, 5, 12])
def test_a_bar_has_its_length_width_and_direction(angle, width):
    (crack,) = _measure(_bar(angle, width))
    assert crack.px.length.value == pytest.approx(120, rel=0.02)
    tolerance = 0.2 if angle % 90 else 1.01  # odd widths on the grid lose a whole row
    assert crack.px.width_mean.value == pytest.approx(width, abs=tolerance)
    off = abs((crack.orientation_deg - angle + 90) % 180 - 90)
    assert off < 1.5
    assert (crack.branches, crack.junctions) == (1, 0)
    assert crack.px.length.low <= 120 <= crack.px.length.high


@pytest.mark.parametrize(
    ("angle", "kind"),
    [(90, "longitudinal"), (70, "longitudinal"), (0, "transverse"), (45, "diagonal")],
)
def test_the_type_follows_the_direction_of_travel(angle, kind):
    (crack,) = _measure(_bar(angle, 5))
    assert crack.type == kind
    (turned,) = _measure(_bar(angle, 5), travel_deg=0.0)
    swapped = {"longitudinal": "transverse", "transverse": "longitudinal", "diagonal": "diagonal"}
    assert turned.type == swapped[kind]


@pytest.mark.parametrize("radius", [20, 40, 80])
def test_a_ring_is_one_closed_branch(radius):
    y, x = np.mgrid[:200, :200] + 0.5
    (crack,) = _measure(abs(np.hypot(x - 100, y - 100) - radius) < 2.5)
    assert crack.px.length.value == pytest.approx(2 * np.pi * radius, rel=0.02)
    assert crack.px.width_mean.value == pytest.approx(5, abs=0.15)
    assert (crack.branches, crack.junctions) == (1, 0)


def test_a_cross_has_one_junction_and_four_branches():
    for mask in (
        _strokes(((100, 20), (100, 180)), ((20, 100), (180, 100))),
        _strokes(((20, 20), (180, 160)), ((20, 160), (180, 20)), width=7),
    ):
        (crack,) = _measure(mask)
        assert (crack.branches, crack.junctions) == (4, 1)
        assert crack.type == "branched"


def test_a_y_has_one_junction_and_three_branches():
    mask = _strokes(((100, 100), (100, 180)), ((20, 20), (100, 100)), ((180, 20), (100, 100)))
    (crack,) = _measure(mask)
    assert (crack.branches, crack.junctions) == (3, 1)
    assert crack.px.length.value == pytest.approx(80 + 2 * np.hypot(80, 80), rel=0.04)


def test_an_l_is_one_branch_without_a_junction():
    (crack,) = _measure(_strokes(((40, 20), (40, 160)), ((40, 160), (160, 160))))
    assert (crack.branches, crack.junctions) == (1, 0)
    assert crack.px.length.value == pytest.approx(140 + 120, rel=0.03)


def test_a_rough_outline_grows_no_spurs():
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.standard_normal((200, 200)), (0, 0), 1.5)
    y, x = np.mgrid[:200, :200] + 0.5
    mask = (abs(y - 100 - 0.3 * (x - 100)) < 6 + noise / noise.std()) & (abs(x - 100) < 80)
    crack = _measure(mask)[0]
    assert (crack.branches, crack.junctions) == (1, 0)


def test_two_cracks_are_two_records_longest_first():
    mask = _bar(0, 4, length=60, shift=(0, -40)) | _bar(0, 4, length=140, shift=(0, 40))
    first, second = _measure(mask)
    assert (first.id, second.id) == (1, 2)
    assert first.px.length.value > second.px.length.value
    left, top, right, bottom = first.box
    assert first.region.shape == (bottom - top, right - left)
    assert mask[top:bottom, left:right][first.region].all()
    assert first.px.area.value == first.region.sum()


def test_a_diagonal_chain_is_one_crack():
    mask = np.eye(60, dtype=bool)
    (crack,) = _measure(mask)
    assert crack.px.length.value == pytest.approx(60 * np.sqrt(2), rel=0.03)
    assert crack.orientation_deg == pytest.approx(135, abs=1)


def test_a_crack_at_the_border_ends_there():
    mask = np.zeros((120, 200), bool)
    mask[:, 50:56] = True
    (crack,) = _measure(mask)
    assert crack.px.length.value == pytest.approx(120, abs=1.0)
    assert crack.px.width_mean.value == pytest.approx(6, abs=0.1)
    line = crack.centrelines[0]
    assert line[:, 0].mean() == pytest.approx(53, abs=0.3)
    assert line.min() >= -0.3


def test_odd_masks_are_measured_without_complaint():
    assert _measure(np.zeros((20, 30), bool)) == ()
    (pixel,) = _measure(np.eye(1, 25, 12, dtype=bool).repeat(1, axis=0))
    assert pixel.px.width_mean.value is None
    assert pixel.px.length.value == pytest.approx(1, abs=0.5)
    (full,) = _measure(np.ones((60, 90), bool))
    assert full.px.width_max.value <= 110
    (alone,) = _measure(np.ones((1, 1), bool))
    assert alone.region.shape == (1, 1)


def test_noise_is_measured_too():
    mask = np.random.default_rng(0).random((110, 110)) > 0.55
    cracks = _measure(mask)
    assert sum(int(crack.region.sum()) for crack in cracks) == mask.sum()


def test_beyond_thousands_the_smallest_are_rectangles(monkeypatch):
    monkeypatch.setattr(cracks_module, "MOST_CRACKS", 10)
    mask = np.zeros((60, 300), bool)
    mask[1::6, 1::6] = True
    mask[1::6, 2::6] = True
    mask[10:14, 20:200] = True
    cracks = _measure(mask)
    assert len(cracks) > 300
    assert cracks[0].px.length.value == pytest.approx(180, rel=0.05)
    assert cracks[-1].px.length.value == pytest.approx(2, abs=0.6)


def test_the_wider_end_is_where_the_widest_place_lies():
    canvas = np.zeros((80, 220), np.uint8)
    cv2.fillPoly(canvas, [np.array([[10, 38], [200, 30], [200, 50], [10, 42]])], 1)
    (crack,) = _measure(canvas > 0)
    assert crack.max_width_at_xy[0] > 170
    assert crack.px.width_max.value > crack.px.width_mean.value + 4


@given(
    angle=st.floats(0, 180),
    width=st.floats(2.5, 12),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
@example(angle=44.0, width=9.9375, shift=(0.0, 0.0))
@settings(max_examples=25, deadline=None)
def test_turning_and_mirroring_the_picture_changes_nothing(angle, width, shift):
    mask = _bar(angle, width, length=90, size=140, shift=shift)
    reference = _measure(mask)[0].px
    for turned in (np.rot90(mask), np.rot90(mask, 2), mask[::-1], mask[:, ::-1]):
        found = _measure(np.ascontiguousarray(turned))[0].px
        assert found.length.value == pytest.approx(reference.length.value, abs=1.2)
        assert found.width_mean.value == pytest.approx(reference.width_mean.value, abs=0.15)


@given(angle=st.floats(0, 180), x=st.integers(0, 40), y=st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_moving_the_crack_moves_its_record(angle, x, y):
    mask = _bar(angle, 5, length=70, size=100)
    moved = np.zeros((160, 150), bool)
    moved[y : y + 100, x : x + 100] = mask
    (here,), (there,) = _measure(mask), _measure(moved)
    assert there.px.length.value == pytest.approx(here.px.length.value, abs=0.01)
    assert there.px.width_mean.value == pytest.approx(here.px.width_mean.value, abs=0.01)
    shift = np.array(there.box) - np.array(here.box)
    np.testing.assert_array_equal(shift, [x, y, x, y])
    np.testing.assert_allclose(there.centrelines[0] - [x, y], here.centrelines[0], atol=1e-3)
