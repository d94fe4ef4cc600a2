"""The command line: what it prints where, its exit codes, its speed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from toy_model import write_toy_model
from typer.testing import CliRunner

from fissura import __version__
from fissura.cli import app
from fissura.synth import CrackSpec, render_crack

VERBS = ["predict", "models", "protocols", "datasets", "train", "evaluate", "export", "benchmark"]
DATA_VERBS = ["check", "stats", "synth"]


@dataclass(frozen=True)
class Done:
    """What a command left: exit code and both outputs."""

    returncode: int
    stdout: str
    stderr: str


def fissura(*args: object) -> Done:
    """The command inside this process: quick."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="fissura")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def process(*args: object) -> subprocess.Popen[str]:
    """The command as a person starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "fissura.cli", *map(str, args)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in a folder of their own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_model(tmp_path_factory.mktemp("model") / "toy.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in (1, 2):
        spec = CrackSpec(size_hw=(96, 128), width_px=6.0, angle_deg=20.0 * seed)
        image = render_crack(spec, seed=seed).image
        cv2.imwrite(str(pictures / f"wall{seed}.png"), image[..., ::-1])
    return pictures


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def test_predict_writes_reports_and_says_where(model: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = fissura("predict", folder, "--model", model, "--out", out, "--mm-per-px", 0.5)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "[1/2]" in done.stdout
    assert "[2/2]" in done.stdout
    assert str(out / "report.html") in done.stdout
    assert "longest" in done.stdout
    assert "widest" in done.stdout
    assert {path.name for path in out.iterdir()} == {
        *("config.yaml", "results.json", "cracks.csv", "images.csv"),
        *("overlay", "masks", "report.html"),
    }
    assert len(json.loads((out / "results.json").read_text())) == 2


def test_predict_json_is_one_document(model: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = fissura("predict", folder, "--model", model, "--out", out, "--formats=csv", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["out"] == str(out)
    assert [Path(r["source"]).name for r in document["results"]] == ["wall1.png", "wall2.png"]
    assert document["failed"] == []
    assert document["summary"]["pictures"] == 2
    assert document["summary"]["widest"]["unit"] == "px"


def test_failed_pictures_are_named_and_the_rest_done(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / "empty.png").write_bytes(b"")
    nowhere = tmp_path / "nowhere.jpg"
    args = ("predict", folder, nowhere, "--model", model, "--formats", "json", "--json")
    done = fissura(*args, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert "empty.png" in done.stderr
    assert "nowhere.jpg" in done.stderr
    document = json.loads(done.stdout)
    assert len(document["results"]) == 2
    assert {Path(f["source"]).name for f in document["failed"]} == {"empty.png", "nowhere.jpg"}


def test_counting_includes_what_failed(model: Path, folder: Path) -> None:
    (folder / "empty.png").write_bytes(b"")
    done = fissura("predict", "nowhere.jpg", folder, "--model", model, "--formats", "json")
    counted = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("[")]
    assert counted == ["[3/4]", "[4/4]"]


def test_nothing_to_read_is_wrong_usage(model: Path, tmp_path: Path) -> None:
    done = fissura("predict", tmp_path / "nowhere.jpg", "--model", model)
    assert done.returncode == 2
    assert "nowhere.jpg" in one_line(done.stderr)
    assert not (tmp_path / "runs").exists()


def test_existing_output_needs_overwrite(model: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ("predict", folder, "--model", model, "--formats", "json", "--out", out)
    assert fissura(*args).returncode == 0
    refused = fissura(*args)
    assert refused.returncode == 2
    assert "--overwrite" in one_line(refused.stderr)
    assert fissura(*args, "--overwrite").returncode == 0


def test_default_output_never_meets_an_older_one(model: Path, folder: Path, tmp_path: Path) -> None:
    args = ("predict", folder, "--model", model, "--formats", "json")
    for _ in range(2):
        assert fissura(*args).returncode == 0
    runs = sorted(path.name for path in (tmp_path / "runs" / "predict").iterdir())
    assert runs == ["pictures", "pictures-2"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--threshold", "1.5"], "threshold"),
        (["--engine", "tensorrt"], "engine"),
        (["--formats", "docx"], "docx"),
        (["--mm-per-px", "1", "--gsd-from", "35mm,36x24mm,2m"], "gsd_from"),
        (["--gsd-from", "near"], "gsd"),
        (["--model", "cgnett"], "cgnett"),
        (["--tresh", "0.4"], "--tresh"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_usage_is_told_without_a_traceback(
    args: list[str], named: str, model: Path, folder: Path, tmp_path: Path
) -> None:
    done = fissura("predict", folder, "--model", model, *args)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_settings_from_a_file_and_flags_win(model: Path, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(f"model: {model}\nthreshold: 0.7\nmm_per_px: 0.5\n")
    args = ("predict", folder, "--config", config, "--threshold", "0.3", "--formats", "json")
    done = fissura(*args, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)["results"][0]["settings"]
    assert (settings["threshold"], settings["mm_per_px"]) == (0.3, 0.5)


def test_written_config_gives_the_same_results(model: Path, folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    base = ("predict", folder, "--formats", "json")
    assert fissura(*base, "--model", model, "--threshold", 0.6, "--out", first).returncode == 0
    assert fissura(*base, "--config", first / "config.yaml", "--out", second).returncode == 0
    assert (first / "results.json").read_text() == (second / "results.json").read_text()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_keeps_what_was_done(model: Path, folder: Path, tmp_path: Path) -> None:
    for number in range(300):
        shutil.copy(folder / "wall1.png", folder / f"copy{number}.png")
    order = ("predict", folder, "--model", model, "--out", out := tmp_path / "out")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    running = process(*order, "--formats", "json")
    signal.signal(signal.SIGINT, before)
    assert running.stdout is not None
    while "[2/" not in running.stdout.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[1]
    assert (running.returncode, "Traceback" in said) == (130, False), said
    assert 2 <= len(json.loads((out / "results.json").read_text())) < 300


@pytest.mark.parametrize("verb", [*VERBS, *(f"data {verb}" for verb in DATA_VERBS)])
def test_help_of_every_verb(verb: str) -> None:
    done = fissura(*verb.split(), "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout


def test_version() -> None:
    assert fissura("--version").stdout.strip() == f"fissura {__version__}"


@pytest.mark.parametrize("verb", ["models", "protocols", "datasets"])
def test_lists_are_json_too(verb: str) -> None:
    assert json.loads(fissura(verb, "--json").stdout) is not None
    assert fissura(verb).stdout


def test_synth_renders_pictures(tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    done = fissura("data", "synth", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    for picture in json.loads(done.stdout)["pictures"]:
        assert cv2.imread(picture).size > 0
    assert fissura("data", "synth", "--out", out).returncode == 2


def test_evaluate_a_folder_of_predictions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "masks", "maps"):
        (tmp_path / "walls" / name).mkdir(parents=True)
    for stem in ("a", "b"):
        crack = render_crack(CrackSpec(size_hw=(64, 80)), seed=rng.integers(100))
        cv2.imwrite(str(tmp_path / "walls" / "images" / f"{stem}.jpg"), crack.image[..., ::-1])
        mask = crack.mask.astype(np.uint8) * 255
        cv2.imwrite(str(tmp_path / "walls" / "masks" / f"{stem}.png"), mask)
        cv2.imwrite(str(tmp_path / "walls" / "maps" / f"{stem}.png"), mask)
    data, maps = tmp_path / "walls", tmp_path / "walls" / "maps"
    args = ("evaluate", "--data", data, "--predictions", maps, "--resamples", 10)
    done = fissura(*args, "--protocol", "mmseg", "--out", tmp_path / "scores", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["pooled"]["mean_iou"]["value"] == 1.0
    plain = fissura(*args, "--protocol", "mmseg", "--out", tmp_path / "again")
    assert "mIoU" in plain.stdout
    assert fissura(*args, "--protocol", "mseg", "--out", tmp_path / "x").returncode == 2


def test_benchmark_of_one_and_of_two(model: Path) -> None:
    args = ("benchmark", "--model", model, "--size", "64x96", "--frames", 2, "--threads", 1)
    timing = json.loads(fissura(*args, "--json").stdout)
    assert timing["size_hw"] == [64, 96]
    assert timing["median_ms"] > 0
    both = json.loads(fissura(*args, "--vs", ":onnxruntime", "--json").stdout)
    assert both["ratio_low"] <= both["ratio"] <= both["ratio_high"]
    assert "ms" in fissura(*args).stdout
    assert fissura("benchmark", "--model", model, "--size", "64").returncode == 2


def test_check_and_stats_of_a_data_set(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / "walls" / name).mkdir(parents=True)
    for seed in (1, 2, 3):
        crack = render_crack(CrackSpec(size_hw=(64, 80), angle_deg=50.0 * seed), seed=seed)
        cv2.imwrite(str(tmp_path / f"walls/images/{seed}.jpg"), crack.image[..., ::-1])
        mask = crack.mask.astype(np.uint8) * 255
        cv2.imwrite(str(tmp_path / f"walls/masks/{seed}.png"), mask)
    assert json.loads(fissura("data", "stats", "walls", "--json").stdout)["total"]["pictures"] == 3
    assert "80×64" in fissura("data", "stats", "walls").stdout
    assert fissura("data", "check", "walls").returncode == 0
    Path("walls/masks/2.png").unlink()
    faulty = fissura("data", "check", "walls", "--json")
    assert faulty.returncode == 1
    assert any("2.jpg" in file for found in json.loads(faulty.stdout) for file in found["files"])
    plain = fissura("data", "check", "walls")
    assert plain.returncode == 1
    assert "images/2.jpg: no mask of this name" in plain.stdout


def test_evaluate_wants_one_source_of_maps(tmp_path: Path) -> None:
    done = fissura("evaluate", "--data", tmp_path)
    assert done.returncode == 2
    assert "--model" in one_line(done.stderr)


def test_train_names_an_unknown_setting(tmp_path: Path) -> None:
    config = tmp_path / "experiment.yaml"
    config.write_text("nam: x\nmodel: cgnet\n")
    done = fissura("train", config)
    assert done.returncode == 2
    assert "'nam'" in done.stderr
    assert "'name'" in done.stderr


def processor_seconds(*args: object) -> float:
    """What the command costs: unlike the wall clock this hardly depends on who else is working."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = process(*args)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 0, said
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_help_answers_at_once() -> None:
    assert processor_seconds("--help") < 0.5


