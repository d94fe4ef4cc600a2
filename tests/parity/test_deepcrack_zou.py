"""DeepCrack (Zou) against the recorded outputs of its release, array by array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from . import fixtures
from .fixtures import Fixture, image_in, labels_in

torch = pytest.importorskip("torch")

from fissura.config import load_settings  # noqa: E402
from fissura.evaluate import PROTOCOLS  # noqa: E402
from fissura.metrics import CURVE_SCORES, POINT_SCORES, CrackCounts, Draws  # noqa: E402
from fissura.models import DeepCrackZou  # noqa: E402
from fissura.train.config import TrainConfig  # noqa: E402
from fissura.train.losses import pixel_loss, segmentation_loss  # noqa: E402
from fissura.train.optimiser import build_optimiser  # noqa: E402

from .augment_checks import check_zou as check_augmentation  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = {"output": "logits"} | {f"fuse{k}": f"side{k}" for k in (5, 4, 3, 2, 1)}
"""The release's name of each output → ours."""


def released() -> TrainConfig:
    return load_settings(ROOT / "configs" / "deepcrack_zou_released.yaml", TrainConfig)


def network(fixture: Fixture) -> DeepCrackZou:
    built = DeepCrackZou().eval()
    built.load_state_dict({k: torch.from_numpy(v) for k, v in fixture.state().items()})
    return built


@torch.no_grad()
def check_outputs(fixture: Fixture) -> None:
    told = fixture.golden["tolerance"]
    close = {"atol": told["forward_atol"], "rtol": told["forward_rtol"]}
    x = torch.from_numpy(image_in(fixture.golden["input"]["expr"]))
    built = network(fixture)
    outputs = built(x)
    for theirs, ours in OUTPUTS.items():
        fixture.close(theirs, outputs[ours].numpy(), **close)
    saved = np.floor(255 * outputs["logits"][0, 0].sigmoid().numpy())
    fixture.close("saved_uint8", saved, atol=1)

    encoded, decoded = built.features(x)
    pooled, places = built.pool(encoded[4])
    fixture.close("down1_pre_pool_ch0_8", encoded[0][:, :8].numpy(), **close)
    fixture.close("down3_pre_pool_ch0_16", encoded[2][:, :16].numpy(), **close)
    fixture.close("down5_pre_pool", encoded[4].numpy(), **close)
    fixture.close("pool5", pooled.numpy(), **close)
    fixture.close("pool5_indices", places.numpy())
    fixture.close("pool3_indices_ch0_16", built.pool(encoded[2])[1][:, :16].numpy())
    fixture.close("up5", decoded[4].numpy(), **close)
    fixture.close("up3_ch0_16", decoded[2][:, :16].numpy(), **close)
    fixture.close("up1_ch0_8", decoded[0][:, :8].numpy(), **close)


def check_training(fixture: Fixture) -> None:
    """Three steps of the released recipe in double precision."""
    told, config = fixture.golden["tolerance"], released()
    batch = fixture.golden["train_batch"]
    x = torch.from_numpy(image_in(batch["x"])).double()
    y = torch.from_numpy(labels_in(batch["y"]))
    built = network(fixture).double().train()
    optimiser = build_optimiser(built, config.optimiser)
    losses = []
    for step in range(3):
        outputs = built(x)
        each = [pixel_loss(outputs[ours], y, config.loss) for ours in OUTPUTS.values()]
        total = segmentation_loss(outputs, y, config.loss)["loss"]
        losses.append(
            [float(total.detach()), *(float(p.detach()) / config.loss.divisor for p in each)]
        )
        optimiser.zero_grad()
        total.backward()
        if step == 0:
            _compare_gradients(fixture, built, told["gradients_rtol_float64"])
        optimiser.step()
        if step == 0:
            after = built.final.weight.detach().numpy().copy()
            fixture.close("after_step1__final.weight", after, rtol=told["gradients_rtol_float64"])
    fixture.close("train_losses", np.array(losses), rtol=told["train_losses_rtol_float64"])


