"""Refinement of crack maps: ranges, tiles, the random field, and the way through the pipeline."""

from __future__ import annotations

import sys
import typing
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from toy_model import write_toy_model
from typer.testing import CliRunner

from fissura.cli import app
from fissura.config import CrfSettings, GuidedSettings, PredictSettings
from fissura.engines import BaseEngine
from fissura.evaluate import EvaluateSettings, evaluate
from fissura.maps import choose_tile, crack_map
from fissura.pipeline import resolve
from fissura.refine import OWN_THRESHOLDS, REFINERS, SIDE_GUIDED, refine
from fissura.refine import guided_filter as guided
from fissura.types import FloatMap, InputError, UInt8Image
from fissura.weights import ModelCard


def wall(seed: int, height: int = 60, width: int = 80) -> tuple[FloatMap, UInt8Image]:
    """A soft map of one dark line, and the noisy photograph of the line."""
    rng = np.random.default_rng(seed)
    line = np.zeros((height, width), np.float32)
    cv2.line(line, (3, height // 4), (width - 4, height - 5), 1.0, 4)
    image = rng.normal(170, 6, (height, width, 3)) - 110 * line[..., None]
    soft = cv2.GaussianBlur(line, (0, 0), 3)
    return np.clip(soft, 0, 1), np.clip(image, 0, 255).astype(np.uint8)


def choose(name: str, **changes: object) -> PredictSettings:
    return PredictSettings.model_validate({"refine": name, **changes})


def needs(name: str) -> str:
    """The name itself; skips where the extra behind it is missing."""
    if name == "crf":
        pytest.importorskip("pydensecrf", reason="the extra 'crf' (pydensecrf2) is not installed")
    return name


class SideNetwork(BaseEngine):
    """Calls dark pixels crack, pixel by pixel, with a side output that is less sure."""

    standardises = False

    name = "torch"

    def __init__(self, tile: int | None = None, overlap: int | None = None) -> None:
        nought, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        self.card = ModelCard("sides", nought, one, tile=tile, overlap=overlap)
        self.seen: list[tuple[int, int]] = []

    def run(self, image: UInt8Image) -> dict[str, np.ndarray]:
        self.seen.append((image.shape[0], image.shape[1]))
        darkness = ((110 - image.mean(2)) / 20).astype(np.float32)[None]
        return {"logits": darkness, "side1": darkness / 2 - 1}


# ---- every refinement ----------------------------------------------------------------------


def test_every_refinement_can_be_chosen():
    choices = typing.get_args(PredictSettings.model_fields["refine"].annotation)
    assert choices == ("none", *REFINERS)
    assert set(OWN_THRESHOLDS) <= set(REFINERS)


@pytest.mark.parametrize("name", REFINERS)
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (33, 2), (37, 53)])
def test_shape_range_and_inputs_are_kept(name, size_hw):
    rng = np.random.default_rng(3)
    probability = rng.random(size_hw).astype(np.float32)
    image = rng.integers(0, 255, (*size_hw, 3), np.uint8)
    before = probability.copy(), image.copy()
    found = refine(probability, image, choose(needs(name)), probability)
    assert found.shape == size_hw
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_array_equal(probability, before[0])
    np.testing.assert_array_equal(image, before[1])


