"""Evaluation of boxes end to end on a small set of sequences written to disk."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ROOT
from small_belts import SIZE_WH, DarkFinder, boxes_of, results_of, write_belts
from typer.testing import CliRunner

from fissura.cli import app
from fissura.config import PredictSettings
from fissura.datasets.sequences import open_sequences, read_clip
from fissura.evaluate import BOX_PROTOCOLS, EvaluateSettings, evaluate
from fissura.evaluate.boxes import results
from fissura.evaluate.boxes.evaluation import true_boxes
from fissura.evaluate.boxes.pictures import (
    FALSE,
    FOUND,
    MISSED,
    draw_heat,
    draw_outcome,
    heat_map,
    key_strip,
    outcome,
)
from fissura.evaluate.boxes.results import read_results
from fissura.evaluate.boxes.scoring import System
from fissura.evaluate.boxes.sources import FromEngine
from fissura.evaluate.scoring import Choice
from fissura.letterbox import Letterbox, fit_clip
from fissura.metrics.detection import FoundBoxes, match
from fissura.types import InputError, Keyframe

FEW = EvaluateSettings(resamples=50)


@pytest.fixture
def belts(tmp_path: Path) -> Path:
    return write_belts(tmp_path / "belts")


def save(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), "utf-8")
    return path


def score(given: Any, data: Path, out: Path, protocol: str = "coco", **settings: Any) -> Any:
    split = settings.pop("split", None)
    return evaluate(given, data, None, split, protocol, out, FEW.model_copy(update=settings))


def rows(report: Any, label: str = "all") -> list[dict[str, Any]]:
    return [row for row in report["results"] if row["class"] == label]


def value(report: Any, name: str, row: int = 0) -> float:
    return rows(report)[row]["scores"][name]["value"]


@pytest.mark.parametrize("protocol", [*BOX_PROTOCOLS])
def test_the_truth_scores_best(belts: Path, tmp_path: Path, protocol: str) -> None:
    given = save(tmp_path / "truth.json", results_of(belts))
    report = score(given, belts, tmp_path / "out", protocol)
    headline = {"beltcrack": "map50", "coco": "ap", "operating-point": "f1"}[protocol]
    assert value(report, headline) == pytest.approx(1)
    assert report["data"]["pictures"] == 10
    assert report["data"]["groups"] == 3
    assert report["data"]["boxes"] == {"hole": 3, "crack": 7}
    for name in report["files"]:
        assert (tmp_path / "out" / name).is_file()


def test_false_alarms_are_counted_on_frames_without_boxes(belts: Path, tmp_path: Path) -> None:
    truth = results_of(belts)
    false = {"image_id": 100, "category_id": 7, "bbox": [0, 0, 9, 9], "score": 0.8}
    truth += [false, false | {"score": 0.7}, false | {"image_id": 101, "score": 0.6}]
    given = save(tmp_path / "some.json", truth)
    settings = {"fps": 2.0, "threshold": 0.65}
    report = score(given, belts, tmp_path / "out", "operating-point", **settings)
    fixed, best = rows(report)
    assert fixed["threshold"] == 0.65
    assert fixed["scores"]["false_boxes"]["value"] == pytest.approx(1000 * 2 / 3)
    assert fixed["scores"]["alarmed"]["value"] == pytest.approx(1000 / 3)
    assert fixed["scores"]["false_per_minute"]["value"] == pytest.approx(2 / (10 / 2 / 60))
    assert fixed["scores"]["precision"]["value"] == pytest.approx(10 / 12)
    assert best["threshold"] == 0.9
    assert best["scores"]["f1"]["value"] == 1
    assert best["scores"]["false_boxes"]["value"] == 0


def test_only_annotated_pictures(belts: Path, tmp_path: Path) -> None:
    truth = results_of(belts)
    false = {"image_id": 100, "category_id": 7, "bbox": [0, 0, 9, 9], "score": 0.95}
    given = save(tmp_path / "some.json", [*truth, false])
    every = score(given, belts, tmp_path / "all", "beltcrack")
    some = score(given, belts, tmp_path / "some", "beltcrack", images="annotated")
    assert every["data"]["pictures"] == 10
    assert some["data"]["pictures"] == 7
    assert value(every, "map50") < value(some, "map50") == pytest.approx(1)
    assert some["predictions"][0]["details"]["on_other_pictures"] == 1


def test_many_systems_in_one_table_and_curve(belts: Path, tmp_path: Path) -> None:
    truth = results_of(belts)
    good = save(tmp_path / "good.json", truth)
    poor = save(tmp_path / "poor.json", truth[::2])
    given = [DarkFinder(), f"ours={good}", poor]
    out = tmp_path / "out"
    report = score(given, belts, out, "beltcrack", pictures=3)
    assert [one["name"] for one in report["predictions"]] == ["dark", "ours", "poor"]
    assert report["data"]["boxes"] == {"crack": 7}, "the detector knows no other class"
    assert report["data"]["other_classes"] == {"hole": 3}
    by_name = {row["predictions"]: row["scores"]["map50"]["value"] for row in rows(report)}
    assert by_name["ours"] == pytest.approx(1)
    assert by_name["dark"] == pytest.approx(1)
    assert by_name["poor"] < 1
    assert {row["b"] for row in report["vs"]} == {"ours", "poor"}
    with (out / "curves.csv").open() as file:
        assert {line["predictions"] for line in csv.DictReader(file)} == set(by_name)
    assert len(list((out / "pictures").glob("*.jpg"))) == 3
    page = (out / "report.md").read_text("utf-8")
    assert "| ours | all |" in page
    again = score(out / "detections" / "dark.json", belts, tmp_path / "again", "beltcrack")
    assert again["data"]["boxes"] == {"hole": 3, "crack": 7}


def test_files_of_one_name_are_told_apart_by_their_folders(belts: Path, tmp_path: Path) -> None:
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        save(tmp_path / run / "best.json", results_of(belts))
    given = [tmp_path / run / "best.json" for run in ("first", "second")]
    report = score(given, belts, tmp_path / "out")
    named = [one["name"] for one in report["predictions"]]
    assert named == ["best (first/best.json)", "best (second/best.json)"]


def test_thirteen_systems_are_drawn_side_by_side(belts: Path, tmp_path: Path) -> None:
    truth = save(tmp_path / "truth.json", results_of(belts))
    given = [DarkFinder(), *(f"system {number}={truth}" for number in range(12))]
    out = tmp_path / "out"
    score(given, belts, out, "operating-point", pictures=2, classes=("hole",))
    sheets = [cv2.imread(str(path)) for path in sorted((out / "pictures").glob("*.jpg"))]
    panel = 26 + 640 * SIZE_WH[1] // SIZE_WH[0]
    # Four to a row, a row of heat maps below the first, and the line that tells the colours.
    assert {sheet.shape for sheet in sheets} == {(5 * panel + 26, 4 * 640, 3)}
    assert all("b_" in path.name for path in (out / "pictures").iterdir()), "the rest has no hole"
    assert cv2.imread(str(out / "pr_curve.png")).shape[1] > 1000


def test_the_key_names_every_colour() -> None:
    for width, heat in ((640, False), (1280, True)):
        strip = key_strip(width, heat)
        assert strip.shape == (26, width, 3)
        there = {tuple(pixel) for pixel in strip.reshape(-1, 3).tolist()}
        assert {FOUND, MISSED, FALSE} <= there


def test_stored_boxes_of_a_detector_score_as_the_detector(belts: Path, tmp_path: Path) -> None:
    first = score(DarkFinder(), belts, tmp_path / "first", "all", split="test")
    stored = tmp_path / "first" / "detections" / "dark.json"
    second = score(stored, belts, tmp_path / "second", "all", split="test", classes=("crack",))
    for name in ("beltcrack", "coco"):
        for a, b in zip(first[name]["results"], second[name]["results"], strict=True):
            assert a["scores"] == b["scores"]
    assert (tmp_path / "first" / "protocols.md").is_file()
    assert (tmp_path / "first" / "coco" / "pr_curve.png").is_file()
    assert first["coco"]["data"]["note"] == ""


def test_windows_are_those_of_every_key_frame(belts: Path) -> None:
    class Recorder(DarkFinder):
        def run_clip(self, clip: Any) -> Any:
            seen.append(clip.copy())
            return super().run_clip(clip)

    seen: list[Any] = []
    engine = Recorder()
    data = open_sequences(belts, frames=5)
    once = dataclasses.replace(data, keyframes=(*data.keyframes[:4], *data.keyframes[5:]))
    FromEngine(engine, PredictSettings(), 0.01).find(once, ("crack",), lambda: None)
    for keyframe, clip in zip(once.keyframes, seen, strict=True):
        fitted = fit_clip(read_clip(keyframe)[-2:], engine.card.network_hw)
        assert np.array_equal(clip, fitted)


def test_where_the_threshold_comes_from(belts: Path, tmp_path: Path) -> None:
    def threshold(out: str, given: Any, **settings: Any) -> dict[str, Any]:
        report = score(given, belts, tmp_path / out, "operating-point", split="test", **settings)
        found: dict[str, Any] = report["predictions"][0]["threshold"]
        return found

    given = save(tmp_path / "truth.json", results_of(belts))
    assert threshold("a", given)["value"] == 0.5
    assert threshold("b", DarkFinder())["value"] == 0.4
    assert threshold("c", given, threshold=0.3)["value"] == 0.3
    chosen = threshold("d", given, validation="val")
    assert chosen["value"] == 0.9
    assert chosen["rule"] == "validation"
    with pytest.raises(InputError, match="shares pictures"):
        threshold("e", given, validation="test")


def test_intervals_draw_sequences(belts: Path, tmp_path: Path) -> None:
    given = save(tmp_path / "half.json", results_of(belts)[:5])
    report = score(given, belts, tmp_path / "out", "beltcrack")
    assert report["intervals"]["unit"].startswith("sequences (3 of 10 pictures)")
    recall = rows(report)[0]["scores"]["recall"]
    assert recall["low"] <= recall["value"] <= recall["high"]
    assert recall["low"] < recall["high"]


BAD = {
    "no list": ({"images": []}, "list"),
    "box of three": ([{"image_id": 100, "category_id": 7, "bbox": [1, 2, 3], "score": 1}], "bbox"),
    "negative": ([{"image_id": 100, "category_id": 7, "bbox": [1, 2, -3, 4], "score": 1}], "bbox"),
    "no score": ([{"image_id": 100, "category_id": 7, "bbox": [1, 2, 3, 4]}], "score"),
    "not a number": (
        [{"image_id": 100, "category_id": 7, "bbox": [1, 2, 3, 4], "score": float("nan")}],
        "score",
    ),
    "other pictures": (
        [{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 1}],
        "none of its pictures",
    ),
    "other classes": (
        [{"image_id": 100, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}],
        "3 hole, 7 crack",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_results_that_cannot_be_are_refused(belts: Path, tmp_path: Path, kind: str) -> None:
    content, says = BAD[kind]
    given = save(tmp_path / "bad.json", content)
    with pytest.raises(InputError, match=says) as found:
        score(given, belts, tmp_path / "out")
    assert "bad.json" in str(found.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_a_file_read_in_pieces(
    belts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    given = tmp_path / "truth.json"
    given.write_text(json.dumps(results_of(belts), indent=1), "utf-8-sig")
    whole = read_results(given)
    monkeypatch.setattr(results, "CHUNK", max(chunk, 200))
    assert np.array_equal(read_results(given).xywh, whole.xywh)
    monkeypatch.setattr(results, "CHUNK", chunk)
    if chunk < 50:
        with pytest.raises(InputError, match="cannot be read as JSON"):
            read_results(given)


@pytest.mark.parametrize("content", [b"[", b"[" * 200_000, b"\xff\xfe", b"[1e999]", b'["x"]'])
def test_files_that_are_no_results(belts: Path, tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "bad.json"
    given.write_bytes(content)
    with pytest.raises(InputError, match="a COCO result is a list"):
        score(given, belts, tmp_path / "out")


def test_nothing_found_at_all(belts: Path, tmp_path: Path) -> None:
    given = save(tmp_path / "none.json", [])
    reports = score(given, belts, tmp_path / "out", "all", pictures=2)
    assert value(reports["coco"], "ap") == 0
    assert value(reports["beltcrack"], "recall") == 0
    fixed, best = rows(reports["operating-point"])
    assert fixed["scores"]["recall"]["value"] == 0
    assert fixed["scores"]["precision"]["value"] is None
    assert best["threshold"] is None


def test_options_that_would_be_given_for_nothing(belts: Path, tmp_path: Path) -> None:
    given = save(tmp_path / "truth.json", results_of(belts))
    for settings, says in (
        ({"threshold": 0.5}, "--threshold: protocol coco"),
        ({"tolerances": (0.0,)}, "--tolerances"),
        ({"baseline": True}, "--baseline"),
        ({"classes": ("tear",)}, "no class tear"),
    ):
        with pytest.raises(InputError, match=says):
            score(given, belts, tmp_path / "out", **settings)
    with pytest.raises(InputError, match="protocol 'honest' is none for boxes"):
        score(given, belts, tmp_path / "out", "honest")
    with pytest.raises(InputError, match="leave one out"):
        score([given, given], belts, tmp_path / "out")
    with pytest.raises(InputError, match="no such file"):
        score(tmp_path / "gone.json", belts, tmp_path / "out")


def test_the_command(belts: Path, tmp_path: Path) -> None:
    given = save(tmp_path / "truth.json", results_of(belts))
    words = ["evaluate", "--data", str(belts), "--predictions", f"A={given}", "--predictions"]
    words += [str(given), "--out", str(tmp_path / "out"), "--resamples", "20", "--images"]
    result = CliRunner().invoke(app, [*words, "annotated", "--classes", "crack,hole"])
    assert result.exit_code == 0, result.stderr
    assert "| A | all | 1.000" in result.stdout
    refused = CliRunner().invoke(app, ["evaluate", "--data", str(belts), "--fps", "5"])
    assert refused.exit_code == 2
    assert "give one of --model" in refused.stderr


def test_every_protocol_is_documented() -> None:
    page = (ROOT / "docs" / "protocols.md").read_text("utf-8")
    for name, protocol in BOX_PROTOCOLS.items():
        assert f"## `{name}`" in page
        assert protocol.sentence in page


def test_heat_map_lies_on_the_picture() -> None:
    size_hw = (48, 96)
    image = np.full((*size_hw, 3), 200, np.uint8)
    _, (x, y, w, h) = boxes_of("a", 2)[0]
    image[y : y + h, x : x + w] = 20
    finder = DarkFinder()
    box = Letterbox(size_hw, (96, 96))
    raw = finder.run_clip(np.stack([box.apply(image)] * 2))
    heat = heat_map(raw, (8,), box)
    assert heat.shape == size_hw
    # The first of the four dark cells says so.
    assert np.unravel_index(heat.argmax(), heat.shape) == (y + 3, x + 3)
    assert heat.max() > 0.8
    assert np.delete(heat, np.s_[x - 8 : x + w], axis=1).max() < 0.1
    red, blue = draw_heat(image, heat)[y + 3, x + 3].astype(int)[[0, 2]]
    assert red > blue


def test_heat_map_of_several_strides_is_the_highest() -> None:
    low = np.full((6, 8, 8), -9, np.float32)
    high = low[:, :4, :4].copy()
    high[4:, :, 0] = 9
    heat = heat_map(
        {"boxes_raw8": low, "boxes_raw16": high}, (8, 16), Letterbox((64, 64), (64, 64))
    )
    assert heat[32, 4] > 0.9
    assert heat[32, 60] < 0.1


def test_what_a_comparison_shows() -> None:
    truth = np.array([[0, 0, 20, 20], [40, 0, 40, 40], [0, 60, 10, 10]], np.float32)
    xyxy = np.concatenate([truth[:, :2], truth[:, :2] + truth[:, 2:]], axis=1)
    keyframe = Keyframe((Path("x"),), "s", 0, 1, (100, 100), xyxy, ("crack",) * 3)
    found = np.array([[0, 0, 20, 19], [45, 5, 15, 15], [70, 70, 9, 9], [0, 60, 10, 10]], float)
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    zeros = np.zeros(4, np.intp)
    matches = match(true_boxes([keyframe], ["crack"]), FoundBoxes(zeros, zeros, found, scores), 1)
    shown = outcome(System("x", matches, Choice(0.5, "fixed", "")), 0)
    assert shown.right.tolist() == [[0, 0, 20, 19]]
    assert shown.missed.tolist() == [[40, 0, 40, 40], [0, 60, 10, 10]]
    assert shown.partial.tolist() == [[45, 5, 15, 15]], "incomplete"
    assert shown.false.tolist() == [[70, 70, 9, 9]]
    panel = draw_outcome(np.zeros((100, 100, 3), np.uint8), shown, "x")
    assert panel.shape == (640 + 26, 640, 3)
    assert cv2.countNonZero(panel[26:, :, 1]) > 0
