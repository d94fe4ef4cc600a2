"""BeltCrackDet's network against the recorded outputs of its release, array by array.

Two sets of weights: "plain" as they are filled, "tempered" with the factors of golden.json, without
which the temporal branch drowns the others in what the whole network gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from . import fill, fixtures
from .fixtures import Fixture

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from fissura.models import BeltCrackDet  # noqa: E402
from fissura.weights.official import convert  # noqa: E402

Models = dict[str, BeltCrackDet]

HERE = Path(__file__).parent
FOLDERS = fixtures.find("beltcrackdet")
NOISE = 20
"""How many times the original's own error in 32 bits is allowed."""
RTOL, TRAIN_RTOL = 1e-5, 2e-3
"""Of an array's largest value, where its error is not told; in training statistics are over few."""

MODULES = {
    "hsm_gate": "neck.conv_ref",
    "hsm_cur": "neck.conv_cur",
    "hsm_local": "neck.conv_cr_mix",
    "hsm_nab": "neck.nolocal",
    "hsm_out": "neck.memory",
    "tar_out": "neck.tar",
    "atm_out": "neck.gal",
    "f_st": "neck.conv_fin_mix",
    "f_flt": "neck.conv_fre_new",
    "swin_out": "neck.swin",
    "f_fgt": "neck.conv_t",
    "rcu1": "neck.resblock0",
    "rcu2": "neck.resblock1",
    "rcu3": "neck.resblock2",
}
"""What a module's output is called."""

CLAIMS = {
    "test_beltcrackdet": ("main/", "rect/", "plain/", "iso/", "stream/", "train/"),
    "test_beltcrackdet_loss": ("loss/", "assign/", "schedule/", "train/l"),
    "test_beltcrackdet_data": ("preprocess/", "dataset/"),
    "test_beltcrackdet_decode": ("decode/", "nms/"),
    "test_beltcrackdet_eval": ("eval/",),
}
"""Which file compares what."""


def network(fixture: Fixture, weights: str) -> BeltCrackDet:
    """The one with the weights of that name, brought in as a published file is."""
    state = fixture.state() if weights == "plain" else tempered(fixture)
    tensors = {name: torch.from_numpy(values) for name, values in state.items()}
    built = convert("beltcrackdet", tensors, source=weights)
    assert isinstance(built, BeltCrackDet)
    return built


def tempered(fixture: Fixture) -> dict[str, NDArray[Any]]:
    state = fixture.state()
    for prefix, factor in fixture.golden["weights"]["gains"]:
        chosen = [name for name in state if name.startswith(prefix)]
        floating = [name for name in chosen if state[name].dtype == np.float32]
        state |= {name: state[name] * np.float32(factor) for name in floating}
    return state


def image(about: dict[str, Any]) -> Tensor:
    return torch.from_numpy(fill.image(about["seed"], *about["shape"]))


def close(fixture: Fixture, name: str, full: Tensor, rtol: float = RTOL) -> None:
    """As golden.json asks, for the channels that were kept."""
    about = fixture.golden["arrays"][name]
    values = full.detach().numpy()
    step = about.get("channel_step", 1)
    noise = about.get("float64_max_abs_diff")
    if noise is None or name.startswith("train/"):
        fixture.close(name, values, rtol=rtol)
    else:
        fixture.close(name, values[:, ::step], atol=NOISE * noise)


