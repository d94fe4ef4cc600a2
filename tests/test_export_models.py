"""Every network of MODELS becomes a file that both exporting engines run as torch does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from small_models import ARGUMENTS, small_arguments  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from fissura.cli import app  # noqa: E402
from fissura.engines import Outputs, open_engine  # noqa: E402
from fissura.export import export_model  # noqa: E402
from fissura.export.check import by_probability, compare, differences, rendered  # noqa: E402
from fissura.export.files import write_all  # noqa: E402
from fissura.export.rounding import rounded  # noqa: E402
from fissura.models import MODELS  # noqa: E402
from fissura.types import UInt8Image  # noqa: E402
from fissura.weights.network import new_card, save_safetensors  # noqa: E402
from fissura.weights.parts import parts_of  # noqa: E402

SIZE_HW = (64, 96)
ROUNDED = {"fp16": 1e-2, "int8": 0.2}
"""How far half of the values may be off, as a share of the largest: rounding may flip maxima of a
network that un-pools, and with them any number of the others."""


def saved(name: str, folder: Path) -> Path:
    arguments = small_arguments(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MODELS[name](**arguments).eval()
        for part, values in network.state_dict().items():
            if part.endswith("running_var"):
                values.uniform_(0.5, 2)
    detects = hasattr(MODELS[name], "STRIDES")
    card = new_card(name, arguments, **({"size_hw": SIZE_HW} if detects else {}))
    path = folder / f"{name}.safetensors"
    save_safetensors(network, card, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_exports_and_runs(name: str, tmp_path: Path) -> None:
    path = saved(name, tmp_path)
    agreement = export_model(path, path.with_suffix(".onnx"))
    assert agreement.ok
    exact = open_engine(path, "torch", threads=1)
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    pictures = rendered(exact.card) if exact.card.classes else [noise]
    for engine in ("onnxruntime", "openvino"):
        pytest.importorskip(engine)
        opened = open_engine(path, engine, threads=1)
        assert opened.streams == exact.streams
        runs = exact.run, opened.run
        if name == "cssr":
            runs = by_probability(runs[0]), by_probability(runs[1])
        assert compare(*runs, pictures).ok
    check_other_forms(path.with_suffix(".onnx"), pictures)


def notes_of(proto: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in proto.metadata_props}


def check_other_forms(path: Path, pictures: list[UInt8Image]) -> None:
    """OpenVINO's files, and fp16 and int8, are made of the graphs that were just written."""
    whole = open_engine(path, threads=1)
    paths = [path, *(parts_of(path) if whole.streams else [])]
    protos = {part: onnx.load(part) for part in paths}
    exact = whole.run(pictures[0])
    for precision in ("int8", "fp16"):
        made = rounded(protos, precision, pictures)
        names = {part: part.name.replace(path.stem, precision, 1) for part in made}
        write_all({path.with_name(names[part]): (proto, {}) for part, proto in made.items()})
        opened = open_engine(path.with_name(f"{precision}.onnx"), threads=1)
        check_near(opened.run(pictures[0]), exact, ROUNDED[precision], 50)
        assert opened.streams == whole.streams
        if opened.streams:
            frames = [opened.run_frame(frame) for frame in pictures[0]]
            check_near(opened.fuse(frames), exact, ROUNDED[precision], 50)
    write_all(
        {part.with_suffix(".xml"): (proto, notes_of(proto)) for part, proto in protos.items()}
    )
    opened = open_engine(path.with_suffix(".xml"), threads=1)
    assert opened.streams == whole.streams
    check_near(opened.run(pictures[0]), exact, 1e-3, 100)
    if opened.streams:
        frames = [opened.run_frame(frame) for frame in pictures[0]]
        check_near(opened.fuse(frames), exact, 1e-3, 100)


def check_near(found: Outputs, exact: Outputs, most: float, percent: float) -> None:
    """All values finite, and so many within `most`."""
    assert found.keys() == exact.keys()
    for key, values in found.items():
        assert values.shape == exact[key].shape
        assert np.isfinite(values).all()
        assert np.percentile(differences(exact[key], values), percent) < most


def test_there_are_small_arguments_for_every_network() -> None:
    assert set(ARGUMENTS) == set(MODELS)


@pytest.mark.parametrize("name", ["belt.onnx", "belt.frame.onnx", "belt.fusion.onnx"])
def test_no_export_replaces_a_file_unasked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    done = CliRunner().invoke(app, ["export", "--out", str(tmp_path / "belt.onnx")])
    assert done.exit_code != 0
    assert f"{name}: exists" in done.stderr
    assert (tmp_path / name).read_bytes() == b"mine"
