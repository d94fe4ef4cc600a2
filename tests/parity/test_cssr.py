"""CSSR's and khanhha's networks against the recorded outputs of their releases, array by array.

A group of arrays, as "unet_deconv" in unet_deconv.logits, is what one network gave; its state dict
is rebuilt from the key file that golden.json names, and brought in as a published file is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from . import fill, fixtures
from .cssr_checks import CHECKS as ARITHMETIC
from .cssr_checks import given, told
from .fixtures import Fixture

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from fissura.distance import normalised_distance  # noqa: E402
from fissura.models import CSSR  # noqa: E402
from fissura.train.boundary import PUBLISHED, released_combo_loss  # noqa: E402
from fissura.weights.official import convert  # noqa: E402

State = dict[str, Tensor]

SLICE = re.compile(r"\[slice \[(.+?)\] of the full tensor\]")
LOSS_RTOL = 1e-5
GRADIENT_RTOL = 2e-4
AUX_SHARE = 0.4


def state(fixture: Fixture, group: str) -> State:
    """The state dict of a group's network, without second names."""
    return {k: torch.from_numpy(v) for k, v in fill.filled(keys_file(fixture, group)).items()}


def keys_file(fixture: Fixture, group: str) -> Path:
    """The one in the fixture's folder, or in ours where another set of arrays comes without."""
    name = entry(fixture, group)["keys"]
    path = fixture.folder / name
    return path if path.exists() else fixtures.HERE / "cssr" / name


def entry(fixture: Fixture, group: str) -> dict[str, Any]:
    """What golden.json says about the first array of a group that a network gave."""
    arrays = fixture.golden["arrays"]
    return next(arrays[name] for name in members(fixture, group) if "keys" in arrays[name])


def members(fixture: Fixture, group: str) -> list[str]:
    return [name for name in fixture.arrays if name.split(".")[0] == group]


def groups(fixture: Fixture, beginning: str) -> list[str]:
    """Groups whose names begin so."""
    names = (name.split(".")[0] for name in fixture.arrays)
    return list(dict.fromkeys(name for name in names if name.startswith(beginning)))


def picture(fixture: Fixture, group: str) -> Tensor:
    return torch.from_numpy(given(fixture, entry(fixture, group)["input"]))


def close(fixture: Fixture, name: str, full: Tensor) -> None:
    """As golden.json asks: ten times the original's own error in 32 bits, and a millionth."""
    about = fixture.golden["arrays"][name]
    noise, largest = about.get("f32_noise", 1e-6), about["max_abs"]
    fixture.close(name, part(fixture, name, full), atol=10 * noise + 1e-6 * largest)


def part(fixture: Fixture, name: str, full: Tensor) -> NDArray[Any]:
    """The part of a tensor that was recorded: what its description says, else all."""
    values = full.detach().numpy()
    found = SLICE.search(told(fixture, name))
    if found:
        axes = [[int(n) if n.strip() else None for n in a.split(":")] for a in found[1].split(",")]
        values = values[tuple(slice(*numbers) for numbers in axes)]
    want = fixture.arrays[name]
    return values[: len(want)] if "sample 0" in told(fixture, name) else values


def compare(fixture: Fixture, group: str, outputs: dict[str, Tensor]) -> None:
    """Every recorded array of the group that `outputs` has."""
    for name in members(fixture, group):
        what = name.removeprefix(f"{group}.")
        if what in outputs:
            close(fixture, name, outputs[what])


# ---- networks by themselves ----------------------------------------------------------------


@torch.no_grad()
def check_dbpn(fixture: Fixture) -> None:
    for group in groups(fixture, "dbpn_"):
        network = convert("dbpn", state(fixture, group), source=group)
        x = picture(fixture, group)
        large, small = network.features(x)
        outputs = {"sr": network(x)["image"], "feat1": network.feat1(network.feat0(x))}
        outputs |= {f"h{t}": values for t, values in enumerate(reversed(large), 1)}
        outputs |= {f"l{t}": values for t, values in enumerate(reversed(small), 1)}
        compare(fixture, group, outputs)


@torch.no_grad()
def check_unet(fixture: Fixture) -> None:
    for group in groups(fixture, "unet_"):
        network = convert("unet_vgg16", state(fixture, group), source=group)
        x = picture(fixture, group)
        logits = network(x)["logits"]
        outputs = {"logits": logits, "prob": logits.sigmoid(), **network.features(x)}
        compare(fixture, group, outputs)


