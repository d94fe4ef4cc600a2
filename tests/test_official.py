"""The originals' checkpoints come in unchanged; wrong and hostile files are refused."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fissura.cli import app
from fissura.types import InputError
from fissura.weights import read_card

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import hostile_pickles  # noqa: E402, F401  adds to hostile_weights
import hostile_weights as bad  # noqa: E402  needs torch
from official_states import (  # noqa: E402
    CGNET_HEAD,
    WRONG,
    State,
    cityscapes,
    official,
    vgg,
)
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from fissura.models import MODELS  # noqa: E402
from fissura.weights.network import load_module  # noqa: E402
from fissura.weights.official import convert, read_checkpoint, start_from  # noqa: E402

SECONDS = 10
"""Far beyond what any takes (tests/time_hostile_files.py prints that): a guard against hanging."""
MEGABYTES = 300


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that nothing may create."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "something in a file was run"


@pytest.fixture
def framework(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for mmengine's classes, there only while a file is written."""
    module = types.ModuleType("mmengine_logging")
    for name in ("MessageHub", "HistoryBuffer"):
        monkeypatch.setattr(module, name, type(name, (), {"__module__": module.__name__}), False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def write_container(path: Path, state: State, framework: types.ModuleType, canary: Path) -> None:
    """As OpenMMLab's runner saves it; one of its objects would run a command."""
    hub, history = framework.MessageHub(), framework.HistoryBuffer()
    history.__dict__["_log_history"] = np.arange(5.0)
    hub.__dict__.update(_log_scalars=OrderedDict(loss=history), _resumed_keys={"loss"})
    moments = {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}}
    container = {
        "meta": {"iter": 14000, "classes": ("background", "crack"), "seed": 7, (1, 2): b"x"},
        "state_dict": OrderedDict(state),
        "message_hub": hub,
        "optimizer": {"state": moments, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "param_schedulers": [{"base_values": [1e-3], "hook": bad.Trap(os.system, f": > {canary}")}],
    }
    torch.save(container, path)


def bare_zip(state: State, path: Path) -> None:
    torch.save(state, path)


def prefixed_legacy(state: State, path: Path) -> None:
    named = OrderedDict((f"module.{key}", values) for key, values in state.items())
    torch.save(named, path, _use_new_zipfile_serialization=False)


def parameters(state: State, path: Path) -> None:
    """Parameters, one view into a larger storage, no counters: what old programs wrote."""
    kept = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    first, values = next(iter(kept.items()))
    twice = torch.cat([values, values])[len(values) :]
    tree = {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in kept.items()}
    torch.save({"epoch": 3, "model": tree | {first: twice}}, path)


@pytest.mark.parametrize("write", [bare_zip, prefixed_legacy, parameters])
@pytest.mark.parametrize("name", ["cgnet", "deepcrack_liu"])
def test_an_official_file_comes_in_unchanged(
    name: str, write: Callable[[State, Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "official.pth"
    write(official(name), path)
    network = convert(name, read_checkpoint(path), source="official.pth")
    own = network.state_dict()
    assert not network.training
    assert own.keys() == official(name).keys()
    assert all(torch.equal(own[key], values) for key, values in official(name).items())


def test_the_large_official_file_comes_in_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "DeepCrack_CT260_FT1.pth"
    prefixed_legacy(official("deepcrack_zou"), path)
    own = convert("deepcrack_zou", read_checkpoint(path), source=str(path)).state_dict()
    assert own.keys() == official("deepcrack_zou").keys()
    assert all(torch.equal(own[key], values) for key, values in official("deepcrack_zou").items())


def test_a_container_of_foreign_objects_comes_in_and_runs_nothing(
    framework: types.ModuleType, tmp_path: Path, canary: Path
) -> None:
    path = tmp_path / "iter_14000.pth"
    write_container(path, official("cgnet"), framework, canary)
    del sys.modules[framework.__name__]
    own = convert("cgnet", read_checkpoint(path), source=str(path)).state_dict()
    assert all(torch.equal(own[key], values) for key, values in official("cgnet").items())


def test_half_precision_and_tied_entries_are_read(tmp_path: Path) -> None:
    tied = torch.rand(4, 6)
    state = {"a": tied, "b": tied, "c": tied.t(), "d": torch.rand(5).half(), "e": torch.ones(0)}
    state |= {"f": torch.rand(3).bfloat16(), "g": torch.arange(3), "h": torch.rand(3).double()}
    for legacy in (False, True):
        torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
        read = read_checkpoint(tmp_path / "x.pth")
        assert {k: v.dtype for k, v in read.items()} == {k: v.dtype for k, v in state.items()}
        assert all(torch.equal(read[key], values) for key, values in state.items())


@pytest.mark.parametrize("name", bad.FILES)
def test_a_hostile_file_is_refused_at_once_and_runs_nothing(
    name: str, tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, says = bad.FILES[name]
    path = tmp_path / "weights.pth"
    write(path, canary)
    monkeypatch.syspath_prepend(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(InputError, match=says) as refusal:
        read_checkpoint(path)
    assert time.process_time() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024
    assert str(path) in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert "canary_module" not in sys.modules


@cache
def small_files() -> tuple[bytes, ...]:
    import io

    files = []
    for legacy in (False, True):
        file = io.BytesIO()
        state = {"a.weight": torch.rand(3, 4), "a.bias": nn.Parameter(torch.rand(3))}
        torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=not legacy)
        files.append(file.getvalue())
    return tuple(files)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(small_files())))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    path.write_bytes(content[: data.draw(st.sampled_from([None, None, len(content) // 2]))])
    try:
        read = read_checkpoint(path)
    except InputError:
        return
    assert all(isinstance(values, Tensor) for values in read.values())


@pytest.mark.parametrize("case", WRONG)
def test_a_state_that_does_not_fit_is_refused_by_name(case: str) -> None:
    name, state, says = WRONG[case]
    given_state = state()
    began = time.process_time()
    with pytest.raises(InputError, match=says) as refusal:
        convert(name, given_state, source="FILE.pth")
    assert time.process_time() - began < SECONDS
    assert case == "unknown model" or str(refusal.value).startswith("FILE.pth: ")


def test_a_head_of_other_classes_is_left_out_only_when_asked() -> None:
    given_state = cityscapes()
    networks = [convert("cgnet", given_state, source="x", allow_head=True) for _ in range(2)]
    heads = [network.state_dict()[CGNET_HEAD] for network in networks]
    assert heads[0].shape == (2, 256, 1, 1)
    assert torch.equal(*heads)
    assert 0 < heads[0].std() < 0.02
    key = "backbone.level2.20.f_loc.weight"
    assert torch.equal(networks[0].state_dict()[key], given_state[key])
    broken = {k: v for k, v in given_state.items() if k != key}
    with pytest.raises(InputError, match=rf"missing '{key}'"):
        convert("cgnet", broken, source="x", allow_head=True)


def test_a_training_begins_with_vgg16_in_blue_green_red(tmp_path: Path) -> None:
    state, network = vgg(False), MODELS["deepcrack_zou"]()
    decoder = network.state_dict()["up1.nn.0.conv.weight"].clone()
    torch.save(state, tmp_path / "vgg16.pth", _use_new_zipfile_serialization=False)
    start_from(network, "deepcrack_zou", tmp_path / "vgg16.pth")
    own = network.state_dict()
    picture = torch.rand(1, 3, 16, 16)
    seen = functional.conv2d(picture.flip(1), own["down1.nn.0.conv.weight"], padding=1)
    meant = functional.conv2d(picture, state["features.0.weight"], padding=1)
    assert torch.allclose(seen, meant, atol=1e-5)
    assert torch.equal(own["down5.nn.2.conv.weight"], state["features.28.weight"])
    assert torch.equal(own["down3.nn.1.conv.bias"], state["features.12.bias"])
    assert torch.equal(own["up1.nn.0.conv.weight"], decoder)


def test_a_training_begins_with_vgg16_bn_and_its_biases(tmp_path: Path) -> None:
    state, network = vgg(True), MODELS["deepcrack_liu"]()
    torch.save(state, tmp_path / "vgg16_bn.pth")
    start_from(network, "deepcrack_liu", tmp_path / "vgg16_bn.pth")
    x = meant = torch.rand(1, 3, 32, 32)
    for place in (0, 3):
        entry = {leaf: state[f"features.{place}.{leaf}"] for leaf in ("weight", "bias")}
        norm = [state[f"features.{place + 1}.{leaf}"] for leaf in NORM]
        meant = functional.relu(
            functional.batch_norm(functional.conv2d(meant, **entry, padding=1), *norm)
        )
    with torch.no_grad():
        seen = network.eval().get_submodule("conv1")(x)
    assert torch.allclose(seen, meant, atol=1e-4)
    with pytest.raises(InputError, match=r"warm_start: .*VGG16-BN.*it can begin with VGG16 of"):
        start_from(MODELS["deepcrack_zou"](), "deepcrack_zou", tmp_path / "vgg16_bn.pth")


NORM = ("running_mean", "running_var", "weight", "bias")


def test_a_training_begins_with_a_container_but_its_head(
    framework: types.ModuleType, tmp_path: Path, canary: Path
) -> None:
    path = tmp_path / "cityscapes.pth"
    write_container(path, cityscapes(), framework, canary)
    network = MODELS["cgnet"]()
    head = network.state_dict()[CGNET_HEAD].clone()
    start_from(network, "cgnet", path)
    assert torch.equal(network.state_dict()[CGNET_HEAD], head)
    key = "backbone.stem.0.conv.weight"
    assert torch.equal(network.state_dict()[key], official("cgnet")[key])
    with pytest.raises(InputError, match=r"warm_start: .*looks like cgnet, not deepcrack_liu"):
        start_from(MODELS["deepcrack_liu"](), "deepcrack_liu", path)


def fissura(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], prog_name="fissura")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_the_verb_imports_and_the_result_predicts(tmp_path: Path) -> None:
    source, out = tmp_path / "pretrained_net_G.pth", tmp_path / "liu.safetensors"
    torch.save(official("deepcrack_liu"), source)
    verb = ("import-weights", source, "--model", "deepcrack_liu", "--out", out)
    code, stdout, _ = fissura(*verb, "--bn-mode", "per_image", "--threshold", "0.4")
    assert code == 0
    assert "84" in stdout
    assert f"fissura export --model {out}" in stdout
    card = read_card(out)
    assert (card.arguments, card.threshold) == ({"bn_mode": "per_image"}, 0.4)
    assert "imported from pretrained_net_G.pth (SHA-256 " in card.summary
    assert card.licence == "see the source"
    module, _ = load_module(out)
    key = "conv5.7.running_mean"
    assert torch.equal(module.state_dict()[key], official("deepcrack_liu")[key])
    assert fissura(*verb)[0] == 2
    code, stdout, _ = fissura(*verb, "--overwrite", "--json")
    assert (code, json.loads(stdout)["entries"]) == (0, 84)
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((40, 48, 3), 128, np.uint8))
    run = ("predict", tmp_path / "wall.png", "--model", out, "--out", tmp_path / "found")
    assert fissura(*run, "--formats", "json")[0] == 0


def test_the_verb_says_what_is_wrong(
    framework: types.ModuleType, tmp_path: Path, canary: Path
) -> None:
    source, out = tmp_path / "cityscapes.pth", tmp_path / "cgnet.safetensors"
    write_container(source, cityscapes(), framework, canary)
    verb = ("import-weights", source, "--model", "cgnet", "--out")
    code, stdout, stderr = fissura(*verb, out)
    assert (code, stdout, out.exists()) == (2, "", False)
    assert "--allow-head" in stderr
    code, stdout, _ = fissura(*verb, out, "--allow-head", "--json")
    found = json.loads(stdout)
    assert code == 0
    assert found["left_out"] == ["decode_head.conv_seg.bias", CGNET_HEAD]
    assert "new random values in decode_head" in found["summary"]
    for given_options, says in {
        (tmp_path / "x.onnx",): "ends in .safetensors",
        (out, "--overwrite", "--threshold", "2"): "between 0 and 1",
        (out, "--overwrite", "--bn-mode", "per_image"): "deepcrack_liu alone",
    }.items():
        code, _, stderr = fissura(*verb, *given_options)
        assert code == 2
        assert says in stderr
    code, _, stderr = fissura("import-weights", tmp_path, "--model", "cgnet", "--out", "x")
    assert code == 2