def test_predicting_starts_quickly(model: Path, folder: Path, tmp_path: Path) -> None:
    args = ("--model", model, "--threads", 1, "--out", tmp_path / "out")
    assert processor_seconds("predict", folder / "wall1.png", *args) < 2.5


@pytest.mark.parametrize(
    ("args", "absent"),
    [
        (["--help"], ["numpy", "cv2", "pydantic", "torch"]),
        (["predict", "wall.png", "--model", "toy.onnx"], ["torch", "matplotlib"]),
    ],
)
def test_what_a_verb_does_not_need_is_not_imported(
    args: list[str], absent: list[str], model: Path, folder: Path
) -> None:
    shutil.copy(model, "toy.onnx")
    shutil.copy(folder / "wall1.png", "wall.png")
    code = f"""
import sys
from fissura.cli import app
try:
    app({args!r})
except SystemExit as done:
    assert not done.code, done.code
print([name for name in {absent!r} if name in sys.modules])
"""
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_the_default_folder_of_a_pattern_is_named_after_its_folder(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    done = fissura("predict", "pictures/*.png", "--model", model, "--formats", "json")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs" / "predict").iterdir()] == ["pictures"]


def test_a_folder_that_cannot_be_made_is_told_in_one_line(model: Path, folder: Path) -> None:
    out = folder / "wall1.png" / "inside"
    done = fissura("predict", folder, "--model", model, "--out", out)
    assert done.returncode == 2
    assert "wall1.png" in one_line(done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_names_that_are_no_text_do_not_stop_the_run(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    shutil.copy(folder / "wall1.png", os.fsencode(folder) + b"/bad\xff\x1b[1m.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/empty\xfe.png")).touch()
    args = ("predict", folder, "--model", model, "--formats", "json")
    said, _ = process(*args, "--out", tmp_path / "plain").communicate(timeout=60)
    assert "bad\\udcff\\x1b[1m.png" in said
    document, _ = process(*args, "--out", tmp_path / "json", "--json").communicate(timeout=60)
    assert "empty\\udcfe.png" in json.loads(document)["failed"][0]["source"]


def test_one_picture_reached_twice_is_read_once(model: Path, folder: Path) -> None:
    picture = folder / "wall1.png"
    args = (os.path.relpath(picture), picture, folder, "--model", model, "--formats", "json")
    assert json.loads(fissura("predict", *args, "--json").stdout)["summary"]["pictures"] == 2


def test_whoever_stops_reading_sees_no_traceback(model: Path, folder: Path, tmp_path: Path) -> None:
    args = ("predict", folder, "--model", model, "--formats", "json", "--out", tmp_path / "out")
    with process(*args, "--json") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert "Traceback" not in running.stderr.read()
