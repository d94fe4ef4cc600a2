"""Evaluation of boxes where frames are missing, names are awkward or numbers are absurd."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_belts import DarkFinder, results_of, write_belts
from typer.testing import CliRunner

from fissura.cli import app
from fissura.evaluate import EvaluateSettings, evaluate
from fissura.evaluate.boxes.evaluation import true_boxes
from fissura.evaluate.boxes.pictures import Outcome, draw_outcome, write_pictures
from fissura.evaluate.boxes.scoring import Pictures, System, operating_rows
from fissura.evaluate.scoring import Bootstrap, Choice
from fissura.metrics.detection import FoundBoxes, TrueBoxes, match
from fissura.types import InputError, Keyframe

FEW = EvaluateSettings(resamples=0)


@pytest.fixture
def belts(tmp_path: Path) -> Path:
    return write_belts(tmp_path / "belts")


@pytest.fixture
def truth(belts: Path, tmp_path: Path) -> Path:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(results_of(belts)), "utf-8")
    return path


def score(given: Any, data: Path, split: str | None = None, **settings: Any) -> Any:
    changed = FEW.model_copy(update={"overwrite": True} | settings)
    return evaluate(given, data, None, split, "coco", data.parent / "out", changed)


def test_a_frame_missing_elsewhere_stops_no_evaluation(belts: Path, truth: Path) -> None:
    (belts / "images" / "a" / "1.png").unlink()  # of split val
    assert score(truth, belts, "test")["data"]["pictures"] == 7
    with pytest.raises(InputError, match=r"a/1\.png is not there; .* set missing to earlier"):
        score(truth, belts, "val")


def test_missing_frames_may_be_left_out(belts: Path, truth: Path) -> None:
    (belts / "images" / "b" / "2.png").unlink()
    words = ["evaluate", "--data", str(belts), "--predictions", str(truth), "--resamples", "0"]
    words += ["--out", str(belts.parent / "out")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "b/2.png is not there" in refused.stderr
    taken = CliRunner().invoke(app, [*words, "--missing", "earlier", "--json"])
    assert taken.exit_code == 0, taken.stderr
    data = json.loads(taken.stdout)["data"]
    assert data["pictures"] == 9
    assert [text for text in data["notices"] if "b/2.png" in text]


def test_names_that_look_alike_keep_files_of_their_own(belts: Path) -> None:
    class Named(DarkFinder):
        def __init__(self, name: str) -> None:
            self.card = dataclasses.replace(DarkFinder.card, name=name)

    names = ("a b", "a_b", "A b", "é", "ü", "x" * 400)
    report = score([Named(name) for name in names], belts)
    stored = [name for name in report["files"] if name.startswith("detections")]
    assert len({name.lower() for name in stored}) == 6
    assert all((belts.parent / "out" / name).is_file() for name in stored)


@pytest.mark.parametrize("names", [("a/b", "a_b"), ("v" * 400, "nul\0"), ("..", "/")])
def test_pictures_of_sequences_with_odd_names(tmp_path: Path, names: tuple[str, str]) -> None:
    cv2.imwrite(str(tmp_path / "x.png"), np.full((48, 64, 3), 90, np.uint8))
    none = np.zeros((0, 4), np.float32)
    frames = [
        Keyframe((tmp_path / "x.png",), name, 0, place, (48, 64), none, ())
        for place, name in enumerate(names)
    ]
    files = write_pictures(tmp_path / "out", frames, [shown_of(np.zeros((0, 4)), 2)], [None], 2)
    assert len(set(files)) == 2
    assert all((tmp_path / "out" / name).is_file() for name in files)


@pytest.mark.parametrize("far", [9e8, 1e300])
def test_boxes_far_outside_a_picture_are_drawn_as_far_as_it_reaches(far: float) -> None:
    boxes = np.array([[-far, 10, 2 * far, far], [5, 5, far, 5]])
    none = np.zeros((0, 4))
    panel = draw_outcome(np.zeros((48, 64, 3), np.uint8), Outcome(none, none, none, boxes), "x")
    assert tuple(panel[26 + 100, 300]) == (255, 214, 0)  # the upper edge of the first


def shown_of(boxes: Any, images: int) -> System:
    zeros = np.zeros(len(boxes), np.intp)
    found = FoundBoxes(zeros, zeros, np.asarray(boxes, float), np.full(len(boxes), 0.9))
    empty = Keyframe((Path("x"),), "s", 0, 1, (48, 64), np.zeros((0, 4), np.float32), ())
    return System("x", match(true_boxes([empty], ["crack"]), found, images), Choice(0.5, "f", ""))


def test_detections_of_no_score_have_their_operating_point_too() -> None:
    zeros = np.zeros(1, np.intp)
    box = np.array([[0, 0, 10, 10]], float)
    truth = TrueBoxes(zeros, zeros, box, np.full(1, 100.0), np.zeros(1, bool))
    matches = match(truth, FoundBoxes(zeros, zeros, box, np.zeros(1)), 1)
    pictures = Pictures(["a"], np.ones(1, bool), None, Bootstrap(0, 0, ["a"]))
    _, best = operating_rows(System("x", matches, Choice(0.5, "fixed", "")), [0], pictures)
    assert best["threshold"] == 0
    assert best["scores"]["f1"].tolist() == [1]