def _compare_gradients(fixture: Fixture, built: DeepCrackZou, rtol: float) -> None:
    named = dict(built.named_parameters())
    for name in (name for name in fixture.arrays if name.startswith("grad__")):
        fixture.close(name, named[name.removeprefix("grad__")].grad.numpy(), rtol=rtol)
    norms = [float(named[name].grad.norm()) for name in fixture.state()]
    fixture.close("grad_l2_norms", np.array(norms), rtol=rtol)


def check_losses(fixture: Fixture) -> None:
    inputs, settings = fixture.golden["loss_inputs"], released().loss
    logits = torch.from_numpy((image_in(inputs["logits"]) - np.float32(0.5)) * 12)
    target = torch.from_numpy(labels_in(inputs["target"]))[:, 0]
    weighted = [settings.model_copy(update={"class_weights": (1.0, w)}) for w in (1.0, 5.0)]
    values = [float(pixel_loss(logits, target, one)) / settings.divisor for one in weighted]
    fixture.close(
        "bce_values", np.array(values), rtol=fixture.golden["tolerance"]["bare_losses_rtol"]
    )
    right = ((logits[:, 0] > 0.5) == (target == 1)).double()
    shares = [right.mean(), right[target == 1].mean(), right[target == 0].mean()]
    fixture.close("acc_values", np.array([float(share) for share in shares]), rtol=1e-9)


def check_evaluation(fixture: Fixture) -> None:
    protocol = PROTOCOLS["zou2019"]
    arrays = fixture.arrays
    for name in ("eval_pred_uint8", "eval_gt_uint8", "eval_region_uint8"):
        fixture.leave(name, "an input")
    rows = []
    for name, region in (("eval_counts", None), ("eval_counts_region", "eval_region_uint8")):
        tally = CrackCounts(protocol.thresholds, (2,))
        for i, prediction in enumerate(arrays["eval_pred_uint8"]):
            valid = None if region is None else arrays[region][i] > 127
            tally.update(prediction, arrays["eval_gt_uint8"][i] > 127, valid)
        counts = tally.compute()[2]
        columns = (counts.matched, counts.predicted, counts.found, counts.truth)
        fixture.close(name, np.stack(np.broadcast_arrays(*columns), axis=-1))
        rows.append(_summary(Draws(protocol.thresholds, counts, np.ones((1, len(tally))))))
    fixture.close("eval_summary", np.array(rows), rtol=1e-9)


def _summary(draws: Draws) -> list[float]:
    """F, P, R at the best common threshold, the same at every picture's own, and AP."""
    names = ("f1", "precision", "recall")
    common = draws.pooled.at(int(POINT_SCORES["f1"](draws.pooled, 1.0)[0].argmax()))
    own = draws.images.at_each(POINT_SCORES["f1"](draws.images, 1.0).argmax(axis=-1))
    parts = [common, own.weighted(draws.weights)]
    points = [float(POINT_SCORES[name](part, 1.0)[0, 0]) for part in parts for name in names]
    assert points[0] == CURVE_SCORES["ods"](draws)[0]
    assert points[3] == CURVE_SCORES["ois"](draws)[0]
    return [*points, float(CURVE_SCORES["ap_interpolated"](draws)[0])]


CHECKS: dict[str, Callable[[Fixture], None]] = {
    "output": check_outputs,
    "train_losses": check_training,
    "bce_values": check_losses,
    "eval_": check_evaluation,
    "aug_": check_augmentation,
}
"""How arrays are compared, by the beginning of a name that stands for the group."""


@pytest.mark.parametrize("folder", fixtures.find("deepcrack_zou"), ids=lambda folder: folder.name)
def test_deepcrack_zou_equals_its_original(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixtures.check_all(folder, CHECKS, capsys)
