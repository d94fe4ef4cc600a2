"""coco.json of `fissura predict` is scored as a list of COCO results is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import make_boxes
from small_belts import boxes_of, results_of, write_belts

from fissura.datasets.sequences import open_sequences
from fissura.evaluate import EvaluateSettings, evaluate
from fissura.report import open_writers
from fissura.types import Detections, InputError, Result

FEW = EvaluateSettings(resamples=0)


def result_of(root: Path, sequence: str, number: int) -> Result:
    """The truth itself, as a run of `fissura predict` from beside the data set would give it."""
    truth = boxes_of(sequence, number)
    edges = np.array([(x, y, x + w, y + h) for _, (x, y, w, h) in truth], np.float32)
    found = Detections(
        edges.reshape(-1, 4), np.full(len(truth), 0.9, np.float32), tuple(n for n, _ in truth)
    )
    source = f"{root.name}/images/{sequence}/{number}.png"
    return replace(make_boxes(source, 0, number), detections=found)


def predicted(root: Path, out: Path, classes: tuple[str, ...]) -> Path:
    with open_writers(["coco"], out, classes=classes) as add:
        for keyframe in open_sequences(root).keyframes:
            add(result_of(root, keyframe.sequence, keyframe.number))
    return out / "coco.json"


def score(path: Path, root: Path, out: Path) -> dict[str, Any]:
    found = evaluate(path, root, None, "test", "coco", out, FEW)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def belts(tmp_path: Path) -> Path:
    return write_belts(tmp_path / "belts")


def test_predictions_score_as_the_same_list_does(belts: Path, tmp_path: Path) -> None:
    listed = tmp_path / "coco_list.json"
    listed.write_text(json.dumps(results_of(belts)), "utf-8")
    path = predicted(belts, tmp_path / "o", ("crack", "hole"))
    ours, theirs = (score(one, belts, tmp_path / one.stem) for one in (path, listed))
    assert ours["results"][0]["scores"] == theirs["results"][0]["scores"]


def test_a_class_that_the_data_set_lacks_is_named(belts: Path, tmp_path: Path) -> None:
    path = predicted(belts, tmp_path / "o", ("crack", "hole"))
    document = json.loads(path.read_text())
    document["categories"][0]["name"] = "tear"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"annotation 1 is of class tear, not one of"):
        score(path, belts, tmp_path / "s")


def test_another_document_is_one_sentence(belts: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"is neither coco\.json of fissura predict nor a list"):
        score(path, belts, tmp_path / "s")
