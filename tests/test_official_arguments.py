"""Networks are built as their files say, and only as large as the files are."""

from __future__ import annotations

import re
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_models import small_arguments
from typer.testing import CliRunner

from fissura.cli import app
from fissura.types import InputError
from fissura.weights import to_metadata

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import save  # noqa: E402  beside torch

from fissura.models import MODELS  # noqa: E402
from fissura.models.building import build_network  # noqa: E402
from fissura.weights.network import (  # noqa: E402
    load_module,
    new_card,
    save_safetensors,
    state_sha256,
)
from fissura.weights.origins import use_of  # noqa: E402


def _loads_as_built(name: str, arguments: dict[str, Any], folder: Path) -> None:
    torch.manual_seed(3)
    built = MODELS[name](**arguments).eval()
    path = folder / f"{name}.safetensors"
    save_safetensors(built, new_card(name, arguments), path)
    loaded, _ = load_module(path)
    kept = {**dict(built.named_parameters()), **dict(built.named_buffers())}
    found = {**dict(loaded.named_parameters()), **dict(loaded.named_buffers())}
    assert kept.keys() == found.keys()
    for key, values in kept.items():
        assert torch.equal(found[key], values), key
        assert found[key].requires_grad == values.requires_grad
    picture = torch.rand(1, 3, *((5,) if name.startswith("beltcrackdet") else ()), 64, 96)
    with torch.inference_mode():
        outputs, again = built(picture), loaded(picture)
    assert all(torch.equal(outputs[key], again[key]) for key in outputs)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_loads_as_it_was_built(name: str, tmp_path: Path) -> None:
    """Constants that no file holds are there as well."""
    arguments: dict[str, Any] = {"width": 2}
    if name == "cgnet":
        arguments = {"blocks": [2, 2]}
    if name == "cssr":
        sr, unet = {"stages": 2, "width": 4}, {"name": "unet_vgg16", "width": 4}
        arguments = {"sr": sr, "segmenter": unet, "normalisation": "fixed"}
    if name.startswith(("beltcrackdet", "yolox")):
        arguments = small_arguments(name)
    _loads_as_built(name, arguments, tmp_path)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("deepcrack_zou", {"width": 512}),
        ("deepcrack_zou", {"width": 128}),
        ("unet_resnet101", {"width": 128}),
        ("cssr", {"segmenter": {"name": "pspnet", "width": 128}}),
        ("cgnet", {"blocks": [100, 100]}),
    ],
)
def test_a_small_file_builds_no_large_network(
    name: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    state = {"a": torch.zeros(1)}
    card = replace(new_card(name, arguments), weights_sha256=state_sha256(state))
    path = tmp_path / "small.safetensors"
    path.write_bytes(save(state, to_metadata(card)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(InputError, match=r"width must be 1 to 128|does not fit the network"):
        load_module(path)
    assert time.process_time() - began < 5  # Against hanging; it takes some tenths.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        (
            "deepcrack_zou",
            {"foo": 1},
            r"'foo' is no setting; the settings are width \(a whole number\), init \(he or ",
        ),
        ("deepcrack_zou", {"width": "abc"}, "width cannot be 'abc'; the settings are width"),
        ("deepcrack_zou", {"width": 2.5}, r"width cannot be 2\.5; the settings are width"),
        ("deepcrack_zou", {"width": True}, "width cannot be True"),
        ("deepcrack_zou", {"width": 512}, "width must be 1 to 128"),
        ("deepcrack_liu", {"bn_mode": "batch"}, r"bn_mode cannot be 'batch'.*running or per_image"),
        ("cgnet", {"blocks": [3]}, r"blocks cannot be that list.*blocks \(2 whole numbers\)"),
        ("cgnet", {"blocks": [3, "x"]}, "blocks cannot be that list"),
        ("dbpn", {"skip": 1}, r"skip cannot be 1.*skip \(true or false\)"),
        ("cssr", {"sr": 4}, r"sr cannot be 4.*sr \(a name and settings\)"),
        ("cssr", {"sr": {"scale": 2}}, "sr: 'scale' is no setting; the settings are stages"),
        ("cssr", {"sr": {7: 2}}, "sr: 7 is no setting"),
        ("cssr", {"sr": {"name": ["x"]}}, "sr: name must be dbpn or bicubic"),
        ("cssr", {"sr": {"name": "bicubic", "width": 4}}, "bicubic has no settings"),
        ("cssr", {"segmenter": {"name": {}}}, "segmenter: name must be one of unet_vgg16, pspnet"),
        ("cssr", {"segmenter": {"width": None}}, "segmenter: width cannot be None"),
    ],
)
def test_settings_that_a_network_does_not_take_are_named(
    name: str, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=f"^x: {name} does not take them .*{says}") as refusal:
        build_network(name, arguments, "x")
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "deepcrack_zou", "--set", "foo=1"], "'foo' is no setting"),
        (["--model", "deepcrack_zou", "--set", "width=abc"], "width cannot be 'abc'"),
        (["--model", "segnet"], "segnet: is unknown"),
        (["--model", "cgnet", "--out", "x.onnx"], "ends in .safetensors"),
        (["--model", "cgnet", "--out", "file/x.safetensors"], "is a file, not a folder"),
        (
            ["--model", "cgnet", "--out", "folder.safetensors", "--overwrite"],
            "is a folder; give the name of a file in it",
        ),
        (
            ["--model", "deepcrack_liu", "--bn-mode", "running", "--set", "bn_mode=per_image"],
            "leave out one of them",
        ),
    ],
)
def test_wrong_options_are_refused_before_the_file_is_read(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder.safetensors").mkdir()
    place = [] if "--out" in words else ["--out", "x.safetensors"]
    done = CliRunner().invoke(app, ["import-weights", "absent.pth", *words, *place])
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.split())


def test_nothing_unfinished_is_left_behind(tmp_path: Path) -> None:
    network, out = MODELS["pspnet"](width=2), tmp_path / "x.safetensors"
    out.mkdir()
    with pytest.raises(OSError, match=r"x\.safetensors"):
        save_safetensors(network, new_card("pspnet", {"width": 2}), out)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize(
    ("found", "model", "says"),
    [
        ("VGG16 of torchvision", "unet_vgg16", "a training can begin with it"),
        ("VGG16 of torchvision", "cssr", "a training of just that encoder can begin with it"),
        (
            "VGG16 of torchvision",
            "deepcrack_liu",
            r"give a file of deepcrack_liu, or begin a training with VGG16-BN of torchvision \(",
        ),
        ("VGG16 of torchvision", "cgnet", "give a file of cgnet$"),
        ("a YOLOX detector", "dbpn", "give a file of dbpn$"),
        ("cgnet", "dbpn", "name that network as the model, or give a file of dbpn$"),
    ],
)
def test_what_a_file_of_another_network_is_good_for(found: str, model: str, says: str) -> None:
    assert re.match(says, use_of(found, model))