@pytest.mark.parametrize("value", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("name", ["guided", "guided-released"])
def test_a_constant_map_stays_constant(name, value):
    _, image = wall(0)
    flat = np.full(image.shape[:2], value, np.float32)
    want = value if name == "guided" else float(value > 0.31)
    np.testing.assert_allclose(refine(flat, image, choose(name), flat), want, atol=2e-4)


def test_none_gives_the_map_itself():
    probability, image = wall(0)
    assert refine(probability, image, PredictSettings()) is probability


@pytest.mark.parametrize("name", ["guided", "crf"])
def test_a_blurred_map_comes_nearer_to_the_crack_that_the_photograph_shows(name):
    probability, image = wall(1)
    truth = image.mean(2) < 115
    wide = {"guided": {"radius_px": 6}, "crf": {"bilateral_weight": 3.0}}
    found = refine(probability, image, choose(needs(name), **wide))
    assert np.abs(found - truth).mean() < 0.8 * np.abs(probability - truth).mean()


@pytest.mark.parametrize(("name", "atol"), [("guided", 1e-5), ("guided-released", 1e-6)])
def test_tiles_change_nothing(name, atol, monkeypatch):
    probability, image = wall(2, 150, 170)
    asked = choose(name, guided={"radius_px": 4})
    whole = refine(probability, image, asked, probability / 2)
    monkeypatch.setattr(guided, "TILE", 64)
    np.testing.assert_allclose(refine(probability, image, asked, probability / 2), whole, atol=atol)


@pytest.mark.parametrize("name", sorted(SIDE_GUIDED))
def test_a_missing_side_map_is_named(name):
    probability, image = wall(0)
    with pytest.raises(InputError, match=f"refine {name}: needs the map of side output 1"):
        refine(probability, image, choose(name))


def test_official_refuses_what_it_would_have_to_cut(monkeypatch):
    probability, image = wall(0)
    monkeypatch.setattr(guided, "OFFICIAL_MAX_PIXELS", 1000)
    with pytest.raises(InputError, match="choose guided-released"):
        refine(probability, image, choose("guided-official"), probability)


def test_released_gives_grey_levels_that_survive_truncation():
    probability, image = wall(0)
    found = refine(probability, image, choose("guided-released"), probability)
    levels = np.rint(found * 255)
    np.testing.assert_array_equal((found * np.float32(255)).astype(np.uint8), levels)


# ---- the random field ----------------------------------------------------------------------


def exact_mean_field(p: np.ndarray, image: np.ndarray, how: CrfSettings) -> np.ndarray:
    """Every pixel speaks with every other one: the sums that the lattice approximates."""
    y, x = np.mgrid[: p.shape[0], : p.shape[1]]
    places = np.stack([x, y], -1).reshape(-1, 2).astype(float)
    colours = image.reshape(-1, 3) / how.bilateral_sigma_rgb
    near = kernel(places / how.spatial_sigma_px)
    alike = kernel(np.concatenate([places / how.bilateral_sigma_px, colours], 1))
    unary = np.log(np.stack([1 - p.ravel(), p.ravel()]))
    q = np.stack([1 - p.ravel(), p.ravel()])
    for _ in range(how.iterations):
        votes = unary + how.spatial_weight * q @ near + how.bilateral_weight * q @ alike
        q = np.exp(votes - votes.max(0))
        q /= q.sum(0)
    return q[1].reshape(p.shape)


def kernel(features: np.ndarray) -> np.ndarray:
    values = np.exp(-0.5 * ((features[:, None] - features) ** 2).sum(-1))
    norm = 1 / np.sqrt(values.sum(1))
    return norm[:, None] * values * norm


@pytest.mark.parametrize(
    "how",
    [
        CrfSettings(),
        CrfSettings(iterations=1, spatial_weight=3, bilateral_weight=0),
        CrfSettings(iterations=1, spatial_weight=0, bilateral_sigma_rgb=30, bilateral_weight=3),
        CrfSettings(spatial_sigma_px=3, spatial_weight=2, bilateral_weight=4),
    ],
    ids=["default", "spatial", "bilateral", "strong"],
)
def test_the_field_is_near_the_exact_one(how):
    needs("crf")
    rng = np.random.default_rng(0)
    image = rng.integers(100, 140, (16, 16, 3)).astype(np.uint8)
    image[6:9] -= 60
    p = 0.2 + 0.3 * (image[..., 0] < 100) + 0.3 * rng.random((16, 16))
    found = refine(p.astype(np.float32), image, choose("crf", crf=how))
    want = exact_mean_field(p, image, how)
    assert np.abs(found - want).max() < 0.04
    assert np.abs(found - want).mean() < 0.2 * np.abs(p - want).mean()


def test_without_weights_the_field_leaves_the_map_as_it_is():
    probability, image = wall(0)
    how = {"spatial_weight": 0, "bilateral_weight": 0}
    found = refine(probability, image, choose(needs("crf"), crf=how))
    np.testing.assert_allclose(found, probability, atol=2e-5)


def test_the_field_in_tiles_is_near_the_whole(monkeypatch):
    needs("crf")
    probability, image = wall(4, 150, 170)
    whole = refine(probability, image, choose("crf"))
    monkeypatch.setattr("fissura.refine.crf.TILE", 96)
    gap = np.abs(refine(probability, image, choose("crf")) - whole)
    assert gap.max() < 0.1
    assert gap.mean() < 2e-3


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(InputError, match=r"pip install 'fissura\[crf\]'"):
        refine(*wall(0), choose("crf"))


# ---- through the pipeline ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["guided", "guided-released", "crf"])
def test_the_pipeline_carries_what_a_refinement_needs_through_tiles(name):
    _, image = wall(5, 130, 170)
    network = SideNetwork()
    darkness = (110 - image.mean(2)) / 20
    both = [(1 / (1 + np.exp(-z))).astype(np.float32) for z in (darkness, darkness / 2 - 1)]
    asked = choose(needs(name), tile=64, overlap=16)
    found = crack_map(image, network, asked)
    assert len(network.seen) > 1
    np.testing.assert_allclose(found, refine(both[0], image, asked, both[1]), atol=1e-3)


@pytest.mark.parametrize("name", sorted(SIDE_GUIDED))
def test_a_network_without_sides_is_refused_by_name(name, tmp_path):
    import fissura

    predictor = fissura.load(write_toy_model(tmp_path / "toy.onnx"), refine=name)
    with pytest.raises(InputError, match=f"refine {name}: toy gives logits but no side1"):
        list(predictor.predict(wall(0)[1]))


def test_the_threshold_of_the_released_filter_is_its_own():
    network = SideNetwork()
    assert resolve(choose("none"), network).threshold == 0.5
    assert resolve(choose("guided"), network).threshold == 0.5
    assert resolve(choose("guided-released"), network).threshold == 0.48
    assert resolve(choose("guided-released", threshold=0.3), network).threshold == 0.3


@pytest.mark.parametrize(
    ("card", "asked", "want"),
    [
        ((512, 96), {}, (512, 96)),
        ((512, 96), {"input_scale": 2}, (256, 48)),
        ((512, None), {}, (512, 64)),
        ((64, 96), {}, (64, 32)),
        ((512, 96), {"tile": 300}, (300, 96)),
        ((512, 96), {"tile": 300, "overlap": 20}, (300, 20)),
        ((512, 96), {"overlap": 20}, (512, 20)),
        ((None, None), {"tile": 300}, (300, 64)),
    ],
)
def test_the_tile_is_the_models_unless_told(card, asked, want):
    found = choose_tile((3000, 4000), SideNetwork(*card).card, PredictSettings(**asked))
    assert found == want


def test_no_tile_is_larger_than_the_model_wants():
    network = SideNetwork(tile=64, overlap=16)
    crack_map(np.zeros((150, 170, 3), np.uint8), network, PredictSettings())
    assert max(max(size) for size in network.seen) <= 64


# ---- evaluate and the command line ---------------------------------------------------------


def write_set(root: Path, maps_too: Sequence[str] = ()) -> Path:
    """Two pictures with masks; 8-bit maps in the folders named."""
    for seed, name in enumerate(("a", "b")):
        probability, image = wall(seed)
        layers = {"images": image, "masks": ((image.mean(2) < 115) * 255).astype(np.uint8)}
        layers |= dict.fromkeys(maps_too, (probability * 255).astype(np.uint8))
        for folder, values in layers.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / folder / f"{name}.png")
    return root


