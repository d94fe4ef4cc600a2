"""Picture and mask move together; light changes leave the geometry alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fissura.augment import (
    VIEWS,
    Affine,
    Appearance,
    Distortion,
    Geometry,
    balanced_crop,
    blur_sometimes,
    change_appearance,
    distort,
    distort_photometrically,
    draw_box,
    draw_distortion,
    fit_into_box,
    flip_once,
    jitter_colour,
    mirror_distort_crop,
    move_sometimes,
    pad_to_square,
    random_crop,
    shift_brightness,
    shift_hue,
    squeeze,
    stretch_contrast,
    stretch_saturation,
    take_view,
    valid_rectangle,
    view_matrix,
    warp_twice,
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
def test_the_mask_follows_a_random_crop(seed: int, low: float, factor: float) -> None:
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
    for changed in (
        change_appearance(image, strong, rng),
        distort_photometrically(image, rng),
        blur_sometimes(jitter_colour(image, rng), rng),
    ):
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


# ---- Zou ------------------------------------------------------------------------------------


def noise(height: int, width: int) -> tuple[UInt8Image, BoolMask]:
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (height, width, 3), np.uint8), rng.random((height, width)) < 0.5


@given(height=st.integers(1, 1200), width=st.integers(1, 1200), angle=st.floats(0, 90))
def test_the_valid_rectangle_lies_inside_and_touches(height: int, width: int, angle: float) -> None:
    inner_h, inner_w = valid_rectangle((height, width), angle)
    assert inside(inner_h, inner_w, angle, height, width)
    if min(height, width) > 1:  # a larger rectangle of the same shape leaves the picture
        assert not inside(inner_h * 1.01 + 2, inner_w * 1.01 + 2, angle, height, width)


def inside(inner_h: float, inner_w: float, angle: float, height: int, width: int) -> bool:
    """Whether a centred rectangle of pixels, turned, stays between the outermost centres."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wide = (inner_w - 1) * cos + (inner_h - 1) * sin
    high = (inner_w - 1) * sin + (inner_h - 1) * cos
    return bool(wide <= width - 1 + 1e-6 and high <= height - 1 + 1e-6)


