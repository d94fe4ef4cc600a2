"""OpenVINO's own files, and networks rounded to fp16 and int8: what they hold and who may ask."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_cgnet import model_folder
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from fissura.cli import app
from fissura.engines import open_engine
from fissura.export import export_model
from fissura.export.onnx import CHECK_NOTE, export_onnx
from fissura.graphs import OnnxRuntimeGraph
from fissura.synth import CrackSpec, render_crack
from fissura.types import InputError, UInt8Image
from fissura.weights import read_card
from fissura.weights.files import read_metadata


def cracks(count: int, size_hw: tuple[int, int] = (96, 128)) -> list[UInt8Image]:
    return [render_crack(CrackSpec(size_hw=size_hw), seed=seed).image for seed in range(count)]


def gap(found: Any, exact: Any) -> float:
    return float(np.abs(found - exact).max() / max(1, np.abs(exact).max()))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cgnet.xml, fp16.onnx and int8.onnx of the small network."""
    folder = tmp_path_factory.mktemp("forms")
    source = model_folder() / "cgnet.safetensors"
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, picture in enumerate(cracks(4)):
        Image.fromarray(picture).save(pictures / f"{number}.png")
    if openvino_there():
        export_model(source, folder / "cgnet.xml")
    export_model(source, folder / "fp16.onnx", precision="fp16")
    export_model(source, folder / "int8.onnx", precision="int8", calibrate=[pictures])
    return folder


def openvino_there() -> bool:
    with contextlib.suppress(ImportError):
        import openvino  # noqa: F401

        return True
    return False


def test_openvinos_files_run_as_the_network_and_hold_its_card(files: Path) -> None:
    pytest.importorskip("openvino")
    path = files / "cgnet.xml"
    assert path.with_suffix(".bin").is_file()
    engine = open_engine(path, threads=1)
    assert engine.name == "openvino"
    card, own = engine.card, read_card(model_folder() / "cgnet.onnx")
    assert (card.name, card.threshold, card.weights_sha256) == (
        own.name,
        own.threshold,
        own.weights_sha256,
    )
    (picture,) = cracks(1)
    exact = open_engine(model_folder() / "cgnet.onnx", threads=1).run(picture)["logits"]
    assert gap(engine.run(picture)["logits"], exact) < 1e-4
    assert json.loads(read_metadata(path)[CHECK_NOTE])["largest_difference"] < 1e-4


@pytest.mark.parametrize(
    ("name", "engine", "most"),
    [
        ("fp16.onnx", "onnxruntime", 5e-3),
        ("fp16.onnx", "openvino", 5e-3),
        ("int8.onnx", "onnxruntime", 0.15),
        ("int8.onnx", "openvino", 0.15),
    ],
)
def test_rounded_networks_are_near_and_say_what_they_are(
    files: Path, name: str, engine: str, most: float
) -> None:
    pytest.importorskip(engine)
    path = files / name
    opened = open_engine(path, engine, threads=1)
    assert (opened.card.precision, opened.card.title) == (path.stem, f"cgnet {path.stem}")
    own = read_card(model_folder() / "cgnet.onnx")
    assert opened.card.weights_sha256 == own.weights_sha256
    (picture,) = cracks(1)
    exact = open_engine(model_folder() / "cgnet.onnx", threads=1).run(picture)["logits"]
    assert 0 < gap(opened.run(picture)["logits"], exact) < most
    note = json.loads(read_metadata(path)[CHECK_NOTE])
    assert 0 < note["p99_difference"] <= note["largest_difference"] < most


def wide_network() -> Any:
    """Two convolutions with as many weights as make a file."""
    import torch

    class Wide(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(3, 128, 3, stride=8, padding=1)
            self.second = torch.nn.Conv2d(128, 128, 3, padding=1)
            self.last = torch.nn.Conv2d(128, 2, 1)

        def forward(self, x: Any) -> dict[str, Any]:
            return {"logits": self.last(self.second(self.first(x).relu()).relu())}

    return Wide().eval()


def test_fp16_is_half_and_int8_a_quarter_of_the_file(tmp_path: Path) -> None:
    card = read_card(model_folder() / "cgnet.onnx")
    sizes = {}
    for precision in ("float32", "fp16", "int8"):
        path = tmp_path / f"{precision}.onnx"
        more: Any = {"precision": precision, "calibration": cracks(2)}
        export_onnx(wide_network(), card, path, **more)
        sizes[precision] = path.stat().st_size
    assert sizes["fp16"] < 0.55 * sizes["float32"]
    assert sizes["int8"] < 0.3 * sizes["float32"]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"precision": "int4"}, "precision: 'int4' is unknown; choose from float32, fp16, int8"),
        ({"precision": "int8"}, "needs pictures to take its ranges from.*--calibrate"),
        ({"calibrate": ["x.png"]}, "calibrate: is for int8 alone, not for float32"),
        ({"precision": "int8", "calibrate": ["camera:0"]}, "camera:0 has no end"),
        ({"precision": "int8", "calibrate": ["nowhere"]}, "no such file or folder"),
        ({"fmt": "openvino"}, r"ends in \.xml"),
        ({"fmt": "tflite"}, "format: 'tflite' is unknown; choose from onnx, openvino"),
    ],
)
def test_wrong_orders_are_refused(tmp_path: Path, order: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_model(model_folder() / "cgnet.safetensors", tmp_path / "out.onnx", **order)
    assert not list(tmp_path.iterdir())


def test_weights_beside_openvinos_file_are_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "belt.bin").write_bytes(b"mine")
    done = CliRunner().invoke(app, ["export", "--out", str(tmp_path / "belt.xml")])
    assert done.exit_code != 0
    assert "belt.bin: exists" in done.stderr
    assert (tmp_path / "belt.bin").read_bytes() == b"mine"


