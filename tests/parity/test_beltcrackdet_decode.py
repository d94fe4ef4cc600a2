"""BeltCrackDet's raw head output to boxes: every cell to rounding, what stays exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fissura.decode import decode_boxes, found_boxes

from . import fixtures
from .fixtures import Fixture

FOLDERS = fixtures.find("beltcrackdet")
STRIDES = (8,)
KINDS = ("decode/", "nms/")


def raw(fixture: Fixture) -> dict[str, NDArray[np.float32]]:
    return {"boxes_raw": fixture.arrays["main/head"][0]}


def released_to_image(centred: NDArray[Any], about: dict[str, Any]) -> NDArray[Any]:
    """Shares of the network's input → y1, x1, y2, x2 in the picture, as the release has it."""
    image_hw, network_hw = (np.array(about[key], float) for key in ("image_hw", "input_shape"))
    middle, size = centred[:, 1::-1].astype(float), centred[:, 3:1:-1].astype(float)
    if about["letterbox"]:
        new = np.round(image_hw * (network_hw / image_hw).min())
        middle = (middle - (network_hw - new) / 2 / network_hw) * (network_hw / new)
        size = size * (network_hw / new)
    edges = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
    return (edges * np.tile(image_hw, 2)).astype(np.float32)


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def fixture(request: pytest.FixtureRequest) -> Fixture:
    folder: Path = request.param
    return fixtures.load(folder)


def test_every_cell(fixture: Fixture) -> None:
    rows = decode_boxes(raw(fixture), STRIDES)
    height, width = fixture.golden["arrays"]["decode/boxes"]["input_shape"]
    shares = rows / np.array([width, height, width, height, 1, 1], np.float32)
    fixture.close("decode/boxes", shares[None], rtol=1e-5)


def test_what_stays(fixture: Fixture, capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in fixture.arrays if name.startswith("nms/")]
    rows = decode_boxes(raw(fixture), STRIDES)
    for name in names:
        about = fixture.golden["arrays"][name]
        boxes, scores, labels = found_boxes(raw(fixture), STRIDES, about["conf"], about["nms_iou"])
        want = fixture.arrays[name]
        assert len(boxes) == about["count"] == len(want)
        assert np.array_equal(labels, want[:, 6])
        # Which cell each box came from: sizes and scores of all cells differ.
        found = cells(rows, (boxes[:, :2] + boxes[:, 2:]) / 2, scores)
        assert len(set(found)) == len(found)
        height, width = about["input_shape"]
        shares = rows[found] / np.array([width, height, width, height, 1, 1], np.float32)
        mapped = released_to_image(shares, about)
        both = np.concatenate([mapped, shares[:, 4:], labels[:, None]], axis=1)
        fixture.close(name, both.astype(np.float32), rtol=1e-6)
    with capsys.disabled():
        print(f"\nbeltcrackdet: {len(names)} lists of boxes as recorded, none missing or added")


def cells(rows: NDArray[Any], middles: NDArray[Any], scores: NDArray[Any]) -> list[int]:
    """The row whose centre and score each box has."""
    own = np.column_stack([rows[:, :2], rows[:, 4:].prod(axis=1)])
    wanted = np.column_stack([middles, scores])
    apart = np.abs(own[None] - wanted[:, None]).sum(axis=2)
    assert apart.min(axis=1).max() < 1e-3
    return [int(row) for row in apart.argmin(axis=1)]


def test_no_array_is_forgotten(fixture: Fixture) -> None:
    ours = [name for name in fixture.arrays if name.startswith(KINDS)]
    assert ours
    assert {name.split("/")[0] for name in ours} == {"decode", "nms"}
