"""Export keeps the numbers, stays quiet, and leaves nothing behind when it fails."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_cgnet import ARGUMENTS, model_folder

from fissura.export import export_model
from fissura.export.check import compare, difference, random_pictures, without_flips
from fissura.types import InputError
from fissura.weights.files import read_metadata

pytest.importorskip("torch")
pytest.importorskip("onnxscript")


def small_network():
    from fissura.weights.network import load_module

    return load_module(model_folder() / "cgnet.safetensors")


def test_the_check_against_torch_is_kept_in_the_file():
    note = json.loads(read_metadata(model_folder() / "cgnet.onnx")["fissura.export_check"])
    assert 0 <= note["largest_difference"] <= 1e-4
    assert note["pictures"] == 7
    assert {"torch", "onnxruntime"} <= set(note)


def test_file_is_whole_free_in_size_and_without_the_exporters_notes():
    onnx = pytest.importorskip("onnx")
    path = model_folder() / "cgnet.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model)
    (image,), (logits,) = model.graph.input, model.graph.output
    dims = [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim]
    assert (image.name, logits.name) == ("image", "logits")
    assert dims == ["n", 3, "h", "w"]
    assert not any(node.metadata_props for node in model.graph.node)
    assert path.stat().st_size < 1.3 * (model_folder() / "cgnet.safetensors").stat().st_size


def test_a_batch_runs_as_its_pictures_one_by_one():
    import onnxruntime as ort

    session = ort.InferenceSession(model_folder() / "cgnet.onnx")
    batch = np.random.default_rng(0).uniform(0, 255, (3, 3, 40, 56)).astype(np.float32)
    (together,) = session.run(None, {"image": batch})
    single = [session.run(None, {"image": batch[i : i + 1]})[0][0] for i in range(3)]
    np.testing.assert_allclose(together, np.stack(single), atol=1e-5)


def tiny_network():
    """One convolution: exports in a moment."""
    import torch

    class Tiny(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 2, 3, stride=8, padding=1)

        def forward(self, x):
            return {"logits": self.conv(x)}

    return Tiny().eval(), small_network()[1]


def test_export_is_silent_and_takes_real_pictures(tmp_path, capfd):
    from fissura.export.onnx import export_onnx

    picture = np.random.default_rng(1).integers(0, 256, (48, 40, 3), np.uint8)
    agreement = export_onnx(*tiny_network(), tmp_path / "new" / "out.onnx", [picture])
    assert agreement.ok
    assert agreement.pictures == 8
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.onnx"]


def test_disagreement_leaves_no_file(tmp_path, monkeypatch):
    from fissura.export import onnx as exporter

    original = exporter.torch_run

    def shifted(deployed):
        run = original(deployed)
        return lambda image: {name: values + 1 for name, values in run(image).items()}

    monkeypatch.setattr(exporter, "torch_run", shifted)
    with pytest.raises(InputError, match="not written, ONNX Runtime and torch disagree"):
        exporter.export_onnx(*tiny_network(), tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_does_not_run_is_one_sentence(tmp_path, monkeypatch):
    from fissura.export import onnx as exporter
    from fissura.graphs import GraphError

    def fails(*_):
        raise GraphError("bad allocation")

    monkeypatch.setattr(exporter, "compare", fails)
    model = model_folder() / "cgnet.safetensors"
    with pytest.raises(InputError, match=r"not written, its graph .*bad allocation.*memory"):
        export_model(model, tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_exported_is_one_sentence(tmp_path, capfd):
    import torch

    from fissura.export.onnx import export_onnx

    class Unexportable(torch.nn.Module):
        def forward(self, x):
            return {"logits": torch.linalg.eigvals(x[:, :, :3, :3]).real}

    _, card = small_network()
    with pytest.raises(InputError, match="cannot become ONNX") as caught:
        export_onnx(Unexportable(), card, tmp_path / "out.onnx")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_wrong_orders_are_refused(tmp_path):
    source = model_folder() / "cgnet.safetensors"
    with pytest.raises(InputError, match="format: 'tflite' is unknown"):
        export_model(source, tmp_path / "out.onnx", "tflite")
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export_model(source, tmp_path / "out.tflite")


@pytest.mark.slow
def test_full_network_exports_within_the_tolerance(tmp_path):
    import torch

    from fissura.export.onnx import export_onnx
    from fissura.models import MODELS
    from fissura.weights.network import new_card

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MODELS["cgnet"]().eval()
    agreement = export_onnx(network, new_card("cgnet"), tmp_path / "full.onnx")
    assert agreement.largest_difference <= 1e-4
    assert (tmp_path / "full.onnx").stat().st_size < 2.5e6


def test_difference_is_relative_above_one_and_never_hides_nan():
    ones = np.ones(3, np.float32)
    assert difference(ones, ones + 0.5) == pytest.approx(0.5)
    assert difference(100 * ones, 101 * ones) == pytest.approx(0.01)
    assert difference(ones, np.array([1, np.nan, 1], np.float32)) == float("inf")


def test_compare_refuses_outputs_of_another_form():
    pictures = random_pictures()[:1]
    with pytest.raises(ValueError, match="outputs differ in name or shape"):
        compare(lambda _: {"a": np.zeros(2)}, lambda _: {"a": np.zeros(3)}, pictures)


def grey(image):
    return {"logits": image[..., :1].astype(np.float32) / 255}


def test_noise_on_which_rounding_flips_a_maximum_is_replaced():
    first_noise = random_pictures()[3]

    def flipping(image):
        return grey(image if not np.array_equal(image, first_noise) else image[::-1])

    pictures = without_flips(grey, flipping)
    same = [np.array_equal(*pair) for pair in zip(pictures, random_pictures(), strict=True)]
    assert same == [True, True, True, False, True, True]
    assert compare(grey, flipping, pictures).ok


def test_what_differs_everywhere_is_found_in_spite_of_the_replacing():
    def wrong(image):
        return {"logits": grey(image)["logits"] + 0.01}

    assert not compare(grey, wrong, without_flips(grey, wrong)).ok


def test_given_pictures_are_refused_where_rounding_may_flip_maxima(tmp_path):
    from fissura.export.onnx import export_onnx
    from fissura.models import MODELS
    from fissura.weights.network import new_card

    network, picture = MODELS["deepcrack_zou"](width=1), random_pictures()[0]
    with pytest.raises(InputError, match="deepcrack_zou is compared on small noise alone"):
        export_onnx(network, new_card("deepcrack_zou"), tmp_path / "out.onnx", [picture])


def test_arguments_survive_the_round_trip():
    _, card = small_network()
    assert card.arguments == ARGUMENTS
