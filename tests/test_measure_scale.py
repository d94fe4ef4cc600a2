"""From pixels to millimetres."""

from __future__ import annotations

import numpy as np
import pytest

from fissura.measure import from_camera, from_mm_per_px, measure_cracks, parse_gsd_from
from fissura.types import InputError


def test_camera_scale_is_sensor_pixel_times_distance_over_focal_length():
    scale = from_camera(35, 36, 12_000, 6000)
    assert scale.mm_per_px == pytest.approx(36 / 6000 * (12_000 - 35) / 35)
    assert 0.01 < scale.relative_uncertainty < 0.05


@pytest.mark.parametrize(
    "text", ["35mm,36x24mm,12m", "3.5cm, 36x24mm, 1200cm", "35mm,36mm,12m", "35MM,3.6x2.4cm,12M"]
)
def test_units_and_forms_agree(text):
    assert parse_gsd_from(text, (4000, 6000)).mm_per_px == pytest.approx(
        from_camera(35, 36, 12_000, 6000).mm_per_px
    )


def test_an_upright_picture_uses_the_longer_side_too():
    wide, upright = (parse_gsd_from("35mm,36x24mm,12m", s) for s in ((4000, 6000), (6000, 4000)))
    assert wide == upright


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("35mm,36x24mm", "three"),
        ("35,36x24mm,12m", "'35'"),
        ("35mm,36x24mm,twelve", "'twelve'"),
        ("35mm,36x24in,12m", "36x24in"),
        ("0mm,36x24mm,12m", "focal"),
        ("35mm,36x24mm,40mm", "distance"),
        ("35mm,3.6.1x24mm,12m", "3.6.1"),
    ],
)
def test_what_cannot_be_read_is_named(text, word):
    with pytest.raises(InputError, match="gsd-from") as error:
        parse_gsd_from(text, (100, 200))
    assert word in str(error.value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_above_zero(value):
    with pytest.raises(InputError, match="mm per pixel"):
        from_mm_per_px(value)


def test_millimetres_follow_pixels_and_their_intervals_are_wider():
    mask = np.zeros((60, 200), bool)
    mask[25:33, 20:180] = True
    scale = from_mm_per_px(0.5, relative_uncertainty=0.05)
    (crack,) = measure_cracks(mask, mask.astype(np.float32), scale=scale)
    assert crack.mm is not None
    for name, power in (("length", 1), ("width_mean", 1), ("width_max", 1), ("area", 2)):
        px, mm = getattr(crack.px, name), getattr(crack.mm, name)
        assert mm.value == pytest.approx(px.value * 0.5**power)
        assert mm.unit == ("mm" if power == 1 else "mm²")
        assert mm.high - mm.low > (px.high - px.low) * 0.5**power
        assert mm.low <= mm.value <= mm.high


def test_an_unresolved_width_stays_a_bound_in_millimetres():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    (crack,) = measure_cracks(mask, mask.astype(np.float32), scale=from_mm_per_px(2.0))
    assert crack.mm is not None
    assert crack.mm.width_mean.value is None
    assert crack.mm.width_mean.high > 0


@pytest.mark.parametrize(("size_hw", "cropped"), [((4000, 6000), False), ((2160, 3840), True)])
def test_a_picture_of_another_shape_than_the_sensor_is_noted(size_hw, cropped):
    scale = parse_gsd_from("35mm,36x24mm,12m", size_hw)
    assert ("cropped?" in scale.origin) == cropped
