"""A detector's loss: sound for any boxes and none, the same as plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import slow_simota
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from pydantic import ValidationError  # noqa: E402
from test_assign import CLASSES, COUNTS, SEEDS, STRIDES, boxes_of, outputs_of, plain  # noqa: E402
from torch import Tensor  # noqa: E402

from fissura.decode import box_outputs, decode_boxes  # noqa: E402
from fissura.train.config import DetectionLossSettings  # noqa: E402
from fissura.train.detection import (  # noqa: E402
    ciou,
    decode,
    detection_loss,
    focal,
    giou,
    iou_loss,
    nwd,
)

FORMS = ("ciou", "giou", "iou")
PARTS = ("reg", "obj", "cls")
NONE = torch.zeros(0, 5)
settings = st.builds(
    DetectionLossSettings,
    iou=st.sampled_from(FORMS),
    reduction=st.sampled_from(["released", "mean"]),
    zeta=st.sampled_from([0.5, 1.0]),
    eta=st.sampled_from([0.0, 0.5, 1.0]),
)
lengths = st.floats(0, 600, width=32)
places = st.floats(-300, 900, width=32)
boxes = st.tuples(places, places, lengths, lengths)


def loss_of(raw: Tensor, targets: list[Tensor], **changes: object) -> dict[str, Tensor]:
    """Of one stride, 8."""
    given = DetectionLossSettings.model_validate(changes)
    return detection_loss({"boxes_raw": raw}, (8,), targets, given)


@given(SEEDS, STRIDES, CLASSES, st.lists(COUNTS, min_size=1, max_size=2))
def test_as_plain_loops_find(
    seed: int, strides: tuple[int, ...], classes: int, counts: list[int]
) -> None:
    outputs = outputs_of(seed, strides, classes, pictures=len(counts))
    targets = [boxes_of(seed + k, count, classes) for k, count in enumerate(counts)]
    found = detection_loss(outputs, strides, targets, DetectionLossSettings())
    predictions = decode(outputs, strides)
    pictures = [plain(predictions, wanted, k) for k, wanted in enumerate(targets)]
    *parts, count = slow_simota.loss(pictures)
    assert found["positives"] == count
    assert [float(found[name]) for name in PARTS] == pytest.approx(parts, rel=1e-6)
    assert float(found["loss"]) == pytest.approx(sum(parts), rel=1e-6)


@given(SEEDS, STRIDES, st.integers(0, 3))
def test_decoded_as_in_prediction(seed: int, strides: tuple[int, ...], classes: int) -> None:
    outputs = {name: raw.float() for name, raw in outputs_of(seed, strides, classes).items()}
    found = decode(outputs, strides)
    logits = torch.cat([found.objectness[..., None], found.classes], dim=2).sigmoid()
    rows = decode_boxes({name: raw[0].numpy() for name, raw in outputs.items()}, strides)
    assert np.allclose(torch.cat([found.boxes, logits], dim=2)[0], rows, rtol=1e-5, atol=1e-5)


# ---- two boxes -----------------------------------------------------------------------------


@given(boxes.filter(lambda box: min(box[2:]) > 0.01))
def test_the_same_box_costs_nothing(box: tuple[float, ...]) -> None:
    one = torch.tensor(box, dtype=torch.float64)  # 32 bits lose 1e-3 of a thin box far out
    for form in FORMS:
        assert float(iou_loss(one, one, form)) == pytest.approx(0, abs=1e-8)
    assert float(nwd(one, one, 12)) == pytest.approx(1, abs=1e-4)


@given(boxes, boxes)
def test_any_two_boxes(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    one, other = torch.tensor(a, requires_grad=True), torch.tensor(b)
    losses = [iou_loss(one, other, form) for form in FORMS]
    likeness = nwd(one, other, 12)
    assert all(-1e-3 <= loss <= 2 for loss in losses)
    assert 0 <= likeness <= 1
    assert likeness == nwd(other, one, 12)
    (torch.stack(losses).sum() + likeness).backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


def test_boxes_apart_are_still_told_how_far() -> None:
    one = torch.tensor([10.0, 10, 8, 8])
    near, far = torch.tensor([30.0, 10, 8, 8]), torch.tensor([90.0, 10, 8, 8])
    assert iou_loss(one, near, "iou") == iou_loss(one, far, "iou") == 1
    for measure in (ciou, giou, lambda a, b: nwd(a, b, 12)):
        assert measure(one, near) > measure(one, far)


@given(st.floats(-12, 12), st.floats(0, 1))
def test_focal_loss(logit: float, target: float) -> None:
    x = torch.tensor(logit, dtype=torch.float64)
    assert float(focal(x, torch.full_like(x, target))) == pytest.approx(
        slow_simota.focal(logit, target), rel=1e-6
    )


# ---- batches -------------------------------------------------------------------------------


@given(
    SEEDS, settings, st.lists(st.lists(boxes, max_size=3), min_size=1, max_size=2),
    st.sampled_from([0.1, 1.0, 30.0, 1000.0]),
)  # fmt: skip
def test_finite_whatever_the_boxes(
    seed: int, given: DetectionLossSettings, rows: list[list[tuple[float, ...]]], spread: float
) -> None:
    outputs = outputs_of(seed, (8, 16), 1, pictures=len(rows))
    outputs = {k: (spread * raw).float().requires_grad_() for k, raw in outputs.items()}
    targets = [torch.tensor([[*box, 0.0] for box in row]).view(-1, 5) for row in rows]
    parts = detection_loss(outputs, (8, 16), targets, given)
    parts["loss"].backward()
    assert all(part.isfinite() for part in parts.values())
    for raw in outputs.values():
        assert raw.grad is not None
        assert raw.grad.isfinite().all()


def test_a_batch_without_boxes_costs_objectness_alone() -> None:
    raw = outputs_of(1, (8,), 2, pictures=2)["boxes_raw"].requires_grad_()
    parts = loss_of(raw, [NONE, NONE])
    want = focal(raw[:, 4], torch.zeros_like(raw[:, 4])).sum()
    assert parts["reg"] == parts["cls"] == parts["positives"] == 0
    assert float(parts["loss"].detach()) == pytest.approx(float(want.detach()))
    parts["loss"].backward()
    assert raw.grad is not None
    assert raw.grad[:, 4].any()
    assert not raw.grad[:, :4].any()
    assert not raw.grad[:, 5:].any()


@given(SEEDS, settings, COUNTS)
def test_order_does_not_matter(seed: int, given: DetectionLossSettings, count: int) -> None:
    outputs = outputs_of(seed, (8,), 1, pictures=2)
    targets = [boxes_of(seed, count, 1), boxes_of(seed + 9, 2, 1)]
    turned = {name: raw.flip(0) for name, raw in outputs.items()}
    one = detection_loss(outputs, (8,), targets, given)
    other = detection_loss(turned, (8,), [t.flip(0) for t in reversed(targets)], given)
    for name in ("obj", "cls", "positives"):
        assert float(one[name]) == pytest.approx(float(other[name]))


def test_reductions_and_weights() -> None:
    raw = outputs_of(2, (8,), 1)["boxes_raw"]
    targets = [boxes_of(3, 4, 1)]
    distance, overlap = {"zeta": 0, "eta": 1}, {"zeta": 1, "eta": 0}
    mean = loss_of(raw, targets, reduction="mean", **distance)
    released = loss_of(raw, targets, reduction="released", **distance)
    assert mean["positives"] > 1
    assert released["reg"] * released["positives"] == pytest.approx(mean["reg"])
    same = [loss_of(raw, targets, reduction=r, **overlap)["reg"] for r in ("mean", "released")]
    assert same[0] == same[1]
    both = loss_of(raw, targets, reduction="mean", zeta=1, eta=1)
    assert both["reg"] == pytest.approx(same[0] + mean["reg"])
    weighted = loss_of(raw, targets, reg=10, obj=2, cls=3)
    usual = loss_of(raw, targets)
    for name, factor in (("reg", 2), ("obj", 2), ("cls", 3)):
        assert weighted[name] == pytest.approx(factor * usual[name])
    wide = loss_of(raw, targets, reduction="mean", nwd_constant=1000, **distance)
    assert wide["reg"] < mean["reg"]


def test_outputs_stay_as_they_are_and_half_precision_is_computed_in_full() -> None:
    raw, targets = outputs_of(4, (8,), 1)["boxes_raw"].float(), [boxes_of(4, 3, 1).float()]
    before = raw.clone()
    full = loss_of(raw, targets)
    assert torch.equal(raw, before)
    half = raw.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        parts = loss_of(half, targets)
    assert all(part.dtype == torch.float32 for part in parts.values())
    assert torch.equal(parts["loss"], loss_of(half.float(), targets)["loss"])
    assert float(parts["obj"]) == pytest.approx(float(full["obj"]), rel=0.2)


@pytest.mark.parametrize("reduction", ["released", "mean"])
@pytest.mark.parametrize("strides", [(8,), (8, 16, 32)])
def test_boxes_can_be_learned(strides: tuple[int, ...], reduction: str) -> None:
    names = box_outputs(strides)
    outputs = {
        name: torch.zeros(1, 6, 64 // s, 64 // s, requires_grad=True)
        for name, s in zip(names, strides, strict=True)
    }
    targets = [torch.tensor([[20.0, 20, 16, 12, 0], [44, 40, 30, 36, 0]])]
    given = DetectionLossSettings.model_validate({"reduction": reduction})
    optimiser = torch.optim.Adam(outputs.values(), lr=0.1)
    first = 0.0
    for _ in range(120):
        loss = detection_loss(outputs, strides, targets, given)["loss"]
        first = first or float(loss.detach())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05 * first
    rows = decode_boxes({k: raw[0].detach().numpy() for k, raw in outputs.items()}, strides)
    sure = torch.from_numpy(rows[rows[:, 4] > 0.5])
    for target in targets[0]:
        assert min(iou_loss(sure[:, :4], target[:4], "iou")) < 0.2


# ---- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"zeta": 0, "eta": 0}, "raise one"),
        ({"reg": 0}, "raise one"),
        ({"eta": -1}, "greater"),
        ({"nwd_constant": 0}, "greater"),
        ({"iou": "diou"}, "ciou"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        DetectionLossSettings.model_validate(changes)
