"""Both DeepCracks in every engine: all six outputs, any size, the first of equal maxima."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_exports import CASES, exported

from fissura.benchmark import NaiveEngine
from fissura.engines import open_engine
from fissura.export.check import difference, differences
from fissura.weights.files import read_metadata

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from fissura.export.onnx import export_onnx  # noqa: E402
from fissura.export.rewrites import rewrite  # noqa: E402
from fissura.models import MODELS  # noqa: E402
from fissura.models.deepcrack_zou import Fusion, Pool, Unpool  # noqa: E402
from fissura.weights.network import new_card, save_safetensors  # noqa: E402

OUTPUTS = ["logits", "side1", "side2", "side3", "side4", "side5"]
every_case = pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow) if case == "zou" else case for case in CASES],
)
every_graph_engine = pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@every_case
def test_every_output_is_named_and_checked(case):
    note = json.loads(read_metadata(exported(case))["fissura.export_check"])
    assert 0 < note["largest_difference"] <= 1e-4
    outputs = open_engine(exported(case), "onnxruntime", threads=1).run(noise(40, 56))
    assert list(outputs) == OUTPUTS
    assert {values.shape for values in outputs.values()} == {(1, 40, 56)}
    assert all(np.ptp(values) > 1e-3 for values in outputs.values())


@every_case
@every_graph_engine
@pytest.mark.parametrize("size_hw", [(64, 96), (1, 1), (75, 43), (80, 112)])
def test_engines_agree_on_all_outputs(case, engine, size_hw):
    pytest.importorskip(engine)
    image = noise(*size_hw)
    exact = open_engine(exported(case), "torch", threads=1).run(image)
    found = open_engine(exported(case), engine, threads=1).run(image)
    for name in OUTPUTS:
        # One pixel, mirrored, is all ties up to rounding, which decides on them in each engine.
        allowed = 1e-2 if (case, size_hw) == ("zou", (1, 1)) else 1e-4
        assert difference(exact[name], found[name]) <= allowed, name


@every_case
@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_bf16_is_close(case, engine):
    pytest.importorskip(engine)
    image = noise(64, 64)
    exact = open_engine(exported(case), "torch", threads=1).run(image)["logits"]
    found = open_engine(exported(case), engine, "bf16", threads=1).run(image)["logits"]
    assert np.quantile(differences(exact, found), 0.9) < 0.1


def test_a_batch_is_normalised_picture_by_picture():
    import onnxruntime as ort

    session = ort.InferenceSession(exported("liu_per_image"))
    batch = np.stack([noise(40, 56, seed).transpose(2, 0, 1) for seed in (0, 1)])
    together = session.run(["logits"], {"image": batch.astype(np.float32)})[0]
    single = open_engine(exported("liu_per_image"), "onnxruntime", threads=1).run(noise(40, 56, 1))
    np.testing.assert_allclose(together[1], single["logits"], atol=1e-4)


class PoolAndBack(torch.nn.Module):
    """Grey levels coarse enough for ties in most windows, pooled, changed and put back."""

    def __init__(self):
        super().__init__()
        self.pool, self.unpool = Pool(), Unpool()

    def forward(self, x):
        coarse = torch.floor(torch.nn.functional.pad(x, (0, 1, 0, 1)) / 64)
        values, places = self.pool(coarse)
        return {"logits": self.unpool(values + 1, places, coarse)}


@pytest.fixture(scope="module")
def pool_and_back(tmp_path_factory):
    path = tmp_path_factory.mktemp("ties") / "pool.onnx"
    card = new_card("deepcrack_zou", channels="rgb", std_rgb=(1.0, 1.0, 1.0))
    export_onnx(PoolAndBack().eval(), card, path)
    return path


@every_graph_engine
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("size_hw", [(4, 6), (5, 7), (64, 33), (112, 80), (1, 1)])
def test_the_first_of_equal_maxima_wins(pool_and_back, engine, precision, size_hw):
    pytest.importorskip(engine)
    if (engine, precision) == ("onnxruntime", "bf16"):
        pytest.skip("ONNX Runtime has no bf16")
    image = noise(*size_hw)
    found = open_engine(pool_and_back, engine, precision, threads=1).run(image)["logits"]
    planes = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
    np.testing.assert_array_equal(found, PoolAndBack()(planes)["logits"][0].numpy())


maps = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10**6))


@given(maps)
@settings(max_examples=60, deadline=None)
def test_ranks_remember_what_indices_do(shape):
    height, width, seed = shape
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-2, 2, (2, 3, height, width), generator=generator).float()
    network = PoolAndBack()
    values, places = network.pool(x)
    expected = network.unpool(values - 5, places, x)
    rewrite(network)
    values, ranks = network.pool(x)
    assert torch.equal(network.unpool(values - 5, ranks, x), expected)


@pytest.mark.parametrize("scale", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (5, 4)])
def test_fusion_at_low_resolution_is_the_same_function(scale, size_hw):
    torch.manual_seed(0)
    holder = torch.nn.ModuleList([Fusion(5, 4, scale).double()])
    encoded, decoded = torch.randn(2, 2, *size_hw).double(), torch.randn(2, 3, *size_hw).double()
    expected = holder[0](encoded, decoded)
    rewrite(holder)
    torch.testing.assert_close(holder[0](encoded, decoded), expected, rtol=0, atol=1e-12)


class OneFusion(torch.nn.Module):
    """Fuses a picture with itself."""

    def __init__(self):
        super().__init__()
        self.fuse = Fusion(6, 4, 4)

    def forward(self, x):
        return {"logits": self.fuse(x / 255, 1 - x / 255)}


@pytest.fixture(scope="module")
def one_fusion(tmp_path_factory):
    path = tmp_path_factory.mktemp("fusion") / "fusion.onnx"
    torch.manual_seed(0)
    network = OneFusion().eval()
    export_onnx(network, new_card("deepcrack_zou", channels="rgb", std_rgb=(1.0, 1.0, 1.0)), path)
    return network, path


@every_graph_engine
@pytest.mark.parametrize("size_hw", [(1, 1), (5, 7), (16, 12)])
def test_every_engine_fuses_alike(one_fusion, engine, size_hw):
    pytest.importorskip(engine)
    network, path = one_fusion
    image = noise(*size_hw)
    with torch.inference_mode():
        planes = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
        expected = network(planes)["logits"][0].numpy()
    found = open_engine(path, engine, threads=1).run(image)["logits"]
    np.testing.assert_allclose(found, expected, atol=3e-6 * max(1, np.abs(expected).max()))


def test_the_whole_rewritten_network_is_the_same_function():
    torch.manual_seed(0)
    network = MODELS["deepcrack_zou"](width=4).double()
    x = torch.rand(1, 3, 80, 112).double()
    with torch.inference_mode():
        expected = network(x)
        rewrite(network)
        found = network(x)
    for name in OUTPUTS:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deepcrack_liu", "deepcrack_zou"])
def test_full_networks_export_within_the_tolerance(tmp_path, name):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = MODELS[name]().eval()
    agreement = export_onnx(network, new_card(name), tmp_path / "full.onnx")
    assert agreement.ok
    save_safetensors(network, new_card(name), tmp_path / "full.safetensors")
    own, plain = ((tmp_path / f"full.{kind}").stat().st_size for kind in ("onnx", "safetensors"))
    assert own < 1.01 * plain


@pytest.mark.parametrize("grey", [0, 137, 255])
def test_torch_keeps_to_the_first_of_equals_on_an_even_picture(tmp_path, grey):
    torch.manual_seed(1)
    network = MODELS["deepcrack_zou"](width=8)
    for values in network.parameters():
        if values.ndim == 1:
            torch.nn.init.normal_(values, std=0.1)
    path = tmp_path / "zou.safetensors"
    save_safetensors(network, new_card("deepcrack_zou", {"width": 8}), path)
    picture = np.full((33, 47, 3), grey, np.uint8)
    engines = open_engine(path, "torch", threads=1), NaiveEngine(path, 1)
    one, other = (engine.run(picture) for engine in engines)
    for name, values in other.items():
        np.testing.assert_allclose(one[name], values, atol=1e-4, err_msg=name)
