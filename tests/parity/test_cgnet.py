"""CGNet against the recorded outputs of mmsegmentation's, array by array."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from . import fixtures
from .fixtures import Fixture, image_in

torch = pytest.importorskip("torch")

from fissura.config import load_settings  # noqa: E402
from fissura.decode import crack_map, resample  # noqa: E402
from fissura.metrics.segmentation import POINT_SCORES as SCORES  # noqa: E402
from fissura.metrics.segmentation import CrackCounts, Thresholds  # noqa: E402
from fissura.models import CGNet  # noqa: E402
from fissura.train.config import TrainConfig  # noqa: E402
from fissura.train.losses import cross_entropy, upsample  # noqa: E402
from fissura.train.schedule import learning_rate  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TEMPER = re.compile(r"regular expression (\S+) by ([\d.]+)")


def network(fixture: Fixture, *, tempered: bool, double: bool = False) -> CGNet:
    """CGNet with the fixture's weights, plainly filled or tempered."""
    state = {name: torch.from_numpy(values) for name, values in fixture.state().items()}
    if tempered:
        rule = TEMPER.search(fixture.golden["weights"]["tempered"])
        assert rule
        for name, values in state.items():
            if re.fullmatch(rule[1], name):
                state[name] = values * np.float32(rule[2])
    built = CGNet().eval()
    built.load_state_dict(state)
    return built.double() if double else built


@torch.no_grad()
def check_plain64(fixture: Fixture) -> None:
    built = network(fixture, tempered=False, double=True)
    x = torch.from_numpy(image_in(fixture.golden["input"]["expr"])).double()
    stages = built.backbone(x)
    fixture.close("plain64_stage0", stages["stage0"].numpy(), rtol=1e-6)
    fixture.close("plain64_stage1_every4", stages["stage1"][:, ::4].numpy(), rtol=1e-6)
    fixture.close("plain64_logits_lowres", built(x)["logits"].numpy(), rtol=1e-8)


@torch.no_grad()
def check_blocks(fixture: Fixture) -> None:
    built = network(fixture, tempered=False)
    for name in (name for name in fixture.arrays if name.startswith("block__")):
        block = built.backbone.get_submodule(name.removeprefix("block__"))
        x = torch.from_numpy(image_in(fixture.describe(name)) * 2 - 1)
        fixture.close(name, block(x).numpy(), atol=fixture.golden["tolerance"]["blocks_atol"])


@torch.no_grad()
def check_tempered(fixture: Fixture) -> None:
    atol = fixture.golden["tolerance"]["temper_atol"]
    built = network(fixture, tempered=True)
    gates: list[torch.Tensor] = []
    last = built.backbone.level2[-1].f_glo.fc
    last.register_forward_hook(lambda _module, _inputs, output: gates.append(output))
    x = torch.from_numpy(image_in(fixture.golden["input"]["expr"]))
    stages = built.backbone(x)
    logits = built(x)["logits"]
    fixture.close("temper_stage1_every4", stages["stage1"][:, ::4].numpy(), atol=atol)
    fixture.close("temper_stage2_every4", stages["stage2"][:, ::4].numpy(), atol=atol)
    fixture.close("temper_gates_level2_20", gates[0].numpy(), atol=atol)
    fixture.close("temper_logits_lowres", logits.numpy(), atol=atol)
    fixture.close("temper_logits", upsample(logits, x.shape[-2:]).numpy(), atol=atol)


@torch.no_grad()
def check_end_to_end(fixture: Fixture) -> None:
    rtol = fixture.golden["tolerance"]["e2e_logits_max_relative_to_largest_float64"]
    image = fixture.arrays["e2e_image_bgr_uint8"]
    fixture.leave("e2e_image_bgr_uint8", "an input")
    fixture.leave("e2e_label", "an input that nothing else uses")
    height, width = image.shape[:2]
    size_wh = tuple(int(CGNet.INPUT_SCALE * side + 0.5) for side in (width, height))
    enlarged = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    fixture.close("e2e_resized_bgr_uint8", enlarged)

    rgb = enlarged[..., ::-1].astype(np.float32)
    normalised = (rgb - np.float32(CGNet.MEAN_RGB)) / np.float32(CGNet.STD_RGB)
    x = np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])
    fixture.close("e2e_network_input", x, atol=1e-5)

    built = network(fixture, tempered=True, double=True)
    recorded = fixture.arrays.get("e2e_network_input", x)
    lowres = built(torch.from_numpy(recorded).double())["logits"]
    fixture.close("e2e_logits_lowres", lowres.numpy(), rtol=rtol)
    raw = lowres[0].numpy().astype(np.float32)
    full = [resample(resample(c, enlarged.shape[:2]), (height, width)) for c in raw]
    fixture.close("e2e_logits", np.stack(full), rtol=rtol)
    probability = crack_map({"logits": raw}, (height, width), enlarged.shape[:2])
    fixture.close("e2e_pred", (probability > 0.5)[None].astype(np.uint8))


