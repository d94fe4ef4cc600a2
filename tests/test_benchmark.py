"""Figures that add up, in turn and not one after the other, and the plain reference agrees."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys

import numpy as np
import pytest
from conftest import ROOT
from small_cgnet import model_folder
from small_models import small_arguments

from fissura.benchmark import WARM_UP, Workload, benchmark, interleave, prepare, versus
from fissura.costs import cost_of
from fissura.engines import open_engine
from fissura.types import InputError

QUICK = Workload((48, 64), frames=5, threads=1, memory=False)


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_model_is_timed():
    timing = benchmark(model_folder() / "cgnet.onnx", "onnxruntime", QUICK)
    assert (timing.model, timing.engine, timing.frames) == ("cgnet", "onnxruntime", 5)
    assert 0 < timing.median_ms <= timing.p95_ms
    assert timing.megapixels_per_s == pytest.approx(48 * 64 / 1e3 / timing.median_ms)
    assert timing.peak_memory_mb is None or timing.peak_memory_mb > 10
    assert "cgnet on onnxruntime float32, 48×64" in str(timing)
    assert set(timing.stages_ms) == {"read", "network", "measure", "write"}
    assert min(timing.stages_ms.values()) > 0
    assert str(timing).splitlines()[1].startswith("one picture, stage by stage: read ")
    json.dumps(dataclasses.asdict(timing))


def test_cost_is_counted_and_weighed():
    from fissura.weights import read_card

    path = model_folder() / "cgnet.onnx"
    card = read_card(path)
    small, large = (cost_of(card, (64, side)) for side in (64, 128))
    assert small.file_bytes == path.stat().st_size
    assert small.parameters == large.parameters > 1000
    assert small.macs < large.macs <= 2 * small.macs
    assert "MACs" in str(small)
    unknown = cost_of(dataclasses.replace(card, name="toy"), (64, 64))
    assert (unknown.macs, unknown.parameters) == (None, None)
    assert str(unknown) == f"file {small.file_bytes / 1e6:.3g} MB"


def test_bytes_of_openvino_are_those_of_graph_and_weights(tmp_path):
    from fissura.weights import read_card

    card = read_card(model_folder() / "cgnet.onnx")
    path = tmp_path / "cgnet.xml"
    path.write_bytes(bytes(10))
    path.with_suffix(".bin").write_bytes(bytes(1000))
    found = cost_of(dataclasses.replace(card, path=path), (64, 64))
    assert found.file_bytes == 1010


def test_multiply_adds_are_those_of_the_formula(monkeypatch):
    torch = pytest.importorskip("torch")
    from fissura.models import MODELS
    from fissura.models.cost import count

    monkeypatch.setitem(MODELS, "one", lambda width: torch.nn.Conv2d(3, width, 5, padding=2))
    assert count("one", {"width": 7}, (16, 24)) == (16 * 24 * 3 * 7 * 25, 3 * 7 * 25 + 7)


def detector(folder):
    """A streaming detector of three frames as safetensors."""
    torch = pytest.importorskip("torch")
    from fissura.models import MODELS
    from fissura.weights.network import new_card, save_safetensors

    torch.manual_seed(0)
    arguments = small_arguments("beltcrackdet_lite") | {"frames": 3}
    card = new_card("beltcrackdet_lite", arguments, size_hw=(64, 64))
    path = folder / "belt.safetensors"
    save_safetensors(MODELS["beltcrackdet_lite"](**arguments).eval(), card, path)
    return path


def test_streaming_is_timed_against_windows(tmp_path):
    path = detector(tmp_path)
    workload = dataclasses.replace(QUICK, size_hw=None, stream=True)
    found = versus(path, "torch", "naive", workload)
    assert found.first.streams
    assert not found.second.streams
    assert found.first.cost.macs < found.second.cost.macs
    assert found.largest_difference <= 1e-4
    assert "64×64, streaming" in str(found)
    alone = benchmark(path, "torch", workload)
    assert alone.stages_ms is not None


def test_streaming_takes_each_frame_once(tmp_path):
    engine = open_engine(detector(tmp_path), "torch", threads=1)
    workload = Workload(stream=True).fitted(engine.card)
    picture, calls = workload.picture(), []

    class Counting:
        streams, card, name = True, engine.card, engine.name

        def run_frame(self, image):
            calls.append(next(k for k, frame in enumerate(picture) if (frame == image).all()))
            return engine.run_frame(image)

        def fuse(self, frames):
            assert len(frames) == 3
            return engine.fuse(frames)

    run = prepare(Counting(), workload)
    assert calls == [0, 1, 2]
    for _ in range(4):
        run()
    assert calls[3:] == [0, 1, 2, 0]


def test_what_does_not_stream_is_told():
    model = model_folder() / "cgnet.onnx"
    with pytest.raises(InputError, match="cgnet on onnxruntime does not stream; choose"):
        benchmark(model, "onnxruntime", dataclasses.replace(QUICK, stream=True))


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


@pytest.mark.parametrize(
    "name", ["beltcrackdet", "cgnet", "cssr", "deepcrack_liu", "deepcrack_zou"]
)
def test_reference_written_from_the_description_agrees_with_the_network(name, tmp_path):
    from fissura.models import MODELS
    from fissura.weights.network import new_card, save_safetensors

    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    arguments = small_arguments(name)
    path = tmp_path / "small.safetensors"
    network = MODELS[name](**arguments).eval()
    if name == "beltcrackdet":
        torch.nn.init.constant_(network.neck.nolocal.gamma, 0.3)
    save_safetensors(network, new_card(name, arguments), path)
    shape = (5, 96, 128, 3) if name == "beltcrackdet" else (75, 91, 3)
    image = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    found = script("naive").Reference(path).run(image)
    own = open_engine(path, "torch", threads=1).run(image)
    assert set(found) == set(own)
    for output in own:
        np.testing.assert_allclose(found[output], own[output], atol=1e-4)


def test_import_report_is_read_right():
    report = "import time:  10 |  20 |   numpy.linalg\nimport time: 1 | 2 | torchvision\nnoise"
    assert script("coldstart").imported(report) == {"numpy", "torchvision"}