def ir(folder: Path, text: str) -> Path:
    path = folder / "made.xml"
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".bin").write_bytes(b"")
    return path


def test_openvinos_file_without_its_weights_is_named(tmp_path: Path) -> None:
    path = ir(tmp_path, NOTED.format('<fissura.name value="1"/>'))
    path.with_suffix(".bin").unlink()
    with pytest.raises(InputError, match=r"made\.xml: needs its weights, made\.bin, beside it"):
        read_card(path)


NOTED = "<net><rt_info><framework>{}</framework></rt_info></net>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<net><rt_info/></net>", "was not written by fissura"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><net>&b;</net>', "is damaged"),
        ("<net>", "is damaged"),
        ("", "is damaged"),
        ('<?xml version="1.0" encoding="rot13"?><net>', "is damaged"),
        ("<a>" * 100, "is damaged"),
        (NOTED.format("".join(f'<fissura.n{n} value="1"/>' for n in range(300))), "is damaged"),
        (NOTED.format('<fissura.name value="&quot;cgnet&quot;"/>'), "belongs to another export"),
        ('<net><framework><fissura.name value="1"/></framework></net>', "was not written"),
    ],
)
def test_foreign_and_hostile_xml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_card(ir(tmp_path, text))


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_mutated_xml_never_crashes_the_reader(tmp_path: Path, files: Path, data: Any) -> None:
    pytest.importorskip("openvino")
    content = bytearray((files / "cgnet.xml").read_bytes()[-4000:])
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = ir(tmp_path, "")
    path.write_bytes(b"<net><rt_info>" + content)
    with contextlib.suppress(InputError):
        read_card(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [("cut", "belongs to another export"), ("other graph", "openvino cannot run this file")],
)
def test_openvinos_file_that_cannot_run_is_one_sentence(
    tmp_path: Path, files: Path, damage: str, message: str
) -> None:
    pytest.importorskip("openvino")
    path = tmp_path / "cgnet.xml"
    text = (files / "cgnet.xml").read_text(encoding="utf-8")
    weights = (files / "cgnet.bin").read_bytes()
    path.write_text(text if damage == "cut" else text.replace('type="Convolution"', 'type="No"'))
    path.with_suffix(".bin").write_bytes(weights[: 100 if damage == "cut" else None])
    with pytest.raises(InputError, match=message) as caught:
        open_engine(path)
    assert "\n" not in str(caught.value)


def test_no_engine_takes_a_rounded_file_for_an_exact_one(tmp_path: Path, files: Path) -> None:
    shutil.copy(model_folder() / "cgnet.safetensors", tmp_path)
    shutil.copy(files / "int8.onnx", tmp_path / "cgnet.onnx")
    for name, engine in (("cgnet.safetensors", "onnxruntime"), ("cgnet.onnx", "torch")):
        with pytest.raises(InputError, match=r"is (int8|float32) where .* is (int8|float32)"):
            open_engine(tmp_path / name, engine)


