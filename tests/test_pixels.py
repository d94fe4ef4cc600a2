"""Arrays of every depth and channel count become 8-bit RGB Frames or one clear sentence."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fuzz_images import picture
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fissura.frames import from_array
from fissura.types import InputError

RGB = picture()


@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_sixteen_bit_arrays_keep_order_and_range(array):
    frame = from_array(array)
    top = 4095 if 0 < array.max() <= 4095 else 65535
    expected = np.rint(array.astype(np.float64) * 255 / top)
    assert np.abs(frame.image[..., 0] - expected).max() <= (top == 4095)
    ordered = frame.image[..., 0].ravel()[np.argsort(array, axis=None)]
    assert all(a <= b for a, b in pairwise(ordered.tolist()))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64, np.float16, bool])
def test_arrays_of_every_kind(shape, kind):
    top = {np.uint8: 255, np.uint16: 65535}.get(kind, 1)
    frame = from_array(np.full(shape, top, kind), "made")
    assert frame.image.shape == (5, 7, 3)
    assert (frame.image == 255).all()
    assert frame.source == "made"
    assert (from_array(np.zeros(shape, kind)).image == (255 if shape[-1] == 4 else 0)).all()


def test_an_rgb_array_is_not_copied():
    assert np.shares_memory(from_array(RGB).image, RGB)


def test_channels_keep_their_order():
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(from_array(rgba).image, RGB)
    np.testing.assert_array_equal(from_array(RGB[:, ::-1]).image, RGB[:, ::-1])
    np.testing.assert_array_equal(from_array(RGB / 255).image, RGB)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3, 5, 3), np.uint8),
        np.zeros((3, 20, 30), np.uint8),
        np.zeros((0, 3, 3), np.uint8),
        np.zeros(7, np.uint8),
        np.full((4, 4), 1.5),
        np.full((4, 4), -0.5),
        np.full((4, 4), np.nan),
        np.full((4, 4), -7, np.int32),
        np.full((4, 4), 70_000, np.int64),
        np.full((4, 4), 1j),
        np.full((4, 4), "x"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(array):
    with pytest.raises(InputError, match=r"^camera 2: .*; \w+"):
        from_array(array, "camera 2")
