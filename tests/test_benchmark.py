"""Figures that add up, in turn and not one after the other, and the plain reference agrees."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from conftest import ROOT
from small_cgnet import model_folder

from fissura.benchmark import WARM_UP, Workload, benchmark, interleave, versus
from fissura.engines import open_engine
from fissura.types import InputError

QUICK = Workload((48, 64), frames=5, threads=1)


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


def test_runs_alternate_and_warm_up_does_not_count():
    calls = []
    seconds = interleave([lambda: calls.append("a"), lambda: calls.append("b")], 3)
    assert seconds.shape == (3, 2)
    assert "".join(calls) == "ab" * WARM_UP + "ab" + "ba" + "ab"


@pytest.mark.parametrize("workload", [{"frames": 0}, {"size_hw": (0, 9)}])
def test_impossible_workloads_are_refused(workload):
    with pytest.raises(InputError, match="give"):
        Workload(**workload)


def test_reference_written_from_the_description_agrees_with_the_network():
    folder = model_folder()
    image = np.random.default_rng(5).integers(0, 256, (75, 91, 3), np.uint8)
    found = script("naive").Reference(folder / "cgnet.safetensors").run(image)["logits"]
    own = open_engine(folder / "cgnet.safetensors", "torch", threads=1).run(image)["logits"]
    np.testing.assert_allclose(found, own, atol=1e-4)


def test_import_report_is_read_right():
    report = "import time:  10 |  20 |   numpy.linalg\nimport time: 1 | 2 | torchvision\nnoise"
    assert script("coldstart").imported(report) == {"numpy", "torchvision"}