@given(
    height=st.integers(40, 900),
    width=st.integers(40, 900),
    index=st.integers(0, VIEWS - 1),
    share=st.floats(0.05, 1.0),
)
def test_no_view_looks_outside_where_it_fits(
    height: int, width: int, index: int, share: float
) -> None:
    side = max(1, int(share * min(valid_rectangle((height, width), index // 15 * 10))))
    corners = np.array([[x, y, 1] for x in (0, side - 1) for y in (0, side - 1)])
    x, y = view_matrix((height, width), index, side) @ corners.T
    assert x.min() > -1e-6
    assert y.min() > -1e-6
    assert x.max() < width - 1 + 1e-6
    assert y.max() < height - 1 + 1e-6


def test_a_picture_of_native_size_has_135_views() -> None:
    image, mask = noise(720, 960)
    views = [take_view(image, mask, index) for index in range(VIEWS)]
    assert VIEWS == 135
    assert all(view.shape == (512, 512, 3) and cut.shape == (512, 512) for view, cut in views)
    assert len({view.tobytes() for view, _ in views}) == VIEWS
    assert len({cut.tobytes() for _, cut in views}) == VIEWS


def test_an_unturned_view_is_cut_out_as_it_is() -> None:
    image, mask = noise(101, 140)
    places = [(0, 0), (0, 76), (37, 0), (37, 76), (18, 38)]
    for index, (top, left) in enumerate(places):
        window = slice(top, top + 64), slice(left, left + 64)
        for mirror, order in enumerate(((1, 1), (1, -1), (-1, 1))):
            view, cut = take_view(image, mask, 5 * mirror + index, 64)
            assert np.array_equal(view, image[window][:: order[0], :: order[1]])
            assert np.array_equal(cut, mask[window][:: order[0], :: order[1]])


@pytest.mark.parametrize("size_hw", [(90, 120), (120, 90), (30, 200), (20, 20)])
def test_the_mask_follows_every_view(size_hw: tuple[int, int]) -> None:
    """Also where the picture is smaller than the view and goes on by reflection."""
    full = blob()[1]
    mask = np.zeros(size_hw, bool)
    mask[:90, :120] = full[: size_hw[0], : size_hw[1]]
    mask[5:15, 2:12] = True
    image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    for index in range(VIEWS):
        view, cut = take_view(image, mask, index, 64)
        assert np.array_equal(view[..., 0] > 127, cut)
        assert cut.any() or max(size_hw) > 64


def test_there_is_no_view_136() -> None:
    with pytest.raises(ValueError, match="there are 0…134"):
        take_view(*blob(), 135)


@given(st.integers(0, 255), st.integers(-40, 40))
def test_each_step_of_colour_clips_and_truncates(grey: int, shift: int) -> None:
    """On an even grey picture contrast and saturation have nothing to stretch."""
    image = np.full((8, 9, 3), grey, np.uint8)
    brighter = int(np.clip(grey + shift + 0.75, 0, 255))
    assert (shift_brightness(image, shift + 0.75) == brighter).all()
    factor = 1 + shift / 80
    for stretched in (stretch_contrast(image, factor), stretch_saturation(image, factor)):
        assert abs(stretched.astype(int) - grey).max() <= 1
    assert np.array_equal(shift_hue(image, factor), image)


def test_hue_can_take_red_for_blue() -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    third = 1 / 3
    assert shift_hue(red, third)[0, 0].argmax() == 1  # red → green
    assert shift_hue(red, third, red_as_blue=True)[0, 0].argmax() == 2  # "blue" → "red", at blue


def test_little_of_what_is_drawn_is_blurred() -> None:
    image, _ = noise(20, 20)
    rng = np.random.default_rng(0)
    blurred = [not np.array_equal(blur_sometimes(image, rng), image) for _ in range(2000)]
    assert np.mean(blurred) == pytest.approx(0.2 + 0.8 * 0.15 + 0.8 * 0.85 * 0.1, abs=0.03)


def test_one_picture_in_sixteen_keeps_its_colour() -> None:
    image, _ = noise(20, 20)
    rng = np.random.default_rng(0)
    same = [np.array_equal(jitter_colour(image, rng), image) for _ in range(1000)]
    assert np.mean(same) == pytest.approx(1 / 16, abs=0.03)


# ---- Liu ------------------------------------------------------------------------------------


def test_squeezing_keeps_no_aspect() -> None:
    image, mask = blob()
    small, cut = squeeze(image, mask, (64, 40))
    assert small.shape == (40, 64, 3)
    assert np.mean((small[..., 0] > 127) != cut) == 0
    assert cut.mean() == pytest.approx(mask.mean(), rel=0.1)


def test_at_most_one_flip() -> None:
    image, mask = blob()
    rng = np.random.default_rng(0)
    flips = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
    counts = np.zeros(4)
    for _ in range(600):
        flipped, cut = flip_once(image, mask, rng)
        assert np.array_equal(flipped[..., 0] > 127, cut)
        counts += [np.array_equal(flipped, one) for one in flips]
    assert counts / 600 == pytest.approx([0.5, 0.25, 0.25, 0], abs=0.06)


def test_moving_leaves_black_outside_and_half_of_the_pictures_alone() -> None:
    image, mask = blob()
    rng = np.random.default_rng(0)
    moved = [move_sometimes(image, mask, rng) for _ in range(100)]
    assert np.mean([np.array_equal(view, image) for view, _ in moved]) == pytest.approx(
        0.5, abs=0.2
    )
    assert all(np.array_equal(view[..., 0] > 127, cut) for view, cut in moved)
    white = np.full((30, 40), 255, np.uint8)
    shifted = warp_twice(white, Affine(0, 1, (5, -3)))
    assert (shifted[:27, 5:] == 255).all()
    assert shifted.astype(int).sum() == 255 * 27 * 35


@pytest.mark.parametrize("change", [flip_once, move_sometimes])
def test_the_same_generator_gives_the_same_change(change: object) -> None:
    assert callable(change)
    twice = [change(*blob(), np.random.default_rng(4)) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*twice, strict=True))


# ---- CSSR ----------------------------------------------------------------------------------


@given(seed=st.integers(0, 9999))
def test_cssr_colours_stay_within_range_unless_as_released(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (9, 7, 3)).astype(np.float32)
    change = draw_distortion(rng)
    changed = distort(image, change)
    assert changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 255  # noqa: PT018
    np.testing.assert_allclose(distort(image, Distortion()), image, atol=0.01)
    strong = Distortion(contrast=1.5, saturation=1.5)
    assert distort(image, strong, clip=False).min() < 0 <= distort(image, strong).min()


@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 9999))
def test_cssr_boxes_are_squares_inside_the_picture(height: int, width: int, seed: int) -> None:
    box = draw_box((height, width), np.random.default_rng(seed))
    assert box.height == box.width > 0
    assert 0 <= box.top <= height - box.height
    assert 0 <= box.left <= width - box.width
    if height == width:
        assert box.height >= round(0.6**0.5 * width - 0.5)


@given(seed=st.integers(0, 9999))
def test_cssr_moves_picture_and_mask_together(seed: int) -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 25:60] = True
    image = np.where(mask, np.uint8(255), np.uint8(0))[..., None].repeat(3, axis=2)
    rng = np.random.default_rng(seed)
    colour, truth = mirror_distort_crop(image, mask, 32, rng)
    assert colour.shape == (32, 32, 3)
    assert truth.shape == (32, 32)
    assert 0.1 < truth.mean() < 1
    if truth.all():
        return
    assert colour[truth].mean() > colour[~truth].mean() + 30
