"""BeltCrackDet's loss, assignment, schedule and one training step, against the release's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import fill, fixtures
from .fixtures import Fixture

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from fissura.models import BeltCrackDet  # noqa: E402
from fissura.train.assign import iou  # noqa: E402
from fissura.train.checkpoint import MovingAverage  # noqa: E402
from fissura.train.config import (  # noqa: E402
    DetectionLossSettings,
    OptimiserSettings,
    ScheduleSettings,
)
from fissura.train.detection import (  # noqa: E402
    assign_all,
    decode,
    detection_loss,
    focal,
    iou_loss,
    nwd,
)
from fissura.train.optimiser import official_groups  # noqa: E402
from fissura.train.schedule import learning_rate  # noqa: E402

FOLDERS = fixtures.find("beltcrackdet")
STRIDES = (8,)
RTOL = 1e-5
TRAIN_RTOL = 2e-3
"""Statistics over few positions amplify rounding."""
GRADIENT_RTOL = 1e-4
LEAST_NORM = 1e-5
UPDATES = (1, 10, 100, 1000, 2000, 10000, 100000)

pytestmark = pytest.mark.skipif(not FOLDERS, reason="no recorded arrays of beltcrackdet")


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def fixture(request: pytest.FixtureRequest) -> Fixture:
    folder: Path = request.param
    return fixtures.load(folder)


def tensor(fixture: Fixture, name: str) -> Tensor:
    return torch.from_numpy(fixture.arrays[name])


def with_gradient(fixture: Fixture, name: str, value: Tensor, given: Tensor) -> None:
    """Compare elements and the gradient of their sum."""
    value.sum().backward()
    fixture.close(f"loss/{name}", value.detach().numpy(), rtol=RTOL)
    assert given.grad is not None
    fixture.close(f"loss/{name}_grad", given.grad.numpy(), rtol=RTOL)


def targets_of(labels: Tensor, pictures: int) -> list[Tensor]:
    return [labels[labels[:, 0] == picture, 1:] for picture in range(pictures)]


def account(fixture: Fixture, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Say how many arrays of a kind were compared; none may be forgotten."""
    names = {name for name in fixture.arrays if name.startswith(prefix)}
    forgotten = names - set(fixture.compared) - set(fixture.left)
    with capsys.disabled():
        print(f"\n{prefix}: {len(fixture.compared)} of {len(names)} compared, rest are inputs")
    assert fixture.compared
    assert not forgotten


