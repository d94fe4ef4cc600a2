"""One-to-one matching against trying everything, and against a matching for each threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from fissura.metrics import CrackCounts, Thresholds, matched_histograms


def most_pairs(near: np.ndarray) -> int:
    """Largest matching of a small A×B table by trying every choice of the first row."""
    if not near.size:
        return 0
    rest = most_pairs(near[1:])
    takes = (1 + most_pairs(np.delete(near[1:], b, axis=1)) for b in np.flatnonzero(near[0]))
    return max(rest, *takes) if near[0].any() else rest


codes_5x6 = arrays.arrays(np.uint16, (5, 6), elements=st.sampled_from([0, 0, 0, 0, 1, 2, 3]))
truth_5x6 = arrays.arrays(np.bool_, (5, 6), elements=st.sampled_from([False] * 6 + [True]))


@settings(deadline=None, max_examples=60)
@given(codes_5x6, truth_5x6, st.sampled_from([0, 1, 2]))
def test_matching_equals_trying_everything(codes, truth, tolerance):
    places = np.argwhere(truth)[:6]
    truth = np.zeros_like(truth)
    truth[tuple(places.T)] = True
    hit, miss, found = matched_histograms(codes, truth, tolerance, 4)
    for k in range(3):
        predicted = np.argwhere(codes > k)
        apart = ((places[:, None] - predicted[None]) ** 2).sum(-1)
        pairs_ = most_pairs(apart <= tolerance**2)
        assert hit[k + 1 :].sum() == found[k + 1 :].sum() == pairs_
        assert hit[k + 1 :].sum() + miss[k + 1 :].sum() == len(predicted)
    assert found.sum() == len(places)
    assert min(hit.min(), miss.min(), found.min()) >= 0


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([1, 2]))
def test_one_matching_serves_every_threshold_of_a_larger_picture(seed, tolerance):
    rng = np.random.default_rng(seed)
    truth = rng.random((16, 20)) < 0.15
    codes = rng.integers(0, 6, truth.shape).astype(np.uint16)
    hit, _, _ = matched_histograms(codes, truth, tolerance, 6)
    for k in range(5):
        a, b = np.argwhere(truth), np.argwhere(codes > k)
        near = ((a[:, None] - b[None]) ** 2).sum(-1) <= tolerance**2
        assert hit[k + 1 :].sum() == (maximum_bipartite_matching(csr_array(near)) >= 0).sum()


def test_without_tolerance_matching_changes_nothing():
    rng = np.random.default_rng(3)
    prediction, truth = rng.random((20, 24)), rng.random((20, 24)) < 0.2
    thresholds = Thresholds((0.2, 0.5, 0.9))
    plain, matched = CrackCounts(thresholds), CrackCounts(thresholds, (0,), matched_histograms)
    for tally in (plain, matched):
        tally.update(prediction, truth)
    for name in ("matched", "predicted", "found", "truth"):
        one, other = (getattr(t.compute()[0], name) for t in (plain, matched))
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="equal thresholds"):
        plain.merge(matched)
