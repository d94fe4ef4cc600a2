"""Cleaning a crack map: thresholds, specks, holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from fissura.refine import clean_mask
from fissura.types import InputError

MAPS = npst.arrays(
    np.float32,
    npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24),
    elements=st.floats(0, 1, width=32),
)
CORNERS = np.ones((3, 3), int)


def _plain(crack_map, threshold=0.5, low=None):
    return clean_mask(crack_map, threshold, low, min_area_px=0, max_hole_px=0)


@given(MAPS)
def test_without_cleaning_it_is_the_threshold(crack_map):
    np.testing.assert_array_equal(_plain(crack_map), crack_map >= 0.5)


@given(MAPS, st.integers(2, 30))
@settings(max_examples=60)
def test_specks_go_as_scipy_says(crack_map, least):
    labels, count = ndimage.label(crack_map >= 0.5, CORNERS)
    area = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(count + 1))
    area[0] = 0
    expected = (area >= least)[labels]
    found = clean_mask(crack_map, 0.5, min_area_px=least, max_hole_px=0)
    np.testing.assert_array_equal(found, expected)


@given(MAPS)
@settings(max_examples=60)
def test_hysteresis_keeps_what_touches_a_strong_pixel(crack_map):
    labels, _ = ndimage.label(crack_map >= 0.3, CORNERS)
    strong = np.unique(labels[crack_map >= 0.7])
    expected = np.isin(labels, strong[strong > 0])
    np.testing.assert_array_equal(_plain(crack_map, 0.7, 0.3), expected)


@given(MAPS)
@settings(max_examples=60)
def test_all_holes_filled_as_scipy_says(crack_map):
    mask = crack_map >= 0.5
    expected = ndimage.binary_fill_holes(mask)
    found = clean_mask(crack_map, 0.5, min_area_px=0, max_hole_px=crack_map.size)
    np.testing.assert_array_equal(found, expected)


def test_only_small_holes_are_filled():
    crack_map = np.ones((40, 40), np.float32)
    crack_map[5:9, 5:10] = 0  # 20 px
    crack_map[20:25, 20:25] = 0  # 25 px
    crack_map[0:3, 30:33] = 0  # at the edge: no hole
    found = clean_mask(crack_map, 0.5)
    assert found[5:9, 5:10].all()
    assert not found[20:25, 20:25].any()
    assert not found[0:3, 30:33].any()


def test_empty_full_and_tiny_maps():
    assert not clean_mask(np.zeros((7, 9), np.float32), 0.5).any()
    assert clean_mask(np.ones((7, 9), np.float32), 0.5).all()
    assert clean_mask(np.ones((1, 1), np.float32), 0.5, min_area_px=1).all()


def test_the_map_is_left_as_it_was():
    crack_map = np.random.default_rng(0).random((30, 30), dtype=np.float32)
    before = crack_map.copy()
    clean_mask(crack_map, 0.5, 0.3)
    np.testing.assert_array_equal(crack_map, before)


@pytest.mark.parametrize(("high", "low"), [(0.0, None), (1.2, None), (0.5, 0.6), (0.5, 0.0)])
def test_thresholds_that_make_no_sense_are_refused(high, low):
    with pytest.raises(InputError, match="threshold"):
        clean_mask(np.zeros((4, 4), np.float32), high, low)
