"""Rendered belts: the truth agrees with what the pictures show, and with the belt's speed."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fissura.synth import BeltFrame, BeltScene, BeltSeries
from fissura.synth.belt_camera import place_camera
from fissura.synth.belt_marks import Mark, plan_marks
from fissura.synth.belt_style import CHOICES
from fissura.synth.belt_texture import smear
from fissura.types import InputError, SettingError

SIZE = (320, 192)
QUIET: dict[str, Any] = {"weather": "dry", "light": "day", "decoys": 0.0, "texture": "plain"}


def scene(seed: int = 3, frames: int = 5, **style: Any) -> BeltScene:
    given_style = {"cracks_per_frame": 3.0, "crack_scale": 2.5, **style}
    return BeltScene(seed, SIZE, frames, **given_style)


def same(one: BeltFrame, two: BeltFrame) -> bool:
    arrays = all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("image", "boxes", "identities")
    )
    return arrays and one.crack_ids == two.crack_ids and one.belt_m == two.belt_m


@pytest.mark.parametrize("weather", CHOICES["weather"])
def test_a_seed_decides_every_frame_whatever_the_order(weather: str) -> None:
    forwards = list(scene(weather=weather))
    other = scene(weather=weather)
    backwards = [other.frame(index) for index in reversed(range(5))][::-1]
    alone = scene(weather=weather).frame(3)
    assert all(same(one, two) for one, two in zip(forwards, backwards, strict=True))
    assert same(forwards[3], alone)
    assert not np.array_equal(scene(4, weather=weather).frame(3).image, alone.image)


def test_frames_do_not_depend_on_what_has_been_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = scene(length_m=3).frame(0)
    monkeypatch.setattr("fissura.synth.belt_paint.CACHE_BYTES", 0)
    short = scene(length_m=3)
    for index in (300, 40, 7):
        short.frame(index)
    assert same(kept, short.frame(0))


@pytest.mark.parametrize("view", CHOICES["view"])
@pytest.mark.parametrize("texture", CHOICES["texture"])
def test_every_view_and_texture_is_a_picture_with_truth(view: str, texture: str) -> None:
    frame = scene(11, view=view, texture=texture).frame(2)
    assert frame.image.shape == (192, 320, 3)
    assert frame.image.dtype == np.uint8
    assert frame.identities.shape == (192, 320)
    assert 12 < frame.image.mean() < 225
    assert frame.image.std() > 4


def seen_frames(count: int = 8, **style: Any) -> list[BeltFrame]:
    return [scene(100 + k, **style).frame(0) for k in range(count)]


def test_boxes_enclose_masks_and_stay_in_the_picture() -> None:
    boxes = 0
    for frame in seen_frames():
        assert set(np.unique(frame.identities)) <= {0, *frame.crack_ids}
        for (x0, y0, x1, y1), identity in zip(frame.boxes, frame.crack_ids, strict=True):
            assert 0 <= x0 < x1 <= SIZE[0]
            assert 0 <= y0 < y1 <= SIZE[1]
            ys, xs = np.nonzero(frame.identities == identity)
            boxes += 1
            if len(ys):  # another crack drawn later may hide it
                assert xs.min() > x0 - 1.1
                assert ys.min() > y0 - 1.1
                assert xs.max() + 1 < x1 + 1.1
                assert ys.max() + 1 < y1 + 1.1
    assert boxes > 15


def test_boxes_fit_masks_closely_where_no_two_meet() -> None:
    for frame in seen_frames(6, cracks_per_frame=1.0):
        if len(frame.boxes) == 1:
            ys, xs = np.nonzero(frame.mask)
            tight = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            assert np.abs(frame.boxes[0] - tight).max() < 1.6


def test_damage_is_darker_than_what_surrounds_it() -> None:
    darker = []
    for frame in seen_frames(holes=0.0, speed_mps=2.0, exposure_s=1 / 4000, **QUIET):
        grey = frame.image.astype(np.float32).mean(axis=2)
        for identity in frame.crack_ids:
            inside = (frame.identities == identity).astype(np.uint8)
            ring = cv2.dilate(inside, np.ones((9, 9), np.uint8)) - cv2.dilate(
                (frame.mask).astype(np.uint8), np.ones((5, 5), np.uint8)
            )
            if inside.sum() >= 12 and (ring == 1).sum() > 20:
                darker.append(grey[inside > 0].mean() - grey[ring == 1].mean())
    assert len(darker) > 8
    assert np.median(darker) < -15
    assert np.mean(np.array(darker) < -3) > 0.9


def test_truth_moves_with_the_belt() -> None:
    belt = scene(5, speed_mps=3.0, fps=60.0, frames=6, cracks_per_frame=4.0)
    frames = list(belt)
    steps = np.diff([frame.belt_m for frame in frames])
    assert steps == pytest.approx(3.0 / 60.0)
    assert [frame.time_s for frame in frames] == pytest.approx([k / 60 for k in range(6)])
    maps = belt.camera.maps()
    places = []
    for frame in frames:
        found = {}
        for identity in frame.crack_ids:
            inside = frame.identities == identity
            rim = np.zeros(inside.shape, bool)
            rim[[0, 1, -1, -2]] = rim[:, [0, 1, -1, -2]] = True
            if inside.sum() > 8 and not (inside & rim).any():
                found[identity] = float(maps.y[inside].mean())
        places.append(found)
    moved = [
        after[identity] - before[identity]
        for before, after in itertools.pairwise(places)
        for identity in before.keys() & after.keys()
    ]
    assert len(moved) >= 5
    assert np.median(moved) == pytest.approx(0.05, abs=0.004)


def test_the_picture_moves_with_the_truth() -> None:
    """A piece of belt is found again where the truth says that it has gone."""
    belt = scene(5, view="above", fps=240.0, speed_mps=2.0, exposure_s=1e-4, **QUIET)
    one, two = (belt.frame(k).image.astype(np.float32).mean(axis=2) for k in (0, 3))
    maps = belt.camera.maps()
    ahead = belt.camera.seen(
        np.stack([maps.u.ravel(), maps.y.ravel() + 3 * 2.0 / 240.0], axis=1).astype(np.float64)
    ).astype(np.float32)
    x, y = (ahead[:, k].reshape(192, 320) - 0.5 for k in (0, 1))
    back = cv2.remap(two, x, y, cv2.INTER_LINEAR)
    inner = (maps.share == 1) & (x > 4) & (x < 315) & (y > 4) & (y < 187)
    high = [a - cv2.GaussianBlur(a, (0, 0), 3) for a in (one, two, back)]
    still = np.corrcoef(high[0][inner], high[1][inner])[0, 1]
    followed = np.corrcoef(high[0][inner], high[2][inner])[0, 1]
    assert followed > 0.5
    assert followed > still + 0.2


def test_some_damage_grows_from_revolution_to_revolution() -> None:
    belt = scene(8, length_m=4.0, view="above", cracks_per_frame=4.0, fps=30.0, speed_mps=3.0)
    round_in_frames = belt.length_m / 3.0 * 30.0
    areas: dict[int, list[float]] = {}
    for revolution in range(4):
        for identity, size in whole(belt, round(revolution * round_in_frames), 40).items():
            areas.setdefault(identity, []).append(size)
    grown = [sizes[-1] / sizes[0] for sizes in areas.values() if len(sizes) == 4]
    growing = {d.identity for d in belt.defects if d.start < 1}
    assert growing
    assert max(grown) > 1.2
    assert all(d.grown(0) == d.start and d.grown(99) == 1 for d in belt.defects)
    assert all(d.grown(k) <= d.grown(k + 1) for d in belt.defects for k in range(8))


def whole(belt: BeltScene, first: int, count: int) -> dict[int, float]:
    """Largest masks of the damage that passes in some frames."""
    found: dict[int, float] = {}
    for index in range(first, first + count, 2):
        frame = belt.frame(index)
        for identity in frame.crack_ids:
            size = float((frame.identities == identity).sum())
            found[identity] = max(found.get(identity, 0.0), size)
    return found


@given(length=st.floats(0, 30))
def test_smear_spreads_light_over_the_way_run(length: float) -> None:
    rows = np.full((81, 3, 3), 0.2, np.float32)
    rows[40] = 0.9
    light = smear(rows, length)[:, 0, 0].astype(np.float64) ** 2 - 0.04
    assert light.sum() == pytest.approx(0.81 - 0.04, rel=1e-4)
    assert light[40] == pytest.approx(0.77 / max(1.0, length), rel=1e-3)
    assert np.count_nonzero(light > 1e-6) <= max(1, length + 2)


def test_a_long_exposure_blurs_what_lies_across_the_travel() -> None:
    contrast = []
    for exposure in (1e-5, 1 / 200):
        frame = scene(
            21, view="above", exposure_s=exposure, speed_mps=6.0, **QUIET | {"texture": "chevron"}
        ).frame(0)
        grey = frame.image.astype(np.float32).mean(axis=2)
        contrast.append(float(np.abs(np.diff(grey[60:130, 100:220], axis=0)).mean()))
    assert contrast[1] < 0.85 * contrast[0]


def test_sizes_follow_the_chosen_counts() -> None:
    shares = [
        np.median([d.share for s in range(4) for d in scene(s, size_mix=mix).defects])
        for mix in ("14ks", "9kd")
    ]
    assert shares[1] > 2 * shares[0]


@given(seed=st.integers(0, 10**6), view=st.sampled_from(CHOICES["view"]))
@settings(max_examples=15, deadline=None)
def test_pixels_and_places_on_the_belt_agree(seed: int, view: str) -> None:
    camera = place_camera(view, (96, 64), 0.5, np.random.default_rng(seed))  # type: ignore[arg-type]
    maps = camera.maps()
    inside = maps.share == 1
    belt = np.stack([maps.u[inside], maps.y[inside]], axis=1).astype(np.float64)
    ys, xs = np.nonzero(inside)
    assert inside.mean() > 0.3
    assert np.abs(camera.seen(belt) - np.stack([xs + 0.5, ys + 0.5], axis=1)).max() < 0.05


def marks(length_m: float, seed: int) -> list[Mark]:
    return plan_marks(length_m, 1.0, 0.02, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(6))
def test_splices_lie_evenly_all_along_a_belt(seed: int) -> None:
    for length in (12.0, 45.0, 300.0, 2000.0):
        places = [m.s for m in marks(length, seed) if m.kind in ("vulcanised", "fasteners")]
        steps = np.diff([*places, length])
        assert places[0] == 0
        assert steps == pytest.approx(length / len(places))
        assert length < 60 or 19 < steps[0] < 42


def test_rain_adds_water_and_leaves_everything_else_where_it_is() -> None:
    dry, wet = (scene(5, weather=weather, tears=0) for weather in ("dry", "rain"))
    assert dry.defects == wet.defects
    assert dry.style.texture == wet.style.texture
    kinds = [Counter(mark.kind for mark in belt.marks) for belt in (dry, wet)]
    assert kinds[1]["water"] > kinds[0]["water"]
    assert set(dry.marks) <= set(wet.marks)


def test_long_belts_need_no_more_memory() -> None:
    belt = scene(2, length_m=5000.0, cracks_per_frame=0.5)
    assert belt.length_m >= 5000
    assert belt.frame(100_000).image.shape == (192, 320, 3)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(SettingError, match="texture=velvet"):
        scene(texture="velvet")
    with pytest.raises(SettingError, match="speed_mps=-1"):
        scene(speed_mps=-1)
    with pytest.raises(SettingError, match="speed_mps=fast"):
        scene(speed_mps="fast")
    with pytest.raises(SettingError, match="colour"):
        scene(colour="red")
    with pytest.raises(InputError, match="10x10"):
        BeltScene(1, (10, 10))
    with pytest.raises(SettingError, match="--frames"):
        BeltSeries(seed=1, sequences=1, frames=0, size_wh=(96, 96))


def grey_of(belt: BeltScene, index: int) -> np.ndarray:
    return belt.frame(index).image.astype(np.float32).mean(axis=2)


def test_rain_is_seen_at_any_size() -> None:
    """Bright spots that come and go while everything stands still, over two pictures' noise."""
    for size in ((192, 128), (768, 432)):
        spots = []
        for weather in ("dry", "rain"):
            belt = BeltScene(4, size, 3, weather=weather, light="day", speed_mps=0.0)
            change = grey_of(belt, 1) - grey_of(belt, 2)
            spots.append(float((np.abs(change - np.median(change)) > 12).mean()))
        assert spots[0] < 0.002
        assert 0.01 < spots[1] < 0.3


