"""Networks that enlarge: all they say is in the original's pixels, and measured there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from small_models import small_arguments
from toy_model import write_toy_model
from typer.testing import CliRunner

import fissura
from fissura import InputError, Prediction
from fissura.cli import app
from fissura.config import PredictSettings
from fissura.engines import BaseEngine, Outputs
from fissura.enlarged import shrink_map, shrink_mask
from fissura.maps import enlarged_map, network_maps
from fissura.pipeline import predict_frame
from fissura.types import Frame, SettingError, UInt8Image
from fissura.weights import ModelCard, from_metadata, to_metadata

BAR = (slice(40, 43), slice(20, 100))
SIZE_HW = (96, 128)


def picture() -> UInt8Image:
    """A dark bar of known place on grained grey."""
    image = np.random.default_rng(0).integers(180, 200, (*SIZE_HW, 3), np.uint8)
    image[BAR] = 20
    return image


def repeated(array: np.ndarray, times: int) -> np.ndarray:
    return array.repeat(times, 0).repeat(times, 1)


def only(results: Iterator[Prediction]) -> Prediction:
    (result,) = results
    return result


@pytest.fixture(scope="module", params=[2, 4])
def times(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, times: int) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("model") / "toy.onnx", output_scale=times)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("model") / "plain.onnx")


class Drawn(BaseEngine):
    """An engine that enlarges four times and gives what it was told to."""

    name = "torch"
    card = ModelCard("drawn", (0.0,) * 3, (255.0,) * 3, output_scale=4)

    def __init__(self, answer: Callable[[UInt8Image], Outputs]) -> None:
        self.run = answer


def test_everything_is_in_the_originals_pixels(model: Path, times: int) -> None:
    image = picture()
    result = only(fissura.load(model, threads=1).predict(image))
    bar = np.zeros(SIZE_HW, bool)
    bar[BAR] = True
    assert result.size_hw == SIZE_HW
    assert np.array_equal(result.mask, bar)
    assert np.array_equal(result.crack_map > 0.5, bar)
    assert np.array_equal(result.enlarged, repeated(image, times))
    (crack,) = result.cracks
    assert crack.box == (20, 40, 100, 43)
    assert crack.region.all()
    (record,) = result.to_dict()["cracks"]
    assert np.array_equal(coco_mask.decode(record["rle"]), bar)
    x, y = crack.max_width_at_xy
    assert 20 <= x <= 100
    assert y == pytest.approx(41.5, abs=0.5)
    assert crack.centrelines[0].min(axis=0) == pytest.approx((20, 41.5), abs=1)


def test_measures_are_those_of_a_network_that_does_not_enlarge(model: Path, plain: Path) -> None:
    image = picture()
    (large,) = only(fissura.load(model, mm_per_px=0.5).predict(image)).cracks
    (small,) = only(fissura.load(plain, mm_per_px=0.5).predict(image)).cracks
    assert large.width_source == small.width_source == "photograph"
    for unit in ("px", "mm"):
        for name in ("length", "width_mean", "width_max", "area"):
            one, other = (getattr(getattr(crack, unit), name) for crack in (large, small))
            found, expected = (one.value, one.low, one.high), (other.value, other.low, other.high)
            assert found == pytest.approx(expected, rel=1e-4)


def test_a_crack_that_only_the_network_sees_is_bounded_not_measured() -> None:
    def answer(tile: UInt8Image) -> Outputs:
        logits = np.full((1, 4 * tile.shape[0], 4 * tile.shape[1]), -9, np.float32)
        logits[0, 201, 40:440] = 9
        return {"logits": logits, "image": np.zeros((3, *logits.shape[1:]), np.float32)}

    flat = np.full((*SIZE_HW, 3), 128, np.uint8)
    (crack,) = predict_frame(
        Frame(flat, "flat"), Drawn(answer), PredictSettings(min_area_px=9)
    ).cracks
    assert crack.box == (10, 50, 110, 51)
    assert crack.region.all()
    assert crack.width_source == "map"
    assert crack.px.width_max.value is None
    assert crack.px.width_max.low == 0
    assert crack.px.width_max.high > 1
    assert crack.px.length.value == pytest.approx(100, abs=3)


def test_specks_and_holes_count_in_the_originals_pixels(model: Path) -> None:
    image = picture()
    image[70:74, 70:75] = 20
    found = [
        len(only(fissura.load(model, min_area_px=area).predict(image)).cracks) for area in (20, 21)
    ]
    assert found == [2, 1]


@pytest.mark.parametrize("size_hw", [(96, 128), (61, 150)])
def test_tiles_give_the_same_as_the_whole(
    model: Path, times: int, size_hw: tuple[int, int]
) -> None:
    predictor = fissura.load(model)
    image = np.random.default_rng(1).integers(0, 255, (*size_hw, 3), np.uint8)
    whole = enlarged_map(image, predictor.engine, predictor.settings)
    cut = predictor.settings.model_copy(update={"tile": 40, "overlap": 8})
    tiles = enlarged_map(image, predictor.engine, cut)
    assert whole[0].shape == (times * size_hw[0], times * size_hw[1])
    np.testing.assert_allclose(tiles[0], whole[0], atol=1e-5)
    np.testing.assert_array_equal(tiles[1], whole[1])
    np.testing.assert_array_equal(tiles[1], repeated(image, times))


def test_another_scale_than_the_models_is_refused(model: Path, times: int, plain: Path) -> None:
    assert only(fissura.load(model, scale=times).predict(picture())).settings["scale"] == times
    with pytest.raises(InputError, match=f"scale 8: toy enlarges ×{times}; give --scale {times}"):
        fissura.load(model, scale=8)
    with pytest.raises(InputError, match="scale 4: toy does not enlarge; give --scale 1"):
        fissura.load(plain, scale=4)
    with pytest.raises(InputError, match=r"'scale'.*got 3"):
        fissura.load(model, scale=3)


def test_predict_writes_the_enlarged_picture(model: Path, times: int, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wall.png"), picture()[..., ::-1])
    args = ["predict", str(tmp_path / "wall.png"), "--model", str(model), "--out"]
    done = CliRunner().invoke(app, [*args, str(tmp_path / "out"), "--scale", str(times)])
    assert done.exit_code == 0, done.stderr
    large = cv2.imread(str(tmp_path / "out" / "enlarged" / "wall.png"))[..., ::-1]
    assert np.array_equal(large, repeated(picture(), times))
    assert cv2.imread(str(tmp_path / "out" / "masks" / "wall.png")).shape[:2] == SIZE_HW
    assert cv2.imread(str(tmp_path / "out" / "overlay" / "wall.png")).shape == large.shape
    (record,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["size_hw"] == list(SIZE_HW)
    assert record["settings"]["scale"] == times
    refused = CliRunner().invoke(app, [*args, str(tmp_path / "other"), "--scale", "1"])
    assert refused.exit_code == 2
    assert "scale 1: toy enlarges" in refused.stderr


def test_results_save_and_plot_what_they_hold(model: Path, plain: Path, tmp_path: Path) -> None:
    large = only(fissura.load(model).predict(picture()))
    small = only(fissura.load(plain).predict(picture()))
    assert large.plot().shape == large.enlarged.shape
    assert (large.save(tmp_path / "large") / "enlarged").is_dir()
    assert small.enlarged is None
    assert not (small.save(tmp_path / "small") / "enlarged").exists()
    with pytest.raises(ValueError, match="enlarged: expected a multiple"):
        replace(small, enlarged=np.zeros((100, 128, 3), np.uint8))


def test_pictures_too_large_to_enlarge_are_refused_before_the_network_runs() -> None:
    settings_ = PredictSettings(max_pixels=100_000)
    with pytest.raises(InputError, match="enlarged ×4 the picture has 196608 pixels"):
        network_maps(picture(), Drawn(lambda _: {}), settings_, ("logits",))


def test_networks_that_draw_no_picture_give_the_bicubic_one() -> None:
    image = picture()
    large = cv2.resize(image, (512, 384), interpolation=cv2.INTER_CUBIC)
    engine = Drawn(lambda tile: {"logits": np.zeros((1, 4 * tile.shape[0], 4), np.float32)})
    assert np.array_equal(enlarged_map(image, engine, PredictSettings())[1], large)


def test_enlarged_pictures_are_cut_to_what_eight_bits_hold() -> None:
    def answer(tile: UInt8Image) -> Outputs:
        drawn = np.full((3, 4 * tile.shape[0], 4 * tile.shape[1]), 0.5, np.float32)
        drawn[:, 0, :3] = np.array([-1, 7, np.nan])
        return {"logits": drawn[:1], "image": drawn}

    large = predict_frame(Frame(picture(), "x"), Drawn(answer), PredictSettings()).enlarged
    assert large[0, :4, 0].tolist() == [0, 255, 0, 128]
    assert large[1:].tolist() == np.full_like(large[1:], 128).tolist()


def test_grey_pictures_of_a_network_are_refused() -> None:
    engine = Drawn(lambda _: dict.fromkeys(("logits", "image"), np.zeros((1, 8, 8), np.float32)))
    with pytest.raises(InputError, match="enlarged picture has shape"):
        enlarged_map(picture(), engine, PredictSettings())


def test_networks_that_find_no_cracks_are_refused() -> None:
    engine = Drawn(lambda _: {"image": np.zeros((3, 8, 8), np.float32)})
    with pytest.raises(SettingError, match="model: drawn gives image and finds no cracks"):
        enlarged_map(picture(), engine, PredictSettings())


@pytest.mark.parametrize("refine", ["guided"])
def test_refinement_works_on_the_enlarged_map(model: Path, refine: str) -> None:
    result = only(fissura.load(model, refine=refine).predict(picture()))
    assert result.crack_map.shape == SIZE_HW
    assert len(result.cracks) == 1


@given(
    arrays(np.float32, (6, 9), elements=st.floats(0, 1, width=32)),
    st.sampled_from([1, 2, 4, 8]),
)
@settings(deadline=None)
def test_shrinking_a_map_keeps_its_integral(small: np.ndarray, times: int) -> None:
    np.testing.assert_allclose(shrink_map(repeated(small, times), small.shape), small, atol=1e-6)


@given(
    st.lists(st.tuples(st.integers(0, 159), st.integers(0, 119)), min_size=2, max_size=5),
    st.integers(1, 24),
    st.sampled_from([2, 4, 8]),
)
@settings(max_examples=150, deadline=None)
def test_shrinking_keeps_a_crack_in_one_piece(
    corners: list[tuple[int, int]], thickness: int, times: int
) -> None:
    mask = np.zeros((120, 160), np.uint8)
    cv2.polylines(mask, [np.array(corners, np.int32)], False, 1, thickness)
    small = shrink_mask(mask.astype(bool), (120 // times, 160 // times))
    assert cv2.connectedComponents(small.astype(np.uint8), connectivity=8)[0] == 2
    touched = mask.reshape(120 // times, times, -1, times).max(axis=(1, 3)) > 0
    mostly = mask.reshape(120 // times, times, -1, times).mean(axis=(1, 3)) >= 0.5
    assert not (small & ~touched).any()
    assert not (mostly & ~small).any()


def test_cards_say_how_much_a_network_enlarges(tmp_path: Path) -> None:
    from fissura.weights.network import new_card

    assert new_card("cgnet").output_scale == 1
    assert new_card("cssr").output_scale == 4
    assert new_card("cssr", {"scale": 1}).output_scale == 1
    assert new_card("dbpn", {"scale": 8}).output_scale == 8
    notes = to_metadata(new_card("cssr"))
    assert from_metadata(notes, tmp_path).output_scale == 4
    with pytest.raises(InputError, match="its note 'output_scale'"):
        from_metadata(notes | {"fissura.output_scale": "3"}, tmp_path)
    del notes["fissura.output_scale"]
    assert from_metadata(notes, tmp_path).output_scale == 1


def test_cssr_itself(tmp_path: Path) -> None:
    import torch

    from fissura.models import MODELS
    from fissura.weights.network import new_card, save_safetensors

    torch.manual_seed(0)
    arguments = small_arguments("cssr")
    path = tmp_path / "cssr.safetensors"
    save_safetensors(MODELS["cssr"](**arguments), new_card("cssr", arguments), path)
    result = only(fissura.load(path, scale=2, threads=1).predict(picture()[:50, :70]))
    assert result.enlarged.shape == (100, 140, 3)
    assert result.crack_map.shape == result.mask.shape == (50, 70)
