"""Every protocol on one fake, the recorded numbers through the command, matching, comparison."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import pairs
from parity import fixtures
from PIL import Image
from toy_model import write_toy_model
from typer.testing import CliRunner

from fissura.cli import app
from fissura.datasets import open_dataset
from fissura.evaluate import PROTOCOLS, EvaluateSettings, evaluate
from fissura.evaluate.paired import LESS_IS_BETTER, verdict
from fissura.metrics import resample_weights
from fissura.types import InputError

FEW = EvaluateSettings(resamples=40)
HALF = {"threshold": 0.5}
WITH_REGIONS = "crack_index"


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_pairs(root: Path, predictions, labels, regions=None) -> Path:
    """`data` and `maps` of 8-bit arrays; with regions the data are an index of its files."""
    folders = ("images", "masks") if regions is None else ("picture", "label")
    lines = []
    for i, (prediction, label) in enumerate(zip(predictions, labels, strict=True)):
        for folder, array in zip(folders, (np.dstack([prediction] * 3), label), strict=True):
            save(root / "data" / folder / f"p{i}.png", array)
        lines.append(" ".join(f"{folder}/p{i}.png" for folder in folders))
        save(root / "maps" / f"p{i}.png", prediction)
        if regions is not None:
            save(root / "data" / "region" / f"p{i}.png", regions[i])
    if regions is not None:
        (root / "data" / "test_index.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return root


def command(*arguments: object) -> dict:
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def recorded(system: str) -> fixtures.Fixture:
    folders = fixtures.find(system)
    if not folders:
        pytest.skip(f"no recorded values of {system} in {fixtures.root()}")
    return fixtures.load(folders[0])


def scores(row: dict, part: str) -> dict[str, float]:
    found = row[part].items()
    return {name: q["value"] if isinstance(q, dict) else q for name, q in found}


def test_the_command_gives_the_numbers_of_the_release_of_liu(tmp_path):
    z = recorded("deepcrack_liu").arrays
    root = write_pairs(tmp_path, z["metric_pred_uint8"], z["metric_gt_uint8"])
    out = tmp_path / "out"
    report = command(
        "--predictions", root / "maps", "--data", root / "data", "--out", out,
        "--protocol", "liu2019-release", "--resamples", 0,
    )  # fmt: skip
    row = report["results"][0]
    names = ("precision", "recall", "f1", "accuracy", "class_accuracy", "mean_iou")
    at, over = scores(row, "pooled"), scores(row, "over_thresholds")
    got = [row["threshold"], *(at[name] for name in names), over["best_mean_iou"]]
    np.testing.assert_allclose(got, z["metric_best"], rtol=0, atol=1e-9)
    lines = list(csv.DictReader((out / "curves.csv").read_text("utf-8").splitlines()))
    for start, table in ((0, "metric_prf"), (3, "metric_sem")):
        sweep = [[float(line[key]) for key in ("threshold", *names[start:][:3])] for line in lines]
        np.testing.assert_allclose(sweep, z[table], rtol=0, atol=1e-9)


@pytest.mark.parametrize("region", [False, True], ids=["whole", "region"])
def test_the_command_gives_the_numbers_recorded_for_zou(tmp_path, region):
    z = recorded("deepcrack_zou").arrays
    masks = z["eval_region_uint8"] if region else None
    root = write_pairs(tmp_path, z["eval_pred_uint8"], z["eval_gt_uint8"], masks)
    layout = ("--dataset", WITH_REGIONS) if region else ()
    report = command(
        "--predictions", root / "maps", "--data", root / "data", "--out", tmp_path / "out",
        "--protocol", "zou2019", "--resamples", 0, *layout,
    )  # fmt: skip
    row = report["results"][0]
    at, over = scores(row, "pooled"), scores(row, "over_thresholds")
    got = [over["ods"], at["precision"], at["recall"], over["ois"]]
    got += [over["ois_precision"], over["ois_recall"], over["ap_interpolated"]]
    np.testing.assert_allclose(got, z["eval_summary"][int(region)], rtol=0, atol=1e-9)
    assert [r["tolerance_px"] for r in report["results"]] == [2, 0]
    assert report["data"]["regions"] == (3 if region else 0)
    page = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert ("Region masks on 3 of 3 pictures" if region else "No region masks") in page
    assert "no one-to-one matching" in page


def test_the_protocol_of_cssr_gives_its_recorded_numbers(tmp_path):
    z = recorded("cssr").arrays
    (tmp_path / "maps").mkdir()
    for i, (prob, target) in enumerate(zip(z["metric.prob"], z["loss.target"], strict=True)):
        np.save(tmp_path / "maps" / f"p{i}.npy", prob[0])
        mask = (target[0] > 0.5).astype(np.uint8) * np.uint8(255)
        save(tmp_path / "data" / "masks" / f"p{i}.png", mask)
        save(tmp_path / "data" / "images" / f"p{i}.png", np.dstack([mask] * 3))
    report = evaluate(tmp_path / "maps", tmp_path / "data", None, None, "cssr", tmp_path / "o", FEW)
    row = report["results"][0]
    got = scores(row, "over_thresholds") | scores(row, "per_image")
    assert got["aiu"] == pytest.approx(float(z["metric.aiu"]), abs=1e-9)
    assert got["iou_max"] == pytest.approx(float(z["metric.iou_max"]), abs=1e-9)
    assert got["smooth_iou"] == pytest.approx(z["metric.iou_0.5"].mean(), abs=1e-9)
    best = z["metric.iou_table"].mean(0).argmax()
    assert got["iou_max_threshold"] == pytest.approx((best + 1) / 100)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """Six pairs in `data`, maps that are roughly right in `maps`, worse ones in `poor`."""
    return fill(tmp_path, 6)


def fill(tmp_path: Path, count: int) -> Path:
    pairs.generate(tmp_path / "data", count)
    samples = open_dataset(tmp_path / "data")
    for i in range(len(samples)):
        sample, rng = samples[i], np.random.default_rng(i)
        soft = cv2.GaussianBlur(sample.mask.astype(np.float32), (0, 0), 1)
        noise = rng.random(soft.shape)
        save(tmp_path / "maps" / f"{sample.name}.png", np.uint8(255 * (0.8 * soft + 0.2 * noise)))
        save(tmp_path / "poor" / f"{sample.name}.png", np.uint8(255 * (0.3 * soft + 0.7 * noise)))
    return tmp_path


def run(fake: Path, protocol: str, **changes):
    known = HALF if protocol in ("honest", "all") else {}
    given = FEW.model_copy(update=known | changes)
    return evaluate(fake / "maps", fake / "data", None, None, protocol, fake / "out", given)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_scores_the_fake(fake, name):
    protocol = PROTOCOLS[name]
    report = run(fake, name)
    rows = report["results"]
    assert [row["tolerance_px"] for row in rows] == list(protocol.tolerances)
    parts = [row.get(part, {}) for row in rows for part in (*protocol.averages, "over_thresholds")]
    found = [pair for part in parts for pair in part.items() if isinstance(pair[1], dict)]
    assert found
    for name_of_score, score in found:
        most = np.inf if name_of_score in LESS_IS_BETTER else 1  # a distance in pixels
        assert 0 <= score["low"] <= score["high"] <= most
        assert 0 <= score["value"] <= most
    for words in (protocol.source, protocol.comparable, protocol.sentence):
        assert words.strip()
        assert not words.endswith("..")
    page = (fake / "out" / "report.md").read_text("utf-8")
    assert protocol.sentence in page
    if max(protocol.tolerances):
        assert ("one to one" in page) == (protocol.matching == "one-to-one")


def test_all_protocols_stand_in_one_table(fake):
    reports = run(fake, "all", resamples=0)
    quick = [name for name, protocol in PROTOCOLS.items() if not protocol.slow]
    assert list(reports) == quick
    table = json.loads((fake / "out" / "protocols.json").read_text("utf-8"))
    assert [row["protocol"] for row in table["rows"]] == quick
    page = (fake / "out" / "protocols.md").read_text("utf-8")
    for row in table["rows"]:
        report = reports[row["protocol"]]["results"][0]
        parts = report[row["average"]] | report.get("over_thresholds", {})
        assert row["scores"]
        assert all(parts[name] == score for name, score in row["scores"].items())
        assert f"| {row['protocol']} |" in page
        assert (fake / "out" / row["protocol"] / "report.json").is_file()
    assert "zou2019-matched" in table["left_out"]
    assert "Left out: protocol zou2019-matched" in page


def test_all_leaves_out_what_has_no_threshold_and_says_so(fake):
    args = (fake / "maps", fake / "data", None, None, "all", fake / "out")
    reports = evaluate(*args, EvaluateSettings(resamples=0))
    assert "honest" not in reports
    assert "--validation" in (fake / "out" / "protocols.md").read_text("utf-8")


def test_khanhha_is_the_mean_of_the_pictures_at_a_fifth(fake):
    row = run(fake, "khanhha")["results"][0]
    samples = open_dataset(fake / "data")
    dice, jaccard = [], []
    for i in range(len(samples)):
        grey = np.asarray(Image.open(fake / "maps" / f"{samples.names[i]}.png"))
        crack, truth = grey > 0.2 * 255, samples[i].mask
        both = (crack & truth).sum()
        dice.append((2 * both + 1e-15) / (crack.sum() + truth.sum() + 1e-15))
        jaccard.append((both + 1e-15) / ((crack | truth).sum() + 1e-15))
    for name, values in (("dice", dice), ("jaccard", jaccard)):
        assert row["per_image"][name]["value"] == pytest.approx(np.mean(values), rel=1e-12)
        assert row["spread"][name]["value"] == pytest.approx(np.std(values), rel=1e-9)
    grey = np.array([[50, 51, 52]], np.uint8)
    assert PROTOCOLS["khanhha"].thresholds.codes(grey).tolist() == [[0, 0, 1]]
    assert "not directly with that repository's README" in PROTOCOLS["khanhha"].comparable


def test_cssr_compares_in_single_precision():
    protocol = PROTOCOLS["cssr"]
    grey = np.array([[50, 51, 52]], np.uint8)
    prob = grey.astype(np.float32) / np.float32(255)
    expected = [[sum(p >= t for t in np.arange(1, 100, dtype=np.float32) / np.float32(100))
                 for p in prob[0]]]  # fmt: skip
    assert protocol.thresholds.codes(protocol.encode(grey)).tolist() == expected
    assert protocol.encode(np.array([65535], np.uint16)).tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("liu2019-release", {"precision": 1.0, "recall": None, "f1": None, "mean_iou": 1.0}),
        ("mmseg", {"crack_iou": None, "mean_iou": 1.0, "class_accuracy": 1.0}),
        ("honest", {"precision": 1.0, "recall": 1.0, "f1": 1.0, "crack_iou": 1.0}),
        ("zou2019", {"precision": 1.0, "recall": 1.0, "f1": 1.0}),
        ("zou2019-matched", {"precision": 1.0, "recall": 1.0, "f1": 1.0}),
    ],
)
def test_pictures_without_cracks_score_as_the_source_has_it(tmp_path, name, expected):
    black = np.zeros((2, 24, 32), np.uint8)
    root = write_pairs(tmp_path, black, black)
    report = run(root, name)
    assert {key: report["results"][0]["pooled"][key]["value"] for key in expected} == expected


def test_a_fixed_tolerance_cannot_be_changed(fake):
    with pytest.raises(InputError, match="protocol zou2019 fixes its own"):
        run(fake, "zou2019", tolerances=(3,))
    row = run(fake, "honest", tolerances=(3,))["results"][0]
    assert row["tolerance_px"] == 3


def test_matching_punishes_a_wide_answer_to_a_thin_truth(tmp_path):
    label = np.zeros((1, 40, 48), np.uint8)
    label[:, 20] = 255
    wide = np.zeros_like(label)
    wide[:, 18:23] = 255
    root = write_pairs(tmp_path, wide, label)
    found = {}
    for name in ("zou2019", "zou2019-matched"):
        args = (root / "maps", root / "data", None, None, name, tmp_path / name, FEW)
        found[name] = scores(evaluate(*args)["results"][0], "pooled")
    assert found["zou2019"]["f1"] == 1
    assert found["zou2019-matched"]["precision"] == pytest.approx(1 / 5)
    assert found["zou2019-matched"]["recall"] == 1


# ---- comparison and intervals -------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["honest", "liu2019-release", "zou2019", "khanhha", "cssr"])
def test_the_same_maps_show_no_difference(fake, protocol):
    report = run(fake, protocol, vs=fake / "maps")
    assert report["vs"]["scores"]
    for score in report["vs"]["scores"]:
        assert score["difference"] == {"value": 0, "low": 0, "high": 0}
        assert score["says"] == "no difference shown"


def test_a_clearly_better_one_is_called_better(tmp_path):
    fake, enough = fill(tmp_path, 10), {"overwrite": True, "resamples": 200}
    better = run(fake, "liu2019-release", vs=fake / "poor", **enough)["vs"]
    for score in better["scores"]:
        difference = score["difference"]
        assert 0 < difference["low"] <= difference["value"] <= difference["high"]
        assert score["says"].startswith("A is better by")
        assert difference["value"] == pytest.approx(score["a"] - score["b"])
    page = (fake / "out" / "report.md").read_text("utf-8")
    assert "## A against B" in page
    assert better["scores"][0]["says"] in page
    args = (fake / "poor", fake / "data", None, None, "liu2019-release", fake / "out")
    worse = evaluate(*args, FEW.model_copy(update={"vs": fake / "maps", **enough}))["vs"]
    assert all(score["says"].startswith("B is better by") for score in worse["scores"])
    pair = zip(better["scores"], worse["scores"], strict=True)
    assert all(a["difference"]["low"] == pytest.approx(-b["difference"]["high"]) for a, b in pair)


def test_each_side_has_its_own_threshold(fake):
    report = run(fake, "liu2019-release", vs=fake / "poor")
    args = (fake / "poor", fake / "data", None, None, "liu2019-release", fake / "alone", FEW)
    alone = evaluate(*args)
    for score in report["vs"]["scores"]:
        parts = alone["results"][0][score["part"]]
        assert score["b"] == parts[score["name"]]["value"]


def test_a_model_is_compared_from_the_command(fake):
    model = write_toy_model(fake / "toy.onnx", threshold=0.5)
    report = command(
        "--predictions", fake / "maps", "--data", fake / "data", "--vs", model, "--threads", 1,
        "--protocol", "all", "--threshold", 0.5, "--resamples", 20, "--out", fake / "out",
    )  # fmt: skip
    assert {name for name, found in report.items() if "vs" in found} == set(report)
    assert "## A against B" in (fake / "out" / "protocols.md").read_text("utf-8")


def test_a_comparison_needs_resamples_and_an_opponent(fake):
    with pytest.raises(InputError, match="--resamples"):
        run(fake, "mmseg", vs=fake / "poor", resamples=0)
    with pytest.raises(InputError, match="nowhere"):
        run(fake, "mmseg", vs=fake / "nowhere")
    (next((fake / "poor").rglob("*.png"))).unlink()
    with pytest.raises(InputError, match="no prediction for picture"):
        run(fake, "mmseg", vs=fake / "poor")


def test_nothing_is_claimed_without_an_interval():
    assert verdict({"value": 0.3}).startswith("no interval")
    assert verdict({"value": None}).startswith("not defined")
    assert verdict({"value": 0.1, "low": -0.01, "high": 0.2}) == "no difference shown"
    outside = verdict({"value": 0.1, "low": 0.2, "high": 0.3})
    assert outside.startswith("no difference shown: it lies outside")
    assert verdict({"value": -0.1, "low": -0.2, "high": -0.05}) == (
        "B is better by 0.1000 (0.0500 to 0.2000)"
    )


def test_groups_are_drawn_whole():
    groups = ["a", "a", "b", "c", "c", "c"]
    weights = resample_weights(6, 300, 1, groups)
    for group in set(groups):
        members = weights[:, [g == group for g in groups]]
        assert (members == members[:, :1]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()
    alone = resample_weights(6, 300, 1, list("uvwxyz"))
    np.testing.assert_array_equal(alone, resample_weights(6, 300, 1))


def test_crops_of_one_photograph_widen_the_interval(tmp_path):
    rng = np.random.default_rng(0)
    labels, maps = [], []
    for photograph in range(8):
        label = cv2.dilate((rng.random((32, 40)) < 0.01).astype(np.uint8), np.ones((3, 3))) * 255
        blurred = cv2.GaussianBlur(label, (0, 0), 0.8 + photograph)
        labels += [label] * 5
        maps += [blurred] * 5
    widths = {}
    for name, stem in (("asphaltcrack300", "{0}_{1}"), ("wall", "{0}-{1}")):
        for i, (label, prediction) in enumerate(zip(labels, maps, strict=True)):
            file = stem.format(i // 5, i % 5)
            save(tmp_path / name / "images" / f"{file}.png", np.dstack([label] * 3))
            save(tmp_path / name / "masks" / f"{file}.png", label)
            save(tmp_path / f"{name}-maps" / f"{file}.png", prediction)
        args = (tmp_path / f"{name}-maps", tmp_path / name, None, None, "mmseg")
        report = evaluate(*args, tmp_path / f"{name}-out", EvaluateSettings(resamples=300))
        row = report["results"][0]
        widths[row["groups"]] = row["pooled"]["mean_iou"]["high"] - row["pooled"]["mean_iou"]["low"]
        said = report["intervals"]["unit"]
        assert said.startswith("photographs" if row["groups"] == 8 else "pictures")
    assert set(widths) == {8, 40}
    assert widths[8] > 1.5 * widths[40]


def test_one_photograph_has_no_interval(tmp_path):
    label = np.zeros((3, 24, 32), np.uint8)
    label[:, 10:13] = 255
    for i in range(3):
        save(tmp_path / "masonry" / "images" / f"a_1_{i}.png", np.dstack([label[i]] * 3))
        save(tmp_path / "masonry" / "masks" / f"a_1_{i}.png", label[i])
        save(tmp_path / "maps" / f"a_1_{i}.png", label[i])
    args = (tmp_path / "maps", tmp_path / "masonry", None, None, "mmseg", tmp_path / "o")
    row = evaluate(*args, FEW)["results"][0]
    assert row["groups"] == 1
    assert row["pooled"]["mean_iou"] == {"value": 1.0}


def test_one_picture_is_predicted_once_for_all_protocols(fake):
    from fissura.evaluate.sources import Folder

    class Counting(Folder):
        def predict(self, sample):
            asked.append(sample.name)
            return super().predict(sample)

    asked: list[str] = []
    evaluate(Counting(fake / "maps"), fake / "data", None, None, "all", fake / "out", FEW)
    assert len(asked) == len(set(asked)) == 6