def test_a_veil_of_dust_drifts_with_time_not_with_frames() -> None:
    def veil(fps: float, index: int) -> np.ndarray:
        belt = scene(7, weather="dust", light="day", speed_mps=0.0, fps=fps)
        small = cv2.resize(grey_of(belt, index), (8, 5), interpolation=cv2.INTER_AREA)
        return np.asarray(small / small.mean())

    start, slow, fast = veil(10, 0), veil(5, 4), veil(20, 16)
    assert np.abs(slow - fast).max() < 0.25 * np.abs(slow - start).max()


class TestTears:
    def test_a_tear_runs_along_the_whole_picture(self) -> None:
        spans = []
        for seed in range(4):
            belt = scene(seed, view="above", light="lamp", weather="dry", tears=4.0)
            tears = {d.identity for d in belt.defects if d.length_m is not None}
            for index in range(0, 200, 20):
                frame = belt.frame(index)
                spans += [
                    float(box[3] - box[1]) / SIZE[1]
                    for box, identity in zip(frame.boxes, frame.crack_ids, strict=True)
                    if identity in tears
                ]
        assert max(spans) > 0.95

    def test_tears_are_added_to_what_is_there(self) -> None:
        without, plenty = (scene(3, view="side", tears=number) for number in (0.0, 5.0))
        assert plenty.defects[: len(without.defects)] == without.defects
        assert len(plenty.defects) > len(without.defects)
        assert plenty.marks == without.marks
        assert len({d.identity for d in plenty.defects}) == len(plenty.defects)


def test_thick_dust_hides_the_rubber_in_ochre() -> None:
    for seed in range(3):
        warm = []
        for texture in ("worn", "dusty"):
            image = scene(seed, texture=texture, light="day", view="side").frame(0).image
            red, blue = image[..., 0].mean(), image[..., 2].mean()
            warm.append(float((red - blue) / (red + blue)))
        assert warm[1] > warm[0] + 0.02


def test_belts_that_networks_have_learned_from_stay_as_they_are() -> None:
    belt = BeltScene(7, (64, 64), 1, view="above", light="day", weather="dry")
    assert (belt.style.tears, belt.style.dust) == (0.0, 1.0)
    first, last = belt.defects[0], belt.marks[-1]
    found = (first.u, first.s, first.angle, first.share, last.s, len(belt.defects), len(belt.marks))
    wanted = (0.264356, 18.33266, 20.515674, 0.021378, 0.0, 13, 42)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert belt.frame(0).image.mean() == pytest.approx(103.672, abs=0.3)
