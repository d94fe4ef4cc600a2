"""Which cells answer for which box: SimOTA, as plain loops find it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slow_simota
from hypothesis import given
from hypothesis import strategies as st
from slow_simota import Box, Cell

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

from fissura.decode import box_outputs  # noqa: E402
from fissura.train.assign import Matches, assign, class_cost  # noqa: E402
from fissura.train.detection import Predictions, assign_all, decode  # noqa: E402

SIDE = 64
STRIDES = st.sampled_from([(8,), (8, 16, 32)])
CLASSES = st.integers(1, 3)
SEEDS = st.integers(0, 10**6)
COUNTS = st.integers(0, 6)


def outputs_of(
    seed: int, strides: tuple[int, ...], classes: int, side: int = SIDE, pictures: int = 1
) -> dict[str, Tensor]:
    """Random raw outputs of a detector, in 64 bits so that no rounding decides."""
    rng = np.random.default_rng(seed)
    return {
        name: torch.from_numpy(rng.normal(size=(pictures, 5 + classes, side // s, side // s)))
        for name, s in zip(box_outputs(strides), strides, strict=True)
    }


def boxes_of(seed: int, count: int, classes: int, side: int = SIDE) -> Tensor:
    """Random boxes, tiny and huge, some of them partly or wholly outside."""
    rng = np.random.default_rng(seed + 1)
    centres, sides = rng.uniform(-0.2, 1.2, (count, 2)), rng.uniform(0.01, 1.0, (count, 2)) ** 2
    labels = rng.integers(0, classes, (count, 1))
    return torch.from_numpy(np.hstack([centres * side, sides * side, labels]).astype(float))


def matched(predictions: Predictions, targets: Tensor, picture: int = 0) -> Matches:
    boxes, objectness, classes = (values[picture] for values in predictions[:3])
    return assign(boxes, objectness, classes, predictions.cells, targets)


def plain(predictions: Predictions, targets: Tensor, picture: int) -> tuple[list[Cell], list[Box]]:
    """What the loops take."""
    rows = zip(
        predictions.cells.centres.tolist(),
        predictions.cells.strides.tolist(),
        *(values[picture].tolist() for values in predictions[:3]),
        strict=True,
    )
    cells = [Cell(x, y, s, tuple(box), obj, tuple(cls)) for (x, y), s, box, obj, cls in rows]
    return cells, [tuple(row) for row in targets.tolist()]


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@given(SEEDS, STRIDES, CLASSES, COUNTS)
def test_as_plain_loops_find(seed: int, strides: tuple[int, ...], classes: int, count: int) -> None:
    predictions = decode(outputs_of(seed, strides, classes), strides)
    targets = boxes_of(seed, count, classes)
    found = matched(predictions, targets)
    pairs = dict(zip(found.cells.tolist(), found.boxes.tolist(), strict=True))
    cells, boxes = plain(predictions, targets, 0)
    assert pairs == slow_simota.assign(cells, boxes)
    for k, overlap in zip(found.cells.tolist(), found.ious.tolist(), strict=True):
        assert overlap == pytest.approx(slow_simota.iou(cells[k].box, boxes[pairs[k]]))


@given(SEEDS, STRIDES, CLASSES, COUNTS)
def test_a_cell_has_one_box_and_a_box_ten_cells_at_most(
    seed: int, strides: tuple[int, ...], classes: int, count: int
) -> None:
    predictions = decode(outputs_of(seed, strides, classes), strides)
    cells, boxes, overlaps = matched(predictions, boxes_of(seed, count, classes))
    assert len(set(cells.tolist())) == len(cells)
    assert not len(boxes) or int(boxes.bincount().max()) <= 10
    assert ((overlaps >= 0) & (overlaps <= 1)).all()


@given(SEEDS, STRIDES, COUNTS)
def test_order_of_boxes_does_not_matter(seed: int, strides: tuple[int, ...], count: int) -> None:
    """But between boxes that do not touch what the cell predicts, where the first one wins."""
    predictions, targets = decode(outputs_of(seed, strides, 2), strides), boxes_of(seed, count, 2)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    one, other = matched(predictions, targets), matched(predictions, targets[order])
    assert torch.equal(one.cells, other.cells)
    touched = one.ious > 0
    assert torch.equal(one.boxes[touched], order[other.boxes][touched])
    assert torch.equal(one.ious, other.ious)


def test_pictures_are_apart() -> None:
    outputs = outputs_of(3, (8,), 2, pictures=3)
    predictions = decode(outputs, (8,))
    targets = [boxes_of(seed, count, 2) for seed, count in ((5, 2), (6, 0), (7, 4))]
    found = assign_all(predictions, targets)
    for picture, wanted in enumerate(targets):
        cells, owners, ious = matched(predictions, wanted, picture)
        mine = found.pictures == picture
        assert torch.equal(found.cells[mine], cells)
        assert torch.equal(found.boxes[mine], wanted[owners, :4])
        assert torch.equal(found.labels[mine], wanted[owners, 4].long())
        assert torch.equal(found.ious[mine], ious)


@pytest.mark.parametrize("rows", [[], [[900, 900, 20, 20, 0]], [[-99, 5, 3, 3, 0]]])
def test_boxes_that_no_cell_sees(rows: list[list[float]]) -> None:
    predictions = decode(outputs_of(1, (8,), 1), (8,))
    assert [len(part) for part in matched(predictions, torch.tensor(rows).view(-1, 5))] == [0] * 3


def test_perfect_boxes_take_ten_cells() -> None:
    raw = torch.zeros(1, 6, 8, 8)
    places = torch.arange(8.0)
    raw[0, 0], raw[0, 1] = 4 - places, 4 - places[:, None]  # every cell finds the same box
    found = matched(decode({"boxes_raw": raw}, (8,)), torch.tensor([[32.0, 32, 8, 8, 0]]))
    assert found.ious.tolist() == [1] * 10


def test_no_numbers_end_in_no_error() -> None:
    outputs = {"boxes_raw": torch.full((1, 7, 8, 8), float("nan"))}
    found = matched(decode(outputs, (8,)), boxes_of(2, 3, 2).float())
    assert len(found.cells) == len(found.boxes) == len(found.ious)


def test_cost_of_many_classes_takes_no_cube_of_memory() -> None:
    class Largest(TorchFunctionMode):
        numel = 0

        def __torch_function__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            if isinstance(found, torch.Tensor):
                self.numel = max(self.numel, found.numel())
            return found

    scores = torch.rand(50, 40, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30)
    with Largest() as seen:
        cost = class_cost(scores, labels)
    assert seen.numel <= 50 * 40
    wanted = torch.nn.functional.one_hot(labels, 40)[:, None].expand(30, 50, 40).float()
    whole = torch.nn.functional.binary_cross_entropy(
        scores.expand(30, 50, 40), wanted, reduction="none"
    )
    assert torch.allclose(cost, whole.sum(dim=-1), rtol=1e-5)


def test_time_of_a_full_batch(one_thread: None) -> None:
    """Processor time, which a busy machine changes little; loops would take minutes."""
    predictions = decode(outputs_of(4, (8, 16, 32), 1, side=512, pictures=8), (8, 16, 32))
    targets = [boxes_of(seed, 10, 1, side=512) for seed in range(8)]
    began = time.process_time()
    assign_all(predictions, targets)
    assert time.process_time() - began < 0.5