@torch.no_grad()
def check_pspnet(fixture: Fixture) -> None:
    for group in groups(fixture, "pspnet_"):
        network = convert("pspnet", state(fixture, group), source=group)
        seen: dict[str, Tensor] = {}
        for name in ("psp", "up_1", "up_2", "up_3"):
            watch(network.get_submodule(name), seen, name)
        watch(network.aux, seen, "aux_logits")
        watch(network.feats.layer3, seen, "layer3")
        watch(network.feats.layer4, seen, "layer4")
        outputs = network(picture(fixture, group))
        compare(fixture, group, seen | outputs | {"prob": outputs["logits"].sigmoid()})


def watch(module: nn.Module, seen: dict[str, Tensor], name: str) -> None:
    module.register_forward_hook(lambda _module, _inputs, output: seen.update({name: output}))


@torch.no_grad()
def check_khanhha(fixture: Fixture) -> None:
    models = {"unet16": "unet_vgg16", "unetresnet": "unet_resnet"}
    for group in groups(fixture, "khanhha_"):
        _, kind, depth = re.split(r"_(unet16|unetresnet)", group)
        network = convert(models[kind] + depth, state(fixture, group), source=group)
        compare(fixture, group, network(picture(fixture, group)))


# ---- both networks -------------------------------------------------------------------------


def cssr(fixture: Fixture, group: str, **arguments: Any) -> CSSR:
    """The network of a group; which baseline it is, its name tells and no file does."""
    scale = {"scale": 4} if "bicubic" in group else {}
    return convert("cssr", state(fixture, group), source=group, arguments=scale | arguments)


def check_joint(fixture: Fixture) -> None:
    fixture.leave("joint.mask", "an input")
    for group in groups(fixture, "joint_"):
        x = picture(fixture, group)
        network = cssr(fixture, group)
        with torch.no_grad():
            outputs = network(x)
            mean, std = network.statistics(outputs["image"])
        named = {"sr": outputs["image"], "norm": (outputs["image"] - mean) / std}
        named |= {"logits": outputs["logits"], "prob": outputs["logits"].sigmoid()}
        compare(fixture, group, named)
        check_training_path(fixture, group, network, x)


def check_training_path(fixture: Fixture, group: str, network: CSSR, x: Tensor) -> None:
    """Losses as the release computes them, gradients in 64 bits."""
    network.clamp = "none"  # as the release trains
    with torch.no_grad():
        found = training_path(fixture, group, network, x)
    noise = 10 * fixture.golden["arrays"][f"{group}.prob"]["f32_noise"]
    for what, values in found.items():
        allowed = noise if what == "train_prob" else 0
        fixture.close(f"{group}.{what}", values.numpy(), rtol=LOSS_RTOL, atol=allowed)
    if any(name.startswith(f"{group}.grad.") for name in fixture.arrays):
        check_gradients(fixture, group, network.double(), x.double())


def training_path(fixture: Fixture, group: str, network: CSSR, x: Tensor) -> dict[str, Tensor]:
    """A step's losses by their names in the fixture: BC2, alpha as recorded."""
    outputs = network(x)
    p = outputs["logits"].sigmoid()
    mask = torch.from_numpy(fixture.arrays["joint.mask"]).to(x)
    distances = [normalised_distance(one[0] >= 1, released=True) for one in mask.numpy()]
    distance = torch.from_numpy(np.stack(distances))[:, None].to(x)
    alpha = number(fixture, f"{group}.train_seg_loss", r"alpha forced to ([\d.]+)")
    loss = released_combo_loss(p, mask, distance, alpha, PUBLISHED["bc2"])
    if "aux" in outputs:
        aux = released_combo_loss(outputs["aux"], mask, distance, alpha, PUBLISHED["bc2"])
        loss = loss + AUX_SHARE * aux
    found = {"train_prob": p, "train_seg_loss": loss}
    total = loss.mean()
    if network.sr_model is not None:
        wanted = torch.from_numpy(given(fixture, "joint_hr")).to(x)
        found["train_sr_loss"] = (outputs["image"] - wanted).abs().mean((1, 2, 3))
        if f"{group}.train_total" in fixture.arrays:
            share = number(fixture, f"{group}.train_total", r"weight ([\d.]+)")
            total = (1 - share) * found["train_sr_loss"].mean() + share * total
    return found | {"train_total": total}


