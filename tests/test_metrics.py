"""Histogram counts against the loop over thresholds they replace, and against recorded numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from parity import fixtures

from fissura.metrics import (
    CURVE_SCORES,
    POINT_SCORES,
    Counts,
    CrackCounts,
    Draws,
    Thresholds,
    percentile_interval,
    resample_weights,
)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "parity"


def parity(name: str) -> dict[str, np.ndarray]:
    folders = fixtures.find(name, SHARED)
    if not folders:
        pytest.skip(f"no recorded metric values of {name} in {fixtures.root(SHARED)}")
    folder = folders[0]
    tell = json.loads((folder / "golden.json").read_text())["arrays"]
    stored = np.load(folder / "golden.npz")
    found = {key: stored[key] for key in tell if key in stored}
    if not any(key.startswith(("metric", "eval")) for key in found):
        pytest.skip(f"{folder} records no metric values")
    return found


def brute_counts(prob, truth, passes, tolerance):
    """Independent: pairwise distances between pixel centres, one threshold at a time."""
    places = np.argwhere(np.ones_like(truth))
    near = ((places[:, None] - places[None]) ** 2).sum(-1) <= tolerance**2
    flat = truth.ravel()
    rows = []
    for passed in passes:
        p = passed(prob).ravel()
        matched = (p & (near & flat).any(1)).sum()
        found = (flat & (near & p).any(1)).sum()
        rows.append((matched, p.sum(), found, flat.sum()))
    return np.array(rows)


def as_rows(counts: Counts, image: int = 0) -> np.ndarray:
    columns = np.broadcast_arrays(
        counts.matched[image], counts.predicted[image], counts.found[image], counts.truth[image]
    )
    return np.stack(columns, -1)


def draws(counts: Counts, thresholds: Thresholds) -> Draws:
    return Draws(thresholds, counts, np.ones((1, len(counts.pixels))))


maps = arrays.arrays(
    np.float32, (7, 9), elements=st.sampled_from([0, 0.1, 0.2, 0.25, 0.5, 0.75, 0.9, 1])
)
masks = arrays.arrays(np.bool_, (7, 9), elements=st.sampled_from([False, False, False, True]))


@settings(deadline=None, max_examples=60)
@given(maps, masks, st.sampled_from([0, 1, 1.5, 2, 5]), st.booleans())
def test_histograms_equal_the_loop_over_thresholds(prob, truth, tolerance, strict):
    values = (0.0, 0.1, 0.25, 0.5, 0.8, 0.99)
    tally = CrackCounts(Thresholds(values, strict), (tolerance,))
    tally.update(prob, truth)
    passes = [(lambda p, t=t: p > t) if strict else (lambda p, t=t: p >= t) for t in values]
    expected = brute_counts(prob.astype(float), truth, passes, tolerance)
    np.testing.assert_array_equal(as_rows(tally.compute()[tolerance]), expected)


@settings(deadline=None, max_examples=40)
@given(maps, masks, masks, st.sampled_from([0, 2]))
def test_nothing_exists_outside_the_valid_region(prob, truth, valid, tolerance):
    thresholds = Thresholds((0.1, 0.5))
    inside, reference = (CrackCounts(thresholds, (tolerance,)) for _ in range(2))
    inside.update(prob, truth, valid)
    reference.update(np.where(valid, prob, 0), truth & valid)
    got, want = inside.compute()[tolerance], reference.compute()[tolerance]
    np.testing.assert_array_equal(as_rows(got), as_rows(want))
    assert got.pixels[0, 0] == valid.sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_numbers_stand_for_their_share_of_the_full_range(dtype):
    top = np.iinfo(dtype).max
    thresholds = Thresholds(tuple(k / 1000 for k in range(1000)))
    stored = np.linspace(0, top, 3001).astype(dtype).reshape(1, -1)
    np.testing.assert_array_equal(thresholds.codes(stored), thresholds.codes(stored / top))


def test_a_thousand_thresholds_tell_all_8_bit_values_apart():
    codes = Thresholds(tuple(k / 1000 for k in range(1000))).codes(np.arange(256, dtype=np.uint8))
    assert len(np.unique(codes)) == 256


def random_tally(n: int, seed: int, tolerances=(0, 2)) -> CrackCounts:
    rng = np.random.default_rng(seed)
    tally = CrackCounts(Thresholds(tuple(k / 100 for k in range(100))), tolerances)
    for _ in range(n):
        truth = rng.random((20, 24)) < 0.1
        tally.update(np.clip(0.5 * truth + 0.6 * rng.random(truth.shape), 0, 1), truth)
    return tally


def test_merged_counts_equal_counts_taken_together():
    together = random_tally(3, 1)
    parts = random_tally(3, 1)
    single = CrackCounts(parts.thresholds, parts.tolerances)
    single.merge(parts)
    assert len(single) == 3
    for tolerance, counts in together.compute().items():
        np.testing.assert_array_equal(as_rows(counts), as_rows(single.compute()[tolerance]))
    single.reset()
    assert len(single) == 0
    with pytest.raises(ValueError, match="equal thresholds"):
        single.merge(CrackCounts(Thresholds((0.5,))))


def test_empty_pictures_have_defined_scores():
    tally = CrackCounts(Thresholds((0.5,)), (0, 2))
    empty, full = np.zeros((4, 5), np.float32), np.ones((4, 5), np.float32)
    tally.update(empty, empty > 0)
    tally.update(full, empty > 0)
    tally.update(empty, full > 0)
    for counts in tally.compute().values():
        assert POINT_SCORES["precision"](counts, 1.0).ravel().tolist() == [1, 0, 1]
        assert POINT_SCORES["recall"](counts, 1.0).ravel().tolist() == [1, 1, 0]
        assert POINT_SCORES["f1"](counts, 1.0).ravel().tolist() == [1, 0, 0]
    strict = tally.compute()[0]
    assert POINT_SCORES["crack_iou"](strict, 1.0).ravel().tolist() == [1, 0, 0]
    assert POINT_SCORES["mean_iou"](strict, np.nan).ravel().tolist() == [1, 0, 0]
    assert POINT_SCORES["class_accuracy"](strict, np.nan).ravel().tolist() == [1, 0, 0]


def test_weights_stand_for_repeated_pictures():
    tally = random_tally(3, 2)
    counts = tally.compute()[2]
    repeated = draws(counts.rows(np.array([0, 0, 2])), tally.thresholds)
    weighted = Draws(tally.thresholds, counts, np.array([[2.0, 0.0, 1.0]]))
    for score in CURVE_SCORES.values():
        np.testing.assert_allclose(score(repeated), score(weighted), rtol=1e-12)


def test_average_precision_is_the_sum_of_precision_times_gained_recall():
    tally = random_tally(2, 3, (0,))
    counts = tally.compute()[0]
    p = [counts.matched[:, k].sum() / counts.predicted[:, k].sum() for k in range(60)]
    r = [counts.found[:, k].sum() / counts.truth.sum() for k in range(60)]
    tally_60 = Thresholds(tally.thresholds.values[:60])
    cut = Counts(
        *(a[:, :60] for a in (counts.matched, counts.predicted, counts.found)),
        counts.truth,
        counts.pixels,
    )
    expected = sum(p[k] * (r[k] - r[k + 1]) for k in range(59)) + p[59] * r[59]
    assert CURVE_SCORES["ap"](draws(cut, tally_60))[0] == pytest.approx(expected, rel=1e-12)


def test_resampled_intervals_are_seeded_and_hold_the_score():
    tally = random_tally(40, 4)
    weights = resample_weights(40, 500, seed=7)
    assert (weights.sum(1) == 40).all()
    np.testing.assert_array_equal(weights, resample_weights(40, 500, seed=7))
    resampled = CURVE_SCORES["ods"](Draws(tally.thresholds, tally.compute()[0], weights))
    low, high = percentile_interval(resampled)
    score = CURVE_SCORES["ods"](draws(tally.compute()[0], tally.thresholds))[0]
    assert low < score < high < low + 0.1


def test_a_standard_error_of_a_mean_is_met():
    tally = random_tally(60, 5)
    one = tally.compute()[0].at(50)
    f1 = POINT_SCORES["f1"](one, 1.0)
    weights = resample_weights(60, 4000, seed=1)
    means = Draws(tally.thresholds, one, weights).mean(f1)
    assert means.std() == pytest.approx(f1.std() / np.sqrt(60), rel=0.1)


def test_sweep_recorded_from_the_release_of_liu():
    z = parity("deepcrack_liu")
    thresholds = Thresholds(tuple(np.arange(0.0, 1.0, 0.01)))
    tally = CrackCounts(thresholds)
    for prediction, label in zip(z["metric_pred_uint8"], z["metric_gt_uint8"], strict=True):
        tally.update(prediction, label > 127)
    all_images = draws(tally.compute()[0], thresholds)

    def sweep(*names):
        scores = [POINT_SCORES[name](all_images.pooled, np.nan)[0] for name in names]
        return np.stack([thresholds.values, *scores], 1)

    got = sweep("precision", "recall", "f1")
    np.testing.assert_allclose(got, z["metric_prf"], rtol=1e-12)
    got = sweep("accuracy", "class_accuracy", "mean_iou")
    np.testing.assert_allclose(got, z["metric_sem"], rtol=1e-12)
    best = z["metric_best"]
    assert CURVE_SCORES["ods"](all_images)[0] == pytest.approx(best[3], rel=1e-12)
    assert CURVE_SCORES["best_mean_iou"](all_images)[0] == pytest.approx(best[7], rel=1e-12)


@pytest.mark.parametrize("region", [False, True])
def test_tolerant_counts_recorded_for_zou(region):
    z = parity("deepcrack_zou")
    thresholds = Thresholds(tuple(np.arange(1, 100) / 100))
    tally = CrackCounts(thresholds, (2,))
    for prediction, label, area in zip(
        z["eval_pred_uint8"], z["eval_gt_uint8"], z["eval_region_uint8"], strict=True
    ):
        tally.update(prediction, label > 127, area > 127 if region else None)
    counts = tally.compute()[2]
    got = np.stack([as_rows(counts, i) for i in range(len(tally))])
    np.testing.assert_array_equal(got, z["eval_counts_region" if region else "eval_counts"])
    names = ("ods", "ois", "ap_interpolated")
    summary = [CURVE_SCORES[name](draws(counts, thresholds))[0] for name in names]
    np.testing.assert_allclose(summary, z["eval_summary"][int(region)][[0, 3, 6]], rtol=1e-12)


def test_class_scores_recorded_for_cgnet():
    z = parity("cgnet")
    thresholds = Thresholds((0.5,))
    tally = CrackCounts(thresholds)
    for prediction, label in zip(z["metric_pred_uint8"], z["metric_gt_uint8"], strict=True):
        tally.update(prediction * np.uint8(255), label == 1, label != 255)
    pooled = draws(tally.compute()[0], thresholds).pooled
    order = (
        "accuracy",
        "background_iou",
        "crack_iou",
        "mean_iou",
        "",
        "",
        "class_accuracy",
        "",
        "precision",
        "",
        "recall",
        "",
        "f1",
    )
    for name, expected in zip(order, z["metric_values"], strict=True):
        if name:
            assert POINT_SCORES[name](pooled, np.nan)[0, 0] == pytest.approx(expected, rel=1e-6)


def test_iou_over_thresholds_recorded_for_cssr():
    z = parity("cssr")
    values = (np.arange(1, 100) / 100).astype(np.float32).astype(float)
    thresholds = Thresholds(tuple(values), strict=False)
    tally = CrackCounts(thresholds)
    for prediction, target in zip(z["metric.prob"], z["loss.target"], strict=True):
        tally.update(prediction[0], target[0] > 0.5)
    found = draws(tally.compute()[0], thresholds)
    table = POINT_SCORES["smooth_iou"](found.images, 1.0)
    np.testing.assert_allclose(table, z["metric.iou_table"], rtol=1e-12)
    assert CURVE_SCORES["aiu"](found)[0] == pytest.approx(float(z["metric.aiu"]), rel=1e-12)


def test_thresholds_must_rise():
    with pytest.raises(ValueError, match="rising"):
        Thresholds((0.5, 0.5))
    assert Thresholds((0.1, 0.5)).including(0.3).values == (0.1, 0.3, 0.5)
    assert Thresholds((0.1, 0.5)).including(0.5).values == (0.1, 0.5)
