"""Pictures and boxes to a network's size and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fissura.letterbox import BORDER, Letterbox, Mode, fit_clip

SIDE = st.integers(1, 5000)
NETWORK = st.integers(2, 40).map(lambda n: 32 * n)
MODE = st.sampled_from(["letterbox", "stretch"])


@st.composite
def placed(draw: st.DrawFn) -> tuple[Letterbox, np.ndarray]:
    image_hw, network_hw = (draw(SIDE), draw(SIDE)), (draw(NETWORK), draw(NETWORK))
    corners = [draw(st.floats(0, 1)) for _ in range(4)]
    (x1, x2), (y1, y2) = sorted(corners[:2]), sorted(corners[2:])
    h, w = image_hw
    box = np.array([[x1 * w, y1 * h, x2 * w, y2 * h]])
    return Letterbox(image_hw, network_hw, draw(MODE)), box


@given(placed())
def test_there_and_back_is_where_it_was(case: tuple[Letterbox, np.ndarray]) -> None:
    letterbox, box = case
    back = letterbox.to_image(letterbox.to_network(box))
    np.testing.assert_allclose(back, box, rtol=1e-9, atol=1e-6)


@given(placed())
def test_boxes_stay_inside_the_picture(case: tuple[Letterbox, np.ndarray]) -> None:
    letterbox, box = case
    (nh, nw), (top, left) = letterbox.inner_hw, letterbox.corner_yx
    (h, w), ((x1, y1, x2, y2),) = letterbox.network_hw, letterbox.to_network(box)
    assert 0 <= top <= top + nh <= h
    assert 0 <= left <= left + nw <= w
    assert left - 1e-6 <= x1 <= x2 <= left + nw + 1e-6
    assert top - 1e-6 <= y1 <= y2 <= top + nh + 1e-6


@given(placed())
def test_released_inverse_is_near(case: tuple[Letterbox, np.ndarray]) -> None:
    """A pixel of the input or less, and nothing for stretch."""
    letterbox, box = case
    (nh, nw), (ih, iw) = letterbox.inner_hw, letterbox.image_hw
    if letterbox.mode == "letterbox" and min(iw / ih, ih / iw) < 0.01:
        return  # a strip whose width rounds to nothing
    there = letterbox.released_to_image(letterbox.to_network(box))
    allowed = 0 if letterbox.mode == "stretch" else 2
    pixel = np.array([iw / nw, ih / nh] * 2) * allowed
    assert (np.abs(there - box) <= pixel + 1e-6).all()


def test_released_inverse_agrees_for_full_hd() -> None:
    letterbox = Letterbox((1080, 1920), (512, 512))
    box = np.array([[10.0, 20.0, 500.0, 700.0]], np.float32)
    there = letterbox.released_to_image(letterbox.to_network(box))
    np.testing.assert_allclose(there, box, atol=1e-3)
    assert there.dtype == np.float32


@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
def test_picture_lies_where_its_boxes_do(mode: Mode) -> None:
    image = np.zeros((90, 160, 3), np.uint8)
    image[30:60, 40:120] = 255
    letterbox = Letterbox((90, 160), (64, 96), mode)
    fitted = letterbox.apply(image)
    assert fitted.shape == (64, 96, 3)
    (x1, y1, x2, y2) = letterbox.to_network(np.array([[40.0, 30, 120, 60]]))[0].round().astype(int)
    assert (fitted[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] > 240).all()
    outside = fitted.copy()
    outside[y1 - 2 : y2 + 2, x1 - 2 : x2 + 2] = 0
    top = letterbox.corner_yx[0]
    assert set(np.unique(outside[:top])) <= {BORDER}
    assert (outside[top : len(outside) - top] < 16).all()


def test_clip_of_mixed_sizes() -> None:
    images = [np.full((h, w, 3), 9, np.uint8) for h, w in ((90, 160), (64, 64), (160, 90))]
    clip = fit_clip(images, (64, 64))
    assert clip.shape == (3, 64, 64, 3)
    assert [int((frame == 9).all(2).sum()) for frame in clip] == [36 * 64, 64 * 64, 36 * 64]


def test_targets_in_float_and_as_released() -> None:
    letterbox = Letterbox((90, 160), (64, 64))
    boxes = np.array([[3.5, 5, 80, 30.9], [10, 10, 12, 60], [-9, -9, 0, 0]], np.float32)
    found, kept = letterbox.targets(boxes)
    np.testing.assert_allclose(found, letterbox.to_network(boxes)[:2], rtol=1e-6)
    assert kept.tolist() == [True, True, False]
    found, kept = letterbox.targets(boxes, released=True)
    assert kept.tolist() == [True, False, False]
    assert found.tolist() == [[1.0, 16.0, 31.0, 26.0]]
    empty, _ = letterbox.targets(np.zeros((0, 4), np.float32))
    assert empty.shape == (0, 4)


def test_targets_end_where_the_picture_does() -> None:
    letterbox = Letterbox((48, 64), (64, 64))  # the picture fills rows 8 to 56
    boxes = np.array([[0, -40, 30, 20], [-5, 40, 80, 90], [0, -9, 64, -1]], np.float32)
    found, kept = letterbox.targets(boxes)
    assert found.tolist() == [[0, 8, 30, 28], [0, 48, 64, 56]]
    assert kept.tolist() == [True, True, False]
    assert letterbox.targets(boxes, released=True)[0][:2].tolist() == [
        [0, 0, 30, 28],
        [0, 48, 64, 64],
    ]


def test_width_in_32_bits_is_not_cut_short() -> None:
    left, width = np.float32(1999.1), 5
    box = np.array([[left, 0, left + np.float32(width), 9]], np.float32)
    same = Letterbox((64, 2048), (64, 2048))
    assert same.targets(box, released=True)[0].tolist() == [[1999.0, 0.0, 2004.0, 9.0]]


def test_bicubic_is_pillows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    want = Image.fromarray(image).resize((64, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(Letterbox((40, 70), (32, 64), "stretch").apply(image), np.asarray(want))
