"""Pictures made smaller: constants stay, sizes are cut, the generator decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fissura.degrade import (
    OPERATORS,
    Camera,
    bicubic_antialias,
    bilinear,
    blur,
    compress,
    enlarge,
    realistic,
)
from fissura.types import InputError

DETERMINISTIC = ("bilinear", "bicubic", "bicubic-antialias")
sides = st.integers(8, 40)
scales = st.sampled_from([1, 2, 3, 4, 8])
QUIET = Camera(noise=(0, 0))


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def picture(height: int, width: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(height * width).random((height, width, *channels), np.float32)


@pytest.mark.parametrize("name", DETERMINISTIC)
@given(height=sides, width=sides, scale=scales, level=st.floats(0, 1, width=32))
def test_constants_stay(name: str, height: int, width: int, scale: int, level: float) -> None:
    image = np.full((height, width, 3), level, np.float32)
    small = OPERATORS[name](image, scale, generator())
    assert small.shape == (height // scale, width // scale, 3)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, level, atol=1e-6)


@settings(max_examples=20)
@given(scale=scales, level=st.floats(0, 1, width=32), seed=st.integers(0, 99))
def test_a_camera_without_noise_keeps_constants(scale: int, level: float, seed: int) -> None:
    image = np.full((24, 40, 3), level, np.float32)
    small = realistic(image, scale, np.random.default_rng(seed), QUIET)
    np.testing.assert_allclose(small, level, atol=1.5 / 255)  # JPEG rounds


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_shape_type_and_range(name: str, channels: tuple[int, ...]) -> None:
    image = picture(30, 45, *channels)
    before = image.copy()
    small = OPERATORS[name](image, 4, generator())
    assert small.shape == (7, 11, *channels)
    assert small.dtype == np.float32
    np.testing.assert_array_equal(image, before)
    if name == "realistic":
        assert small.min() >= 0
        assert small.max() <= 1


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_scale_1_changes_nothing(name: str) -> None:
    image = picture(9, 14, 3)
    np.testing.assert_allclose(OPERATORS[name](image, 1, generator()), image, atol=1e-6)


@pytest.mark.parametrize(("scale", "first"), [(2, 0), (4, 1), (8, 3)])
def test_bilinear_averages_the_middle_of_each_block(scale: int, first: int) -> None:
    image = picture(32, 48, 3)
    middle = [image[first + i :: scale, first + j :: scale] for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(bilinear(image, scale), np.mean(middle, axis=0), atol=1e-6)


def test_antialiasing_sees_what_lies_between() -> None:
    """A bright line on the rim of the blocks, which the release's operator skips."""
    image = np.zeros((32, 32), np.float32)
    image[:, 8] = 1
    assert not bilinear(image, 4).any()
    assert bicubic_antialias(image, 4).max() > 0.1


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_channels_and_mirrors_are_treated_alike(name: str) -> None:
    image = picture(24, 36, 3)
    small = OPERATORS[name](image, 4, generator())
    planes = [OPERATORS[name](image[..., k], 4, generator()) for k in range(3)]
    np.testing.assert_allclose(small, np.stack(planes, axis=-1), atol=1e-6)
    mirrored = OPERATORS[name](np.ascontiguousarray(image[:, ::-1]), 4, generator())
    np.testing.assert_allclose(mirrored, small[:, ::-1], atol=1e-5)


def test_the_generator_decides() -> None:
    image = picture(32, 48, 3)
    first, again = (realistic(image, 4, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, realistic(image, 4, np.random.default_rng(8)))


@given(sigmas=st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)), angle=st.floats(0, float(np.pi)))
def test_blur_spreads_light_and_loses_none(sigmas: tuple[float, float], angle: float) -> None:
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1
    spread = blur(image, sigmas, angle)
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    assert spread.max() <= 1
    np.testing.assert_allclose(spread, spread[::-1, ::-1], atol=1e-7)


def test_blur_turns_with_its_angle() -> None:
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1
    flat, upright = blur(image, (4, 0.5), 0.0), blur(image, (4, 0.5), np.pi / 2)
    assert flat[20, 26] > 10 * flat[26, 20]
    np.testing.assert_allclose(flat, upright.T, atol=1e-6)


def test_jpeg_keeps_red_red() -> None:
    image = np.zeros((16, 16, 3), np.float32)
    image[..., 0] = 0.8
    stored = compress(image, 95)
    assert stored[..., 0].mean() == pytest.approx(0.8, abs=0.02)
    assert stored[..., 2].mean() < 0.05


def test_enlargement_has_the_size_and_keeps_constants() -> None:
    image = np.full((5, 7, 3), 0.3, np.float32)
    assert enlarge(image, 4).shape == (20, 28, 3)
    np.testing.assert_allclose(enlarge(image, 4), 0.3, atol=1e-6)


@pytest.mark.parametrize("scale", [0, 9])
def test_a_picture_that_would_vanish_is_refused(scale: int) -> None:
    with pytest.raises(InputError, match="8×10 pixels cannot be reduced by"):
        OPERATORS["bicubic"](picture(10, 8, 3), scale, generator())
