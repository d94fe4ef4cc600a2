"""BeltCrackDet's evaluation on its recorded annotations and detections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fissura.evaluate.boxes.protocols import BOX_PROTOCOLS
from fissura.evaluate.boxes.scoring import Pictures, curve_scores
from fissura.evaluate.scoring import Bootstrap
from fissura.metrics.average_precision import interpolate
from fissura.metrics.detection import FoundBoxes, Matches, TrueBoxes, match

from . import fixtures
from .fixtures import Fixture

FOLDERS = fixtures.find("beltcrackdet")


def recorded(fixture: Fixture) -> tuple[Matches, list[int]]:
    """The recorded boxes, matched, and the ids of the pictures."""
    told: dict[str, Any] = fixture.golden["evaluation"]
    ids = [image["id"] for image in told["ground_truth"]["images"]]
    true, found = told["ground_truth"]["annotations"], told["detections"]

    def common(boxes: list[dict[str, Any]]) -> tuple[Any, ...]:
        images = np.array([ids.index(box["image_id"]) for box in boxes], np.intp)
        labels = np.array([box["category_id"] - 1 for box in boxes], np.intp)
        return images, labels, np.array([box["bbox"] for box in boxes], np.float64)

    truth = TrueBoxes(
        *common(true),
        np.array([box["area"] for box in true], np.float64),
        np.array([box["iscrowd"] for box in true], np.bool_),
    )
    scores = np.array([box["score"] for box in found], np.float64)
    return match(truth, FoundBoxes(*common(found), scores), len(ids)), ids


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_evaluation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixture = fixtures.load(folder)
    matches, ids = recorded(fixture)
    once = np.ones((1, len(ids)))
    curve = interpolate(matches.sweep(0), once).precision[0]
    fixture.close("eval/precision_curve", curve, rtol=1e-12)

    annotated = np.isin(np.arange(len(ids)), matches.truth.image)
    pictures = Pictures([str(i) for i in ids], annotated, None, Bootstrap(0))
    expected = fixture.golden["evaluation"]["expected"]
    ours = curve_scores(BOX_PROTOCOLS["beltcrack"], matches, [0], pictures)
    for theirs, name in (("mAP50", "map50"), *((n, n) for n in ("precision", "recall", "f1"))):
        assert ours[name][0] == pytest.approx(expected[theirs], abs=1e-12), name
    coco = curve_scores(BOX_PROTOCOLS["coco"], matches, [0], pictures)
    assert coco["ap"][0] == pytest.approx(expected["mAP"], abs=1e-12)
    forgotten = [n for n in fixture.arrays if n.startswith("eval/") and n not in fixture.compared]
    assert not forgotten
    with capsys.disabled():
        print(f"\nbeltcrackdet: the curve and {len(expected)} scores of the evaluation as recorded")
