"""What `fissura evaluate` is given: nothing is taken for something else, nothing is swallowed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from test_evaluate import run, write_set
from toy_model import write_toy_model

from fissura.config import PredictSettings
from fissura.datasets import open_dataset
from fissura.engines import open_engine
from fissura.evaluate import PROTOCOLS, EvaluateSettings, choose_black_hat, evaluate
from fissura.types import InputError, Sample

VALIDATION = EvaluateSettings(validation="val", resamples=200)
NAMES = [f"{i // 2}_{i % 2}" for i in range(8)]


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Eight pictures, the last four for validation."""
    data = write_set(tmp_path / "wall", NAMES)
    (data / "splits").mkdir()
    for name, members in (("test", NAMES[:4]), ("val", NAMES[4:])):
        (data / "splits" / f"{name}.txt").write_text("\n".join(members) + "\n", "utf-8")
    return data


def write_maps(folder: Path, data: Path, strength: float, names: list[str] | None = None) -> Path:
    folder.mkdir()
    for i, sample in enumerate(open_dataset(data)):
        if sample.name in (names or NAMES):
            soft = cv2.GaussianBlur(sample.mask.astype(np.float32), (0, 0), 1)
            noise = np.random.default_rng(i).random(soft.shape)
            grey = np.uint8(255 * strength * (0.8 * soft + 0.2 * noise))
            Image.fromarray(grey).save(folder / f"{sample.name}.png")
    return folder


def score(maps, data: Path, out: Path, protocol: str = "honest", **changes):
    settings = VALIDATION.model_copy(update=changes)
    return evaluate(maps, data, None, "test", protocol, out, settings)


def test_the_second_folder_is_validated_on_its_own_maps(split, tmp_path):
    a = write_maps(tmp_path / "a", split, 1, NAMES[:4])
    a_validation = write_maps(tmp_path / "a-val", split, 1, NAMES[4:])
    b = write_maps(tmp_path / "b", split, 0.4)
    report = score(a, split, tmp_path / "out", vs=b, validation_predictions=a_validation)
    alone = score(b, split, tmp_path / "alone")
    assert report["vs"]["b"]["threshold"] == alone["threshold"]
    assert report["vs"]["a"]["threshold"]["value"] > 2 * alone["threshold"]["value"]
    engine = open_engine(write_toy_model(tmp_path / "toy.onnx"), threads=1)
    with pytest.raises(InputError, match="--validation-predictions: toy computes its own"):
        score(engine, split, tmp_path / "o", validation_predictions=a_validation)


@pytest.mark.parametrize(
    ("option", "value"),
    [("threshold", 0.3), ("validation", "val"), ("criterion", "iou")],
)
@pytest.mark.parametrize("protocol", ["zou2019", "mmseg"])
def test_an_option_without_use_is_refused(split, tmp_path, option, value, protocol):
    maps = write_maps(tmp_path / "maps", split, 1)
    settings = EvaluateSettings(**{option: value}, resamples=0)
    args = (maps, split, None, "test")
    with pytest.raises(InputError, match=f"--{option}: protocol {protocol}"):
        evaluate(*args, protocol, tmp_path / "out", settings)
    assert protocol in evaluate(*args, "all", tmp_path / "out", settings)


def test_settings_of_predict_and_lonely_options_are_refused(split, tmp_path):
    maps = write_maps(tmp_path / "maps", split, 1)
    with pytest.raises(InputError, match="--set threshold"):
        score(maps, split, tmp_path / "out", predict=PredictSettings(threshold=0.3))
    with pytest.raises(InputError, match="with --validation"):
        score(maps, split, tmp_path / "out", validation=None, validation_predictions=maps)
    baseline = score(maps, split, tmp_path / "out", "mmseg", baseline=True)["baseline"]
    assert baseline["predictions"].startswith("black-hat")


def test_photographs_on_both_sides_are_said(tmp_path, split):
    whole = split.rename(tmp_path / "asphaltcrack300")
    maps = write_maps(tmp_path / "maps", whole, 1)
    assert score(maps, whole, tmp_path / "apart")["data"]["note"] == ""
    (whole / "splits" / "test.txt").write_text("\n".join(NAMES[::2]) + "\n", "utf-8")
    (whole / "splits" / "val.txt").write_text("\n".join(NAMES[1::2]) + "\n", "utf-8")
    note = score(maps, whole, tmp_path / "shared")["data"]["note"]
    assert "share photographs or sequences (4)" in note
    assert f"**{note}**" in (tmp_path / "shared" / "report.md").read_text("utf-8")
    chosen = score(maps, whole, tmp_path / "given", validation=None, threshold=0.5)
    assert chosen["data"]["note"] == ""


