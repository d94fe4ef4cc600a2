"""PSNR, SSIM and surface distances against what they are defined as."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import structural_similarity

from fissura.evaluate import PROTOCOLS
from fissura.metrics import (
    CURVE_SCORES,
    Draws,
    hausdorff,
    hd95,
    hd95_curve,
    psnr_rgb,
    ssim_zero_pad,
)
from fissura.metrics.surface import contour
from fissura.types import BoolMask

pair = st.shared(st.tuples(st.integers(1, 9), st.integers(1, 9)), key="size")
masks = arrays(bool, pair)
seeds = st.integers(0, 999)


def pictures(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.random((20, 26, 3))
    return first, np.clip(first + 0.1 * rng.standard_normal(first.shape), 0, 1)


# ---- PSNR and SSIM -------------------------------------------------------------------------


@given(seeds)
def test_psnr_does_not_mind_order_mirrors_or_channels(seed: int) -> None:
    a, b = pictures(seed)
    value = psnr_rgb(a, b)
    assert value == pytest.approx(10 * math.log10(1 / np.mean((a - b) ** 2)))
    changes = (a[::-1], b[::-1]), (a.transpose(1, 0, 2), b.transpose(1, 0, 2)), (1 - a, 1 - b)
    for x, y in ((b, a), (a[..., ::-1], b[..., ::-1]), *changes):
        assert psnr_rgb(x, y) == pytest.approx(value)


def test_psnr_of_a_grey_level_and_of_nothing() -> None:
    a = np.zeros((8, 8, 3))
    assert psnr_rgb(a, a + 1 / 255) == pytest.approx(48.1308, abs=1e-4)
    assert psnr_rgb(a, a) == math.inf
    assert psnr_rgb(a, a + 1) == 0


@given(seeds)
def test_ssim_does_not_mind_order_or_mirrors(seed: int) -> None:
    a, b = pictures(seed)
    value = ssim_zero_pad(a, b)
    assert -1 <= value < 1
    for x, y in ((b, a), (a[::-1], b[::-1]), (a.transpose(1, 0, 2), b.transpose(1, 0, 2))):
        assert ssim_zero_pad(x, y) == pytest.approx(value, rel=1e-9)
    assert ssim_zero_pad(a, a) == pytest.approx(1)
    planes = [ssim_zero_pad(a[..., k], b[..., k]) for k in range(3)]
    assert value == pytest.approx(np.mean(planes))


@given(seeds)
def test_ssim_of_pictures_in_a_black_frame_is_that_of_scikit_image(seed: int) -> None:
    """Where zeros surround the picture anyway, padding with them adds nothing."""
    a, b = (np.pad(values[..., 0], 12) for values in pictures(seed))
    want = structural_similarity(
        a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    inner = slice(5, -5), slice(5, -5)  # scikit-image averages without the rim
    rim = 1 - (a[inner].size / a.size)
    assert ssim_zero_pad(a, b) == pytest.approx(want * (1 - rim) + rim, rel=1e-9)


# ---- surfaces ------------------------------------------------------------------------------


def distances(a: BoolMask, b: BoolMask) -> np.ndarray:
    """From each pixel of one mask to the nearest of the other."""
    p, q = np.argwhere(a), np.argwhere(b)
    return np.asarray(np.hypot(*(p[:, None] - q[None]).transpose(2, 0, 1)).min(axis=1))


@given(masks, masks)
def test_surface_distances_are_the_brute_force_ones(a: BoolMask, b: BoolMask) -> None:
    if not a.any() or not b.any():
        assert hausdorff(a, b) == math.inf
        assert hd95(a, b) == (0 if a.any() == b.any() else math.hypot(*a.shape))
        return
    assert hausdorff(a, b) == pytest.approx(max(distances(a, b).max(), distances(b, a).max()))
    c, d = contour(a), contour(b)
    want = max(np.percentile(distances(*two), 95) for two in ((c, d), (d, c)))
    assert hd95(a, b) == pytest.approx(want, rel=1e-6, abs=1e-6)


@given(masks, masks)
def test_hd95_is_a_distance(a: BoolMask, b: BoolMask) -> None:
    assert hd95(a, b) == hd95(b, a) >= 0
    assert hd95(a, a) == 0
    assert hd95(a, b) <= math.hypot(*a.shape)
    assert hd95(a, b, percent=50) <= hd95(a, b) <= hd95(a, b, percent=100)


def test_contours_follow_the_edge_of_mask_and_picture() -> None:
    full = np.ones((4, 5), bool)
    assert contour(full).sum() == 14
    block = np.zeros((7, 7), bool)
    block[1:6, 1:6] = True
    assert contour(block).sum() == 16
    assert not contour(block)[2:5, 2:5].any()


def test_one_empty_mask_is_as_far_as_it_is_said_to_be() -> None:
    crack, nothing = np.eye(6, 8, dtype=bool), np.zeros((6, 8), bool)
    assert hd95(crack, nothing) == hd95(nothing, crack) == 10
    assert hd95(crack, nothing, missing=8) == 8
    assert hd95(nothing, nothing, missing=8) == 0


def test_the_curve_is_hd95_at_every_threshold() -> None:
    soft = np.random.default_rng(5).random((12, 16), np.float32)
    truth = soft > 0.8
    thresholds = (0.1, 0.5, 0.8, 0.9, 1.0)
    curve = hd95_curve(soft, truth, thresholds)
    assert curve.tolist() == [hd95(soft >= t, truth) for t in thresholds]
    assert curve.argmin() == 2
    assert curve[-1] == 20


# ---- IoU over thresholds -------------------------------------------------------------------


def slow_table(pairs: list[tuple[np.ndarray, BoolMask]], thresholds: np.ndarray) -> np.ndarray:
    """IoU of every picture, threshold after threshold."""
    rows = []
    for soft, truth in pairs:
        claims = [soft >= threshold for threshold in thresholds]
        rows.append([((c & truth).sum() + 1e-5) / ((c | truth).sum() + 1e-5) for c in claims])
    return np.array(rows)


@given(seeds)
def test_aiu_equals_the_loop_over_thresholds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    thresholds = (np.arange(1, 100) / 100).astype(np.float32)
    pairs = []
    for share in (0.0, 0.05, 0.5, 1.0):
        soft = rng.random((13, 17), np.float32)
        exact = rng.random(soft.shape) < 0.3  # on a threshold
        soft[exact] = rng.choice(thresholds, int(exact.sum()))
        pairs.append((soft, rng.random(soft.shape) < share))
    protocol = PROTOCOLS["cssr"]
    tally = protocol.tally(None)
    for soft, truth in pairs:
        tally.update(protocol.encode(soft), truth)
    draws = Draws(protocol.thresholds, tally.compute()[0], np.ones((1, len(pairs))))
    table = slow_table(pairs, thresholds)
    assert CURVE_SCORES["aiu"](draws)[0] == pytest.approx(table.mean(), abs=1e-12)
    assert CURVE_SCORES["iou_max"](draws)[0] == pytest.approx(table.mean(axis=0).max(), abs=1e-12)
