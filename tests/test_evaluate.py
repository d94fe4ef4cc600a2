"""Evaluation end to end on small data sets written to disk."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from toy_model import write_toy_model

from fissura.config import PredictSettings
from fissura.evaluate import PROTOCOLS, EvaluateSettings, black_hat, evaluate, open_baseline
from fissura.evaluate.evaluation import Job, find_subsets
from fissura.evaluate.protocols import find_protocols
from fissura.metrics import Thresholds
from fissura.types import InputError, Sample

SIZE_HW = (40, 48)
FEW = EvaluateSettings(resamples=50)
HALF = {"threshold": 0.5}


def picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey wall with one dark crooked line, and where the line is."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE_HW, np.uint8)
    points = np.stack([np.linspace(0, 47, 5), rng.integers(8, 32, 5)], 1).astype(np.int32)
    cv2.polylines(mask, [points], False, 1, 2)
    image = rng.normal(170, 8, (*SIZE_HW, 3)) - 120 * mask[..., None]
    return np.clip(image, 0, 255).astype(np.uint8), mask > 0


def write_set(root: Path, names: list[str], first: int = 0) -> Path:
    for i, name in enumerate(names):
        image, mask = picture(first + i)
        for kind, array in (("images", image), ("masks", mask.astype(np.uint8) * 255)):
            path = root / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return root


def predicted(seed: int) -> np.ndarray:
    """A map that is roughly right, 8-bit steps so that every way of storing it is the same."""
    _, mask = picture(seed)
    rng = np.random.default_rng(1000 + seed)
    soft = 0.8 * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1) + 0.2 * rng.random(SIZE_HW)
    return (soft * 255).astype(np.uint8)


def write_map(path: Path, eight_bit: np.ndarray, kind: str = "png8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "png8":
        Image.fromarray(eight_bit).save(path.with_suffix(".png"))
    elif kind == "png16":
        Image.fromarray(eight_bit.astype(np.uint16) * np.uint16(257)).save(path.with_suffix(".png"))
    else:
        np.save(path.with_suffix(".npy"), eight_bit / np.float64(255))


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    return write_set(tmp_path / "wall", ["a", "b", "c"])


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    for i, name in enumerate("abc"):
        write_map(tmp_path / "maps" / name, predicted(i))
    return tmp_path / "maps"


def run(predictions, data: Path, out: Path, protocol: str = "honest", **settings):
    known = HALF if protocol in ("honest", "all") else {}
    merged = FEW.model_copy(update=known | settings)
    return evaluate(predictions, data, None, None, protocol, out, merged)


def value(report, score: str, part: str = "pooled", row: int = 0) -> float:
    return report["results"][row][part][score]["value"]


def test_scores_equal_the_definitions(wall, maps, tmp_path):
    report = run(maps, wall, tmp_path / "out")
    truth = np.stack([picture(i)[1] for i in range(3)])
    crack = np.stack([predicted(i) for i in range(3)]) / 255 > 0.5
    both = (truth & crack).sum((1, 2))
    p, r = both.sum() / crack.sum(), both.sum() / truth.sum()
    assert value(report, "precision") == pytest.approx(p)
    assert value(report, "recall") == pytest.approx(r)
    assert value(report, "f1") == pytest.approx(2 * p * r / (p + r))
    crack_iou = both.sum() / (truth | crack).sum()
    background = (~truth & ~crack).sum() / (~truth | ~crack).sum()
    assert value(report, "crack_iou") == pytest.approx(crack_iou)
    assert value(report, "mean_iou") == pytest.approx((crack_iou + background) / 2)
    each = both / (truth | crack).sum((1, 2))
    assert value(report, "crack_iou", "per_image") == pytest.approx(each.mean())


def test_ods_is_the_best_of_all_8_bit_thresholds(wall, maps, tmp_path):
    report = run(maps, wall, tmp_path / "out")
    truth = np.stack([picture(i)[1] for i in range(3)])
    grey = np.stack([predicted(i) for i in range(3)])
    f1 = [2 * (truth & (grey > v)).sum() / (truth.sum() + (grey > v).sum()) for v in range(255)]
    over = report["results"][0]["over_thresholds"]
    assert over["ods"]["value"] == pytest.approx(max(f1))
    assert value(report, "f1") <= over["ods"]["value"] <= over["ois"]["value"]
    rows = report["results"]
    assert [row["tolerance_px"] for row in rows] == [0, 2, 5]
    tolerant = [row["over_thresholds"]["ods"]["value"] for row in rows]
    assert tolerant == sorted(tolerant)
    assert "mean_iou" not in rows[1]["pooled"]


def test_the_way_a_map_is_stored_changes_nothing(wall, maps, tmp_path):
    folders = [maps, tmp_path / "png16", tmp_path / "npy"]
    for folder in folders[1:]:
        for i, name in enumerate("abc"):
            write_map(folder / name, predicted(i), folder.name)
    reports = [run(f, wall, tmp_path / "out" / f.name, "all", resamples=0) for f in folders]
    for name in ("honest", "mmseg", "liu2019-release"):
        assert all(report[name]["results"] == reports[0][name]["results"] for report in reports)


def test_report_files_tell_protocol_threshold_and_intervals(wall, maps, tmp_path):
    out = tmp_path / "out"
    report = run(maps, wall, out, baseline=True)
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(report))
    page = (out / "report.md").read_text()
    assert PROTOCOLS["honest"].sentence in page
    assert "Threshold 0.5: given beforehand" in page
    assert "95% intervals from 50 resamples" in page
    assert re.search(r"\| black-hat 15 px .*best on these pictures", page)
    f1 = report["results"][0]["pooled"]["f1"]
    assert f1["low"] <= f1["value"] <= f1["high"]
    lines = list(csv.DictReader((out / "curves.csv").read_text().splitlines()))
    assert len(lines) == 3 * 1000
    height, width = cv2.imread(str(out / "pr_curve.png")).shape[:2]
    assert min(height, width) > 600


def test_an_engine_is_scored_as_it_predicts(wall, tmp_path):
    from fissura.engines import open_engine

    engine = open_engine(write_toy_model(tmp_path / "toy.onnx", threshold=0.45), threads=1)
    report = run(engine, wall, tmp_path / "out", threshold=None)
    assert report["threshold"]["value"] == 0.45
    assert report["threshold"]["rule"] == "validation"
    assert "the model's own" in report["threshold"]["how"]
    assert report["details"]["weights_sha256"] == "0" * 64
    assert value(report, "f1") > 0.95


def test_a_threshold_from_validation_never_sees_the_scored_pictures(tmp_path):
    names = [f"n{i}" for i in range(6)]
    data = write_set(tmp_path / "wall", names)
    (data / "splits").mkdir()
    (data / "splits" / "val.txt").write_text("n0\nn1\nn2\n")
    (data / "splits" / "test.txt").write_text("n3\nn4\nn5\n")
    for i, name in enumerate(names):
        write_map(tmp_path / "maps" / name, predicted(i) // (1 if i < 3 else 2))
    settings = EvaluateSettings(validation="val", resamples=0)
    args = (tmp_path / "maps", data, None, "test")
    report = evaluate(*args, "honest", tmp_path / "out", settings)
    grey = np.stack([predicted(i) for i in range(3)])
    truth = np.stack([picture(i)[1] for i in range(3)])
    thresholds = np.arange(1000) / 1000
    f1 = [2 * (truth & (g := grey / 255 > t)).sum() / (truth.sum() + g.sum()) for t in thresholds]
    assert report["threshold"]["value"] == thresholds[int(np.argmax(f1))]
    assert "split 'val', 3 pictures" in report["threshold"]["how"]
    assert report["results"][0]["over_thresholds"]["ods_threshold"] < report["threshold"]["value"]
    assert "low" not in report["results"][0]["pooled"]["f1"]
    with pytest.raises(InputError, match="shares pictures"):
        evaluate(*args, "honest", tmp_path / "o", EvaluateSettings(validation="test"))
    with pytest.raises(InputError, match="--validation"):
        evaluate(*args, "honest", tmp_path / "o", EvaluateSettings())


def test_liu_picks_the_best_threshold_on_the_scored_pictures(wall, maps, tmp_path):
    report = run(maps, wall, tmp_path / "out", "liu2019-release")
    assert report["threshold"]["rule"] == "best"
    row = report["results"][0]
    assert row["pooled"]["f1"]["value"] == row["over_thresholds"]["ods"]["value"]
    assert row["threshold"] == row["over_thresholds"]["ods_threshold"]
    encode = PROTOCOLS["liu2019-release"].encode
    truncated = encode(np.array([0.0, 0.5, 0.999, 1.0], np.float32))
    assert truncated.tolist() == [0, 127, 254, 255]


def test_mmseg_calls_ties_background(wall, tmp_path):
    for name in "abc":
        (tmp_path / "half").mkdir(exist_ok=True)
        np.save(tmp_path / "half" / f"{name}.npy", np.full(SIZE_HW, 0.5, np.float32))
    report = run(tmp_path / "half", wall, tmp_path / "out", "mmseg")
    assert value(report, "crack_iou") == 0
    assert report["files"] == ["report.json", "report.md"]


def test_known_overlaps_are_left_out_of_a_second_score(wall, maps, tmp_path):
    (wall / "splits").mkdir()
    (wall / "splits" / "test_overlaps_train.txt").write_text("b\n")
    report = run(maps, wall, tmp_path / "out")
    subsets = {row["subset"]: row["pictures"] for row in report["results"]}
    assert subsets == {"all": 3, "without the 1 that overlap a training picture": 2}
    (tmp_path / "list.txt").write_text("a\nc\n")
    report = run(maps, wall, tmp_path / "out2", without=tmp_path / "list.txt")
    assert report["results"][-1]["subset"] == "without the 2 named in list.txt"
    (tmp_path / "list.txt").write_text("z\n")
    with pytest.raises(InputError, match="names 'z', but no such picture is scored"):
        run(maps, wall, tmp_path / "out3", without=tmp_path / "list.txt")


def test_the_twenty_overlaps_of_deepcrack_are_known():
    names = ["11142-1", "x"]
    job = Job(Path("nowhere"), None, None, FEW, {}, lambda done, total: None)
    subsets = find_subsets(job, [("deepcrack537", name) for name in names])
    assert subsets["without the 1 that overlap a training picture"].tolist() == [1]


def test_several_sets_are_scored_together_and_each(tmp_path):
    for k, name in enumerate(("road", "wall")):
        write_set(tmp_path / "data" / name, ["a", "b"], 2 * k)
        for i, stem in enumerate("ab"):
            write_map(tmp_path / "maps" / name / stem, predicted(2 * k + i))
    report = run(tmp_path / "maps", tmp_path / "data", tmp_path / "out")
    rows = [row for row in report["results"] if row["tolerance_px"] == 0]
    assert [(row["subset"], row["pictures"]) for row in rows] == [
        ("all", 4),
        ("road", 2),
        ("wall", 2),
    ]


def test_predict_output_is_found(wall, maps, tmp_path):
    (tmp_path / "run").mkdir()
    maps.rename(tmp_path / "run" / "probability")
    assert value(run(tmp_path / "run", wall, tmp_path / "out"), "f1") > 0.5


def break_map(folder: Path, how: str) -> None:
    path = folder / "b.png"
    grey = predicted(1)
    if how == "missing":
        path.unlink()
    elif how == "size":
        Image.fromarray(grey[:, :-3]).save(path)
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif how == "colour":
        Image.fromarray(picture(1)[0]).save(path)
    elif how == "twice":
        write_map(folder / "b", grey, "npy")
    else:
        path.unlink()
        bad = {"logits": grey - 99.0, "nan": np.full(SIZE_HW, np.nan), "objects": np.array([{}])}
        np.save(folder / "b.npy", bad[how], allow_pickle=True)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "no prediction for picture 'b' of 3"),
        ("size", r"b\.png: prediction is 40 × 45, its picture 40 × 48"),
        ("truncated", r"b\.png: cannot be read"),
        ("colour", r"b\.png: RGB PNG; a crack map has one grey channel"),
        ("twice", r"b\.npy stands beside it"),
        ("logits", r"b\.npy: expected probabilities"),
        ("nan", r"b\.npy: expected probabilities"),
        ("objects", r"b\.npy: cannot be read"),
    ],
)
def test_a_bad_prediction_is_named(wall, maps, tmp_path, how, message):
    break_map(maps, how)
    with pytest.raises(InputError, match=message):
        run(maps, wall, tmp_path / "out")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_masks_of_0_and_1_are_refused_but_one_faint_map_is_not(wall, tmp_path, kind):
    for i, name in enumerate("abc"):
        write_map(tmp_path / "maps" / name, picture(i)[1].astype(kind))
    with pytest.raises(InputError, match=r"a\.(png|npy): holds only 0 and 1"):
        run(tmp_path / "maps", wall, tmp_path / "out")
    write_map(tmp_path / "maps" / "c", picture(2)[1].astype(kind) * kind(np.iinfo(kind).max))
    run(tmp_path / "maps", wall, tmp_path / "out")


def test_wrong_names_are_refused(wall, maps, tmp_path):
    with pytest.raises(InputError, match="did you mean 'honest'"):
        find_protocols("honets")
    with pytest.raises(InputError, match="no such folder"):
        run(tmp_path / "none", wall, tmp_path / "out")
    with pytest.raises(InputError, match="unknown baseline"):
        open_baseline("whitehat")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "keep.txt").write_text("mine")
    with pytest.raises(InputError, match="overwrit"):
        run(maps, wall, tmp_path / "full")


def test_black_hat_answers_to_dark_lines_only():
    image, mask = picture(0)
    answer = black_hat(image, 15, 1.0)
    assert answer.dtype == np.float32
    assert answer[mask].mean() > 4 * answer[~mask].mean()
    assert black_hat(np.full((20, 30, 3), 90, np.uint8)).max() == 0


def test_any_object_with_the_right_methods_is_a_source(wall, tmp_path):
    def perfect(sample: Sample) -> np.ndarray:
        return sample.mask.astype(np.float32)

    nothing = {"name": "truth", "threshold": 0.5, "details": {}}
    source = SimpleNamespace(
        **nothing, predict=perfect, check=lambda pictures: None, finish=lambda: None
    )
    report = run(source, wall, tmp_path / "out", threshold=None)
    over = report["results"][0]["over_thresholds"]
    assert over["ods"]["value"] == over["ap"]["value"] == over["aiu"]["value"] == 1


def test_every_protocol_is_documented():
    page = (ROOT / "docs" / "protocols.md").read_text()
    for name, protocol in PROTOCOLS.items():
        assert f"`{name}`" in page
        assert protocol.sentence in page.replace("\n", " ")
    settings = (ROOT / "docs" / "evaluate.md").read_text()
    for name in set(EvaluateSettings.model_fields) - {"predict"}:
        assert f"--{name.replace('_', '-')}" in settings


def test_settings_are_checked():
    with pytest.raises(ValueError, match="tolerances"):
        EvaluateSettings(tolerances=(-1,))
    assert EvaluateSettings(predict=PredictSettings(threads=1)).predict.threads == 1


@pytest.mark.data
def test_black_hat_on_crackforest(shared_data, tmp_path):
    settings = EvaluateSettings(validation="val", resamples=100)
    source = open_baseline("blackhat")
    report = evaluate(source, shared_data / "cfd", None, "held_back", "honest", tmp_path, settings)
    ods = [row["over_thresholds"]["ods"]["value"] for row in report["results"]]
    assert ods[0] > 0.43
    assert ods[1] > 0.61
    assert ods[2] > 0.68
    assert value(report, "f1") <= ods[0]


def test_trained_pictures_among_the_scored_are_said(wall, maps, tmp_path):
    (wall / "splits").mkdir()
    (wall / "splits" / "test.txt").write_text("a\nb\nc\n", "utf-8")
    everything = run(maps, wall, tmp_path / "all")
    kept = evaluate(
        maps, wall, None, "test", "honest", tmp_path / "kept", FEW.model_copy(update=HALF)
    )
    assert "trained on" in everything["data"]["note"]
    assert everything["data"]["note"] in (tmp_path / "all" / "report.md").read_text("utf-8")
    assert kept["data"]["note"] == ""


def test_a_failed_evaluation_leaves_no_empty_folder(wall, maps, tmp_path):
    (maps / "b.png").unlink()
    with pytest.raises(InputError, match="no prediction for picture 'b'"):
        run(maps, wall, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_further_protocol_is_one_entry(wall, maps, tmp_path, monkeypatch):
    strict = dataclasses.replace(PROTOCOLS["mmseg"], fixed=0.25, thresholds=Thresholds((0.25,)))
    monkeypatch.setitem(PROTOCOLS, "strict", strict)
    report = run(maps, wall, tmp_path / "out", "strict")
    assert report["threshold"]["value"] == 0.25
    assert 0 < value(report, "mean_iou") < 1
