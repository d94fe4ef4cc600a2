"""CSSR as a file: both orders, statistics of the whole for tiles, and what is written otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_exports import CSSR_CASES, exported
from small_models import small_arguments

pytest.importorskip("torch")
import torch
from torch import nn

from fissura.config import PredictSettings
from fissura.engines import open_engine
from fissura.export.onnx import export_onnx
from fissura.export.rewrites import DeconvAsConv, rewrite
from fissura.maps import enlarged_map
from fissura.models.cssr import CSSR, standardises
from fissura.models.dbpn import DBPN, DeconvPReLU
from fissura.types import InputError, UInt8Image
from fissura.weights.network import new_card
from fissura.windows import map_tiles, mean_and_variance

ENGINES = ("onnxruntime", "openvino", "torch")
OTHERS = ENGINES[:2]
TILE = PredictSettings(tile=144, overlap=72)
"""An overlap twice as wide as the small network sees in pixels of the small picture."""


def shaded(height: int, width: int) -> UInt8Image:
    """Noise in light that falls to a fifth from left to right."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return np.asarray(noise * np.linspace(1, 0.2, width)[:, None], np.uint8)


def probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("case", CSSR_CASES)
@pytest.mark.parametrize("name", OTHERS)
def test_engines_agree_with_torch(case: str, name: str) -> None:
    pytest.importorskip(name)
    image = shaded(41, 60)
    exact = open_engine(exported(case), "torch", threads=1).run(image)
    found = open_engine(exported(case), name, threads=1).run(image)
    assert found.keys() == exact.keys()
    for key, values in exact.items():
        bounded = probability if key == "logits" else np.asarray
        np.testing.assert_allclose(bounded(found[key]), bounded(values), atol=1e-4)


def test_a_network_of_one_channel_is_refused(tmp_path: Path) -> None:
    arguments = small_arguments("dbpn") | {"channels": 1}
    with pytest.raises(InputError, match="export: dbpn does not take a picture of colour"):
        export_onnx(DBPN(**arguments), new_card("dbpn", arguments), tmp_path / "dbpn.onnx")


@pytest.mark.parametrize("name", ENGINES)
def test_a_picture_is_its_own_whole(name: str) -> None:
    pytest.importorskip(name)
    engine = open_engine(exported("cssr"), name, threads=1)
    assert engine.standardises
    image = shaded(48, 64)
    outputs = engine.run(image)
    np.testing.assert_allclose(engine.draw(image), outputs["image"], atol=1e-5)
    planes = outputs["image"].astype(float)
    own = np.array([planes.mean((1, 2)), planes.var((1, 2))], np.float32)
    given = engine.run_tile(image, own)
    np.testing.assert_allclose(given["logits"], outputs["logits"], atol=1e-4)
    brighter = engine.run_tile(image, own + np.array([[0.1], [0]], np.float32))
    assert np.abs(brighter["logits"] - outputs["logits"]).max() > 1e-2


@pytest.mark.parametrize("name", ENGINES)
def test_tiles_of_a_local_network_give_the_same_as_the_whole(name: str) -> None:
    pytest.importorskip(name)
    engine = open_engine(exported("cssr"), name, threads=1)
    image = shaded(32, 208)
    whole, drawn = enlarged_map(image, engine, PredictSettings(tile=208, overlap=0))
    tiled, drawn_in_tiles = enlarged_map(image, engine, TILE)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert np.abs(drawn_in_tiles.astype(int) - drawn).max() <= 1
    each = map_tiles(image, lambda tile: probability(engine.run(tile)["logits"]), 144, 72, None, 4)
    assert np.abs(each - whole).max() > 1e-3


@pytest.mark.parametrize("name", ENGINES)
def test_who_does_not_standardise_wants_no_statistics(name: str) -> None:
    pytest.importorskip(name)
    assert not open_engine(exported("cssr_inverse"), name, threads=1).standardises
    assert not standardises(CSSR(**small_arguments("cssr"), normalisation="fixed"))


def test_statistics_are_those_of_the_map_that_is_never_held() -> None:
    image = shaded(50, 130)
    run = lambda tile: np.moveaxis(tile, 2, 0) / np.float32(255)  # noqa: E731
    held = map_tiles(image, run, 40, 8).astype(float)
    found = mean_and_variance(image, run, 40, 8)
    np.testing.assert_allclose(found, [held.mean((1, 2)), held.var((1, 2))], atol=1e-7)
    twice = lambda tile: run(tile).repeat(2, 1).repeat(2, 2)  # noqa: E731
    np.testing.assert_allclose(mean_and_variance(image, twice, 40, 8, 2), found, atol=1e-7)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("size_hw", [(1, 1), (3, 7)])
def test_a_transposed_convolution_is_a_convolution_of_blocks(
    scale: int, size_hw: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(DeconvPReLU(5, scale)).double()
    nn.init.normal_(network[0].deconv.bias)
    x = torch.randn(2, 5, *size_hw, dtype=torch.float64)
    with torch.inference_mode():
        expected = network(x)
        rewrite(network)
        assert isinstance(network[0], DeconvAsConv) == (scale != 8)
        torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


def test_rewritten_super_resolution_is_the_same_function() -> None:
    torch.manual_seed(0)
    network = DBPN(scale=4, stages=3, width=4).double().eval()
    x = torch.rand(1, 3, 9, 6, dtype=torch.float64)
    with torch.inference_mode():
        expected = network(x)["image"]
        rewrite(network)
        torch.testing.assert_close(network(x)["image"], expected, rtol=1e-12, atol=1e-12)
