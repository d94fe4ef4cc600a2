"""OpenVINO's own files, and networks rounded to fp16 and int8: what they hold and who may ask."""

from __future__ import annotations

import contextlib
import json
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
from fissura.export.calibration import seen_by
from fissura.export.onnx import CHECK_NOTE, export_onnx
from fissura.synth import CrackSpec, render_crack
from fissura.types import InputError, UInt8Image
from fissura.weights import ModelCard, read_card
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
        export_onnx(wide_network(), card, path, cracks(2), precision)  # type: ignore[arg-type]
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
    path = ir(tmp_path, "<net/>")
    path.with_suffix(".bin").unlink()
    with pytest.raises(InputError, match=r"made\.xml: needs its weights, made\.bin, beside it"):
        read_card(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<net><rt_info/></net>", "was not written by fissura"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><net>&b;</net>', "is damaged"),
        ("<net>", "is damaged"),
        ("", "is damaged"),
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


@pytest.mark.parametrize("damage", ["cut", "other graph"])
def test_openvinos_file_that_cannot_run_is_one_sentence(
    tmp_path: Path, files: Path, damage: str
) -> None:
    pytest.importorskip("openvino")
    path = tmp_path / "cgnet.xml"
    text = (files / "cgnet.xml").read_text(encoding="utf-8")
    weights = (files / "cgnet.bin").read_bytes()
    path.write_text(text if damage == "cut" else text.replace('type="Convolution"', 'type="No"'))
    path.with_suffix(".bin").write_bytes(weights[: 100 if damage == "cut" else None])
    with pytest.raises(InputError, match="openvino cannot run this file") as caught:
        open_engine(path)
    assert "\n" not in str(caught.value)


DETECTOR = ModelCard(
    name="x",
    mean_rgb=(0.0, 0.0, 0.0),
    std_rgb=(1.0, 1.0, 1.0),
    classes=("crack",),
    strides=(8,),
    frames=3,
    size_hw=(32, 64),
)


def numbered(folder: Path, sequence: str, count: int) -> None:
    """Pictures that are as bright as their number."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        grey = np.full((32, 64, 3), number, np.uint8)
        Image.fromarray(grey).save(folder / f"{sequence}_{number:03d}.png")


def test_windows_are_frames_that_follow_each_other(tmp_path: Path) -> None:
    numbered(tmp_path / "one", "a", 6)
    numbered(tmp_path / "two", "b", 2)
    seen = seen_by(DETECTOR, [tmp_path])
    values = [clip[:, 0, 0, 0].tolist() for clip in seen]
    of_six = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert values == [*of_six, [0, 0, 0], [0, 0, 1]]
    assert seen[0].shape == (3, 32, 64, 3)


def test_of_many_pictures_some_are_taken_evenly(tmp_path: Path) -> None:
    numbered(tmp_path, "a", 9)
    seen = seen_by(DETECTOR, [tmp_path], most=3)
    assert [int(clip[-1, 0, 0, 0]) for clip in seen] == [0, 4, 8]


def test_videos_give_windows_from_their_whole_length(tmp_path: Path) -> None:
    from small_videos import write_video

    path = write_video(tmp_path / "belt.avi", 12)
    seen = seen_by(DETECTOR, [path], most=4)
    assert [clip.shape for clip in seen] == [(3, 32, 64, 3)] * 4
    assert not np.array_equal(seen[0], seen[-1])


def test_photographs_are_cut_in_their_middle_at_network_scale(tmp_path: Path) -> None:
    card = read_card(model_folder() / "cgnet.onnx")
    assert card.input_scale == 2
    image = np.zeros((100, 900, 3), np.uint8)
    image[:, 440:460] = 255
    Image.fromarray(image).save(tmp_path / "wide.png")
    (seen,) = seen_by(card, [tmp_path / "wide.png"])
    assert seen.shape == (200, 640, 3)
    assert seen[100, 320, 0] == 255