def check_losses(fixture: Fixture) -> None:
    inputs = fixture.golden["loss_inputs"]
    labels = torch.from_numpy((image_in(inputs["label"])[:, 0] > 0.9).astype(np.int64))
    first, last = re.search(r"rows (\d+)\.\.(\d+) set to 255", inputs["label"]).groups()
    labels[:, int(first) : int(last) + 1] = 255
    logits = torch.from_numpy((image_in(inputs["logits"]) - np.float32(0.5)) * 6)
    logits = upsample(logits, labels.shape[-2:])
    filled = torch.where(labels == 255, 0, labels)
    weights = tuple(inputs["class_weight"])
    valid = labels != 255
    values = [
        cross_entropy(logits, labels, weights, "all_pixels"),
        cross_entropy(logits, filled, weights, "all_pixels"),
        cross_entropy(logits, filled, weights, "weighted_mean"),
        cross_entropy(logits, labels, weights, "weighted_mean"),
        100 * (logits.argmax(1) == labels)[valid].double().mean(),
    ]
    rtol = fixture.golden["tolerance"]["loss_rtol"]
    want = fixture.arrays["loss_values"]
    got = np.array([float(value) for value in values])
    assert got == pytest.approx(want, rel=rtol), "loss_values"
    fixture.close("loss_values", got, rtol=rtol)


def check_schedule(fixture: Fixture) -> None:
    config = load_settings(ROOT / "configs" / "cgnet_released.yaml", TrainConfig)
    iterations = fixture.arrays["lr_iters"]
    fixture.leave("lr_iters", "an input")
    rates = [
        learning_rate(int(t), config.iterations, config.optimiser, config.schedule)
        for t in iterations
    ]
    fixture.close("lr_values", np.array(rates), rtol=1e-9)


def check_metrics(fixture: Fixture) -> None:
    """Scores of hard label maps; label 255 lies outside the scored region."""
    predictions, labels = fixture.arrays["metric_pred_uint8"], fixture.arrays["metric_gt_uint8"]
    fixture.leave("metric_pred_uint8", "an input")
    fixture.leave("metric_gt_uint8", "an input")
    crack, background = CrackCounts(Thresholds((0.5,))), CrackCounts(Thresholds((0.5,)))
    for prediction, label in zip(predictions, labels, strict=True):
        crack.update(prediction.astype(np.float32), label == 1, label != 255)
        background.update(1 - prediction.astype(np.float32), label == 0, label != 255)
    one, zero = (
        found.compute()[0].weighted(np.ones((1, len(predictions)))) for found in (crack, background)
    )

    def score(name: str, *counts: object) -> list[float]:
        return [float(SCORES[name](part, np.nan)[0, 0]) for part in counts]  # type: ignore[arg-type]

    values = [
        *score("accuracy", one),
        *score("crack_iou", zero, one),
        *score("mean_iou", one),
        *score("recall", zero, one),
        *score("class_accuracy", one),
        *score("precision", zero, one),
        *score("recall", zero, one),
        *score("f1", zero, one),
    ]
    fixture.close(
        "metric_values", np.array(values), rtol=fixture.golden["tolerance"]["metric_rtol"]
    )


CHECKS: dict[str, Callable[[Fixture], None]] = {
    "plain64_": check_plain64,
    "block__": check_blocks,
    "temper_": check_tempered,
    "e2e_": check_end_to_end,
    "loss_": check_losses,
    "lr_": check_schedule,
    "metric_": check_metrics,
}
"""How arrays are compared, by the beginning of their names."""


@pytest.mark.parametrize("folder", fixtures.find("cgnet"), ids=lambda folder: folder.name)
def test_cgnet_equals_its_original(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixtures.check_all(folder, CHECKS, capsys)


def test_a_fixture_is_there() -> None:
    folder = fixtures.root()
    others = set(fixtures.systems(folder).values()) - {"cgnet"}
    if others and not fixtures.find("cgnet"):
        pytest.skip(f"{folder} holds fixtures of {', '.join(sorted(others))}, none of cgnet")
    assert fixtures.find("cgnet"), f"{folder}: no fixture here; check FISSURA_PARITY"


def test_a_fixture_is_known_by_its_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"renamed": '{"system": "cgnet"}', "cgnet_older": "{}", "far": '{"method": "CSSR"}'}
    for name, text in told.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "golden.json").write_text(text)
    monkeypatch.setenv("FISSURA_PARITY", str(tmp_path))
    assert fixtures.find("cgnet") == [tmp_path / "renamed"]
    assert fixtures.find("cssr") == [tmp_path / "far"]


def test_an_array_nobody_compares_is_not_forgotten(tmp_path: Path) -> None:
    arrays = {name: np.zeros(2) for name in ("a", "b", "c")}
    fixture = Fixture(tmp_path, {"arrays": dict.fromkeys(arrays)}, arrays)
    fixture.close("a", np.zeros(2))
    fixture.close("never recorded", np.zeros(2))
    fixture.leave("b", "an input")
    assert fixture.forgotten() == ["c"]
    assert fixture.account().splitlines()[1:] == ["  left b: an input"]
    with pytest.raises(AssertionError, match="c: differs by 1"):
        fixture.close("c", np.ones(2))
