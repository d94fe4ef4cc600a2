"""Every engine runs the same file to the same numbers, and says what it cannot do."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from small_cgnet import model_folder

from fissura.engines import available_cores, open_engine
from fissura.types import InputError

MODULES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "torch": "torch"}


@pytest.fixture(params=MODULES)
def engine_name(request):
    pytest.importorskip(MODULES[request.param])
    return request.param


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def reference(image):
    torch = pytest.importorskip("torch")
    from fissura.weights.network import load_module

    network, card = load_module(model_folder() / "cgnet.safetensors")
    planes = torch.from_numpy((image - np.array(card.mean_rgb)).transpose(2, 0, 1)[None]).float()
    with torch.inference_mode():
        return network(planes)["logits"][0].numpy()


@pytest.mark.parametrize("size_hw", [(64, 96), (1, 1), (75, 43), (130, 33)])
def test_engines_agree_with_the_network(engine_name, size_hw):
    engine = open_engine(model_folder() / "cgnet.onnx", engine_name, threads=1)
    image = picture(*size_hw)
    found = engine.run(image)["logits"]
    assert engine.name == engine_name
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference(image), atol=1e-4)


def test_outputs_are_the_callers_own(engine_name):
    engine = open_engine(model_folder() / "cgnet.onnx", engine_name, threads=1)
    first = engine.run(picture(40, 40))["logits"]
    kept = first.copy()
    engine.run(picture(40, 40, seed=1))
    np.testing.assert_array_equal(first, kept)


def test_a_view_of_a_larger_picture_runs_as_its_copy(engine_name):
    engine = open_engine(model_folder() / "cgnet.onnx", engine_name, threads=1)
    view = picture(80, 90)[5:70, 9:80]
    np.testing.assert_array_equal(
        engine.run(view)["logits"], engine.run(np.ascontiguousarray(view))["logits"]
    )


def test_auto_takes_the_engine_that_the_file_is_made_for():
    folder = model_folder()
    assert open_engine(folder / "cgnet.onnx").name == "onnxruntime"
    assert open_engine(folder / "cgnet.safetensors").name == "torch"
    assert open_engine(folder / "cgnet.safetensors", "onnxruntime").name == "onnxruntime"


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_bf16_is_close_but_not_the_default(name):
    pytest.importorskip(name)
    image = picture(64, 64)
    exact = reference(image)
    found = open_engine(model_folder() / "cgnet.onnx", name, "bf16", threads=1).run(image)
    assert np.abs(found["logits"] - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorflow"}, "engine: 'tensorflow' is unknown; choose from auto,"),
        ({"precision": "int4"}, "precision: 'int4' is unknown; choose from float32, bf16"),
        ({"precision": "int8"}, "int8 is that of a file; write one with `fissura export"),
        ({"engine": "onnxruntime", "precision": "bf16"}, "ONNX Runtime has no bf16"),
        ({"threads": 0}, "threads: 0 is not in 1 to"),
        ({"threads": 2000}, "threads: 2000 is not in 1 to"),
    ],
)
def test_impossible_choices_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        open_engine(model_folder() / "cgnet.onnx", **options)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_graph_that_cannot_run_is_one_sentence(tmp_path, name, capfd):
    pytest.importorskip(name)
    onnx = pytest.importorskip("onnx")
    model = onnx.load(model_folder() / "cgnet.onnx")
    model.graph.node[3].op_type = "NoSuchOperator"
    path = tmp_path / "odd.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=f"{name} cannot run this file") as caught:
        open_engine(path, name)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("engine", "extra"), [("torch", "train"), ("openvino", "openvino")])
def test_a_missing_extra_is_named(monkeypatch, engine, extra):
    folder = model_folder()
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(InputError, match=rf"pip install 'fissura\[{extra}\]'"):
        open_engine(folder / "cgnet.onnx", engine)


def test_default_engine_imports_no_torch_and_is_silent():
    code = (
        "import sys, numpy as np; from fissura.engines import open_engine;"
        "open_engine(sys.argv[1]).run(np.zeros((32, 32, 3), np.uint8));"
        "sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(model_folder() / "cgnet.onnx")],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_default_threads_are_the_cores_of_this_process():
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))


def test_torch_without_memory_is_one_sentence(monkeypatch):
    torch = pytest.importorskip("torch")
    engine = open_engine(model_folder() / "cgnet.safetensors")

    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch.nn.Conv2d, "_conv_forward", full)
    with pytest.raises(InputError, match=r"torch failed on 16×24 pixels .*give a smaller tile"):
        engine.run(np.zeros((16, 24, 3), np.uint8))