def test_forms_of_the_loss(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = tensor(fixture, "loss/target_boxes")
    for form in ("iou", "giou", "ciou"):
        boxes = tensor(fixture, "loss/pred_boxes").requires_grad_()
        with_gradient(fixture, form, iou_loss(boxes, wanted, form), boxes)
    boxes = tensor(fixture, "loss/pred_boxes").clone().requires_grad_()
    with_gradient(fixture, "nwd", nwd(boxes, wanted, 12), boxes)
    logits = tensor(fixture, "loss/focal_logits").requires_grad_()
    with_gradient(fixture, "focal", focal(logits, tensor(fixture, "loss/focal_targets")), logits)
    pairs = iou(wanted[:8, None], tensor(fixture, "loss/pred_boxes")[:32])
    fixture.close("loss/pairwise_iou", pairs.detach().numpy(), rtol=RTOL)
    for name in ("pred_boxes", "target_boxes", "focal_logits", "focal_targets"):
        fixture.leave(f"loss/{name}", "an input")
    account(fixture, "loss/", capsys)


def test_assignment_and_total(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {name.split("/")[1] for name in fixture.arrays if name.startswith("assign/")}
    for case in sorted(cases):
        check_case(fixture, f"assign/{case}")
    account(fixture, "assign/", capsys)


def check_case(fixture: Fixture, case: str) -> None:
    raw = tensor(fixture, f"{case}/pred").requires_grad_()
    before, outputs = raw.detach().clone(), {"boxes_raw": raw}
    targets = targets_of(tensor(fixture, f"{case}/labels"), len(raw))
    found = assign_all(decode(outputs, STRIDES), targets)
    want = fixture.arrays[f"{case}/matches"]
    assert np.array_equal(np.stack([found.pictures, found.cells], axis=1), want[:, :2])
    boxes = torch.stack([targets[int(k)][int(g)] for k, g in want[:, [0, 2]]])
    assert torch.equal(torch.cat([found.boxes, found.labels[:, None]], dim=1), boxes)
    rows = np.concatenate([want[:, :3], found.ious[:, None].numpy()], axis=1)
    fixture.close(f"{case}/matches", rows, rtol=1e-7)
    total = check_parts(fixture, case, outputs, targets)
    total.backward()
    assert raw.grad is not None
    fixture.close(f"{case}/grad", raw.grad.numpy(), rtol=RTOL)
    assert torch.equal(raw.detach(), before)
    for name in ("pred", "labels"):
        fixture.leave(f"{case}/{name}", "an input")


def check_parts(
    fixture: Fixture, case: str, outputs: dict[str, Tensor], targets: list[Tensor]
) -> Tensor:
    """The total, and each sum that it is made of, taken alone by its weight."""
    parts = detection_loss(outputs, STRIDES, targets, DetectionLossSettings())
    count = parts["positives"]
    alone = {"reg": 1.0, "reduction": "mean"}
    overlap = DetectionLossSettings(zeta=1, eta=0, **alone)  # type: ignore[arg-type]
    distance = DetectionLossSettings(zeta=0, eta=1, **alone)  # type: ignore[arg-type]
    rows = [
        parts["loss"],
        detection_loss(outputs, STRIDES, targets, overlap)["reg"] * count,
        detection_loss(outputs, STRIDES, targets, distance)["reg"],
        parts["obj"] * count,
        parts["cls"] * count,
        count,
    ]
    got = torch.stack(rows).detach().numpy()
    for value, want in zip(got, fixture.arrays[f"{case}/loss"], strict=True):
        assert value == pytest.approx(want, rel=RTOL)
    fixture.close(f"{case}/loss", got, rtol=RTOL)
    return parts["loss"]


def test_schedule(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    steps = 2193
    optimiser = OptimiserSettings(name="sgd", momentum=0.937, nesterov=True, lr=6.25e-4)
    schedule = ScheduleSettings(name="yolox", every=steps, final_lr=6.25e-6)
    for place in (0, steps - 1):
        rates = [
            learning_rate(epoch * steps + place, 100 * steps, optimiser, schedule)
            for epoch in range(100)
        ]
        fixture.close("schedule/lr", np.array(rates), rtol=1e-12)
    average = MovingAverage(torch.nn.Linear(1, 1), 0.9999, warmup=2000)
    decays = [average.decay_at(count - 1) for count in UPDATES]
    fixture.close("schedule/ema", np.array(decays), rtol=1e-12)
    account(fixture, "schedule/", capsys)


def test_parameter_groups(fixture: Fixture) -> None:
    """Of all that the release stores, parts included that no output depends on."""
    release = nn.Module()
    entries = {name: shape for name, shape, _ in json.loads(keys_of(fixture))}
    for name, shape in entries.items():
        path, leaf = name.rsplit(".", 1)
        if leaf in ("weight", "bias", "gamma"):
            # one-dimensional norms are those of the graph layer's four perceptrons
            over_pictures = f"{path}.running_mean" in entries and "_func." not in path
            owner = place(release, path, nn.BatchNorm2d if over_pictures else nn.Module)
            setattr(owner, leaf, nn.Parameter(torch.zeros(shape)))
    assert [len(group) for group in official_groups(release)] == [79, 157, 148]


def keys_of(fixture: Fixture) -> str:
    return (fixture.folder / "keys.json").read_text()


def place(root: nn.Module, path: str, kind: type[nn.Module]) -> nn.Module:
    """The module of a dotted name, made where it is missing."""
    *parents, last = path.split(".")
    for name in parents:
        if not hasattr(root, name):
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    if not hasattr(root, last):
        root.add_module(last, kind(1) if kind is nn.BatchNorm2d else kind())
    return root.get_submodule(last)


# ---- one step of training ------------------------------------------------------------------


def tempered(fixture: Fixture) -> BeltCrackDet:
    """The network with the recorded weights, some made larger or smaller."""
    gains = fixture.golden["weights"]["gains"]
    network = BeltCrackDet()
    state = network.state_dict()
    for name, values in fixture.state().items():
        if name in state and values.dtype != np.int64:
            scaled = [factor for prefix, factor in gains if name.startswith(prefix)]
            state[name] = torch.from_numpy(values * float(np.prod(scaled)))
    network.load_state_dict(state)
    return network.train()


def step(fixture: Fixture, network: BeltCrackDet) -> tuple[Tensor, Tensor]:
    """Raw output in training mode and its loss, which is computed in 32 bits."""
    given: dict[str, Any] = fixture.golden["arrays"]["train/head"]["input"]
    kind = next(network.parameters()).dtype
    clip = torch.from_numpy(fill.image(given["seed"], *given["shape"])).to(kind)
    raw = network(clip)["boxes_raw"].float()
    targets = targets_of(tensor(fixture, "train/labels"), given["shape"][0])
    settings = DetectionLossSettings()
    return raw, detection_loss({"boxes_raw": raw}, STRIDES, targets, settings)["loss"]


@torch.no_grad()
def test_training_mode(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    network = tempered(fixture)
    raw, loss = step(fixture, network)
    fixture.close("train/head", raw.numpy(), rtol=TRAIN_RTOL)
    fixture.close("train/loss", loss.numpy()[None], rtol=TRAIN_RTOL)
    fixture.leave("train/labels", "an input")
    state = network.state_dict()
    for name in (name for name in fixture.arrays if name.startswith("train/buffer/")):
        found = state[name.removeprefix("train/buffer/")]
        fixture.close(name, found.numpy(), rtol=TRAIN_RTOL)
    account(fixture, "train/", capsys)


@pytest.mark.slow
def test_gradients(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    """Norms as recorded, in 64 bits: 32 bits differ by up to 7 % from machine to machine."""
    network = tempered(fixture).double()
    step(fixture, network)[1].backward()
    told = fixture.golden["gradient_norms_train"]["norms"]
    found = {name: p.grad.norm() for name, p in network.named_parameters() if p.grad is not None}
    assert set(found) == {name for name, want in told.items() if want is not None}
    for name, norm in found.items():
        allowed = pytest.approx(told[name], rel=GRADIENT_RTOL, abs=LEAST_NORM)
        assert float(norm) == allowed, name
    with capsys.disabled():
        print(f"\ngradients: {len(found)} norms compared")
