"""Evaluation of degraded pictures, and the scores of pictures that come with it."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from fakes import pairs
from PIL import Image
from small_exports import exported
from test_evaluate import FEW, run
from toy_model import write_toy_model
from typer.testing import CliRunner

from fissura.cli import app
from fissura.config import PredictSettings, build_settings
from fissura.datasets import open_dataset
from fissura.degrade import OPERATORS
from fissura.engines import open_engine
from fissura.evaluate import PROTOCOLS, EvaluateSettings, evaluate
from fissura.evaluate.far import FarAway, as_seen, cut, reduce_picture
from fissura.evaluate.paired import verdict
from fissura.evaluate.sources import from_engine
from fissura.metrics import hd95, psnr_rgb, ssim_zero_pad
from fissura.types import InputError, Sample


def sample_of(height: int, width: int, name: str = "a", seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return Sample(image, rng.random((height, width)) > 0.9, name, "wall")


def source_of(predict, name: str = "given"):
    return SimpleNamespace(
        name=name,
        threshold=0.5,
        details={},
        predict=predict,
        check=lambda pictures: None,
        finish=lambda: None,
    )


def brightness(sample: Sample) -> np.ndarray:
    return sample.image.mean(-1, dtype=np.float32) / np.float32(255)


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    """Four pairs of 50×66 pixels, no multiple of 4."""
    pairs.generate(tmp_path / "whole", 4)
    for number, sample in enumerate(open_dataset(tmp_path / "whole")):
        arrays = {"images": sample.image, "masks": sample.mask.astype(np.uint8) * np.uint8(255)}
        for kind, array in arrays.items():
            path = tmp_path / "wall" / kind / f"p{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).resize((66, 50), Image.Resampling.NEAREST).save(path)
    return tmp_path / "wall"


def test_whole_pixels_of_the_small_picture_are_kept():
    sample = sample_of(50, 66)
    kept = cut(sample, 4)
    assert kept.image.shape == (48, 64, 3)
    np.testing.assert_array_equal(kept.image, sample.image[:48, :64])
    np.testing.assert_array_equal(kept.mask, sample.mask[:48, :64])
    even = sample_of(48, 64)
    assert cut(even, 4) is even


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_picture_is_always_reduced_alike(operator):
    sample = sample_of(48, 64)
    small = reduce_picture(sample, operator, 4)
    assert small.shape == (12, 16, 3)
    np.testing.assert_array_equal(small, reduce_picture(sample, operator, 4))
    other = reduce_picture(sample_of(48, 64, name="b"), operator, 4)
    assert np.array_equal(small, other) is (operator != "realistic")


def test_a_predictor_sees_the_degraded_picture_and_answers_for_the_whole_one(wall, tmp_path):
    seen = []
    source = source_of(lambda sample: seen.append(sample) or brightness(sample))
    report = run(source, wall, tmp_path / "out", "cssr", degrade="bicubic")
    samples = [cut(sample, 4) for sample in open_dataset(wall)]
    for got, sample in zip(seen, samples, strict=True):
        np.testing.assert_array_equal(got.image, as_seen(sample, "bicubic", 4))
        np.testing.assert_array_equal(got.mask, sample.mask)
    assert report["data"]["degraded"] == {"operator": "bicubic", "scale": 4}
    assert report["data"]["cropped"] == 4
    page = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "reduced by 4 (bicubic)" in page
    assert "4 of 4 pictures first lost rows or columns" in page
    assert "the larger of the two; 0 if both masks are empty" in page


def test_picture_scores_are_means_of_their_definitions(wall, tmp_path):
    source = source_of(brightness)
    report = run(source, wall, tmp_path / "out", "cssr", degrade="bilinear", degrade_scale=2)
    samples = [cut(sample, 2) for sample in open_dataset(wall)]
    drawn = [as_seen(sample, "bilinear", 2) for sample in samples]
    per_image = report["results"][0]["per_image"]
    want = {
        "hd95": [
            hd95(image.mean(-1, dtype=np.float32) / np.float32(255) >= 0.5, sample.mask)
            for image, sample in zip(drawn, samples, strict=True)
        ],
        "psnr": [psnr_rgb(a / 255, s.image / 255) for a, s in zip(drawn, samples, strict=True)],
        "ssim": [
            ssim_zero_pad(a / 255, s.image / 255) for a, s in zip(drawn, samples, strict=True)
        ],
    }
    for name, values in want.items():
        assert per_image[name]["value"] == pytest.approx(np.mean(values), abs=1e-5), name
        assert per_image[name]["low"] <= per_image[name]["value"] <= per_image[name]["high"]


def test_distances_over_all_thresholds_are_those_one_by_one(wall, tmp_path):
    report = run(source_of(brightness), wall, tmp_path / "out", "csbsr")
    thresholds = PROTOCOLS["csbsr"].thresholds.values
    table = np.array(
        [
            [hd95(brightness(sample) > t, sample.mask, missing=66) for t in thresholds]
            for sample in open_dataset(wall)
        ]
    )
    found = report["results"][0]["over_thresholds"]
    assert found["ahd95"]["value"] == pytest.approx(table.mean())
    assert found["hd95_min"]["value"] == pytest.approx(table.mean(0).min())
    assert found["hd95_min"]["value"] <= found["ahd95"]["value"]
    assert found["hd95_min_threshold"] == pytest.approx(thresholds[table.mean(0).argmin()])
    assert "of every picture at all thresholds" in (tmp_path / "out" / "report.md").read_text()


def test_undegraded_pictures_have_hd95_but_no_psnr(wall, tmp_path):
    source = source_of(lambda sample: np.zeros(sample.mask.shape, np.float32))
    report = run(source, wall, tmp_path / "out", "cssr")
    per_image = report["results"][0]["per_image"]
    assert set(per_image) == {"smooth_iou", "hd95", "one_empty"}
    some = np.mean([sample.mask.any() for sample in open_dataset(wall)])
    assert per_image["one_empty"]["value"] == some
    assert per_image["hd95"]["value"] == pytest.approx(some * np.hypot(50, 66))
    assert report["data"]["degraded"] is None
    assert report["data"]["cropped"] == 0


def test_two_ways_of_seeing_are_compared_in_pairs(wall, tmp_path):
    sharp = tmp_path / "sharp"
    sharp.mkdir()
    for sample in open_dataset(wall):
        truth = cut(sample, 4).mask.astype(np.float32)
        np.save(sharp / f"{sample.name}.npy", truth)
    source = source_of(brightness)
    report = run(source, wall, tmp_path / "out", "cssr", degrade="bicubic", vs=sharp)
    by_name = {score["name"]: score for score in report["vs"]["scores"]}
    assert by_name["hd95"]["b"] == 0
    assert by_name["hd95"]["difference"]["value"] > 0
    assert by_name["hd95"]["says"] == "too few photographs (4) to tell"
    assert by_name["iou_max"]["b"] == 1
    assert "psnr" not in by_name


def test_where_less_is_better_the_words_turn():
    found = {"value": 2.0, "low": 1.0, "high": 3.0}
    assert verdict(found).startswith("A is better by 2.0000 (1.0000 to 3.0000)")
    assert verdict(found, less=True).startswith("B is better by 2.0000 (1.0000 to 3.0000)")
    turned = {"value": -2.0, "low": -3.0, "high": -1.0}
    assert verdict(turned, less=True).startswith("A is better by 2.0000 (1.0000 to 3.0000)")
    assert verdict({"value": 1.0, "low": -1.0, "high": 3.0}, less=True) == "no difference shown"


def test_the_command_degrades_for_every_protocol(wall, tmp_path):
    model = write_toy_model(tmp_path / "toy.onnx")
    arguments = ["--model", model, "--data", wall, "--out", tmp_path / "out", "--protocol", "all"]
    arguments += ["--degrade", "realistic", "--resamples", 20, "--threads", 1, "--baseline"]
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    reports = json.loads(done.stdout)
    assert all(report["data"]["degraded"]["operator"] == "realistic" for report in reports.values())
    assert {"psnr", "ssim"} <= set(reports["cssr"]["baseline"]["results"][0]["per_image"])
    table = (tmp_path / "out" / "protocols.md").read_text("utf-8")
    assert "| HD95 | PSNR | SSIM |" in table


def test_what_cannot_be_degraded_is_refused(wall, tmp_path):
    (tmp_path / "maps").mkdir()
    settings = FEW.model_copy(update={"degrade": "bicubic", "degrade_scale": 4})
    refined = settings.model_copy(
        update={"predict": FEW.predict.model_copy(update={"refine": "guided"})}
    )
    with pytest.raises(InputError, match="--refine with --degrade"):
        evaluate(tmp_path / "maps", wall, None, None, "cssr", tmp_path / "out", refined)
    with pytest.raises(ValueError, match="degrade"):
        EvaluateSettings(degrade="fog")
    with pytest.raises(InputError, match="cannot be reduced by 8"):
        FarAway(source_of(brightness), "bicubic", 8).predict(cut(sample_of(5, 40), 8))


def test_a_network_that_enlarges_takes_the_small_picture(wall, tmp_path):
    model = write_toy_model(tmp_path / "toy.onnx", output_scale=4)
    engine = open_engine(model, threads=1)
    report = run(engine, wall, tmp_path / "out", "cssr", degrade="bicubic")
    assert report["details"]["picture"] == "small"
    sample = cut(open_dataset(wall)[0], 4)
    seen = FarAway(from_engine(engine, PredictSettings()), "bicubic", 4).see(sample)
    small = reduce_picture(sample, "bicubic", 4)
    np.testing.assert_array_equal(seen.enlarged, small.repeat(4, 0).repeat(4, 1))
    assert seen.probability.shape == sample.mask.shape
    psnr = report["results"][0]["per_image"]["psnr"]["value"]
    assert 0 < psnr < 100
    with pytest.raises(InputError, match="degrade_scale 2: toy enlarges ×4; give 4"):
        run(engine, wall, tmp_path / "other", "cssr", degrade="bicubic", degrade_scale=2)
    whole = run(engine, wall, tmp_path / "plain", "cssr")
    assert "psnr" not in whole["results"][0]["per_image"]


def test_the_benchmark_prints_the_published_form(wall, tmp_path, monkeypatch, capsys):
    names = sorted(path.stem for path in (wall / "images").iterdir())
    (wall / "splits").mkdir()
    for split, members in (("val", names[:2]), ("test", names[2:])):
        (wall / "splits" / f"{split}.txt").write_text("\n".join(members) + "\n", "utf-8")
    model = write_toy_model(tmp_path / "toy.onnx")
    ways = [f"{name}={model}" for name in ("full", "bicubic", "joint")]
    arguments = ["far_away.py", f"{wall}:test", "--operator", "bilinear", "--models", *ways]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(ROOT / "benchmarks" / "far_away.py"), run_name="__main__")
    lines = [
        line.split(" | ") for line in capsys.readouterr().out.splitlines() if "all (2)" in line
    ]
    assert [line[1] for line in lines] == ["full", "bicubic", "joint", "full", "joint"]
    assert lines[0][3].startswith("100.0 %")
    assert [line[6] == "–" for line in lines[:3]] == [True, False, False]
    assert lines[1][2:] == lines[2][2:]
    assert lines[-1][-1].startswith("no difference shown")


def test_the_engines_scores_are_compared_in_pairs(wall, tmp_path, monkeypatch, capsys):
    for name in ("torch", "openvino"):
        pytest.importorskip(name)
    (wall / "splits").mkdir()
    names = sorted(path.stem for path in (wall / "images").iterdir())
    (wall / "splits" / "test.txt").write_text("\n".join(names[:3]) + "\n", "utf-8")
    model = exported("cssr")
    given = [f"{wall}:test", "--model", str(model), "--calibrate", str(wall)]
    monkeypatch.setattr(sys, "argv", ["precision.py", *given])
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    runpy.run_path(str(ROOT / "benchmarks" / "precision.py"), run_name="__main__")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    rows = {line.split(" | ")[0]: line.split(" | ")[1] for line in lines}
    assert "| onnxruntime float32" in rows
    assert rows["| openvino float32, difference"].startswith("0.00000")
    assert {
        f"| {name}, int8 file, difference" for name in ("onnxruntime float32", "openvino bf16")
    } <= set(rows)


def test_a_scale_without_a_reduction_is_refused() -> None:
    with pytest.raises(InputError, match="degrade_scale: nothing is reduced"):
        build_settings(EvaluateSettings, {"degrade_scale": 4}, "evaluate")