def check_gradients(fixture: Fixture, group: str, network: CSSR, x: Tensor) -> None:
    """Gradients as recorded but for slopes of ReLUs that 32 bits cannot tell.

    An input of a ReLU that is 0 to the rounding of 32 bits has the slope 0 or 1 by the order in
    which a convolution adds up. The exact gradient has one of them, the recorded one may have the
    other, which moves whole entries; so each such slope is turned where that comes nearer.
    """
    named = {name: p for name, p in network.named_parameters() if recorded(fixture, group, name)}
    inputs, outputs = [], []

    def watched(values: Tensor, inplace: bool = False) -> Tensor:
        inputs.append(values)
        outputs.append(values.clamp(min=0))
        return outputs[-1]

    with mock.patch.object(functional, "relu", watched):
        total = training_path(fixture, group, network, x)["train_total"]
    found = torch.autograd.grad(total, [*named.values(), *outputs], retain_graph=True)
    gradients, upstream = found[: len(named)], found[len(named) :]
    want = [torch.from_numpy(fixture.arrays[f"{group}.grad.{name}"]) for name in named]
    largest = torch.cat([values.abs().max().expand(values.numel()) for values in want])
    left = (flat(want) - flat(gradients)) / largest
    for values, slope in zip(inputs, upstream, strict=True):
        near = values.abs() < torch.finfo(torch.float32).eps * values.abs().max()
        for at in map(tuple, near.nonzero().tolist()):
            jump = -slope[at] * values[at].sign()
            turned = torch.autograd.grad(
                values[at], list(named.values()), jump, retain_graph=True, materialize_grads=True
            )
            other = left - flat(turned) / largest
            left = min(left, other, key=lambda gaps: float(gaps.square().sum()))
    got = flat(want) - left * largest
    for (name, values), part in zip(
        named.items(), got.split([values.numel() for values in want]), strict=True
    ):
        near_to = part.view_as(values).detach().numpy()
        fixture.close(f"{group}.grad.{name}", near_to, rtol=GRADIENT_RTOL)


def recorded(fixture: Fixture, group: str, name: str) -> bool:
    return f"{group}.grad.{name}" in fixture.arrays


def flat(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([values.flatten() for values in parts])


def number(fixture: Fixture, name: str, pattern: str) -> float:
    """The one that a description tells."""
    found = re.search(pattern, told(fixture, name))
    assert found, f"no {pattern} in what is told of {name}"
    return float(found[1])


@torch.no_grad()
def check_inverse(fixture: Fixture) -> None:
    x = picture(fixture, "inverse")
    network = cssr(fixture, "inverse")
    outputs = network(x)
    named = {"lr_prob": outputs["small_logits"].sigmoid(), "raw": outputs["map"]}
    named["prob"] = outputs["logits"].sigmoid()
    network.sr_model = None
    named["bicubic"] = network(x)["logits"].sigmoid()
    for what, values in named.items():
        fixture.close(f"inverse.{what}", values.numpy(), atol=1e-6, rtol=LOSS_RTOL)


@torch.no_grad()
def check_normalisation(fixture: Fixture) -> None:
    name = "normalise.instance"
    x = torch.from_numpy(given(fixture, fixture.golden["arrays"][name]["input"]))
    with torch.device("meta"):
        network = CSSR(scale=1)
    mean, std = network.statistics(x)
    fixture.close(name, ((x - mean) / std).numpy(), rtol=LOSS_RTOL)


CHECKS: dict[str, Callable[[Fixture], None]] = {
    "dbpn_": check_dbpn,
    "unet_": check_unet,
    "pspnet_": check_pspnet,
    "khanhha_": check_khanhha,
    "joint": check_joint,
    "inverse.": check_inverse,
    "normalise.": check_normalisation,
    **ARITHMETIC,
}
"""How arrays are compared, by the beginning of a name that stands for the group."""


@pytest.mark.parametrize("folder", fixtures.find("cssr"), ids=lambda folder: folder.name)
def test_cssr_equals_its_original(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixtures.check_all(folder, CHECKS, capsys)


def test_second_names_of_the_recorded_states_are_those_that_are_dropped() -> None:
    folder = fixtures.HERE / "cssr"
    aliases = json.loads((folder / "aliases.json").read_text())["keys_unet_deconv.json"]
    plain = {
        k: torch.from_numpy(v) for k, v in fill.filled(folder / "keys_unet_deconv.json").items()
    }
    doubled = plain | {second: plain[first] for second, first in aliases.items()}
    for given_state in (plain, doubled):
        own = convert("unet_vgg16", given_state, source="x").state_dict()
        assert own.keys() == plain.keys()
        assert all(torch.equal(own[key], values) for key, values in plain.items())