def test_weights_alone_are_sent_to_their_file(files: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(InputError, match=r"weights alone of cgnet\.xml; give that file"):
        open_engine(files / "cgnet.bin")


def test_openvino_finds_its_own_file_beside_the_weights(tmp_path: Path, files: Path) -> None:
    pytest.importorskip("openvino")
    shutil.copy(model_folder() / "cgnet.safetensors", tmp_path)
    for name in ("cgnet.xml", "cgnet.bin"):
        shutil.copy(files / name, tmp_path)
    engine = open_engine(tmp_path / "cgnet.safetensors", "openvino", threads=1)
    assert engine.card.path == tmp_path / "cgnet.xml"


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fissura.export import files as writer

    card, out = read_card(model_folder() / "cgnet.onnx"), tmp_path / "mine.onnx"
    out.write_bytes(b"before")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        export_onnx(wide_network(), card, out)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.onnx"]
    assert out.read_bytes() == b"before"


def tiny_graph() -> Any:
    """conv → side (an output) → conv → relu → fused (an output), and a product of large values."""
    from onnx import TensorProto, helper, numpy_helper

    n, rng = helper.make_node, np.random.default_rng(0)
    values = {
        "w1": rng.normal(size=(16, 3, 3, 3)),
        "w2": rng.normal(size=(16, 16, 3, 3)),
        "w3": rng.normal(size=(2, 16, 3, 3)),
        "bias": np.full(512, 0.1),
        "huge": np.full((16, 32), 1e5),
        "huge2": np.full((32, 16), 1e5),
    }
    nodes = [
        n("Conv", ["x", "w1"], ["a"], "first"),
        n("Conv", ["a", "w2"], ["side"], "middle"),
        n("Conv", ["side", "w3"], ["b"], "last"),
        n("Relu", ["b"], ["fused"], "act"),
        n("MatMul", ["huge", "huge2"], ["other"], "product"),
    ]
    outputs = ("side", "fused", "other")
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_convolutions_that_give_answers_are_the_last_ones() -> None:
    from fissura.export.int8 import last_convolutions

    assert set(last_convolutions(tiny_graph())) == {"middle", "last"}


def test_values_far_from_all_others_blur_the_rest() -> None:
    from onnx import TensorProto, helper

    from fissura.export.blur import blur

    given_model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1000))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1000))],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    values = np.random.default_rng(0).normal(3, 2, (2, 1, 1000)).astype(np.float32)
    found = blur(given_model, ["y"], [{"x": one} for one in values])["y"]
    step = (values.max() - values.min()) / 255
    assert found == pytest.approx(step / 12**0.5 / values.std(), rel=1e-3)
    values[0, 0, 0] = 500
    assert blur(given_model, ["y"], [{"x": one} for one in values])["y"] > 5 * found
    far = np.random.default_rng(0).normal(30000, 1, (1, 1000)).astype(np.float32)
    step = far.max() / 255
    found = blur(given_model, ["y"], [{"x": far}])["y"]
    assert found == pytest.approx(step / 12**0.5 / far.std(), rel=1e-2)
    still = [{"x": np.ones((1, 1000), np.float32)}]
    assert blur(given_model, ["y"], still)["y"] == 0


def test_convolutions_of_far_values_stay_as_they_are() -> None:
    from fissura.export.int8 import blurred_convolutions

    x = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)
    assert blurred_convolutions(tiny_graph(), [{"x": x}]) == []
    x[0, 0, 0, 0] = 1e4
    assert "first" in blurred_convolutions(tiny_graph(), [{"x": x}])
    x[0, 0, 0, 0] = np.nan
    assert "first" in blurred_convolutions(tiny_graph(), [{"x": x}])


def test_fp16_keeps_biases_large_values_and_the_given_model() -> None:
    from onnx import TensorProto

    from fissura.export.fp16 import to_fp16

    given_model = tiny_graph()
    before = given_model.SerializeToString()
    found = to_fp16(given_model)
    assert given_model.SerializeToString() == before
    kinds = {one.name: one.data_type for one in found.graph.initializer}
    halves = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16}
    assert halves == {"w1.fp16", "w2.fp16", "w3.fp16"}
    x = {"x": np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)}
    exact, half = (
        OnnxRuntimeGraph(Path("g.onnx"), 1, one.SerializeToString()).run(x)
        for one in (given_model, found)
    )
    for name, values in exact.items():
        assert gap(half[name], values) < 5e-3
    np.testing.assert_array_equal(half["other"], exact["other"])


def test_the_command_rounds_for_openvino_with_a_folder_of_pictures(
    tmp_path: Path, files: Path
) -> None:
    pytest.importorskip("openvino")
    out = tmp_path / "small.xml"
    order = ["export", "--model", str(model_folder() / "cgnet.safetensors"), "--out", str(out)]
    order += ["--precision", "int8", "--calibrate", str(files / "pictures")]
    done = CliRunner().invoke(app, order)
    assert done.exit_code == 0, done.stderr
    assert re.search(r"int8 in \d+ of \d+ convolutions: largest difference", done.stdout)
    assert {path.name for path in tmp_path.iterdir()} == {"small.xml", "small.bin"}
    assert read_card(out).title == "cgnet int8"
    assert "openvino" in json.loads(read_metadata(out)[CHECK_NOTE])
