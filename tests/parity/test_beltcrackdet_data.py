"""BeltCrackDet's preparation of pictures and boxes against what its release recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fissura.letterbox import Letterbox, Mode

from . import fill, fixtures
from .fixtures import Fixture

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FOLDERS = fixtures.find("beltcrackdet")


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def fixture(request: pytest.FixtureRequest) -> Fixture:
    folder: Path = request.param
    return fixtures.load(folder)


def prepared(told: dict[str, Any], mode: Mode) -> np.ndarray:
    """The network-size picture that an entry of golden.json describes."""
    image_hw, network_hw = tuple(told["image_hw"]), tuple(told["input_hw"])
    image = (fill.image(told["seed"], *image_hw, 3) * 256).astype(np.uint8)
    return Letterbox(image_hw, network_hw, mode).apply(image)


@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
def test_pictures_are_fitted_alike(fixture: Fixture, mode: Mode) -> None:
    name = f"preprocess/{mode}"
    fixture.close(name, prepared(fixture.golden["arrays"][name], mode))
    assert name in fixture.compared


def test_network_input(fixture: Fixture) -> None:
    picture = prepared(fixture.golden["arrays"]["preprocess/letterbox"], "letterbox")
    values = (picture.astype(np.float32) / 255 - MEAN) / STD
    fixture.close("preprocess/tensor", values.transpose(2, 0, 1)[:, ::4, ::4], rtol=1e-5)
    assert "preprocess/tensor" in fixture.compared


def test_training_boxes_as_released(fixture: Fixture) -> None:
    told = fixture.golden["arrays"]["dataset/boxes"]
    boxes = np.array(told["boxes_in"], np.float32)
    letterbox = Letterbox(tuple(told["image_hw"]), (told["input_size"],) * 2)
    xyxy, kept = letterbox.targets(boxes[:, :4], released=True)
    centre, size = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
    rows = np.concatenate([centre, size, boxes[kept, 4:]], 1)
    fixture.close("dataset/boxes", rows[np.argsort(rows[:, 0])])
    assert "dataset/boxes" in fixture.compared