def test_the_side_without_a_threshold_is_named(split, tmp_path):
    maps = write_maps(tmp_path / "maps", split, 1)
    engine = open_engine(write_toy_model(tmp_path / "toy.onnx"), threads=1)
    with pytest.raises(InputError, match="and 'maps' brings none"):
        score(engine, split, tmp_path / "out", validation=None, vs=maps)
    with pytest.raises(InputError, match="--vs nosuchdir: no such folder of maps, nor a model"):
        score(maps, split, tmp_path / "out", vs="nosuchdir")


def test_only_folders_of_its_own_are_taken_away(split, tmp_path):
    maps = write_maps(tmp_path / "maps", split, 1, NAMES[:2])
    (tmp_path / "mine").mkdir()
    for out in (tmp_path / "mine", tmp_path / "new" / "deep"):
        with pytest.raises(InputError, match="no prediction for picture"):
            score(maps, split, out)
    assert (tmp_path / "mine").is_dir()
    assert not (tmp_path / "new").exists()


def test_reports_of_an_older_evaluation_are_removed(split, tmp_path):
    maps, out = write_maps(tmp_path / "maps", split, 1), tmp_path / "out"
    score(maps, split, out, "all", resamples=0)
    (out / "honest" / "notes.txt").write_text("mine", "utf-8")
    score(maps, split, out, "all", resamples=0, validation=None, overwrite=True)
    assert [path.name for path in (out / "honest").iterdir()] == ["notes.txt"]
    assert (out / "mmseg" / "report.json").is_file()
    run(maps, split, out, "mmseg", overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["honest", "report.json", "report.md"]
    assert json.loads((out / "report.json").read_text("utf-8"))["protocol"]["name"] == "mmseg"
    assert set(PROTOCOLS) > {"honest", "mmseg"}


@pytest.mark.parametrize("threshold", [0.100_01, 0.310_000_1, 0.123_45])
def test_a_given_threshold_changes_no_score_over_all_thresholds(split, tmp_path, threshold):
    maps = write_maps(tmp_path / "maps", split, 1)
    found = [
        score(maps, split, tmp_path / f"{t}", validation=None, threshold=t, resamples=3)
        for t in (0.5, threshold)
    ]
    for plain, given in zip(*(report["results"] for report in found), strict=True):
        assert given["threshold"] == threshold
        assert given["over_thresholds"] == plain["over_thresholds"]
    curves = [(tmp_path / f"{t}" / "curves.csv").read_text("utf-8") for t in (0.5, threshold)]
    assert curves[0] == curves[1]


def test_names_to_leave_out_are_found_or_refused(split, tmp_path):
    maps, listed = write_maps(tmp_path / "maps", split, 1), tmp_path / "list.txt"
    listed.write_bytes(f"\ufeff{NAMES[0]}\r\n{NAMES[1]}.PNG\r\nwall/{NAMES[2]}\r\n\r\n".encode())
    report = score(maps, split, tmp_path / "out", "mmseg", validation=None, without=listed)
    assert report["results"][-1]["subset"] == "without the 3 named in list.txt"
    for words in (f"{NAMES[0]}\nnosuch\n", f"{NAMES[0]}\n{NAMES[5]}\n"):
        listed.write_text(words, "utf-8")
        with pytest.raises(InputError, match=f"names '{words.split()[1]}', but no such picture"):
            score(maps, split, tmp_path / "o", "mmseg", validation=None, without=listed)


def test_overlaps_may_name_other_splits_but_no_unknown_picture(split, tmp_path):
    maps, listed = write_maps(tmp_path / "maps", split, 1), split / "splits"
    listed = listed / "test_overlaps_train.txt"
    listed.write_text(f"{NAMES[0]}.png\n{NAMES[5]}\n", "utf-8-sig")
    report = score(maps, split, tmp_path / "out", "mmseg", validation=None)
    assert report["results"][-1]["subset"] == "without the 1 that overlap a training picture"
    listed.write_text("nosuch\n", "utf-8")
    with pytest.raises(InputError, match="'nosuch', but no such picture is in the data set"):
        score(maps, split, tmp_path / "o", "mmseg", validation=None)


def test_too_few_photographs_or_resamples_claim_nothing(tmp_path):
    names = [f"{i}_{k}" for i in range(10) for k in range(2)]
    data = write_set(tmp_path / "asphaltcrack300", names)
    a, b = (write_maps(tmp_path / f"{s}", data, s, names) for s in (1.0, 0.5))

    def said(members: list[str], resamples: int) -> set[str]:
        (data / "splits").mkdir(exist_ok=True)
        (data / "splits" / "test.txt").write_text("\n".join(members) + "\n", "utf-8")
        changes = {"validation": None, "vs": b, "resamples": resamples, "overwrite": True}
        report = score(a, data, tmp_path / "out", "khanhha", **changes)
        assert report["results"][0]["groups"] == len({name[0] for name in members})
        return {row["says"] for row in report["vs"]["scores"]}

    assert all("is better by" in words for words in said(names, 200))
    assert said(names, 199) == {"too few resamples (199) to tell"}
    assert said(names[:18], 200) == {"too few photographs (9) to tell"}
    assert said(names[:2], 200) == {"no interval: all pictures belong to one group"}


def test_the_refinement_and_its_settings_are_reported(split, tmp_path):
    maps = write_maps(tmp_path / "maps", split, 1)
    engine = open_engine(write_toy_model(tmp_path / "toy.onnx"), threads=1)
    predict = PredictSettings.model_validate({"refine": "guided", "guided": {"radius_px": 3}})
    for number, source in enumerate((maps, engine)):
        out = tmp_path / f"out{number}"
        report = score(source, split, out, "mmseg", validation=None, predict=predict)
        assert report["details"]["refine"] == "guided"
        assert report["details"]["refine_settings"] == {"radius_px": 3, "eps": 0.001}
        page = (out / "report.md").read_text("utf-8")
        assert "Maps refined by `guided` before they were scored (radius_px 3, eps 0.001)" in page
    score(maps, split, tmp_path / "all", "all", validation=None, predict=predict)
    assert "Maps refined by" in (tmp_path / "all" / "protocols.md").read_text("utf-8")


def test_the_disc_is_chosen_within_the_scored_area():
    rng = np.random.default_rng(0)
    image = np.uint8(rng.normal(170, 4, (80, 96, 3)))
    mask = np.zeros((80, 96), bool)
    mask[20:23] = True
    image[mask] = 60
    image[45:75] = 60
    region = np.zeros_like(mask)
    region[:40] = True
    inside = Sample(image[:40], mask[:40], "a", "wall")
    whole = Sample(image, mask, "a", "wall", region)
    chosen = choose_black_hat([whole])
    assert chosen.name == choose_black_hat([inside]).name
    elsewhere = Sample(image, mask | ~region, "a", "wall", region)
    assert choose_black_hat([elsewhere]).name == chosen.name
    assert choose_black_hat([Sample(image, mask | ~region, "a", "wall")]).name != chosen.name


def test_a_threshold_from_elsewhere_is_not_called_chosen_on_validation(split, tmp_path):
    engine = open_engine(write_toy_model(tmp_path / "toy.onnx"))
    engine.card = dataclasses.replace(engine.card, threshold_from="elsewhere")
    with pytest.raises(InputError, match=r"never looks at the scored pictures.*--validation"):
        score(engine, split, tmp_path / "out", validation=None)
    assert score(engine, split, tmp_path / "out")["threshold"]["rule"] == "validation"


def test_networks_of_one_name_are_told_apart_by_their_files(split, tmp_path):
    paths = [write_toy_model(tmp_path / f"{name}.onnx") for name in ("first", "second")]
    sides = [open_engine(path) for path in paths]
    found = evaluate(
        sides[0], split, None, "test", "mmseg", tmp_path / "out", EvaluateSettings(vs=paths[1])
    )
    told = [found["vs"][letter]["predictions"] for letter in ("a", "b")]
    assert told == ["toy (first.onnx)", "toy (second.onnx)"]