def mean_iou(predictions: Path, data: Path, out: Path, name: str) -> float:
    how = EvaluateSettings(resamples=0, predict=choose(name))
    report = evaluate(predictions, data, None, None, "liu2019-release", out, how)
    return float(report["results"][0]["pooled"]["mean_iou"]["value"])


def test_stored_maps_are_refined_before_they_are_scored(tmp_path):
    data = write_set(tmp_path / "set")
    stored = write_set(tmp_path / "maps", ["probability", "side1"])
    plain = mean_iou(stored, data, tmp_path / "plain", "none")
    for name in ("guided", "guided-released"):
        assert mean_iou(stored, data, tmp_path / name, name) != plain


def test_stored_maps_without_side_maps_are_refused(tmp_path):
    data = write_set(tmp_path / "set")
    stored = write_set(tmp_path / "maps", ["probability"])
    with pytest.raises(InputError, match="side1 is missing"):
        mean_iou(stored, data, tmp_path / "out", "guided-released")


def test_predict_takes_the_refinement_and_its_settings(tmp_path):
    data, model = write_set(tmp_path / "set"), write_toy_model(tmp_path / "toy.onnx")
    line = ["predict", str(data / "images"), "--model", str(model), "--out", str(tmp_path / "out")]
    line += ["--formats", "json", "--refine", "guided", "--set", "guided.radius_px=3"]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.stderr
    written = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert written["refine"] == "guided"
    assert written["guided"] == GuidedSettings(radius_px=3).model_dump()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--refine", "gided"], "setting 'refine'"),
        (["--set", "guided.radius=3"], "did you mean 'radius_px'"),
        (["--set", "crf.iterations=0"], "setting 'crf.iterations'"),
        (["--set", "guided.eps=1e-9"], "setting 'guided.eps'"),
        (["--refine", "guided", "--method", "blackhat"], "leave it out for --method"),
    ],
)
def test_mistakes_are_told_in_one_line(more, said, tmp_path):
    result = CliRunner().invoke(app, ["evaluate", "--data", str(tmp_path), *more])
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
