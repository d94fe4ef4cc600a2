"""From a source to results: the whole way with a network that calls everything dark a crack."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from conftest import ROOT
from small_videos import write_video
from toy_model import write_toy_model

import fissura
from fissura import InputError, Prediction, Predictor, pipeline
from fissura.config import PredictSettings
from fissura.maps import crack_map
from fissura.overlap import Stages
from fissura.pipeline import find_sources, resolve
from fissura.report import open_writers
from fissura.synth import CrackSpec, render_crack
from fissura.types import Frame, SettingError

SPEC = CrackSpec(size_hw=(160, 200), width_px=6.0, angle_deg=20.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("model") / "toy.onnx")


@pytest.fixture
def predictor(model: Path) -> Predictor:
    return fissura.load(model, threads=1)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return render_crack(SPEC, seed=1).image


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray) -> Path:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("wall 2.png", "wall 10.png", "wall 1.png"):
        cv2.imwrite(str(pictures / name), picture[..., ::-1])
    return pictures


def only(results: Iterator[Prediction]) -> Prediction:
    (result,) = results
    return result


def test_the_crack_of_an_array_is_found(predictor: Predictor, picture: np.ndarray) -> None:
    result = only(predictor.predict(picture))
    assert result.size_hw == (160, 200)
    assert result.crack_map is not None
    assert result.crack_map.dtype == np.float32
    assert result.mask is not None
    assert len(result.cracks) == 1
    assert result.cracks[0].mm is None
    assert result.scale is None
    assert result.model == "toy"
    assert result.weights_sha256 == "0" * 64


def test_settings_in_the_result_are_resolved(predictor: Predictor, picture: np.ndarray) -> None:
    settings = only(predictor.predict(picture)).settings
    assert settings["threshold"] == 0.5
    assert settings["input_scale"] == 1.0
    assert settings["engine"] == "onnxruntime"


def test_a_scale_gives_millimetres(model: Path, picture: np.ndarray) -> None:
    result = only(fissura.load(model, mm_per_px=0.5).predict(picture))
    assert result.scale is not None
    crack = result.cracks[0]
    assert crack.mm is not None
    assert crack.mm.length.value == pytest.approx(0.5 * (crack.px.length.value or 0), rel=1e-6)


def test_a_threshold_of_ones_own(model: Path, picture: np.ndarray) -> None:
    wide = only(fissura.load(model, threshold=0.05).predict(picture))
    narrow = only(fissura.load(model, threshold=0.95).predict(picture))
    assert wide.mask is not None
    assert narrow.mask is not None
    assert wide.mask.sum() > narrow.mask.sum() > 0
    assert bool((wide.mask | ~narrow.mask).all())


def test_folders_globs_files_and_lists(predictor: Predictor, folder: Path) -> None:
    names = [Path(result.source).name for result in predictor.predict(folder)]
    assert names == ["wall 1.png", "wall 2.png", "wall 10.png"]
    assert len(list(predictor.predict(str(folder / "wall 1*.png")))) == 2
    assert len(list(predictor.predict(folder / "wall 1.png"))) == 1
    assert len(list(predictor.predict([folder / "wall 1.png", folder / "wall 2.png"]))) == 2


def test_a_list_may_mix_arrays_and_files(
    predictor: Predictor, folder: Path, picture: np.ndarray
) -> None:
    first, second = predictor.predict([picture, folder / "wall 1.png"])
    assert first.mask is not None
    assert second.mask is not None
    assert np.array_equal(first.mask, second.mask)


def test_results_come_one_at_a_time(predictor: Predictor, folder: Path) -> None:
    for number in range(20):
        shutil.copy(folder / "wall 1.png", folder / f"wall 3{number:02}.png")
    results = predictor.predict(folder)
    done = [next(results)]
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"wall \d+\.png: the file is empty"):
        done.extend(results)
    assert len(done) <= 7  # what was read and seen ahead


def test_large_pictures_are_not_read_ahead(
    predictor: Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "AHEAD_PIXELS", 100)
    results = predictor.predict(folder)
    next(results)
    time.sleep(0.1)
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"wall 2\.png: the file is empty"):
        next(results)


def test_faults_keep_their_place_among_the_results(predictor: Predictor, folder: Path) -> None:
    (folder / "wall 2.png").write_bytes(b"")
    told: list[str] = []
    sources = [folder / "none.png", folder, folder / "nothing*.png", folder / "wall 1.png"]
    for result in predictor.predict(sources, on_error=lambda source, _: told.append(source)):
        told.append(result.source)
    names = ["none.png", "wall 1.png", "wall 2.png", "wall 10.png", "nothing*.png", "wall 1.png"]
    assert [Path(name).name for name in told] == names


def test_a_fault_of_one_frame_ends_its_video_alone(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.avi", "b.avi"):
        write_video(tmp_path / name, 30)
    look = pipeline.look

    def failing(frame: Frame, *rest: Any) -> Any:
        if frame.source.endswith("a.avi") and frame.index == 2:
            raise InputError("the network failed")
        return look(frame, *rest)

    monkeypatch.setattr(pipeline, "look", failing)
    faults: list[str] = []
    results = list(predictor.predict(tmp_path, on_error=lambda _, error: faults.append(str(error))))
    assert faults == ["the network failed"]
    assert [Path(r.source).name for r in results] == ["a.avi"] * 2 + ["b.avi"] * 30
    assert [r.frame_index for r in results] == [0, 1, *range(30)]


def test_stages_learn_what_each_costs(predictor: Predictor, folder: Path) -> None:
    stages = Stages()
    list(predictor.predict(folder, stages=stages))
    spent = dict(stages.seconds)
    assert spent.pop("write") == 0
    assert min(spent.values()) > 0
    assert stages.bottleneck in spent


def test_leaving_early_ends_the_threads(predictor: Predictor, folder: Path) -> None:
    before = threading.active_count()
    results = predictor.predict(folder)
    next(results)
    assert threading.active_count() > before
    del results
    assert threading.active_count() == before


def test_leaving_does_not_wait_for_all_tiles(
    predictor: Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, count, begun = predictor.engine.run, [0], threading.Event()

    def slow(tile: np.ndarray) -> Any:
        count[0] += 1
        if count[0] > 40:  # tiles of the second picture
            begun.set()
            time.sleep(0.05)
        return run(tile)

    monkeypatch.setattr(predictor.engine, "run", slow)
    predictor.settings = predictor.settings.model_copy(update={"tile": 32, "overlap": 8})
    results = cast("Generator[Prediction]", predictor.predict(folder))
    next(results)
    assert begun.wait(10)
    stopped_at = count[0]
    results.close()
    assert count[0] <= stopped_at + 2


def test_arrays_stay_in_the_callers_thread(predictor: Predictor, picture: np.ndarray) -> None:
    taken = []

    def arrays() -> Iterator[np.ndarray]:
        for number in range(5):
            taken.append((number, threading.current_thread()))
            yield picture

    results = predictor.predict(arrays())
    next(results)
    assert taken == [(0, threading.current_thread())]


def test_failures_can_be_collected(predictor: Predictor, folder: Path) -> None:
    (folder / "wall 2.png").write_bytes(b"")
    failed: list[str] = []
    results = list(predictor.predict(folder, on_error=lambda source, error: failed.append(source)))
    assert len(results) == 2
    assert [Path(name).name for name in failed] == ["wall 2.png"]


def test_missing_source_is_named(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jpg"):
        list(predictor.predict(tmp_path / "nowhere.jpg"))


def test_sources_that_overlap_are_read_once(folder: Path) -> None:
    assert len(find_sources([folder, folder / "wall 1.png", folder])) == 3


def test_unknown_setting_names_the_nearest(model: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'threshold'"):
        fissura.load(model, treshold=0.3)


def test_unknown_model_is_named() -> None:
    with pytest.raises(InputError, match="cgnett"):
        fissura.load("cgnett")


def test_low_threshold_above_the_models_own_is_refused(model: Path) -> None:
    with pytest.raises(InputError, match="low_threshold"):
        fissura.load(model, low_threshold=0.7)


def test_bad_camera_is_refused_before_any_picture(model: Path) -> None:
    with pytest.raises(InputError):
        fissura.load(model, gsd_from="a long lens")


def test_input_scale_enlarges_and_comes_back(tmp_path: Path, picture: np.ndarray) -> None:
    plain = fissura.load(write_toy_model(tmp_path / "plain.onnx"))
    twice = fissura.load(write_toy_model(tmp_path / "twice.onnx", input_scale=2.0))
    first, second = only(plain.predict(picture)), only(twice.predict(picture))
    assert first.mask is not None
    assert second.mask is not None
    assert second.settings["input_scale"] == 2.0
    overlap = (first.mask & second.mask).sum() / (first.mask | second.mask).sum()
    assert overlap > 0.9


def test_tiles_give_the_same_map_as_the_whole(predictor: Predictor) -> None:
    image = np.random.default_rng(0).integers(0, 255, (150, 170, 3), np.uint8)
    whole = crack_map(image, predictor.engine, predictor.settings)
    cut = predictor.settings.model_copy(update={"tile": 64, "overlap": 16})
    np.testing.assert_allclose(crack_map(image, predictor.engine, cut), whole, atol=1e-5)


def test_resolving_twice_changes_nothing(predictor: Predictor) -> None:
    once = resolve(PredictSettings(), predictor.engine)
    assert resolve(once, predictor.engine) == once


def test_to_dict_is_json(predictor: Predictor, picture: np.ndarray) -> None:
    document = only(predictor.predict(picture)).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False))["size_hw"] == [160, 200]
    assert "crack_map" not in document


def test_plot_draws_on_the_picture(predictor: Predictor, picture: np.ndarray) -> None:
    drawn = only(predictor.predict(picture)).plot()
    assert drawn.dtype == np.uint8
    assert drawn.ndim == 3
    assert drawn.shape[2] == 3


def test_save_writes_and_never_overwrites(
    predictor: Predictor, picture: np.ndarray, tmp_path: Path
) -> None:
    result = only(predictor.predict(picture))
    out = result.save(tmp_path / "out", formats=("json", "masks"))
    assert json.loads((out / "results.json").read_text())[0]["model"] == "toy"
    (mask_file,) = (out / "masks").iterdir()
    mask = cv2.imread(str(mask_file), cv2.IMREAD_UNCHANGED)
    assert result.mask is not None
    assert np.array_equal(mask > 0, result.mask)
    with pytest.raises(InputError, match="overwrit"):
        result.save(out)
    assert result.save(out, formats=["json"], overwrite=True) == out


def test_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="docx"), open_writers(["json", "docx"], tmp_path):
        pass


@pytest.mark.parametrize("module", ["fissura", "fissura.pipeline", "fissura.cli"])
def test_importing_brings_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_mistake_of_the_whole_run_is_said_once(model: Path, folder: Path) -> None:
    failed: list[str] = []
    predictor = fissura.load(model, refine="guided-released", threads=1)
    with pytest.raises(SettingError, match="toy gives logits but no side1"):
        list(predictor.predict(folder, on_error=lambda source, _: failed.append(source)))
    assert not failed
