"""Picture and mask move together; light changes leave the geometry alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fissura.augment import (
    Appearance,
    Geometry,
    balanced_crop,
    change_appearance,
    distort_photometrically,
    fit_into_box,
    pad_to_square,
    random_crop,
)
from fissura.types import BoolMask, UInt8Image

STILL = Appearance(
    brightness=0, contrast=0, saturation=0, gamma=0, hue=0, shadow=0, blur=0, noise=0, jpeg=0
)


def blob() -> tuple[UInt8Image, BoolMask]:
    """A bright asymmetric shape on black, and its mask."""
    mask = np.zeros((90, 120), bool)
    mask[20:60, 30:50] = True
    mask[50:60, 30:100] = True
    return np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255, mask


@given(seed=st.integers(0, 10_000), low=st.floats(0.6, 1.5), factor=st.floats(1.0, 2.0))
@settings(max_examples=60, deadline=None)
def test_the_mask_follows_the_picture(seed: int, low: float, factor: float) -> None:
    image, mask = blob()
    geometry = Geometry(scale=(low, low * factor), rotation_deg=30)
    crop, moved = random_crop(image, mask, 64, geometry, np.random.default_rng(seed))
    assert crop.shape == (64, 64, 3)
    assert moved.shape == (64, 64)
    bright = crop[..., 0] > 127
    assert np.mean(bright != moved) < 0.05


def test_the_same_generator_gives_the_same_crop() -> None:
    image, mask = blob()
    crops = [random_crop(image, mask, 48, Geometry(), np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(crops[0][0], crops[1][0])
    assert np.array_equal(crops[0][1], crops[1][1])


def test_every_second_crop_is_drawn_to_a_crack() -> None:
    image = np.zeros((600, 600, 3), np.uint8)
    mask = np.zeros((600, 600), bool)
    mask[300:303, 300:303] = True
    rng = np.random.default_rng(0)
    geometry = Geometry(scale=(1, 1.01))
    hits = [random_crop(image, mask, 64, geometry, rng)[1].any() for _ in range(200)]
    assert 0.35 < np.mean(hits) < 0.7


def test_zero_strength_changes_nothing() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 50, 1), dtype=np.uint8).repeat(3, 2)
    assert np.array_equal(change_appearance(grey, STILL, np.random.default_rng(1)), grey)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_light_changes_keep_size_and_depth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    strong = Appearance(shadow=1, blur=1, noise=1, jpeg=1)
    for changed in (change_appearance(image, strong, rng), distort_photometrically(image, rng)):
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8


def test_the_released_distortion_often_leaves_a_picture_alone() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    same = [np.array_equal(distort_photometrically(image, rng), image) for _ in range(800)]
    assert 0.03 < np.mean(same) < 0.1  # (1/2)⁴, each of four changes left out


@pytest.mark.parametrize(("ratio", "size_hw"), [(0.5, (362, 512)), (2.0, (1446, 2048))])
def test_the_released_resize_keeps_the_aspect(ratio: float, size_hw: tuple[int, int]) -> None:
    image, mask = np.zeros((384, 544, 3), np.uint8), np.zeros((384, 544), bool)
    box = (int(1024 * ratio), int(768 * ratio))
    resized, nearest = fit_into_box(image, mask, box)
    assert nearest.shape == resized.shape[:2]
    assert nearest.shape[1] == pytest.approx(size_hw[1], abs=1)
    assert nearest.shape[0] == pytest.approx(size_hw[0], abs=1)


def test_the_released_crop_looks_for_both_classes() -> None:
    image, mask = np.zeros((400, 400, 3), np.uint8), np.zeros((400, 400), bool)
    mask[:, 180:220] = True
    rng = np.random.default_rng(3)
    crops = [balanced_crop(image, mask, 100, 0.99, rng)[1] for _ in range(50)]
    assert np.mean([crop.any() for crop in crops]) > 0.9


def test_padding_is_the_mean_colour_and_ignored() -> None:
    image, mask = np.zeros((3, 4, 3), np.uint8), np.ones((3, 4), bool)
    padded, labels = pad_to_square(image, mask, 6, (1.0, 2.0, 3.0))
    assert padded.shape == (6, 6, 3)
    assert (padded[3:] == (1, 2, 3)).all()
    assert (labels[:3, :4] == 1).all()
    assert (labels == 255).sum() == 36 - 12
