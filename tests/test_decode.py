"""Logits become a crack map as the originals do it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from fissura.decode import crack_map, found_boxes, resample, sigmoid
from fissura.types import InputError, SettingError

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(source=SIZES, target=SIZES, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_resampling_is_torchs_bilinear(source, target, seed):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(seed).normal(0, 5, source).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size=target, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(resample(values, target), expected, atol=1e-4)


def test_published_chain_from_low_resolution_logits_to_the_original_picture():
    path = SHARED / "parity" / "cgnet" / "golden.npz"
    if not path.is_file():
        pytest.skip("the fixture ../shared/parity/cgnet is not beside this checkout")
    golden = np.load(path)
    low, full = golden["e2e_logits_lowres"][0], golden["e2e_logits"]
    network_hw = golden["e2e_network_input"].shape[2:]
    found = [
        resample(resample(plane.astype(np.float32), network_hw), full.shape[1:]) for plane in low
    ]
    assert np.abs(np.stack(found) - full).max() <= 1e-5 * np.abs(full).max()

    raw = {"logits": low.astype(np.float32)}
    probability = crack_map(raw, full.shape[1:], network_hw)
    margin = np.clip(full[1] - full[0], -50, 50)
    slack = 1e-5 * np.abs(full).max()  # The sigmoid's slope is at most 1/4.
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-margin)), atol=max(1e-6, slack / 4))
    np.testing.assert_array_equal(probability > 0.5, golden["e2e_pred"][0] == 1)


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_sigmoid_stays_in_bounds_and_never_overflows(value):
    (found,) = sigmoid(np.array([value], np.float32))
    assert 0 <= found <= 1
    assert found == pytest.approx(0.5 * (1 + np.tanh(0.5 * value)), abs=1e-6)


def test_crack_map_keeps_the_size_asked_for_and_leaves_its_input_alone():
    logits = np.zeros((2, 3, 5), np.float32)
    logits[1] = 4
    found = crack_map({"logits": logits}, (11, 19), (22, 38))
    assert found.shape == (11, 19)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-4)), rtol=1e-6)
    assert (logits[1] == 4).all()


def test_equal_logits_are_one_half():
    found = crack_map({"logits": np.full((2, 1, 1), 3, np.float32)}, (1, 1), (2, 2))
    assert found[0, 0] == 0.5


def test_one_logit_is_the_margin_itself_and_sides_can_be_asked_for():
    raw = {"logits": np.full((1, 2, 2), 2, np.float32), "side1": np.zeros((1, 2, 2), np.float32)}
    np.testing.assert_allclose(crack_map(raw, (4, 4), (2, 2)), 1 / (1 + np.exp(-2)), rtol=1e-6)
    assert (crack_map(raw, (4, 4), (2, 2), output="side1") == 0.5).all()


@pytest.mark.parametrize(
    "raw", [{}, {"boxes": np.zeros((2, 4, 4))}, {"logits": np.zeros((3, 4, 4))}]
)
def test_outputs_of_another_kind_are_refused(raw):
    with pytest.raises(InputError, match="one or two classes"):
        crack_map(raw, (8, 8), (8, 8))


@pytest.mark.parametrize("channels", [0, 4, 5])
def test_a_detector_without_classes_is_refused(channels):
    raw = {"boxes_raw": np.zeros((channels, 4, 4), np.float32)}
    with pytest.raises(SettingError, match="as a detector does; export it again"):
        found_boxes(raw, (8,), 0.1, 0.5)
