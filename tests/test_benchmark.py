"""Figures that add up, in turn and not one after the other, and the plain reference agrees."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from conftest import ROOT
from small_cgnet import model_folder
from small_models import small_arguments

from fissura.benchmark import WARM_UP, Workload, benchmark, interleave, versus
from fissura.engines import open_engine
from fissura.types import InputError

QUICK = Workload((48, 64), frames=5, threads=1, memory=False)


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_model_is_timed():
    timing = benchmark(model_folder() / "cgnet.onnx", "onnxruntime", QUICK)
    assert (timing.model, timing.engine, timing.frames) == ("cgnet", "onnxruntime", 5)
    assert 0 < timing.median_ms <= timing.p95_ms
    assert timing.megapixels_per_s == pytest.approx(48 * 64 / 1e3 / timing.median_ms)
    assert timing.peak_memory_mb is None or timing.peak_memory_mb > 10
    assert "cgnet on onnxruntime float32, 48×64" in str(timing)
    json.dumps(dataclasses.asdict(timing))


@pytest.mark.parametrize("other", ["naive", ":torch", "{model}:torch", "{model}", ":openvino"])
def test_two_are_timed_in_turn(other):
    pytest.importorskip(other.partition(":")[2] or "torch")
    model = model_folder() / "cgnet.onnx"
    found = versus(model, "onnxruntime", other.format(model=model), QUICK)
    assert found.second.engine == (other.partition(":")[2] or found.second.engine)
    assert 0 < found.ratio_low <= found.ratio <= found.ratio_high
    assert found.largest_difference <= 1e-4
    assert "times as fast" in str(found)


def test_memory_of_two_is_that_of_each_alone():
    model = model_folder() / "cgnet.onnx"
    found = versus(model, "onnxruntime", "naive", dataclasses.replace(QUICK, memory=True))
    light, heavy = found.first.peak_memory_mb, found.second.peak_memory_mb
    assert light is not None
    assert heavy is not None
    assert 10 < light < heavy  # torch alone is larger than all of ONNX Runtime
    assert "of the memory" in str(found)


def test_runs_alternate_and_warm_up_does_not_count():
    calls = []
    seconds = interleave([lambda: calls.append("a"), lambda: calls.append("b")], 3)
    assert seconds.shape == (3, 2)
    assert "".join(calls) == "ab" * WARM_UP + "ab" + "ba" + "ab"


@pytest.mark.parametrize("workload", [{"frames": 0}, {"size_hw": (0, 9)}])
def test_impossible_workloads_are_refused(workload):
    with pytest.raises(InputError, match="give"):
        Workload(**workload)


@pytest.mark.parametrize("name", ["cgnet", "cssr", "deepcrack_liu", "deepcrack_zou"])
def test_reference_written_from_the_description_agrees_with_the_network(name, tmp_path):
    from fissura.models import MODELS
    from fissura.weights.network import new_card, save_safetensors

    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    arguments = small_arguments(name)
    path = tmp_path / "small.safetensors"
    save_safetensors(MODELS[name](**arguments), new_card(name, arguments), path)
    image = np.random.default_rng(5).integers(0, 256, (75, 91, 3), np.uint8)
    found = script("naive").Reference(path).run(image)
    own = open_engine(path, "torch", threads=1).run(image)
    assert set(found) == set(own)
    for output in own:
        np.testing.assert_allclose(found[output], own[output], atol=1e-4)


def test_import_report_is_read_right():
    report = "import time:  10 |  20 |   numpy.linalg\nimport time: 1 | 2 | torchvision\nnoise"
    assert script("coldstart").imported(report) == {"numpy", "torchvision"}
