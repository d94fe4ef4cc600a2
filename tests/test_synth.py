"""Rendered cracks: the truth that comes with the picture is the truth."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fissura.synth import TEXTURES, CrackSpec, RenderedCrack, render_crack, render_wall, write_demo
from fissura.synth.cracks import polygon_coverage
from fissura.synth.textures import to_linear, to_srgb
from fissura.types import InputError

SMALL = (160, 200)


def bare(**changes: object) -> CrackSpec:
    """A crack on an even surface, without noise, in linear light."""
    fixed = {"size_hw": SMALL, "texture": "plain", "noise": 0.0, "encoding": "linear"}
    return CrackSpec(**{**fixed, **changes})


def drawn_area(crack: RenderedCrack) -> float:
    """Length times width, summed along the centrelines."""
    total = 0.0
    for xy, width in zip(crack.centrelines_xy, crack.widths_px, strict=True):
        steps = np.hypot(*np.diff(xy.astype(np.float64), axis=0).T)
        total += float((steps * (width[1:] + width[:-1]) / 2).sum())
    return total


@pytest.mark.parametrize("texture", TEXTURES)
def test_same_seed_gives_the_same_picture_and_another_seed_another(texture):
    spec = CrackSpec(size_hw=SMALL, texture=texture, wander=0.3, branches=1, roughness_px=0.5)
    one, two, other = render_crack(spec, 3), render_crack(spec, 3), render_crack(spec, 4)
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.coverage, two.coverage)
    assert one.length_px == two.length_px
    assert not np.array_equal(one.image, other.image)
    assert one.image.shape == (*SMALL, 3)
    assert one.image.dtype == np.uint8
    assert np.array_equal(one.mask, one.coverage >= 0.5)
    assert one.image[one.mask].mean() < 0.7 * one.image[one.coverage == 0].mean()


@pytest.mark.parametrize("encoding", ["srgb", "linear"])
def test_the_crack_does_not_depend_on_how_it_is_photographed(encoding):
    sharp = CrackSpec(size_hw=SMALL, blur_px=0, noise=0)
    soft = CrackSpec(size_hw=SMALL, blur_px=2, noise=3, texture="rubber", encoding=encoding)
    assert np.array_equal(render_crack(sharp, 5).coverage, render_crack(soft, 5).coverage)


def touches_itself(path_xy, width):
    """Whether the path comes back to within its width after going further than half a circle."""
    steps = np.linalg.norm(np.diff(path_xy.astype(float), axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    apart = np.linalg.norm(path_xy[:, None].astype(float) - path_xy[None], axis=2)
    gone = np.abs(along[:, None] - along[None])
    return bool((apart[gone > np.pi / 2 * width + 1] < width).any())


@settings(deadline=None, max_examples=60)
@given(
    width=st.floats(0.8, 16),
    angle=st.floats(-180, 360),
    wander=st.floats(0, 0.6),
    seed=st.integers(0, 2**31),
)
@example(width=1.0, angle=0.0, wander=0.59375, seed=1821)  # crosses itself
def test_coverage_adds_up_to_length_times_width(width, angle, wander, seed):
    spec = bare(width_px=width, angle_deg=angle, wander=wander, length_px=90, centre_xy=(100, 80))
    crack = render_crack(spec, seed)
    assert crack.length_px == pytest.approx(90, rel=1e-4)
    assume(not touches_itself(crack.centrelines_xy[0], width))  # the area there counts once
    assert crack.coverage.sum(dtype=float) == pytest.approx(90 * width, rel=0.005)
    assert crack.coverage.min() >= 0
    assert crack.coverage.max() <= 1


@settings(deadline=None, max_examples=25)
@given(
    start=st.floats(1, 12), end=st.floats(1, 12), taper=st.floats(0, 30), seed=st.integers(0, 9999)
)
def test_width_profile_and_tapered_ends_are_in_the_truth(start, end, taper, seed):
    widths = (start, end)
    spec = bare(width_px=widths, length_px=100, taper_px=taper, centre_xy=(100, 80), wander=0.2)
    crack = render_crack(spec, seed)
    assert crack.coverage.sum(dtype=float) == pytest.approx(drawn_area(crack), rel=0.005)
    (width,) = crack.widths_px
    middle = len(width) // 2
    assert width[middle] == pytest.approx((start + end) / 2, rel=0.02)
    assert (width[0] == 0) == (taper > 0)


@pytest.mark.parametrize("angle", [0, 12, 30, 57, 90, 123, 160])
@pytest.mark.parametrize("width", [0.9, 3.3, 11.0])
def test_a_straight_crack_through_the_image_has_parallel_sides_at_the_right_place(angle, width):
    spec = bare(width_px=width, angle_deg=angle, centre_xy=(101.3, 78.6))
    crack = render_crack(spec)
    y, x = (np.mgrid[: SMALL[0] * 10, : SMALL[1] * 10] + 0.5) / 10
    turn = np.deg2rad(angle)
    off = np.sin(turn) * (x - 101.3) + np.cos(turn) * (y - 78.6)
    brute = (np.abs(off) <= width / 2).reshape(SMALL[0], 10, SMALL[1], 10).mean((1, 3))
    assert np.abs(crack.coverage - brute).max() < 0.11
    assert np.abs(crack.coverage - brute).mean() < 0.001
    assert crack.coverage.sum(dtype=float) == pytest.approx(crack.length_px * width, rel=0.001)
    (line,) = crack.centrelines_xy
    away = np.sin(turn) * (line[:, 0] - 101.3) + np.cos(turn) * (line[:, 1] - 78.6)
    assert np.abs(away).max() < 1e-4
    ends = line[[0, -1]]
    on_border = np.isclose(ends, 0, atol=1e-4) | np.isclose(ends, SMALL[::-1], atol=1e-4)
    assert on_border.any(axis=1).all()


def test_upright_crack_covers_exact_column_shares():
    crack = render_crack(bare(width_px=3.5, angle_deg=90, centre_xy=(100.25, 80)))
    expected = np.zeros(SMALL[1])
    expected[98:103] = 0.5, 1, 1, 1, 0
    assert np.allclose(crack.coverage, expected, atol=1e-6)
    assert crack.length_px == pytest.approx(SMALL[0])


@pytest.mark.parametrize("blur", [0.4, 0.8, 1.5])
@pytest.mark.parametrize("width", [5.0, 8.3])
def test_edges_of_the_picture_lie_at_half_darkness(blur, width):
    spec = bare(width_px=width, angle_deg=90, blur_px=blur, centre_xy=(100.3, 80))
    grey = render_crack(spec).image.astype(float).mean(axis=(0, 2))
    profile, half = 1 - grey / grey.max(), spec.contrast / 2
    place = np.arange(len(profile)) + 0.5
    left = np.interp(half, profile[90:101], place[90:101])
    right = np.interp(-half, -profile[100:112], place[100:112])
    assert left == pytest.approx(100.3 - width / 2, abs=0.08)
    assert right == pytest.approx(100.3 + width / 2, abs=0.08)


def test_blur_keeps_the_total_darkness():
    spec = {"width_px": 4, "length_px": 80, "centre_xy": (100, 80), "wander": 0.2}
    lost = []
    for blur in (0.0, 0.8, 2.5):
        grey = render_crack(bare(blur_px=blur, **spec)).image.astype(float)
        lost.append((grey.max() - grey).sum())
    assert lost[1] == pytest.approx(lost[0], rel=0.005)
    assert lost[2] == pytest.approx(lost[0], rel=0.005)


@settings(deadline=None, max_examples=40)
@given(
    corners=st.lists(st.tuples(st.floats(-9, 39), st.floats(-9, 29)), min_size=3, max_size=3),
)
def test_polygon_coverage_agrees_with_counting_points(corners):
    outline = np.array(corners, float)
    y, x = (np.mgrid[: 20 * 16, : 30 * 16] + 0.5) / 16
    sides = []
    for (ax, ay), (bx, by) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        sides.append((bx - ax) * (y - ay) - (by - ay) * (x - ax))
    inside = np.all(np.array(sides) > 0, axis=0) | np.all(np.array(sides) < 0, axis=0)
    counted = inside.reshape(20, 16, 30, 16).mean((1, 3))
    assert np.abs(polygon_coverage(outline, (20, 30)) - counted).max() < 0.13


def test_polygon_coverage_of_a_known_triangle_and_of_nothing():
    triangle = np.array([[2.0, 1.0], [8.5, 1.0], [2.0, 6.25]])
    assert polygon_coverage(triangle, (8, 10)).sum() == pytest.approx(6.5 * 5.25 / 2, abs=1e-5)
    assert polygon_coverage(triangle + 100, (8, 10)).sum() == 0
    assert polygon_coverage(triangle - 100, (8, 10)).sum() == 0


def test_branches_add_to_the_length_and_stay_connected_to_the_trunk():
    for seed in range(4):
        alone = render_crack(bare(width_px=5, wander=0.2), seed)
        crack = render_crack(bare(width_px=5, wander=0.2, branches=2), seed)
        assert len(crack.centrelines_xy) >= 3
        assert crack.length_px > alone.length_px + 20
        trunk = crack.centrelines_xy[0]
        for branch in crack.centrelines_xy[1:3]:
            assert np.hypot(*(trunk - branch[0]).T).min() < 0.3
        assert crack.coverage.sum() > alone.coverage.sum()
        assert crack.coverage.sum() <= drawn_area(crack) * 1.02


@pytest.mark.parametrize("rough", [0.5, 2.0])
def test_rough_edges_change_the_outline_but_not_the_truth(rough):
    spec = bare(width_px=6, length_px=120, centre_xy=(100, 80), roughness_px=rough)
    crack = render_crack(spec, 2)
    assert crack.coverage.sum(dtype=float) == pytest.approx(drawn_area(crack), rel=0.005)
    assert np.std(crack.widths_px[0]) > 0.1 * rough
    assert crack.length_px == pytest.approx(120, rel=1e-4)


def test_a_crack_outside_the_picture_leaves_it_untouched():
    crack = render_crack(bare(centre_xy=(-500, -500), length_px=40))
    assert crack.centrelines_xy == ()
    assert crack.length_px == 0
    assert not crack.mask.any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"width_px": 0},
        {"width_px": ()},
        {"width_px": (3, -1)},
        {"size_hw": (4, 100)},
        {"contrast": 0},
        {"blur_px": -1},
        {"wander": 2},
        {"length_px": 0},
        {"encoding": "jpeg"},
        {"angle_deg": float("nan")},
    ],
)
def test_impossible_cracks_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        CrackSpec(**wrong)


def test_unknown_texture_is_refused():
    with pytest.raises(InputError, match="velvet"):
        render_crack(CrackSpec(texture="velvet"))
    with pytest.raises(InputError, match="plain"):
        render_wall("plain")


def test_screen_values_and_light_are_inverse():
    screen = np.linspace(0, 1, 256, dtype=np.float32)
    assert np.abs(to_srgb(to_linear(screen)) - screen).max() < 1e-5
    assert to_linear(np.float32([0.5]))[0] == pytest.approx(0.21404, abs=1e-4)


@pytest.mark.parametrize("texture", ["concrete", "asphalt", "rubber"])
def test_textures_are_grey_surfaces_with_grain_in_range(texture):
    image = render_crack(CrackSpec(texture=texture), 1).image.astype(float)
    grey = image.mean(axis=2)
    assert 30 < grey.mean() < 190
    assert 3 < (grey - cv2.GaussianBlur(grey, (0, 0), 4)).std() < 40
    assert np.abs(image.mean(axis=(0, 1)) - grey.mean()).max() < 20


def test_demo_writes_three_pictures_and_their_truth(tmp_path):
    paths = write_demo(tmp_path / "demo")
    truth = json.loads((tmp_path / "demo" / "truth.json").read_text(encoding="utf-8"))
    assert [path.name for path in paths] == list(truth["pictures"])
    for path in paths:
        picture = truth["pictures"][path.name]
        image = cv2.imread(str(path))
        assert list(image.shape[:2]) == picture["size_hw"]
        assert len(picture["lines"]) >= 2
        xy = np.array(picture["lines"][0]["centreline_xy"])
        assert len(xy) == len(picture["lines"][0]["widths_px"])
        again = render_wall(picture["texture"], picture["seed"], joint=False)
        assert again.length_px == pytest.approx(picture["length_px"], abs=0.01)
        assert image[again.mask].mean() < 0.6 * image[~again.mask].mean()
        assert picture["length_mm"] == pytest.approx(picture["length_px"] * truth["mm_per_px"])