def watched(model: BeltCrackDet) -> dict[str, Tensor]:
    """Fills with what every part gives, at the next run."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen[name] = output

        return hook

    def frames(what: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            parts = output if isinstance(output, list) else output.chunk(model.frames)
            seen.update({f"{what}_t{k}": values for k, values in enumerate(parts)})

        return hook

    for name, path in MODULES.items():
        model.get_submodule(path).register_forward_hook(keep(name))
    model.backbone.register_forward_hook(frames("p3"))
    model.neck.conv_dw.register_forward_hook(frames("wfm"))
    return seen


@torch.no_grad()
def check_whole(fixture: Fixture, models: Models, group: str) -> None:
    """Every recorded array of a group that one run of the network gives."""
    members = [name for name in fixture.arrays if name.startswith(group)]
    about = fixture.golden["arrays"][members[0]]
    model = models[about["weights"]]
    seen = watched(model)
    seen["head"] = model(image(about["input"]))["boxes_raw"]
    for name in members:
        close(fixture, name, seen[name.removeprefix(group)])


@torch.no_grad()
def check_single_modules(fixture: Fixture, models: Models) -> None:
    neck = models["plain"].neck
    runs: dict[str, Callable[[Tensor], Tensor]] = {
        "hsm": lambda x: neck.spatial(x.split(1)),
        "nab": neck.nolocal,
        "tar": lambda x: neck.tar(x.unbind(1)),
        "gal": neck.gal,
        "wfm": neck.conv_dw,
        "wfm_odd": neck.conv_dw,
        "swin": neck.swin,
        "rcu1": neck.resblock0,
        "rcu2": neck.resblock1,
        "rcu3": neck.resblock2,
        "head": models["plain"].head.single,
    }
    for name in (name for name in fixture.arrays if name.startswith("iso/")):
        given = single_input(fixture.golden["arrays"][name])
        close(fixture, name, runs[name.removeprefix("iso/")](torch.from_numpy(given)))


def single_input(about: dict[str, Any]) -> NDArray[np.float32]:
    """The array that "image(seed+k, 5,128,h,w+1) - 0.5" in a description stands for."""
    found = re.search(r"image\(seed\+(\d+), ([^)]*)\)( - 0\.5)?", about["what"])
    assert found, about["what"]
    shape = [side(about, part.strip()) for part in found[2].split(",")]
    given = fill.image(about["seed"] + int(found[1]), *shape)
    return given - np.float32(0.5) if found[3] else given


def side(about: dict[str, Any], text: str) -> int:
    """A number, or "h" or "w" with what is added."""
    if text[0] not in "hw":
        return int(text)
    return int(about[text[0]]) + int(text[1:] or 0)


@torch.no_grad()
def check_stream(fixture: Fixture, models: Models) -> None:
    """Every frame of a sequence with the four before it, the first repeated at the start."""
    frames = image(fixture.golden["arrays"]["stream/head"]["input"])
    windows = [[max(t - back, 0) for back in (4, 3, 2, 1, 0)] for t in range(len(frames))]
    clips = torch.stack([frames[window].transpose(0, 1) for window in windows])
    close(fixture, "stream/head", models["tempered"](clips)["boxes_raw"])


@torch.no_grad()
def check_training(fixture: Fixture, models: Models) -> None:
    """Outputs by batch statistics, and the running ones after one step's forward pass."""
    model = models["tempered"].train()
    x = image(fixture.golden["arrays"]["train/head"]["input"])
    close(fixture, "train/head", model(x)["boxes_raw"], TRAIN_RTOL)
    state = model.state_dict()
    for name in (name for name in fixture.arrays if name.startswith("train/buffer/")):
        close(fixture, name, state[name.removeprefix("train/buffer/")], TRAIN_RTOL)
    counters = {k: int(v) for k, v in state.items() if k.endswith("num_batches_tracked")}
    assert {count for k, count in counters.items() if k.startswith("backbone.")} == {5}
    assert {count for k, count in counters.items() if k.startswith("head.")} == {1}


CHECKS: dict[str, Callable[[Fixture, Models], None]] = {
    "main/": lambda fixture, models: check_whole(fixture, models, "main/"),
    "rect/": lambda fixture, models: check_whole(fixture, models, "rect/"),
    "plain/": lambda fixture, models: check_whole(fixture, models, "plain/"),
    "iso/": check_single_modules,
    "stream/": check_stream,
    "train/head": check_training,
}
"""The last one changes a network."""


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_network_equals_its_original(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixture = fixtures.load(folder)
    fixture.arrays = {
        name: values
        for name, values in fixture.arrays.items()
        if name.startswith(CLAIMS["test_beltcrackdet"])
        and not name.startswith(CLAIMS["test_beltcrackdet_loss"])
    }
    models = {weights: network(fixture, weights) for weights in ("plain", "tempered")}
    for prefix, check in CHECKS.items():
        if fixture.holds(prefix):
            check(fixture, models)
    with capsys.disabled():
        print(f"\n{fixture.account()}")
    assert set(fixture.compared) == set(fixture.arrays)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_recorded_array_has_a_file_that_compares_it(folder: Path) -> None:
    for file, prefixes in CLAIMS.items():
        text = (HERE / f"{file}.py").read_text()
        assert all(prefix.split("/")[0] in text for prefix in prefixes), file
    claimed = tuple(prefix for prefixes in CLAIMS.values() for prefix in prefixes)
    assert [n for n in fixtures.load(folder).arrays if not n.startswith(claimed)] == []
